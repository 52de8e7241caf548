/* SPDX-License-Identifier: BSD-2-Clause */
/* A pool area by area, for who wants to see where it is full. */
#include <errno.h>
#include <stdlib.h>

#include "client/pool.h"
#include "pool/cache.h"
#include "pool/row.h"
#include "tarn/stats.h"

static void add_live(struct tarn_area *a, uint16_t tag, uint64_t bytes)
{
	if (!tag || TN_TAG_FORM(tag) == TN_TAG_KEPT)
		return;
	a->live_bytes += bytes;
	a->movable_bytes += tag == TN_TAG_HANDLE ? bytes : 0;
}

static void look_at_slab(struct tn_pool *pool, struct tarn_area *a,
			 uint64_t page, const struct tn_shape *s)
{
	for (unsigned i = 0; i < s->slots; i++)
		add_live(a, tn16_load_relaxed(&pool->tags[
				 tn_tag_index(page, i)]), s->bytes);
}

/* What begins at a claimed page, or goes on there: of a long run each area
 * counts its own. */
static void look_at(struct tn_pool *pool, struct tarn_area *a, uint64_t page)
{
	uint64_t word = tn64_load_relaxed(&pool->pages[page].word);
	uint64_t pages, here;
	unsigned class = TN_PAGE_CLASS(word);
	const struct tn_shape *s;

	if (TN_PAGE_KIND(word) == TN_PAGE_RUN) {
		uint16_t tag = tn16_load_relaxed(&pool->tags[
				tn_tag_index(page, 0)]);

		pages = tn_min64(TN_PAGE_PAGES(word), pool->geo.n_pages - page);
		for (here = TN_AREA_PAGES - page % TN_AREA_PAGES; pages;
		     here = TN_AREA_PAGES) {
			here = tn_min64(here, pages);
			add_live(a++, tag, here << TN_PAGE_SHIFT);
			pages -= here;
		}
	} else if (TN_PAGE_KIND(word) == TN_PAGE_SLAB && !TN_PAGE_BACK(word) &&
		   class < TN_N_CLASSES) {
		s = tn_cache_shape(pool, class);
		if (s && page + (1ULL << s->order) <= pool->geo.n_pages)
			look_at_slab(pool, a, page, s);
	}
}

static void look_at_area(struct tn_pool *pool, struct tarn_area *all,
			 uint64_t area)
{
	uint64_t page = area * TN_AREA_PAGES;
	uint64_t end = tn_min64(page + TN_AREA_PAGES, pool->geo.n_pages);
	struct tarn_area *a = &all[area];

	a->pages = (uint32_t)(end - page);
	/* nothing is claimed there: see pool/fit.c */
	if (!tn8_load_relaxed(&pool->fit[area])) {
		a->free_pages = a->pages;
		return;
	}
	for (; page < end; page++) {
		if (tn_row_map(pool, page / TN_ROW_PAGES) >>
		    page % TN_ROW_PAGES & 1)
			look_at(pool, a, page);
		else
			a->free_pages++;
	}
}

TARN_API int tarn_areas(struct tarn_pool *pool, struct tarn_area **ret)
{
	uint64_t n = pool->p.geo.n_data_areas;
	struct tarn_area *all;

	if (!pool->key)
		return -EBADF;
	all = calloc(n, sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (uint64_t i = 0; i < n; i++)
		look_at_area(&pool->p, all, i);
	*ret = all;
	return (int)n;
}
