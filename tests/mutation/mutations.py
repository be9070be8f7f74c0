# SPDX-License-Identifier: GPL-2.0-or-later
"""What to break, and which tests must notice. Each old text occurs exactly once in its file."""
import collections

# How many may live, each with the reason why it changes nothing.
LIVED_MAX = 2

Mutation = collections.namedtuple("Mutation", "name file old new tests lives_because", defaults=("",))


def lost(reason, file, old, test):
    """A loss that is no longer counted."""
    return Mutation("loss-" + reason, file, old, old.replace("tm_drop(TM_DROP_" + reason.upper().replace("-", "_") + ")",
                                                            "(void)0"), [test])


BPF_ALLOC = "bpf/test_allocators"
BPF_TABLES = "bpf/test_tables"
BPF_WALK = "bpf/test_walk"
BPF_DEATH = "bpf/test_code_death"
DRAIN = "drain/test_drain"
LEARN = "probe/test_learn"
LIST = "alloc/test_probe_list"

LOSSES = [
    lost("ring-full", "bpf/stack_intern.bpf.h", "tm_drop(TM_DROP_RING_FULL);", BPF_TABLES),
    lost("stack-table", "bpf/stack_intern.bpf.h", "tm_drop(TM_DROP_STACK_TABLE);", BPF_TABLES),
    lost("code-table", "bpf/stack_intern.bpf.h", "tm_drop(TM_DROP_CODE_TABLE);", BPF_WALK),
    lost("scratch-busy", "bpf/stack_python.bpf.h", "tm_drop(TM_DROP_SCRATCH_BUSY);", BPF_TABLES),
    lost("tstate-read", "bpf/stack_python.bpf.h", "tm_drop(TM_DROP_TSTATE_READ);", BPF_WALK),
    lost("frame-read", "bpf/stack_python.bpf.h", "tm_drop(TM_DROP_FRAME_READ);", BPF_WALK),
    lost("pool-dir", "bpf/pools.bpf.h", "tm_drop(TM_DROP_POOL_DIR);", BPF_TABLES),
    lost("slots", "bpf/pools.bpf.h", "\t\tif (!ref) {\n\t\t\ttm_drop(TM_DROP_SLOTS);", BPF_TABLES),
    lost("pool-bad", "bpf/pools.bpf.h", "tm_drop(TM_DROP_POOL_BAD);", BPF_ALLOC),
    lost("pool-read", "bpf/alloc_pymalloc.bpf.h",
         "tm_drop(TM_DROP_POOL_READ);\n\t\treturn;\n\t}\n\tif (!block)", BPF_ALLOC),
    lost("live-table", "bpf/live_table.bpf.h", "tm_drop(TM_DROP_LIVE_TABLE);", BPF_TABLES),
    lost("nested", "bpf/alloc_libc.bpf.h", "tm_drop(TM_DROP_NESTED);", BPF_ALLOC),
    lost("code-death", "bpf/code_death.bpf.h", "tm_drop(TM_DROP_CODE_DEATH);", BPF_DEATH),
    lost("code-long", "bpf/code_death.bpf.h", "tm_drop(TM_DROP_CODE_LONG);", BPF_DEATH),
]

