/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_test.h"

#include <errno.h>
#include <string.h>

#include "tests/lib/tn_heap.h"

#define heap tn_heap_here
#define lane tn_heap_lanes /* of clients 1 to 3 */

/* An object of 64 bytes, held by a client: its offset. */
static uint64_t object(uint32_t client)
{
	struct tn_slab_cursor cursor = { 0 };
	struct tn_slot s;

	assert_int_equal(tn_slab_claim(&heap.pool, &lane[client], 3, &cursor,
				       &s, 1), 1);
	tn16_store_relaxed(s.tag, (uint16_t)(TN_TAG_HELD | client));
	memset(s.p, 0, 64);
	return tn_pool_off(&heap.pool, s.p);
}

static uint16_t tag(uint64_t off) { return tn_heap_tag(&heap, off); }

static uint64_t *word(uint64_t off)
{ return (uint64_t *)(void *)(heap.pool.data + off); }

static int release(uint32_t client, uint64_t off)
{
	struct tn_object obj;
	int r = tn_object_find(&heap.pool, off, &obj);

	return r < 0 ? r : tn_object_release(&heap.pool, &lane[client], off,
					     &obj);
}

static void only_the_holder_frees_and_only_once(void **state)
{
	uint64_t off = object(1);

	(void)state;
	assert_int_equal(release(2, off), -EPERM);
	assert_int_equal(release(1, off + 16), -EINVAL);
	assert_int_equal(release(1, off), 0);
	assert_int_equal(release(1, off), -EALREADY);
	assert_int_equal(release(2, off), -EALREADY);
}

static void what_is_given_belongs_to_the_receiver(void **state)
{
	uint64_t off = object(1);

	(void)state;
	assert_int_equal(tn_hold_take(&heap.pool, &lane[2], off), -EPERM);
	assert_int_equal(tn_hold_give(&heap.pool, &lane[1], off, 2), 0);
	assert_int_equal(tn_hold_give(&heap.pool, &lane[1], off, 2), -EPERM);
	assert_int_equal(release(1, off), -EPERM);
	assert_int_equal(tn_hold_take(&heap.pool, &lane[3], off), -EPERM);
	assert_int_equal(tn_hold_take(&heap.pool, &lane[2], off), 0);
	assert_int_equal(tn_hold_take(&heap.pool, &lane[2], off), -EPERM);
	assert_int_equal(tag(off), TN_TAG_HELD | 2);
}

static void nothing_can_be_given_to_nobody(void **state)
{
	uint64_t off = object(1);

	(void)state;
	assert_int_equal(tn_hold_give(&heap.pool, &lane[1], off, 0), -ESRCH);
	assert_int_equal(tn_hold_give(&heap.pool, &lane[1], off, 99), -ESRCH);
	assert_int_equal(tn_hold_give(&heap.pool, &lane[1], off, ~0U), -ESRCH);
	tn_heap_recover(&heap, 2);
	assert_int_equal(tn_hold_give(&heap.pool, &lane[1], off, 2), -ESRCH);
	assert_int_equal(tag(off), TN_TAG_HELD | 1);
}

static void what_was_given_and_not_taken_dies_with_the_receiver(void **state)
{
	uint64_t off = object(1);

	(void)state;
	assert_int_equal(tn_hold_give(&heap.pool, &lane[1], off, 2), 0);
	tn_heap_recover(&heap, 1); /* the giver's death changes nothing */
	assert_int_equal(tag(off), TN_TAG_GIVEN | 2);
	assert_int_equal(tn_heap_recover(&heap, 2), 1);
	assert_null(tn_heap_not_pristine(&heap.pool));
}

static void the_pool_keeps_what_is_detached(void **state)
{
	uint64_t off = object(1);

	(void)state;
	assert_int_equal(tn_hold_detach(&heap.pool, &lane[2], off), -EPERM);
	assert_int_equal(tn_hold_detach(&heap.pool, &lane[1], off), 0);
	tn_heap_recover(&heap, 1);
	assert_int_equal(tag(off), TN_TAG_POOL);
	assert_int_equal(tn_hold_adopt(&heap.pool, &lane[2], off), 0);
	assert_int_equal(tn_hold_adopt(&heap.pool, &lane[3], off), -EPERM);
	assert_int_equal(tag(off), TN_TAG_HELD | 2);
	assert_int_equal(tn_heap_recover(&heap, 2), 1);
	assert_null(tn_heap_not_pristine(&heap.pool));
}

static void anybody_frees_what_the_pool_holds(void **state)
{
	uint64_t off = object(1);

	(void)state;
	assert_int_equal(tn_hold_detach(&heap.pool, &lane[1], off), 0);
	assert_int_equal(release(3, off), 0);
	assert_int_equal(tag(off), TN_TAG_KEPT | 3);
	/* dying before it is returned, he takes it with him */
	tn_heap_recover(&heap, 3);
	tn_heap_recover(&heap, 1);
	assert_null(tn_heap_not_pristine(&heap.pool));
}

