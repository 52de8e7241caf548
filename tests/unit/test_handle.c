/* SPDX-License-Identifier: BSD-2-Clause */
#include "pool/handle.h"

#include <errno.h>

#include "pool/census.h"
#include "pool/fit.h"
#include "pool/share.h"
#include "tests/lib/tn_movable.h"
#include "tests/lib/tn_test.h"

#define heap tn_heap_here
#define lane tn_heap_lanes
#define CLASS (TN_CLASS_MOVABLE + 3) /* 64 bytes */

/* A handle of a client's, and where its object lies. */
static uint64_t make(const struct tn_lane_ref *l, uint64_t *ret_off)
{
	*ret_off = tn_movable_slot(l, CLASS);
	return tn_movable_bind(l, *ret_off);
}

static uint64_t place(uint64_t ref)
{
	uint64_t off;

	assert_true(tn_ref_place(&heap.pool, ref, &off));
	return off;
}

/* Of each of two areas a slab would be the largest hole there is. */
static void handles_lie_dense_whatever_the_policy(void **state)
{
	struct tn_lane_ref l;

	(void)state;
	tn_heap_fini(&heap);
	tn_heap_init(&heap, 32 << 20, TN_WORST_FIT);
	l = tn_heap_lane(&heap, 1, 1);
	assert_true(heap.pool.geo.n_areas > heap.pool.geo.n_data_areas + 1);
	for (unsigned i = 0; i < 4000; i++)
		assert_in_range(tn_handle_idx(&heap.pool, tn_movable_slot(
						      &l, TN_CLASS_HANDLE)),
				0, 4095);
}

static void slots_of_handles_lie_behind_data(void **state)
{
	uint64_t off, ref = make(&lane[1], &off);

	(void)state;
	assert_true(place(ref) >= heap.pool.geo.data_bytes);
	assert_int_equal(tn_handle_idx(&heap.pool, place(ref)),
			 TN_HANDLE_IDX(ref));
	assert_int_equal(tn_heap_tag(&heap, off), TN_TAG_HANDLE);
	assert_int_equal(tn_heap_tag(&heap, place(ref)), TN_TAG_HELD | 1);
	assert_int_equal(tn_ref_to(&heap.pool, place(ref)), ref);
}

static void a_handle_is_given_and_taken_like_any_object(void **state)
{
	uint64_t off, ref = make(&lane[1], &off);

	(void)state;
	assert_int_equal(tn_hold_give(&heap.pool, &lane[1], place(ref), 2), 0);
	assert_int_equal(tn_hold_take(&heap.pool, &lane[2], place(ref)), 0);
	assert_int_equal(tn_heap_tag(&heap, place(ref)), TN_TAG_HELD | 2);
	/* its object has no holder of its own */
	assert_int_equal(tn_hold_give(&heap.pool, &lane[1], off, 2), -EPERM);
}

static void a_handle_goes_through_a_word(void **state)
{
	uint64_t cell = tn_movable_slot(&lane[1], 0), off;
	uint64_t ref = make(&lane[1], &off);
	tn_a64 *word = (void *)(heap.pool.data + cell);

	(void)state;
	tn64_store_relaxed(word, 0);
	assert_int_equal(tn_hold_publish(&heap.pool, &lane[1], cell,
					 place(ref)), 0);
	assert_int_equal(tn64_load_relaxed(word), ref);
	assert_int_equal(tn_hold_claim(&heap.pool, &lane[2], cell), ref);
	assert_int_equal(tn_heap_tag(&heap, place(ref)), TN_TAG_HELD | 2);
	assert_int_equal(tn64_load_relaxed(word), 0);
}

static void unbind(const struct tn_lane_ref *l, uint64_t ref)
{
	const struct tn_slab_cursor none = { 0 };
	uint64_t entry = place(ref), off;
	struct tn_object h, obj;

	assert_int_equal(tn_object_find(&heap.pool, entry, &h), 0);
	assert_int_equal(tn_object_release(&heap.pool, l, entry, &h), 0);
	assert_int_equal(tn_handle_unbind(&heap.pool, l, entry, &obj, &off), 0);
	assert_int_equal(tn_slab_return(&heap.pool, l, obj.class,
		&(struct tn_slot){ heap.pool.data + off, obj.tag }, 1, &none),
		0);
	assert_int_equal(tn_slab_return(&heap.pool, l, TN_CLASS_HANDLE,
		&(struct tn_slot){ heap.pool.data + entry, h.tag }, 1, &none),
		0);
}

