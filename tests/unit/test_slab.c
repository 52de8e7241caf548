/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_test.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/cache.h"
#include "pool/census.h"
#include "pool/slabhint.h"
#include "tests/lib/tn_heap.h"

#define MIB (1ULL << 20)

static struct tn_heap heap;
static const struct tn_slab_cursor keep_none;

static unsigned claim(struct tn_lane_ref *l, unsigned class,
		      struct tn_slot *out, unsigned want)
{
	struct tn_slab_cursor cursor = { 0 };

	return tn_slab_claim(&heap.pool, l, class, &cursor, out, want);
}

static void give_back(struct tn_lane_ref *l, unsigned class,
		      struct tn_slot *slots, unsigned n)
{
	assert_int_equal(tn_slab_return(&heap.pool, l, class, slots, n,
					&keep_none), 0);
}

static void a_slab_of_every_class_fills_and_empties(void **state)
{
	static struct tn_slot slots[2048];
	struct tn_lane_ref l;
	unsigned got, n;

	(void)state;
	tn_heap_init(&heap, 4 * MIB, TN_FIRST_FIT);
	l = tn_heap_lane(&heap, 1, 0);
	for (unsigned c = 0; c < TN_CLASS_CACHE; c++) {
		unsigned all = heap.shapes[c].slots;

		for (n = 0; n < all; n += got) {
			unsigned want = all - n < 7 ? all - n : 7;

			got = claim(&l, c, slots + n, want);
			assert_true(got);
		}
		for (unsigned i = 0; i < all; i++) {
			assert_true((uint8_t *)slots[i].p < heap.pool.data +
				    (TN_PAGE_BYTES << heap.shapes[c].order));
			assert_int_equal(tn16_load_relaxed(slots[i].tag),
					 TN_TAG_KEPT | 1);
		}
		give_back(&l, c, slots, all);
		assert_null(tn_heap_not_pristine(&heap.pool));
	}
	tn_heap_fini(&heap);
}

static void slots_come_out_in_ascending_order_from_the_end(void **state)
{
	struct tn_slot slots[64];
	struct tn_lane_ref l;

	(void)state;
	tn_heap_init(&heap, MIB, TN_FIRST_FIT);
	l = tn_heap_lane(&heap, 1, 0);
	assert_int_equal(claim(&l, 3, slots, 64), 64);
	for (unsigned i = 1; i < 64; i++)
		assert_true(slots[i].p < slots[i - 1].p);
	assert_ptr_equal(slots[63].p, heap.pool.data);
	tn_heap_fini(&heap);
}

static void a_slot_that_is_returned_is_found_again(void **state)
{
	static struct tn_slot slots[256];
	struct tn_lane_ref a, b;
	struct tn_slot one;

	(void)state;
	tn_heap_init(&heap, MIB, TN_FIRST_FIT);
	a = tn_heap_lane(&heap, 1, 0);
	b = tn_heap_lane(&heap, 2, 0);
	assert_int_equal(claim(&a, 3, slots, 128), 128);
	assert_int_equal(claim(&a, 3, slots + 128, 128), 128);
	/* the slab is full: the next claim makes another */
	give_back(&a, 3, &slots[200], 1);
	assert_int_equal(claim(&b, 3, &one, 1), 1);
	assert_ptr_equal(one.p, slots[200].p);
	assert_int_equal(tn16_load_relaxed(one.tag), TN_TAG_KEPT | 2);
	tn_heap_fini(&heap);
}

