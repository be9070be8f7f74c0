/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "child.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "target/elf_image.h"

/* A small shared object, every part of which a test may spoil. */
struct tiny {
	Elf64_Ehdr hdr;
	Elf64_Phdr phdrs[3]; /* LOAD, NOTE, DYNAMIC */
	Elf64_Nhdr note;
	char note_name[4];
	uint8_t note_desc[20];
	Elf64_Dyn dyn[6];
	Elf64_Sym syms[5];
	char strings[64];
	uint32_t hash[2]; /* nbucket, nchain: all that is read */
	uint32_t gnu[4 + 2 + 1 + 4];
	Elf64_Shdr shdrs[4]; /* null, dynsym, dynstr, shstrtab = dynstr */
};

#define BASE	0x10000
#define AT(fld) (BASE + offsetof(struct tiny, fld))

static void fill_symbols(struct tiny *t)
{
	static const char names[] = "\0malloc\0old@@V1\0gone\0tls\0.dynsym";

	memcpy(t->strings, names, sizeof(names));
	t->syms[1] = (Elf64_Sym){1, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, 1, BASE + 0x10, 0x20};
	t->syms[2] = (Elf64_Sym){8, ELF64_ST_INFO(STB_LOCAL, STT_FUNC), 0, 1, BASE + 0x40, 0};
	t->syms[3] = (Elf64_Sym){16, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, SHN_UNDEF, 0, 0};
	t->syms[4] = (Elf64_Sym){21, ELF64_ST_INFO(STB_GLOBAL, STT_TLS), 0, 1, 8, 8};
}

static struct tiny *new_tiny(void)
{
	struct tiny *t = calloc(1, sizeof(*t));

	memcpy(t->hdr.e_ident, ELFMAG, SELFMAG);
	t->hdr.e_ident[EI_CLASS] = ELFCLASS64;
	t->hdr.e_ident[EI_DATA] = ELFDATA2LSB;
	t->hdr.e_type = ET_DYN;
	t->hdr.e_machine = EM_X86_64;
	t->hdr.e_phoff = offsetof(struct tiny, phdrs);
	t->hdr.e_phentsize = sizeof(Elf64_Phdr);
	t->hdr.e_phnum = 3;
	t->hdr.e_shoff = offsetof(struct tiny, shdrs);
	t->hdr.e_shentsize = sizeof(Elf64_Shdr);
	t->hdr.e_shnum = 4;
	t->hdr.e_shstrndx = 3;
	t->phdrs[0] = (Elf64_Phdr){PT_LOAD, PF_R | PF_X, 0, BASE, 0, sizeof(*t), 0x2000, 4096};
	t->phdrs[1] = (Elf64_Phdr){
		PT_NOTE, PF_R, offsetof(struct tiny, note), AT(note), 0, 12 + 4 + 20, 36, 4};
	t->phdrs[2] = (Elf64_Phdr){PT_DYNAMIC,	   PF_R, offsetof(struct tiny, dyn),
				   AT(dyn),	   0,	 sizeof(t->dyn),
				   sizeof(t->dyn), 8};
	t->note = (Elf64_Nhdr){4, 20, NT_GNU_BUILD_ID};
	memcpy(t->note_name, "GNU", 4);
	memset(t->note_desc, 0xab, sizeof(t->note_desc));
	t->dyn[0] = (Elf64_Dyn){DT_SYMTAB, {AT(syms)}};
	t->dyn[1] = (Elf64_Dyn){DT_STRTAB, {AT(strings)}};
	t->dyn[2] = (Elf64_Dyn){DT_STRSZ, {sizeof(t->strings)}};
	t->dyn[3] = (Elf64_Dyn){DT_HASH, {AT(hash)}};
	fill_symbols(t);
	t->hash[1] = 5;
	t->gnu[0] = 2; /* buckets */
	t->gnu[1] = 1; /* first symbol */
	t->gnu[2] = 1; /* bloom words */
	t->gnu[6] = 1;
	t->gnu[7] = 3;
	t->gnu[10] = 0; /* chain of 3: on, 4: ends; the last word lies in shdrs[0] */
	t->shdrs[0].sh_name = 1;
	t->shdrs[1] = (Elf64_Shdr){.sh_name = 25,
				   .sh_type = SHT_DYNSYM,
				   .sh_offset = offsetof(struct tiny, syms),
				   .sh_size = sizeof(t->syms),
				   .sh_link = 2};
	t->shdrs[2] = (Elf64_Shdr){.sh_type = SHT_STRTAB,
				   .sh_offset = offsetof(struct tiny, strings),
				   .sh_size = sizeof(t->strings)};
	t->shdrs[3] = t->shdrs[2];
	return t;
}

