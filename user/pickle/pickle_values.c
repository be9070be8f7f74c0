/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The stack, the memo and the containers of the pickle machine. Every index is checked here. */
#include "pickle/pickle_values.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"

int pickle_values_init(struct pickle_values *v, struct snapshot *snapshot, struct pickle_info *info)
{
	*v = (struct pickle_values){.snapshot = snapshot, .info = info};
	v->names = intern_new();
	v->traceback_index = idmap_new();
	v->sum_index = idmap_new();
	if (!v->names || !v->traceback_index || !v->sum_index ||
	    intern_str(v->names, "traces", &v->name_traces) ||
	    intern_str(v->names, "_traces", &v->name_traces_inner) ||
	    intern_str(v->names, "traceback_limit", &v->name_limit) ||
	    intern_str(v->names, "<unknown>", &v->name_unknown)) {
		pickle_values_release(v);
		return -ENOMEM;
	}
	return 0;
}

void pickle_values_release(struct pickle_values *v)
{
	intern_free(v->names);
	idmap_free(v->traceback_index);
	idmap_free(v->sum_index);
	free(v->stack);
	free(v->memo);
	free(v->lists);
	free(v->dicts);
	free(v->frames);
	free(v->tracebacks);
	free(v->sums);
	*v = (struct pickle_values){0};
}

int pickle_fault(struct pickle_values *v, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(v->info->reason, sizeof(v->info->reason), fmt, ap);
	va_end(ap);
	return err;
}

int pickle_push(struct pickle_values *v, struct pvalue value)
{
	struct pvalue *stack;

	if (v->stack_count >= PICKLE_STACK_MAX)
		return pickle_fault(v, -EFBIG, "more than %u values at once", PICKLE_STACK_MAX);
	stack = array_grow(v->stack, &v->stack_cap, v->stack_count + 1, sizeof(*stack));
	if (!stack)
		return -ENOMEM;
	v->stack = stack;
	stack[v->stack_count++] = value;
	return 0;
}

/* The top of the stack; NULL: there is none, or a mark. */
static struct pvalue *top_of(const struct pickle_values *v)
{
	if (!v->stack_count || v->stack[v->stack_count - 1].kind == PV_MARK)
		return NULL;
	return &v->stack[v->stack_count - 1];
}

static int missing_value(struct pickle_values *v)
{
	return pickle_fault(v, -EBADMSG, "a value is missing");
}

int pickle_top(struct pickle_values *v, struct pvalue **top)
{
	struct pvalue *value = top_of(v);

	if (!value)
		return missing_value(v);
	*top = value;
	return 0;
}

int pickle_pop(struct pickle_values *v, struct pvalue *value)
{
	const struct pvalue *top = top_of(v);

	if (!top)
		return missing_value(v);
	*value = *top;
	v->stack_count--;
	return 0;
}

int pickle_pop_mark(struct pickle_values *v, const struct pvalue **items, size_t *count)
{
	size_t mark = v->stack_count;

	while (mark && v->stack[mark - 1].kind != PV_MARK)
		mark--;
	if (!mark)
		return pickle_fault(v, -EBADMSG, "a mark is missing");
	*items = v->stack + mark;
	*count = v->stack_count - mark;
	v->stack_count = mark - 1;
	return 0;
}

int pickle_pop_tuple(struct pickle_values *v, size_t n)
{
	for (size_t i = 1; i <= n; i++) {
		if (v->stack_count < i || v->stack[v->stack_count - i].kind == PV_MARK)
			return missing_value(v);
	}
	v->stack_count -= n;
	return pickle_push_tuple(v, v->stack + v->stack_count, n);
}

int pickle_push_list(struct pickle_values *v)
{
	struct plist *lists;

	if (v->list_count >= PICKLE_NESTS_MAX)
		return pickle_fault(v, -EFBIG, "more than %u lists", PICKLE_NESTS_MAX);
	lists = array_grow(v->lists, &v->list_cap, v->list_count + 1, sizeof(*lists));
	if (!lists)
		return -ENOMEM;
	v->lists = lists;
	lists[v->list_count] = (struct plist){0};
	return pickle_push(v, (struct pvalue){.kind = PV_LIST, .id = (uint32_t)v->list_count++});
}

