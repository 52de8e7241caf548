/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/cache.h"
#include "pool/handle.h"
#include "pool/magazine.h"
#include "pool/row.h"
#include "tests/lib/tn_heap.h"

#define ROOM (1ULL << 20)
#define NONE (~0ULL)

/* As much room as in a large pool, for a heap that is small. */
static struct tn_rack *rack_of(uint32_t client)
{
	struct tn_rack *rack = aligned_alloc(64, sizeof(*rack));

	assert_non_null(rack);
	memset(rack, 0, sizeof(*rack));
	tn_rack_start(rack, &tn_heap_here.pool, &tn_heap_lanes[client],
		      ROOM * 1024);
	assert_int_equal(rack->runs.room,
			 tn_heap_here.pool.role == TN_PRODUCER ? ROOM : 0);
	return rack;
}

static uint64_t page_of(struct tn_rack *rack, const void *p)
{ return tn_pool_off(rack->pool, p) >> TN_PAGE_SHIFT; }

static void *take(struct tn_rack *rack, uint64_t n)
{
	uint64_t page = NONE;
	void *p = tn_rack_pop_run(rack, n);

	if (p)
		return p;
	assert_int_equal(tn_run_alloc(rack->pool, &rack->ref, n,
				      TN_FIRST_FIT, &page), 0);
	return rack->pool->data + (page << TN_PAGE_SHIFT);
}

/* Not by the usual path. */
static void put_slow(struct tn_rack *rack, void *p)
{
	struct tn_object obj;
	uint64_t off = tn_pool_off(rack->pool, p);

	assert_int_equal(tn_object_find(rack->pool, off, &obj), 0);
	assert_int_equal(tn_object_release(rack->pool, &rack->ref, off, &obj),
			 0);
	assert_int_equal(tn_rack_dispose(rack, p, &obj), 0);
}

static void put(struct tn_rack *rack, void *p)
{
	if (!tn_rack_push_run(rack, rack->pool, p))
		put_slow(rack, p);
}

static uint64_t claimed(const struct tn_pool *pool)
{
	uint64_t n = 0;

	for (uint64_t row = 0; row < pool->geo.n_pages / TN_ROW_PAGES; row++)
		n += (unsigned)__builtin_popcountll(tn_row_map(pool, row));
	return n;
}

static void a_run_that_was_freed_is_used_again(void **state)
{
	struct tn_rack *rack = rack_of(1);

	(void)state;
	for (uint64_t n = 1; n <= TN_RUN_CACHE_PAGES; n++) {
		void *p = take(rack, n), *q;

		assert_true(tn_rack_push_run(rack, rack->pool, p));
		assert_int_equal(tn_heap_tag(&tn_heap_here, tn_pool_off(
				 rack->pool, p)), rack->kept);
		assert_int_equal(claimed(rack->pool), n);
		assert_int_equal(rack->runs.room, ROOM - (n << 12));
		q = take(rack, n);
		assert_ptr_equal(p, q);
		assert_int_equal(tn_heap_tag(&tn_heap_here, tn_pool_off(
				 rack->pool, q)), rack->held);
		assert_int_equal(rack->runs.room, ROOM);
		put(rack, q);
		tn_rack_flush(rack);
		assert_null(tn_heap_not_pristine(rack->pool));
	}
	free(rack);
}

static void what_is_no_short_run_of_ours_is_not_taken(void **state)
{
	static const uint16_t others[] = {
		TN_TAG_FREE, TN_TAG_HELD | 2, TN_TAG_KEPT | 1, TN_TAG_KEPT | 2,
		TN_TAG_GIVEN | 2, TN_TAG_LINK | 1, TN_TAG_POOL, TN_TAG_SHARED,
		TN_TAG_HANDLE,
	};
	struct tn_rack *rack = rack_of(1);
	uint8_t *p = take(rack, 3), *slot;
	struct tn_pool *pool = rack->pool;
	struct tn_object obj;

	(void)state;
	assert_false(tn_rack_push_run(rack, pool, p + 1));
	assert_false(tn_rack_push_run(rack, pool, p + TN_PAGE_BYTES));
	assert_false(tn_rack_push_run(rack, pool, p + 3 * TN_PAGE_BYTES));
	assert_false(tn_rack_push_run(rack, pool, pool->data - TN_PAGE_BYTES));
	assert_false(tn_rack_push_run(rack, pool,
				      pool->data + pool->geo.data_bytes));
	assert_int_equal(tn_object_find(pool, tn_pool_off(pool, p), &obj), 0);
	for (unsigned i = 0; i < TN_ARRAY_LEN(others); i++) {
		tn16_store_relaxed(obj.tag, others[i]);
		assert_false(tn_rack_push_run(rack, pool, p));
		assert_int_equal(tn16_load_relaxed(obj.tag), others[i]);
	}
	tn16_store_relaxed(obj.tag, TN_TAG_GIVEN | 1);
	assert_true(tn_rack_push_run(rack, pool, p));
	assert_false(tn_rack_push_run(rack, pool, p));
	assert_false(tn_rack_push_run(rack, pool, take(rack, 65)));
	assert_int_equal(tn_rack_fill(rack, 3), 0);
	slot = tn_rack_pop(rack, &rack->mags[3]);
	slot -= tn_pool_off(pool, slot) % TN_PAGE_BYTES;
	assert_false(tn_rack_push_run(rack, pool, slot));
	free(rack);
}

