/* SPDX-License-Identifier: BSD-2-Clause */
#include "pool/compact.h"

#include <string.h>

#include "pool/cache.h"
#include "pool/fit.h"
#include "tests/lib/tn_movable.h"
#include "tests/lib/tn_test.h"

#define heap tn_heap_here
#define lane tn_heap_lanes
#define CLASS (TN_CLASS_MOVABLE + 31) /* 1 KiB: 32 in 32 KiB */
#define OBJECTS_MAX 4096U

static struct tn_mover mover;
static struct tn_compact compact;
static unsigned n_fences;
static uint64_t refs[OBJECTS_MAX];
static unsigned n_refs;

/* called in the middle of a batch */
static void (*meanwhile)(void);

static int fence(void *arg)
{
	(void)arg;
	n_fences++;
	if (meanwhile)
		meanwhile();
	return 0;
}

static void clients(void *arg, struct tn_mover *m)
{
	(void)arg;
	for (unsigned c = 1; c < 4; c++)
		tn_move_look(m, heap.control[c]);
}

static void no_pause(void *arg)
{ (void)arg; }

static int setup(void **state)
{
	int r = tn_heap_setup(state);

	tn_mover_init(&mover, &heap.pool, tn_heap_lane(&heap, 0, 0));
	mover.fence = fence;
	mover.clients = clients;
	mover.pause = no_pause;
	n_fences = 0;
	n_refs = 0;
	meanwhile = NULL;
	return r;
}

static void make(unsigned class)
{
	refs[n_refs++] = tn_movable_bind(&lane[1],
					 tn_movable_slot(&lane[1], class));
}

static void drop(unsigned i)
{
	tn_movable_drop(&lane[1], refs[i]);
	refs[i] = refs[--n_refs];
}

/* So many slabs of the class, of whose slots every second one is in use. */
static void half_slabs(unsigned class, unsigned n)
{
	unsigned first = n_refs;

	n *= tn_cache_shape(&heap.pool, class)->slots;
	for (unsigned i = 0; i < n; i++)
		make(class);
	for (unsigned i = n_refs; i-- > first; )
		if (tn_movable_place(refs[i]) / tn_cache_shape(&heap.pool,
						    class)->bytes % 2)
			drop(i);
}

static unsigned n_slabs(unsigned class)
{
	unsigned n = 0;

	for (uint64_t p = 0; p < heap.pool.geo.n_pages; p++) {
		uint64_t w = tn64_load_relaxed(&heap.pool.pages[p].word);

		n += w == TN_PAGE_SLAB_WORD(class, 0);
	}
	return n;
}

/* To the end, in steps of @bytes. */
static void run(uint64_t bytes)
{
	int r = 1;

	tn_compact_begin(&compact, &mover);
	while (r == 1)
		r = tn_compact_step(&compact, bytes);
	assert_int_equal(r, 0);
	assert_int_equal(tn_compact_done(&compact), compact.n_areas);
	for (unsigned i = 0; i < n_refs; i++)
		assert_true(tn_movable_intact(refs[i]));
}

static void free_all(void)
{
	while (n_refs)
		drop(n_refs - 1);
	assert_null(tn_heap_not_pristine(&heap.pool));
}

static void half_full_slabs_become_half_as_many(void **state)
{
	(void)state;
	half_slabs(CLASS, 64);
	run(1 << 20);
	assert_int_equal(n_slabs(CLASS), 32);
	free_all();
}

static void many_slabs_share_a_fence(void **state)
{
	(void)state;
	half_slabs(CLASS, 64);
	run(1 << 20);
	/* 256 KiB are a batch */
	assert_int_equal(mover.moved_objects, 512);
	assert_in_range(n_fences, 1, 8);
	free_all();
}

/* All of them are put by before there is a batch: none lies below. */
static void few_slabs_go_into_each_other(void **state)
{
	(void)state;
	half_slabs(CLASS, 5);
	run(1 << 20);
	assert_int_equal(n_slabs(CLASS), 3);
	free_all();
}

