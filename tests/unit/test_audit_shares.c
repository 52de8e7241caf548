/* SPDX-License-Identifier: BSD-2-Clause */
/* Share records are right at every moment of a share, and when nobody used
 * them; a single wrong one is in test_audit.c. */
#include "tests/unit/audit_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { UP = 1, SET, CLEAR, DOWN }; /* phases of a share, in progress */

static struct tn_share *record_of(uint64_t off)
{
	struct tn_share *s = heap.pool.shares;

	while (tn64_load_relaxed(&s->state.lo) >> 12 !=
	       TN_SHARE_VALUE(off, 0) >> 12)
		s++;
	return s;
}

static void set_tag(uint64_t off, unsigned tag)
{
	struct tn_object obj;

	assert_int_equal(tn_object_find(&heap.pool, off, &obj), 0);
	tn16_store_relaxed(obj.tag, (uint16_t)tag);
}

/* As a client that stops in the middle of it leaves it: client 1 of the shared
 * object, @phase of @op, whose step was done or not. */
struct moment {
	unsigned op, phase;
	bool done;
	unsigned n;    /* count */
	uint64_t bits;
	unsigned tag;
};

static void make(const struct moment *m, struct tn_share *s)
{
	bool state = m->phase == UP || m->phase == DOWN;
	uint64_t step = TN_PROGRESS_STEP(tn64_load_relaxed(
					&lane[1].rec->progress)) + 1;

	tn64_store_relaxed(&s->state.lo,
			   m->n ? TN_SHARE_VALUE(shared, m->n) : 0);
	if (m->op == TN_OP_RELEASE && m->phase == DOWN)
		tn64_store_relaxed(&s->state.lo, TN_SHARE_VALUE(shared, m->n));
	tn64_store_relaxed(&s->set[0].lo, m->bits);
	if (m->done)
		tn64_store_relaxed(state ? &s->state.hi : &s->set[0].hi,
				   TN_STAMP(1, 1, step));
	set_tag(shared, m->tag);
	tn64_store_relaxed(&lane[1].rec->progress,
			   TN_PROGRESS(0, m->phase, step));
	tn64_store_relaxed(&lane[1].rec->ref, shared);
	tn64_store_relaxed(&lane[1].rec->word, 1);
	tn64_store_relaxed(&lane[1].rec->op,
			   TN_OP(m->op, s - heap.pool.shares, 0));
}

#define OURS (TN_TAG_HELD | 1)
#define KEPT (TN_TAG_KEPT | 1)
#define SHARED TN_TAG_SHARED
static const struct moment moments[] = {
	/* nobody else has it */
	{ TN_OP_SHARE, UP, false, 0, 0, OURS },
	{ TN_OP_SHARE, UP, true, 1, 0, OURS },
	{ TN_OP_SHARE, SET, false, 1, 0, OURS },
	{ TN_OP_SHARE, SET, true, 1, 2, OURS },
	{ TN_OP_SHARE, SET, true, 1, 2, SHARED },
	{ TN_OP_RELEASE, CLEAR, false, 1, 2, SHARED },
	{ TN_OP_RELEASE, CLEAR, true, 1, 0, SHARED },
	{ TN_OP_RELEASE, DOWN, false, 1, 0, SHARED },
	{ TN_OP_RELEASE, DOWN, true, 0, 0, SHARED },
	{ TN_OP_RELEASE, DOWN, true, 0, 0, KEPT },
	/* client 2 holds it */
	{ TN_OP_HOLD, UP, false, 1, 4, SHARED },
	{ TN_OP_HOLD, UP, true, 2, 4, SHARED },
	{ TN_OP_HOLD, SET, false, 2, 4, SHARED },
	{ TN_OP_HOLD, SET, true, 2, 6, SHARED },
	{ TN_OP_HOLD, SET, false, 3, 6, SHARED }, /* so did client 1 */
	{ TN_OP_HOLD, DOWN, false, 3, 6, SHARED },
	{ TN_OP_HOLD, DOWN, true, 2, 6, SHARED },
	{ TN_OP_RELEASE, CLEAR, true, 2, 4, SHARED },
	{ TN_OP_RELEASE, DOWN, false, 2, 4, SHARED },
	{ TN_OP_RELEASE, DOWN, true, 1, 4, SHARED },
};

/* Is it what the record of the lane says that makes this moment right? */
static bool needs_the_step(const struct moment *m)
{
	unsigned bits = (unsigned)__builtin_popcountll(m->bits);

	return m->n != bits || (m->n && m->tag == OURS) ||
	       (!m->n && m->op == TN_OP_RELEASE);
}

