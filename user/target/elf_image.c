/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening an ELF file and locating its parts: header, segments, sections, build-id.
 * A malformed section table is treated as absent (stripped files have none); a malformed header or program
 * table makes the file -EBADMSG. Layouts: <elf.h>, System V ABI chapter 4 and 5.
 */
#include "target/elf_image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/timed_io.h"
#include "target/elf_parse.h"

#define FILE_MAX ((uint64_t)4 << 30)
/*
 * Copy the parts that are read into a reserved range as large as the file instead of mapping it, because touching
 * an mmap of a truncated file is SIGBUS, and running targets do get their binaries replaced.
 */
#define BLOCK_BYTES ((size_t)16 << 10)

static size_t kept_bytes; /* of all images: blocks and symbols */
static uint64_t refused_loads;

static bool range_inside(uint64_t off, uint64_t len, uint64_t total)
{
	return off <= total && len <= total - off;
}

bool elf_image_charge(size_t bytes)
{
	if (bytes > ELF_KEPT_MAX - kept_bytes) {
		refused_loads++;
		return false;
	}
	kept_bytes += bytes;
	return true;
}

uint64_t elf_images_refused(void)
{
	return refused_loads;
}

static bool block_is_loaded(const struct elf_priv *priv, size_t block)
{
	return priv->loaded[block / 8] & 1u << block % 8;
}

/* Read blocks from..to, none of which is loaded. Past the end of a file that shrank they are zero. */
static int load_blocks(const struct elf_image *img, size_t from, size_t to)
{
	struct elf_priv *priv = img->priv;
	size_t off = from * BLOCK_BYTES, end = to * BLOCK_BYTES;
	uint8_t *at = (uint8_t *)(uintptr_t)img->data + off;

	if (end > img->len)
		end = img->len;
	if (!elf_image_charge((to - from) * BLOCK_BYTES))
		return -EFBIG;
	priv->charged += (to - from) * BLOCK_BYTES;
	if (mprotect(at, end - off, PROT_READ | PROT_WRITE))
		return -errno;
	ssize_t got = timed_pread(priv->fd, at, end - off, off, TIMED_IO_MS);

	if (got < 0)
		return (int)got;
	for (size_t i = from; i < to; i++)
		priv->loaded[i / 8] |= (uint8_t)(1u << i % 8);
	return 0;
}

/* One that failed fails again without a try: each would take the time limit. */
static int load_range(const struct elf_image *img, uint64_t off, uint64_t len)
{
	struct elf_priv *priv = img->priv;
	size_t end = (size_t)((off + len + BLOCK_BYTES - 1) / BLOCK_BYTES);

	for (size_t i = (size_t)(off / BLOCK_BYTES); !priv->load_err && i < end; i++) {
		size_t to = i;

		while (to < end && !block_is_loaded(priv, to))
			to++;
		if (to > i)
			priv->load_err = load_blocks(img, i, to);
		i = to;
	}
	return priv->load_err;
}

const uint8_t *elf_image_at(const struct elf_image *img, uint64_t off, uint64_t len)
{
	if (!range_inside(off, len, img->len))
		return NULL;
	/* Without: the bytes of a caller (fuzzing), or of elf_image_open_bytes(). */
	if (img->priv && img->priv->loaded && len && load_range(img, off, len))
		return NULL;
	return img->data + off;
}

struct cursor elf_image_cursor(const struct elf_image *img, uint64_t off, uint64_t len)
{
	const uint8_t *at = elf_image_at(img, off, len);
	struct cursor c = cursor_init(at ? (const void *)at : "", at ? (size_t)len : 0);

	c.bad = !at;
	return c;
}

/* Only what the kernel would run: 64-bit little-endian x86-64, an executable or a shared object. */
static int parse_header(struct elf_image *img, Elf64_Ehdr *hdr)
{
	const uint8_t *at = elf_image_at(img, 0, sizeof(*hdr));

	if (!at)
		return img->priv->load_err ? img->priv->load_err : -EBADMSG;
	memcpy(hdr, at, sizeof(*hdr));
	if (memcmp(hdr->e_ident, ELFMAG, SELFMAG) != 0 || hdr->e_ident[EI_CLASS] != ELFCLASS64 ||
	    hdr->e_ident[EI_DATA] != ELFDATA2LSB || hdr->e_machine != EM_X86_64)
		return -EBADMSG;
	if (hdr->e_type != ET_EXEC && hdr->e_type != ET_DYN)
		return -EBADMSG;
	img->type = hdr->e_type;
	return 0;
}

