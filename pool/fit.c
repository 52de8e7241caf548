/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which hole a run goes into.
 *
 * A free block is an aligned run of clear bits in the page map: buddies need
 * no lists, and merging is no work, because two free halves are a free whole
 * as they stand. A run of n pages starts where a block of 2^ceil(log2 n)
 * would, but needs just n clear bits there: its tail is never taken.
 *
 *   first fit   the lowest start
 *   best fit    the start in the smallest free block; of those, the lowest
 *   worst fit   the start in the largest free block; of those, the lowest
 *
 * "The free block around a page" is the largest aligned block of clear bits
 * that has the page in it, up to an area; its order is the page's rank. For
 * runs larger than an area the holes are stretches of free areas, and their
 * lengths are what is compared.
 *
 * Groups: what can be moved, what cannot, and handles keep to areas of their
 * own, so that the mover can empty whole areas. Handles must, and have them at
 * the end of page space; of data's areas a search first takes those that are
 * free or have its own group's things, and all others when there is no place
 * in these. What an area has, the first says who finds it free.
 *
 * Hints: fit[area] = 9 - order of the largest free block; an upper bound for
 * the order, kept low by searches that found less, raised by releases. A
 * search lowers it by compare-and-swap from what it read first, a release
 * stores. Two that cross may leave it too low: then pages stay unseen until
 * the next release there, or until a thorough search, which nobody is told
 * ENOMEM without. That search mends what it finds.
 *
 * One value of the hint is more than that. fit = 0 says that nothing in the
 * area is claimed, but for claims still under way; so walks of all kinds pass
 * by such areas without a look, which would make the system back their
 * metadata with memory. Who claims pages looks at the hint after the claim
 * and puts 1 for 0; who sees an area all free stores 0 and then looks at the
 * map once more, and puts 1 if it is not. Both have a full barrier in
 * between, so one of them sees the other; and if that one is stopped, whoever
 * runs into its claim puts the 1, and if it dies, the resumption of its op.
 *
 * Who writes: fit, anybody who may write the pool. Nothing here is claimed.
 */
#include "pool/fit.h"

#include "base/assert.h"
#include "pool/row.h"

/* An area's free pages, as of one look, row by row. */
struct area_view {
	uint64_t free[TN_AREA_ROWS];
};

/* Where blocks of 2^order pages start in a row. */
static const uint64_t aligned[] = {
	~0ULL, 0x5555555555555555, 0x1111111111111111, 0x0101010101010101,
	0x0001000100010001, 0x0000000100000001, 1,
};

#define ROW_ORDER 6U

static void view_area(struct tn_pool *pool, uint64_t area, struct area_view *v)
{
	for (unsigned r = 0; r < TN_AREA_ROWS; r++)
		v->free[r] = ~tn_row_map(pool, area * TN_AREA_ROWS + r);
}

/* Rows [r, r + n) free throughout? */
static bool rows_free(const struct area_view *v, unsigned r, unsigned n)
{
	uint64_t all = ~0ULL;

	for (unsigned i = 0; i < n; i++)
		all &= v->free[r + i];
	return all == ~0ULL;
}

/* The starts for n <= 64 pages in one row. */
static uint64_t row_starts(uint64_t free, unsigned n, unsigned order)
{
	unsigned have = 1;

	while (have < n) {
		unsigned shift = n - have < have ? n - have : have;

		free &= free >> shift;
		have += shift;
	}
	return free & aligned[order];
}

/* The starts for n <= 512 pages in row r of an area. */
static uint64_t starts(const struct area_view *v, unsigned r, unsigned n)
{
	unsigned order = tn_log2_ceil(n), rows = n / TN_ROW_PAGES;
	unsigned rest = n % TN_ROW_PAGES;

	if (order <= ROW_ORDER)
		return row_starts(v->free[r], n, order);
	if (r % (1U << (order - ROW_ORDER)) || !rows_free(v, r, rows))
		return 0;
	return !rest || row_starts(v->free[r + rows], rest, ROW_ORDER);
}

