/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_test.h"

#include <stdlib.h>
#include <string.h>

#include "pool/cache.h"
#include "pool/magazine.h"
#include "tests/lib/tn_heap.h"

#define CLASS 3 /* 64 bytes: 256 in a slab */

static struct tn_rack *rack_of(uint32_t client)
{
	struct tn_rack *rack = aligned_alloc(64, sizeof(*rack));

	assert_non_null(rack);
	memset(rack, 0, sizeof(*rack));
	tn_rack_start(rack, &tn_heap_here.pool, &tn_heap_lanes[client],
		      tn_heap_here.pool.geo.data_bytes);
	return rack;
}

static void *take(struct tn_rack *rack, unsigned class)
{
	struct tn_mag *m = &rack->mags[class];

	if (m->top == m->base)
		assert_int_equal(tn_rack_fill(rack, class), 0);
	return tn_rack_pop(rack, m);
}

static bool put_near(struct tn_rack *rack, void *p)
{ return tn_rack_push_near(rack, p, TN_ANY_CLASS); }

static bool put(struct tn_rack *rack, void *p)
{
	uint64_t page;

	return put_near(rack, p) ||
	       (tn_rack_push_far(rack, rack->pool, p, TN_ANY_CLASS, &page) &&
		tn_rack_pushed(rack, page) == 0);
}

/* Frees two in a row, so that their slab is the one that is near. */
static void be_near(struct tn_rack *rack, unsigned class)
{
	void *a = take(rack, class), *b = take(rack, class);

	assert_true(put(rack, b) && put(rack, a));
	assert_ptr_equal(rack->near.mag, &rack->mags[class]);
}

/* Half of them by the trick that knows what was popped last, half without. */
static void every_slot_of_the_near_slab_comes_back(void **state)
{
	struct tn_rack *rack = rack_of(1);
	void *p[40];

	(void)state;
	be_near(rack, CLASS);
	for (unsigned i = 0; i < 40; i++)
		p[i] = take(rack, CLASS);
	for (unsigned i = 0; i < 20; i++)
		assert_true(put_near(rack, p[i]));
	for (unsigned i = 20; i < 40; i++) {
		void *q = take(rack, CLASS);

		assert_int_equal(tn_heap_tag(&tn_heap_here, tn_pool_off(
				 rack->pool, q)), rack->held);
		assert_true(put_near(rack, q));
		assert_int_equal(tn_heap_tag(&tn_heap_here, tn_pool_off(
				 rack->pool, q)), rack->kept);
	}
	for (unsigned i = 20; i < 40; i++)
		assert_true(put_near(rack, p[i]));
	tn_rack_flush(rack);
	assert_null(tn_heap_not_pristine(rack->pool));
	free(rack);
}

static void what_is_no_object_is_not_taken_near(void **state)
{
	struct tn_rack *rack = rack_of(1);
	unsigned class = 8; /* 144 bytes: a slab's tail is waste */
	const struct tn_shape *s = tn_cache_shape(rack->pool, class);
	uint8_t *p, *base;

	(void)state;
	be_near(rack, class);
	base = rack->near.data;
	assert_true((uint64_t)s->bytes * s->slots <
		    TN_PAGE_BYTES << s->order);
	p = take(rack, class);
	assert_false(put(rack, p + 1));
	assert_false(put(rack, p + 16));
	assert_false(put(rack, base + (uint64_t)s->bytes * s->slots));
	assert_false(put(rack, base - 1));
	assert_true(put(rack, p));
	assert_false(put(rack, p));
	assert_false(tn_rack_push_near(rack, take(rack, class), CLASS));
	free(rack);
}

static void what_others_hold_is_not_taken_near(void **state)
{
	static const uint16_t others[] = {
		TN_TAG_FREE, TN_TAG_HELD | 2, TN_TAG_KEPT | 1, TN_TAG_KEPT | 2,
		TN_TAG_GIVEN | 2, TN_TAG_LINK | 1, TN_TAG_POOL, TN_TAG_SHARED,
	};
	struct tn_rack *rack = rack_of(1);
	struct tn_object obj;
	void *p;

	(void)state;
	be_near(rack, CLASS);
	p = take(rack, CLASS);
	assert_int_equal(tn_object_find(rack->pool,
					tn_pool_off(rack->pool, p), &obj), 0);
	for (unsigned i = 0; i < TN_ARRAY_LEN(others); i++) {
		tn16_store_relaxed(obj.tag, others[i]);
		assert_false(put(rack, p));
		assert_int_equal(tn16_load_relaxed(obj.tag), others[i]);
	}
	tn16_store_relaxed(obj.tag, TN_TAG_GIVEN | 1);
	assert_true(put_near(rack, p));
	free(rack);
}

/* The place is cut anew: slot 4 of 64 bytes is slot 2 of 128 bytes, which
 * somebody else holds; and slot 4 of these, whose tag is where the old slot 4
 * had its own, is ours. */
static void a_slab_of_another_class_is_not_near(void **state)
{
	struct tn_rack *rack = rack_of(1), *other = rack_of(2);
	uint8_t *base, *theirs;
	void *ours;

	(void)state;
	be_near(rack, CLASS);
	base = rack->near.data;
	tn_rack_flush(rack);
	take(other, CLASS * 2 + 1);
	take(other, CLASS * 2 + 1);
	theirs = take(other, CLASS * 2 + 1);
	ours = take(rack, CLASS * 2 + 1);
	assert_ptr_equal(theirs, base + 256);
	assert_ptr_equal(ours, base + 512);
	assert_false(put_near(rack, theirs));
	assert_false(put(rack, theirs));
	assert_true(put(rack, ours));
	assert_true(put(other, theirs));
	free(rack);
	free(other);
}

