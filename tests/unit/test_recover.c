/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "pool/row.h"
#include "tests/lib/tn_heap.h"

#define heap tn_heap_here
#define lane tn_heap_lanes /* of clients 1 to 3 */

/* @n slots of a class, tagged. */
static void hold(uint32_t client, unsigned class, struct tn_slot *out,
		 unsigned n, uint16_t tag)
{
	struct tn_slab_cursor cursor = { 0 };

	for (unsigned got = 0; got < n;)
		got += tn_slab_claim(&heap.pool, &lane[client], class, &cursor,
				     out + got, n - got);
	for (unsigned i = 0; i < n; i++)
		tn16_store_relaxed(out[i].tag, tag);
}

static void all_forms_of_the_dead_client_are_swept(void **state)
{
	struct tn_slot s[5];

	(void)state;
	hold(1, 3, s, 5, TN_TAG_HELD | 1);
	tn16_store_relaxed(s[0].tag, TN_TAG_KEPT | 1);
	tn16_store_relaxed(s[1].tag, TN_TAG_LINK | 1);
	tn16_store_relaxed(s[2].tag, TN_TAG_POOL);
	tn16_store_relaxed(s[3].tag, TN_TAG_HELD | 2);
	tn_touch(&heap.pool, 2, 0);
	assert_int_equal(tn_heap_recover(&heap, 1), 1);
	assert_int_equal(tn16_load_relaxed(s[0].tag), 0);
	/* no record says more of it: it was the pool's before */
	assert_int_equal(tn16_load_relaxed(s[1].tag), TN_TAG_POOL);
	assert_int_equal(tn16_load_relaxed(s[2].tag), TN_TAG_POOL);
	assert_int_equal(tn16_load_relaxed(s[3].tag), TN_TAG_HELD | 2);
	assert_int_equal(tn16_load_relaxed(s[4].tag), 0);
	assert_int_equal(TN_SLAB_FREE(tn64_load_relaxed(
				 &heap.pool.pages[0].slab)), 253);
	/* and again: nothing is left to do */
	assert_int_equal(tn_heap_recover(&heap, 1), 0);
	assert_int_equal(TN_SLAB_FREE(tn64_load_relaxed(
				 &heap.pool.pages[0].slab)), 253);
}

static void a_lease_of_the_dead_is_ended(void **state)
{
	struct tn_slot s[8], other;

	(void)state;
	hold(1, 3, s, 8, TN_TAG_KEPT | 1);
	/* died in a claim: leased, tags stored, count not lowered */
	tn64_store_relaxed(&heap.pool.pages[0].slab,
			   TN_SLAB_WORD(TN_SLAB_LEASED, 3, 1, 1, 256));
	tn_heap_recover(&heap, 1);
	assert_null(tn_heap_not_pristine(&heap.pool));
	hold(2, 3, &other, 1, TN_TAG_HELD | 2);
	assert_ptr_equal(other.p, heap.pool.data);
}

static void a_slab_leased_by_the_living_is_swept_later(void **state)
{
	struct tn_slot mine[8], other[8];
	struct tn_recover r;
	int e;

	(void)state;
	hold(1, 3, mine, 8, TN_TAG_HELD | 1);
	hold(2, 3, other, 8, TN_TAG_HELD | 2);
	tn64_store_relaxed(&heap.pool.pages[0].slab,
			   TN_SLAB_WORD(TN_SLAB_LEASED, 3, 2, 2, 240));
	tn_recover_begin(&r, &heap.pool, heap.control[1], 1,
			 tn_heap_lane(&heap, 0, 0));
	while ((e = tn_recover_step(&r, 1)) == 1)
		;
	assert_int_equal(e, TN_RECOVER_LATER);
	assert_int_equal(tn16_load_relaxed(mine[0].tag), TN_TAG_HELD | 1);
	tn64_store_relaxed(&heap.pool.pages[0].slab,
			   TN_SLAB_WORD(TN_SLAB_OPEN, 3, 0, 0, 240));
	while ((e = tn_recover_step(&r, 1)) == 1)
		;
	assert_int_equal(e, 0);
	assert_int_equal(r.freed_objects, 8);
	assert_int_equal(tn16_load_relaxed(mine[0].tag), 0);
	assert_int_equal(tn16_load_relaxed(other[0].tag), TN_TAG_HELD | 2);
}

/* Client 1 recovered, until it ends or has to wait. */
static int recover(void)
{
	struct tn_recover r;
	int e;

	tn_recover_begin(&r, &heap.pool, heap.control[1], 1,
			 tn_heap_lane(&heap, 0, 0));
	while ((e = tn_recover_step(&r, 1)) == 1)
		;
	return e;
}

static void a_slab_word_that_cannot_be_is_not_waited_for(void **state)
{
	static const uint64_t words[] = {
		TN_SLAB_WORD(TN_SLAB_LEASED, 3, 7, 0, 9), /* by nobody */
		TN_SLAB_WORD(TN_SLAB_LEASED, 3, TN_N_CLIENTS + 2, 0, 9),
		TN_SLAB_WORD(TN_SLAB_OPEN, 4, 0, 0, 9), /* the page's is 3 */
		TN_SLAB_WORD(TN_SLAB_OPEN, TN_N_CLASSES, 0, 0, 9),
		3, ~0ULL,
	};
	struct tn_slot mine;

	(void)state;
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		hold(1, 3, &mine, 1, TN_TAG_HELD | 1);
		tn64_store_relaxed(&heap.pool.pages[0].slab, words[i]);
		if (recover() != -EUCLEAN)
			fail_msg("slab word %#llx",
				 (unsigned long long)words[i]);
		tn64_store_relaxed(&heap.pool.pages[0].slab,
				   TN_SLAB_WORD(TN_SLAB_OPEN, 3, 0, 0, 9));
	}
	/* the dead has nothing where a slab is being made or ended */
	tn16_store_relaxed(mine.tag, 0);
	tn64_store_relaxed(&heap.pool.pages[0].slab, TN_SLAB_NONE);
	assert_int_equal(recover(), 0);
}