static void each_moment_of_a_share_is_explained_by_its_step(void **state)
{
	struct tn_share *s;
	char when[80];

	(void)state;
	furnish();
	s = record_of(shared);
	for (unsigned i = 0; i < TN_ARRAY_LEN(moments); i++) {
		const struct moment *m = &moments[i];

		snprintf(when, sizeof(when), "op %u phase %u done %d",
			 m->op, m->phase, m->done);
		make(m, s);
		must_hold(when);
		in.quiescent = false;
		must_hold(when);
		/* the step of who knows whom may be like it */
		tn64_store_relaxed(&lane[1].rec->op, 0);
		in.n_controls--;
		must_hold(when);
		in.n_controls++;
		in.quiescent = true;
		assert_int_equal(tn_audit_run(&audit, &in) != 0,
				 needs_the_step(m));
		if (m->phase == SET && m->done && m->tag == OURS)
			assert_int_equal(audit.result.finding.sentence,
					 TN_AUDIT_SHARE_STRAY);
	}
}

/* The same count by a step that is about another object, or was not done. */
static void a_step_explains_its_own_record_and_no_more(void **state)
{
	struct moment m = { TN_OP_HOLD, UP, true, 2, 4, SHARED };
	struct tn_share *s;

	(void)state;
	furnish();
	s = record_of(shared);
	make(&m, s);
	must_hold("up");
	tn64_add_acq_rel(&lane[1].rec->progress, 1);
	assert_int_equal(tn_audit_run(&audit, &in), TN_AUDIT_SHARE_COUNT);
	make(&m, s);
	tn64_store_relaxed(&lane[1].rec->op,
			   TN_OP(TN_OP_HOLD, s - heap.pool.shares + 1, 0));
	assert_int_equal(tn_audit_run(&audit, &in), TN_AUDIT_SHARE_COUNT);
	make(&m, s);
	tn64_store_relaxed(&lane[1].rec->ref, shared + 16);
	assert_int_not_equal(tn_audit_run(&audit, &in), TN_AUDIT_HOLDS);
	make(&m, s);
	tn64_store_relaxed(&lane[1].rec->word, 2);
	assert_int_equal(tn_audit_run(&audit, &in), TN_AUDIT_STEP_PLACE);
	make(&m, s);
	tn64_store_relaxed(&lane[1].rec->progress, TN_PROGRESS(0, 5, 99));
	assert_int_equal(tn_audit_run(&audit, &in), TN_AUDIT_STEP_ROW);
}

static void a_shared_run_has_a_record_too(void **state)
{
	(void)state;
	furnish();
	assert_int_equal(tn_share_make(&heap.pool, &lane[3], big << 12), 0);
	assert_int_equal(tn_share_hold(&heap.pool, &lane[2], big << 12), 0);
	must_hold("shared");
	assert_int_equal(audit.result.shares, 2);
	assert_int_equal(audit.result.holds, 4);
	assert_int_equal(audit.result.runs_shared, 1);
	memset((void *)record_of(big << 12), 0, sizeof(struct tn_share));
	assert_int_equal(tn_audit_run(&audit, &in), TN_AUDIT_SHARE_NONE);
	assert_int_equal(audit.result.finding.page, big);
}

static void a_death_takes_its_bit_along(void **state)
{
	(void)state;
	furnish();
	tn64_store_relaxed(&heap.pool.clients[2].state, TN_CLIENT_DEAD | 2);
	must_hold("dead, and not yet recovered");
	tn_heap_recover(&heap, 2);
	controls[2].alive = false;
	must_hold("recovered");
	assert_int_equal(audit.result.holds, 1);
	tn_lane_end(&heap.pool, &lane[0]); /* which recovery starts anew */
	tn_heap_recover(&heap, 1);
	controls[1].alive = false;
	must_hold("both recovered");
	assert_int_equal(audit.result.shares, 0);
}

/* Of the last holder, dead: between SHARED and free it is tarnd's. */
static void what_recovery_is_about_to_return_is_kept_by_tarnd(void **state)
{
	(void)state;
	furnish();
	set_tag(slab << 12, TN_TAG_KEPT | TN_DAEMON_SLOT);
	assert_int_equal(tn_audit_run(&audit, &in), TN_AUDIT_TAG_HOLDER);
	in.quiescent = false;
	assert_int_equal(tn_audit_run(&audit, &in), TN_AUDIT_TAG_HOLDER);
	tn64_store_relaxed(&heap.pool.clients[4].state, TN_CLIENT_DEAD | 4);
	must_hold("recovery is at work");
	set_tag(slab << 12, TN_TAG_HELD | TN_DAEMON_SLOT);
	assert_int_equal(tn_audit_run(&audit, &in), TN_AUDIT_TAG_HOLDER);
}