/* Opens and frees t. */
static int open_tiny(struct tiny *t, struct elf_image **img)
{
	int err = elf_image_open_bytes(t, sizeof(*t), img);

	free(t);
	return err;
}

static void check_symbols(const struct elf_image *img)
{
	const struct elf_symbol *s = elf_image_symbol(img, "malloc");

	assert_int_equal(img->symbol_count, 3);
	assert_non_null(s);
	assert_int_equal(s->vaddr, BASE + 0x10);
	assert_int_equal(s->len, 0x20);
	assert_false(s->local);
	s = elf_image_symbol(img, "old"); /* the version is cut off */
	assert_non_null(s);
	assert_true(s->local);
	assert_null(elf_image_symbol(img, "gone"));
	assert_int_equal(elf_image_symbol(img, "tls")->type, STT_TLS);
	assert_null(elf_image_symbol(img, "zzz"));
	assert_null(elf_image_symbol(img, ""));
	assert_string_equal(elf_image_symbol_at(img, BASE + 0x10)->name, "malloc");
	assert_string_equal(elf_image_symbol_at(img, BASE + 0x2f)->name, "malloc");
	assert_null(elf_image_symbol_at(img, BASE + 0x30));
	assert_null(elf_image_symbol_at(img, BASE + 0xf));
	assert_string_equal(elf_image_symbol_at(img, BASE + 0x1fff)->name, "old");
	assert_null(elf_image_symbol_at(img, BASE + 0x2000)); /* another segment */
}

static void sections_give_symbols(void **state)
{
	struct elf_image *img = NULL;
	uint64_t vaddr, off, len;

	assert_int_equal(open_tiny(new_tiny(), &img), 0);
	check_symbols(img);
	assert_int_equal(img->build_id_len, 20);
	assert_string_equal(img->build_id_hex, "abababababababababababababababababababab");
	assert_true(elf_image_section(img, ".dynsym", &vaddr, &off, &len));
	assert_int_equal(off, offsetof(struct tiny, syms));
	assert_false(elf_image_section(img, ".text", &vaddr, &off, &len));
	elf_image_free(img);
}

static void without_sections_the_dynamic_table_serves(void **state)
{
	struct elf_image *img = NULL;
	struct tiny *t = new_tiny();

	t->hdr.e_shoff = 0;
	t->hdr.e_shnum = 0;
	assert_int_equal(open_tiny(t, &img), 0);
	check_symbols(img);
	elf_image_free(img);

	t = new_tiny();
	t->hdr.e_shoff = 0;
	t->dyn[3] = (Elf64_Dyn){DT_GNU_HASH, {AT(gnu)}};
	t->shdrs[0].sh_name = 1; /* ends the chain at symbol 4 */
	t->gnu[10] = 0;
	assert_int_equal(open_tiny(t, &img), 0);
	check_symbols(img);
	elf_image_free(img);
}

static void lying_sections_are_ignored(void **state)
{
	struct elf_image *img = NULL;
	struct tiny *t = new_tiny();

	t->hdr.e_shoff = UINT64_MAX - 8;
	assert_int_equal(open_tiny(t, &img), 0);
	check_symbols(img);
	elf_image_free(img);

	t = new_tiny();
	t->hdr.e_shnum = 0xfff0;
	assert_int_equal(open_tiny(t, &img), 0);
	check_symbols(img);
	elf_image_free(img);

	t = new_tiny();
	t->shdrs[1].sh_size = 1 << 30;
	assert_int_equal(open_tiny(t, &img), 0);
	check_symbols(img);
	elf_image_free(img);

	t = new_tiny();
	t->shdrs[1].sh_link = 77;
	t->hdr.e_shstrndx = 99;
	assert_int_equal(open_tiny(t, &img), 0);
	check_symbols(img);
	elf_image_free(img);
}

