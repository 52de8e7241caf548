/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * No slice of a recovery takes long, whatever a client has left behind: long
 * runs, a thousand lanes that name half the pool, tags that lead nowhere.
 *
 * What is measured is the work. Memory that is touched for the first time is
 * the kernel's time, which differs tenfold from machine to machine, so what a
 * slice goes through has been looked at before.
 */
#include "tests/lib/tn_test.h"

#include <string.h>
#include <time.h>

#include "tests/lib/tn_heap.h"

#define GIB (1ULL << 30)
#define SLICE_BUDGET 8192U /* as daemon/reaper.c has it */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLICE_NS_MAX 2000000000ULL
#else
#define SLICE_NS_MAX 250000000ULL /* 100 ms is wanted, on an idle machine */
#endif

static struct tn_heap heap;

static int end(void **state)
{
	tn_heap_fini(&heap);
	return tn_test_teardown(state);
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void look_at(const void *p, uint64_t bytes)
{
	const volatile uint8_t *at = p;

	for (uint64_t i = 0; i < bytes; i += TN_PAGE_BYTES)
		(void)at[i];
}

/* All of meta that grows with the pool, but for tags and words of pages. */
static void look_around(void)
{
	const struct tn_geo *g = &heap.pool.geo;

	look_at(heap.pool.meta + g->fit, g->pages - g->fit);
	if (g->n_shares * sizeof(struct tn_share) <= GIB)
		look_at(heap.pool.shares,
			g->n_shares * sizeof(struct tn_share));
}

/* Return: as tn_recover_step(), at the end or after @max slices */
static int recover(const char *what, unsigned max)
{
	uint64_t longest = 0, all = 0, t;
	struct tn_recover r;
	unsigned n = 0;
	int e;

	look_around();
	tn_recover_begin(&r, &heap.pool, heap.control[1], 1,
			 tn_heap_lane(&heap, 0, 0));
	do {
		t = cpu_ns();
		e = tn_recover_step(&r, SLICE_BUDGET);
		t = cpu_ns() - t;
		all += t;
		longest = tn_max64(longest, t);
	} while (e == 1 && ++n < max);
	print_message("# %s: %u slices, %u ms, the longest %u us\n", what, n,
		      (unsigned)(all / 1000000), (unsigned)(longest / 1000));
	assert_true(longest < SLICE_NS_MAX);
	return e;
}

static void the_longest_run_there_is(void **state)
{
	struct tn_lane_ref l;
	uint64_t page;

	(void)state;
	tn_heap_init(&heap, 1024 * GIB, TN_FIRST_FIT);
	l = tn_heap_lane(&heap, 1, 0);
	assert_int_equal(tn_run_alloc(&heap.pool, &l, heap.pool.geo.n_pages / 2,
				      TN_FIRST_FIT, &page), 0);
	assert_int_equal(recover("half of 1 TiB, held", 100), 0);
	tn_heap_fini(&heap);
	tn_heap_init(&heap, 1024 * GIB, TN_FIRST_FIT);
	l = tn_heap_lane(&heap, 1, 0);
	assert_int_equal(tn_run_take(&heap.pool, &l, TN_OP_RUN,
				     heap.pool.geo.n_pages / 2, TN_FIRST_FIT,
				     &page), 0);
	assert_int_equal(recover("half of 1 TiB, in a lane's hands", 100), 0);
}

static void a_thousand_lanes_that_name_half_the_pool(void **state)
{
	struct tn_lane_ref l;

	(void)state;
	tn_heap_init(&heap, 1024 * GIB, TN_FIRST_FIT);
	for (uint32_t i = 0; i < TN_N_LANES; i++) {
		l = tn_heap_lane(&heap, 1, i);
		tn_lane_fresh(&l, 0);
		tn_lane_begin(&l, TN_OP(TN_OP_RUN, 0,
					heap.pool.geo.n_pages / 2));
	}
	/* each takes the time it takes: a few of them tell */
	assert_in_range(recover("1024 lanes at half of 1 TiB", 40), 0, 1);
}

static void an_area_full_of_shared_tags_that_nobody_shares(void **state)
{
	struct tn_slab_cursor cursor = { 0 };
	struct tn_slot s[TN_CLAIM_MAX];
	struct tn_lane_ref l;
	unsigned n;

	(void)state;
	tn_heap_init(&heap, GIB, TN_FIRST_FIT);
	l = tn_heap_lane(&heap, 1, 0);
	for (unsigned got = 0; got < 1U << TN_AREA_TAGS_SHIFT; got += n) {
		n = tn_slab_claim(&heap.pool, &l, 0, &cursor, s, TN_CLAIM_MAX);
		for (unsigned i = 0; i < n; i++)
			tn16_store_relaxed(s[i].tag, TN_TAG_SHARED);
	}
	assert_int_equal(recover("an area of shared tags", 1000), 0);
}

static void all_areas_touched(void **state)
{
	(void)state;
	tn_heap_init(&heap, 64 * GIB, TN_FIRST_FIT);
	memset((void *)tn_touched_areas(&heap.pool, 1), 0xff,
	       heap.pool.geo.n_areas / 8);
	assert_int_equal(recover("all areas of 64 GiB touched", 100000), 0);
}

#define SLICES_TEST(name) \
	cmocka_unit_test_setup_teardown(name, tn_test_setup, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SLICES_TEST(the_longest_run_there_is),
		SLICES_TEST(a_thousand_lanes_that_name_half_the_pool),
		SLICES_TEST(an_area_full_of_shared_tags_that_nobody_shares),
		SLICES_TEST(all_areas_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