int pickle_push_dict(struct pickle_values *v)
{
	struct pdict *dicts;

	if (v->dict_count >= PICKLE_NESTS_MAX)
		return pickle_fault(v, -EFBIG, "more than %u dicts", PICKLE_NESTS_MAX);
	dicts = array_grow(v->dicts, &v->dict_cap, v->dict_count + 1, sizeof(*dicts));
	if (!dicts)
		return -ENOMEM;
	v->dicts = dicts;
	dicts[v->dict_count] = (struct pdict){0};
	return pickle_push(v, (struct pvalue){.kind = PV_DICT, .id = (uint32_t)v->dict_count++});
}

int pickle_dict_set(struct pickle_values *v, const struct pvalue *dict, const struct pvalue *items,
		    size_t count)
{
	struct pdict *d;

	if (dict->kind != PV_DICT || count % 2)
		return pickle_fault(v, -EBADMSG, "keys and values for an object that is no dict");
	d = &v->dicts[dict->id];
	for (size_t i = 0; i < count; i += 2) {
		if (items[i].kind != PV_STR)
			continue;
		if (items[i].id == v->name_traces.v || items[i].id == v->name_traces_inner.v)
			d->traces = items[i + 1];
		else if (items[i].id == v->name_limit.v)
			d->limit = items[i + 1];
	}
	return 0;
}

static int count_trace(struct pickle_values *v, const struct pvalue *trace)
{
	struct psum *sum = &v->sums[trace->id];

	/* 2^63-1: what the rest of the program can still subtract. */
	if (trace->number > INT64_MAX - v->bytes)
		return pickle_fault(v, -EBADMSG, "the sizes add up to more than 2^63-1");
	v->bytes += trace->number;
	v->info->traces++;
	sum->bytes += trace->number;
	sum->blocks++;
	return 0;
}

int pickle_list_append(struct pickle_values *v, const struct pvalue *list,
		       const struct pvalue *items, size_t count)
{
	if (list->kind != PV_LIST)
		return pickle_fault(v, -EBADMSG, "elements go into something that is no list");
	for (size_t i = 0; i < count; i++) {
		int err;

		if (items[i].kind != PV_TRACE) {
			v->lists[list->id].other = true;
			v->lists[list->id].old |= items[i].kind == PV_OLD_TRACE;
			continue;
		}
		if (!v->trace_list)
			v->trace_list = list->id + 1;
		if (v->trace_list != list->id + 1)
			continue; /* not the snapshot's, since only the first list can be */
		err = count_trace(v, &items[i]);
		if (err)
			return err;
	}
	return 0;
}

int pickle_memo_put(struct pickle_values *v, uint64_t number)
{
	const struct pvalue *top = top_of(v);
	struct pvalue *memo;

	if (!top)
		return missing_value(v);
	if (number > v->memo_count)
		return pickle_fault(v, -EBADMSG, "memo %llu comes before %zu",
				    (unsigned long long)number, v->memo_count);
	if (number >= PICKLE_MEMO_MAX)
		return pickle_fault(v, -EFBIG, "more than %u objects", PICKLE_MEMO_MAX);
	memo = array_grow(v->memo, &v->memo_cap, (size_t)number + 1, sizeof(*memo));
	if (!memo)
		return -ENOMEM;
	v->memo = memo;
	memo[number] = *top;
	v->memo_count += number == v->memo_count;
	return 0;
}

int pickle_memo_get(struct pickle_values *v, uint64_t number)
{
	if (number >= v->memo_count)
		return pickle_fault(v, -EBADMSG, "memo %llu is not set",
				    (unsigned long long)number);
	return pickle_push(v, v->memo[number]);
}