/* The pages of row r that lie in free blocks of 2^order pages. */
static uint64_t in_blocks(const struct area_view *v, unsigned r, unsigned order)
{
	uint64_t m = v->free[r];

	if (order > ROW_ORDER) {
		unsigned n = 1U << (order - ROW_ORDER);

		return rows_free(v, r / n * n, n) ? ~0ULL : 0;
	}
	for (unsigned o = 0; o < order; o++)
		m &= m >> (1U << o) & aligned[o + 1];
	for (unsigned o = 0; o < order; o++)
		m |= m << (1U << o);
	return m;
}

/* The order of the largest free block; -1: no page is free. */
static int largest_order(const struct area_view *v)
{
	int order = (int)TN_AREA_ORDER;

	for (; order >= 0; order--)
		for (unsigned r = 0; r < TN_AREA_ROWS; r++)
			if (in_blocks(v, r, (unsigned)order))
				return order;
	return order;
}

static unsigned fit_of(int order)
{
	return order < 0 ? TN_FIT_FULL : TN_AREA_ORDER - (unsigned)order;
}

/* The search saw less than the hint promised. */
static void lower_hint(struct tn_pool *pool, uint64_t area,
		       const struct area_view *v, uint8_t was)
{
	uint8_t fit = (uint8_t)fit_of(largest_order(v));

	if (fit != was)
		tn8_cas_relaxed(&pool->fit[area], &was, fit);
}

/* The order of the free block around a page. */
static unsigned rank_of(const struct area_view *v, unsigned page)
{
	uint64_t bit = 1ULL << page % TN_ROW_PAGES;
	unsigned rank = 0;

	while (rank < TN_AREA_ORDER &&
	       in_blocks(v, page / TN_ROW_PAGES, rank + 1) & bit)
		rank++;
	return rank;
}

/* @least: 0 only where a live op covers the second look (pool/run.c). */
static void raise_hint(struct tn_pool *pool, uint64_t page, unsigned least)
{
	uint64_t area = page >> TN_AREA_SHIFT;
	unsigned in_area = page & (TN_AREA_PAGES - 1);
	uint8_t fit = tn8_load_relaxed(&pool->fit[area]);
	struct area_view v;
	unsigned now;

	if (!fit)
		return;
	view_area(pool, area, &v);
	if (!(v.free[in_area / TN_ROW_PAGES] >> in_area % TN_ROW_PAGES & 1))
		return;
	now = TN_AREA_ORDER - rank_of(&v, in_area);
	now = now > least ? now : least;
	if (now >= fit)
		return;
	tn8_store_relaxed(&pool->fit[area], (uint8_t)now);
	if (now)
		return;
	tn_fence_full();
	view_area(pool, area, &v);
	if (!rows_free(&v, 0, TN_AREA_ROWS))
		tn8_store_relaxed(&pool->fit[area], 1);
}

void tn_fit_raise(struct tn_pool *pool, uint64_t page)
{ raise_hint(pool, page, 0); }

void tn_fit_recheck(struct tn_pool *pool, uint64_t page, uint64_t n)
{
	uint64_t last = (page + n - 1) >> TN_AREA_SHIFT;
	struct area_view v;

	for (uint64_t a = page >> TN_AREA_SHIFT; a <= last; a++) {
		if (tn8_load_relaxed(&pool->fit[a]))
			continue;
		view_area(pool, a, &v);
		if (!rows_free(&v, 0, TN_AREA_ROWS))
			tn8_store_relaxed(&pool->fit[a], 1);
	}
}