/* Or an aligned allocation would get one that is not. */
static void a_run_at_an_odd_place_is_not_kept(void **state)
{
	struct tn_rack *rack = rack_of(1);
	void *p[2] = { take(rack, 1), take(rack, 1) };
	struct tn_page *second = &rack->pool->pages[1];

	(void)state;
	assert_int_equal(page_of(rack, p[1]), 1);
	assert_true(tn_run_take_at(rack->pool, &rack->ref, TN_OP_RUN, 2, 1));
	tn_lane_commit(&rack->ref);
	tn64_store_relaxed(&second->word, TN_PAGE_RUN | 2 << 8);
	put(rack, p[1]);
	assert_int_equal(rack->runs.room, ROOM);
	assert_int_equal(claimed(rack->pool), 1);
	put(rack, p[0]);
	assert_int_equal(rack->runs.room, ROOM - TN_PAGE_BYTES);
	tn_rack_flush(rack);
	assert_null(tn_heap_not_pristine(rack->pool));
	free(rack);
}

static void no_more_is_kept_than_there_is_room_for(void **state)
{
	const uint64_t lengths[] = { 64, 5, 33, 1, 17, 60 };
	struct tn_rack *rack = rack_of(1);
	static void *p[TN_ARRAY_LEN(lengths)][40];

	(void)state;
	for (unsigned i = 0; i < TN_ARRAY_LEN(lengths); i++) {
		const unsigned n = lengths[i] < 20 ? 40 : 8;

		for (unsigned k = 0; k < n; k++)
			p[i][k] = take(rack, lengths[i]);
		for (unsigned k = 0; k < n; k++) {
			put(rack, p[i][k]);
			/* what was freed last is kept, whatever goes for it */
			if (rack->runs.n[lengths[i]] < TN_RUN_CACHE_DEPTH &&
			    k < ROOM / 2 / (lengths[i] << 12))
				assert_int_equal(tn_heap_tag(&tn_heap_here,
						 tn_pool_off(rack->pool,
							     p[i][k])),
						 rack->kept);
			assert_in_range(rack->runs.room, 0, ROOM);
		}
		assert_int_equal(claimed(rack->pool) << 12,
				 ROOM - rack->runs.room);
	}
	tn_rack_flush(rack);
	assert_int_equal(rack->runs.room, ROOM);
	assert_null(tn_heap_not_pristine(rack->pool));
	free(rack);
}

/* The oldest of a length goes first. */
static void what_was_kept_longest_goes_first(void **state)
{
	struct tn_rack *rack = rack_of(1);
	void *p[3];

	(void)state;
	rack->runs.room = 12 << 12;
	for (unsigned i = 0; i < 3; i++)
		p[i] = take(rack, 4);
	for (unsigned i = 0; i < 3; i++)
		put(rack, p[i]);
	assert_true(tn_run_make_room(rack->pool, &rack->ref, 4 << 12, 0));
	assert_int_equal(rack->runs.n[4], 2);
	assert_ptr_equal(take(rack, 4), p[2]);
	assert_ptr_equal(take(rack, 4), p[1]);
	assert_ptr_equal(take(rack, 4), p[0]); /* the lowest free place */
	assert_false(tn_run_make_room(rack->pool, &rack->ref, 13 << 12, 0));
	free(rack);
}

/* Its pages are those of the next slab of that length, or of a run. */
static void the_pages_of_an_empty_slab_are_kept(void **state)
{
	const unsigned a = 3, b = 0; /* both of four pages */
	struct tn_rack *rack = rack_of(1);
	struct tn_slab_cursor none = { 0 }, at = { 0 };
	struct tn_slot s;
	uint64_t page;

	(void)state;
	assert_int_equal(tn_slab_claim(rack->pool, &rack->ref, a, &at, &s, 1),
			 1);
	page = at.page_plus_1 - 1;
	assert_int_equal(tn_slab_return(rack->pool, &rack->ref, a, &s, 1,
					&none), 0);
	assert_int_equal(rack->runs.n[4], 1);
	assert_int_equal(rack->pool->pages[page].word.v, TN_PAGE_RUN | 4 << 8);
	assert_int_equal(rack->pool->pages[page + 1].word.v, 0);
	at = none;
	assert_int_equal(tn_slab_claim(rack->pool, &rack->ref, b, &at, &s, 1),
			 1);
	assert_int_equal(at.page_plus_1 - 1, page);
	assert_int_equal(rack->runs.n[4], 0);
	assert_int_equal(tn_slab_return(rack->pool, &rack->ref, b, &s, 1,
					&none), 0);
	assert_int_equal(page_of(rack, take(rack, 4)), page);
	free(rack);
}

