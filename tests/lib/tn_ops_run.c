/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs of pages, of all sizes, and what trim does with them. */
#include <string.h>

#include "pool/fit.h"
#include "pool/trim.h"
#include "tests/lib/tn_ops.h"

static void furnish(struct tn_world *w)
{
	tn_ops_run_of(w, TN_LIVING, 3);
	tn_ops_object(w, TN_LIVING, 5, TN_TAG_HELD | TN_LIVING);
}

/* Allocation */

static void alloc_first(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	furnish(w);
}

/* A page that has just been claimed becomes a run of TN_OWNER's. */
static void own_page(struct tn_world *w, const struct tn_lane_ref *l,
		     uint64_t page)
{
	struct tn_pool *p = &w->heap.pool;

	tn_touch(p, TN_OWNER, page);
	tn64_store_relaxed(&p->pages[page].word, TN_PAGE_RUN | 1 << 8);
	tn16_store_relaxed(&p->tags[tn_tag_index(page, 0)],
			   TN_TAG_HELD | TN_OWNER);
	tn_lane_commit(l);
}

/* Every other page is taken, of the first 40. */
static void alloc_among_holes(struct tn_world *w, const struct tn_deed *op)
{
	struct tn_lane_ref l = tn_ops_lane(w, TN_OWNER);

	(void)op;
	for (uint64_t page = 0; page < 40; page++) {
		tn_ops_need(tn_run_take_at(&w->heap.pool, &l, TN_OP_RUN, page,
					   1));
		if (page % 2) {
			tn_ops_need(tn_run_drop(&w->heap.pool, &l, TN_OP_RUN,
						page, 1) == 0);
			continue;
		}
		own_page(w, &l, page);
	}
	furnish(w);
}

static void alloc_last(struct tn_world *w, const struct tn_deed *op)
{
	furnish(w);
	tn_ops_leave_pages(w, op->pages);
}

static void alloc_none(struct tn_world *w, const struct tn_deed *op)
{
	furnish(w);
	tn_ops_leave_pages(w, op->pages - 1);
}

static void alloc_unhinted(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	furnish(w);
	tn8_store_relaxed(&w->heap.pool.fit[0], TN_FIT_FULL);
}

static void act_alloc(struct tn_world *w, const struct tn_deed *op)
{
	uint64_t page;

	w->board->result = tn_run_alloc(&w->heap.pool, &w->dead, op->pages,
					op->policy ? op->policy : TN_FIRST_FIT,
					&page);
}

/* A race lost: pages [16, 16 + op->pages) were free when they were looked
 * at, and page op->n has been taken since. */
static void race_lost(struct tn_world *w, const struct tn_deed *op)
{
	struct tn_lane_ref l = tn_ops_lane(w, TN_OWNER);

	furnish(w);
	tn_ops_need(tn_run_take_at(&w->heap.pool, &l, TN_OP_RUN, op->n, 1));
	own_page(w, &l, op->n);
}

static void act_race(struct tn_world *w, const struct tn_deed *op)
{
	w->board->result = tn_run_take_at(&w->heap.pool, &w->dead, TN_OP_RUN,
					  16, op->pages);
}

/* Free */

static void take_own(struct tn_world *w, const struct tn_deed *op)
{
	uint64_t off = tn_ops_run_of(w, TN_DEAD, op->pages);

	tn_ops_need(tn_object_find(&w->heap.pool, off, &w->obj) == 0);
}

static void free_own(struct tn_world *w, const struct tn_deed *op)
{
	furnish(w);
	take_own(w, op);
}

static void free_amid_full(struct tn_world *w, const struct tn_deed *op)
{
	free_own(w, op);
	tn_ops_leave_pages(w, 0);
}

static void release(struct tn_world *w,
		    int (*back)(struct tn_pool *pool,
				const struct tn_lane_ref *l, unsigned kind,
				uint64_t page, uint64_t n))
{
	w->board->result = tn_object_release(&w->heap.pool, &w->dead,
					     w->board->subject, &w->obj);
	if (w->board->result == 0)
		w->board->result = back(&w->heap.pool, &w->dead, TN_OP_RUN,
					w->obj.page, w->obj.pages);
}

static void act_free(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	release(w, tn_run_drop);
}

static void act_put(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	release(w, tn_run_put);
}

/* Runs that it keeps: of op->n pages each, three, in what would be room for
 * twenty pages. */
static void keeps_some(struct tn_world *w, const struct tn_deed *op)
{
	uint64_t off[3];

	furnish(w);
	tn_ops_keep_runs(w, 20 << TN_PAGE_SHIFT);
	for (unsigned i = 0; i < 3; i++)
		off[i] = tn_ops_run_of(w, TN_DEAD, op->n);
	for (unsigned i = 0; i < 3; i++) {
		tn_ops_need(tn_object_find(&w->heap.pool, off[i], &w->obj) ==
			    0);
		tn16_store_relaxed(w->obj.tag, TN_TAG_KEPT | TN_DEAD);
		tn_ops_need(tn_run_put(&w->heap.pool, &w->dead, TN_OP_RUN,
				       w->obj.page, op->n) == 0);
	}
	tn_ops_need(w->cache.n[op->n] == 3);
}

static void free_and_keeps(struct tn_world *w, const struct tn_deed *op)
{
	keeps_some(w, op);
	take_own(w, op);
}