static void a_stale_ref_fits_no_later_handle(void **state)
{
	uint64_t off, old = make(&lane[1], &off), ref;

	(void)state;
	/* the last of its slab: the slab ends, and is made anew */
	unbind(&lane[1], old);
	assert_null(tn_heap_not_pristine(&heap.pool));
	ref = make(&lane[1], &off);
	assert_int_equal(TN_HANDLE_IDX(ref), TN_HANDLE_IDX(old));
	assert_int_not_equal(ref, old);
	assert_false(tn_ref_handle_ok(&heap.pool, old));
}

static void a_stale_ref_fits_not_even_when_memory_was_given_back(void **state)
{
	uint64_t off, old = make(&lane[1], &off), ref;
	struct tn_handle *h = tn_handle_at(&heap.pool, TN_HANDLE_IDX(old));

	(void)state;
	unbind(&lane[1], old);
	tn64_store_relaxed(&h->ref, 0);
	tn64_store_relaxed(&h->place, 0);
	ref = make(&lane[1], &off);
	assert_int_equal(TN_HANDLE_IDX(ref), TN_HANDLE_IDX(old));
	assert_int_not_equal(ref, old);
}

static void a_worn_handle_is_refused(void **state)
{
	uint64_t off = tn_movable_slot(&lane[1], CLASS);
	uint64_t entry = tn_movable_slot(&lane[1], TN_CLASS_HANDLE);
	struct tn_object obj;

	(void)state;
	assert_int_equal(tn_object_find(&heap.pool, off, &obj), 0);
	tn64_store_relaxed(&heap.pool.areas[entry >> TN_PAGE_SHIFT >>
					    TN_AREA_SHIFT].born,
			   TN_HANDLE_NUMBER_MAX);
	assert_int_equal(tn_handle_bind(&heap.pool, entry, &obj, off), 0);
}

static void death_frees_handles_and_their_objects(void **state)
{
	uint64_t off;

	(void)state;
	for (int i = 0; i < 300; i++)
		make(&lane[1], &off);
	/* objects count once, by their handles */
	assert_int_equal(tn_heap_recover(&heap, 1), 300);
	assert_null(tn_heap_not_pristine(&heap.pool));
}

/* The object is in pages that the dead client has never touched. */
static void death_frees_an_object_that_another_had_made(void **state)
{
	uint64_t off, ref = make(&lane[1], &off);

	(void)state;
	assert_int_equal(tn_hold_give(&heap.pool, &lane[1], place(ref), 2), 0);
	assert_int_equal(tn_heap_recover(&heap, 2), 1);
	assert_null(tn_heap_not_pristine(&heap.pool));
}

static void death_frees_a_run_that_has_a_handle(void **state)
{
	uint64_t entry = tn_movable_slot(&lane[1], TN_CLASS_HANDLE), page;
	struct tn_object obj;

	(void)state;
	assert_int_equal(tn_run_alloc(&heap.pool, &lane[1], 100,
				      TN_FIRST_FIT |
				      TN_AMONG(TN_GROUP_MOVABLE), &page), 0);
	assert_int_equal(tn_object_find(&heap.pool, page << 12, &obj), 0);
	assert_int_not_equal(tn_handle_bind(&heap.pool, entry, &obj,
					    page << 12), 0);
	tn_heap_recover(&heap, 1);
	assert_null(tn_heap_not_pristine(&heap.pool));
}

static void the_last_sharer_s_death_frees_handle_and_object(void **state)
{
	uint64_t off, ref = make(&lane[1], &off);

	(void)state;
	assert_int_equal(tn_share_make(&heap.pool, &lane[1], place(ref)), 0);
	assert_int_equal(tn_share_hold(&heap.pool, &lane[2], place(ref)), 0);
	tn_heap_recover(&heap, 1);
	assert_int_equal(tn_heap_tag(&heap, place(ref)), TN_TAG_SHARED);
	tn_heap_recover(&heap, 2);
	assert_null(tn_heap_not_pristine(&heap.pool));
}