static void classes_are_put_by_apart(void **state)
{
	(void)state;
	half_slabs(CLASS, 4);
	half_slabs(CLASS + 1, 6);
	run(1 << 20);
	assert_int_equal(n_slabs(CLASS), 2);
	assert_int_equal(n_slabs(CLASS + 1), 3);
	free_all();
}

static void small_steps_come_to_the_same_end(void **state)
{
	(void)state;
	half_slabs(CLASS, 33);
	run(64);
	assert_int_equal(n_slabs(CLASS), 17);
	free_all();
}

/* The client is in one all the time, and then it is not. */
static void behind_a_section_nothing_is_forgotten(void **state)
{
	tn_a64 *section = &lane[2].rec->section;

	(void)state;
	half_slabs(CLASS, 70);
	half_slabs(CLASS + 1, 3);
	tn_compact_begin(&compact, &mover);
	tn64_store_relaxed(section, 1);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(tn_compact_step(&compact, 1 << 20), 1);
	assert_int_equal(mover.moved_objects, 0);
	tn64_store_relaxed(section, 2);
	while (tn_compact_step(&compact, 1 << 20) == 1)
		;
	assert_int_equal(n_slabs(CLASS), 35);
	assert_int_equal(n_slabs(CLASS + 1), 2);
	free_all();
}

/* Until a batch has been off because of it. */
static void run_into_a_section(void)
{
	tn_compact_begin(&compact, &mover);
	tn64_store_relaxed(&lane[2].rec->section, 1);
	while (!mover.held.control)
		assert_int_equal(tn_compact_step(&compact, 1 << 20), 1);
	tn64_store_relaxed(&lane[2].rec->section, 2);
}

/* The batch that was off is tried no more, as all of it is gone; what comes
 * next has no place below it, either, and goes into itself. */
static void of_a_section_only_its_batch_is_in_need(void **state)
{
	unsigned first;

	(void)state;
	half_slabs(CLASS + 1, 5);
	first = n_refs;
	half_slabs(CLASS, 3);
	run_into_a_section();
	while (n_refs > first)
		drop(n_refs - 1);
	while (tn_compact_step(&compact, 1 << 20) == 1)
		;
	assert_int_equal(n_slabs(CLASS + 1), 3);
	free_all();
}

/* Return: the hole, an area. */
static uint64_t make_run_above_a_hole(void)
{
	const unsigned where = TN_FIRST_FIT | TN_AMONG(TN_GROUP_MOVABLE);
	uint64_t below, page;

	assert_int_equal(tn_run_alloc(&heap.pool, &lane[1], TN_AREA_PAGES,
				      where, &below), 0);
	assert_int_equal(tn_run_alloc(&heap.pool, &lane[1], 5, where, &page),
			 0);
	assert_true(page > below);
	refs[n_refs++] = tn_movable_bind(&lane[1], page << TN_PAGE_SHIFT);
	tn16_store_relaxed(&heap.pool.tags[tn_tag_index(below, 0)],
			   TN_TAG_KEPT | 1);
	tn_run_drop(&heap.pool, &lane[1], TN_OP_RUN, below, TN_AREA_PAGES);
	return below;
}

static void a_run_behind_a_section_is_not_forgotten(void **state)
{
	uint64_t below = make_run_above_a_hole();

	(void)state;
	run_into_a_section();
	while (tn_compact_step(&compact, 1 << 20) == 1)
		;
	assert_int_equal(tn_movable_place(refs[0]) >> TN_PAGE_SHIFT, below);
	free_all();
}

/* What is free, or another's, by the time that it is moved. */
static void what_ends_meanwhile_is_passed_by(void **state)
{
	(void)state;
	half_slabs(CLASS, 8);
	tn_compact_begin(&compact, &mover);
	while (compact.classes[CLASS - TN_CLASS_MOVABLE].n < 8)
		assert_int_equal(tn_compact_step(&compact, 64), 1);
	while (n_refs)
		drop(n_refs - 1);
	while (tn_compact_step(&compact, 4096) == 1)
		;
	assert_int_equal(mover.moved_objects, 0);
	assert_null(tn_heap_not_pristine(&heap.pool));
}

