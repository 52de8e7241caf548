/* SPDX-License-Identifier: BSD-2-Clause */
#include "pool/trim.h"

#include "pool/row.h"
#include "pool/run.h"

struct trim {
	struct tn_pool *pool;
	const struct tn_lane_ref *l;
	int (*punch)(void *arg, uint64_t page, uint64_t n);
	void *arg;
};

/* Free pages [page, page + n) of one row, if they still are. */
static int trim_run(const struct trim *t, uint64_t page, uint64_t n)
{
	int r, e;

	if (!tn_run_take_at(t->pool, t->l, TN_OP_RUN, page, n))
		return 0;
	r = t->punch(t->arg, page, n);
	e = tn_run_drop(t->pool, t->l, TN_OP_RUN, page, n);
	return r < 0 ? r : e;
}

/* The free pages of one row among [from, to). */
static int trim_row(const struct trim *t, uint64_t from, uint64_t to)
{
	uint64_t base = from & ~(uint64_t)(TN_ROW_PAGES - 1), free;
	unsigned at, n;
	int r = 0;

	free = ~tn_row_map(t->pool, from / TN_ROW_PAGES) &
	       tn_mask(from % TN_ROW_PAGES, (unsigned)(to - from));
	while (free && r == 0) {
		at = (unsigned)__builtin_ctzll(free);
		n = ~(free >> at) ? (unsigned)__builtin_ctzll(~(free >> at))
				  : TN_ROW_PAGES;
		r = trim_run(t, base + at, n);
		free &= ~tn_mask(at, n);
	}
	return r;
}

int tn_trim(struct tn_pool *pool, const struct tn_lane_ref *l, uint64_t from,
	    uint64_t to, int (*punch)(void *arg, uint64_t page, uint64_t n),
	    void *arg)
{
	const struct trim t = { pool, l, punch, arg };
	uint64_t next;
	int r = 0;

	for (; from < to && r == 0; from = next) {
		next = tn_min64(to, (from | (TN_ROW_PAGES - 1)) + 1);
		r = trim_row(&t, from, next);
	}
	return r;
}
