/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Giving memory of free pages back to the system.
 *
 *   area, all free      claim all | punch data | punch page words, tags and
 *                       back links | release
 *   else, row by row    claim | punch data | release
 *
 * A page that is seen to be free may be claimed and written to the moment
 * after. So what is punched is claimed, as any other run, and given back
 * afterwards. A row (256 KiB) is the most that the pool is short of because of
 * it; or an area, if it has another one that is free (I2).
 *
 * What the allocator knows about an area is some 80 KiB, up to 776. It lies on
 * pages of its own, and is all zero when nothing is claimed there (I2 of
 * pool/run.c): so to punch it changes nothing that anybody can see. While we
 * have all pages of the area, nobody may store there: a tag is its slot's
 * holder's, a page word its page's claimant's, and a slab word changes by
 * compare-and-swap alone, from something that is not 0. Whoever only looks
 * there finds zeros before and after, and at worst brings a page back.
 *
 * I1  What is punched of data is claimed by us; what is punched of meta is
 *     about pages that are all claimed by us, and nothing has been written
 *     there since we have them. So the release must not wipe, either, which
 *     would bring pages back.
 * I2  An area is ours for longer than a look takes only if another one was
 *     free after we had it. So we look once more when we have claimed it, past
 *     a full barrier: a claim of the other area that comes before the look in
 *     the order of its rows' swaps is seen, and ours goes back at once. If it
 *     comes after, the pool is short of this area until we have punched it.
 *
 * Crash windows:
 *   C1 claimed, punched or not    the lane's op names the run: it is wiped,
 *                                 and released (pool/run.c)
 *
 * What it does not do: punch what is known about the rest of an area in which
 * something is left; nor what other tables say of it, which is 256 bytes, and
 * 64 for each client that was there.
 */
#include "pool/trim.h"

#include "pool/fit.h"
#include "pool/row.h"
#include "pool/run.h"

struct trim {
	struct tn_pool *pool;
	const struct tn_lane_ref *l;
	const struct tn_punch *punch;
};

/* Free pages [page, page + n) of one row, if they still are. */
static int trim_run(const struct trim *t, uint64_t page, uint64_t n)
{
	int r, e;

	if (!tn_run_take_at(t->pool, t->l, TN_OP_RUN, page, n))
		return 0;
	r = t->punch->data(t->punch->arg, page, n);
	e = tn_run_untake(t->pool, t->l, page, n);
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

/* A hint of 0 may stand there while somebody is claiming (pool/fit.c). */
static bool is_free(const struct tn_pool *pool, uint64_t area)
{
	uint64_t map = 0;

	if (tn8_load_relaxed(&pool->fit[area]))
		return false;
	for (unsigned r = 0; r < TN_AREA_ROWS; r++)
		map |= tn_row_map(pool, area * TN_AREA_ROWS + r);
	return !map;
}

/* Is another area of the same kind free, so that this one is not missed? */
static bool has_spare(const struct tn_pool *pool, uint64_t area)
{
	const struct tn_geo *geo = &pool->geo;
	bool handles = area >= geo->n_data_areas;
	uint64_t from = handles ? geo->n_data_areas : 0;
	uint64_t n = (handles ? geo->n_areas : geo->n_data_areas) - from;

	for (uint64_t i = 1; i < n; i++)
		if (is_free(pool, from + (area - from + i) % n))
			return true;
	return false;
}

static int punch_meta(const struct trim *t, uint64_t area)
{
	const struct tn_geo *geo = &t->pool->geo;
	const uint64_t tags = 1ULL << TN_AREA_TAGS_SHIFT;
	const struct { uint64_t off, bytes; } parts[] = {
		{ geo->pages, TN_AREA_PAGES * sizeof(struct tn_page) },
		{ geo->tags, tags * sizeof(tn_a16) },
		{ geo->backs, tags * sizeof(tn_a32) },
	};
	int r = 0;

	for (unsigned i = 0; i < TN_ARRAY_LEN(parts) && r == 0; i++)
		r = t->punch->meta(t->punch->arg,
				   parts[i].off + area * parts[i].bytes,
				   parts[i].bytes);
	return r;
}

/* All of an area, if that is free and another one is. Return: 1: it is ours;
 * 0; -EUCLEAN. */
static int take_area(const struct trim *t, uint64_t area)
{
	uint64_t page = area << TN_AREA_SHIFT;
	int r;

	if (!t->punch->meta || tn8_load_relaxed(&t->pool->fit[area]) ||
	    !tn_geo_has(&t->pool->geo, page, TN_AREA_PAGES) ||
	    !has_spare(t->pool, area) ||
	    !tn_run_take_at(t->pool, t->l, TN_OP_RUN, page, TN_AREA_PAGES))
		return 0;
	tn_fence_full(); /* I2 */
	if (has_spare(t->pool, area))
		return 1;
	r = tn_run_untake(t->pool, t->l, page, TN_AREA_PAGES);
	return r < 0 ? r : 0;
}

/* Return: 1: the area is done with; 0: it is not free, or the only one. */
static int trim_area(const struct trim *t, uint64_t area)
{
	uint64_t page = area << TN_AREA_SHIFT;
	int r, e;

	r = take_area(t, area);
	if (r <= 0)
		return r;
	r = t->punch->data(t->punch->arg, page, TN_AREA_PAGES);
	if (r == 0)
		r = punch_meta(t, area);
	TN_CRASH("trim.area.punched");
	e = tn_run_untake(t->pool, t->l, page, TN_AREA_PAGES);
	return r < 0 ? r : e < 0 ? e : 1;
}

int tn_trim(struct tn_pool *pool, const struct tn_lane_ref *l, uint64_t from,
	    uint64_t to, const struct tn_punch *punch)
{
	const struct trim t = { pool, l, punch };
	uint64_t next;
	int r = 0;

	for (; from < to && r >= 0; from = next) {
		r = trim_area(&t, from >> TN_AREA_SHIFT);
		next = (from | (TN_AREA_PAGES - 1)) + 1;
		if (r)
			continue;
		next = tn_min64(to, (from | (TN_ROW_PAGES - 1)) + 1);
		r = trim_row(&t, from, next);
	}
	return r < 0 ? r : 0;
}
