/* SPDX-License-Identifier: BSD-2-Clause */
#include "pool/census.h"

#include "pool/cache.h"
#include "pool/row.h"

static void count_tag(struct tn_census *c, uint16_t tag, uint64_t bytes)
{
	uint32_t id = TN_TAG_FORM(tag) <= TN_TAG_LINK ? TN_TAG_CLIENT(tag) : 0;
	struct tn_client_count *client = &c->clients[TN_CLIENT_SLOT(id)];

	if (id)
		client->id = id;
	if (TN_TAG_FORM(tag) == TN_TAG_KEPT) {
		client->kept_bytes += bytes;
		return;
	}
	client->objects++;
	client->bytes += bytes;
}

static void count_slab(struct tn_pool *pool, struct tn_census *c, uint64_t page,
		       unsigned class, const struct tn_shape *s)
{
	struct tn_class_count *n = &c->classes[class];

	n->slabs++;
	n->slots += s->slots;
	for (unsigned i = 0; i < s->slots; i++) {
		uint16_t tag = tn16_load_relaxed(&pool->tags[
				tn_tag_index(page, i)]);

		if (!tag)
			continue;
		if (TN_TAG_FORM(tag) == TN_TAG_KEPT)
			n->kept++;
		else
			n->live++;
		count_tag(c, tag, s->bytes);
	}
}

/* What begins at a claimed page. Return: how many pages to go on. */
static uint64_t count_at(struct tn_pool *pool, struct tn_census *c,
			 uint64_t page)
{
	uint64_t word = tn64_load_relaxed(&pool->pages[page].word);
	uint64_t pages = TN_PAGE_PAGES(word);
	unsigned class = TN_PAGE_CLASS(word);
	const struct tn_shape *s;
	uint16_t tag;

	if (TN_PAGE_KIND(word) == TN_PAGE_SLAB && class < TN_N_CLASSES) {
		s = tn_cache_shape(pool, class);
		if (!s || page & ((1ULL << s->order) - 1))
			return 1;
		count_slab(pool, c, page, class, s);
		return 1ULL << s->order;
	}
	if (TN_PAGE_KIND(word) != TN_PAGE_RUN || !pages ||
	    pages > pool->geo.n_pages - page)
		return 1; /* changing hands just now */
	tag = tn16_load_relaxed(&pool->tags[tn_tag_index(page, 0)]);
	if (tag) {
		if (TN_TAG_FORM(tag) != TN_TAG_KEPT)
			c->run_bytes += pages << TN_PAGE_SHIFT;
		count_tag(c, tag, pages << TN_PAGE_SHIFT);
	}
	return pages;
}

void tn_census_take(struct tn_pool *pool, struct tn_census *ret)
{
	uint64_t page = 0, row, map;

	while (page < pool->geo.n_pages) {
		uint64_t area = page >> TN_AREA_SHIFT;

		/* nothing is claimed there: see pool/fit.c */
		if (page % TN_AREA_PAGES == 0 &&
		    !tn8_load_relaxed(&pool->fit[area])) {
			ret->free_pages += tn_min64(TN_AREA_PAGES,
						    pool->geo.n_pages - page);
			page += TN_AREA_PAGES;
			continue;
		}
		row = page / TN_ROW_PAGES;
		map = tn_row_map(pool, row);
		if (map >> page % TN_ROW_PAGES & 1) {
			page += count_at(pool, ret, page);
			continue;
		}
		ret->free_pages++;
		page++;
	}
	for (unsigned i = 1; i < TN_N_CLIENTS; i++) {
		uint64_t state = tn64_load_relaxed(&pool->clients[i].state);

		if (state)
			ret->clients[i].id = (uint32_t)state;
	}
}