static void lying_hash_tables_are_bounded(void **state)
{
	struct elf_image *img = NULL;
	struct tiny *t = new_tiny();

	t->hdr.e_shoff = 0;
	t->hash[1] = UINT32_MAX;
	assert_int_equal(open_tiny(t, &img), 0);
	assert_non_null(elf_image_symbol(img, "malloc"));
	elf_image_free(img);

	t = new_tiny();
	t->hdr.e_shoff = 0;
	t->dyn[3] = (Elf64_Dyn){DT_GNU_HASH, {AT(gnu)}};
	t->gnu[0] = t->gnu[2] = UINT32_MAX;
	assert_int_equal(open_tiny(t, &img), 0);
	elf_image_free(img);

	t = new_tiny();
	t->hdr.e_shoff = 0;
	t->dyn[0].d_un.d_val = UINT64_MAX;
	assert_int_equal(open_tiny(t, &img), 0);
	assert_int_equal(img->symbol_count, 0);
	elf_image_free(img);
}

static void bad_headers_are_refused(void **state)
{
	struct elf_image *img = NULL;
	struct tiny *t = new_tiny();

	t->hdr.e_ident[EI_CLASS] = ELFCLASS32;
	assert_int_equal(open_tiny(t, &img), -EBADMSG);
	t = new_tiny();
	t->hdr.e_machine = EM_AARCH64;
	assert_int_equal(open_tiny(t, &img), -EBADMSG);
	t = new_tiny();
	t->hdr.e_type = ET_CORE;
	assert_int_equal(open_tiny(t, &img), -EBADMSG);
	t = new_tiny();
	t->hdr.e_phoff = 1 << 20;
	assert_int_equal(open_tiny(t, &img), -EBADMSG);
	t = new_tiny();
	t->phdrs[0].p_vaddr = UINT64_MAX - 4;
	assert_int_equal(open_tiny(t, &img), -EBADMSG);
	t = new_tiny();
	t->phdrs[0].p_type = PT_NULL;
	assert_int_equal(open_tiny(t, &img), -EBADMSG);
	assert_int_equal(elf_image_open_bytes("", 0, &img), -EBADMSG);
	assert_null(img);
}

static void every_truncation_is_survived(void **state)
{
	struct tiny *t = new_tiny();

	for (size_t len = 0; len < sizeof(*t); len++) {
		struct elf_image *img = NULL;

		if (elf_image_open_bytes(t, len, &img) == 0) {
			assert_null(elf_image_bytes(img, BASE, len + 1));
			elf_image_free(img);
		}
	}
	free(t);
}

static void addresses_and_offsets_convert(void **state)
{
	struct elf_image *img = NULL;
	uint64_t v = 0;
	struct tiny *t = new_tiny();

	t->phdrs[1] = (Elf64_Phdr){PT_LOAD, PF_W, 0x100, 0x90100, 0, 0x10, 0x20, 4096};
	assert_int_equal(open_tiny(t, &img), 0);
	assert_int_equal(img->segment_count, 2);
	assert_true(elf_image_file_off(img, 0x90104, &v));
	assert_int_equal(v, 0x104);
	assert_false(elf_image_file_off(img, 0x90110, &v)); /* .bss */
	assert_false(elf_image_file_off(img, 0, &v));
	assert_true(elf_image_vaddr(img, 0, &v));
	assert_int_equal(v, BASE);
	assert_false(elf_image_vaddr(img, 1 << 20, &v));
	assert_non_null(elf_image_bytes(img, 0x90100, 0x10));
	assert_null(elf_image_bytes(img, 0x90100, 0x11));
	assert_null(elf_image_bytes(img, 0x90100, SIZE_MAX));
	elf_image_free(img);
	elf_image_free(NULL);
}

