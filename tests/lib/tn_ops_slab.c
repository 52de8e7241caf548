/* SPDX-License-Identifier: BSD-2-Clause */
/* Slabs: claims and returns of slots, their birth and their end. */
#include <stdlib.h>
#include <string.h>

#include "pool/cache.h"
#include "pool/slabhint.h"
#include "tests/lib/tn_ops.h"

/* So that there is something that must stay. */
static void furnish(struct tn_world *w)
{
	tn_ops_run_of(w, TN_LIVING, 3);
	tn_ops_object(w, TN_LIVING, 5, TN_TAG_HELD | TN_LIVING);
	tn_ops_object(w, TN_LIVING, 5, TN_TAG_POOL);
}

static unsigned slots_of(struct tn_world *w, const struct tn_deed *op)
{ return w->heap.shapes[op->class].slots; }

static uint64_t page_of(struct tn_world *w, unsigned i,
			const struct tn_deed *op)
{
	uint64_t page = tn_pool_off(&w->heap.pool, w->slots[i].p);

	page >>= TN_PAGE_SHIFT;
	return page & ~0ULL << w->heap.shapes[op->class].order;
}

/* Slots of a client who holds them, and that the operation does not see. */
static void held_by(struct tn_world *w, uint32_t client, unsigned class,
		    unsigned n)
{
	struct tn_lane_ref l = tn_ops_lane(w, client);

	tn_ops_claim(w, &l, class, n);
	while (n--)
		tn16_store_relaxed(w->slots[--w->n].tag,
				   (uint16_t)(TN_TAG_HELD | client));
}

/* Claims */

static void act_claim(struct tn_world *w, const struct tn_deed *op)
{
	w->board->result = tn_slab_claim(&w->heap.pool, &w->dead, op->class,
					 &w->cursor, w->slots, op->n);
}

static void claim_first(struct tn_world *w, const struct tn_deed *op)
{
	furnish(w);
	w->heap.pool.policy = op->policy ? op->policy : TN_FIRST_FIT;
}

static void claim_at_cursor(struct tn_world *w, const struct tn_deed *op)
{
	furnish(w);
	act_claim(w, op);
}

static void claim_at_hint(struct tn_world *w, const struct tn_deed *op)
{
	furnish(w);
	held_by(w, TN_LIVING, op->class, 3);
}

static void claim_the_rest(struct tn_world *w, const struct tn_deed *op)
{
	furnish(w);
	held_by(w, TN_LIVING, op->class, slots_of(w, op) - op->n);
}

static void claim_past_full(struct tn_world *w, const struct tn_deed *op)
{
	furnish(w);
	held_by(w, TN_LIVING, op->class, slots_of(w, op) - op->n);
	act_claim(w, op); /* the cursor is at a full slab now */
	held_by(w, TN_LIVING, op->class, 1);
}

static void claim_last_slab(struct tn_world *w, const struct tn_deed *op)
{
	furnish(w);
	tn_ops_leave_pages(w, 1ULL << w->heap.shapes[op->class].order);
}

static void claim_when_full(struct tn_world *w, const struct tn_deed *op)
{
	claim_the_rest(w, op);
	act_claim(w, op);
	memset(&w->cursor, 0, sizeof(w->cursor));
	tn_ops_leave_pages(w, 0);
}

static void claim_unhinted(struct tn_world *w, const struct tn_deed *op)
{
	struct tn_pool *p = &w->heap.pool;

	claim_at_hint(w, op);
	tn_ops_leave_pages(w, 0);
	memset((void *)p->hints, 0, TN_N_CLASSES * p->geo.hint_words * 8);
	memset((void *)p->areas[0].partial, 0, 64);
}

/* The count says @extra more than there are. */
static void count_up(struct tn_world *w, uint64_t page, unsigned class,
		     unsigned extra)
{
	tn64_add_acq_rel(&w->heap.pool.pages[page].slab,
			 extra * TN_SLAB_ONE_FREE);
	tn_hint_set(&w->heap.pool, page, class);
}

static void claim_miscounted(struct tn_world *w, const struct tn_deed *op)
{
	furnish(w);
	held_by(w, TN_LIVING, op->class, slots_of(w, op) - 2);
	count_up(w, page_of(w, 0, op), op->class, 5);
}

static void claim_miscounted_full(struct tn_world *w, const struct tn_deed *op)
{
	furnish(w);
	held_by(w, TN_LIVING, op->class, slots_of(w, op));
	count_up(w, page_of(w, 0, op), op->class, 2);
}

static void claim_stale_hints(struct tn_world *w, const struct tn_deed *op)
{
	furnish(w);
	held_by(w, TN_LIVING, op->class, slots_of(w, op));
	tn_hint_set(&w->heap.pool, page_of(w, 0, op), op->class);
	tn_hint_set(&w->heap.pool, 200, op->class);
}

/* Returns */

static void act_return(struct tn_world *w, const struct tn_deed *op)
{
	w->board->result = tn_slab_return(&w->heap.pool, &w->dead, op->class,
					  w->slots, w->n, &w->cursor);
}

