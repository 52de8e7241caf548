/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/move_fixture.h"

static void a_slab_is_emptied_into_a_lower_one(void **state)
{
	uint64_t page = two_half_slabs();

	(void)state;
	assert_int_equal(tn_move_slab(&mover, page, CLASS), 0);
	assert_int_equal(mover.moved_objects, HALF);
	assert_int_equal(mover.ended, 4);
	assert_int_equal(n_fences, 1);
	assert_int_equal(heap.pool.pages[page].word.v, 0);
	for (unsigned i = 0; i < HALF; i++)
		assert_true(tn_movable_place(upper[i]) < page << TN_PAGE_SHIFT);
	all_intact();
	free_all();
}

static void where_there_is_no_lower_place_nothing_moves(void **state)
{
	uint64_t page = two_half_slabs();

	(void)state;
	assert_int_equal(tn_move_slab(&mover, page - 4, CLASS), 0);
	assert_int_equal(mover.moved_objects, 0);
	all_intact();
	free_all();
}

static void what_is_pinned_stays(void **state)
{
	uint64_t page = two_half_slabs(), at = tn_movable_place(upper[7]);
	tn_a64 *pins = tn_lane_pins(&heap.pool.geo, heap.control[2], 2);

	(void)state;
	tn64_store_relaxed(&pins[63], upper[7] & ~TN_PIN_WRITE);
	assert_int_equal(tn_move_slab(&mover, page, CLASS), 0);
	assert_int_equal(mover.moved_objects, HALF - 1);
	assert_int_equal(mover.pinned, 1);
	assert_int_equal(tn_movable_place(upper[7]), at);
	all_intact();
	tn64_store_relaxed(&pins[63], 0);
	assert_int_equal(tn_move_slab(&mover, page, CLASS), 0);
	assert_int_not_equal(tn_movable_place(upper[7]), at);
	free_all();
}

/* It was freed and made again while the batch was gathered. */
static void a_handle_that_is_there_twice_is_seen_pinned(void **state)
{
	uint64_t page = two_half_slabs(), at = tn_movable_place(upper[7]);
	tn_a64 *pins = tn_lane_pins(&heap.pool.geo, heap.control[2], 2);
	uint64_t to = tn_movable_slot(&mover.self, CLASS);
	const struct tn_slab_cursor none = { 0 };
	struct tn_object former, object, place_to;

	(void)state;
	(void)page;
	tn_object_find(&heap.pool, tn_movable_place(upper[6]), &former);
	tn_object_find(&heap.pool, at, &object);
	tn_object_find(&heap.pool, to, &place_to);
	mover.batch[0] = (struct tn_moving){
		.idx = TN_HANDLE_IDX(upper[7]),
		.from = tn_movable_place(upper[6]), .to = to,
		.from_tag = former.tag, .to_tag = place_to.tag,
		.bytes = object.bytes,
	};
	mover.batch[1] = mover.batch[0];
	mover.batch[1].from = at;
	mover.batch[1].from_tag = object.tag;
	mover.n = 2;
	tn64_store_relaxed(&pins[0], upper[7]);
	assert_int_equal(tn_move_batch(&mover), 0);
	assert_int_equal(mover.pinned, 1);
	assert_int_equal(tn_movable_place(upper[7]), at);
	assert_int_equal(mover.moved_objects, 0);
	tn_slab_return(&heap.pool, &mover.self, CLASS,
		       &(struct tn_slot){ heap.pool.data + to, place_to.tag },
		       1, &none);
	free_all();
}

