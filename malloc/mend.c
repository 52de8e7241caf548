/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread that is filling a magazine, or emptying one, has slots that are
 * KEPT and stand nowhere, and slabs leased. In a child forked meanwhile it will
 * never end what it began. So:
 *
 *   1  of the classes in question, the magazines that are in order hide what
 *      they have: their slots are tagged HELD for the time being
 *   2  of those classes each slab is walked: what is KEPT now is nobody's, so
 *      it becomes free; the slab is counted, and opened if it was leased
 *   3  the magazines have their slots tagged KEPT again
 *
 * A run that is KEPT is one that was being freed: it is dropped. Whatever is
 * HELD stays, for it is the program's.
 *
 * It takes a look at each page that is in use, and at the tags of the
 * classes in question. But it happens only if a thread was at just that when
 * the process forked.
 */
#include "malloc/mend.h"

#include "pool/cache.h"
#include "pool/run.h"
#include "pool/slabhint.h"

static bool concerned(const struct tn_mend *mend, unsigned class)
{
	return class < TN_CLASS_CACHE &&
	       mend->classes[class / 64] >> class % 64 & 1;
}

/* Without a base it was just being prepared, and will be again. */
static void forget(struct tn_mag *m)
{
	if (!m->base)
		*m = (struct tn_mag){ 0 };
	m->top = m->base;
	m->cursor = (struct tn_slab_cursor){ 0 };
}

void tn_mend_note(struct tn_mend *mend, struct tn_seat *seat)
{
	unsigned doing = tn32_load_relaxed(&seat->doing), class = doing - 1;

	tn32_store_relaxed(&seat->doing, TN_DOING_NOTHING);
	if (doing == TN_DOING_NOTHING)
		return;
	mend->lane = &seat->rack.ref;
	if (doing == TN_DOING_RUN || doing == TN_DOING_ALL)
		mend->runs = true;
	if (doing == TN_DOING_RUN)
		return;
	for (unsigned c = 0; c < TN_CLASS_CACHE; c++) {
		if (doing != TN_DOING_ALL && c != class)
			continue;
		forget(&seat->rack.mags[c]);
		mend->classes[c / 64] |= 1ULL << c % 64;
	}
}

void tn_mend_hide(const struct tn_mend *mend, struct tn_seat *seat, bool hide)
{
	struct tn_rack *rack = &seat->rack;

	for (unsigned c = 0; c < TN_CLASS_CACHE; c++) {
		if (!concerned(mend, c))
			continue;
		for (struct tn_slot *s = rack->mags[c].base;
		     s != rack->mags[c].top; s++)
			tn16_store_relaxed(s->tag, hide ? rack->held
							: rack->kept);
	}
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

static void mend_run(const struct tn_mend *mend, uint64_t page, uint64_t pages)
{
	struct tn_pool *pool = &tn_home.pool;
	tn_a16 *tag = &pool->tags[tn_tag_index(page, 0)];

	if (tn16_load_relaxed(tag) == (TN_TAG_KEPT | TN_HOME_CLIENT))
		tn_run_drop(pool, mend->lane, TN_OP_RUN, page, pages);
}

/* What begins at a page. Return: how many pages to go on. */
static uint64_t mend_at(const struct tn_mend *mend, uint64_t page)
{
	struct tn_pool *pool = &tn_home.pool;
	uint64_t word = tn64_load_relaxed(&pool->pages[page].word);
	unsigned class = TN_PAGE_CLASS(word);
	const struct tn_shape *s;

	switch (TN_PAGE_KIND(word)) {
	case TN_PAGE_SLAB:
		s = tn_cache_shape(pool, class);
		if (concerned(mend, class))
			mend_slab(page, class, s);
		return 1ULL << s->order;
	case TN_PAGE_RUN:
		if (mend->runs)
			mend_run(mend, page, TN_PAGE_PAGES(word));
		return TN_PAGE_PAGES(word);
	default:
		return 1;
	}
}

void tn_mend_pages(const struct tn_mend *mend)
{
	const struct tn_pool *pool = &tn_home.pool;
	uint64_t page = 0;

	while (page < pool->geo.n_pages) {
		/* nothing is claimed there: see pool/fit.c */
		if (page % TN_AREA_PAGES == 0 &&
		    !tn8_load_relaxed(&pool->fit[page >> TN_AREA_SHIFT]))
			page += TN_AREA_PAGES;
		else
			page += mend_at(mend, page);
	}
}