static void act_flush(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	tn_run_flush(&w->heap.pool, &w->dead);
}

/* A row that trim claims and gives back, or an area. Memory that is taken from
 * behind it would be zeros, as what is known of free pages is anyhow. */
static int punch(void *arg, uint64_t at, uint64_t n)
{
	(void)arg;
	(void)at;
	(void)n;
	return 0;
}

static void act_trim(struct tn_world *w, const struct tn_deed *op)
{
	const struct tn_punch how = { punch, punch, NULL };

	w->board->result = tn_trim(&w->heap.pool, &w->dead, op->n,
				   op->n + op->pages, &how);
}

#define ALLOC(n_, ...) \
	{ .name = "run alloc", .act = act_alloc, .pages = n_, __VA_ARGS__ }
#define FREE(n_, ...) \
	{ .name = "run free", .act = act_free, .pages = n_, __VA_ARGS__ }

const struct tn_deed tn_ops_run[] = {
	ALLOC(1, .edge = "order 0", .setup = alloc_first),
	ALLOC(1, .edge = "order 0, last page", .setup = alloc_last),
	ALLOC(1, .edge = "order 0, none left", .setup = alloc_none),
	ALLOC(1, .edge = "order 0, hint too low", .setup = alloc_unhinted),
	ALLOC(1, .edge = "order 0, best, holes", .policy = TN_BEST_FIT,
	      .setup = alloc_among_holes),
	ALLOC(1, .edge = "order 0, worst, holes", .policy = TN_WORST_FIT,
	      .setup = alloc_among_holes),
	ALLOC(8, .edge = "order 3", .setup = alloc_first),
	ALLOC(8, .edge = "order 3, holes", .setup = alloc_among_holes),
	ALLOC(8, .edge = "order 3, last pages", .setup = alloc_last),
	ALLOC(8, .edge = "order 3, best fit", .policy = TN_BEST_FIT,
	      .setup = alloc_first),
	ALLOC(8, .edge = "order 3, worst fit", .policy = TN_WORST_FIT,
	      .setup = alloc_first),
	ALLOC(5, .edge = "exactly 5", .setup = alloc_first),
	ALLOC(5, .edge = "exactly 5, holes", .setup = alloc_among_holes),
	ALLOC(65, .edge = "exactly 65", .setup = alloc_first),
	ALLOC(65, .edge = "exactly 65, best fit", .policy = TN_BEST_FIT,
	      .mib = 4, .setup = alloc_first),
	ALLOC(512, .edge = "order 9", .mib = 8, .setup = alloc_first),
	ALLOC(700, .edge = "exactly 700", .mib = 8, .setup = alloc_first),
	ALLOC(700, .edge = "exactly 700, best fit", .policy = TN_BEST_FIT,
	      .mib = 8, .setup = alloc_first),
	ALLOC(1100, .edge = "exactly 1100", .mib = 16, .setup = alloc_first),
	{ .name = "run take", .edge = "race lost at row 0", .act = act_race,
	  .setup = race_lost, .pages = 200, .n = 20, .mib = 4 },
	{ .name = "run take", .edge = "race lost at row 2", .act = act_race,
	  .setup = race_lost, .pages = 200, .n = 150, .mib = 4 },
	{ .name = "run take", .edge = "race lost at row 7", .act = act_race,
	  .setup = race_lost, .pages = 600, .n = 500, .mib = 8 },
	FREE(1, .edge = "order 0", .setup = free_own),
	FREE(1, .edge = "order 0, pool full", .setup = free_amid_full),
	FREE(8, .edge = "order 3", .setup = free_own),
	FREE(5, .edge = "exactly 5", .setup = free_own),
	FREE(65, .edge = "exactly 65", .setup = free_own),
	FREE(65, .edge = "65, pool full", .setup = free_amid_full),
	FREE(512, .edge = "order 9", .setup = free_own, .mib = 8),
	FREE(700, .edge = "exactly 700", .setup = free_own, .mib = 8),
	FREE(1100, .edge = "exactly 1100", .setup = free_own, .mib = 16),
	ALLOC(5, .edge = "one that it keeps", .setup = keeps_some, .n = 5),
	ALLOC(65, .edge = "none that it keeps", .setup = keeps_some, .n = 5),
	{ .name = "run put", .edge = "is kept", .act = act_put,
	  .setup = free_and_keeps, .pages = 3, .n = 5 },
	{ .name = "run put", .edge = "others make way", .act = act_put,
	  .setup = free_and_keeps, .pages = 7, .n = 6 },
	{ .name = "run put", .edge = "too long", .act = act_put,
	  .setup = free_and_keeps, .pages = 70, .n = 6 },
	{ .name = "run flush", .edge = "three", .act = act_flush,
	  .setup = keeps_some, .n = 6 },
	{ .name = "trim", .edge = "a row", .act = act_trim,
	  .setup = alloc_first, .n = 64, .pages = 64 },
	{ .name = "trim", .edge = "part of a row", .act = act_trim,
	  .setup = alloc_first, .n = 100, .pages = 9 },
	{ .name = "trim", .edge = "taken meanwhile", .act = act_trim,
	  .setup = race_lost, .n = 70, .pages = 8 },
	{ .name = "trim", .edge = "an area", .act = act_trim, .mib = 8,
	  .setup = alloc_first, .n = 1024, .pages = 512 },
	{ .name = NULL },
};