/* ... and found before it was freed, as another one. */
static void what_is_not_as_it_was_found_stays(void **state)
{
	const unsigned where = TN_FIRST_FIT | TN_AMONG(TN_GROUP_MOVABLE);
	uint64_t page, to, ref;
	struct tn_object run, hole;

	(void)state;
	assert_int_equal(tn_run_alloc(&heap.pool, &lane[1], 5, where, &page),
			 0);
	assert_int_equal(tn_run_alloc(&heap.pool, &mover.self, 8, where, &to),
			 0);
	ref = tn_movable_bind(&lane[1], page << TN_PAGE_SHIFT);
	tn_object_find(&heap.pool, page << TN_PAGE_SHIFT, &run);
	tn_object_find(&heap.pool, to << TN_PAGE_SHIFT, &hole);
	mover.batch[0] = (struct tn_moving){
		.idx = TN_HANDLE_IDX(ref), .from = page << TN_PAGE_SHIFT,
		.to = to << TN_PAGE_SHIFT, .from_tag = run.tag,
		.to_tag = hole.tag, .bytes = hole.bytes,
	};
	mover.n = 1;
	assert_int_equal(tn_move_batch(&mover), 0);
	assert_int_equal(mover.moved_objects, 0);
	assert_int_equal(tn_movable_place(ref), page << TN_PAGE_SHIFT);
	assert_true(tn_movable_intact(ref));
	tn_run_drop(&heap.pool, &mover.self, TN_OP_RUN, to, 8);
	tn_movable_drop(&lane[1], ref);
	assert_null(tn_heap_not_pristine(&heap.pool));
}

static void note(uint64_t ref, uint64_t from, uint64_t to)
{
	struct tn_move *j = (void *)(mover.self.control +
				     heap.pool.geo.journal);

	tn64_store_relaxed(&j->from, from);
	tn64_store_relaxed(&j->to, to);
	tn64_store_relaxed(&j->handle, TN_HANDLE_IDX(ref) + 1);
}

static uint16_t tag_at(uint64_t off)
{
	struct tn_object obj;

	assert_int_equal(tn_object_find(&heap.pool, off, &obj), 0);
	return tn16_load_relaxed(obj.tag);
}

static void a_replay_takes_only_what_the_handle_does_not_say(void **state)
{
	uint64_t page = two_half_slabs(), at = tn_movable_place(upper[7]);
	uint64_t third = tn_movable_slot(&lane[1], CLASS);
	uint64_t to = tn_movable_slot(&mover.self, CLASS);
	struct tn_object obj;

	(void)state;
	(void)page;
	tn_object_find(&heap.pool, to, &obj);
	tn32_store_relaxed(tn_handle_back(&heap.pool, obj.tag),
			   (uint32_t)TN_HANDLE_IDX(upper[7]));
	tn16_store_relaxed(obj.tag, TN_TAG_HANDLE);
	/* both places are the handle's: the one it does not say is taken */
	note(upper[7], at, to);
	assert_int_equal(tn_move_replay(&heap.pool, &mover.self), 0);
	assert_int_equal(tag_at(at), TN_TAG_HANDLE);
	assert_int_equal(tag_at(to), TN_TAG_KEPT | mover.self.client);
	/* neither is that which the mover had: another's, and free */
	note(upper[7], third, tn_movable_place(upper[6]));
	assert_int_equal(tn_move_replay(&heap.pool, &mover.self), 0);
	assert_int_equal(tag_at(third), TN_TAG_HELD | lane[1].client);
	assert_int_equal(tag_at(tn_movable_place(upper[6])), TN_TAG_HANDLE);
	tn_heap_recover(&heap, 0);
	all_intact();
	tn_heap_recover(&heap, 1);
	assert_null(tn_heap_not_pristine(&heap.pool));
}

static void a_long_pin_is_one(void **state)
{
	uint64_t page = two_half_slabs(), at = tn_movable_place(upper[7]);
	struct tn_control *c = (void *)heap.control[2];
	struct tn_long_pin *l = (void *)(heap.control[2] +
					 heap.pool.geo.long_pins);

	(void)state;
	tn64_store_relaxed(&c->long_pins, 1);
	tn64_store_relaxed(&l[4000].ref, upper[7]);
	tn64_store_relaxed(&l[4000].count, 2);
	tn_move_slab(&mover, page, CLASS);
	assert_int_equal(mover.pinned, 1);
	assert_int_equal(tn_movable_place(upper[7]), at);
	free_all();
}