static int add_segment(struct elf_image *img, const Elf64_Phdr *ph)
{
	if (ph->p_memsz > UINT64_MAX - ph->p_vaddr)
		return -EBADMSG;
	uint64_t len = ph->p_filesz < ph->p_memsz ? ph->p_filesz : ph->p_memsz;
	uint64_t off = ph->p_offset;

	/* A separate debug file keeps the table of the program but not its bytes. */
	if (!range_inside(off, len, img->len))
		off = len = 0;
	img->segments[img->segment_count++] = (struct elf_segment){
		.vaddr = ph->p_vaddr,
		.file_off = off,
		.file_len = len,
		.mem_len = ph->p_memsz,
		.exec = ph->p_flags & PF_X,
		.write = ph->p_flags & PF_W,
	};
	return 0;
}

/* Notes are {namesz, descsz, type, name, desc}, both parts padded to align. */
static void find_build_id(struct elf_image *img, uint64_t off, uint64_t len, uint64_t align)
{
	struct cursor c = elf_image_cursor(img, off, len);
	const uint32_t pad = align == 8 ? 8 : 4;

	while (img->build_id_len == 0 && cursor_left(&c) >= sizeof(Elf64_Nhdr)) {
		uint32_t name_len = cursor_u32(&c);
		uint32_t desc_len = cursor_u32(&c);
		uint32_t type = cursor_u32(&c);
		const uint8_t *name = cursor_bytes(&c, name_len);

		cursor_skip(&c, (pad - c.pos % pad) % pad);
		const uint8_t *desc = cursor_bytes(&c, desc_len);

		if (!cursor_ok(&c))
			return;
		if (type == NT_GNU_BUILD_ID && name_len == 4 && memcmp(name, "GNU", 4) == 0 &&
		    desc_len > 0 && desc_len <= BUILD_ID_MAX) {
			memcpy(img->build_id, desc, desc_len);
			img->build_id_len = desc_len;
		}
		size_t over = c.pos % pad;

		if (over && cursor_left(&c) >= pad - over)
			cursor_skip(&c, pad - over);
		else if (over)
			return;
	}
}

static int parse_segments(struct elf_image *img, const Elf64_Ehdr *hdr)
{
	const uint8_t *table =
		elf_image_at(img, hdr->e_phoff, (uint64_t)hdr->e_phnum * sizeof(Elf64_Phdr));

	if (hdr->e_phnum == 0 || hdr->e_phentsize != sizeof(Elf64_Phdr) || !table)
		return img->priv->load_err ? img->priv->load_err : -EBADMSG;
	img->segments = calloc(hdr->e_phnum, sizeof(*img->segments));
	if (!img->segments)
		return -ENOMEM;
	for (size_t i = 0; i < hdr->e_phnum; i++) {
		Elf64_Phdr ph;
		int err = 0;

		memcpy(&ph, table + i * sizeof(ph), sizeof(ph));
		if (ph.p_type == PT_LOAD)
			err = add_segment(img, &ph);
		else if (!range_inside(ph.p_offset, ph.p_filesz, img->len))
			continue;
		else if (ph.p_type == PT_NOTE)
			find_build_id(img, ph.p_offset, ph.p_filesz, ph.p_align);
		else if (ph.p_type == PT_DYNAMIC)
			img->priv->dynamic = (struct elf_dynamic){ph.p_offset, ph.p_filesz};
		if (err)
			return err;
	}
	return img->segment_count ? 0 : -EBADMSG;
}

