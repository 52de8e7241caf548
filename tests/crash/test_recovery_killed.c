/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The recovery itself is killed, wherever it is, and begun anew.
 *
 * A client dies in the middle of an operation, and tarnd is stepped through
 * the recovery. At each step where memory changed, that is what the death of
 * tarnd would leave; on a copy the next tarnd recovers from the start, and
 * that is judged as in test_step.c, and held against what an uninterrupted
 * recovery leaves: the same rows, words and tags. Of some of those states
 * the second recovery is stepped in turn, and a third one ends it.
 *
 * tarnd makes its own steps in a lane of its own, as client TN_DAEMON_SLOT;
 * the next tarnd recovers that client before any other (tn_world_recover()).
 *
 * TARN_CRASH_DEATHS (1) is how many deaths in each operation are taken, and
 * with TARN_CRASH_FULL all operations on handles are.
 * TARN_CRASH_FIRST ends the program at the first fault.
 */
#include "tests/lib/tn_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/tn_judge.h"
#include "tests/lib/tn_trace.h"

#define MIB (1ULL << 20)
#define DEEPER 41 /* every so many'th state of a recovery, the next one, too */

/* Sweeps of handles are long: of them not all operations and states, unless
 * TARN_CRASH_FULL is set. */
#define PICK 4
#define STRIDE 7

static struct tn_judge judge;
static struct tn_world blank, dying, dead, second, world, copy, whole;
static uint64_t n_instructions, n_states, n_deaths, n_faults;
static unsigned deaths = 1, turn, pick = 1, stride = 1;

static void act_recover(struct tn_world *w, const struct tn_deed *deed)
{
	(void)deed;
	w->board->result = tn_world_recover(w, TN_DEAD);
}

static void judge_copy(const struct tn_trace *t, const struct tn_deed *deed,
		       unsigned depth)
{
	tn_world_copy(&copy, t->world);
	n_states++;
	if (!tn_judge_death(&judge, &copy, deed))
		return;
	if (n_faults++ < 10)
		print_error("%s, %s: recovery %u killed at %llu: %s\n",
			    deed->name, deed->edge, depth,
			    (unsigned long long)t->n, judge.now.why);
	if (getenv("TARN_CRASH_FIRST"))
		exit(1);
}

/* Step the recovery of @from, in @in, and judge what its deaths leave. */
static void step_recovery(const struct tn_world *from, struct tn_world *in,
			  const struct tn_deed *deed, unsigned depth)
{
	struct tn_deed recovery = *deed;
	unsigned seen = turn; /* so that it is not the same ones each time */
	struct tn_trace t;

	recovery.setup = NULL;
	recovery.act = act_recover;
	tn_trace_init(&t, in, from, &recovery);
	tn_trace_begin(&t);
	while (tn_trace_next(&t)) {
		if (!tn_trace_changed(&t) || ++seen % stride)
			continue;
		judge_copy(&t, deed, depth);
		if (depth > 1 || ++turn % DEEPER)
			continue;
		tn_world_copy(&second, in);
		step_recovery(&second, &world, deed, depth + 1);
	}
	n_instructions += t.n;
	assert_int_equal(in->board->result, 0);
	tn_trace_finish(&t);
	tn_trace_fini(&t);
}

static void die_and_recover(struct tn_trace *t, const struct tn_deed *deed,
			    uint64_t instruction)
{
	tn_trace_begin(t);
	tn_judge_before(&judge, t->world, deed);
	while (t->n < instruction && tn_trace_next(t))
		;
	tn_trace_kill(t);
	tn_world_copy(&dead, t->world);
	tn_world_copy(&whole, t->world);
	assert_int_equal(tn_world_recover(&whole, TN_DEAD), 0);
	judge.same = &whole;
	step_recovery(&dead, &dying, deed, 1);
	n_deaths++;
}

static void one_operation(const struct tn_deed *deed)
{
	uint64_t n;
	struct tn_trace t;

	alarm(5 * TN_TEST_SECONDS);
	tn_trace_init(&t, &world, &blank, deed);
	tn_trace_begin(&t);
	while (tn_trace_next(&t))
		;
	n = t.n;
	tn_trace_finish(&t);
	for (unsigned i = 0; i < deaths; i++)
		die_and_recover(&t, deed, n * (2 * i + 1) / (2 * deaths));
	tn_trace_fini(&t);
}

static struct tn_world *const worlds[] = {
	&blank, &dying, &dead, &second, &world, &copy, &whole,
};

static void each(const struct tn_deed *deed, uint64_t mib)
{
	const char *why = tn_trace_impossible();
	uint64_t before = n_faults;

	if (why) {
		print_message("%s\n", why);
		skip();
	}
	for (unsigned i = 0; i < TN_ARRAY_LEN(worlds); i++)
		tn_world_init(worlds[i], mib * MIB, TN_FIRST_FIT);
	for (unsigned i = 0; i < TN_ARRAY_LEN(worlds); i++)
		worlds[i]->handles = deed == tn_ops_handle;
	tn_judge_init(&judge, &blank);
	for (unsigned i = 0; deed->name; deed++, i++)
		if ((deed->mib ? deed->mib : 1) == mib && i % pick == pick - 1)
			one_operation(deed);
	tn_judge_fini(&judge);
	for (unsigned i = 0; i < TN_ARRAY_LEN(worlds); i++)
		tn_world_fini(worlds[i]);
	assert_int_equal(n_faults, before);
}

static void a_recovery_of_slabs_is_begun_anew_and_ends_the_same(void **state)
{
	(void)state;
	each(tn_ops_slab, 1);
}

static void a_recovery_of_runs_is_begun_anew_and_ends_the_same(void **state)
{
	(void)state;
	each(tn_ops_run, 1);
	each(tn_ops_run, 8);
}

static void a_recovery_of_hand_overs_is_begun_anew_and_ends_the_same(
	void **state)
{
	(void)state;
	each(tn_ops_hold, 1);
}

static void a_recovery_of_shares_is_begun_anew_and_ends_the_same(void **state)
{
	(void)state;
	each(tn_ops_share, 1);
}

static void a_recovery_of_lanes_is_begun_anew_and_ends_the_same(void **state)
{
	(void)state;
	each(tn_ops_client, 1);
}

static void a_recovery_of_handles_is_begun_anew_and_ends_the_same(
	void **state)
{
	bool full = getenv("TARN_CRASH_FULL");

	(void)state;
	pick = full ? 1 : PICK;
	stride = full ? 2 : STRIDE;
	each(tn_ops_handle, 1);
	each(tn_ops_handle, 5);
	pick = stride = 1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(a_recovery_of_slabs_is_begun_anew_and_ends_the_same),
		TN_TEST(a_recovery_of_runs_is_begun_anew_and_ends_the_same),
		TN_TEST(
		    a_recovery_of_hand_overs_is_begun_anew_and_ends_the_same),
		TN_TEST(a_recovery_of_shares_is_begun_anew_and_ends_the_same),
		TN_TEST(a_recovery_of_lanes_is_begun_anew_and_ends_the_same),
		TN_TEST(a_recovery_of_handles_is_begun_anew_and_ends_the_same),
	};
	const char *s = getenv("TARN_CRASH_DEATHS");
	int r;

	if (s && atoi(s) > 0)
		deaths = (unsigned)atoi(s);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	printf("# %llu deaths of clients, %llu instructions of recoveries, "
	       "%llu deaths of tarnd, %llu faults\n",
	       (unsigned long long)n_deaths,
	       (unsigned long long)n_instructions,
	       (unsigned long long)n_states, (unsigned long long)n_faults);
	return r;
}