static void somebody_who_stays_in_a_section_stops_the_batch(void **state)
{
	uint64_t page = two_half_slabs();

	(void)state;
	tn64_store_relaxed(&lane[3].rec->section, 5);
	assert_int_equal(tn_move_slab(&mover, page, CLASS), 0);
	assert_int_equal(mover.moved_objects, 0);
	assert_ptr_equal(mover.held.control, heap.control[3]);
	all_intact();
	free_all();
}

static void who_was_waited_for_in_vain_is_not_again(void **state)
{
	uint64_t page = two_half_slabs();

	(void)state;
	tn64_store_relaxed(&lane[3].rec->section, 5);
	tn_move_slab(&mover, page, CLASS);
	assert_true(n_pauses > 0);
	n_pauses = 0;
	tn_move_slab(&mover, page, CLASS);
	assert_int_equal(n_pauses, 0);
	assert_int_equal(mover.moved_objects, 0);
	/* but for another section of his, he is */
	tn64_store_relaxed(&lane[3].rec->section, 7);
	tn_move_slab(&mover, page, CLASS);
	assert_true(n_pauses > 0);
	tn64_store_relaxed(&lane[3].rec->section, 8);
	tn_move_slab(&mover, page, CLASS);
	assert_int_equal(mover.moved_objects, HALF);
	assert_null(mover.held.control);
	all_intact();
	free_all();
}

static void leave_the_section(void)
{
	tn64_store_relaxed(&lane[3].rec->section, 6);
	meanwhile = NULL;
}

static void a_section_that_ends_is_waited_for(void **state)
{
	uint64_t page = two_half_slabs();

	(void)state;
	tn64_store_relaxed(&lane[3].rec->section, 5);
	meanwhile = leave_the_section;
	assert_int_equal(tn_move_slab(&mover, page, CLASS), 0);
	assert_int_equal(mover.moved_objects, HALF);
	all_intact();
	free_all();
}

static void leave_the_first(void)
{
	tn64_store_relaxed(&lane[1].rec->section, 6);
	meanwhile = NULL;
}

static void behind_one_in_a_section_pins_are_seen_too(void **state)
{
	uint64_t page = two_half_slabs(), at = tn_movable_place(upper[7]);
	tn_a64 *pins = tn_lane_pins(&heap.pool.geo, heap.control[3], 3);

	(void)state;
	tn64_store_relaxed(&lane[1].rec->section, 5);
	tn64_store_relaxed(&pins[0], upper[7]);
	meanwhile = leave_the_first;
	assert_int_equal(tn_move_slab(&mover, page, CLASS), 0);
	assert_int_equal(mover.moved_objects, HALF - 1);
	assert_int_equal(tn_movable_place(upper[7]), at);
	free_all();
}

/* The journal is tarnd's own, but what it names is not: whatever stands there,
 * a replay ends, and frees nothing that is a handle's. */
static void any_journal_is_replayed_or_refused(void **state)
{
	struct tn_move *j = (void *)(mover.self.control +
				     heap.pool.geo.journal);
	uint64_t seed = 1, n = 0, refused = 0;
	int r;

	(void)state;
	two_half_slabs();
	for (unsigned round = 0; round < 2000; round++) {
		for (unsigned i = 0; i < 4; i++) {
			struct tn_move *m = &j[n++ % TN_N_MOVES];
			uint64_t a = tn_busy_random(&seed);
			uint64_t at = tn_movable_place(upper[a % HALF]);

			tn64_store_relaxed(&m->handle, a >> 61 ?
					   a >> 40 & 1023 : a);
			tn64_store_relaxed(&m->from, a >> 60 & 1 ? at :
					   tn_busy_random(&seed));
			tn64_store_relaxed(&m->to, a >> 59 & 1 ? a & 0x7fff0 :
					   tn_busy_random(&seed));
		}
		r = tn_move_replay(&heap.pool, &mover.self);
		assert_true(r == 0 || r == -EUCLEAN);
		refused += r < 0;
		if (r < 0)
			memset(j, 0, TN_N_MOVES * sizeof(*j));
	}
	assert_in_range(refused, 1, 1999);
	all_intact();
	free_all();
}