/* Numbers of sections and of their name table; big ones are kept in section 0. False: no table. */
static bool section_counts(const struct elf_image *img, const Elf64_Ehdr *hdr, uint64_t *count,
			   uint64_t *names)
{
	Elf64_Shdr first;

	const uint8_t *at = hdr->e_shoff && hdr->e_shentsize == sizeof(first)
				    ? elf_image_at(img, hdr->e_shoff, sizeof(first))
				    : NULL;

	if (!at)
		return false;
	memcpy(&first, at, sizeof(first));
	*count = hdr->e_shnum ? hdr->e_shnum : first.sh_size;
	*names = hdr->e_shstrndx == SHN_XINDEX ? first.sh_link : hdr->e_shstrndx;
	return *count > 0 && *count <= (img->len - hdr->e_shoff) / sizeof(first);
}

static void add_section(struct elf_image *img, const Elf64_Shdr *sh, struct elf_section *out)
{
	*out = (struct elf_section){.name = "", .type = sh->sh_type, .link = sh->sh_link};
	if (sh->sh_type == SHT_NOBITS || !range_inside(sh->sh_offset, sh->sh_size, img->len)) {
		out->type = SHT_NULL;
		return;
	}
	out->vaddr = sh->sh_addr;
	out->file_off = sh->sh_offset;
	out->len = sh->sh_size;
}

static void name_sections(struct elf_image *img, const uint8_t *table, uint64_t names_idx)
{
	struct elf_priv *priv = img->priv;

	if (names_idx >= priv->section_count || priv->sections[names_idx].type != SHT_STRTAB)
		return;
	const struct elf_section *s = &priv->sections[names_idx];
	const struct cursor whole = elf_image_cursor(img, s->file_off, s->len);

	for (size_t i = 0; i < priv->section_count; i++) {
		Elf64_Shdr sh;
		struct cursor names = whole;

		memcpy(&sh, table + i * sizeof(sh), sizeof(sh));
		cursor_seek(&names, sh.sh_name);
		const char *name = cursor_str(&names);

		if (name)
			priv->sections[i].name = name;
	}
}

static int parse_sections(struct elf_image *img, const Elf64_Ehdr *hdr)
{
	struct elf_priv *priv = img->priv;
	uint64_t count = 0, names_idx = 0;

	if (!section_counts(img, hdr, &count, &names_idx) || count > SECTIONS_MAX)
		return 0;
	const uint8_t *table = elf_image_at(img, hdr->e_shoff, count * sizeof(Elf64_Shdr));

	if (!table)
		return priv->load_err;
	priv->sections = calloc(count, sizeof(*priv->sections));
	if (!priv->sections)
		return -ENOMEM;
	priv->section_count = count;

	for (size_t i = 0; i < count; i++) {
		Elf64_Shdr sh;

		memcpy(&sh, table + i * sizeof(sh), sizeof(sh));
		add_section(img, &sh, &priv->sections[i]);
		if (sh.sh_type == SHT_NOTE && img->build_id_len == 0 &&
		    priv->sections[i].type == SHT_NOTE)
			find_build_id(img, sh.sh_offset, sh.sh_size, sh.sh_addralign);
	}
	name_sections(img, table, names_idx);
	return 0;
}

static void build_id_to_hex(struct elf_image *img)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < img->build_id_len; i++) {
		img->build_id_hex[2 * i] = digits[img->build_id[i] >> 4];
		img->build_id_hex[2 * i + 1] = digits[img->build_id[i] & 15];
	}
}

static int parse_image(struct elf_image *img)
{
	Elf64_Ehdr hdr;
	int err = parse_header(img, &hdr);

	if (!err)
		err = parse_segments(img, &hdr);
	if (!err)
		err = parse_sections(img, &hdr);
	if (err)
		return err;
	build_id_to_hex(img);
	return elf_symtab_load(img);
}

static struct elf_image *new_image(void)
{
	struct elf_image *img = calloc(1, sizeof(*img));

	if (!img)
		return NULL;
	img->priv = calloc(1, sizeof(*img->priv));
	if (!img->priv) {
		free(img);
		return NULL;
	}
	img->priv->fd = -1;
	return img;
}

void elf_image_free(struct elf_image *img)
{
	if (!img)
		return;
	void *data = (void *)(uintptr_t)img->data;

	if (!img->priv->loaded)
		free(data);
	else if (data)
		munmap(data, img->len);
	if (img->priv->fd >= 0)
		close(img->priv->fd);
	kept_bytes -= img->priv->charged;
	free(img->priv->loaded);
	for (size_t i = 0; i < img->priv->name_count; i++)
		free(img->priv->names[i]);
	free(img->priv->names);
	free(img->priv->sections);
	free(img->priv);
	free(img->segments);
	free(img->symbols);
	free(img->by_name);
	free(img);
}