static unsigned n_below; /* of refs, the first ones */

static void free_one_below(void)
{
	if (n_below)
		drop(--n_below);
}

/* Somebody frees one below whenever one is moved: so there is always a place
 * for one more, and never for two. */
static void a_slice_ends_though_there_always_is_one_to_move(void **state)
{
	const unsigned class = TN_CLASS_MOVABLE + 3; /* 256 in a slab */
	const unsigned slots = tn_cache_shape(&heap.pool, class)->slots;

	(void)state;
	while (n_refs < 2 * slots)
		make(class);
	for (unsigned i = 0; i < slots; i++)
		assert_true(tn_movable_place(refs[i]) <
			    tn_movable_place(refs[slots]));
	n_below = slots;
	free_one_below();
	meanwhile = free_one_below;
	tn_compact_begin(&compact, &mover);
	for (unsigned was = 0; tn_compact_step(&compact, 1 << 20) == 1;
	     was = n_fences)
		assert_in_range(n_fences - was, 0, 2 * TN_MOVE_SLABS + 1);
	assert_in_range(mover.moved_objects, 2, slots - 1);
	meanwhile = NULL;
	free_all();
}

/* Passes that tried to move what is pinned. */
static unsigned n_tries(unsigned passes)
{
	uint64_t pinned;
	unsigned n = 0;

	while (passes--) {
		pinned = mover.pinned;
		run(1 << 20);
		n += mover.pinned > pinned;
	}
	return n;
}

static void pin(uint64_t ref)
{
	tn64_store_relaxed(tn_lane_pins(&heap.pool.geo, lane[2].control,
					lane[2].index), ref);
}

static void what_is_pinned_is_tried_less_and_less(uint64_t ref)
{
	static struct tn_backoff backoff;
	uint64_t was = tn_movable_place(ref);

	backoff = (struct tn_backoff){ .pass = 0 };
	pin(ref);
	assert_int_equal(n_tries(20), 20);
	mover.backoff = &backoff;
	/* 1, 3, 6, 11, 20, 37, 70, 135, and every 65th from there on */
	assert_int_equal(n_tries(20), 5);
	assert_int_equal(n_tries(180), 4);
	assert_int_equal(tn_movable_place(ref), was);
	pin(0);
	assert_int_equal(n_tries(64), 0);
	run(1 << 20);
	assert_true(tn_movable_place(ref) < was);
	free_all();
}

static void a_slab_that_is_in_use_is_left_alone_for_a_while(void **state)
{
	(void)state;
	half_slabs(CLASS, 2);
	what_is_pinned_is_tried_less_and_less(refs[n_refs - 1]);
}

static void a_run_that_is_in_use_is_left_alone_for_a_while(void **state)
{
	(void)state;
	make_run_above_a_hole();
	what_is_pinned_is_tried_less_and_less(refs[0]);
}

#define COMPACT_TEST(name) \
	cmocka_unit_test_setup_teardown(name, setup, tn_heap_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		COMPACT_TEST(half_full_slabs_become_half_as_many),
		COMPACT_TEST(many_slabs_share_a_fence),
		COMPACT_TEST(few_slabs_go_into_each_other),
		COMPACT_TEST(classes_are_put_by_apart),
		COMPACT_TEST(small_steps_come_to_the_same_end),
		COMPACT_TEST(behind_a_section_nothing_is_forgotten),
		COMPACT_TEST(of_a_section_only_its_batch_is_in_need),
		COMPACT_TEST(a_run_behind_a_section_is_not_forgotten),
		COMPACT_TEST(what_ends_meanwhile_is_passed_by),
		COMPACT_TEST(a_slice_ends_though_there_always_is_one_to_move),
		COMPACT_TEST(a_slab_that_is_in_use_is_left_alone_for_a_while),
		COMPACT_TEST(a_run_that_is_in_use_is_left_alone_for_a_while),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
