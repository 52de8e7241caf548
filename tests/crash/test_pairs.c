/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One stands still anywhere in an operation; another does something to the
 * same slab, pages, object or word, from beginning to end. It must not have
 * to wait. Then the first one
 *
 *   dies     and is recovered, on a copy of the memory: every operation,
 *            every state of memory in it, every reply (tests/lib/tn_replies.h)
 *   goes on  in its own process, for a sample of these
 *
 * and afterwards: the auditor finds nothing; what the second one got was
 * nobody's; what it holds is still its; a word holds the ref of an object
 * only if that is the pool's; and when all have died, what is left is what
 * the pool held.
 *
 * TARN_CRASH_PAIRS (60) is how many of the second sort each table gets.
 * TARN_CRASH_CHURN (200) is how many operations the longest reply makes.
 * TARN_CRASH_OPS picks operations by name, TARN_CRASH_FIRST ends at a fault.
 */
#include "tests/lib/tn_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/tn_judge.h"
#include "tests/lib/tn_replies.h"
#include "tests/lib/tn_trace.h"

#define MIB (1ULL << 20)
#define STATES_MAX 256 /* of an operation; of longer ones, as many of all */
#define REPLY_MS 2000  /* more than any takes that does not wait */

static struct tn_world blank, world, copy;
static struct tn_truth before, after, end;
static uint64_t n_pairs, n_went_on, n_faults, random_state = 88172645463325252u;
static unsigned went_on_max = 60;
static bool stale_word;
static const char *only = "";

static void say(const struct tn_trace *t, const struct tn_reply *reply,
		const char *how, const struct tn_truth *truth)
{
	if (n_faults++ < 20)
		print_error("%s, %s, instruction %llu; %s; it %s: %s\n",
			    t->op->name, t->op->edge, (unsigned long long)t->n,
			    reply->name, how, truth->why);
	if (getenv("TARN_CRASH_FIRST"))
		exit(1);
}

/* What the second one got was nobody's before. */
static enum tn_fault judge_got(const struct tn_got *got)
{
	for (unsigned i = 0; i < got->n; i++) {
		uint64_t from = got->at[i].off, to = from + got->at[i].bytes;

		for (unsigned k = 0; k < before.n; k++) {
			const struct tn_thing *t = &before.thing[k];
			uint64_t bytes = t->pages ? (uint64_t)t->pages <<
					 TN_PAGE_SHIFT : 16;

			if (t->off < to && from < t->off + bytes)
				return tn_truth_fault(&after, TN_DOUBLED,
						      "it got another's", from,
						      t->tag);
		}
	}
	return TN_FAULT_NONE;
}

/* Has the word held a ref to somebody's or nothing, from the beginning? */
static bool word_was_stale(const struct tn_world *w)
{
	uint64_t ref = tn_world_word(w), off;
	const struct tn_thing *t = NULL;

	if (tn_ref_place(&w->heap.pool, ref, &off))
		t = tn_truth_find(&before, off);
	return ref && (!t || (t->tag != TN_TAG_POOL &&
			      !tn_thing_of(t->tag, TN_DEAD)));
}

/* The word holds nothing but what the pool holds. */
static enum tn_fault judge_word(struct tn_truth *t, const struct tn_world *w,
				const struct tn_reply *reply)
{
	uint64_t ref = tn_world_word(w), off;
	const struct tn_thing *thing;

	if (!ref || !tn_ref_place(&w->heap.pool, ref, &off) ||
	    reply->adopts || stale_word)
		return TN_FAULT_NONE;
	thing = tn_truth_find(t, off);
	return !thing || thing->tag == TN_TAG_POOL ? TN_FAULT_NONE :
	       tn_truth_fault(t, TN_DOUBLED, "the word's object is held",
			      ref, thing->tag);
}

