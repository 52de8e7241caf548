/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_test.h"

#include <errno.h>
#include <string.h>

#include "pool/fit.h"
#include "pool/row.h"
#include "pool/trim.h"
#include "tests/lib/tn_heap.h"

#define CLASS (TN_CLASS_MOVABLE + 3) /* 64 bytes: 256 in a slab */
#define AREA TN_AREA_PAGES

/* What has been punched, and that it was ours: nobody else can claim it. */
static struct {
	uint64_t pages, meta_bytes;
	int error;
} punched;

static int punch_data(void *arg, uint64_t page, uint64_t n)
{
	struct tn_pool *pool = arg;

	for (uint64_t i = 0; i < n; i++)
		assert_true(tn_row_map(pool, (page + i) / TN_ROW_PAGES) >>
			    (page + i) % TN_ROW_PAGES & 1);
	memset(pool->data + (page << TN_PAGE_SHIFT), 0, n << TN_PAGE_SHIFT);
	punched.pages += n;
	return punched.error;
}

static int punch_meta(void *arg, uint64_t off, uint64_t bytes)
{
	struct tn_pool *pool = arg;

	assert_int_equal(off % TN_PAGE_BYTES, 0);
	assert_true(off >= pool->geo.pages);
	for (uint64_t i = 0; i < bytes; i++)
		assert_int_equal(pool->meta[off + i], 0);
	punched.meta_bytes += bytes;
	return 0;
}

static int trim(uint64_t from, uint64_t to, bool meta)
{
	const struct tn_punch how = {
		punch_data, meta ? punch_meta : NULL, &tn_heap_here.pool,
	};

	punched.pages = punched.meta_bytes = 0;
	return tn_trim(&tn_heap_here.pool, &tn_heap_lanes[2], from, to, &how);
}

#define META_OF_AREA (AREA * sizeof(struct tn_page) + \
		      (6ULL << TN_AREA_TAGS_SHIFT))

static void of_a_free_area_all_goes(void **state)
{
	(void)state;
	assert_int_equal(trim(AREA, 2 * AREA, true), 0);
	assert_int_equal(punched.pages, AREA);
	assert_int_equal(punched.meta_bytes, META_OF_AREA);
	assert_int_equal(tn8_load_relaxed(&tn_heap_here.pool.fit[1]), 0);
	assert_null(tn_heap_not_pristine(&tn_heap_here.pool));
}


static void a_page_of_it_is_enough_to_find_it(void **state)
{
	(void)state;
	assert_int_equal(trim(AREA + 17, AREA + 18, true), 0);
	assert_int_equal(punched.pages, AREA);
	assert_int_equal(trim(AREA + 17, 3 * AREA, true), 0);
	assert_int_equal(punched.pages, 2 * AREA);
}

static void where_something_is_only_free_pages_go(void **state)
{
	struct tn_pool *pool = &tn_heap_here.pool;
	uint64_t page;

	(void)state;
	assert_int_equal(tn_run_alloc(pool, &tn_heap_lanes[1], 1,
				      TN_FIRST_FIT, &page), 0);
	assert_int_equal(page, 0);
	assert_int_equal(trim(0, AREA, true), 0);
	assert_int_equal(punched.pages, AREA - 1);
	assert_int_equal(punched.meta_bytes, 0);
	assert_int_equal(tn_heap_tag(&tn_heap_here, 0),
			 TN_TAG_HELD | tn_heap_lanes[1].client);
}

/* Areas 0, 1 and 2, so that the last one is the only one that is free. */
static void have_three_areas(void)
{
	uint64_t page;

	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(tn_run_alloc(&tn_heap_here.pool,
					      &tn_heap_lanes[1], AREA,
					      TN_FIRST_FIT, &page), 0);
}

/* The one area that is free is not taken from the clients, even for a moment:
 * a run of its size can be had at any time. */
static void the_last_free_area_is_not_claimed_at_once(void **state)
{
	(void)state;
	have_three_areas();
	assert_int_equal(trim(3 * AREA, 4 * AREA, true), 0);
	assert_int_equal(punched.pages, AREA);
	assert_int_equal(punched.meta_bytes, 0);
}

/* It has claimed the other one and stopped before it said so. */
static void somebody_may_be_about_to_have_the_other_one(void **state)
{
	struct tn_pool *pool = &tn_heap_here.pool;

	(void)state;
	have_three_areas();
	tn8_store_relaxed(&pool->fit[1], 0);
	assert_int_equal(trim(3 * AREA, 4 * AREA, true), 0);
	assert_int_equal(punched.pages, AREA);
	assert_int_equal(punched.meta_bytes, 0);
	assert_int_equal(tn_row_map(pool, 3 * TN_AREA_ROWS), 0);
}

static void without_a_way_to_punch_meta_rows_go(void **state)
{
	(void)state;
	assert_int_equal(trim(AREA, 2 * AREA, false), 0);
	assert_int_equal(punched.pages, AREA);
	assert_int_equal(punched.meta_bytes, 0);
}

static void an_area_is_given_back_if_it_cannot_be_punched(void **state)
{
	(void)state;
	punched.error = -ENOSYS;
	assert_int_equal(trim(AREA, 2 * AREA, true), -ENOSYS);
	assert_int_equal(punched.meta_bytes, 0);
	punched.error = 0;
	assert_null(tn_heap_not_pristine(&tn_heap_here.pool));
}

/* Slabs, objects and handles live there again, and end without a trace. */
static void what_was_punched_is_used_again(void **state)
{
	struct tn_pool *pool = &tn_heap_here.pool;
	struct tn_slab_cursor cursor = { 0 };
	struct tn_slot slots[100];

	(void)state;
	for (unsigned turn = 0; turn < 2; turn++) {
		assert_int_equal(tn_slab_claim(pool, &tn_heap_lanes[1], CLASS,
					       &cursor, slots, 100), 100);
		assert_int_equal(tn_slab_return(pool, &tn_heap_lanes[1], CLASS,
						slots, 100, &cursor), 0);
		assert_int_equal(tn_slab_retire(pool, &tn_heap_lanes[1], CLASS,
						&cursor), 0);
		cursor = (struct tn_slab_cursor){ 0 };
		assert_int_equal(trim(0, 4 * AREA, true), 0);
		assert_int_equal(punched.pages, 4 * AREA);
		assert_int_equal(punched.meta_bytes, 4 * META_OF_AREA);
	}
	assert_null(tn_heap_not_pristine(pool));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(of_a_free_area_all_goes),
		HEAP_TEST(a_page_of_it_is_enough_to_find_it),
		HEAP_TEST(where_something_is_only_free_pages_go),
		HEAP_TEST(the_last_free_area_is_not_claimed_at_once),
		HEAP_TEST(somebody_may_be_about_to_have_the_other_one),
		HEAP_TEST(without_a_way_to_punch_meta_rows_go),
		HEAP_TEST(an_area_is_given_back_if_it_cannot_be_punched),
		HEAP_TEST(what_was_punched_is_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