BPF = [
    Mutation("failed-realloc", "bpf/alloc_libc.bpf.h",
             "if (call->old_addr && call->old_meta && !freed_old)",
             "if (0 && call->old_addr && call->old_meta && !freed_old)", [BPF_ALLOC]),
    Mutation("stale-record", "bpf/live_table.bpf.h", "\tlive_remove(addr);\n", "", [BPF_TABLES]),
    Mutation("nested-call", "bpf/alloc_libc.bpf.h", "if (call->sp && sp < call->sp)", "if (0)", [BPF_ALLOC]),
    Mutation("inner-result", "bpf/alloc_libc.bpf.h",
             "|| ctx->sp + 8 * TM_COOKIE_IDX(cookie) != call->sp)", ")", [BPF_ALLOC]),
    Mutation("least-size", "bpf/alloc_libc.bpf.h",
             "\tif (call->bytes < run_min_bytes)\n\t\treturn;\n", "", [BPF_ALLOC]),
    Mutation("pools-bytes", "bpf/alloc_pymalloc.bpf.h",
             "stack_count(stack, run_pools_mode ? cfg_pool_bytes : class_bytes(szidx));",
             "stack_count(stack, class_bytes(szidx));", [BPF_ALLOC]),
    Mutation("pop-without-stack", "bpf/alloc_pymalloc.bpf.h",
             "\t*slot = stack ? stack | run_epoch << TM_MARK_SHIFT : 0;",
             "\tif (stack)\n\t\t*slot = stack | run_epoch << TM_MARK_SHIFT;", [BPF_ALLOC]),
    Mutation("epoch-of-pop", "bpf/alloc_pymalloc.bpf.h", "bool fresh = was >> TM_MARK_SHIFT == run_epoch;",
             "bool fresh = was >> TM_MARK_SHIFT;", [BPF_ALLOC]),
    Mutation("marks-while-detached", "bpf/alloc_pymalloc.bpf.h",
             "if (!(TM_COOKIE_FLAGS(cookie) & TM_NEWREF_KEEP)) {", "{", [BPF_ALLOC]),
    Mutation("counted-twice", "bpf/alloc_pymalloc.bpf.h",
             "if (stack && (!(was & TM_MARK_MASK) || (was & TM_STACK_ID_MASK) != stack))", "if (stack)", [BPF_ALLOC]),
    Mutation("old-slots", "bpf/pools.bpf.h", "__builtin_memset(c, 0, sizeof(*c));", "(void)c;", [BPF_TABLES]),
    Mutation("emptier-bucket", "bpf/live_table.bpf.h",
             "if (bucket_taken_ways(a) > 1 && bucket_taken_ways(b) < bucket_taken_ways(a)) {", "if (0) {",
             [BPF_TABLES]),
    Mutation("hash-without-deaths", "bpf/stack_python.bpf.h", "instr ^ code_gen(code)", "instr", [BPF_WALK]),
    Mutation("cut-stack", "bpf/stack_python.bpf.h",
             "\t\tif (n >= cfg_frames + 1 || n >= TM_FRAMES_WALK) {\n\t\t\ts->rec.truncated = 1;",
             "\t\tif (n >= cfg_frames + 1 || n >= TM_FRAMES_WALK) {", [BPF_WALK]),
    Mutation("exit-of-group", "bpf/proc_events.bpf.h",
             "proc_state.exit_code = flags & TM_SIGNAL_GROUP_EXIT", "proc_state.exit_code = 0",
             ["integration/test_endings.py -k kernel_knows_it and last-thread"]),
    Mutation("vfork-shares", "bpf/share_watch.bpf.h", "(flags & (TM_CLONE_VM | TM_CLONE_VFORK | TM_CLONE_THREAD))",
             "(flags & (TM_CLONE_VM | TM_CLONE_THREAD))", ["integration/test_identity.py -k memory_shared"]),
]

DRAINING = [
    Mutation("pools-amount", "user/drain/drain.c", "book_small(&d->next, id, p->class_bytes, p->ref_count);",
             "book_small(&d->next, id, p->class_bytes, p->blocks);", [DRAIN]),
    Mutation("pools-empty", "user/drain/drain.c", "\tif (!blocks)\n\t\treturn;\n", "", [DRAIN]),
    Mutation("pools-class", "user/drain/drain.c", "e && TM_DIR_SZIDX(e->key) == p->szidx ? pool_slot_at",
             "e ? pool_slot_at", [DRAIN]),
    Mutation("epoch-mark-kept", "user/drain/drain.c", "if (mark && mark != d->epoch)", "if (0 && mark != d->epoch)",
             [DRAIN]),
    Mutation("epoch-mark-of-now", "user/drain/drain.c", "if (mark && mark != d->epoch)", "if (mark)", [DRAIN]),
    Mutation("lost-is-recorded", "user/drain/drain.c", "d->next.missed_small++;", "d->next.recorded_small++;", [DRAIN]),
    Mutation("moving-is-missed", "user/drain/drain.c", "for (uint32_t w = 0; !p->moving && w <",
             "for (uint32_t w = 0; w <", [DRAIN]),
    Mutation("way-being-filled", "user/drain/drain.c", "if (addr <= 1 ||", "if (!addr ||", [DRAIN]),
    Mutation("cut-in-the-heap", "user/drain/drain.c",
             "\t\tsize_t left = d->pool_count - at;\n\n\t\tif (cancel_asked(&d->cancel))",
             "\t\tsize_t left = d->pool_count - at;\n\n\t\tif (0)", [DRAIN]),
    Mutation("cut-in-the-table", "user/drain/drain.c", "if (b % CANCEL_BUCKETS == 0 && cancel_asked(&d->cancel))",
             "if (0)", [DRAIN]),
    Mutation("census-sweep", "user/drain/drain.c", "\tcensus_sweep(d->census);\n", "", [DRAIN]),
    Mutation("census-sweep-round", "user/drain/census.c", "if (c->entries[i].round != c->round)", "if (0)",
             ["drain/test_census"]),
    Mutation("census-of-moving", "user/drain/census.c", "!pool->moving && i < e->words", "i < e->words",
             ["drain/test_census"]),
    Mutation("held-id-in-use", "user/drain/stack_ids.c", "\t\tif (!used) {\n", "\t\tif (1) {\n",
             ["drain/test_stack_ids"]),
    Mutation("pool-in-two-levels", "user/drain/late_blocks.c",
             "if (bpf_session_pool(v->session, TM_DIR_POOL(e->key)) != e)", "if (0)", ["drain/test_late_blocks"]),
    Mutation("more-than-held", "user/drain/held_memory.c", "if (small > room || all >", "if (all >",
             ["drain/test_held_memory"]),
]

