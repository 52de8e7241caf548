/* SPDX-License-Identifier: BSD-2-Clause */
/* One object, by its ref. */
#include "tests/unit/move_fixture.h"

#define WHERE (TN_FIRST_FIT | TN_AMONG(TN_GROUP_MOVABLE))

/* The handle of a run of 13 pages. */
static uint64_t run_with_handle(void)
{
	uint64_t page;

	assert_int_equal(tn_run_alloc(&heap.pool, &lane[1], 13, WHERE, &page),
			 0);
	return tn_movable_bind(&lane[1], page << TN_PAGE_SHIFT);
}

static int move_one(uint64_t ref)
{ return tn_move_one(&mover, ref, TN_GROUP_MOVABLE); }

static void one_object_is_moved_by_its_ref(void **state)
{
	uint64_t at;

	(void)state;
	two_half_slabs();
	at = tn_movable_place(upper[5]);
	assert_int_equal(move_one(upper[5]), 1);
	assert_int_not_equal(tn_movable_place(upper[5]), at);
	assert_int_equal(tn_move_one(&mover, upper[5] +
				     (1ULL << TN_HANDLE_IDX_BITS),
				     TN_GROUP_MOVABLE), -ESTALE);
	tn64_store_relaxed(tn_lane_pins(&heap.pool.geo, heap.control[1], 1),
			   upper[5]);
	assert_int_equal(move_one(upper[5]), 0);
	all_intact();
	free_all();
}

static void a_run_is_moved_by_its_ref(void **state)
{
	uint64_t ref, at;
	uint8_t *old;

	(void)state;
	ref = run_with_handle();
	mover.spoil = true;
	for (int i = 0; i < 5; i++) {
		at = tn_movable_place(ref);
		old = heap.pool.data + at;
		assert_int_equal(move_one(ref), 1);
		assert_int_not_equal(tn_movable_place(ref), at);
		assert_true(tn_movable_intact(ref));
		assert_int_equal(old[0], 0xa5);
		assert_int_equal(old[13 * TN_PAGE_BYTES - 1], 0xa5);
	}
	tn_heap_recover(&heap, 1);
	assert_null(tn_heap_not_pristine(&heap.pool));
}

/* Clients may write what they like to it, and the mover copies. */
static void a_handle_that_leads_astray_moves_nothing(void **state)
{
	const uint64_t end = heap.pool.geo.data_bytes;
	uint64_t at[] = {
		0, 1, 0, end - 16, end, end + 4096, 0, TN_HANDLE_OFF(~0ULL),
	};
	uint64_t place, idx;
	struct tn_object self;
	struct tn_handle *h;
	uint16_t tag;

	(void)state;
	two_half_slabs();
	idx = TN_HANDLE_IDX(upper[5]);
	h = tn_handle_at(&heap.pool, idx);
	place = tn64_load_relaxed(&h->place);
	at[2] = TN_HANDLE_OFF(place) + 16;
	/* itself: a slot, of a slab, but not in data */
	at[6] = tn_geo_handle_off(&heap.pool.geo, idx);
	assert_int_equal(tn_object_find(&heap.pool, at[6], &self), 0);
	tag = tn16_load_relaxed(self.tag);
	tn32_store_relaxed(tn_handle_back(&heap.pool, self.tag), (uint32_t)idx);
	tn16_store_relaxed(self.tag, TN_TAG_HANDLE);
	for (size_t i = 0; i < TN_ARRAY_LEN(at); i++) {
		tn64_store_relaxed(&h->place,
				   TN_HANDLE_PLACE(TN_HANDLE_LIVE, at[i]));
		assert_int_equal(move_one(upper[5]), -ENOENT);
	}
	tn64_store_relaxed(&h->place, place);
	tn16_store_relaxed(self.tag, tag);
	tn32_store_relaxed(tn_handle_back(&heap.pool, self.tag), 0);
	all_intact();
	free_all();
}

static unsigned group_at(uint64_t off)
{ return tn8_load_relaxed(&heap.pool.groups[off >> TN_PAGE_SHIFT >>
					    TN_AREA_SHIFT]); }

/* There, it is one of few in an area; here, it would keep an area. */
static void what_is_to_stay_goes_among_what_cannot_be_moved(void **state)
{
	uint64_t ref, at;

	(void)state;
	ref = run_with_handle();
	two_half_slabs();
	for (int i = 0; i < 2; i++) {
		uint64_t r = i ? ref : upper[5];

		assert_int_equal(group_at(tn_movable_place(r)),
				 TN_GROUP_MOVABLE);
		assert_int_equal(tn_move_one(&mover, r, TN_GROUP_FIXED), 1);
		at = tn_movable_place(r);
		assert_int_equal(group_at(at), TN_GROUP_FIXED);
		assert_int_equal(tn_move_one(&mover, r, TN_GROUP_FIXED),
				 -EALREADY);
		assert_int_equal(tn_movable_place(r), at);
	}
	assert_true(tn_movable_intact(ref));
	all_intact();
	tn_heap_recover(&heap, 1);
	assert_null(tn_heap_not_pristine(&heap.pool));
}

/* The areas that are free are all taken for what can be moved. */
static void where_no_area_is_left_for_it_it_stays(void **state)
{
	uint64_t page, ref, at;

	(void)state;
	ref = run_with_handle();
	two_half_slabs();
	while (tn_run_alloc(&heap.pool, &lane[1], 256, WHERE, &page) == 0)
		;
	for (int i = 0; i < 2; i++) {
		uint64_t r = i ? ref : upper[5];

		at = tn_movable_place(r);
		assert_int_equal(tn_move_one(&mover, r, TN_GROUP_FIXED),
				 -ENOMEM);
		assert_int_equal(tn_movable_place(r), at);
	}
	all_intact();
	tn_heap_recover(&heap, 1);
	assert_null(tn_heap_not_pristine(&heap.pool));
}

#define MOVE_TEST(name) \
	cmocka_unit_test_setup_teardown(name, setup, tn_heap_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MOVE_TEST(one_object_is_moved_by_its_ref),
		MOVE_TEST(a_run_is_moved_by_its_ref),
		MOVE_TEST(a_handle_that_leads_astray_moves_nothing),
		MOVE_TEST(what_is_to_stay_goes_among_what_cannot_be_moved),
		MOVE_TEST(where_no_area_is_left_for_it_it_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
