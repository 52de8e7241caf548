/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Killed at any instruction, nothing lost.
 *
 * One client is stepped through an operation. Whenever the memory it shares
 * with others has changed, all of that is copied, and the copy is what a
 * death at this instruction, or at any that follows without another change,
 * would leave behind. The copy is recovered by the real recovery and judged
 * (tests/lib/tn_judge.c):
 *
 *   - the auditor finds nothing, and neither does a second reader here
 *   - what the dead client held is gone; what others or the pool held is
 *     there, once; the object that was being passed on is in one of the
 *     places that its operation allows, and a word holds its ref if the
 *     pool holds it there
 *   - recovering again changes nothing
 *   - all free pages and slots can be allocated, exactly, by another client
 *     or by the next one in the dead one's slot
 *
 *   leaked    free for nobody, or held by nobody
 *   doubled   free although held, or held twice
 *   blocked   recovery does not end, or a lease is left
 *
 * Instructions are what the table counts as kills: each is one place to die
 * at, judged by the memory that it leaves. For a sample of them the process
 * is really killed, and recovered where it lies.
 *
 * TARN_CRASH_KILLS (2) is how many of those an operation gets.
 * TARN_CRASH_FIRST ends the program at the first fault.
 * TARN_CRASH_OPS picks operations whose name, or edge, has this in it.
 */
#include "tests/lib/tn_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/tn_judge.h"
#include "tests/lib/tn_trace.h"

#define MIB (1ULL << 20)

struct row {
	uint64_t instructions, states, kills;
	uint64_t faults[TN_BLOCKED + 1];
};

/* Worlds of one size. */
struct place {
	uint64_t mib;
	struct tn_world blank, world, copy;
};

static struct tn_judge judge;
static struct place place;
static struct row total;
static unsigned n_kills = 2;
static const char *only = "";

static void place_fini(void)
{
	if (!place.mib)
		return;
	tn_world_fini(&place.blank);
	tn_world_fini(&place.world);
	tn_world_fini(&place.copy);
	tn_judge_fini(&judge);
	place.mib = 0;
}

static void place_init(uint64_t mib, bool handles)
{
	if (place.mib == mib)
		return;
	place_fini();
	tn_world_init(&place.blank, mib * MIB, TN_FIRST_FIT);
	tn_world_init(&place.world, mib * MIB, TN_FIRST_FIT);
	tn_world_init(&place.copy, mib * MIB, TN_FIRST_FIT);
	place.blank.handles = handles;
	tn_judge_init(&judge, &place.blank);
	place.mib = mib;
}

static void say(const struct tn_deed *op, const struct tn_trace *s,
		const char *how)
{
	static const char *const fault[] = { "", "leaked", "doubled",
					     "blocked" };

	print_error("%s, %s, instruction %llu%s: %s: %s\n", op->name, op->edge,
		    (unsigned long long)s->n, how, fault[judge.now.fault],
		    judge.now.why);
	if (getenv("TARN_CRASH_FIRST"))
		exit(1);
}

/* What a death just here would leave. */
static void die_in_copy(struct tn_trace *s, struct row *row)
{
	tn_world_copy(&place.copy, s->world);
	row->states++;
	if (!tn_judge_death(&judge, &place.copy, s->op))
		return;
	if (row->faults[judge.now.fault]++ < 3)
		say(s->op, s, "");
}

static void step_through(struct tn_trace *s, struct row *row)
{
	tn_trace_begin(s);
	tn_judge_before(&judge, s->world, s->op);
	tn_world_copy(&judge.again, s->world);
	die_in_copy(s, row);
	while (tn_trace_next(s))
		if (tn_trace_changed(s))
			die_in_copy(s, row);
	row->instructions = s->n;
	/* nothing was written anywhere else */
	tn_trace_finish(s);
	assert_false(tn_trace_changed(s));
}

/* A death that is one. */
static void die_at(struct tn_trace *s, struct row *row, uint64_t instruction)
{
	tn_trace_begin(s);
	while (s->n < instruction && tn_trace_next(s))
		;
	tn_trace_kill(s);
	row->kills++;
	if (tn_judge_death(&judge, s->world, s->op) &&
	    row->faults[judge.now.fault]++ < 3)
		say(s->op, s, ", killed");
}

static void add(struct row *sum, const struct row *row)
{
	sum->instructions += row->instructions;
	sum->states += row->states;
	sum->kills += row->kills;
	for (unsigned i = 0; i <= TN_BLOCKED; i++)
		sum->faults[i] += row->faults[i];
}

