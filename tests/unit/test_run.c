/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_test.h"

#include <errno.h>
#include <stdlib.h>

#include "pool/fit.h"
#include "pool/row.h"
#include "tests/lib/tn_heap.h"

#define MIB (1ULL << 20)

static struct tn_heap heap;

static uint64_t take(struct tn_lane_ref *l, uint64_t n, unsigned policy)
{
	uint64_t page = ~0ULL;

	return tn_run_alloc(&heap.pool, l, n, policy, &page) ? ~0ULL : page;
}

static void drop(struct tn_lane_ref *l, uint64_t page)
{
	struct tn_object obj;

	assert_int_equal(tn_object_find(&heap.pool, page << 12, &obj), 0);
	assert_int_equal(tn_object_release(&heap.pool, l, page << 12,
					   &obj), 0);
	assert_int_equal(tn_run_drop(&heap.pool, l, TN_OP_RUN, obj.page,
				     obj.pages), 0);
}

static void runs_of_every_length_come_and_go_without_a_trace(void **state)
{
	struct tn_lane_ref l;
	uint64_t page;

	(void)state;
	tn_heap_init(&heap, 16 * MIB, TN_FIRST_FIT);
	l = tn_heap_lane(&heap, 1, 0);
	for (uint64_t n = 1; n <= heap.pool.geo.n_pages / 2; n++) {
		page = take(&l, n, TN_FIRST_FIT);
		assert_int_equal(page, 0);
		drop(&l, page);
		assert_int_equal(tn8_load_relaxed(&heap.pool.fit[0]), 0);
	}
	assert_int_equal(take(&l, heap.pool.geo.n_pages / 2 + 1, TN_FIRST_FIT),
			 ~0ULL);
	assert_null(tn_heap_not_pristine(&heap.pool));
	tn_heap_fini(&heap);
}

static void a_run_leaves_its_tail_to_others(void **state)
{
	struct tn_lane_ref l;

	(void)state;
	tn_heap_init(&heap, 4 * MIB, TN_FIRST_FIT);
	l = tn_heap_lane(&heap, 1, 0);
	assert_int_equal(take(&l, 5, TN_FIRST_FIT), 0);
	assert_int_equal(take(&l, 1, TN_FIRST_FIT), 5);
	assert_int_equal(take(&l, 2, TN_FIRST_FIT), 6);
	assert_int_equal(take(&l, 65, TN_FIRST_FIT), 128);
	assert_int_equal(take(&l, 60, TN_FIRST_FIT), 64);
	assert_int_equal(take(&l, 63, TN_FIRST_FIT), 256);
	assert_int_equal(take(&l, 4, TN_FIRST_FIT), 8);
	tn_heap_fini(&heap);
}

/* Holes of 4, 1 and 16 pages, in that order, below free areas. */
static void make_holes(struct tn_lane_ref *l)
{
	uint64_t all[512], n = 0;

	tn_heap_init(&heap, 8 * MIB, TN_FIRST_FIT);
	*l = tn_heap_lane(&heap, 1, 0);
	while (n < 512)
		all[n++] = take(l, 1, TN_FIRST_FIT);
	for (unsigned i = 8; i < 12; i++)
		drop(l, all[i]);
	drop(l, all[101]);
	for (unsigned i = 256; i < 272; i++)
		drop(l, all[i]);
}

static void first_fit_takes_the_lowest_hole(void **state)
{
	struct tn_lane_ref l;

	(void)state;
	make_holes(&l);
	assert_int_equal(take(&l, 1, TN_FIRST_FIT), 8);
	assert_int_equal(take(&l, 8, TN_FIRST_FIT), 256);
	assert_int_equal(take(&l, 64, TN_FIRST_FIT), 512);
	tn_heap_fini(&heap);
}

static void best_fit_takes_the_tightest_hole(void **state)
{
	struct tn_lane_ref l;

	(void)state;
	make_holes(&l);
	assert_int_equal(take(&l, 1, TN_BEST_FIT), 101);
	assert_int_equal(take(&l, 1, TN_BEST_FIT), 8);
	assert_int_equal(take(&l, 8, TN_BEST_FIT), 256);
	assert_int_equal(take(&l, 16, TN_BEST_FIT), 512);
	/* what is left of the first hole is tighter than any other */
	assert_int_equal(take(&l, 1, TN_BEST_FIT), 9);
	assert_int_equal(take(&l, 2, TN_BEST_FIT), 10);
	tn_heap_fini(&heap);
}