static void a_leased_slab_is_left_to_its_lessee(void **state)
{
	struct tn_slot mine, other;
	struct tn_lane_ref a, b;
	uint64_t w;

	(void)state;
	tn_heap_init(&heap, MIB, TN_FIRST_FIT);
	a = tn_heap_lane(&heap, 1, 0);
	b = tn_heap_lane(&heap, 2, 0);
	assert_int_equal(claim(&a, 3, &mine, 1), 1);
	/* as if a were stopped in the middle of a claim */
	w = tn64_load_relaxed(&heap.pool.pages[0].slab);
	tn64_store_relaxed(&heap.pool.pages[0].slab,
			   TN_SLAB_WORD(TN_SLAB_LEASED, 3, 1, 0,
					TN_SLAB_FREE(w)));
	assert_int_equal(claim(&b, 3, &other, 1), 1);
	assert_true((uint8_t *)other.p >= heap.pool.data + (16 << 10));
	/* a return goes through all the same */
	give_back(&a, 3, &mine, 1);
	assert_int_equal(TN_SLAB_FREE(tn64_load_relaxed(
				 &heap.pool.pages[0].slab)), 256);
	tn_heap_fini(&heap);
}

static void lost_hints_cost_no_memory(void **state)
{
	static struct tn_slot slots[256];
	struct tn_lane_ref l;
	unsigned n = 0;

	(void)state;
	tn_heap_init(&heap, MIB, TN_FIRST_FIT);
	l = tn_heap_lane(&heap, 1, 0);
	/* 64 slabs of 16 KiB: the pool is full of 512-byte objects */
	while (claim(&l, 23, slots, 1))
		n++;
	assert_int_equal(n, 2048);
	give_back(&l, 23, slots, 1);
	memset((void *)heap.pool.hints, 0,
	       TN_N_CLASSES * heap.pool.geo.hint_words * 8);
	memset((void *)heap.pool.areas[0].partial, 0, 64);
	assert_int_equal(claim(&l, 23, slots, 1), 1);
	assert_int_equal(claim(&l, 23, slots, 1), 0);
	tn_heap_fini(&heap);
}

static void a_count_that_is_too_high_is_put_right(void **state)
{
	static struct tn_slot slots[32];
	struct tn_lane_ref l;
	struct tn_slot more;

	(void)state;
	tn_heap_init(&heap, MIB, TN_FIRST_FIT);
	l = tn_heap_lane(&heap, 1, 0);
	assert_int_equal(claim(&l, 23, slots, 32), 32);
	tn64_add_acq_rel(&heap.pool.pages[0].slab, 3 * TN_SLAB_ONE_FREE);
	tn_hint_set(&heap.pool, 0, 23);
	/* finds nothing there, says so in the count, and takes a new slab */
	assert_int_equal(claim(&l, 23, &more, 1), 1);
	assert_int_equal(TN_SLAB_FREE(tn64_load_relaxed(
				 &heap.pool.pages[0].slab)), 0);
	give_back(&l, 23, &more, 1);
	give_back(&l, 23, slots, 32);
	assert_null(tn_heap_not_pristine(&heap.pool));
	tn_heap_fini(&heap);
}

static void caches_are_found_by_name_and_keep_their_shape(void **state)
{
	struct tn_slot slot;
	struct tn_lane_ref l;
	char name[TN_NAME_BYTES];
	int c;

	(void)state;
	tn_heap_init(&heap, MIB, TN_FIRST_FIT);
	l = tn_heap_lane(&heap, 1, 0);
	assert_int_equal(tn_cache_make(&heap.pool, "job", 0, 16), -ENOENT);
	c = tn_cache_make(&heap.pool, "job", 100, 64);
	assert_true(c >= (int)TN_CLASS_CACHE);
	assert_int_equal(tn_cache_make(&heap.pool, "job", 0, 16), c);
	assert_int_equal(tn_cache_make(&heap.pool, "job", 100, 64), c);
	assert_int_equal(tn_cache_make(&heap.pool, "job", 104, 64), -EEXIST);
	assert_int_equal(heap.shapes[c].bytes, 128);
	assert_int_equal(claim(&l, (unsigned)c, &slot, 1), 1);
	for (unsigned i = 1; i < TN_N_CACHES; i++) {
		snprintf(name, sizeof(name), "c%u", i);
		assert_true(tn_cache_make(&heap.pool, name, 32, 16) >= 0);
	}
	assert_int_equal(tn_cache_make(&heap.pool, "more", 32, 16), -ENOSPC);
	tn_heap_fini(&heap);
}