static void need_the_third(void)
{
	uint64_t place = tn_handle_keep(&heap.pool, TN_HANDLE_IDX(upper[3]));

	assert_int_equal(TN_HANDLE_STATE(place), TN_HANDLE_LIVE);
}

static void who_needs_an_object_in_the_middle_has_it(void **state)
{
	uint64_t page = two_half_slabs(), at = tn_movable_place(upper[3]);

	(void)state;
	meanwhile = need_the_third;
	assert_int_equal(tn_move_slab(&mover, page, CLASS), 0);
	assert_int_equal(mover.moved_objects, HALF - 1);
	assert_int_equal(mover.undone, 1);
	assert_int_equal(tn_movable_place(upper[3]), at);
	all_intact();
	free_all();
}

static void free_the_third(void)
{
	meanwhile = NULL;
	tn_movable_drop(&lane[1], upper[3]);
}

static void what_is_freed_in_the_middle_is_free_once(void **state)
{
	uint64_t page = two_half_slabs();

	(void)state;
	meanwhile = free_the_third;
	assert_int_equal(tn_move_slab(&mover, page, CLASS), 0);
	assert_int_equal(mover.moved_objects, HALF - 1);
	upper[3] = tn_movable_bind(&lane[1], tn_movable_slot(&lane[1], CLASS));
	all_intact();
	free_all();
}

static void without_a_fence_nothing_moves(void **state)
{
	uint64_t page = two_half_slabs();

	(void)state;
	fence_result = -EPERM;
	assert_int_equal(tn_move_slab(&mover, page, CLASS), -ENOSYS);
	assert_int_equal(mover.moved_objects, 0);
	all_intact();
	free_all();
}

static void slots_that_a_magazine_keeps_are_in_the_way(void **state)
{
	uint64_t page = two_half_slabs(), off;
	struct tn_slab_cursor cursor = { .page_plus_1 = (uint32_t)page + 1 };
	const struct tn_slab_cursor none = { 0 };
	struct tn_slot slot;

	(void)state;
	assert_int_equal(tn_slab_claim(&heap.pool, &lane[2], CLASS, &cursor,
				       &slot, 1), 1);
	off = tn_pool_off(&heap.pool, slot.p);
	assert_int_equal(off >> TN_PAGE_SHIFT & ~3ULL, page);
	assert_int_equal(tn_move_slab(&mover, page, CLASS), -EBUSY);
	tn_slab_return(&heap.pool, &lane[2], CLASS, &slot, 1, &none);
	free_all();
}

/* Six slabs with one object each, and above them five with 240. Four and a bit
 * of these are a batch. */
static void what_a_batch_has_no_room_for_goes_with_the_next(void **state)
{
	static uint64_t refs[11 * SLOTS];
	uint64_t pages[5];

	(void)state;
	for (unsigned i = 0; i < 11 * SLOTS; i++)
		refs[i] = tn_movable_bind(&lane[1],
					  tn_movable_slot(&lane[1], CLASS));
	for (unsigned i = 0; i < 5; i++)
		pages[i] = tn_movable_place(refs[(10 - i) * SLOTS]) >>
			   TN_PAGE_SHIFT;
	for (unsigned i = 0; i < 11 * SLOTS; i++)
		if (i % SLOTS >= (i < 6 * SLOTS ? 1 : 240)) {
			tn_movable_drop(&lane[1], refs[i]);
			refs[i] = 0;
		}
	assert_int_equal(tn_move_slabs(&mover, CLASS, pages, 5), 1);
	assert_int_equal(mover.moved_objects, 4 * 240);
	assert_int_equal(mover.ended, 4 * 4);
	assert_int_equal(tn_move_slabs(&mover, CLASS, pages, 5), 0);
	assert_int_equal(mover.moved_objects, 5 * 240);
	assert_int_equal(mover.ended, 5 * 4);
	for (unsigned i = 0; i < 11 * SLOTS; i++)
		if (refs[i])
			tn_movable_drop(&lane[1], refs[i]);
	assert_null(tn_heap_not_pristine(&heap.pool));
}

