/* SPDX-License-Identifier: BSD-2-Clause */
/* Handles and moves: what is right is found right, at every moment of it. */
#include "tests/unit/audit_fixture.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pool/compact.h"

#ifdef __SANITIZE_THREAD__
#define SLOWER 20
#else
#define SLOWER 1
#endif

static struct tn_handle *handle(void) { return &heap.pool.handles[0]; }

static tn_a16 *tag_of(uint64_t off)
{
	struct tn_object obj;

	assert_int_equal(tn_object_find(&heap.pool, off, &obj), 0);
	return obj.tag;
}

static void set_tag(uint64_t off, unsigned tag)
{ tn16_store_relaxed(tag_of(off), (uint16_t)tag); }

static void must_be(enum tn_audit_sentence sentence, const char *when)
{
	if (tn_audit_run(&audit, &in) != sentence)
		fail_msg("%s: %s, not %s", when,
			 tn_audit_name(audit.result.finding.sentence),
			 tn_audit_name(sentence));
}

/* At rest, and while others may be at work. */
static void must_be_both(enum tn_audit_sentence sentence, const char *when)
{
	in.quiescent = false;
	must_be(sentence, when);
	in.quiescent = true;
	must_be(sentence, when);
}

static void what_is_being_made_or_unmade_holds(void **state)
{
	uint64_t live, freed;

	(void)state;
	furnish();
	live = tn64_load_relaxed(&handle()->place);
	freed = live & ~(3ULL << 62);
	/* made but for the last tag */
	set_tag(thing, TN_TAG_HELD | 1);
	must_be_both(0, "object held");
	set_tag(thing, TN_TAG_KEPT | 1);
	must_be_both(0, "object kept");
	set_tag(entry, TN_TAG_POOL);
	must_be_both(TN_AUDIT_HANDLE_OBJECT, "... by another");
	/* taken apart as far as the place */
	set_tag(thing, TN_TAG_HANDLE);
	tn64_store_relaxed(&handle()->place, freed);
	must_be_both(TN_AUDIT_BACK_LINK, "free, the pool's");
	set_tag(entry, TN_TAG_HELD | 1);
	must_be_both(TN_AUDIT_BACK_LINK, "free, held");
	set_tag(entry, TN_TAG_KEPT | 1);
	must_be_both(0, "free, kept");
	tn64_store_relaxed(&handle()->place, freed | TN_HANDLE_TORN);
	must_be_both(TN_AUDIT_HANDLE_PLACE, "free, torn");
	tn64_store_relaxed(&handle()->place, live | TN_HANDLE_TORN);
	set_tag(entry, TN_TAG_HELD | 1);
	must_be_both(0, "live, torn");
	tn64_store_relaxed(&handle()->place, live | 1ULL << 44);
	must_be_both(TN_AUDIT_HANDLE_PLACE, "unused bits");
}

static void of_the_dead_the_object_may_go_first(void **state)
{
	tn_a64 *client = &heap.pool.clients[1].state;

	(void)state;
	furnish();
	set_tag(thing, TN_TAG_POOL);
	must_be_both(TN_AUDIT_HANDLE_OBJECT, "alive");
	tn64_store_relaxed(client, TN_CLIENT_DEAD | 1);
	must_be_both(0, "dead, and not yet recovered");
}

static void a_handle_without_a_slab_has_been_born(void **state)
{
	uint64_t ref;

	(void)state;
	furnish();
	ref = tn64_load_relaxed(&handle()->ref);
	tn64_store_relaxed(&heap.pool.handles[5000].ref, ref + 5000);
	must_be_both(TN_AUDIT_HANDLE_BORN, "not put down");
	tn64_store_relaxed(&heap.pool.areas[4].born, 1);
	must_be_both(0, "put down");
	tn64_store_relaxed(&heap.pool.handles[5000].place,
			   tn64_load_relaxed(&handle()->place));
	must_be_both(TN_AUDIT_HANDLE_FREE, "has an object");
}