static void roots_are_found_by_name(void **state)
{
	(void)state;
	tn_heap_init(&heap, MIB, TN_FIRST_FIT);
	assert_null(tn_root_find(&heap.pool, "a", false));
	tn64_store_relaxed(&tn_root_find(&heap.pool, "a", true)->ref, 7);
	assert_int_equal(tn64_load_relaxed(
			&tn_root_find(&heap.pool, "a", false)->ref), 7);
	assert_string_equal(tn_root_find(&heap.pool, "a", false)->name, "a");
	for (unsigned i = 1; i < TN_N_ROOTS; i++) {
		char name[TN_NAME_BYTES];

		snprintf(name, sizeof(name), "r%u", i);
		assert_non_null(tn_root_find(&heap.pool, name, true));
	}
	assert_null(tn_root_find(&heap.pool, "b", true));
	tn_heap_fini(&heap);
}

static void the_census_finds_every_object_and_its_holder(void **state)
{
	static struct tn_census c;
	struct tn_slot slots[10];
	struct tn_lane_ref a, b;
	uint64_t page;

	(void)state;
	tn_heap_init(&heap, 8 * MIB, TN_FIRST_FIT);
	a = tn_heap_lane(&heap, 1, 0);
	b = tn_heap_lane(&heap, 2, 0);
	assert_int_equal(claim(&a, 3, slots, 10), 10);
	for (unsigned i = 0; i < 4; i++)
		tn16_store_relaxed(slots[i].tag, TN_TAG_HELD | 1);
	tn16_store_relaxed(slots[4].tag, TN_TAG_POOL);
	assert_int_equal(tn_run_alloc(&heap.pool, &b, 700, TN_FIRST_FIT,
				      &page), 0);
	memset(&c, 0, sizeof(c));
	tn_census_take(&heap.pool, &c);
	assert_int_equal(c.classes[3].slabs, 1);
	assert_int_equal(c.classes[3].slots, 256);
	assert_int_equal(c.classes[3].live, 5);
	assert_int_equal(c.classes[3].kept, 5);
	assert_int_equal(c.clients[1].objects, 4);
	assert_int_equal(c.clients[1].bytes, 256);
	assert_int_equal(c.clients[1].kept_bytes, 320);
	assert_int_equal(c.clients[0].objects, 1);
	assert_int_equal(c.clients[2].bytes, 700 * 4096);
	assert_int_equal(c.run_bytes, 700 * 4096);
	assert_int_equal(c.free_pages, 2048 - 700 - 4);
	assert_int_equal(c.handles, 0);
	tn_heap_fini(&heap);
}

static uint64_t slab_of(const struct tn_slot *s)
{ return tn_pool_off(&heap.pool, s->p) >> TN_PAGE_SHIFT & ~3ULL; }

static unsigned claim_at(struct tn_lane_ref *l, struct tn_slab_cursor *cursor,
			 struct tn_slot *out, unsigned want)
{ return tn_slab_claim(&heap.pool, l, 3, cursor, out, want); }

/* 16 MiB are enough for slabs of four pages to be somebody's own. @client: the
 * second lane's; the first is client 1's lane 0. */
static void two_lanes(struct tn_lane_ref *a, struct tn_lane_ref *b,
		      uint32_t client)
{
	tn_heap_init(&heap, 16 * MIB, TN_FIRST_FIT);
	*a = tn_heap_lane(&heap, 1, 0);
	*b = tn_heap_lane(&heap, client, client == 1);
}