void tn_fit_group(struct tn_pool *pool, uint64_t page, uint64_t n,
		  unsigned where)
{
	uint64_t last = (page + n - 1) >> TN_AREA_SHIFT;
	uint8_t group = (uint8_t)(where >> 8);

	for (uint64_t a = page >> TN_AREA_SHIFT; a <= last; a++)
		if (!tn8_load_relaxed(&pool->fit[a]) &&
		    tn8_load_relaxed(&pool->groups[a]) != group)
			tn8_store_relaxed(&pool->groups[a], group);
}

void tn_fit_claimed(struct tn_pool *pool, uint64_t page, uint64_t n)
{
	uint64_t last = (page + n - 1) >> TN_AREA_SHIFT;

	/* the swap that claimed the pages was a full barrier */
	for (uint64_t a = page >> TN_AREA_SHIFT; a <= last; a++)
		if (!tn8_load_relaxed(&pool->fit[a]))
			tn8_store_relaxed(&pool->fit[a], 1);
}

/* What one search is for, and has found so far. */
struct find {
	uint64_t n;
	uint64_t area, end;   /* where it looks */
	unsigned policy;
	unsigned group;
	bool any;             /* among others' things, too */
	unsigned least_rank;  /* no start can be in a smaller block */
	bool found;
	unsigned rank;        /* of .page */
	uint64_t page;
};

static bool better(const struct find *f, unsigned rank)
{
	if (!f->found)
		return true;
	return f->policy == TN_BEST_FIT ? rank < f->rank : rank > f->rank;
}

/* Nothing better can come. */
static bool settled(const struct find *f)
{
	if (!f->found)
		return false;
	return f->policy == TN_FIRST_FIT ||
	       (f->policy == TN_BEST_FIT && f->rank == f->least_rank) ||
	       (f->policy == TN_WORST_FIT && f->rank == TN_AREA_ORDER);
}

static void note(struct find *f, unsigned rank, uint64_t page)
{
	f->found = true;
	f->rank = rank;
	f->page = page;
}

/* The starts of one row, by rank, from the side the policy likes. */
static void find_in_row(struct find *f, const struct area_view *v, unsigned r,
			uint64_t first_page)
{
	uint64_t s = starts(v, r, (unsigned)f->n), here;

	if (s && f->policy == TN_FIRST_FIT) {
		note(f, 0, first_page + (unsigned)__builtin_ctzll(s));
		return;
	}
	for (unsigned rank = f->least_rank; s; rank++) {
		here = s;
		if (rank < TN_AREA_ORDER)
			here &= ~in_blocks(v, r, rank + 1);
		s &= ~here;
		if (here && better(f, rank))
			note(f, rank, first_page +
				      (unsigned)__builtin_ctzll(here));
	}
}

static void find_in_area(struct tn_pool *pool, struct find *f, uint64_t area,
			 uint8_t hint)
{
	struct area_view v;
	uint64_t any = 0;

	view_area(pool, area, &v);
	for (unsigned r = 0; r < TN_AREA_ROWS && !settled(f); r++) {
		any |= starts(&v, r, (unsigned)f->n);
		find_in_row(f, &v, r, area * TN_AREA_PAGES + r * TN_ROW_PAGES);
	}
	if (!any)
		lower_hint(pool, area, &v, hint);
}

static bool find_small(struct tn_pool *pool, struct find *f, bool thorough)
{
	uint8_t worst_fit = (uint8_t)(TN_AREA_ORDER - f->least_rank);
	bool free_area_seen = false;

	for (uint64_t a = f->area; a < f->end && !settled(f); a++) {
		uint8_t hint = tn8_load_relaxed(&pool->fit[a]);

		if (hint > worst_fit && !thorough)
			continue;
		if (hint && !f->any &&
		    tn8_load_relaxed(&pool->groups[a]) != f->group)
			continue;
		/* a second free area has nothing that the first has not */
		if (!hint && free_area_seen)
			continue;
		find_in_area(pool, f, a, hint);
		free_area_seen |= !hint;
		if (thorough && f->found)
			raise_hint(pool, f->page, 1);
	}
	return f->found;
}