/* No bytes of a segment that lies outside of the file: also none of them is nowhere. */
static void a_segment_outside_of_the_file_has_no_bytes(void **state)
{
	static const uint64_t outside[] = {UINT64_MAX - 0xfff, UINT64_MAX, 1ull << 63, 1 << 20};

	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		struct elf_image *img = NULL;
		struct tiny *t = new_tiny();
		uint64_t v;

		t->phdrs[1] = (Elf64_Phdr){PT_LOAD, PF_W, outside[i], 0x90100, 0, 0x10, 0x20, 4096};
		assert_int_equal(open_tiny(t, &img), 0);
		assert_null(elf_image_bytes(img, 0x90100, 1));
		assert_false(elf_image_file_off(img, 0x90100, &v));
		const uint8_t *none = elf_image_bytes(img, 0x90100, 0);

		assert_true(!none || (none >= img->data && none <= img->data + img->len));
		elf_image_free(img);
	}
}

static void a_file_cut_under_us_does_no_harm(void **state)
{
	struct elf_image *img = NULL;
	int in = open("/proc/self/exe", O_RDONLY);
	int fd = memfd_create("elf", 0);
	char block[65536];

	for (ssize_t n; (n = read(in, block, sizeof(block))) > 0;)
		assert_int_equal(write(fd, block, (size_t)n), n);
	assert_int_equal(elf_image_open_fd(fd, &img), 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_non_null(elf_image_symbol(img, "main"));
	const struct elf_symbol *s =
		elf_image_symbol_at(img, elf_image_symbol(img, "main")->vaddr + 1);

	assert_string_equal(s->name, "main");
	elf_image_free(img);
	assert_int_equal(elf_image_open_fd(fd, &img), -EBADMSG); /* now empty */
	close(fd);
	close(in);
}

static void big_sparse_files_are_mapped_or_refused(void **state)
{
	struct elf_image *img = NULL;
	struct tiny *t = new_tiny();
	int fd = memfd_create("big", 0);

	assert_int_equal(write(fd, t, sizeof(*t)), sizeof(*t));
	assert_int_equal(ftruncate(fd, 65 << 20), 0);
	assert_int_equal(elf_image_open_fd(fd, &img), 0);
	check_symbols(img);
	elf_image_free(img);
	assert_int_equal(ftruncate(fd, ((off_t)4 << 30) + 1), 0);
	assert_int_equal(elf_image_open_fd(fd, &img), -EFBIG);
	close(fd);
	free(t);
	assert_int_equal(elf_image_open("/nonexistent", &img), -ENOENT);
	assert_int_equal(elf_image_open("/dev/null", &img), -EBADMSG);
	assert_int_equal(elf_image_open("/proc/self/maps", &img), -EBADMSG);
	assert_int_equal(elf_image_open("/", &img), -EBADMSG);
}

static void default_version_comes_first(void **state)
{
	struct elf_image *img = NULL;

	if (elf_image_open("/lib/x86_64-linux-gnu/libc.so.6", &img))
		skip();
	/* readelf --dyn-syms: realpath@GLIBC_2.2.5 is a stub in front of realpath@@GLIBC_2.3 */
	const struct elf_symbol *s = elf_image_symbol(img, "realpath");
	uint64_t len = s->len;

	for (size_t i = 0; i < img->symbol_count; i++) {
		if (strcmp(img->symbols[i].name, "realpath") == 0)
			assert_true(img->symbols[i].len <= len);
	}
	for (size_t i = 1; i < img->symbol_count; i++) {
		assert_true(img->symbols[i - 1].vaddr <= img->symbols[i].vaddr);
		assert_true(strcmp(img->by_name[i - 1].name, img->by_name[i].name) <= 0);
	}
	assert_non_null(elf_image_symbol(img, "malloc"));
	assert_int_equal(img->build_id_len, 20);
	elf_image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sections_give_symbols),
		cmocka_unit_test(without_sections_the_dynamic_table_serves),
		cmocka_unit_test(lying_sections_are_ignored),
		cmocka_unit_test(lying_hash_tables_are_bounded),
		cmocka_unit_test(bad_headers_are_refused),
		cmocka_unit_test(every_truncation_is_survived),
		cmocka_unit_test(addresses_and_offsets_convert),
		cmocka_unit_test(a_segment_outside_of_the_file_has_no_bytes),
		cmocka_unit_test(a_file_cut_under_us_does_no_harm),
		cmocka_unit_test(big_sparse_files_are_mapped_or_refused),
		cmocka_unit_test(default_version_comes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
