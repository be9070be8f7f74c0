# SPDX-License-Identifier: GPL-2.0-or-later
"""What to break, and which tests must notice. Each old text occurs exactly once in its file."""
import collections

# How many may live, each with the reason why it changes nothing.
LIVED_MAX = 2

Mutation = collections.namedtuple("Mutation", "name file old new tests equal_because", defaults=("",))

MUTATIONS = [
    Mutation("series-checksum", "user/store/store_head.c",
             "if (!err && store_head_checksum(h) != h->checksum)",
             "if (0 && !err && store_head_checksum(h) != h->checksum)",
             ["store/test_store_damage"]),
    Mutation("meta-checksum", "user/store/store_meta.c",
             "if (!err && sum != (uint64_t)checksum)",
             "if (0 && !err && sum != (uint64_t)checksum)",
             ["store/test_store_damage"]),
    Mutation("failed-realloc", "bpf/alloc_libc.bpf.h",
             "if (call->old_addr && call->old_meta && !freed_old)",
             "if (0 && call->old_addr && call->old_meta && !freed_old)",
             ["integration/test_native.py"]),
]
