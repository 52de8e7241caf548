/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs of pages, from one to half the pool.
 *
 * A run of n pages at page p covers K rows of the page map (pool/row.h), the
 * first and the last of them perhaps in part. It is claimed row by row
 * upwards and released row by row downwards. Every row is a detectable step,
 * and the lane's record tells how far it came:
 *
 *   op        what | n | p      the lane has (some rows of) this run
 *   progress  dir | row | step
 *     up,   row < K   rows below are ours; this one is iff the step was done
 *     up,   row = K   all rows are ours; words and tags may be written
 *     down, row       rows below are ours; this one is iff the step was NOT
 *                     done; words and tags are wiped
 *
 * Taking goes   up 0 ... up K, then the caller writes page words, slab word
 *               and tag, then op = 0: the commit.
 * Dropping goes op with up K (all ours), then words and tag are wiped, then
 *               down K-1 ... down 0, then op = 0.
 * So a death means the same in both: what is ours is wiped, if it may have
 * been written, and released, going on from where the record says. A lane
 * that loses a race half-way up turns round in the same manner, and so does
 * one that only wanted to have the pages for a moment (pool/trim.c).
 *
 * A short run need not be released: a lane may keep it (pool/runcache.h), and
 * then takes it up again at "up K".
 *
 * I1  A page whose bit is set is: in a run or slab that its page word (of a
 *     run: the first page's) names; or named by one live op; or past the
 *     pool's end.
 * I2  The words of free pages are 0, and so are all tags of theirs.
 *
 * Who writes: page words and slab words, the claimant of the pages.
 * Orderings: step.word (pool/step.h) hands pages from their releaser to their
 * claimant with words and tags wiped. A page word is stored before the op
 * is cleared, and before any ref to the object can be passed on.
 *
 * Crash windows:
 *   C1 op set, no row yet           resume finds step 0 not done: nothing
 *   C2 between two rows             the rows below are released
 *   C3 all rows, words half written wiped, released
 *   C4 tag stored, op not cleared   the same: nobody else saw the object
 *   C5 dropping, not yet wiped      wiped again, released
 *   C6 dropping, between two rows   goes on downwards
 *   C7 all released, op not cleared down 0 was done: nothing is left
 *   C8 taking up what was kept      as C3: wiped, released
 *   C9 a slab that is to be kept    the same, whatever its words say by then
 *
 * What it does not do: wait, or lock an area. Two lanes that want the same
 * pages race for the first row they differ in; the loser looks elsewhere.
 */
#include "pool/run.h"

#include <errno.h>
#include <string.h>

#include "pool/fit.h"
#include "pool/row.h"

/* Row @i of a run, and which of its bits. */
static uint64_t row_part(uint64_t page, uint64_t n, uint64_t i,
			 uint64_t *ret_mask)
{
	uint64_t row = page / TN_ROW_PAGES + i;
	uint64_t from = tn_max64(page, row * TN_ROW_PAGES);
	uint64_t to = tn_min64(page + n, (row + 1) * TN_ROW_PAGES);

	*ret_mask = tn_mask(from % TN_ROW_PAGES, (unsigned)(to - from));
	return row;
}

static uint64_t n_rows(uint64_t page, uint64_t n)
{
	return (page + n - 1) / TN_ROW_PAGES - page / TN_ROW_PAGES + 1;
}

/* Releases rows [0, count), from the top; then the op is over. */
static int release_rows(struct tn_pool *pool, const struct tn_lane_ref *l,
			uint64_t page, uint64_t n, uint64_t count)
{
	uint64_t row, mask;
	int r;

	while (count--) {
		row = row_part(page, n, count, &mask);
		r = tn_row_release(pool, l, row, mask,
				   TN_PROGRESS(1, count, 0));
		if (r < 0)
			return r;
		if (row % TN_AREA_ROWS == 0 || count == 0)
			tn_fit_raise(pool, row * TN_ROW_PAGES +
				     (unsigned)__builtin_ctzll(mask));
	}
	tn_lane_commit(l);
	return 0;
}

/* A run's words: the first page's, and of a slab every page's. Not the tags:
 * a slab's are 0 by then, and a run's is wiped here. */
static void wipe(struct tn_pool *pool, unsigned kind, uint64_t page, uint64_t n)
{
	tn64_store_relaxed(&pool->pages[page].slab, 0);
	for (uint64_t i = kind == TN_OP_SLAB ? n : 1; i--;)
		tn64_store_relaxed(&pool->pages[page + i].word, 0);
	tn16_store_relaxed(&pool->tags[tn_tag_index(page, 0)], TN_TAG_FREE);
	tn_fence_compiler();
}

bool tn_run_take_at(struct tn_pool *pool, const struct tn_lane_ref *l,
		    unsigned kind, uint64_t page, uint64_t n)
{
	uint64_t rows = n_rows(page, n), row, mask;

	tn_lane_fresh(l, 0);
	tn_lane_begin(l, TN_OP(kind, page, n));
	TN_CRASH("run.take.begun");
	for (uint64_t i = 0; i < rows; i++) {
		row = row_part(page, n, i, &mask);
		if (!tn_row_claim(pool, l, row, mask, TN_PROGRESS(0, i, 0))) {
			/* whoever was faster may have stopped before this */
			tn_fit_claimed(pool, row * TN_ROW_PAGES, 1);
			release_rows(pool, l, page, n, i);
			return false;
		}
	}
	tn_lane_fresh(l, rows);
	tn_fit_claimed(pool, page, n);
	TN_CRASH("run.take.claimed");
	return true;
}

int tn_run_untake(struct tn_pool *pool, const struct tn_lane_ref *l,
		  uint64_t page, uint64_t n)
{ return release_rows(pool, l, page, n, n_rows(page, n)); }

/* One that the lane keeps: as if it had just been claimed, but that its first
 * page's word and tag say so. */
static bool take_kept(struct tn_pool *pool, const struct tn_lane_ref *l,
		      unsigned kind, uint64_t n, unsigned where,
		      uint64_t *ret_page)
{
	uint64_t page;

	if (!l->cache || where != pool->policy ||
	    !tn_run_cache_has(l->cache, n))
		return false;
	page = tn_run_cache_pop(l->cache, n);
	tn_lane_fresh(l, n_rows(page, n));
	tn_lane_begin(l, TN_OP(kind, page, n));
	TN_CRASH("run.take.kept");
	tn16_store_relaxed(&pool->tags[tn_tag_index(page, 0)], TN_TAG_FREE);
	*ret_page = page;
	return true;
}

int tn_run_take(struct tn_pool *pool, const struct tn_lane_ref *l,
		unsigned kind, uint64_t n, unsigned where, uint64_t *ret_page)
{
	uint64_t page;

	if (take_kept(pool, l, kind, n, where, ret_page))
		return 0;
	if (!n || n > pool->geo.n_pages / 2)
		return -ENOMEM;
	/* A turn fails because another lane has claimed what was found; it has
	 * got pages, or is on its way, and the hints then say so. */
	while (tn_fit_find(pool, n, where, false, &page) ||
	       tn_fit_find(pool, n, where, true, &page)) {
		/* the last area's missing pages are claimed for ever */
		if (!tn_geo_has(&pool->geo, page, n))
			return -EUCLEAN;
		tn_fit_group(pool, page, n, where);
		if (!tn_run_take_at(pool, l, kind, page, n))
			continue;
		*ret_page = page;
		return 0;
	}
	return -ENOMEM;
}

/* A hint: of two that are noted at once, one may be lost. The shorter one goes
 * first: one that cannot be had must not be in the way of all others. */
void tn_run_want(struct tn_pool *pool, uint64_t n)
{
	if (tn64_load_relaxed(&pool->header->wanted) - 1 >= n)
		tn64_store_relaxed(&pool->header->wanted, n);
}

uint64_t tn_run_wanted(struct tn_pool *pool)
{
	uint64_t n = tn64_load_relaxed(&pool->header->wanted);

	if (n)
		tn64_store_relaxed(&pool->header->wanted, 0);
	return n > pool->geo.n_pages / 2 ? 0 : n;
}

int tn_run_drop(struct tn_pool *pool, const struct tn_lane_ref *l,
		unsigned kind, uint64_t page, uint64_t n)
{
	uint64_t rows = n_rows(page, n);

	tn_lane_fresh(l, rows);
	tn_lane_begin(l, TN_OP(kind, page, n));
	TN_CRASH("run.drop.begun");
	wipe(pool, kind, page, n);
	TN_CRASH("run.drop.wiped");
	return release_rows(pool, l, page, n, rows);
}

/* An empty slab becomes a run that we keep. */
static void keep_slab(struct tn_pool *pool, const struct tn_lane_ref *l,
		      uint64_t page, uint64_t n)
{
	tn_lane_fresh(l, n_rows(page, n));
	tn_lane_begin(l, TN_OP(TN_OP_SLAB, page, n));
	TN_CRASH("run.keep.begun");
	wipe(pool, TN_OP_SLAB, page, n);
	tn64_store_relaxed(&pool->pages[page].word, TN_PAGE_RUN | n << 8);
	tn16_store_relaxed(&pool->tags[tn_tag_index(page, 0)],
			   (uint16_t)(TN_TAG_KEPT | l->client));
	TN_CRASH("run.keep.kept");
	tn_lane_commit(l);
}

int tn_run_put(struct tn_pool *pool, const struct tn_lane_ref *l,
	       unsigned kind, uint64_t page, uint64_t n)
{
	if (!l->cache || !tn_run_cache_takes(l->cache, page, n) ||
	    !tn_run_make_room(pool, l, n << TN_PAGE_SHIFT, n))
		return tn_run_drop(pool, l, kind, page, n);
	if (kind == TN_OP_SLAB)
		keep_slab(pool, l, page, n);
	tn_run_cache_push(l->cache, page, n);
	return 0;
}

/* What has been kept longest of a length. */
static void drop_oldest(struct tn_pool *pool, const struct tn_lane_ref *l,
			uint64_t n)
{
	struct tn_run_cache *c = l->cache;
	uint64_t page = c->at[n][0];

	c->room += n << TN_PAGE_SHIFT;
	c->n[n]--;
	memmove(&c->at[n][0], &c->at[n][1], c->n[n] * sizeof(c->at[n][0]));
	tn_run_drop(pool, l, TN_OP_RUN, page, n);
}

/* What there is room for if all runs go, but for those of @but pages. */
static uint64_t room_at_most(const struct tn_run_cache *c, uint64_t but)
{
	uint64_t pages = 0;

	for (uint64_t n = 1; n <= TN_RUN_CACHE_PAGES; n++)
		pages += n == but ? 0 : n * c->n[n];
	return c->room + (pages << TN_PAGE_SHIFT);
}

bool tn_run_make_room(struct tn_pool *pool, const struct tn_lane_ref *l,
		      uint64_t bytes, uint64_t but)
{
	struct tn_run_cache *c = l->cache;
	unsigned half;

	if (!c || (c->room < bytes && room_at_most(c, but) < bytes))
		return false;
	while (c->room < bytes) {
		c->clock = c->clock % TN_RUN_CACHE_PAGES + 1;
		half = c->clock == but ? 0 : (c->n[c->clock] + 1U) / 2;
		for (; half && c->room < bytes; half--)
			drop_oldest(pool, l, c->clock);
	}
	return true;
}

void tn_run_flush(struct tn_pool *pool, const struct tn_lane_ref *l)
{
	for (uint64_t n = 1; l->cache && n <= TN_RUN_CACHE_PAGES; n++)
		while (l->cache->n[n])
			drop_oldest(pool, l, n);
}

int tn_run_resume(struct tn_pool *pool, const struct tn_lane_ref *l)
{
	uint64_t op = tn64_load_relaxed(&l->rec->op);
	uint64_t progress = tn64_load_relaxed(&l->rec->progress);
	uint64_t page = TN_OP_PAGE(op), n = TN_OP_PAGES(op);
	uint64_t at = TN_PROGRESS_ROW(progress);
	uint64_t step = TN_PROGRESS_STEP(progress), row, mask;
	bool down = TN_PROGRESS_DOWN(progress), done;
	int r;

	if (!n || n > pool->geo.n_pages / 2 ||
	    !tn_geo_has(&pool->geo, page, n) ||
	    at > n_rows(page, n) || (down && at == n_rows(page, n)) ||
	    (TN_OP_KIND(op) == TN_OP_SLAB && n > 1U << TN_SLAB_ORDER_MAX))
		return -EUCLEAN;
	if (!down && at == n_rows(page, n)) {
		wipe(pool, TN_OP_KIND(op), page, n);
	} else {
		row = row_part(page, n, at, &mask);
		done = tn_step_was_done(pool, l, tn_row_of(pool, row), step);
		/* up and done, or down and not done: this row is ours too */
		at += done != down;
	}
	r = release_rows(pool, l, page, n, at);
	tn_fit_recheck(pool, page, n);
	return r;
}

int tn_run_alloc(struct tn_pool *pool, const struct tn_lane_ref *l, uint64_t n,
		 unsigned where, uint64_t *ret_page)
{
	uint64_t page;
	int r;

	r = tn_run_take(pool, l, TN_OP_RUN, n, where, &page);
	if (r < 0)
		return r;
	tn_touch(pool, l->client, page);
	tn64_store_relaxed(&pool->pages[page].word, TN_PAGE_RUN | n << 8);
	tn16_store_relaxed(&pool->tags[tn_tag_index(page, 0)],
			   (uint16_t)(TN_TAG_HELD | l->client));
	TN_CRASH("run.alloc.tagged");
	tn_lane_commit(l);
	*ret_page = page;
	return 0;
}