static void a_lease_of_one_who_waits_for_recovery_is_waited_for(void **state)
{
	struct tn_slot mine;

	(void)state;
	hold(1, 3, &mine, 1, TN_TAG_HELD | 1);
	tn64_store_relaxed(&heap.pool.pages[0].slab,
			   TN_SLAB_WORD(TN_SLAB_LEASED, 3, 2, 2, 255));
	tn64_store_relaxed(&heap.pool.clients[2].state, TN_CLIENT_DEAD | 2);
	assert_int_equal(recover(), TN_RECOVER_LATER);
	tn_touch(&heap.pool, 2, 0);
	tn_heap_recover(&heap, 2);
	assert_int_equal(recover(), 0);
	assert_null(tn_heap_not_pristine(&heap.pool));
}

static void a_touched_page_that_is_something_else_is_left_alone(void **state)
{
	uint64_t page;
	struct tn_slot s;

	(void)state;
	/* in the middle of another's run, slab, and on free pages */
	assert_int_equal(tn_run_alloc(&heap.pool, &lane[2], 64, TN_FIRST_FIT,
				      &page), 0);
	tn_touch(&heap.pool, 1, page + 3);
	hold(2, 71, &s, 1, TN_TAG_HELD | 2);
	tn_touch(&heap.pool, 1, (tn_pool_off(&heap.pool, s.p) >> 12) + 5);
	tn_touch(&heap.pool, 1, 1500);
	tn_touch(&heap.pool, 1, page);
	assert_int_equal(tn_heap_recover(&heap, 1), 0);
	assert_int_equal(tn_heap_tag(&heap, page << 12), TN_TAG_HELD | 2);
	assert_int_equal(tn16_load_relaxed(s.tag), TN_TAG_HELD | 2);
}

/* A run of three rows, died when @row of them had been (un)claimed. */
static void dies_in_a_run(bool down, unsigned row, bool done)
{
	uint64_t mask[3] = { ~0ULL << 56, ~0ULL, 0xff };
	struct tn_lane *rec = lane[1].rec;
	unsigned mine = down ? row + !done : row + done;

	for (unsigned i = 0; i < 3; i++)
		if (i < mine || (down && i == row))
			assert_true(tn_row_claim(&heap.pool, &lane[1], i,
						 mask[i],
						 TN_PROGRESS(0, i, 0)));
	if (down && done)
		assert_int_equal(tn_row_release(&heap.pool, &lane[1], row,
						mask[row],
						TN_PROGRESS(1, row, 0)), 0);
	else if (!done)
		tn64_store_relaxed(&rec->progress, TN_PROGRESS(down, row,
			TN_PROGRESS_STEP(tn64_load_relaxed(&rec->progress)) +
				   1));
	tn64_store_relaxed(&rec->op, TN_OP(TN_OP_RUN, 56, 80));
	tn_heap_recover(&heap, 1);
	if (tn_heap_not_pristine(&heap.pool))
		fail_msg("%s row %u, %sdone: %s", down ? "down" : "up", row,
			 done ? "" : "not ", tn_heap_not_pristine(&heap.pool));
}

static void a_run_is_given_back_from_wherever_it_was(void **state)
{
	(void)state;
	for (unsigned row = 0; row < 3; row++)
		for (unsigned i = 0; i < 4; i++)
			dies_in_a_run(i & 1, row, i & 2);
}

static void records_that_cannot_be_are_refused(void **state)
{
	static const uint64_t ops[] = {
		TN_OP(TN_OP_RUN, 0, 0), TN_OP(TN_OP_RUN, 2048, 1),
		TN_OP(TN_OP_RUN, 2000, 100), TN_OP(TN_OP_SLAB, 0, 65),
		TN_OP(99, 0, 1), ~0ULL,
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		tn64_store_relaxed(&lane[1].rec->op, ops[i]);
		assert_int_equal(recover(), -EUCLEAN);
	}
}

static void numbers_go_on_for_the_next_client_in_the_slot(void **state)
{
	uint64_t page, before, after;
	struct tn_lane_ref next;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(tn_run_alloc(&heap.pool, &lane[1], 1,
					      TN_FIRST_FIT, &page), 0);
	before = TN_PROGRESS_STEP(tn64_load_relaxed(&lane[1].rec->progress));
	tn_heap_recover(&heap, 1);
	next = tn_heap_lane(&heap, 1, 1);
	after = TN_PROGRESS_STEP(tn64_load_relaxed(&next.rec->progress));
	assert_true(before >= 10);
	assert_true(after >= before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(all_forms_of_the_dead_client_are_swept),
		HEAP_TEST(a_lease_of_the_dead_is_ended),
		HEAP_TEST(a_slab_leased_by_the_living_is_swept_later),
		HEAP_TEST(a_slab_word_that_cannot_be_is_not_waited_for),
		HEAP_TEST(a_lease_of_one_who_waits_for_recovery_is_waited_for),
		HEAP_TEST(a_touched_page_that_is_something_else_is_left_alone),
		HEAP_TEST(a_run_is_given_back_from_wherever_it_was),
		HEAP_TEST(records_that_cannot_be_are_refused),
		HEAP_TEST(numbers_go_on_for_the_next_client_in_the_slot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
