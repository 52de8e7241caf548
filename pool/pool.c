/* SPDX-License-Identifier: BSD-2-Clause */
#include "pool/pool.h"

#include <errno.h>
#include <string.h>

/* The pages that the last area lacks are claimed for ever. */
static void close_last_area(struct tn_area *area, tn_a8 *fit, uint64_t n_pages)
{
	unsigned in_last = n_pages & (TN_AREA_PAGES - 1);
	unsigned order = TN_AREA_ORDER;

	if (!in_last)
		return;
	for (unsigned p = in_last; p < TN_AREA_PAGES; p++) {
		tn_a64 *map = &area->row[p / TN_ROW_PAGES].lo;

		tn64_store_relaxed(map, tn64_load_relaxed(map) |
				   1ULL << p % TN_ROW_PAGES);
	}
	while (1U << order > in_last)
		order--;
	tn8_store_relaxed(fit, (uint8_t)(TN_AREA_ORDER - order));
}

void tn_pool_write_header(void *meta, const struct tn_geo *geo,
			  const char *name, uint32_t kind, uint32_t policy,
			  uint32_t flags, uint64_t mark)
{
	struct tn_header *h = meta;

	h->kind = kind;
	h->policy = policy;
	h->flags = flags;
	h->data_bytes = geo->data_bytes;
	h->mark = mark;
	strncpy(h->name, name, sizeof(h->name) - 1);
	h->major = TN_LAYOUT_MAJOR;
	h->minor = TN_LAYOUT_MINOR;
	h->magic = TN_MAGIC;
}

void tn_pool_format(void *meta, const struct tn_geo *geo, const char *name,
		    uint32_t kind, uint32_t policy, uint32_t flags,
		    uint64_t mark)
{
	uint8_t *base = meta;
	uint64_t last = geo->n_data_areas - 1;

	close_last_area((struct tn_area *)(void *)(base + geo->areas) + last,
			(tn_a8 *)(base + geo->fit) + last, geo->n_pages);
	tn_pool_write_header(meta, geo, name, kind, policy, flags, mark);
}

int tn_pool_attach(struct tn_pool *pool, void *meta, void *data,
		   const struct tn_geo *geo, uint32_t role)
{
	uint8_t *base = meta;
	struct tn_header h;

	/* one look at what others can write */
	memcpy(&h, meta, sizeof(h));
	if (h.magic != TN_MAGIC)
		return -EUCLEAN;
	if (h.major != TN_LAYOUT_MAJOR)
		return -EPROTONOSUPPORT;
	if (h.data_bytes != geo->data_bytes || !h.mark || h.mark >> 16 ||
	    (h.kind != TN_KIND_SLAB && h.kind != TN_KIND_BUDDY) ||
	    h.policy < TN_FIRST_FIT || h.policy > TN_WORST_FIT)
		return -EUCLEAN;

	pool->data = data;
	pool->meta = base;
	pool->header = meta;
	pool->geo = *geo;
	pool->roots = (void *)(base + geo->roots);
	pool->caches = (void *)(base + geo->caches);
	pool->clients = (void *)(base + geo->clients);
	pool->done = (void *)(base + geo->done);
	pool->fit = (void *)(base + geo->fit);
	pool->hints = (void *)(base + geo->hints);
	pool->areas = (void *)(base + geo->areas);
	pool->pages = (void *)(base + geo->pages);
	pool->tags = (void *)(base + geo->tags);
	pool->touched_areas = (void *)(base + geo->touched_areas);
	pool->touched_pages = (void *)(base + geo->touched_pages);
	pool->shares = (void *)(base + geo->shares);
	pool->backs = (void *)(base + geo->backs);
	pool->handles = (void *)(base + geo->handles);
	pool->n_handles = (uint32_t)geo->n_handles;
	pool->n_writable = role == TN_PRODUCER ? pool->n_handles : 0;
	pool->groups = (void *)(base + geo->groups);
	pool->mark = h.mark;
	pool->kind = h.kind;
	pool->policy = h.policy;
	pool->flags = h.flags;
	pool->role = role;
	tn_shapes_init(pool->shapes);
	return 0;
}
