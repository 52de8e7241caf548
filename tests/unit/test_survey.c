/* SPDX-License-Identifier: BSD-2-Clause */
#include "pool/survey.h"

#include "pool/cache.h"
#include "tests/lib/tn_movable.h"
#include "tests/lib/tn_test.h"

#define heap tn_heap_here
#define lane tn_heap_lanes
#define CLASS (TN_CLASS_MOVABLE + 3)
#define SLABS 6

static struct tn_slot slot[SLABS * 1024];

static struct tn_survey survey(void)
{
	struct tn_survey s;

	tn_survey_begin(&s, &heap.pool);
	while (tn_survey_step(&s, 1))
		;
	return s;
}

static unsigned fill(unsigned class)
{
	struct tn_slab_cursor cursor = { 0 };
	unsigned n = tn_cache_shape(&heap.pool, class)->slots * SLABS;

	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(tn_slab_claim(&heap.pool, &lane[1], class,
					       &cursor, &slot[i], 1), 1);
		tn16_store_relaxed(slot[i].tag, TN_TAG_HELD | 1);
	}
	return n;
}

static void give_back(unsigned class, struct tn_slot *s)
{
	const struct tn_slab_cursor none = { 0 };

	tn16_store_relaxed(s->tag, TN_TAG_KEPT | 1);
	assert_int_equal(tn_slab_return(&heap.pool, &lane[1], class, s, 1,
					&none), 0);
}

static void an_empty_pool_has_nothing_to_be_had(void **state)
{
	struct tn_survey s = survey();

	(void)state;
	assert_int_equal(s.claimed, 0);
	assert_int_equal(tn_survey_holes(&s), 0);
}

static void holes_count_as_slabs_that_could_end(void **state)
{
	const struct tn_shape *shape = tn_cache_shape(&heap.pool, CLASS);
	unsigned n = fill(CLASS);
	struct tn_survey s = survey();

	(void)state;
	assert_int_equal(s.claimed, (uint64_t)SLABS << shape->order);
	assert_int_equal(tn_survey_holes(&s), 0);
	/* half of each: three slabs of six */
	for (unsigned i = 0; i < n; i += 2)
		give_back(CLASS, &slot[i]);
	s = survey();
	assert_int_equal(s.claimed, (uint64_t)SLABS << shape->order);
	assert_int_equal(tn_survey_holes(&s), 3ULL << shape->order);
}

static void what_has_no_handles_is_no_hole(void **state)
{
	unsigned n = fill(3);
	struct tn_survey s;
	uint64_t page;

	(void)state;
	for (unsigned i = 0; i < n; i += 2)
		give_back(3, &slot[i]);
	assert_int_equal(tn_run_alloc(&heap.pool, &lane[1], 70, TN_FIRST_FIT,
				      &page), 0);
	s = survey();
	assert_int_equal(s.claimed, 70 + (SLABS << tn_cache_shape(
					&heap.pool, 3)->order));
	assert_int_equal(tn_survey_holes(&s), 0);
}

static uint64_t run_of(uint64_t n)
{
	uint64_t page;

	assert_int_equal(tn_run_alloc(&heap.pool, &lane[1], n, TN_FIRST_FIT,
				      &page), 0);
	return page << TN_PAGE_SHIFT;
}

/* But for runs of more than an area. */
static void what_has_handles_is_movable(void **state)
{
	const struct tn_shape *shape = tn_cache_shape(&heap.pool, CLASS);
	uint64_t ref = tn_movable_bind(&lane[1],
				       tn_movable_slot(&lane[1], CLASS));

	(void)state;
	assert_int_equal(survey().movable, 1 << shape->order);
	tn_movable_drop(&lane[1], ref);
	tn_movable_slot(&lane[1], 3);
	run_of(70);
	assert_int_equal(survey().movable, 0);
	tn_movable_bind(&lane[1], run_of(70));
	tn_movable_bind(&lane[1], run_of(TN_AREA_PAGES + 1));
	assert_int_equal(survey().movable, 70);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(an_empty_pool_has_nothing_to_be_had),
		HEAP_TEST(holes_count_as_slabs_that_could_end),
		HEAP_TEST(what_has_no_handles_is_no_hole),
		HEAP_TEST(what_has_handles_is_movable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
