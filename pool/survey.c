/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A quick look at how full a pool is.
 *
 * Of each area in which something is claimed it reads the page map, and of
 * what begins there the page word; of a slab its word, with the count of free
 * slots, and of a run its tag, which says whether it has a handle: some
 * microseconds an area. Tags of slots, and so who holds what, and what a
 * magazine keeps, it does not look at. The count of a slab in a lane's hands
 * may be too high (proto/layout.h), never too low for long.
 *
 * So the result is what compaction could do at best. What is pinned or kept
 * stands in its way; who asks must see to it that he does not ask for the same
 * over and over.
 */
#include "pool/survey.h"

#include <string.h>

#include "pool/cache.h"
#include "pool/row.h"

void tn_survey_begin(struct tn_survey *s, struct tn_pool *pool)
{
	memset(s, 0, sizeof(*s));
	s->pool = pool;
}

static uint64_t look_at_run(struct tn_survey *s, uint64_t page, uint64_t word)
{
	uint64_t n = TN_PAGE_PAGES(word);

	/* longer ones are not moved */
	if (n <= TN_AREA_PAGES &&
	    tn16_load_relaxed(&s->pool->tags[tn_tag_index(page, 0)]) ==
	    TN_TAG_HANDLE)
		s->movable += n;
	return n;
}

/* What begins at a claimed page. Return: how many pages to go on. */
static uint64_t look_at(struct tn_survey *s, uint64_t page)
{
	const struct tn_page *p = &s->pool->pages[page];
	uint64_t word = tn64_load_relaxed(&p->word), slab;
	unsigned class = TN_PAGE_CLASS(word) - TN_CLASS_MOVABLE;
	const struct tn_shape *shape;

	if (TN_PAGE_KIND(word) != TN_PAGE_SLAB || TN_PAGE_BACK(word) ||
	    class >= TN_CLASS_CACHE)
		return TN_PAGE_KIND(word) == TN_PAGE_RUN ?
		       look_at_run(s, page, word) : 1;
	shape = tn_cache_shape(s->pool, TN_PAGE_CLASS(word));
	if (!shape)
		return 1;
	slab = tn64_load_relaxed(&p->slab);
	s->free[class] += tn_min64(TN_SLAB_FREE(slab), shape->slots);
	s->movable += 1ULL << shape->order;
	return 1ULL << shape->order;
}

static void look_at_row(struct tn_survey *s, uint64_t row)
{
	uint64_t here = s->pool->geo.n_pages - row * TN_ROW_PAGES, n;
	uint64_t map = tn_row_map(s->pool, row);
	unsigned at;

	map &= tn_mask(0, (unsigned)tn_min64(here, TN_ROW_PAGES));
	while (map) {
		at = (unsigned)__builtin_ctzll(map);
		n = look_at(s, row * TN_ROW_PAGES + at);
		n = tn_max64(1, tn_min64(n, TN_ROW_PAGES - at));
		s->claimed += (unsigned)__builtin_popcountll(
			map & tn_mask(at, (unsigned)n));
		map &= ~tn_mask(at, (unsigned)n);
	}
}

bool tn_survey_step(struct tn_survey *s, uint64_t n)
{
	const struct tn_geo *geo = &s->pool->geo;
	uint64_t rows;

	for (; n && s->area < geo->n_data_areas; n--, s->area++) {
		/* nothing is claimed there: see pool/fit.c */
		if (!tn8_load_relaxed(&s->pool->fit[s->area]))
			continue;
		rows = tn_div_up(tn_min64(TN_AREA_PAGES, geo->n_pages -
					  s->area * TN_AREA_PAGES),
				 TN_ROW_PAGES);
		for (uint64_t i = 0; i < rows; i++)
			look_at_row(s, s->area * TN_AREA_ROWS + i);
	}
	return s->area < geo->n_data_areas;
}

uint64_t tn_survey_holes(const struct tn_survey *s)
{
	uint64_t pages = 0;

	for (unsigned i = 0; i < TN_CLASS_CACHE; i++) {
		const struct tn_shape *shape;

		if (!s->free[i])
			continue;
		shape = tn_cache_shape(s->pool, TN_CLASS_MOVABLE + i);
		pages += s->free[i] / shape->slots << shape->order;
	}
	return pages;
}