/* Holes: what lies in them must not even be looked at. */
static uint64_t only_data;
static unsigned n_asked;

static uint64_t next_data(void *arg, uint64_t off)
{
	assert_ptr_equal(arg, &only_data);
	n_asked++;
	return off <= only_data ? only_data : UINT64_MAX;
}

static void records_that_were_never_written_are_passed_by(void **state)
{
	struct tn_share *s, *unused;

	(void)state;
	furnish();
	s = record_of(shared);
	unused = &heap.pool.shares[(s - heap.pool.shares + 1000) %
				   heap.pool.geo.n_shares];
	only_data = (uint64_t)((uint8_t *)s - (uint8_t *)heap.pool.meta);
	in.next_data = next_data;
	in.arg = &only_data;
	in.thorough = false;
	must_hold("all is well");
	assert_int_equal(audit.result.shares, 1);
	tn64_store_relaxed(&unused->set[3].lo, 2);
	must_hold("in a hole");
	in.next_data = NULL;
	must_hold("not asked for");
	assert_int_equal(audit.result.shares, 0);
	in.thorough = true;
	assert_int_equal(tn_audit_run(&audit, &in), TN_AUDIT_SHARE_BITS);
	assert_true(n_asked > 0);
}

/* Three clients share, hold and release the same few objects. */
#define N_OBJECTS 8
static uint64_t object[N_OBJECTS];

struct sharer { unsigned client, seed, rounds; };

static uint64_t new_object(const struct tn_lane_ref *l)
{
	struct tn_slab_cursor cursor = { 0 };
	struct tn_slot s;

	assert_int_equal(tn_slab_claim(&heap.pool, l, 3, &cursor, &s, 1), 1);
	tn16_store_relaxed(s.tag, (uint16_t)(TN_TAG_HELD | l->client));
	return tn_pool_off(&heap.pool, s.p);
}

static void *churn(void *arg)
{
	struct sharer *me = arg;
	const struct tn_lane_ref *l = &lane[me->client];
	unsigned held = 0;

	for (unsigned i = 0; i < me->rounds; i++) {
		unsigned k = (unsigned)rand_r(&me->seed) % N_OBJECTS;
		uint64_t off = object[k];

		if (!(held >> k & 1))
			held |= (tn_share_hold(&heap.pool, l, off) == 0) << k;
		else if (tn_share_release(&heap.pool, l, off, me->client))
			abort(); /* client 4 holds them all */
		else
			held &= ~(1U << k);
		if (rand_r(&me->seed) % 8)
			continue;
		off = new_object(l);
		if (tn_share_make(&heap.pool, l, off) < 0)
			abort();
		if (tn_share_release(&heap.pool, l, off, me->client) != 1)
			abort();
		if (tn_hold_detach(&heap.pool, l, off) == 0)
			abort(); /* it is kept, not held */
	}
	return NULL;
}

static void sharing_goes_on_while_it_is_audited(void **state)
{
	struct sharer s[3];
	uint64_t busy = 0, holds = 0;
	pthread_t t[3];

	(void)state;
	for (unsigned i = 0; i < N_OBJECTS; i++) {
		object[i] = new_object(&lane[4]);
		assert_int_equal(tn_share_make(&heap.pool, &lane[4],
					       object[i]), 0);
	}
	in.quiescent = false;
	for (unsigned i = 0; i < 3; i++) {
		s[i] = (struct sharer){ i + 1, i + 1, 40000 };
		assert_int_equal(pthread_create(&t[i], NULL, churn, &s[i]), 0);
	}
	for (unsigned i = 0; i < 300; i++) {
		must_hold("at work");
		busy += audit.result.shares_busy + audit.result.areas_busy;
		holds += audit.result.holds;
	}
	for (unsigned i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	print_message("holds seen: %u, busy: %u\n", (unsigned)holds,
		      (unsigned)busy);
	in.quiescent = true;
	must_hold("afterwards");
	assert_int_equal(audit.result.shares, N_OBJECTS);
}

#define AUDIT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		AUDIT_TEST(each_moment_of_a_share_is_explained_by_its_step),
		AUDIT_TEST(a_step_explains_its_own_record_and_no_more),
		AUDIT_TEST(a_shared_run_has_a_record_too),
		AUDIT_TEST(a_death_takes_its_bit_along),
		AUDIT_TEST(what_recovery_is_about_to_return_is_kept_by_tarnd),
		AUDIT_TEST(records_that_were_never_written_are_passed_by),
		AUDIT_TEST(sharing_goes_on_while_it_is_audited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