static void a_word_holds_what_was_published_until_it_is_claimed(void **state)
{
	uint64_t off = object(1), other = object(1), cell = object(1);

	(void)state;
	assert_int_equal(tn_hold_claim(&heap.pool, &lane[2], cell), 0);
	assert_int_equal(tn_hold_publish(&heap.pool, &lane[2], cell, off),
			 -EPERM);
	assert_int_equal(tn_hold_publish(&heap.pool, &lane[1], cell, off), 0);
	assert_int_equal(tag(off), TN_TAG_POOL);
	/* and a recovery could tell that this was done */
	assert_int_equal(tn64_load_relaxed(&lane[1].rec->ref),
			 off | TN_LANE_LINKED);
	assert_int_equal(*word(cell), tn_ref_make(&heap.pool, off));
	assert_int_equal(tn_hold_publish(&heap.pool, &lane[1], cell, other),
			 -EBUSY);
	assert_int_equal(tag(other), TN_TAG_HELD | 1);
	assert_int_equal(tn64_load_relaxed(&lane[1].rec->ref), other);
	assert_int_equal(tn_hold_claim(&heap.pool, &lane[2], cell),
			 tn_ref_make(&heap.pool, off));
	assert_int_equal(tag(off), TN_TAG_HELD | 2);
	assert_int_equal(*word(cell), 0);
	assert_int_equal(tn_hold_claim(&heap.pool, &lane[3], cell), 0);
}

static void a_stale_ref_in_a_word_claims_nothing(void **state)
{
	uint64_t off = object(1), cell = object(1);

	(void)state;
	/* a word that names what is not published there */
	*word(cell) = tn_ref_make(&heap.pool, off);
	assert_int_equal(tn_hold_claim(&heap.pool, &lane[2], cell), 0);
	*word(cell) = tn_ref_make(&heap.pool, off + 8);
	assert_int_equal(tn_hold_claim(&heap.pool, &lane[2], cell), 0);
	*word(cell) = ~0ULL;
	assert_int_equal(tn_hold_claim(&heap.pool, &lane[2], cell), 0);
	assert_int_equal(tag(off), TN_TAG_HELD | 1);
}

/* A lane that died in the middle: its record, and the tag, as they were. */
static void died_in(struct tn_lane_ref *l, unsigned op, uint64_t off,
		    uint64_t w, uint16_t t)
{
	struct tn_object obj;

	tn64_store_relaxed(&l->rec->ref, off);
	tn64_store_relaxed(&l->rec->word, w);
	tn64_store_relaxed(&l->rec->op, TN_OP(op, 0, 0));
	assert_int_equal(tn_object_find(&heap.pool, off & ~TN_LANE_LINKED,
					&obj), 0);
	tn16_store_relaxed(obj.tag, t);
}

static void a_death_in_publish_leaves_both_or_neither(void **state)
{
	uint64_t a = object(1), b = object(1), cell = object(2);

	(void)state;
	died_in(&lane[1], TN_OP_PUBLISH, a, cell, TN_TAG_LINK | 1);
	*word(cell) = tn_ref_make(&heap.pool, a);
	tn_heap_recover(&heap, 1);
	assert_int_equal(tag(a), TN_TAG_POOL);
	assert_int_equal(tag(b), TN_TAG_FREE);
	*word(cell) = 0;
	b = object(3);
	died_in(&lane[3], TN_OP_PUBLISH, b, cell, TN_TAG_LINK | 3);
	assert_int_equal(tn_heap_recover(&heap, 3), 1);
	assert_int_equal(tag(b), TN_TAG_FREE);
}

static void a_death_in_claim_leaves_both_or_neither(void **state)
{
	uint64_t off = object(1), cell = object(2);

	(void)state;
	assert_int_equal(tn_hold_publish(&heap.pool, &lane[1], cell, off), 0);
	/* before he looked, and after he looked: it stays where it is */
	died_in(&lane[3], TN_OP_CLAIM, off, cell, TN_TAG_LINK | 3);
	tn_touch(&heap.pool, 3, off >> 12);
	tn_heap_recover(&heap, 3);
	assert_int_equal(tag(off), TN_TAG_POOL);
	tn64_store_relaxed(&heap.pool.clients[3].state, TN_CLIENT_ALIVE | 3);
	died_in(&lane[3], TN_OP_CLAIM, off | TN_LANE_LINKED, cell,
		TN_TAG_LINK | 3);
	tn_touch(&heap.pool, 3, off >> 12);
	tn_heap_recover(&heap, 3);
	assert_int_equal(tag(off), TN_TAG_POOL);
	assert_int_equal(*word(cell), tn_ref_make(&heap.pool, off));
	/* after he took it out: it was his */
	died_in(&lane[3], TN_OP_CLAIM, off | TN_LANE_LINKED, cell,
		TN_TAG_LINK | 3);
	tn_touch(&heap.pool, 3, off >> 12);
	*word(cell) = 0;
	assert_int_equal(tn_heap_recover(&heap, 3), 1);
	assert_int_equal(tag(off), TN_TAG_FREE);
}

