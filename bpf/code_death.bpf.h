/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Code objects that die: their names are copied while the memory is still whole. */
#ifndef TM_BPF_CODE_DEATH
#define TM_BPF_CODE_DEATH

#include "maps.bpf.h"
#include "stack_intern.bpf.h"
#include "stats.bpf.h"

static __always_inline struct tm_death_scratch *death_claim(void)
{
	__u32 i;

	for (i = 0; i < 4; i++) {
		__u32 idx = i;
		struct tm_death_scratch *s = bpf_map_lookup_elem(&death_scratch, &idx);

		if (s && !__sync_lock_test_and_set(&s->busy, 1))
			return s;
	}
	return NULL;
}

/*
 * Copy the code points of a compact str to d->data[at]. Returns the bytes copied (cut at TM_CODE_STR_MAX);
 * *kind is the bytes a code point, 0: not readable.
 */
static __always_inline __u32 str_copy(struct tm_code_death *d, __u32 at, __u64 str, __u8 *kind)
{
	__u64 len = 0, data;
	__u32 state = 0, n;

	*kind = 0;
	if (bpf_probe_read_user(&len, sizeof(len), (void *)(str + cfg_str_length)) ||
	    bpf_probe_read_user(&state, sizeof(state), (void *)(str + cfg_str_state)))
		return 0;
	/* struct state, Include/cpython/unicodeobject.h: interned, then kind:3 compact:1 ascii:1 */
	state >>= cfg_str_kind_shift;
	if (!(state & 8))
		return 0;
	data = str + (state & 16 ? cfg_str_ascii_data : cfg_str_compact_data);
	len *= state & 7;
	n = len > TM_CODE_STR_MAX ? TM_CODE_STR_MAX : (__u32)len;
	/*
	 * Bound the 32-bit half as well: clang bounds the 64-bit value and uses its lower half, which
	 * the verifier would otherwise take for unbounded.
	 */
	asm volatile("" : "+r"(n));
	if (n > TM_CODE_STR_MAX)
		return 0;
	if (n && bpf_probe_read_user(d->data + at, n, (void *)data))
		return 0;
	*kind = state & 7;
	return n;
}

/*
 * Copy the object, its names and its line table, in this order. Returns: false when nothing could
 * be read.
 */
static __always_inline bool death_fill(struct tm_code_death *d, __u64 code)
{
	__u64 table, table_len = 0;
	__u32 at = cfg_code_bytes, n;

	if (at > TM_CODE_OBJ_MAX || bpf_probe_read_user(d->data, at, (void *)code))
		return false;
	d->code = code;
	d->code_len = at;
	table = *(__u64 *)(d->data + cfg_code_linetable);
	d->filename_len =
		str_copy(d, at, *(__u64 *)(d->data + cfg_code_filename), &d->filename_kind);
	n = d->filename_len;
	if (n > TM_CODE_STR_MAX) /* through memory the verifier loses the bound */
		return false;
	at += n;
	d->qualname_len =
		str_copy(d, at, *(__u64 *)(d->data + cfg_code_qualname), &d->qualname_kind);
	n = d->qualname_len;
	if (n > TM_CODE_STR_MAX)
		return false;
	at += n;
	if (bpf_probe_read_user(&table_len, sizeof(table_len), (void *)(table + cfg_bytes_size)))
		table_len = 0;
	d->table_full_len = (__u32)table_len;
	n = table_len > TM_CODE_TABLE_MAX ? TM_CODE_TABLE_MAX : (__u32)table_len;
	if (n < table_len)
		tm_drop(TM_DROP_CODE_LONG);
	if (n && bpf_probe_read_user(d->data + at, n, (void *)(table + cfg_bytes_data)))
		n = 0;
	d->table_len = n;
	d->hdr.len = __builtin_offsetof(struct tm_code_death, data) + at + n;
	return true;
}

/*
 * Count before the memory is freed, so that the record of a later code object at this address
 * includes this loss.
 */
static __always_inline void death_lost(void)
{
	__sync_fetch_and_add(&deaths_lost, 1);
	tm_drop(TM_DROP_CODE_DEATH);
}

static __always_inline void death_record(__u64 code)
{
	struct tm_death_scratch *s;
	__u32 len;

	bpf_map_delete_elem(&codes, &code);
	__sync_fetch_and_add(&code_gens[TM_CODE_GEN(code)], 1);
	s = death_claim();
	if (!s) {
		death_lost();
		return;
	}
	s->rec.hdr.type = TM_REC_CODE_DEATH;
	s->rec.deaths_lost = deaths_lost;
	if (death_fill(&s->rec, code)) {
		len = s->rec.hdr.len;
		if (len > sizeof(s->rec) || bpf_ringbuf_output(&ring, &s->rec, len, ring_flags()))
			death_lost();
	} else {
		death_lost();
	}
	__sync_lock_test_and_set(&s->busy, 0);
}

#endif
