/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_test.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "pool/share.h"
#include "tests/lib/tn_heap.h"

#define heap tn_heap_here
#define lane tn_heap_lanes /* of clients 1 to 3 */

static uint64_t object(uint32_t client)
{
	struct tn_slab_cursor cursor = { 0 };
	struct tn_slot s;

	assert_int_equal(tn_slab_claim(&heap.pool, &lane[client], 3, &cursor,
				       &s, 1), 1);
	tn16_store_relaxed(s.tag, (uint16_t)(TN_TAG_HELD | client));
	return tn_pool_off(&heap.pool, s.p);
}

static uint16_t tag(uint64_t off) { return tn_heap_tag(&heap, off); }

static int hold(unsigned c, uint64_t off)
{ return tn_share_hold(&heap.pool, &lane[c], off); }

static int release(unsigned c, uint64_t off)
{ return tn_share_release(&heap.pool, &lane[c], off, c); }

static bool records_are_empty(void)
{
	const uint8_t *p = (const void *)heap.pool.shares;

	for (uint64_t i = 0; i < heap.pool.geo.n_shares; i++) {
		const struct tn_share *s = &heap.pool.shares[i];

		if (tn64_load_relaxed(&s->state.lo))
			return false;
		for (unsigned w = 0; w < TN_N_CLIENTS / 64; w++)
			if (tn64_load_relaxed(&s->set[w].lo))
				return false;
	}
	return p != NULL;
}

static void the_last_holder_frees(void **state)
{
	uint64_t off = object(1);

	(void)state;
	assert_int_equal(hold(2, off), -EPERM);
	assert_int_equal(tn_share_make(&heap.pool, &lane[2], off), -EPERM);
	assert_int_equal(tn_share_make(&heap.pool, &lane[1], off), 0);
	assert_int_equal(tn_share_make(&heap.pool, &lane[1], off), -EPERM);
	assert_int_equal(tag(off), TN_TAG_SHARED);
	assert_int_equal(hold(2, off), 0);
	assert_int_equal(hold(2, off), 0);
	assert_int_equal(hold(3, off), 0);
	assert_int_equal(release(1, off), 0);
	assert_int_equal(release(1, off), -EPERM);
	assert_int_equal(release(2, off), 0);
	assert_int_equal(release(3, off), 1);
	assert_int_equal(tag(off), TN_TAG_KEPT | 3);
	assert_int_equal(hold(1, off), -EPERM);
	assert_true(records_are_empty());
}

static void a_shared_object_is_not_to_be_had_otherwise(void **state)
{
	uint64_t off = object(1);
	struct tn_object obj;

	(void)state;
	assert_int_equal(tn_share_make(&heap.pool, &lane[1], off), 0);
	assert_int_equal(tn_hold_give(&heap.pool, &lane[1], off, 2), -EPERM);
	assert_int_equal(tn_hold_take(&heap.pool, &lane[2], off), -EPERM);
	assert_int_equal(tn_hold_detach(&heap.pool, &lane[1], off), -EPERM);
	assert_int_equal(tn_object_find(&heap.pool, off, &obj), 0);
	assert_int_equal(tn_object_release(&heap.pool, &lane[1], off, &obj),
			 -EPERM);
	assert_int_equal(tag(off), TN_TAG_SHARED);
}

static void a_death_ends_the_hold_and_no_other(void **state)
{
	uint64_t slot = object(1), page, run;

	(void)state;
	assert_int_equal(tn_run_alloc(&heap.pool, &lane[1], 5, TN_FIRST_FIT,
				      &page), 0);
	run = page << 12;
	assert_int_equal(tn_share_make(&heap.pool, &lane[1], slot), 0);
	assert_int_equal(tn_share_make(&heap.pool, &lane[1], run), 0);
	assert_int_equal(hold(2, slot), 0);
	assert_int_equal(hold(2, run), 0);
	assert_int_equal(tn_heap_recover(&heap, 1), 0);
	assert_int_equal(tag(slot), TN_TAG_SHARED);
	assert_int_equal(tag(run), TN_TAG_SHARED);
	assert_int_equal(hold(3, slot), 0);
	assert_int_equal(tn_heap_recover(&heap, 2), 1); /* the run */
	assert_int_equal(tn_heap_recover(&heap, 3), 1);
	assert_true(records_are_empty());
	assert_null(tn_heap_not_pristine(&heap.pool));
}

static void a_full_window_is_told_and_passes(void **state)
{
	static uint64_t off[60000];
	unsigned n = 0, shared = 0;
	int r = 0;

	(void)state;
	while (n < 60000 && r == 0) {
		off[n] = object(1);
		r = tn_share_make(&heap.pool, &lane[1], off[n++]);
	}
	/* 2048 records: more than half are used before a window is full */
	assert_int_equal(r, -ENOSPC);
	assert_true(n > 1024 && n <= 2049);
	for (unsigned i = 0; i + 1 < n; i++)
		shared += release(1, off[i]) == 1;
	assert_int_equal(shared, n - 1);
	assert_int_equal(tn_share_make(&heap.pool, &lane[1], off[n - 1]), 0);
	assert_int_equal(release(1, off[n - 1]), 1);
	assert_true(records_are_empty());
}

/* Three clients hold and release one object in turn; one frees it at last. */
struct turns { unsigned client; uint64_t off; unsigned n_last; };

static void *take_turns(void *arg)
{
	struct turns *t = arg;

	for (unsigned i = 0; i < 30000; i++) {
		if (hold(t->client, t->off) < 0)
			abort(); /* client 1 holds it throughout */
		if (release(t->client, t->off) != 0)
			t->n_last++;
	}
	return NULL;
}