static void worst_fit_takes_the_largest_hole(void **state)
{
	struct tn_lane_ref l;

	(void)state;
	make_holes(&l);
	assert_int_equal(take(&l, 1, TN_WORST_FIT), 512);
	assert_int_equal(take(&l, 1, TN_WORST_FIT), 1024);
	tn_heap_fini(&heap);
}

static void large_runs_follow_the_policy_by_stretches_of_areas(void **state)
{
	struct tn_lane_ref l;
	uint64_t page[10];

	(void)state;
	tn_heap_init(&heap, 40 * MIB, TN_FIRST_FIT);
	l = tn_heap_lane(&heap, 1, 0);
	for (unsigned i = 0; i < 10; i++) {
		page[i] = take(&l, 1024, TN_FIRST_FIT);
		assert_int_equal(page[i], i * 1024ULL);
	}
	/* stretches of 4, 2 and 6 areas */
	for (unsigned i = 0; i < 10; i++)
		if (i != 2 && i != 4 && i != 5 && i != 6)
			drop(&l, page[i]);
	drop(&l, page[5]);
	/* free: areas 0-3, 6-7, 10-11, 14-19 */
	assert_int_equal(take(&l, 600, TN_FIRST_FIT), 0);
	drop(&l, 0);
	assert_int_equal(take(&l, 600, TN_BEST_FIT), 6 * 512);
	assert_int_equal(take(&l, 600, TN_WORST_FIT), 14 * 512);
	assert_int_equal(take(&l, 2049, TN_FIRST_FIT), ~0ULL);
	assert_int_equal(tn_fit_largest(&heap.pool), 2048);
	tn_heap_fini(&heap);
}

static void a_full_pool_says_so_and_works_afterwards(void **state)
{
	struct tn_lane_ref l;
	uint64_t n = 0, page;

	(void)state;
	tn_heap_init(&heap, MIB, TN_FIRST_FIT);
	l = tn_heap_lane(&heap, 1, 0);
	while (take(&l, 1, TN_FIRST_FIT) != ~0ULL)
		n++;
	assert_int_equal(n, 256);
	assert_int_equal(tn8_load_relaxed(&heap.pool.fit[0]), TN_FIT_FULL);
	drop(&l, 77);
	assert_int_equal(take(&l, 2, TN_FIRST_FIT), ~0ULL);
	assert_int_equal(take(&l, 1, TN_FIRST_FIT), 77);
	for (page = 0; page < 256; page++)
		drop(&l, page);
	assert_int_equal(take(&l, 128, TN_FIRST_FIT), 0);
	drop(&l, 0);
	assert_null(tn_heap_not_pristine(&heap.pool));
	tn_heap_fini(&heap);
}

static void a_wrong_hint_hides_no_page_from_the_last_resort(void **state)
{
	struct tn_lane_ref l;

	(void)state;
	tn_heap_init(&heap, MIB, TN_FIRST_FIT);
	l = tn_heap_lane(&heap, 1, 0);
	tn8_store_relaxed(&heap.pool.fit[0], TN_FIT_FULL);
	assert_int_equal(take(&l, 64, TN_FIRST_FIT), 0);
	tn_heap_fini(&heap);
}

static bool was_done(struct tn_lane_ref *l, uint64_t step)
{ return tn_step_was_done(&heap.pool, l, tn_row_of(&heap.pool, 3), step); }