/* Recovery has taken nothing from the living, and has made nothing up. */
static enum tn_fault judge_living(void)
{
	for (unsigned i = 0; i < after.n; i++) {
		const struct tn_thing *was = &after.thing[i], *now;

		if (!was->tag)
			continue; /* on its way to be a run, or from there */
		now = tn_truth_find(&end, was->off);
		if (now ? now->tag == was->tag : was->tag == TN_TAG_SHARED)
			continue;
		/* of whoever it is who died */
		if ((tn_thing_of(was->tag, TN_DEAD) ||
		     tn_thing_of(was->tag, TN_DAEMON_SLOT)) &&
		    (!now || now->tag == TN_TAG_POOL))
			continue;
		return tn_truth_fault(&end, TN_DOUBLED, "it is not as it was",
				      was->off, was->tag);
	}
	for (unsigned i = 0; i < end.n; i++)
		if (!tn_truth_find(&after, end.thing[i].off))
			return tn_truth_fault(&end, TN_LEAKED, "it is new",
					      end.thing[i].off,
					      end.thing[i].tag);
	return TN_FAULT_NONE;
}

/* All are dead now: only the pool holds something. */
static enum tn_fault judge_rest(struct tn_world *w)
{
	if (tn_world_recover(w, TN_LIVING) || tn_world_recover(w, TN_OWNER))
		return tn_truth_fault(&end, TN_BLOCKED,
				      "the others are not recovered", 0, 0);
	if (tn_truth_look(&end, w, TN_ODD_COUNTS))
		return end.fault;
	for (unsigned i = 0; i < end.n; i++)
		if (end.thing[i].tag != TN_TAG_POOL)
			return tn_truth_fault(&end, TN_LEAKED,
					      "something is left",
					      end.thing[i].off,
					      end.thing[i].tag);
	return TN_FAULT_NONE;
}

/* The first one is dead, after the reply. */
static void judge_death(const struct tn_trace *t, const struct tn_reply *reply,
			struct tn_world *w)
{
	int e;

	tn_truth_look(&after, w, ~0U);
	e = tn_world_recover(w, TN_DEAD);
	memset(&end, 0, offsetof(struct tn_truth, thing));
	if (e)
		tn_truth_fault(&end, TN_BLOCKED, "recovery does not end",
			       (uint64_t)(int64_t)e, 0);
	else if (!tn_truth_look(&end, w, t->op->odd | TN_ODD_COUNTS |
				TN_ODD_HINTS | TN_ODD_EMPTY) &&
		 !judge_living() && !judge_word(&end, w, reply) &&
		 !tn_judge_audit(&end, w, true))
		judge_rest(w);
	if (end.fault)
		say(t, reply, "dies", &end);
}

static void do_reply(const struct tn_trace *t, const struct tn_reply *reply,
		     struct tn_world *w)
{
	int64_t begin = tn_test_now_ms();
	struct tn_got got = { 0 };

	tn_n_pinned = 0;
	tn_truth_look(&before, w, ~0U);
	stale_word = word_was_stale(w);
	reply->act(w, &before, &got);
	memset(&after, 0, offsetof(struct tn_truth, thing));
	if (tn_test_now_ms() - begin > REPLY_MS)
		tn_truth_fault(&after, TN_BLOCKED, "the reply took ms",
			       (uint64_t)(tn_test_now_ms() - begin), 0);
	else
		judge_got(&got);
	if (after.fault)
		say(t, reply, "stands still", &after);
}

/* It stands here; every reply, and it dies. */
static void die_after_each(const struct tn_trace *t)
{
	for (const struct tn_reply *r = tn_replies; r->name; r++) {
		tn_world_copy(&copy, t->world);
		do_reply(t, r, &copy);
		judge_death(t, r, &copy);
		n_pairs++;
	}
}

/* What the second one has pinned is where it was then. */
static enum tn_fault judge_pins(struct tn_truth *t, const struct tn_world *w)
{
	const struct tn_pool *p = &w->heap.pool;

	for (unsigned i = 0; i < tn_n_pinned; i++) {
		const struct tn_pinned *pin = &tn_pinned[i];
		uint64_t now = tn64_load_relaxed(&p->handles[pin->idx].place);

		if (tn_ref_handle_ok(p, pin->ref) &&
		    TN_HANDLE_STATE(now) != TN_HANDLE_FREE &&
		    TN_HANDLE_OFF(now) != TN_HANDLE_OFF(pin->place))
			return tn_truth_fault(t, TN_DOUBLED, "it has moved",
					      pin->ref, now);
	}
	return TN_FAULT_NONE;
}

