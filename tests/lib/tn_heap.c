/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_heap.h"

#include "tests/lib/tn_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "pool/row.h"

static void *map(uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

void tn_heap_init(struct tn_heap *heap, uint64_t bytes, unsigned policy)
{
	struct tn_geo geo;
	void *meta;

	memset(heap, 0, sizeof(*heap));
	if (tn_geo_init(&geo, bytes) < 0)
		abort();
	meta = map(geo.meta_bytes);
	tn_pool_format(meta, &geo, "heap", TN_KIND_SLAB, policy, 0, 0x1234);
	heap->pool.shapes = heap->shapes;
	if (tn_pool_attach(&heap->pool, meta, map(bytes), &geo,
			   TN_PRODUCER) < 0)
		abort();
	for (uint32_t c = 0; c <= TN_HEAP_CLIENTS; c++) {
		heap->control[c] = map(geo.control_bytes);
		tn64_store_relaxed(&heap->pool.clients[c].state,
				   c ? TN_CLIENT_ALIVE | c : 0);
	}
}

void tn_heap_fini(struct tn_heap *heap)
{
	struct tn_geo *geo = &heap->pool.geo;

	for (unsigned c = 0; c <= TN_HEAP_CLIENTS; c++)
		munmap(heap->control[c], geo->control_bytes);
	munmap(heap->pool.data, geo->data_bytes);
	munmap(heap->pool.meta, geo->meta_bytes);
}

struct tn_lane_ref tn_heap_lane(struct tn_heap *heap, uint32_t client,
				uint32_t index)
{
	uint8_t *control = heap->control[client];
	struct tn_lane_ref l = {
		.control = control,
		.rec = tn_lane_rec(&heap->pool.geo, control, index),
		.client = client ? client : TN_DAEMON_SLOT,
		.index = index,
	};

	tn64_store_relaxed(&l.rec->state, TN_LANE_BUSY | 1);
	tn_lane_start(&heap->pool, &l);
	return l;
}

uint64_t tn_heap_recover(struct tn_heap *heap, uint32_t client)
{
	struct tn_recover r;
	int e;

	tn_recover_begin(&r, &heap->pool, heap->control[client], client,
			 tn_heap_lane(heap, 0, 0));
	while ((e = tn_recover_step(&r, 1)) == 1)
		;
	if (e) {
		fprintf(stderr, "recovery: %d\n", e);
		abort();
	}
	return r.freed_objects;
}

static const char *wrong(const char *what, uint64_t at, uint64_t value)
{
	static char text[120];

	snprintf(text, sizeof(text), "%s %llu is %#llx", what,
		 (unsigned long long)at, (unsigned long long)value);
	return text;
}

const char *tn_heap_not_pristine(const struct tn_pool *pool)
{
	const struct tn_geo *geo = &pool->geo;
	uint64_t n_tags = geo->n_areas << TN_AREA_TAGS_SHIFT, page, map_word;

	for (uint64_t row = 0; row < geo->n_areas * TN_AREA_ROWS; row++) {
		page = row * TN_ROW_PAGES;
		map_word = tn_row_map(pool, row);
		if (page >= geo->handle_page)
			; /* there, none is missing */
		else if (page >= geo->n_pages)
			map_word = ~map_word;
		else if (geo->n_pages - page < TN_ROW_PAGES)
			map_word ^= ~0ULL << (geo->n_pages - page);
		if (map_word)
			return wrong("row", row, map_word);
	}
	for (page = 0; page < geo->n_areas << TN_AREA_SHIFT; page++) {
		uint64_t word = tn64_load_relaxed(&pool->pages[page].word);
		uint64_t slab = tn64_load_relaxed(&pool->pages[page].slab);

		if (word)
			return wrong("word of page", page, word);
		if (slab)
			return wrong("slab word of page", page, slab);
	}
	for (uint64_t i = 0; i < n_tags; i++) {
		uint16_t tag = tn16_load_relaxed(&pool->tags[i]);

		if (tag)
			return wrong("tag", i, tag);
	}
	return NULL;
}

uint16_t tn_heap_tag(struct tn_heap *heap, uint64_t off)
{
	struct tn_object obj;

	if (tn_object_find(&heap->pool, off, &obj) < 0)
		return 0xffff;
	return tn16_load_relaxed(obj.tag);
}

struct tn_heap tn_heap_here;
struct tn_lane_ref tn_heap_lanes[4];

int tn_heap_setup(void **state)
{
	int r = tn_test_setup(state);

	tn_heap_init(&tn_heap_here, 8 << 20, TN_FIRST_FIT);
	for (uint32_t c = 1; c < 4; c++)
		tn_heap_lanes[c] = tn_heap_lane(&tn_heap_here, c, c);
	return r;
}

int tn_heap_teardown(void **state)
{
	tn_heap_fini(&tn_heap_here);
	return tn_test_teardown(state);
}
