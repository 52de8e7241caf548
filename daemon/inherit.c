/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/inherit.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "daemon/log.h"

/* By kind and index, so that each is found by halving. */
static int compare(const void *a, const void *b)
{
	const struct inherited *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind - y->kind;
	return (x->index > y->index) - (x->index < y->index);
}

/* The first of that name, or where it would be. */
size_t inherit_first(const struct inheritance *in, char kind, uint32_t index)
{
	const struct inherited key = { .kind = kind, .index = index };
	size_t lo = 0, hi = in->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (compare(&in->all[mid], &key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

void inherit_sort(struct inheritance *in)
{
	if (in->n)
		qsort(in->all, in->n, sizeof(*in->all), compare);
}

/* Those from @i on that have one name; and is any of them in use? */
static size_t same_name(const struct inheritance *in, size_t i, bool *ret_used)
{
	size_t end = i;

	*ret_used = false;
	for (; end < in->n && compare(&in->all[i], &in->all[end]) == 0; end++)
		*ret_used = *ret_used || in->all[end].fd < 0;
	return end;
}

/* What stays beside something in use cannot be told from it by name. */
unsigned inherit_drop_rest(struct inheritance *in, struct store *store)
{
	unsigned n = 0;
	bool used;

	for (size_t i = 0, end; i < in->n; i = end) {
		end = same_name(in, i, &used);
		for (size_t k = i; k < end; k++) {
			if (in->all[k].fd < 0)
				continue;
			log_line(used ? LOG_WARNING : LOG_DEBUG, NULL,
				 "%s: left over in the descriptor store",
				 in->all[k].name);
			tn_closep(&in->all[k].fd);
			n++;
		}
		if (!used)
			store_drop(store, in->all[i].name);
	}
	return n;
}