static void print_row(const char *name, const char *edge, const struct row *row)
{
	printf("# %-17s %-23s %8llu %7llu %6llu %6llu %7llu %7llu\n", name,
	       edge, (unsigned long long)row->instructions,
	       (unsigned long long)row->states,
	       (unsigned long long)row->kills,
	       (unsigned long long)row->faults[TN_LEAKED],
	       (unsigned long long)row->faults[TN_DOUBLED],
	       (unsigned long long)row->faults[TN_BLOCKED]);
	fflush(stdout);
}

static void one_operation(const struct tn_deed *op, bool handles)
{
	struct row row = { 0 };
	struct tn_trace s;

	alarm(TN_TEST_SECONDS);
	place_init(op->mib ? op->mib : 1, handles);
	tn_trace_init(&s, &place.world, &place.blank, op);
	step_through(&s, &row);
	for (unsigned i = 0; i < n_kills; i++)
		die_at(&s, &row, (row.instructions * (2 * i + 1)) /
				 (2 * n_kills));
	tn_trace_fini(&s);
	print_row(op->name, op->edge, &row);
	add(&total, &row);
}

static bool wanted(const struct tn_deed *op)
{ return strstr(op->name, only) || strstr(op->edge, only); }

static void table(const struct tn_deed *ops)
{
	const bool handles = ops == tn_ops_handle;
	const char *why = tn_trace_impossible();
	struct row before = total;

	if (why) {
		print_message("%s\n", why);
		skip();
	}
	for (; ops->name; ops++)
		if (wanted(ops))
			one_operation(ops, handles);
	place_fini();
	for (unsigned i = TN_LEAKED; i <= TN_BLOCKED; i++)
		assert_int_equal(total.faults[i], before.faults[i]);
}

static void a_death_in_a_slab_operation_leaves_nothing(void **state)
{
	(void)state;
	table(tn_ops_slab);
}

static void a_death_in_a_run_operation_leaves_nothing(void **state)
{
	(void)state;
	table(tn_ops_run);
}

static void a_death_in_a_hand_over_leaves_it_on_one_side(void **state)
{
	(void)state;
	table(tn_ops_hold);
}

static void a_death_in_a_share_ends_that_share_alone(void **state)
{
	(void)state;
	table(tn_ops_share);
}

static void a_death_in_the_library_leaves_nothing(void **state)
{
	(void)state;
	table(tn_ops_client);
}

static void a_death_among_handles_and_moves_leaves_nothing(void **state)
{
	(void)state;
	table(tn_ops_handle);
}

/* Of what only it would find: somebody's object that his recovery would not. */
static void the_auditor_is_heard(void **state)
{
	static struct tn_truth t;
	static struct tn_world w;
	tn_a64 *pages;

	(void)state;
	tn_world_init(&w, MIB, TN_FIRST_FIT);
	tn_ops_object(&w, TN_LIVING, 5, TN_TAG_HELD | TN_LIVING);
	assert_int_equal(tn_judge_audit(&t, &w, false), TN_FAULT_NONE);
	pages = tn_touched_pages(&w.heap.pool, TN_LIVING, 0);
	assert_int_not_equal(pages[0].v, 0);
	tn64_store_relaxed(pages, 0);
	assert_int_equal(tn_judge_audit(&t, &w, false), TN_LEAKED);
	tn_world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(the_auditor_is_heard),
		TN_TEST(a_death_in_a_slab_operation_leaves_nothing),
		TN_TEST(a_death_in_a_run_operation_leaves_nothing),
		TN_TEST(a_death_in_a_hand_over_leaves_it_on_one_side),
		TN_TEST(a_death_in_a_share_ends_that_share_alone),
		TN_TEST(a_death_in_the_library_leaves_nothing),
		TN_TEST(a_death_among_handles_and_moves_leaves_nothing),
	};
	const char *kills = getenv("TARN_CRASH_KILLS");
	int r;

	if (kills)
		n_kills = (unsigned)atoi(kills);
	if (getenv("TARN_CRASH_OPS"))
		only = getenv("TARN_CRASH_OPS");
	printf("# %-17s %-23s %8s %7s %6s %6s %7s %7s\n", "operation",
	       "edge state", "instruc.", "states", "killed", "leaked",
	       "doubled", "blocked");
	r = cmocka_run_group_tests(tests, NULL, NULL);
	print_row("all", "", &total);
	return r;
}
