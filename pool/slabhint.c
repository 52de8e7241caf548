/* SPDX-License-Identifier: BSD-2-Clause */
#include "pool/slabhint.h"

static tn_a64 *class_word(struct tn_pool *pool, unsigned class, uint64_t area)
{ return &pool->hints[class * pool->geo.hint_words + area / 64]; }

static tn_a64 *partial_word(struct tn_pool *pool, uint64_t page)
{
	return &pool->areas[page >> TN_AREA_SHIFT]
			.partial[page % TN_AREA_PAGES / 64];
}

/*
 * The looks that come before the writes spare locked instructions where the
 * bit is as wanted. Each is ordered after the store that made the hint due:
 * either it sees what a clearer did, or the clearer, who looks at the slab
 * again, sees the store.
 */
static void set(tn_a64 *word, uint64_t bit)
{
	tn_fence_after_rmw();
	if (!(tn64_load_relaxed(word) & bit))
		/* HB> hint; HB< hint */
		tn64_or_acq_rel(word, bit);
}

void tn_hint_set(struct tn_pool *pool, uint64_t page, unsigned class)
{
	uint64_t area = page >> TN_AREA_SHIFT;

	set(partial_word(pool, page), 1ULL << page % 64);
	set(class_word(pool, class, area), 1ULL << area % 64);
}

void tn_hint_clear(struct tn_pool *pool, uint64_t page)
{
	tn_a64 *word = partial_word(pool, page);
	uint64_t bit = 1ULL << page % 64;

	if (tn64_load_relaxed(word) & bit)
		/* HB> hint; HB< hint */
		tn64_and_acq_rel(word, ~bit);
	tn_fence_after_rmw();
}

void tn_hint_walk_begin(struct tn_hint_walk *walk, unsigned class,
			bool thorough)
{
	*walk = (struct tn_hint_walk){ .class = class, .thorough = thorough };
}

static bool has_free(uint64_t w)
{ return TN_SLAB_STATE(w) == TN_SLAB_OPEN && TN_SLAB_FREE(w); }

/* ... and is nobody's own. */
static bool is_partial(uint64_t w)
{ return has_free(w) && !TN_SLAB_CLIENT(w); }

static bool is_wanted(struct tn_pool *pool, const struct tn_hint_walk *walk,
		      uint64_t page)
{
	uint64_t w = tn64_load_relaxed(&pool->pages[page].slab);

	return TN_SLAB_CLASS(w) == walk->class &&
	       (walk->thorough ? has_free(w) : is_partial(w));
}

/* A bit for no such slab, whatever the class: stale. */
static void drop_stale(struct tn_pool *pool, uint64_t page)
{
	uint64_t w = tn64_load_relaxed(&pool->pages[page].slab);

	if (TN_SLAB_STATE(w) == TN_SLAB_LEASED || is_partial(w))
		return;
	tn_hint_clear(pool, page);
	w = tn64_load_relaxed(&pool->pages[page].slab);
	if (is_partial(w) && TN_SLAB_CLASS(w) < TN_N_CLASSES)
		tn_hint_set(pool, page, TN_SLAB_CLASS(w));
}

/* The next page of the area, from walk->page on, that may be worth a lease. */
static bool next_in_area(struct tn_pool *pool, struct tn_hint_walk *walk,
			 uint64_t *ret_page)
{
	uint64_t base = walk->area << TN_AREA_SHIFT, bits, page;

	for (; walk->page < TN_AREA_PAGES; walk->page++) {
		bits = walk->thorough ? ~0ULL :
		       tn64_load_relaxed(partial_word(pool, base + walk->page));
		bits &= ~0ULL << walk->page % 64;
		if (!bits) {
			walk->page |= 63;
			continue;
		}
		walk->page = (walk->page & ~63U) +
			     (unsigned)__builtin_ctzll(bits);
		page = base + walk->page;
		if (is_wanted(pool, walk, page)) {
			walk->page++;
			*ret_page = page;
			return true;
		}
		if (!walk->thorough)
			drop_stale(pool, page);
	}
	return false;
}

/* The next area, from walk->area on, that may have slabs of the class. */
static bool next_area(struct tn_pool *pool, struct tn_hint_walk *walk)
{
	uint64_t bits;

	while (walk->area < pool->geo.n_areas) {
		/* nothing is claimed there: see pool/fit.c */
		if (walk->thorough) {
			if (tn8_load_relaxed(&pool->fit[walk->area]))
				return true;
			walk->area++;
			continue;
		}
		bits = tn64_load_relaxed(class_word(pool, walk->class,
						    walk->area));
		bits &= ~0ULL << walk->area % 64;
		if (!bits) {
			walk->area = (walk->area | 63) + 1;
			continue;
		}
		walk->area = (walk->area & ~63ULL) +
			     (unsigned)__builtin_ctzll(bits);
		return walk->area < pool->geo.n_areas;
	}
	return false;
}

/* No slab of the class was found in an area that the class's bit named. */
static void drop_class_bit(struct tn_pool *pool,
			   const struct tn_hint_walk *walk)
{
	tn_a64 *word = class_word(pool, walk->class, walk->area);
	uint64_t bit = 1ULL << walk->area % 64, page;
	struct tn_hint_walk again = {
		.class = walk->class, .area = walk->area,
	};

	/* HB> hint; HB< hint */
	tn64_and_acq_rel(word, ~bit);
	tn_fence_after_rmw();
	if (next_in_area(pool, &again, &page))
		set(word, bit);
}

bool tn_hint_walk_next(struct tn_pool *pool, struct tn_hint_walk *walk,
		       uint64_t *ret_page)
{
	for (;;) {
		if (!walk->open) {
			if (!next_area(pool, walk))
				return false;
			walk->open = true;
			walk->found = false;
			walk->page = 0;
		}
		if (next_in_area(pool, walk, ret_page)) {
			walk->found = true;
			return true;
		}
		if (!walk->found && !walk->thorough)
			drop_class_bit(pool, walk);
		walk->open = false;
		walk->area++;
	}
}