/* Address space for the file, without access until load_blocks(). */
static int reserve_range(int fd, size_t len, struct elf_image *img)
{
	struct elf_priv *priv = img->priv;

	priv->loaded = calloc(len / BLOCK_BYTES / 8 + 1, 1);
	priv->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (!priv->loaded)
		return -ENOMEM;
	if (priv->fd < 0)
		return -errno;
	void *data = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (data == MAP_FAILED)
		return -errno;
	img->data = data;
	img->len = len;
	return 0;
}

int elf_image_open_fd(int fd, struct elf_image **out)
{
	struct statx st;

	/* From the bytes read at open, because a dead server would block another read. */
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_SIZE | STATX_UID,
		  &st) < 0)
		return -errno;
	if (!S_ISREG(st.stx_mode) || st.stx_size < sizeof(Elf64_Ehdr))
		return -EBADMSG;
	if (st.stx_size > FILE_MAX)
		return -EFBIG;
	_cleanup_(elf_image_freep) struct elf_image *img = new_image();

	if (!img)
		return -ENOMEM;
	img->owner = st.stx_uid;
	int err = reserve_range(fd, (size_t)st.stx_size, img);

	if (!err)
		err = parse_image(img);
	if (err)
		return err;
	*out = take_ptr(img);
	return 0;
}

int elf_image_open(const char *path, struct elf_image **out)
{
	struct timed_file file;
	int err = timed_open(path, TIMED_IO_MS, &file);

	if (err)
		return err;
	err = elf_image_open_fd(file.fd, out);
	close(file.fd);
	return err;
}

int elf_image_open_bytes(const void *data, size_t len, struct elf_image **out)
{
	_cleanup_(elf_image_freep) struct elf_image *img = new_image();
	uint8_t *copy = malloc(len ? len : 1);

	if (!img || !copy) {
		free(copy);
		return -ENOMEM;
	}
	if (len)
		memcpy(copy, data, len);
	img->data = copy;
	img->len = len;
	img->owner = geteuid();
	int err = parse_image(img);

	if (err)
		return err;
	*out = take_ptr(img);
	return 0;
}

bool elf_image_section(const struct elf_image *img, const char *name, uint64_t *vaddr,
		       uint64_t *file_off, uint64_t *len)
{
	for (size_t i = 0; i < img->priv->section_count; i++) {
		const struct elf_section *s = &img->priv->sections[i];

		if (s->type == SHT_NULL || strcmp(s->name, name) != 0)
			continue;
		*vaddr = s->vaddr;
		*file_off = s->file_off;
		*len = s->len;
		return true;
	}
	return false;
}

bool elf_image_file_off(const struct elf_image *img, uint64_t vaddr, uint64_t *file_off)
{
	for (size_t i = 0; i < img->segment_count; i++) {
		const struct elf_segment *s = &img->segments[i];

		if (vaddr >= s->vaddr && vaddr - s->vaddr < s->file_len) {
			*file_off = s->file_off + (vaddr - s->vaddr);
			return true;
		}
	}
	return false;
}

bool elf_image_vaddr(const struct elf_image *img, uint64_t file_off, uint64_t *vaddr)
{
	for (size_t i = 0; i < img->segment_count; i++) {
		const struct elf_segment *s = &img->segments[i];

		if (file_off >= s->file_off && file_off - s->file_off < s->file_len) {
			*vaddr = s->vaddr + (file_off - s->file_off);
			return true;
		}
	}
	return false;
}

const uint8_t *elf_image_bytes(const struct elf_image *img, uint64_t vaddr, size_t len)
{
	for (size_t i = 0; i < img->segment_count; i++) {
		const struct elf_segment *s = &img->segments[i];

		if (vaddr >= s->vaddr && range_inside(vaddr - s->vaddr, len, s->file_len))
			return elf_image_at(img, s->file_off + (vaddr - s->vaddr), len);
	}
	return NULL;
}
