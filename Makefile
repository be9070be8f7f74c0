# SPDX-License-Identifier: GPL-2.0-or-later
# The only build file. `make help` lists the targets; everything built lands in $(OUTPUT).
OUTPUT ?= build
CC     := gcc
CLANG  ?= clang
ARCH   := x86
V      ?= 0

ifeq ($(V),0)
Q := @
say = @printf '  %-8s %s\n' $(1) $(2)
else
Q :=
say =
endif

VERSION := 0.1.0
ROOMS   := $(shell sed -n 's/^\([a-z]*\):.*/\1/p' user/rooms)

WARN := -Wall -Wextra -Wformat=2 -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wundef -Wpointer-arith -Wwrite-strings -Wcast-qual -Wvla \
	-Wnull-dereference -Wimplicit-fallthrough -Wdouble-promotion -Wconversion \
	-Wno-sign-conversion -Wno-unused-parameter -Wduplicated-cond -Wlogical-op
CFLAGS   ?= -O2 -g
CPPFLAGS += -D_GNU_SOURCE -DTMBPF_VERSION='"$(VERSION)"' -I. -Iuser -I$(OUTPUT)
STD      := -std=gnu11
HARDEN   := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
LDHARDEN := -pie -Wl,-z,relro,-z,now
ifeq ($(SAN),1)
CFLAGS   := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
HARDEN   := -fPIE
LDHARDEN := -pie -fsanitize=address,undefined
endif
ifeq ($(WERROR),1)
WARN     += -Werror
BPF_WERR := -Werror
endif
LIBS := -lbpf -lelf -lZydis -lZycore -lz -lsqlite3 -lnettle

SRCS     := $(foreach r,$(ROOMS),$(wildcard user/$(r)/*.c))
OBJS     := $(SRCS:%.c=$(OUTPUT)/%.o) $(OUTPUT)/user/main.o
BPF_SRC  := bpf/tmbpf.bpf.c
BPF_OBJ  := $(OUTPUT)/tmbpf.bpf.o
SKEL     := $(OUTPUT)/tmbpf.skel.h
UNIT_SRC := $(wildcard tests/unit/*/test_*.c)
UNITS    := $(UNIT_SRC:%.c=$(OUTPUT)/%)

.PHONY: all help deps demo check check-all interpreters drivers unit unit-build integration bench bench-store lint format fuzz mutate clean install
.DELETE_ON_ERROR:
.SECONDARY:

all: $(OUTPUT)/tmbpf ## build build/tmbpf

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 18

deps: ## install what build and tests need (Debian packages, root)
	./scripts/deps.sh

$(OUTPUT)/tmbpf: $(OBJS)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDHARDEN) $(CFLAGS) -o $@ $^ $(LIBS)

$(OUTPUT)/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(STD) $(CPPFLAGS) $(CFLAGS) $(HARDEN) $(WARN) -MMD -MP -c -o $@ $<

$(BPF_OBJ): $(BPF_SRC)
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -g -O2 -mcpu=v3 -target bpf -D__TARGET_ARCH_$(ARCH) -D__bpf__ -std=gnu11 -I. -Ibpf -Ivmlinux/$(ARCH) \
		-Wall -Wextra -Wshadow -Wno-unused-parameter $(BPF_WERR) -MMD -MP -MF $(@:.o=.d) -MT $@ -c -o $@.tmp $<
	$(Q)llvm-strip -g -o $@ $@.tmp && rm -f $@.tmp

$(SKEL): $(BPF_OBJ)
	$(call say,SKEL,$@)
	$(Q)bpftool gen skeleton $< name tmbpf_bpf > $@

$(filter $(OUTPUT)/user/alloc/%,$(OBJS)) $(filter $(OUTPUT)/user/probe/%,$(OBJS)) $(filter $(OUTPUT)/user/drain/%,$(OBJS)) $(filter $(OUTPUT)/user/trace/%,$(OBJS)) $(filter $(OUTPUT)/user/cli/%,$(OBJS)): | $(SKEL)
$(OUTPUT)/user/probe/bpf_session.o: $(SKEL)

# A unit test tests/unit/ROOM/test_x.c links ROOM and the rooms it may know.
rooms_for = base $(1) $(shell sed -n 's/^$(1): *//p' user/rooms)
DATA_ROOMS := $(call rooms_for,report)
# What a room needs to be linked: report/ brings rooms of its own.
link_rooms = $(sort $(call rooms_for,$(1)) $(if $(filter report,$(call rooms_for,$(1))),$(DATA_ROOMS)))