static void the_next_pin_is_told_once_of_a_torn_object(void **state)
{
	uint64_t off, ref = make(&lane[1], &off);

	(void)state;
	tn_handle_torn(&heap.pool, ref);
	tn_handle_torn(&heap.pool, ref + (1ULL << TN_HANDLE_IDX_BITS));
	assert_true(tn_handle_told(&heap.pool, TN_HANDLE_IDX(ref)));
	assert_false(tn_handle_told(&heap.pool, TN_HANDLE_IDX(ref)));
}

static void the_census_counts_an_object_once_as_its_handle_s_holder_s(
	void **state)
{
	static struct tn_census c;
	struct tn_object obj;
	uint64_t off, ref = make(&lane[1], &off), page, entry;

	(void)state;
	make(&lane[2], &off);
	entry = tn_movable_slot(&lane[2], TN_CLASS_HANDLE);
	assert_int_equal(tn_run_alloc(&heap.pool, &lane[2], 3, TN_FIRST_FIT,
				      &page), 0);
	assert_int_equal(tn_object_find(&heap.pool, page << 12, &obj), 0);
	assert_true(tn_handle_bind(&heap.pool, entry, &obj, page << 12));
	assert_int_equal(tn_hold_give(&heap.pool, &lane[1], place(ref), 3), 0);
	/* to be the place of the first: not yet anybody's */
	off = tn_movable_slot(&lane[1], CLASS);
	assert_int_equal(tn_object_find(&heap.pool, off, &obj), 0);
	tn32_store_relaxed(tn_handle_back(&heap.pool, obj.tag),
			   (uint32_t)TN_HANDLE_IDX(ref));
	tn16_store_relaxed(obj.tag, TN_TAG_HANDLE);
	tn_census_take(&heap.pool, &c);
	assert_int_equal(c.handles, 3);
	assert_int_equal(c.movable_bytes, 64 + 64 + 3 * 4096);
	assert_int_equal(c.run_bytes, 3 * 4096);
	assert_int_equal(c.classes[CLASS].live, 2);
	assert_int_equal(c.clients[1].objects, 0);
	assert_int_equal(c.clients[2].objects, 2);
	assert_int_equal(c.clients[2].bytes, 64 + 3 * 4096);
	assert_int_equal(c.clients[3].objects, 1);
	assert_int_equal(c.clients[3].bytes, 64);
}

static void a_page_word_cannot_put_handles_into_data(void **state)
{
	uint64_t off = tn_movable_slot(&lane[1], 0);
	tn_a64 *word = &heap.pool.pages[off >> TN_PAGE_SHIFT].word;
	struct tn_object obj;

	(void)state;
	tn64_store_relaxed(word, TN_PAGE_SLAB_WORD(TN_CLASS_HANDLE, 0));
	assert_int_equal(tn_object_find(&heap.pool, off, &obj), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(handles_lie_dense_whatever_the_policy),
		HEAP_TEST(slots_of_handles_lie_behind_data),
		HEAP_TEST(a_handle_is_given_and_taken_like_any_object),
		HEAP_TEST(a_handle_goes_through_a_word),
		HEAP_TEST(a_stale_ref_fits_no_later_handle),
		HEAP_TEST(a_stale_ref_fits_not_even_when_memory_was_given_back),
		HEAP_TEST(a_worn_handle_is_refused),
		HEAP_TEST(death_frees_handles_and_their_objects),
		HEAP_TEST(death_frees_an_object_that_another_had_made),
		HEAP_TEST(death_frees_a_run_that_has_a_handle),
		HEAP_TEST(the_last_sharer_s_death_frees_handle_and_object),
		HEAP_TEST(the_next_pin_is_told_once_of_a_torn_object),
		HEAP_TEST(
		    the_census_counts_an_object_once_as_its_handle_s_holder_s),
		HEAP_TEST(a_page_word_cannot_put_handles_into_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