static void return_some(struct tn_world *w, const struct tn_deed *op)
{
	furnish(w);
	held_by(w, TN_LIVING, op->class, 2);
	tn_ops_claim(w, &w->dead, op->class, op->n);
}

static void return_to_full(struct tn_world *w, const struct tn_deed *op)
{
	furnish(w);
	held_by(w, TN_LIVING, op->class, slots_of(w, op) - op->n);
	tn_ops_claim(w, &w->dead, op->class, op->n);
}

static void return_all(struct tn_world *w, const struct tn_deed *op)
{
	furnish(w);
	tn_ops_claim(w, &w->dead, op->class, op->n);
}

static void return_and_keep(struct tn_world *w, const struct tn_deed *op)
{
	return_all(w, op);
	w->cursor.page_plus_1 = (uint32_t)page_of(w, 0, op) + 1;
}

static void return_to_many(struct tn_world *w, const struct tn_deed *op)
{
	furnish(w);
	tn_ops_claim(w, &w->dead, op->class, slots_of(w, op) * 2);
	held_by(w, TN_LIVING, op->class, 2);
	tn_ops_claim(w, &w->dead, op->class, 5);
}

static void return_to_leased(struct tn_world *w, const struct tn_deed *op)
{
	uint64_t page, word;

	return_some(w, op);
	page = page_of(w, 0, op);
	word = tn64_load_relaxed(&w->heap.pool.pages[page].slab);
	/* another thread of the dying client is at a claim there */
	tn_heap_lane(&w->heap, TN_DEAD, 5);
	tn64_store_relaxed(&w->heap.pool.pages[page].slab,
			   TN_SLAB_WORD(TN_SLAB_LEASED, op->class, TN_DEAD, 5,
					TN_SLAB_FREE(word)));
}

static void return_miscounted(struct tn_world *w, const struct tn_deed *op)
{
	return_some(w, op);
	count_up(w, page_of(w, 0, op), op->class, 2);
}

static void act_retire(struct tn_world *w, const struct tn_deed *op)
{
	w->board->result = tn_slab_retire(&w->heap.pool, &w->dead, op->class,
					  &w->cursor);
}

static void retire_empty(struct tn_world *w, const struct tn_deed *op)
{
	return_and_keep(w, op);
	act_return(w, op);
}

static void retire_used(struct tn_world *w, const struct tn_deed *op)
{
	retire_empty(w, op);
	held_by(w, TN_LIVING, op->class, 1);
}

/* With a cache of runs: the pages of an empty slab of 16 KiB are kept, and
 * those of the next slab are. */

static void return_and_keep_pages(struct tn_world *w, const struct tn_deed *op)
{
	return_all(w, op);
	tn_ops_keep_runs(w, op->pages << TN_PAGE_SHIFT);
}

static void claim_kept_pages(struct tn_world *w, const struct tn_deed *op)
{
	return_and_keep_pages(w, op);
	act_return(w, op);
	tn_ops_need(w->cache.n[4] == 1);
	w->n = 0;
}

/* Slabs that are a lane's own */

static void disown_used(struct tn_world *w, const struct tn_deed *op)
{
	furnish(w);
	act_claim(w, op);
	tn_ops_need(TN_SLAB_CLIENT(tn64_load_relaxed(&w->heap.pool.pages[
			w->cursor.page_plus_1 - 1].slab)) == TN_DEAD);
}

static void claim_past_own(struct tn_world *w, const struct tn_deed *op)
{
	furnish(w);
	held_by(w, TN_LIVING, op->class, 8);
}

static void claim_own_of_another(struct tn_world *w, const struct tn_deed *op)
{
	claim_past_own(w, op);
	tn_ops_leave_pages(w, 0);
}

/* Caches */

static void cache_claim(struct tn_world *w, const struct tn_deed *op)
{
	int class = tn_cache_make(&w->heap.pool, "jobs", 100, 64);

	(void)op;
	furnish(w);
	tn_ops_need(class > 0);
	w->n = (unsigned)class;
	tn_ops_object(w, TN_LIVING, w->n, TN_TAG_HELD | TN_LIVING);
}

static void act_cache_claim(struct tn_world *w, const struct tn_deed *op)
{
	w->board->result = tn_slab_claim(&w->heap.pool, &w->dead, w->n,
					 &w->cursor, w->slots, op->n);
}

static void cache_none(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	furnish(w);
}

static void cache_there(struct tn_world *w, const struct tn_deed *op)
{
	furnish(w);
	tn_ops_need(tn_cache_make(&w->heap.pool, op->pages ? "mail" : "jobs",
				  100, 64) > 0);
}

static void act_cache_make(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = tn_cache_make(&w->heap.pool, "jobs", 100, 64);
}

