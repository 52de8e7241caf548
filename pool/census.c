/* SPDX-License-Identifier: BSD-2-Clause */
#include "pool/census.h"

#include "pool/cache.h"
#include "pool/handle.h"
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

/* Whose is the object at @off, with that tag? What is a handle's is its
 * holder's. Return: a tag; 0: nobody's, it is being moved. */
static uint16_t holder(struct tn_pool *pool, struct tn_census *c,
		       const tn_a16 *tag, uint64_t off, uint64_t bytes)
{
	uint16_t t = tn16_load_relaxed(tag);
	struct tn_object h;
	uint64_t idx;

	if (t != TN_TAG_HANDLE)
		return t;
	idx = tn32_load_relaxed(tn_handle_back(pool, tag));
	if (idx >= pool->geo.n_handles ||
	    TN_HANDLE_OFF(tn64_load_relaxed(
				&tn_handle_at(pool, idx)->place)) != off ||
	    tn_object_find(pool, tn_geo_handle_off(&pool->geo, idx), &h) < 0)
		return 0;
	t = tn16_load_relaxed(h.tag);
	if (t && TN_TAG_FORM(t) != TN_TAG_KEPT)
		c->movable_bytes += bytes;
	return t;
}

static void count_slab(struct tn_pool *pool, struct tn_census *c, uint64_t page,
		       unsigned class, const struct tn_shape *s)
{
	struct tn_class_count *n = &c->classes[class];

	n->slabs++;
	n->slots += s->slots;
	for (unsigned i = 0; i < s->slots; i++) {
		uint16_t tag = holder(pool, c,
				      &pool->tags[tn_tag_index(page, i)],
				      (page << TN_PAGE_SHIFT) +
				      (uint64_t)i * s->bytes, s->bytes);

		if (!tag)
			continue;
		if (TN_TAG_FORM(tag) == TN_TAG_KEPT)
			n->kept++;
		else
			n->live++;
		if (class == TN_CLASS_HANDLE)
			c->handles += TN_TAG_FORM(tag) != TN_TAG_KEPT;
		else
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
	    !tn_geo_has(&pool->geo, page, pages))
		return 1; /* changing hands just now */
	tag = holder(pool, c, &pool->tags[tn_tag_index(page, 0)],
		     page << TN_PAGE_SHIFT, pages << TN_PAGE_SHIFT);
	if (tag) {
		if (TN_TAG_FORM(tag) != TN_TAG_KEPT)
			c->run_bytes += pages << TN_PAGE_SHIFT;
		count_tag(c, tag, pages << TN_PAGE_SHIFT);
	}
	return pages;
}

/* Pages from @page to @end. Return: how many are free. */
static uint64_t count_pages(struct tn_pool *pool, struct tn_census *c,
			    uint64_t page, uint64_t end)
{
	uint64_t free = 0, map;

	while (page < end) {
		/* nothing is claimed there: see pool/fit.c */
		if (page % TN_AREA_PAGES == 0 &&
		    !tn8_load_relaxed(&pool->fit[page >> TN_AREA_SHIFT])) {
			free += tn_min64(TN_AREA_PAGES, end - page);
			page += TN_AREA_PAGES;
			continue;
		}
		map = tn_row_map(pool, page / TN_ROW_PAGES);
		if (map >> page % TN_ROW_PAGES & 1) {
			page += count_at(pool, c, page);
			continue;
		}
		free++;
		page++;
	}
	return free;
}

void tn_census_take(struct tn_pool *pool, struct tn_census *ret)
{
	ret->free_pages = count_pages(pool, ret, 0, pool->geo.n_pages);
	count_pages(pool, ret, pool->geo.handle_page,
		    pool->geo.n_areas << TN_AREA_SHIFT);
}

void tn_census_clients(const struct tn_pool *pool, struct tn_census *ret,
		       unsigned from, unsigned to)
{
	for (unsigned i = from; i < to && i < TN_N_CLIENTS; i++) {
		uint64_t state = tn64_load_relaxed(&pool->clients[i].state);

		if (state && i)
			ret->clients[i].id = (uint32_t)state;
	}
}