BUDGET = [
    Mutation("budget-factor", "user/trace/ledger.c", "earned = l->overhead * own,", "earned = 2 * l->overhead * own,",
             ["trace/test_ledger"]),
    Mutation("budget-overspent", "user/trace/ledger.c", "return l->probes_live && l->balance_ns < l->reserve_ns;",
             "return l->probes_live && l->balance_ns < 0;", ["trace/test_ledger"]),
    Mutation("budget-of-children", "user/trace/ledger.c", "\tl->balance_ns -= span->cost_ns + span->other_ns;",
             "\tl->balance_ns -= span->cost_ns;", ["trace/test_ledger"]),
    Mutation("budget-saved", "user/trace/ledger.c", "\tif (l->balance_ns > most)\n\t\tl->balance_ns = most;\n", "",
             ["trace/test_ledger"]),
    Mutation("budget-return", "user/trace/ledger.c", "now_ns - l->gone_since_ns >= l->wait_ns &&", "now_ns &&",
             ["trace/test_ledger"]),
    Mutation("unfollowed-comes-back", "user/trace/unfollowed.c", "return a < b ? a : b;", "return a > b ? a : b;",
             ["trace/test_unfollowed"]),
    Mutation("unfollowed-malloc", "user/trace/unfollowed.c", "m->bytes = malloc_only ? t->malloc_bytes : t->bytes;",
             "m->bytes = t->bytes;", ["trace/test_unfollowed"]),
]

TRACE = [
    Mutation("count-of-snapshots", "user/trace/session.c", "s->delivered_all >= p->count)", "s->delivered_all > p->count)",
             ["integration/test_endings.py -k as_many_reports"]),
    Mutation("nothing-measured", "user/trace/session.c", "if (gone && !s->delivered_all)", "if (0 && gone)",
             ["integration/test_record.py -k nothing_measured"],
             "E301 is logged on the same way and has exit status 3 itself; what is left is a recording whose only "
             "snapshot met a locked file for 10 s"),
    Mutation("ended-is-no-failure", "user/trace/session.c", "if (gone && !s->delivered_all)", "if (gone)",
             ["integration/test_endings.py -k kernel_knows_it and status"]),
    Mutation("early-warnings", "user/trace/session.c", "\t\ts->held[s->held_count++] =", "\t\ts->held[0] =",
             ["integration/test_errors.py -k before_the_header"]),
    Mutation("skipped-reports", "user/trace/session.c", "for (; s->next_ns <= now; s->skipped++)",
             "for (; s->next_ns <= now;)", ["integration/test_endings.py -k came_too_late"]),
    Mutation("report-without-reader", "user/trace/session.c", "\tif (err == -EPIPE)\n\t\treturn 0;\n", "",
             ["integration/test_report.py -k closed_pipe"]),
    Mutation("cut-by-signal", "user/trace/capture_snapshot.c",
             "return cancel_asked(c->cancel) || memory_is_leaving(c);", "return memory_is_leaving(c);",
             ["integration/test_endings.py -k cuts_a_long_report"]),
    Mutation("second-signal", "user/trace/stop_signals.c", "} else if (now - first_ns > SAME_MS * MS_NS) {",
             "} else if (0 && now) {", ["integration/test_endings.py -k second_signal"]),
    Mutation("exec-seen", "user/trace/target_end.c", "\tif (p.exec_ns) {", "\tif (0) {",
             ["integration/test_situations.py -k exec_of_the_same and system"]),
    Mutation("freed-stacks", "user/trace/capture_snapshot.c", "return c->keep_freed ? add_freed(c, s) : 0;", "return 0;",
             ["integration/test_record.py -k all_freed"]),
]