define unit_rule
$(OUTPUT)/tests/unit/$(1)/test_%: tests/unit/$(1)/test_%.c $$(foreach r,$$(call link_rooms,$(1)),$$(patsubst %.c,$(OUTPUT)/%.o,$$(wildcard user/$$(r)/*.c))) $$(wildcard user/*/*.h bpf/*.h tests/unit/*.h tests/unit/*/*.h)
	$$(call say,UNIT,$$@)
	$(Q)mkdir -p $$(@D)
	$(Q)$(CC) $(STD) $(CPPFLAGS) $(CFLAGS) $(HARDEN) $(LDHARDEN) -Wall -Wextra -Wno-unused-parameter -o $$@ $$(filter %.c %.o,$$^) -lcmocka $(LIBS)
endef
$(foreach r,$(patsubst tests/unit/%/,%,$(wildcard tests/unit/*/)),$(eval $(call unit_rule,$(r))))

# Programs that the tests talk to, linked with everything that needs no capture.
DRIVERS := $(patsubst %.c,$(OUTPUT)/%,$(wildcard tests/differential/*.c tests/export/*.c tests/leaks/*.c tests/bench/*.c))
$(DRIVERS): $(OUTPUT)/%: %.c $(foreach r,$(DATA_ROOMS),$(patsubst %.c,$(OUTPUT)/%.o,$(wildcard user/$(r)/*.c))) $(wildcard user/*/*.h bpf/*.h)
	$(call say,DRIVER,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(STD) $(CPPFLAGS) $(CFLAGS) $(HARDEN) $(LDHARDEN) -Wall -Wextra -Wno-unused-parameter -o $@ $(filter %.c %.o,$^) $(LIBS)

drivers: $(DRIVERS)

unit-build: $(UNITS)

unit: ## unit tests under ASan and UBSan
	$(Q)$(MAKE) --no-print-directory SAN=1 OUTPUT=$(OUTPUT)/san unit-build
	$(Q)./scripts/run-units.sh $(OUTPUT)/san

integration: $(OUTPUT)/tmbpf drivers ## tests on real processes (root)
	$(Q)/usr/bin/python3 -m pytest -q -p no:cacheprovider --timeout 300 tests/integration

fuzz: ## every parser of untrusted bytes, 60 s each
	$(Q)./tests/fuzz/run.sh 60

mutate: ## break the program in some 90 places, one at a time, and see which break no test notices (root, a quarter of an hour)
	$(Q)./tests/mutation/run.py

check-all: ## check, with the long runs: 200 attach cycles, 50 SIGKILLs, 5 million blocks, mutations (root)
	$(Q)TMBPF_FULL=1 ./scripts/check.sh

lint: ## layers, format, codes, gates
	$(Q)./scripts/check-layers.sh
	$(Q)./scripts/check-format.sh
	$(Q)./scripts/check-codes.py
	$(Q)./scripts/check-gates.py
	$(Q)./scripts/gen-py-offsets.py
	$(Q)./tests/mutation/run.py --check

format: ## clang-format everything
	clang-format -i $$(git ls-files 'user/*.[ch]' 'bpf/*.[ch]' 'tests/*.[ch]')

check: ## install, build, run every test (root)
	$(Q)./scripts/check.sh

interpreters: ## build CPython with other compilers and options, to test with (half an hour)
	$(Q)./scripts/interpreters build gcc-3.13 clang-3.13 clang-plain-3.13 nogil-3.13t

demo: ## install, build, find the leaking line of a small Python program (root)
	$(Q)./scripts/demo.sh

bench: $(OUTPUT)/tmbpf ## cost against tracemalloc, one interleaved run (root)
	$(Q)./tests/bench/bench.sh

bench-store: $(OUTPUT)/tmbpf drivers ## how a series of snapshots grows and what asking it takes, up to 500,000 stacks
	$(Q)./tests/bench/store_scale.py

install: $(OUTPUT)/tmbpf
	install -D -m 0755 $(OUTPUT)/tmbpf $(DESTDIR)/usr/local/bin/tmbpf
	install -D -m 0644 docs/man/tmbpf.1 $(DESTDIR)/usr/local/share/man/man1/tmbpf.1

clean: ## remove what was built
	rm -rf $(OUTPUT)

-include $(OBJS:.o=.d) $(BPF_OBJ:.o=.d)
