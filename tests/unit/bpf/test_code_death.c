// SPDX-License-Identifier: GPL-2.0-or-later
/* The record of a dying code object, made by hand: what is copied, what is cut, and what is counted as lost. */
#include "bpf_host.h"

#include "bpf/code_death.bpf.h"

#define TABLE_ROOM (TM_CODE_TABLE_MAX + 64)

static uint8_t code[TM_CODE_OBJ_MAX], filename[128], qualname[128], table[32 + TABLE_ROOM];

static void put(uint8_t *at, uint64_t value)
{
	memcpy(at, &value, sizeof(value));
}

static void put_str(uint8_t *str, const char *text)
{
	uint32_t ascii = (1u | 8 | 16) << cfg_str_kind_shift;

	put(str + cfg_str_length, strlen(text));
	memcpy(str + cfg_str_state, &ascii, sizeof(ascii));
	memcpy(str + cfg_str_ascii_data, text, strlen(text));
}

static void put_table(uint64_t len)
{
	put(table + cfg_bytes_size, len);
}

static int setup(void **state)
{
	assert_int_equal(host_open(state), 0);
	host_map_add(&death_scratch, HOST_ARRAY, sizeof(struct tm_death_scratch), 4);
	memset((void *)(uintptr_t)code_gens, 0, sizeof(code_gens));
	memset(code, 0, sizeof(code));
	put(code + cfg_code_filename, (uintptr_t)filename);
	put(code + cfg_code_qualname, (uintptr_t)qualname);
	put(code + cfg_code_linetable, (uintptr_t)table);
	put_str(filename, "/srv/app.py");
	put_str(qualname, "Handler.get");
	memset(table + cfg_bytes_data, 0x5a, TABLE_ROOM);
	put_table(40);
	return 0;
}

static struct tm_death_scratch *areas(void)
{
	return (void *)host_map_of(&death_scratch)->values;
}

static void dies(void)
{
	death_record((uintptr_t)code);
}

static void names_and_table_are_copied(void **state)
{
	const struct tm_code_death *d = &areas()[0].rec;

	dies();
	assert_int_equal(host.ring_records, 1);
	assert_int_equal(d->code, (uintptr_t)code);
	assert_int_equal(d->code_len, cfg_code_bytes);
	assert_memory_equal(d->data, code, cfg_code_bytes);
	assert_int_equal(d->filename_len, 11);
	assert_memory_equal(d->data + cfg_code_bytes, "/srv/app.py", 11);
	assert_int_equal(d->qualname_len, 11);
	assert_memory_equal(d->data + cfg_code_bytes + 11, "Handler.get", 11);
	assert_int_equal(d->filename_kind, 1);
	assert_int_equal(d->table_len, 40);
	assert_int_equal(d->table_full_len, 40);
	assert_int_equal(d->hdr.len,
			 offsetof(struct tm_code_death, data) + cfg_code_bytes + 11 + 11 + 40);
	assert_int_equal(areas()[0].busy, 0);
	host_assert_only(TM_DROP_COUNT, 0);
}

static void a_long_line_table_is_cut_and_counted(void **state)
{
	put_table(TM_CODE_TABLE_MAX);
	dies();
	host_assert_only(TM_DROP_COUNT, 0);
	for (uint64_t i = 1; i <= 3; i++) {
		put_table(TM_CODE_TABLE_MAX + i);
		dies();
		assert_int_equal(areas()[0].rec.table_len, TM_CODE_TABLE_MAX);
		assert_int_equal(areas()[0].rec.table_full_len, TM_CODE_TABLE_MAX + i);
		host_assert_only(TM_DROP_CODE_LONG, i);
	}
	assert_int_equal(host.ring_records, 4);
}

static void every_way_to_lose_a_death_is_counted(void **state)
{
	host.ring_full = true;
	dies();
	host_assert_only(TM_DROP_CODE_DEATH, 1);
	host.ring_full = false;
	host.unreadable_lo = (uintptr_t)code;
	host.unreadable_hi = (uintptr_t)code + sizeof(code);
	dies();
	host_assert_only(TM_DROP_CODE_DEATH, 2);
	host.unreadable_lo = host.unreadable_hi = 0;
	for (int i = 0; i < 4; i++)
		areas()[i].busy = 1;
	dies();
	host_assert_only(TM_DROP_CODE_DEATH, 3);
	areas()[2].busy = 0;
	dies();
	host_assert_only(TM_DROP_CODE_DEATH, 3);
	assert_int_equal(host.ring_records, 1);
	/* What comes later says how many were lost before it. */
	assert_int_equal(areas()[2].rec.deaths_lost, 3);
	assert_int_equal(deaths_lost, 3);
}

/* Recorded or lost: the address belongs to another code object from here on. */
static void the_address_is_another_code_object_after_any_death(void **state)
{
	const __u64 key = (uintptr_t)code;
	const __u32 seen = 1;

	assert_int_equal(bpf_map_update_elem(&codes, &key, &seen, BPF_ANY), 0);
	dies();
	assert_null(bpf_map_lookup_elem(&codes, &key));
	assert_int_equal(code_gens[TM_CODE_GEN(key)], 1);
	host.ring_full = true;
	dies();
	assert_int_equal(code_gens[TM_CODE_GEN(key)], 2);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, host_close)
	const struct CMUnitTest tests[] = {
		TEST(names_and_table_are_copied),
		TEST(a_long_line_table_is_cut_and_counted),
		TEST(every_way_to_lose_a_death_is_counted),
		TEST(the_address_is_another_code_object_after_any_death),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
