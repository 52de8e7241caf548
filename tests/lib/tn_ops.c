/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const struct tn_deed *const tn_ops[TN_OPS_TABLES] = {
	tn_ops_slab, tn_ops_run, tn_ops_hold, tn_ops_share, tn_ops_client,
	tn_ops_handle,
};

void tn_ops_failed(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: set-up: %s\n", file, line, what);
	_exit(9);
}

struct tn_lane_ref tn_ops_lane(struct tn_world *w, uint32_t client)
{
	return client == TN_DEAD ? w->dead :
	       client == TN_LIVING ? w->living : w->owner;
}

uint64_t tn_ops_object(struct tn_world *w, uint32_t client, unsigned class,
		       uint16_t tag)
{
	struct tn_lane_ref l = tn_ops_lane(w, client);
	struct tn_slab_cursor cursor = { 0 };
	struct tn_slot s;

	tn_ops_need(tn_slab_claim(&w->heap.pool, &l, class, &cursor, &s, 1));
	tn16_store_relaxed(s.tag, tag);
	return tn_pool_off(&w->heap.pool, s.p);
}

uint64_t tn_ops_run_of(struct tn_world *w, uint32_t client, uint64_t pages)
{
	struct tn_lane_ref l = tn_ops_lane(w, client);
	uint64_t page = 0;

	tn_ops_need(tn_run_alloc(&w->heap.pool, &l, pages, TN_FIRST_FIT,
				 &page) == 0);
	return page << TN_PAGE_SHIFT;
}

static uint64_t free_pages(const struct tn_world *w)
{
	const struct tn_pool *p = &w->heap.pool;
	uint64_t n = 0;

	for (uint64_t a = 0; a < p->geo.n_data_areas; a++)
		for (unsigned r = 0; r < TN_AREA_ROWS; r++)
			n += (unsigned)__builtin_popcountll(
				~tn64_load_relaxed(&p->areas[a].row[r].lo));
	return n;
}

void tn_ops_leave_pages(struct tn_world *w, uint64_t left)
{
	struct tn_lane_ref l = tn_ops_lane(w, TN_OWNER);
	uint64_t page;

	for (uint64_t n = free_pages(w); n > left; n--)
		tn_ops_need(tn_run_alloc(&w->heap.pool, &l, 1, TN_FIRST_FIT,
					 &page) == 0);
}

void tn_ops_keep_runs(struct tn_world *w, uint64_t room)
{
	static uint32_t at[TN_RUN_CACHE_PAGES + 1][TN_RUN_CACHE_DEPTH];

	w->cache = (struct tn_run_cache){ .room = room, .at = at };
	w->dead.cache = &w->cache;
}

void tn_ops_claim(struct tn_world *w, const struct tn_lane_ref *l,
		  unsigned class, unsigned n)
{
	struct tn_slab_cursor cursor = { 0 };
	unsigned got, want;

	for (; n; n -= got, w->n += got) {
		want = n < TN_CLAIM_MAX ? n : TN_CLAIM_MAX;
		tn_ops_need(w->n + want <= TN_ARRAY_LEN(w->slots));
		got = tn_slab_claim(&w->heap.pool, l, class, &cursor,
				    w->slots + w->n, want);
		tn_ops_need(got);
	}
}