static void a_root_may_be_a_handle_that_was(void **state)
{
	tn_a64 *root;
	uint64_t ref;

	(void)state;
	furnish();
	ref = tn64_load_relaxed(&handle()->ref);
	root = &tn_root_find(&heap.pool, "r", true)->ref;
	tn64_store_relaxed(root, ref);
	must_be_both(0, "a handle's");
	tn64_store_relaxed(root, ref + (1ULL << TN_HANDLE_IDX_BITS));
	must_be_both(TN_AUDIT_ROOT_REF, "to come");
	tn64_store_relaxed(&heap.pool.areas[4].born, 2);
	must_be_both(0, "was, in a slab before");
	tn64_store_relaxed(root, ref + 2);
	must_be_both(0, "another's, before");
	tn64_store_relaxed(root, (ref & ~((1ULL << TN_HANDLE_IDX_BITS) - 1)) |
				 heap.pool.geo.n_handles);
	must_be_both(TN_AUDIT_ROOT_REF, "none there is");
}

static void a_lane_in_use_may_pin(void **state)
{
	struct tn_long_pin *l = (struct tn_long_pin *)(void *)
				(heap.control[1] + heap.pool.geo.long_pins);
	tn_a64 *pins = tn_lane_pins(&heap.pool.geo, heap.control[1], 1);
	uint64_t ref;

	(void)state;
	furnish();
	ref = tn64_load_relaxed(&handle()->ref);
	tn64_store_relaxed(&pins[0], ref);
	tn64_store_relaxed(&pins[63], ref & ~TN_PIN_WRITE);
	tn64_store_relaxed(&lane[1].rec->section, 3);
	tn64_store_relaxed(&((struct tn_control *)(void *)
			     heap.control[1])->long_pins, 1);
	tn64_store_relaxed(&l[4095].ref, ref);
	tn64_store_relaxed(&l[4095].count, 7);
	must_hold("pinned in every way");
	tn64_store_relaxed(&lane[1].rec->state, 0);
	must_be_both(TN_AUDIT_PIN_LANE, "in a section");
	tn64_store_relaxed(&lane[1].rec->section, 4);
	tn64_store_relaxed(&pins[0], 0);
	must_be_both(TN_AUDIT_PIN_LANE, "the last pin");
}

/*
 * The mover, looked at in the middle.
 */

static struct tn_mover mover;
static unsigned n_looks;

static struct tn_move *journal(void)
{
	return (struct tn_move *)(void *)(heap.control[0] +
					  heap.pool.geo.journal);
}

/* All of the batch is MOVING. */
static int look_at_batch(void *arg)
{
	uint64_t line = tn64_load_relaxed(&journal()[0].handle);

	(void)arg;
	n_looks++;
	assert_int_not_equal(line, 0);
	must_be_both(0, "being moved");
	assert_true(audit.result.handles > mover.n);
	in.quiescent = false;
	in.controls++;
	in.n_controls--;
	must_be(0, "being moved, and tarnd's file is not here");
	in.controls--;
	in.n_controls++;
	in.quiescent = true;
	tn64_store_relaxed(&journal()[0].handle, 0);
	/* whichever of the two comes first */
	assert_true(tn_audit_run(&audit, &in) == TN_AUDIT_BACK_LINK ||
		    audit.result.finding.sentence == TN_AUDIT_HANDLE_MOVING);
	tn64_store_relaxed(&journal()[0].handle, line);
	return 0;
}

static void no_clients(void *arg, struct tn_mover *m)
{
	(void)arg;
	(void)m;
}

static void rest(void *arg)
{
	(void)arg;
}

static void be_mover(int (*fence)(void *))
{
	tn_mover_init(&mover, &heap.pool, lane[0]);
	mover.fence = fence;
	mover.clients = no_clients;
	mover.pause = rest;
	mover.restless = true;
}