PROBES = [
    Mutation("role-of-spec", "user/alloc/probe_list.c", "if (!(s->roles & role) || s->part & away", "if (s->part & away",
             [LIST]),
    Mutation("part-away", "user/alloc/probe_list.c", "|| s->part & away ||", "||", [LIST]),
    Mutation("address-twice", "user/alloc/probe_list.c", "is_gone(choice, s) || batch_has(&b, s->offset))",
             "is_gone(choice, s))", [LIST]),
    Mutation("gap-in-choices", "user/alloc/probe_list.c", "s.choice = ++choices;", "choices = s.choice;",
             ["alloc/test_probe_filter"]),
    Mutation("learn-unproven", "user/probe/learn.c", "l->gone[i] = c->spec->may_go && !c->reuses &&",
             "l->gone[i] = !c->reuses &&", [LEARN]),
    Mutation("learn-known-unproven", "user/probe/learn.c", "l->gone[i] = s->may_go && is_listed(",
             "l->gone[i] = is_listed(", [LEARN]),
    Mutation("learn-from-few", "user/probe/learn.c", "(known || (fresh >= FRESH_ENOUGH && !reuse));", "(known || !reuse);",
             [LEARN]),
    Mutation("learn-re-use", "user/probe/learn.c", "c->reuses |= reuse > REUSE_NOISE;", "", [LEARN]),
    Mutation("learn-old-counts", "user/probe/learn.c", "\tmark_base(l);\n\tl->window = true;\n",
             "\tl->window = true;\n", [LEARN]),
    Mutation("learn-epoch", "user/probe/learn.c", "\t\treturn err;\n\tl->epoch = l->epoch % 15 + 1;",
             "\t\treturn err;\n\tl->epoch = l->epoch + 1;", [LEARN]),
    Mutation("learn-resume", "user/probe/learn.c", "int64_t now_ns)\n{\n\tl->epoch = l->epoch % 15 + 1;",
             "int64_t now_ns)\n{", [LEARN]),
    Mutation("growth-of-glibc", "user/alloc/libc.c",
             "\t\treturn PROBE_EXACT;\n\treturn PROBE_EXACT | PROBE_GROWTH;", "\t\treturn PROBE_EXACT | PROBE_GROWTH;\n"
             "\treturn PROBE_EXACT | PROBE_GROWTH;", [LIST]),
    Mutation("free-list-count", "user/alloc/heap_reader.c", "out->moving = live != h.ref_count;", "(void)live;",
             ["alloc/test_heap_reader"]),
]

FILES = [
    Mutation("cache-proof", "user/sites/site_cache.c", "if (!err && !proof_agrees(s, &found))", "if (0)",
             ["sites/test_site_cache"]),
    Mutation("cache-owner", "user/sites/text_id.c", "\thash_u64(&c, img->owner);\n", "", ["sites/test_site_cache"]),
    Mutation("cache-writable", "user/sites/cache_file.c", "&& !(st.st_mode & (S_IWGRP | S_IWOTH));", ";",
             ["sites/test_site_cache"]),
    Mutation("series-checksum", "user/store/store_head.c", "if (!err && store_head_checksum(h) != h->checksum)",
             "if (0 && !err && store_head_checksum(h) != h->checksum)", ["store/test_store_damage"]),
    Mutation("meta-checksum", "user/store/store_meta.c", "if (!err && sum != (uint64_t)checksum)",
             "if (0 && !err && sum != (uint64_t)checksum)", ["store/test_store_damage"]),
]

TARGET = [
    Mutation("exec-of-same-file", "user/target/target.c",
             "if (t->start_stack && ps.start_stack && t->start_stack != ps.start_stack)", "if (0)",
             ["target/test_target"]),
    Mutation("main-thread-gone", "user/target/target_task.c", "\tt->access->tid = found;\n\treturn true;",
             "\treturn false;", ["target/test_target_task"]),
    Mutation("blocked-reads-end", "user/target/target_memory.c",
             "return t->blocked && t->blocked->count >= BLOCKS_MAX;", "return false;", ["target/test_blocked_reads"]),
    Mutation("blocked-range", "user/target/target_memory.c",
             "if (from < b->ranges[i].to && to > b->ranges[i].from)", "if (0)", ["target/test_blocked_reads"]),
]

TEXT = [
    Mutation("bidi-isolates", "user/base/text.c", "|| (cp >= 0x2066 && cp <= 0x2069);", ";", ["base/test_text"]),
    Mutation("c1-controls", "user/base/text.c", "(cp >= 0x7f && cp < 0xa0)", "cp == 0x7f", ["base/test_text"]),
    Mutation("cursor-bound", "user/base/cursor.c", "n > c->len - c->pos", "n > c->len", ["base/test_cursor"]),
    Mutation("top-order", "user/analyze/stat_order.c", "(&h, 0), arg) < 0) {", "(&h, 0), arg) > 0) {",
             ["analyze/test_stat_order"]),
    Mutation("top-heap", "user/analyze/stat_order.c", "\t\t\t\tsift_down(&h, 0);\n", "", ["analyze/test_stat_order"]),
]

MUTATIONS = LOSSES + BPF + DRAINING + BUDGET + TRACE + PROBES + FILES + TARGET + TEXT
