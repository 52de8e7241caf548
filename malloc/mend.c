/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread that is filling a magazine, or emptying one, has slots that are
 * KEPT and stand nowhere, runs likewise, and slabs leased. In a child forked
 * meanwhile it will never end what it began. So:
 *
 *   1  what others keep, whose magazines and caches are in order, is tagged
 *      HELD for the time being
 *   2  each slab is walked: what is KEPT now is nobody's, so it becomes free;
 *      the slab is counted, and opened if it was leased. A run that is KEPT is
 *      dropped
 *   3  what others keep is tagged KEPT again
 *
 * Whatever is HELD stays, for it is the program's.
 *
 * It takes a look at each page that is in use, and at the tags of all slabs.
 * But it happens only if a thread was at just that when the process forked.
 */
#include "malloc/mend.h"

#include "pool/cache.h"
#include "pool/run.h"
#include "pool/slabhint.h"

bool tn_mend_forget(struct tn_seat *seat)
{
	bool doing = tn32_load_relaxed(&seat->doing);

	tn32_store_relaxed(&seat->doing, false);
	if (doing)
		tn_rack_forget(&seat->rack);
	return doing;
}

void tn_mend_hide(struct tn_seat *seat, bool hide)
{
	struct tn_rack *rack = &seat->rack;
	uint16_t tag = hide ? rack->held : rack->kept;

	for (unsigned c = 0; c < TN_CLASS_CACHE; c++)
		for (struct tn_slot *s = rack->mags[c].base;
		     s != rack->mags[c].top; s++)
			tn16_store_relaxed(s->tag, tag);
	for (unsigned n = 1; n <= TN_RUN_CACHE_PAGES; n++)
		for (unsigned i = 0; i < rack->runs.n[n]; i++)
			tn16_store_relaxed(&tn_home.pool.tags[tn_tag_index(
				rack->runs.at[n][i], 0)], tag);
}

static void mend_slab(uint64_t page, unsigned class, const struct tn_shape *s)
{
	struct tn_pool *pool = &tn_home.pool;
	unsigned n = 0;

	for (unsigned i = 0; i < s->slots; i++) {
		tn_a16 *tag = &pool->tags[tn_tag_index(page, i)];

		if (tn16_load_relaxed(tag) == (TN_TAG_KEPT | TN_HOME_CLIENT))
			tn16_store_relaxed(tag, TN_TAG_FREE);
		n += !tn16_load_relaxed(tag);
	}
	tn64_store_relaxed(&pool->pages[page].slab,
			   TN_SLAB_WORD(TN_SLAB_OPEN, class, 0, 0, n));
	if (n)
		tn_hint_set(pool, page, class);
}

static void mend_run(const struct tn_lane_ref *l, uint64_t page, uint64_t pages)
{
	struct tn_pool *pool = &tn_home.pool;
	tn_a16 *tag = &pool->tags[tn_tag_index(page, 0)];

	if (tn16_load_relaxed(tag) == (TN_TAG_KEPT | TN_HOME_CLIENT))
		tn_run_drop(pool, l, TN_OP_RUN, page, pages);
}

/* What begins at a page. Return: how many pages to go on. */
static uint64_t mend_at(const struct tn_lane_ref *l, uint64_t page)
{
	struct tn_pool *pool = &tn_home.pool;
	uint64_t word = tn64_load_relaxed(&pool->pages[page].word);
	unsigned class = TN_PAGE_CLASS(word);
	const struct tn_shape *s;

	switch (TN_PAGE_KIND(word)) {
	case TN_PAGE_SLAB:
		s = tn_cache_shape(pool, class);
		mend_slab(page, class, s);
		return 1ULL << s->order;
	case TN_PAGE_RUN:
		mend_run(l, page, TN_PAGE_PAGES(word));
		return TN_PAGE_PAGES(word);
	default:
		return 1;
	}
}

void tn_mend_pages(const struct tn_lane_ref *l)
{
	const struct tn_pool *pool = &tn_home.pool;
	uint64_t page = 0;

	while (page < pool->geo.n_pages) {
		/* nothing is claimed there: see pool/fit.c */
		if (page % TN_AREA_PAGES == 0 &&
		    !tn8_load_relaxed(&pool->fit[page >> TN_AREA_SHIFT]))
			page += TN_AREA_PAGES;
		else
			page += mend_at(l, page);
	}
}