static void a_publish_that_is_over_has_no_say_any_more(void **state)
{
	uint64_t off = object(1), cell = object(2), next = object(2);
	struct tn_lane_ref other = tn_heap_lane(&heap, 1, 2);

	(void)state;
	assert_int_equal(tn_hold_publish(&heap.pool, &lane[1], cell, off), 0);
	assert_int_not_equal(tn_hold_claim(&heap.pool, &lane[2], cell), 0);
	assert_int_equal(tn_hold_publish(&heap.pool, &lane[2], next, off), 0);
	/* the first has not come to its end yet when another lane of its
	 * client begins to claim the object from where it is now */
	tn64_store_relaxed(&lane[1].rec->op, TN_OP(TN_OP_PUBLISH, 0, 0));
	died_in(&other, TN_OP_CLAIM, off, next, TN_TAG_LINK | 1);
	assert_int_equal(tn_heap_recover(&heap, 1), 0);
	assert_int_equal(tag(off), TN_TAG_POOL);
	assert_int_equal(tn_hold_claim(&heap.pool, &lane[3], next),
			 tn_ref_make(&heap.pool, off));
}

static void a_claim_by_an_old_ref_costs_the_pool_nothing(void **state)
{
	uint64_t off = object(2), cell = object(2), page;

	(void)state;
	assert_int_equal(tn_hold_detach(&heap.pool, &lane[2], off), 0);
	assert_int_equal(tn_run_alloc(&heap.pool, &lane[2], 3, TN_FIRST_FIT,
				      &page), 0);
	assert_int_equal(tn_hold_detach(&heap.pool, &lane[2], page << 12), 0);
	/* seized by a ref that names nothing now, not looked at again */
	for (unsigned i = 0; i < 2; i++) {
		uint64_t it = i ? page << 12 : off;

		tn64_store_relaxed(&heap.pool.clients[1].state,
				   TN_CLIENT_ALIVE | 1);
		died_in(&lane[1], TN_OP_CLAIM, it, cell, TN_TAG_LINK | 1);
		tn64_store_relaxed(&lane[1].rec->ref, it + 8);
		tn_touch(&heap.pool, 1, it >> 12);
		assert_int_equal(tn_heap_recover(&heap, 1), 0);
		assert_int_equal(tag(it), TN_TAG_POOL);
	}
}

static void a_giver_who_dies_after_the_receiver_leaves_nothing(void **state)
{
	uint64_t off = object(1);

	(void)state;
	tn_heap_recover(&heap, 2);
	died_in(&lane[1], TN_OP_GIVE, off, 2, TN_TAG_GIVEN | 2);
	assert_int_equal(tn_heap_recover(&heap, 1), 1);
	assert_null(tn_heap_not_pristine(&heap.pool));
}

static void runs_change_hands_like_slots(void **state)
{
	uint64_t page, cell = object(3);

	(void)state;
	assert_int_equal(tn_run_alloc(&heap.pool, &lane[1], 100, TN_FIRST_FIT,
				      &page), 0);
	assert_int_equal(tn_hold_give(&heap.pool, &lane[1], page << 12, 2), 0);
	assert_int_equal(tn_hold_take(&heap.pool, &lane[2], page << 12), 0);
	assert_int_equal(tn_hold_publish(&heap.pool, &lane[2], cell,
					 page << 12), 0);
	tn_heap_recover(&heap, 1);
	tn_heap_recover(&heap, 2);
	assert_int_not_equal(tn_hold_claim(&heap.pool, &lane[3], cell), 0);
	assert_int_equal(tn_heap_recover(&heap, 3), 2);
	assert_null(tn_heap_not_pristine(&heap.pool));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(only_the_holder_frees_and_only_once),
		HEAP_TEST(what_is_given_belongs_to_the_receiver),
		HEAP_TEST(nothing_can_be_given_to_nobody),
		HEAP_TEST(what_was_given_and_not_taken_dies_with_the_receiver),
		HEAP_TEST(the_pool_keeps_what_is_detached),
		HEAP_TEST(anybody_frees_what_the_pool_holds),
		HEAP_TEST(a_word_holds_what_was_published_until_it_is_claimed),
		HEAP_TEST(a_stale_ref_in_a_word_claims_nothing),
		HEAP_TEST(a_death_in_publish_leaves_both_or_neither),
		HEAP_TEST(a_death_in_claim_leaves_both_or_neither),
		HEAP_TEST(a_publish_that_is_over_has_no_say_any_more),
		HEAP_TEST(a_claim_by_an_old_ref_costs_the_pool_nothing),
		HEAP_TEST(a_giver_who_dies_after_the_receiver_leaves_nothing),
		HEAP_TEST(runs_change_hands_like_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
