/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_movable.h"

#include <string.h>

#include "tests/lib/tn_test.h"

#define heap tn_heap_here

uint64_t tn_movable_slot(const struct tn_lane_ref *l, unsigned class)
{
	struct tn_slab_cursor cursor = { 0 };
	struct tn_slot slot;

	assert_int_equal(tn_slab_claim(&heap.pool, l, class, &cursor, &slot, 1),
			 1);
	tn16_store_relaxed(slot.tag, (uint16_t)(TN_TAG_HELD | l->client));
	return tn_pool_off(&heap.pool, slot.p);
}

uint64_t tn_movable_bind(const struct tn_lane_ref *l, uint64_t off)
{
	uint64_t entry = tn_movable_slot(l, TN_CLASS_HANDLE), ref;
	struct tn_object obj;

	assert_int_equal(tn_object_find(&heap.pool, off, &obj), 0);
	ref = tn_handle_bind(&heap.pool, entry, &obj, off);
	assert_true(ref & TN_HANDLE_REF);
	memcpy(heap.pool.data + off, &ref, sizeof(ref));
	return ref;
}

uint64_t tn_movable_place(uint64_t ref)
{
	return TN_HANDLE_OFF(tn64_load_relaxed(
		&tn_handle_at(&heap.pool, TN_HANDLE_IDX(ref))->place));
}

bool tn_movable_intact(uint64_t ref)
{
	return !memcmp(heap.pool.data + tn_movable_place(ref), &ref,
		       sizeof(ref));
}

static void give_back(const struct tn_lane_ref *l, const struct tn_object *obj,
		      uint64_t off)
{
	const struct tn_slab_cursor none = { 0 };
	int r;

	if (obj->pages)
		r = tn_run_drop(&heap.pool, l, TN_OP_RUN, obj->page,
				obj->pages);
	else
		r = tn_slab_return(&heap.pool, l, obj->class,
				   &(struct tn_slot){ heap.pool.data + off,
						      obj->tag }, 1, &none);
	assert_int_equal(r, 0);
}

void tn_movable_drop(const struct tn_lane_ref *l, uint64_t ref)
{
	uint64_t entry, off;
	struct tn_object h, obj;

	assert_true(tn_ref_place(&heap.pool, ref, &entry));
	assert_int_equal(tn_object_find(&heap.pool, entry, &h), 0);
	assert_int_equal(tn_object_release(&heap.pool, l, entry, &h), 0);
	assert_int_equal(tn_handle_unbind(&heap.pool, l, entry, &obj, &off), 0);
	give_back(l, &obj, off);
	give_back(l, &h, entry);
}