static void what_can_be_moved_is_not_kept(void **state)
{
	const unsigned class = TN_CLASS_MOVABLE + 3;
	struct tn_rack *rack = rack_of(1);
	struct tn_slab_cursor none = { 0 }, at = { 0 };
	struct tn_slot s;

	(void)state;
	assert_int_equal(tn_slab_claim(rack->pool, &rack->ref, class, &at, &s,
				       1), 1);
	assert_int_equal(tn_slab_return(rack->pool, &rack->ref, class, &s, 1,
					&none), 0);
	assert_int_equal(rack->runs.room, ROOM);
	assert_null(tn_heap_not_pristine(rack->pool));
	free(rack);
}

static void who_never_allocates_keeps_none(void **state)
{
	struct tn_rack *maker = rack_of(1), *rack;
	struct tn_object obj;
	void *p = take(maker, 2);

	(void)state;
	tn_heap_here.pool.role = TN_CONSUMER;
	rack = rack_of(2);
	assert_int_equal(tn_object_find(rack->pool, 0, &obj), 0);
	tn16_store_relaxed(obj.tag, rack->held);
	put(rack, p);
	assert_null(tn_heap_not_pristine(rack->pool));
	tn_heap_here.pool.role = TN_PRODUCER;
	free(maker);
	free(rack);
}

static void what_the_dead_kept_is_free(void **state)
{
	struct tn_rack *rack = rack_of(1);
	void *p[3] = { take(rack, 1), take(rack, 5), take(rack, 64) };

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		put(rack, p[i]);
	assert_int_equal(rack->runs.room, ROOM - (70 << 12));
	assert_int_equal(tn_heap_recover(&tn_heap_here, 1), 0);
	assert_null(tn_heap_not_pristine(&tn_heap_here.pool));
	free(rack);
}

/* Forty slots of a class, and back. */
static void use_slots(struct tn_rack *rack, unsigned class)
{
	struct tn_mag *m = &rack->mags[class];
	uint64_t page;
	void *p[40];

	for (unsigned k = 0; k < 40; k++) {
		if (m->top == m->base)
			assert_int_equal(tn_rack_fill(rack, class), 0);
		p[k] = tn_rack_pop(rack, m);
	}
	for (unsigned k = 0; k < 40; k++)
		if (!tn_rack_push_far(rack, rack->pool, p[k], TN_ANY_CLASS,
				      &page))
			put_slow(rack, p[k]);
	assert_in_range(rack->runs.room, 0, 512 << 10);
}

/* 32 KiB, of which its own are few, and 24 KiB. */
static void large_slots_are_kept_where_there_is_room(void **state)
{
	struct tn_rack *rack = rack_of(1);
	struct tn_mag *m[2] = { &rack->mags[71], &rack->mags[67] };

	(void)state;
	rack->room = rack->runs.room = 512 << 10;
	for (unsigned i = 0; i < 200; i++)
		use_slots(rack, 71);
	for (unsigned i = 0; i < 200; i++) {
		use_slots(rack, 67);
		assert_true(m[0]->top <= m[0]->limit);
		assert_null(m[0]->limit->p);
	}
	/* the second has what the first gave back, but for its own */
	assert_true(m[1]->limit - m[1]->base > 8);
	assert_true(m[0]->limit - m[0]->base < m[1]->limit - m[1]->base);
	tn_rack_flush(rack);
	assert_int_equal(rack->runs.room, 512 << 10);
	assert_null(tn_heap_not_pristine(rack->pool));
	free(rack);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(a_run_that_was_freed_is_used_again),
		HEAP_TEST(what_is_no_short_run_of_ours_is_not_taken),
		HEAP_TEST(a_run_at_an_odd_place_is_not_kept),
		HEAP_TEST(no_more_is_kept_than_there_is_room_for),
		HEAP_TEST(what_was_kept_longest_goes_first),
		HEAP_TEST(the_pages_of_an_empty_slab_are_kept),
		HEAP_TEST(what_can_be_moved_is_not_kept),
		HEAP_TEST(who_never_allocates_keeps_none),
		HEAP_TEST(what_the_dead_kept_is_free),
		HEAP_TEST(large_slots_are_kept_where_there_is_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
