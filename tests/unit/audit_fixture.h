/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* A pool with something of everything in it, and an auditor: for test_audit.c
 * and test_audit_pools.c. */
#include "tests/lib/tn_test.h"

#include <string.h>

#include "audit/audit.h"
#include "pool/cache.h"
#include "pool/fit.h"
#include "pool/handle.h"
#include "pool/share.h"
#include "tests/lib/tn_heap.h"

#define BYTES (7ULL << 20) /* the last area is cut short */
#define N_CONTROLS (TN_HEAP_CLIENTS + 1)

static struct tn_heap heap;
static struct tn_lane_ref lane[N_CONTROLS], second; /* of client 1 */
static struct tn_audit audit;
static struct tn_audit_control controls[N_CONTROLS];
static struct tn_audit_in in;
static uint64_t slab, wide, run, big, idle; /* pages; the last one is free */
static uint64_t shared; /* an object that clients 1 and 2 hold */
/* client 1's handle 0, and its object; they are the first slots of slabs */
static uint64_t entry, thing;
static uint64_t moved_run; /* a page, of client 2's handle 1 */
#define MOVABLE (TN_CLASS_MOVABLE + 3)

static inline void control_header(unsigned c)
{
	struct tn_control *h = (struct tn_control *)(void *)heap.control[c];

	h->magic = TN_CONTROL_MAGIC;
	h->major = TN_LAYOUT_MAJOR;
	h->client = c ? c : TN_DAEMON_SLOT;
	h->data_bytes = BYTES;
	h->mark = heap.pool.mark;
	controls[c] = (struct tn_audit_control){
		.control = heap.control[c],
		.bytes = heap.pool.geo.control_bytes,
		.client = h->client,
		.alive = true,
	};
}

static inline void bind(uint64_t off, uint64_t to)
{
	struct tn_object obj;

	assert_int_equal(tn_object_find(&heap.pool, to, &obj), 0);
	assert_true(tn_handle_bind(&heap.pool, off, &obj, to));
}

/* Two handles: of a slot, and of a run of three pages. */
static inline void furnish_handles(void)
{
	struct tn_slab_cursor none = { 0 };
	struct tn_slot h[4], o[3];

	assert_int_equal(tn_slab_claim(&heap.pool, &lane[1], TN_CLASS_HANDLE,
				       &none, h, 4), 4);
	entry = tn_pool_off(&heap.pool, h[3].p);
	assert_int_equal(tn_slab_claim(&heap.pool, &lane[1], MOVABLE, &none, o,
				       3), 3);
	thing = tn_pool_off(&heap.pool, o[2].p);
	tn16_store_relaxed(h[3].tag, TN_TAG_HELD | 1);
	tn16_store_relaxed(o[2].tag, TN_TAG_HELD | 1);
	bind(entry, thing);
	assert_int_equal(tn_run_alloc(&heap.pool, &lane[1], 3, TN_FIRST_FIT |
			 TN_AMONG(TN_GROUP_MOVABLE), &moved_run), 0);
	tn16_store_relaxed(h[2].tag, TN_TAG_HELD | 1);
	bind(entry + 16, moved_run << 12);
	assert_int_equal(tn_hold_give(&heap.pool, &lane[1], entry + 16, 2), 0);
}

/* A page of every kind, and a tag of every form that rests. */
static inline void furnish(void)
{
	static struct tn_slot s[10];
	struct tn_slab_cursor cursor[3] = { { 0 } };
	int c;

	tn_slab_claim(&heap.pool, &lane[1], 3, &cursor[0], s, 10);
	for (unsigned i = 0; i < 4; i++)
		tn16_store_relaxed(s[i].tag, TN_TAG_HELD | 1);
	tn16_store_relaxed(s[4].tag, TN_TAG_POOL);
	assert_int_equal(tn_hold_give(&heap.pool, &lane[1],
				tn_pool_off(&heap.pool, s[3].p), 2), 0);
	tn16_store_relaxed(s[5].tag, TN_TAG_HELD | 1);
	shared = tn_pool_off(&heap.pool, s[5].p);
	assert_int_equal(tn_share_make(&heap.pool, &lane[1], shared), 0);
	assert_int_equal(tn_share_hold(&heap.pool, &lane[2], shared), 0);
	slab = tn_pool_off(&heap.pool, s[9].p) >> 12;
	tn64_store_relaxed(&tn_root_find(&heap.pool, "r", true)->ref,
			   tn_ref_make(&heap.pool, slab << 12));
	tn_slab_claim(&heap.pool, &lane[2], 39, &cursor[1], s, 1);
	wide = tn_pool_off(&heap.pool, s[0].p) >> 12;
	c = tn_cache_make(&heap.pool, "job", 100, 64);
	assert_true(c > 0);
	assert_true(tn_cache_make(&heap.pool, "other", 8, 16) > 0);
	tn_slab_claim(&heap.pool, &lane[2], (unsigned)c, &cursor[2], s, 3);
	assert_int_equal(tn_run_alloc(&heap.pool, &lane[3], 5, TN_FIRST_FIT,
				      &run), 0);
	assert_int_equal(tn_run_alloc(&heap.pool, &lane[3], 700, TN_FIRST_FIT,
				      &big), 0);
	idle = run + 5;
	furnish_handles();
}

static inline int setup(void **state)
{
	int r = tn_test_setup(state);

	tn_heap_init(&heap, BYTES, TN_FIRST_FIT);
	for (unsigned c = 0; c < N_CONTROLS; c++) {
		control_header(c);
		lane[c] = tn_heap_lane(&heap, c, c);
	}
	second = tn_heap_lane(&heap, 1, 7);
	in = (struct tn_audit_in){
		.meta = heap.pool.meta,
		.meta_bytes = heap.pool.geo.meta_bytes,
		.data = heap.pool.data,
		.data_bytes = BYTES,
		.controls = controls,
		.n_controls = N_CONTROLS,
		.quiescent = true,
		.thorough = true,
	};
	return r;
}

static inline int teardown(void **state)
{
	tn_heap_fini(&heap);
	return tn_test_teardown(state);
}

static inline void must_hold(const char *when)
{
	char text[300];

	if (tn_audit_run(&audit, &in)) {
		tn_audit_format(&audit.result.finding, text, sizeof(text));
		fail_msg("%s: %s", when, text);
	}
	if (in.quiescent && audit.result.n_weak) {
		tn_audit_format(&audit.result.weak, text, sizeof(text));
		fail_msg("%s: weak: %s", when, text);
	}
}

/* Two pages in the hands of lane 1. */
static inline uint64_t taken(void)
{
	uint64_t page;

	assert_int_equal(tn_run_take(&heap.pool, &lane[1], TN_OP_RUN, 2,
				     TN_FIRST_FIT, &page), 0);
	return page;
}