static void a_lane_s_own_slab_is_left_to_it(void **state)
{
	struct tn_slab_cursor mine = { 0 }, theirs = { 0 };
	struct tn_lane_ref a, b;
	struct tn_slot s[22];

	(void)state;
	two_lanes(&a, &b, 1);
	assert_int_equal(claim_at(&a, &mine, &s[0], 9), 9);
	assert_int_equal(claim_at(&b, &theirs, &s[9], 3), 3);
	assert_int_not_equal(slab_of(&s[0]), slab_of(&s[9]));
	/* whatever others return to it */
	give_back(&b, 3, &s[8], 1);
	assert_int_equal(claim(&b, 3, &s[8], 1), 1);
	assert_int_equal(slab_of(&s[8]), slab_of(&s[9]));
	assert_int_equal(claim_at(&a, &mine, &s[12], 8), 8);
	assert_int_equal(slab_of(&s[12]), slab_of(&s[0]));
	/* who takes few has none: this one is b's, too */
	assert_int_equal(claim(&a, 3, &s[20], 1), 1);
	assert_int_equal(slab_of(&s[20]), slab_of(&s[9]));
	/* once a has done with it, it is anybody's */
	tn_slab_retire(&heap.pool, &a, 3, &mine);
	assert_int_equal(claim(&b, 3, &s[21], 1), 1);
	assert_int_equal(slab_of(&s[21]), slab_of(&s[0]));
	give_back(&a, 3, s, 22);
	assert_null(tn_heap_not_pristine(&heap.pool));
	tn_heap_fini(&heap);
}

static void in_need_another_s_own_slab_is_used(void **state)
{
	struct tn_slab_cursor mine = { 0 };
	struct tn_lane_ref a, b;
	uint64_t page = 0;
	struct tn_slot s[9];

	(void)state;
	two_lanes(&a, &b, 2);
	assert_int_equal(claim_at(&a, &mine, s, 8), 8);
	while (tn_run_alloc(&heap.pool, &b, 1, TN_FIRST_FIT, &page) == 0)
		;
	assert_int_equal(claim(&b, 3, &s[8], 1), 1);
	assert_int_equal(slab_of(&s[8]), slab_of(&s[0]));
	assert_int_equal(claim_at(&a, &mine, s, 1), 1);
	tn_heap_fini(&heap);
}

static void the_dead_s_own_slab_is_anybody_s(void **state)
{
	struct tn_slab_cursor mine = { 0 };
	struct tn_lane_ref a, b;
	struct tn_slot s[9];

	(void)state;
	two_lanes(&a, &b, 2);
	assert_int_equal(claim_at(&a, &mine, s, 8), 8);
	tn16_store_relaxed(s[1].tag, TN_TAG_HELD | 2);
	tn_heap_recover(&heap, 1);
	assert_int_equal(claim(&b, 3, &s[8], 1), 1);
	assert_int_equal(slab_of(&s[8]), slab_of(&s[0]));
	tn_heap_fini(&heap);
}

/* Nor in the upper half of a pool. */
static void large_slabs_of_small_pools_are_nobody_s_own(void **state)
{
	static const struct { uint64_t mib; unsigned class; bool own; } t[] = {
		{ 8, 3, false }, { 16, 3, true }, { 64, 67, false },
		{ 256, 67, true }, { 256, TN_CLASS_MOVABLE + 3, false },
	};
	struct tn_lane_ref l;
	struct tn_slot s[8];

	(void)state;
	for (unsigned i = 0; i < TN_ARRAY_LEN(t); i++) {
		uint64_t page;

		tn_heap_init(&heap, t[i].mib * MIB, TN_FIRST_FIT);
		l = tn_heap_lane(&heap, 1, 0);
		assert_true(claim(&l, t[i].class, s, 8) >= 7);
		page = tn_pool_off(&heap.pool, s->p) >> TN_PAGE_SHIFT;
		page &= ~0ULL << heap.shapes[t[i].class].order;
		assert_int_equal(TN_SLAB_CLIENT(tn64_load_relaxed(
				 &heap.pool.pages[page].slab)), t[i].own);
		tn_heap_fini(&heap);
	}
	tn_heap_init(&heap, 16 * MIB, TN_FIRST_FIT);
	l = tn_heap_lane(&heap, 1, 0);
	assert_int_equal(tn_run_alloc(&heap.pool, &l, 2048, TN_FIRST_FIT,
				      &(uint64_t){ 0 }), 0);
	assert_int_equal(claim(&l, 3, s, 8), 8);
	assert_int_equal(TN_SLAB_CLIENT(tn64_load_relaxed(
			 &heap.pool.pages[slab_of(s)].slab)), 0);
	tn_heap_fini(&heap);
}