static bool area_free(struct tn_pool *pool, uint64_t area, bool thorough)
{
	uint8_t hint = tn8_load_relaxed(&pool->fit[area]);
	struct area_view v;

	if (!hint)
		return true;
	if (!thorough)
		return false;
	view_area(pool, area, &v);
	if (!rows_free(&v, 0, TN_AREA_ROWS))
		return false;
	raise_hint(pool, area << TN_AREA_SHIFT, 1);
	return true;
}

/* Are the first @n pages of an area free? */
static bool head_free(struct tn_pool *pool, uint64_t area, unsigned n)
{
	struct area_view v;

	if (area >= pool->geo.n_data_areas)
		return false;
	view_area(pool, area, &v);
	return rows_free(&v, 0, n / TN_ROW_PAGES) &&
	       (n % TN_ROW_PAGES == 0 ||
		row_starts(v.free[n / TN_ROW_PAGES], n % TN_ROW_PAGES,
			   ROW_ORDER));
}

/* Runs of more than an area: stretches [from, a) of free areas. */
static bool find_large(struct tn_pool *pool, struct find *f, bool thorough)
{
	uint64_t whole = f->n >> TN_AREA_SHIFT, best = 0, len;
	unsigned rest = f->n & (TN_AREA_PAGES - 1);

	for (uint64_t from = f->area, a; from < f->end; from = a + 1) {
		for (a = from; a < f->end; a++) {
			if (!area_free(pool, a, thorough))
				break;
			if (f->policy == TN_FIRST_FIT && a - from == whole)
				break;
		}
		len = a - from;
		if (len < whole ||
		    (len == whole && rest && !head_free(pool, a, rest)))
			continue;
		if (!f->found || (f->policy == TN_BEST_FIT ? len < best
							   : len > best)) {
			note(f, TN_AREA_ORDER, from << TN_AREA_SHIFT);
			best = len;
		}
		if (f->policy == TN_FIRST_FIT)
			break;
	}
	return f->found;
}

static bool find(struct tn_pool *pool, struct find *f, bool thorough)
{
	if (f->n > TN_AREA_PAGES)
		return find_large(pool, f, thorough);
	return find_small(pool, f, thorough);
}

bool tn_fit_find(struct tn_pool *pool, uint64_t n, unsigned where,
		 bool thorough, uint64_t *ret_page)
{
	struct find f = {
		.n = n,
		.end = pool->geo.n_data_areas,
		.policy = where & 0xff,
		.group = where >> 8,
		.least_rank = tn_log2_floor(n),
	};

	tn_assert(n && n <= pool->geo.n_pages);
	if (f.group == TN_GROUP_HANDLES) {
		f.area = pool->geo.n_data_areas;
		f.end = pool->geo.n_areas;
		f.any = true;
	}
	if (!find(pool, &f, thorough) && !f.any) {
		f.any = true;
		find(pool, &f, thorough);
	}
	if (f.found)
		*ret_page = f.page;
	return f.found;
}

uint64_t tn_fit_largest(struct tn_pool *pool)
{
	uint64_t stretch = 0, longest = 0;
	int order = -1;

	for (uint64_t a = 0; a < pool->geo.n_data_areas; a++) {
		struct area_view v = { { 0 } };
		int here = (int)TN_AREA_ORDER;

		if (tn8_load_relaxed(&pool->fit[a])) {
			view_area(pool, a, &v);
			here = largest_order(&v);
		}
		stretch = here == (int)TN_AREA_ORDER ? stretch + 1 : 0;
		longest = tn_max64(longest, stretch);
		order = here > order ? here : order;
	}
	if (longest > 1)
		return tn_min64(longest * TN_AREA_PAGES, pool->geo.n_pages / 2);
	return order < 0 ? 0 : tn_min64(1ULL << order, pool->geo.n_pages / 2);
}
