/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Symbols of an ELF image: from the section table when there is one, else through PT_DYNAMIC, whose
 * hash tables tell how many symbols there are. Out: two sorted arrays, by address and by name.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/search.h"
#include "target/elf_parse.h"

/* Longer names are dropped: bounds what a file of overlapping strings can cost. */
#define NAME_MAX_LEN 16384
/* How many symbols symbol_at() looks back over for one that covers the address. */
#define LOOK_BACK     64
#define VERSYM_HIDDEN 0x8000 /* not the default version; LSB 5.0 "Symbol Version Table" */

enum rank { /* which of several symbols of one name is meant: the lower */
	    RANK_OLD_VERSION = 1,
	    RANK_SYMTAB = 2,
	    RANK_LOCAL = 4,
};

struct entry {
	struct elf_symbol sym;
	unsigned rank;
};

struct entries {
	struct entry *items;
	size_t count, cap;
};

struct table { /* one symbol table, as ranges of the file */
	const uint8_t *syms;
	size_t count;
	struct cursor strings;
	const uint8_t *versions; /* u16 each, or NULL */
	unsigned rank;
};

/* A copy of the first len bytes that lives as long as the image; NULL: dropped or out of memory. */
static const char *own_name(struct elf_priv *priv, const char *s, size_t len, size_t file_len)
{
	if (priv->name_bytes + len + 1 > file_len)
		return NULL;
	char **grown = array_grow(priv->names, &priv->name_cap, priv->name_count + 1,
				  sizeof(*priv->names));

	if (!grown)
		return NULL;
	priv->names = grown;
	char *copy = strndup(s, len);

	if (!copy)
		return NULL;
	priv->names[priv->name_count++] = copy;
	priv->name_bytes += len + 1;
	return copy;
}

/* The name at off, without the "@VERSION" that linkers append in .symtab. */
static const char *symbol_name(struct elf_image *img, const struct table *t, uint32_t off)
{
	if (off == 0 || off >= t->strings.len)
		return NULL;
	const char *name = (const char *)t->strings.data + off;
	size_t max = t->strings.len - off;
	const char *end = memchr(name, '\0', max < NAME_MAX_LEN ? max : NAME_MAX_LEN);

	if (!end || end == name)
		return NULL;
	const char *at = memchr(name, '@', (size_t)(end - name));

	if (!at || at == name)
		return name;
	return own_name(img->priv, name, (size_t)(at - name), img->len);
}

static bool wanted_type(unsigned type)
{
	return type == STT_NOTYPE || type == STT_OBJECT || type == STT_FUNC || type == STT_TLS ||
	       type == STT_GNU_IFUNC;
}

static int add_table(struct elf_image *img, const struct table *t, struct entries *all)
{
	size_t count = t->count < SYMBOLS_MAX ? t->count : SYMBOLS_MAX;

	for (size_t i = 1; i < count; i++) { /* 0 is the undefined symbol */
		Elf64_Sym sym;

		memcpy(&sym, t->syms + i * sizeof(sym), sizeof(sym));
		unsigned type = ELF64_ST_TYPE(sym.st_info);

		if (sym.st_shndx == SHN_UNDEF || sym.st_shndx == SHN_ABS || !wanted_type(type))
			continue;
		const char *name = symbol_name(img, t, sym.st_name);

		if (!name)
			continue;
		struct entry e = {.rank = t->rank,
				  .sym = {.vaddr = sym.st_value,
					  .len = sym.st_size,
					  .name = name,
					  .type = (uint8_t)type,
					  .local = ELF64_ST_BIND(sym.st_info) == STB_LOCAL}};
		if (e.sym.local)
			e.rank |= RANK_LOCAL;
		if (t->versions) {
			uint16_t version;

			memcpy(&version, t->versions + i * sizeof(version), sizeof(version));
			if (version & VERSYM_HIDDEN)
				e.rank |= RANK_OLD_VERSION;
		}
		struct entry *grown =
			array_grow(all->items, &all->cap, all->count + 1, sizeof(*all->items));

		if (!grown)
			return -ENOMEM;
		all->items = grown;
		all->items[all->count++] = e;
	}
	return 0;
}

/* The version table that belongs to symbol section idx, when it has an entry for each symbol. */
static const uint8_t *find_versions(const struct elf_image *img, size_t idx, size_t symbol_count)
{
	for (size_t i = 0; i < img->priv->section_count; i++) {
		const struct elf_section *s = &img->priv->sections[i];

		if (s->type == SHT_GNU_versym && s->link == idx &&
		    s->len / sizeof(uint16_t) >= symbol_count)
			return elf_image_at(img, s->file_off, s->len);
	}
	return NULL;
}