/* It goes on after the reply, to its end. */
static void go_on(struct tn_trace *t, const struct tn_reply *reply,
		  uint64_t instruction)
{
	tn_trace_begin(t);
	while (t->n < instruction && tn_trace_next(t))
		;
	do_reply(t, reply, t->world);
	tn_trace_finish(t);
	memset(&end, 0, offsetof(struct tn_truth, thing));
	if (!tn_truth_look(&end, t->world, t->op->odd | TN_ODD_COUNTS |
			   TN_ODD_LEASES | TN_ODD_HINTS | TN_ODD_EMPTY |
			   TN_ODD_MOVES) &&
	    !judge_word(&end, t->world, reply) && !judge_pins(&end, t->world))
		tn_judge_audit(&end, t->world, false);
	if (end.fault)
		say(t, reply, "goes on", &end);
	else
		judge_death(t, reply, t->world);
	n_went_on++;
}

static uint32_t below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 33) % n;
}

static void one_operation(const struct tn_deed *deed, unsigned n_go_on)
{
	uint64_t at[STATES_MAX];
	struct tn_trace t;
	unsigned n = 0, n_replies = 0;

	while (tn_replies[n_replies].name)
		n_replies++;
	alarm(TN_TEST_SECONDS);
	tn_trace_init(&t, &world, &blank, deed);
	tn_trace_begin(&t);
	at[n++] = 0;
	die_after_each(&t);
	while (tn_trace_next(&t)) {
		if (!tn_trace_changed(&t) || n == STATES_MAX)
			continue;
		at[n++] = t.n;
		die_after_each(&t);
	}
	tn_trace_finish(&t);
	for (unsigned i = 0; i < n_go_on; i++)
		go_on(&t, &tn_replies[below(n_replies)], at[below(n)]);
	tn_trace_fini(&t);
}

static void table(const struct tn_deed *deeds)
{
	const char *why = tn_trace_impossible();
	uint64_t faults = n_faults;
	unsigned n = 0;

	if (why) {
		print_message("%s\n", why);
		skip();
	}
	tn_world_init(&blank, MIB, TN_FIRST_FIT);
	tn_world_init(&world, MIB, TN_FIRST_FIT);
	tn_world_init(&copy, MIB, TN_FIRST_FIT);
	blank.handles = deeds == tn_ops_handle;
	for (const struct tn_deed *d = deeds; d->name; d++)
		n++;
	for (const struct tn_deed *d = deeds; d->name; d++)
		if (!d->mib && (strstr(d->name, only) || strstr(d->edge, only)))
			one_operation(d, went_on_max / n);
	tn_world_fini(&blank);
	tn_world_fini(&world);
	tn_world_fini(&copy);
	assert_int_equal(n_faults, faults);
}

static void nobody_waits_for_who_stands_in_a_slab_operation(void **state)
{
	(void)state;
	table(tn_ops_slab);
}

static void nobody_waits_for_who_stands_in_a_run_operation(void **state)
{
	(void)state;
	table(tn_ops_run);
}

static void nobody_waits_for_who_stands_in_a_hand_over(void **state)
{
	(void)state;
	table(tn_ops_hold);
}

static void nobody_waits_for_who_stands_in_a_share(void **state)
{
	(void)state;
	table(tn_ops_share);
}

static void nobody_waits_for_who_stands_in_the_library(void **state)
{
	(void)state;
	table(tn_ops_client);
}

static void nobody_waits_for_who_moves_or_is_moved(void **state)
{
	(void)state;
	table(tn_ops_handle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(nobody_waits_for_who_stands_in_a_slab_operation),
		TN_TEST(nobody_waits_for_who_stands_in_a_run_operation),
		TN_TEST(nobody_waits_for_who_stands_in_a_hand_over),
		TN_TEST(nobody_waits_for_who_stands_in_a_share),
		TN_TEST(nobody_waits_for_who_stands_in_the_library),
		TN_TEST(nobody_waits_for_who_moves_or_is_moved),
	};
	const char *s = getenv("TARN_CRASH_PAIRS");
	int r;

	if (s && atoi(s) > 0)
		went_on_max = (unsigned)atoi(s);
	if (getenv("TARN_CRASH_OPS"))
		only = getenv("TARN_CRASH_OPS");
	r = cmocka_run_group_tests(tests, NULL, NULL);
	printf("# %llu pairs of which one died, %llu of which both went on, "
	       "%llu faults\n", (unsigned long long)n_pairs,
	       (unsigned long long)n_went_on, (unsigned long long)n_faults);
	return r;
}