static void what_tarnd_keeps_it_moves(void **state)
{
	uint64_t free;
	struct tn_move *j = journal();

	(void)state;
	furnish();
	free = (slab << 12) + 200 * 64;
	set_tag(free, TN_TAG_KEPT | TN_DAEMON_SLOT);
	must_be_both(TN_AUDIT_TAG_HOLDER, "not touched");
	tn_touch(&heap.pool, TN_DAEMON_SLOT, slab);
	tn64_add_acq_rel(&heap.pool.pages[slab].slab, -TN_SLAB_ONE_FREE);
	in.quiescent = false;
	must_be(0, "at work, between two stores");
	in.quiescent = true;
	must_be(TN_AUDIT_TAG_HOLDER, "at rest");
	tn64_store_relaxed(&j->from, thing);
	tn64_store_relaxed(&j->to, thing + 64);
	tn64_store_relaxed(&j->handle, 1);
	must_be_both(0, "in the middle of a batch");
	set_tag(free, TN_TAG_HELD | TN_DAEMON_SLOT);
	must_be_both(TN_AUDIT_TAG_HOLDER, "tarnd holds runs alone");
	set_tag(free, 0);
	set_tag(run << 12, TN_TAG_HELD | TN_DAEMON_SLOT);
	tn_touch(&heap.pool, TN_DAEMON_SLOT, run);
	tn64_add_acq_rel(&heap.pool.pages[slab].slab, TN_SLAB_ONE_FREE);
	must_be_both(0, "a run");
}

/* Ten objects with handles in a slab of their own, above free slots. */
static uint64_t ten_above(void)
{
	static struct tn_slot o[512], h[10];
	struct tn_slab_cursor none = { 0 };
	unsigned n = 0, got = 1, above = 0;
	uint64_t off = 0;

	assert_int_equal(tn_slab_claim(&heap.pool, &lane[1], TN_CLASS_HANDLE,
				       &none, h, 10), 10);
	while (n < 253 + 10 && got) {
		got = tn_slab_claim(&heap.pool, &lane[1], MOVABLE, &none,
				    o + n, 253 + 10 - n < TN_CLAIM_MAX ?
				    253 + 10 - n : TN_CLAIM_MAX);
		n += got;
	}
	assert_int_equal(n, 253 + 10);
	for (unsigned i = 0; i < n; i++) {
		off = tn_pool_off(&heap.pool, o[i].p);
		if (off >> 14 == thing >> 14)
			continue;
		tn16_store_relaxed(o[i].tag, TN_TAG_HELD | 1);
		tn16_store_relaxed(h[above].tag, TN_TAG_HELD | 1);
		bind(tn_pool_off(&heap.pool, h[above++].p), off);
	}
	assert_int_equal(above, 10);
	for (unsigned i = 0; i < n; i++)
		if (tn16_load_relaxed(o[i].tag) != TN_TAG_HANDLE)
			tn_slab_return(&heap.pool, &lane[1], MOVABLE, &o[i], 1,
				       &none);
	return off >> 14 << 2;
}

static void a_move_is_explained_by_the_journal(void **state)
{
	uint64_t page;

	(void)state;
	furnish();
	page = ten_above();
	must_hold("before");
	be_mover(look_at_batch);
	assert_int_equal(tn_move_slab(&mover, page, MOVABLE), 0);
	assert_int_equal(n_looks, 1);
	assert_int_equal(mover.moved_objects, 10);
	must_hold("moved");
	assert_int_equal(audit.result.slots_handle, 11);
}

/* Clients make and free, and the mover moves. */

struct client { struct tn_lane_ref *l; unsigned seed; tn_a32 *stop; };

static void make(struct client *me, unsigned class, uint64_t *ret)
{
	struct tn_slab_cursor none = { 0 };
	struct tn_slot h, o;

	if (!tn_slab_claim(&heap.pool, me->l, class, &none, &o, 1))
		return;
	if (!tn_slab_claim(&heap.pool, me->l, TN_CLASS_HANDLE, &none, &h, 1))
		abort();
	tn16_store_relaxed(o.tag, (uint16_t)(TN_TAG_HELD | me->l->client));
	tn16_store_relaxed(h.tag, (uint16_t)(TN_TAG_HELD | me->l->client));
	*ret = tn_pool_off(&heap.pool, h.p);
	bind(*ret, tn_pool_off(&heap.pool, o.p));
}