static int add_sections(struct elf_image *img, struct entries *all, bool *found_dynsym)
{
	const struct elf_priv *priv = img->priv;
	bool seen[2] = {false, false}; /* a file has at most one of each; more is an attack */

	for (size_t i = 0; i < priv->section_count; i++) {
		const struct elf_section *s = &priv->sections[i];
		bool dynamic = s->type == SHT_DYNSYM;

		if ((!dynamic && s->type != SHT_SYMTAB) || s->link >= priv->section_count ||
		    seen[dynamic])
			continue;
		const struct elf_section *str = &priv->sections[s->link];

		if (str->type != SHT_STRTAB)
			continue;
		struct table t = {.syms = elf_image_at(img, s->file_off, s->len),
				  .count = s->len / sizeof(Elf64_Sym),
				  .strings = elf_image_cursor(img, str->file_off, str->len),
				  .rank = dynamic ? 0 : RANK_SYMTAB};

		if (!t.syms || !cursor_ok(&t.strings))
			return priv->load_err;
		if (dynamic)
			t.versions = find_versions(img, i, t.count);
		seen[dynamic] = true;
		int err = add_table(img, &t, all);

		if (err)
			return err;
	}
	*found_dynsym = seen[1];
	return 0;
}

struct dynamic_tables { /* values of the DT_ entries we need; 0 = absent */
	uint64_t symtab, strtab, strsz, hash, gnu_hash;
};

static void read_dynamic(const struct elf_image *img, struct dynamic_tables *d)
{
	struct cursor c =
		elf_image_cursor(img, img->priv->dynamic.file_off, img->priv->dynamic.len);

	while (cursor_left(&c) >= sizeof(Elf64_Dyn)) {
		uint64_t tag = cursor_u64(&c);
		uint64_t value = cursor_u64(&c);

		if (tag == DT_NULL)
			break;
		if (tag == DT_SYMTAB)
			d->symtab = value;
		else if (tag == DT_STRTAB)
			d->strtab = value;
		else if (tag == DT_STRSZ)
			d->strsz = value;
		else if (tag == DT_HASH)
			d->hash = value;
		else if (tag == DT_GNU_HASH)
			d->gnu_hash = value;
	}
}

/* All bytes of the file from vaddr to the end of its segment. */
static struct cursor rest_of_segment(const struct elf_image *img, uint64_t vaddr)
{
	for (size_t i = 0; i < img->segment_count; i++) {
		const struct elf_segment *s = &img->segments[i];

		if (vaddr >= s->vaddr && vaddr - s->vaddr < s->file_len) {
			uint64_t skip = vaddr - s->vaddr;

			return elf_image_cursor(img, s->file_off + skip, s->file_len - skip);
		}
	}
	return cursor_init("", 0);
}

/*
 * The count from DT_GNU_HASH: the chain of the highest bucket ends at the last symbol. Table:
 * {nbuckets, symoffset, bloom_size, bloom_shift, u64 bloom[], u32 buckets[], u32 chain[]}; the low
 * bit of a chain value ends it. Source: glibc elf/dl-lookup.c.
 */
static uint64_t gnu_hash_count(const struct elf_image *img, uint64_t vaddr)
{
	struct cursor c = rest_of_segment(img, vaddr);
	uint32_t buckets = cursor_u32(&c);
	uint32_t first = cursor_u32(&c);
	uint32_t bloom = cursor_u32(&c);
	uint32_t last = 0;

	cursor_skip(&c, 4 + (size_t)bloom * 8);
	for (uint32_t i = 0; i < buckets && cursor_ok(&c); i++) {
		uint32_t head = cursor_u32(&c);

		last = head > last ? head : last;
	}
	if (!cursor_ok(&c) || last < first)
		return first;
	cursor_skip(&c, (size_t)(last - first) * 4);
	while (cursor_ok(&c) && !(cursor_u32(&c) & 1))
		last++;
	return (uint64_t)last + 1;
}

static uint64_t sysv_hash_count(const struct elf_image *img, uint64_t vaddr)
{
	struct cursor c = rest_of_segment(img, vaddr);

	cursor_skip(&c, 4); /* nbucket; nchain is the number of symbols */
	return cursor_u32(&c);
}