/* What is there besides has no handle. */
static void a_slab_that_keeps_something_does_not_count_as_ended(void **state)
{
	uint64_t page = two_half_slabs(), off;
	const struct tn_slab_cursor none = { 0 };
	struct tn_slab_cursor cursor = { .page_plus_1 = (uint32_t)page + 1 };
	struct tn_slot slot;

	(void)state;
	assert_int_equal(tn_slab_claim(&heap.pool, &lane[2], CLASS, &cursor,
				       &slot, 1), 1);
	off = tn_pool_off(&heap.pool, slot.p);
	assert_int_equal(off >> TN_PAGE_SHIFT & ~3ULL, page);
	mover.restless = true;
	assert_int_equal(tn_move_slab(&mover, page, CLASS), 0);
	assert_int_equal(mover.moved_objects, HALF);
	assert_int_equal(mover.ended, 0);
	tn_slab_return(&heap.pool, &lane[2], CLASS, &slot, 1, &none);
	free_all();
}

static void a_run_goes_to_a_lower_hole(void **state)
{
	const unsigned where = TN_FIRST_FIT | TN_AMONG(TN_GROUP_MOVABLE);
	uint64_t hole, page, ref;

	(void)state;
	assert_int_equal(tn_run_alloc(&heap.pool, &lane[1], 16, where, &hole),
			 0);
	/* the rest of the lowest area */
	for (uint64_t n = 16; n < TN_AREA_PAGES; n *= 2) {
		assert_int_equal(tn_run_alloc(&heap.pool, &lane[1], n, where,
					      &page), 0);
		assert_int_equal(page, n);
	}
	assert_int_equal(tn_run_alloc(&heap.pool, &lane[1], 13, where, &page),
			 0);
	ref = tn_movable_bind(&lane[1], page << TN_PAGE_SHIFT);
	tn16_store_relaxed(&heap.pool.tags[tn_tag_index(hole, 0)],
			   TN_TAG_KEPT | 1);
	tn_run_drop(&heap.pool, &lane[1], TN_OP_RUN, hole, 16);
	assert_int_equal(tn_move_run(&mover, page), 0);
	assert_int_equal(tn_movable_place(ref) >> TN_PAGE_SHIFT, hole);
	assert_true(tn_movable_intact(ref));
	assert_int_equal(mover.ended, 13);
	assert_int_equal(tn_move_run(&mover, hole), 0);
	assert_int_equal(tn_movable_place(ref) >> TN_PAGE_SHIFT, hole);
	tn_heap_recover(&heap, 1);
	assert_null(tn_heap_not_pristine(&heap.pool));
}

#define MOVE_TEST(name) \
	cmocka_unit_test_setup_teardown(name, setup, tn_heap_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MOVE_TEST(a_slab_is_emptied_into_a_lower_one),
		MOVE_TEST(where_there_is_no_lower_place_nothing_moves),
		MOVE_TEST(what_is_pinned_stays),
		MOVE_TEST(a_handle_that_is_there_twice_is_seen_pinned),
		MOVE_TEST(what_is_not_as_it_was_found_stays),
		MOVE_TEST(a_replay_takes_only_what_the_handle_does_not_say),
		MOVE_TEST(a_long_pin_is_one),
		MOVE_TEST(somebody_who_stays_in_a_section_stops_the_batch),
		MOVE_TEST(who_was_waited_for_in_vain_is_not_again),
		MOVE_TEST(any_journal_is_replayed_or_refused),
		MOVE_TEST(a_section_that_ends_is_waited_for),
		MOVE_TEST(behind_one_in_a_section_pins_are_seen_too),
		MOVE_TEST(who_needs_an_object_in_the_middle_has_it),
		MOVE_TEST(what_is_freed_in_the_middle_is_free_once),
		MOVE_TEST(without_a_fence_nothing_moves),
		MOVE_TEST(slots_that_a_magazine_keeps_are_in_the_way),
		MOVE_TEST(what_a_batch_has_no_room_for_goes_with_the_next),
		MOVE_TEST(a_slab_that_keeps_something_does_not_count_as_ended),
		MOVE_TEST(a_run_goes_to_a_lower_hole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