static void a_magazine_that_is_emptied_often_grows(void **state)
{
	struct tn_rack *rack = rack_of(1);
	struct tn_mag *m = &rack->mags[0]; /* 16 bytes: 256 in 4 KiB */
	unsigned own, was;

	(void)state;
	rack->runs.room = 0;
	take(rack, 0);
	own = m->own;
	was = (unsigned)(m->limit - m->base);
	assert_in_range(was, 1, own);
	assert_in_range(own * 16, 1, tn_heap_here.pool.geo.data_bytes / 2048);
	assert_in_range(own, was + 1, TN_MAG_SLOTS - 1);
	for (unsigned i = 0; i < 2000; i++)
		take(rack, 0);
	assert_in_range(m->limit - m->base, own / 2 + 1, own);
	free(rack);
}

static void a_magazine_that_is_only_freed_to_does_not_grow(void **state)
{
	struct tn_rack *maker = rack_of(1), *rack = rack_of(2);
	struct tn_mag *m = &rack->mags[0];
	struct tn_object obj;
	long limit = 0;

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		void *p = take(maker, 0);
		uint64_t off = tn_pool_off(rack->pool, p);

		assert_int_equal(tn_object_find(rack->pool, off, &obj), 0);
		tn16_store_relaxed(obj.tag, rack->held);
		if (!put(rack, p)) {
			assert_int_equal(tn_object_release(rack->pool,
					 &rack->ref, off, &obj), 0);
			assert_int_equal(tn_rack_dispose(rack, p, &obj), 0);
		}
		limit = limit ? limit : m->limit - m->base;
	}
	assert_int_equal(m->limit - m->base, limit);
	assert_true(m->top <= m->limit);
	free(maker);
	free(rack);
}

/* Slots of a movable class, from a lane that takes them, to be freed by
 * another, which is told of each that it is its own. */
static void free_many(struct tn_rack *from, struct tn_rack *to, unsigned class,
		      unsigned n)
{
	struct tn_object obj;

	while (n--) {
		void *p = take(from, class);

		assert_int_equal(tn_object_find(to->pool,
						tn_pool_off(to->pool, p),
						&obj), 0);
		tn16_store_relaxed(obj.tag, to->kept);
		assert_int_equal(tn_rack_dispose(to, p, &obj), 0);
		assert_true(to->mags[class].top <= to->mags[class].limit);
	}
}

static void one_of_movable_objects_shrinks_when_only_freed_to(void **state)
{
	const unsigned class = TN_CLASS_MOVABLE + CLASS;
	struct tn_rack *maker = rack_of(1), *rack = rack_of(2);
	struct tn_mag *m = &rack->mags[class];
	long limit;

	(void)state;
	free_many(maker, rack, class, 1);
	limit = m->limit - m->base;
	assert_true(limit > 16);
	free_many(maker, rack, class, 2000);
	assert_int_equal(m->limit - m->base, 2);
	assert_null(m->limit->p);
	/* and grows again with its use */
	for (unsigned i = 0; i < 2000; i++)
		take(rack, class);
	assert_int_equal(m->limit - m->base, m->own);
	free(maker);
	free(rack);
}

/* 320 B, of which it keeps 12 here, then 6, 3, 2, and 4 again: a slot that was
 * in use at first, and would be taken for the one that was popped last. */
static void at_the_limit_stands_nothing_when_it_has_grown_again(void **state)
{
	const unsigned class = TN_CLASS_MOVABLE + 17;
	struct tn_rack *maker = rack_of(1), *rack = rack_of(2);
	struct tn_mag *m = &rack->mags[class];

	(void)state;
	free_many(maker, rack, class, 100);
	assert_int_equal(m->limit - m->base, 2);
	while (m->limit - m->base < m->own) {
		take(rack, class);
		assert_null(m->limit->p);
	}
	free(maker);
	free(rack);
}

/* 4096 B, of which a thread keeps one in a pool this small, and 320 B. */
static void one_that_is_small_already_has_room_again(void **state)
{
	const unsigned classes[] = { TN_CLASS_MOVABLE + 47,
				     TN_CLASS_MOVABLE + 17 };
	struct tn_rack *maker = rack_of(1), *rack = rack_of(2);

	(void)state;
	for (unsigned i = 0; i < TN_ARRAY_LEN(classes); i++) {
		free_many(maker, rack, classes[i], 100);
		assert_in_range(rack->mags[classes[i]].own, 1, 12);
	}
	free(maker);
	free(rack);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(every_slot_of_the_near_slab_comes_back),
		HEAP_TEST(what_is_no_object_is_not_taken_near),
		HEAP_TEST(what_others_hold_is_not_taken_near),
		HEAP_TEST(a_slab_of_another_class_is_not_near),
		HEAP_TEST(a_magazine_that_is_emptied_often_grows),
		HEAP_TEST(a_magazine_that_is_only_freed_to_does_not_grow),
		HEAP_TEST(one_of_movable_objects_shrinks_when_only_freed_to),
		HEAP_TEST(
			at_the_limit_stands_nothing_when_it_has_grown_again),
		HEAP_TEST(one_that_is_small_already_has_room_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