static int add_dynamic(struct elf_image *img, struct entries *all)
{
	struct dynamic_tables d = {0};

	read_dynamic(img, &d);
	if (!d.symtab || !d.strtab)
		return 0;
	struct cursor syms = rest_of_segment(img, d.symtab);
	struct cursor strings = rest_of_segment(img, d.strtab);
	uint64_t count = 0;

	if (d.hash)
		count = sysv_hash_count(img, d.hash);
	else if (d.gnu_hash)
		count = gnu_hash_count(img, d.gnu_hash);
	if (count > syms.len / sizeof(Elf64_Sym))
		count = syms.len / sizeof(Elf64_Sym);
	if (d.strsz < strings.len)
		strings.len = d.strsz;
	struct table t = {.syms = syms.data, .count = count, .strings = strings};

	return add_table(img, &t, all);
}

static int by_address(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->sym.vaddr != y->sym.vaddr)
		return x->sym.vaddr < y->sym.vaddr ? -1 : 1;
	int order = strcmp(x->sym.name, y->sym.name);

	if (order)
		return order;
	return (x->rank > y->rank) - (x->rank < y->rank);
}

static int by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int order = strcmp(x->sym.name, y->sym.name);

	if (order)
		return order;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return (x->sym.vaddr > y->sym.vaddr) - (x->sym.vaddr < y->sym.vaddr);
}

/* .symtab repeats .dynsym: keep the better ranked of equal (address, name). Needs: sorted. */
static void drop_duplicates(struct entries *all)
{
	size_t kept = 0;

	for (size_t i = 0; i < all->count; i++) {
		const struct elf_symbol *s = &all->items[i].sym;

		if (kept && all->items[kept - 1].sym.vaddr == s->vaddr &&
		    strcmp(all->items[kept - 1].sym.name, s->name) == 0)
			continue;
		all->items[kept++] = all->items[i];
	}
	all->count = kept;
}

static struct elf_symbol *copy_symbols(const struct entries *all)
{
	struct elf_symbol *out = calloc(all->count, sizeof(*out));

	for (size_t i = 0; out && i < all->count; i++)
		out[i] = all->items[i].sym;
	return out;
}

/* Both arrays. The names are in the file, but for the copies. */
static int charge_symbols(struct elf_image *img, size_t count)
{
	size_t bytes = 2 * count * sizeof(struct elf_symbol) + img->priv->name_bytes;

	if (!elf_image_charge(bytes))
		return -EFBIG;
	img->priv->charged += bytes;
	return 0;
}

int elf_symtab_load(struct elf_image *img)
{
	struct entries all = {0};
	bool found_dynsym = false;
	int err = add_sections(img, &all, &found_dynsym);

	if (!err && !found_dynsym)
		err = add_dynamic(img, &all);
	if (!err)
		err = charge_symbols(img, all.count);
	if (!err && all.count) {
		qsort(all.items, all.count, sizeof(*all.items), by_address);
		drop_duplicates(&all);
		img->symbols = copy_symbols(&all);
		qsort(all.items, all.count, sizeof(*all.items), by_name);
		img->by_name = copy_symbols(&all);
		img->symbol_count = all.count;
		if (!img->symbols || !img->by_name)
			err = -ENOMEM;
	}
	free(all.items);
	return err;
}

const struct elf_symbol *elf_image_symbol(const struct elf_image *img, const char *name)
{
	size_t at = first_index(i, img->symbol_count, strcmp(img->by_name[i].name, name) >= 0);

	if (at == img->symbol_count || strcmp(img->by_name[at].name, name) != 0)
		return NULL;
	return &img->by_name[at];
}

static bool in_same_code(const struct elf_image *img, uint64_t a, uint64_t b)
{
	for (size_t i = 0; i < img->segment_count; i++) {
		const struct elf_segment *s = &img->segments[i];

		if (s->exec && a >= s->vaddr && a - s->vaddr < s->mem_len)
			return b >= s->vaddr && b - s->vaddr < s->mem_len;
	}
	return false;
}

const struct elf_symbol *elf_image_symbol_at(const struct elf_image *img, uint64_t vaddr)
{
	size_t after = first_index(i, img->symbol_count, img->symbols[i].vaddr > vaddr);
	bool nearest = true;

	for (size_t i = after; i > 0 && after - i < LOOK_BACK; i--) {
		const struct elf_symbol *s = &img->symbols[i - 1];

		if (s->type != STT_FUNC && s->type != STT_GNU_IFUNC)
			continue;
		if (s->len ? vaddr - s->vaddr < s->len
			   : nearest && in_same_code(img, s->vaddr, vaddr))
			return s;
		nearest = false;
	}
	return NULL;
}
