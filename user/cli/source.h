/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Input of the offline verbs: FILE or FILE@TIME, whichever of the known formats it is. */
#ifndef TM_CLI_SOURCE_H
#define TM_CLI_SOURCE_H

#include "store/store.h"

enum source_kind { SOURCE_STORE = 0, SOURCE_PICKLE = 1 };

struct source {
	enum source_kind kind;
	char *path;	     /* without @TIME; owned */
	struct store *store; /* the whole series; NULL for a pickle; owned */
	size_t index;	     /* of the snapshot, into store_entries() */
	struct snapshot
		*snapshot; /* the one that was asked for; owned; NULL from source_open_series() */
	const struct store_meta
		*meta; /* of the store; for a pickle what it holds, the rest unknown */
	struct store_meta pickle_meta;
	struct intern *strings; /* of the snapshot */
	bool own_strings;
};

/**
 * Open "FILE[@TIME]" and load its snapshot; without @TIME the last. TIME: see store_find(). A file whose
 * name holds an @ is found by its whole name first. Errors are logged and coded.
 * Returns: 0; as store_open(), store_find(), store_load(); -EMEDIUMTYPE (E312: neither a store nor a
 * pickle; the message names what it seems to be). Owns: *out.
 */
int source_open(const char *spec, struct source **out);
/* Open with a pool of strings (borrowed until source_close()), so that two sources share theirs. */
int source_open_in(const char *spec, struct intern *strings, struct source **out);
/** A series as a whole, nothing loaded: for leaks. A pickle is refused (E312). No @TIME. */
int source_open_series(const char *path, struct source **out);
void source_close(struct source *s);
DEFINE_CLEANUP(struct source *, source_close);

#endif