static void unmake(struct client *me, uint64_t off)
{
	const struct tn_slab_cursor none = { 0 };
	struct tn_object h, o;
	uint64_t at;

	if (tn_object_find(&heap.pool, off, &h) < 0 ||
	    tn_object_release(&heap.pool, me->l, off, &h) < 0 ||
	    tn_handle_unbind(&heap.pool, me->l, off, &o, &at) < 0)
		abort();
	tn_slab_return(&heap.pool, me->l, o.class, &(struct tn_slot){
		       heap.pool.data + at, o.tag }, 1, &none);
	tn_slab_return(&heap.pool, me->l, TN_CLASS_HANDLE, &(struct tn_slot){
		       heap.pool.data + off, h.tag }, 1, &none);
}

static void *client(void *arg)
{
	struct client *me = arg;
	uint64_t held[500] = { 0 };

	while (!tn32_load_relaxed(me->stop)) {
		unsigned i = (unsigned)rand_r(&me->seed) % 500;

		if (!held[i]) {
			make(me, MOVABLE + i % 3 * 8, &held[i]);
			continue;
		}
		unmake(me, held[i]);
		held[i] = 0;
	}
	for (unsigned i = 0; i < 500; i++)
		if (held[i])
			unmake(me, held[i]);
	return NULL;
}

static int barrier(void *arg)
{
	(void)arg;
	return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) <
	       0 ? -errno : 0;
}

static void *moves(void *arg)
{
	struct tn_compact c;
	int r = 0;

	while (!tn32_load_relaxed(arg) && r >= 0) {
		tn_compact_begin(&c, &mover);
		do
			r = tn_compact_step(&c, 65536);
		while (r > 0);
	}
	return r < 0 ? arg : NULL;
}

static void it_holds_while_handles_are_made_and_moved(void **state)
{
	struct client c[2];
	pthread_t t[3];
	tn_a32 stop = { 0 };
	uint64_t busy = 0;
	void *failed;

	(void)state;
	in.quiescent = false;
	be_mover(barrier);
	assert_int_equal(syscall(SYS_membarrier,
		MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0), 0);
	for (unsigned i = 0; i < 2; i++) {
		c[i] = (struct client){ &lane[i + 1], i + 1, &stop };
		assert_int_equal(pthread_create(&t[i], NULL, client, &c[i]),
				 0);
	}
	assert_int_equal(pthread_create(&t[2], NULL, moves, &stop), 0);
	for (unsigned i = 0; i < 1000 / SLOWER; i++) {
		must_hold("at work");
		busy += audit.result.areas_busy;
	}
	tn32_store_relaxed(&stop, 1);
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(t[i], &failed);
		assert_null(failed);
	}
	print_message("%u objects moved; too busy for a verdict: %u of %u "
		      "areas\n", (unsigned)mover.moved_objects, (unsigned)busy,
		      1000 / SLOWER * 5);
	assert_int_not_equal(mover.moved_objects, 0);
	in.quiescent = true;
	must_hold("afterwards");
	assert_int_equal(audit.result.handles, 0);
}

#define AUDIT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		AUDIT_TEST(what_is_being_made_or_unmade_holds),
		AUDIT_TEST(of_the_dead_the_object_may_go_first),
		AUDIT_TEST(a_handle_without_a_slab_has_been_born),
		AUDIT_TEST(a_root_may_be_a_handle_that_was),
		AUDIT_TEST(a_lane_in_use_may_pin),
		AUDIT_TEST(what_tarnd_keeps_it_moves),
		AUDIT_TEST(a_move_is_explained_by_the_journal),
		AUDIT_TEST(it_holds_while_handles_are_made_and_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