/* Who comes next finds it, or makes it whole. */
static const char *cache_is_whole(struct tn_world *w, const struct tn_deed *op)
{
	int class = tn_cache_make(&w->heap.pool, "jobs", 100, 64);

	(void)op;
	if (class < (int)TN_CLASS_CACHE)
		return "the cache cannot be made any more";
	if (strcmp(w->heap.pool.caches[class - (int)TN_CLASS_CACHE].name,
		   "jobs") != 0)
		return "the cache has another name";
	return NULL;
}

#define CLAIM(edge_, setup_, ...) \
	{ .name = "slab claim", .edge = edge_, .setup = setup_, \
	  .act = act_claim, __VA_ARGS__ }
#define RETURN(edge_, setup_, ...) \
	{ .name = "slab return", .edge = edge_, .setup = setup_, \
	  .act = act_return, __VA_ARGS__ }

const struct tn_deed tn_ops_slab[] = {
	CLAIM("new slab", claim_first, .class = 3, .n = 4),
	CLAIM("new slab, 64 slots", claim_first, .class = 3, .n = 64),
	CLAIM("new slab, of order 6", claim_first, .class = 71, .n = 2),
	CLAIM("new slab, best fit", claim_first, .class = 23, .n = 4,
	      .policy = TN_BEST_FIT),
	CLAIM("new slab, worst fit", claim_first, .class = 23, .n = 4,
	      .policy = TN_WORST_FIT),
	CLAIM("at the cursor", claim_at_cursor, .class = 3, .n = 4),
	CLAIM("at the cursor, 64 slots", claim_at_cursor, .class = 3, .n = 64),
	CLAIM("a hinted slab", claim_at_hint, .class = 3, .n = 4),
	CLAIM("the last slots of a slab", claim_the_rest, .class = 23, .n = 3),
	CLAIM("past a full slab", claim_past_full, .class = 23, .n = 4),
	CLAIM("last slab of the pool", claim_last_slab, .class = 23, .n = 4),
	CLAIM("pool full", claim_when_full, .class = 23, .n = 4),
	CLAIM("pool full, hints lost", claim_unhinted, .class = 23, .n = 4,
	      .odd = TN_ODD_HINTS),
	CLAIM("count too high", claim_miscounted, .class = 23, .n = 4,
	      .odd = TN_ODD_COUNTS),
	CLAIM("count too high, none", claim_miscounted_full, .class = 23,
	      .n = 4, .odd = TN_ODD_COUNTS),
	CLAIM("stale hints", claim_stale_hints, .class = 23, .n = 4),
	CLAIM("new slab of kept pages", claim_kept_pages, .class = 3, .n = 4,
	      .pages = 8),
	CLAIM("new slab, its own", claim_first, .class = 3, .n = 8, .mib = 16),
	CLAIM("its own slab", claim_at_cursor, .class = 3, .n = 8, .mib = 16),
	CLAIM("the last of its own", claim_past_full, .class = 3, .n = 8,
	      .mib = 16),
	CLAIM("past another's own", claim_past_own, .class = 3, .n = 8,
	      .mib = 16),
	CLAIM("another's own, in need", claim_own_of_another, .class = 3,
	      .n = 8, .mib = 16),
	RETURN("one", return_some, .class = 3, .n = 1),
	RETURN("64", return_some, .class = 3, .n = 64),
	RETURN("to a full slab", return_to_full, .class = 23, .n = 2),
	RETURN("last slot: slab ends", return_all, .class = 3, .n = 1),
	RETURN("last slot, of order 6", return_all, .class = 71, .n = 1),
	RETURN("last slots: slab ends", return_all, .class = 23, .n = 5),
	RETURN("last slot of one kept", return_and_keep, .class = 3, .n = 1),
	RETURN("to three slabs, two end", return_to_many, .class = 23),
	RETURN("to a leased slab", return_to_leased, .class = 3, .n = 3),
	RETURN("count too high", return_miscounted, .class = 23, .n = 3,
	       .odd = TN_ODD_COUNTS),
	RETURN("last slot: pages kept", return_and_keep_pages, .class = 3,
	       .n = 1, .pages = 8),
	RETURN("last slot: no room", return_and_keep_pages, .class = 3,
	       .n = 1, .pages = 3),
	{ .name = "slab retire", .edge = "its own, in use",
	  .setup = disown_used, .act = act_retire, .class = 3, .n = 8,
	  .mib = 16 },
	{ .name = "slab retire", .edge = "empty", .setup = retire_empty,
	  .act = act_retire, .class = 3, .n = 1 },
	{ .name = "slab retire", .edge = "in use", .setup = retire_used,
	  .act = act_retire, .class = 3, .n = 1 },
	{ .name = "cache claim", .edge = "a hinted slab",
	  .setup = cache_claim, .act = act_cache_claim, .n = 4 },
	{ .name = "cache make", .edge = "new", .setup = cache_none,
	  .act = act_cache_make, .after = cache_is_whole },
	{ .name = "cache make", .edge = "there already", .setup = cache_there,
	  .act = act_cache_make, .after = cache_is_whole },
	{ .name = "cache make", .edge = "beside another", .setup = cache_there,
	  .act = act_cache_make, .pages = 1, .after = cache_is_whole },
	{ .name = NULL },
};