static void holders_that_race_lose_no_hold(void **state)
{
	uint64_t off = object(1);
	struct turns t[2] = { { 2, off, 0 }, { 3, off, 0 } };
	pthread_t thread[2];

	(void)state;
	assert_int_equal(tn_share_make(&heap.pool, &lane[1], off), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, take_turns, &t[i]);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(t[i].n_last, 0);
	}
	assert_int_equal(release(1, off), 1);
	assert_true(records_are_empty());
}

/* Both release; both may hold anew meanwhile: exactly one release is last. */
static pthread_barrier_t both;

static void *last_of_two(void *arg)
{
	struct turns *t = arg;

	pthread_barrier_wait(&both);
	t->n_last += release(t->client, t->off) == 1;
	return NULL;
}

static void of_two_that_leave_at_once_one_is_the_last(void **state)
{
	struct turns t[2] = { { 1, 0, 0 }, { 2, 0, 0 } };
	pthread_t thread[2];

	(void)state;
	pthread_barrier_init(&both, NULL, 2);
	for (unsigned n = 0; n < 500; n++) {
		t[0].off = t[1].off = object(1);
		assert_int_equal(tn_share_make(&heap.pool, &lane[1],
					       t[0].off), 0);
		assert_int_equal(hold(2, t[0].off), 0);
		for (unsigned i = 0; i < 2; i++)
			pthread_create(&thread[i], NULL, last_of_two, &t[i]);
		for (unsigned i = 0; i < 2; i++)
			pthread_join(thread[i], NULL);
		assert_int_equal(t[0].n_last + t[1].n_last, n + 1);
	}
	pthread_barrier_destroy(&both);
	assert_true(records_are_empty());
}

/* What a death leaves: the op, its phase, and whether the step was done. */
static void resumes(unsigned op, unsigned phase, bool done, uint16_t t,
		    uint16_t t_after)
{
	uint64_t off = object(1), step, record = 0;
	struct tn_object obj;
	bool bit = phase == 2 || phase == 3;
	tn_a128 *word;

	assert_int_equal(tn_share_make(&heap.pool, &lane[1], off), 0);
	while (tn64_load_relaxed(&heap.pool.shares[record].state.lo) !=
	       TN_SHARE_VALUE(off, 1))
		record++;
	assert_int_equal(tn_object_find(&heap.pool, off, &obj), 0);
	tn16_store_relaxed(obj.tag, t);
	step = TN_PROGRESS_STEP(tn64_load_relaxed(&lane[1].rec->progress)) + 1;
	word = bit ? &heap.pool.shares[record].set[0]
		   : &heap.pool.shares[record].state;
	/* the memory as the op has it, before or after the step in question */
	if (phase == 3 || phase == 4) { /* clear, down: the bit goes first */
		if (phase == 4 || done)
			tn64_store_relaxed(&heap.pool.shares[record].set[0].lo,
					   0);
		if (phase == 4 && done)
			tn64_store_relaxed(&word->lo, TN_SHARE_VALUE(off, 0));
	} else { /* up, set: nothing, count, bit */
		if (phase == 1 || !done)
			tn64_store_relaxed(&heap.pool.shares[record].set[0].lo,
					   0);
		if (phase == 1 && !done)
			tn64_store_relaxed(&word->lo, 0);
	}
	tn64_store_relaxed(&word->hi, done ? TN_STAMP(1, 1, step) : 0);
	tn64_store_relaxed(&lane[1].rec->progress,
			   TN_PROGRESS(0, phase, step));
	tn64_store_relaxed(&lane[1].rec->ref, off);
	tn64_store_relaxed(&lane[1].rec->word, 1);
	tn64_store_relaxed(&lane[1].rec->op, TN_OP(op, record, 0));
	tn_touch(&heap.pool, 1, off >> 12);
	tn_heap_recover(&heap, 1);
	if (tag(off) != t_after && tag(off) != 0xffff)
		fail_msg("op %u phase %u done %d: tag %#x", op, phase, done,
			 tag(off));
	if (!records_are_empty())
		fail_msg("op %u phase %u done %d: record", op, phase, done);
	tn64_store_relaxed(&heap.pool.clients[1].state, TN_CLIENT_ALIVE | 1);
	lane[1] = tn_heap_lane(&heap, 1, 1);
}

static void a_death_at_every_phase_leaves_nothing(void **state)
{
	(void)state;
	for (unsigned done = 0; done < 2; done++) {
		resumes(TN_OP_SHARE, 1, done, TN_TAG_HELD | 1, 0);
		resumes(TN_OP_SHARE, 2, done, TN_TAG_HELD | 1, 0);
		resumes(TN_OP_RELEASE, 3, done, TN_TAG_SHARED, 0);
		resumes(TN_OP_RELEASE, 4, done, TN_TAG_SHARED, 0);
	}
	resumes(TN_OP_SHARE, 2, true, TN_TAG_SHARED, 0);
	assert_null(tn_heap_not_pristine(&heap.pool));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(the_last_holder_frees),
		HEAP_TEST(a_shared_object_is_not_to_be_had_otherwise),
		HEAP_TEST(a_death_ends_the_hold_and_no_other),
		HEAP_TEST(a_full_window_is_told_and_passes),
		HEAP_TEST(holders_that_race_lose_no_hold),
		HEAP_TEST(of_two_that_leave_at_once_one_is_the_last),
		HEAP_TEST(a_death_at_every_phase_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