/* Four threads, lanes of two clients, claim and return at random. */
struct churn { struct tn_lane_ref l; unsigned seed; };

static void *churn(void *arg)
{
	struct churn *me = arg;
	struct tn_slab_cursor cursors[8] = { { 0 } };
	static const unsigned classes[] = { 0, 3, 15, 23, 31, 39, 55, 71 };
	struct { struct tn_slot s[16]; unsigned n, c; } held[32];

	memset(held, 0, sizeof(held));
	for (unsigned i = 0; i < 20000; i++) {
		unsigned h = (unsigned)rand_r(&me->seed) % 32;
		unsigned c = (unsigned)rand_r(&me->seed) % 8;

		if (held[h].n) {
			tn_slab_return(&heap.pool, &me->l, classes[held[h].c],
				       held[h].s, held[h].n,
				       &cursors[held[h].c]);
			held[h].n = 0;
			continue;
		}
		held[h].c = c;
		held[h].n = tn_slab_claim(&heap.pool, &me->l, classes[c],
					  &cursors[c], held[h].s,
					  1 + (unsigned)rand_r(&me->seed) % 16);
		for (unsigned k = 0; k < held[h].n; k++)
			if (tn16_load_relaxed(held[h].s[k].tag) !=
			    (TN_TAG_KEPT | me->l.client))
				abort();
	}
	for (unsigned h = 0; h < 32; h++)
		tn_slab_return(&heap.pool, &me->l, classes[held[h].c],
			       held[h].s, held[h].n, &keep_none);
	for (unsigned c = 0; c < 8; c++)
		tn_slab_retire(&heap.pool, &me->l, classes[c], &cursors[c]);
	return NULL;
}

static void lanes_that_race_leave_nothing_behind(void **state)
{
	struct churn c[4];
	pthread_t t[4];

	(void)state;
	tn_heap_init(&heap, 16 * MIB, TN_FIRST_FIT);
	for (unsigned i = 0; i < 4; i++) {
		c[i].l = tn_heap_lane(&heap, 1 + i % 2, i);
		c[i].seed = i + 1;
		assert_int_equal(pthread_create(&t[i], NULL, churn, &c[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_string_equal(tn_heap_not_pristine(&heap.pool) ?
			    tn_heap_not_pristine(&heap.pool) : "", "");
	tn_heap_fini(&heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(a_slab_of_every_class_fills_and_empties),
		TN_TEST(slots_come_out_in_ascending_order_from_the_end),
		TN_TEST(a_slot_that_is_returned_is_found_again),
		TN_TEST(a_leased_slab_is_left_to_its_lessee),
		TN_TEST(lost_hints_cost_no_memory),
		TN_TEST(a_count_that_is_too_high_is_put_right),
		TN_TEST(caches_are_found_by_name_and_keep_their_shape),
		TN_TEST(roots_are_found_by_name),
		TN_TEST(the_census_finds_every_object_and_its_holder),
		TN_TEST(a_lane_s_own_slab_is_left_to_it),
		TN_TEST(in_need_another_s_own_slab_is_used),
		TN_TEST(the_dead_s_own_slab_is_anybody_s),
		TN_TEST(large_slabs_of_small_pools_are_nobody_s_own),
		TN_TEST(lanes_that_race_leave_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