static void a_step_is_told_from_the_same_step_not_done(void **state)
{
	struct tn_lane_ref a, b;
	uint64_t step;

	(void)state;
	tn_heap_init(&heap, 4 * MIB, TN_FIRST_FIT);
	a = tn_heap_lane(&heap, 1, 0);
	b = tn_heap_lane(&heap, 2, 5);
	assert_true(tn_row_claim(&heap.pool, &a, 3, 0xf0, 0));
	step = TN_PROGRESS_STEP(tn64_load_relaxed(&a.rec->progress));
	assert_true(was_done(&a, step));
	assert_false(was_done(&a, step + 1));
	/* another overwrites the stamp: the answer stays */
	assert_true(tn_row_claim(&heap.pool, &b, 3, 0x0f, 0));
	assert_true(was_done(&a, step));
	assert_false(was_done(&a, step + 1));
	/* a claim that lost was not done */
	assert_false(tn_row_claim(&heap.pool, &a, 3, 0x01, 0));
	step = TN_PROGRESS_STEP(tn64_load_relaxed(&a.rec->progress));
	assert_false(was_done(&a, step));
	tn_heap_fini(&heap);
}

/* Random runs of three clients, in one thread; then two of them die. */
static void what_the_dead_held_is_free_and_the_rest_is_not(void **state)
{
	struct tn_lane_ref l[4];
	uint64_t held[300], n[300], count = 0, alive = 0;
	unsigned who[300];

	(void)state;
	srand(7);
	tn_heap_init(&heap, 64 * MIB, TN_BEST_FIT);
	for (unsigned c = 1; c < 4; c++)
		l[c] = tn_heap_lane(&heap, c, c);
	while (count < 300) {
		who[count] = 1 + (unsigned)rand() % 3;
		n[count] = 1 + (unsigned)rand() % (1U << rand() % 7);
		held[count] = take(&l[who[count]], n[count],
				   1 + (unsigned)rand() % 3);
		assert_int_not_equal(held[count], ~0ULL);
		count++;
	}
	tn_heap_recover(&heap, 1);
	tn_heap_recover(&heap, 3);
	for (unsigned i = 0; i < 300; i++) {
		uint16_t tag = tn_heap_tag(&heap, held[i] << 12);

		assert_int_equal(tag, who[i] == 2 ? 2 : 0xffff);
		alive += who[i] == 2;
		if (who[i] == 2)
			drop(&l[2], held[i]);
	}
	assert_true(alive > 50);
	assert_null(tn_heap_not_pristine(&heap.pool));
	tn_heap_fini(&heap);
}

static void of_runs_that_are_wanted_the_shortest_is_told_once(void **state)
{
	struct tn_pool *pool = &heap.pool;

	(void)state;
	tn_heap_init(&heap, 4 * MIB, TN_FIRST_FIT);
	assert_int_equal(tn_run_wanted(pool), 0);
	tn_run_want(pool, 300);
	tn_run_want(pool, 400);
	assert_true(tn_run_is_wanted(pool));
	assert_int_equal(tn_run_wanted(pool), 300);
	assert_false(tn_run_is_wanted(pool));
	assert_int_equal(tn_run_wanted(pool), 0);
	tn_run_want(pool, 512);
	tn_run_want(pool, 1);
	assert_int_equal(tn_run_wanted(pool), 1);
	/* what a client wrote there, and no run can be */
	tn64_store_relaxed(&pool->header->wanted, 513);
	assert_int_equal(tn_run_wanted(pool), 0);
	assert_false(tn_run_is_wanted(pool));
	tn64_store_relaxed(&pool->header->wanted, ~0ULL);
	tn_run_want(pool, 512);
	assert_int_equal(tn_run_wanted(pool), 512);
	tn_heap_fini(&heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(runs_of_every_length_come_and_go_without_a_trace),
		TN_TEST(a_run_leaves_its_tail_to_others),
		TN_TEST(first_fit_takes_the_lowest_hole),
		TN_TEST(best_fit_takes_the_tightest_hole),
		TN_TEST(worst_fit_takes_the_largest_hole),
		TN_TEST(large_runs_follow_the_policy_by_stretches_of_areas),
		TN_TEST(a_full_pool_says_so_and_works_afterwards),
		TN_TEST(a_wrong_hint_hides_no_page_from_the_last_resort),
		TN_TEST(a_step_is_told_from_the_same_step_not_done),
		TN_TEST(what_the_dead_held_is_free_and_the_rest_is_not),
		TN_TEST(of_runs_that_are_wanted_the_shortest_is_told_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
