/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_judge.h"

#include <stdio.h>
#include <string.h>

#include "audit/audit.h"

void tn_judge_init(struct tn_judge *j, const struct tn_world *size)
{
	tn_world_init(&j->again, size->heap.pool.geo.data_bytes,
		      size->heap.pool.policy);
	j->same = NULL;
	j->n = 0;
}

void tn_judge_fini(struct tn_judge *j)
{ tn_world_fini(&j->again); }

enum tn_fault tn_judge_before(struct tn_judge *j, struct tn_world *w,
			      const struct tn_deed *op)
{
	(void)op;
	return tn_truth_look(&j->before, w, ~0U);
}

/* As the auditor sees it, of which the caller says how much counts. */
static enum tn_fault audit(struct tn_truth *t, const struct tn_world *w,
			   bool dead_is_gone, bool quiescent)
{
	const struct tn_geo *g = &w->heap.pool.geo;
	struct tn_audit_control controls[TN_HEAP_CLIENTS + 1];
	struct tn_audit_in in = {
		.meta = w->heap.pool.meta,
		.meta_bytes = g->meta_bytes,
		.data = w->heap.pool.data,
		.data_bytes = g->data_bytes,
		.controls = controls,
		.n_controls = TN_HEAP_CLIENTS + 1,
		.quiescent = quiescent,
	};
	static struct tn_audit a;
	char text[150];

	for (uint32_t c = 0; c <= TN_HEAP_CLIENTS; c++)
		controls[c] = (struct tn_audit_control){
			.control = w->heap.control[c],
			.bytes = g->control_bytes,
			.client = c ? c : TN_DAEMON_SLOT,
			.alive = c != TN_DEAD || !dead_is_gone,
		};
	if (!tn_audit_run(&a, &in))
		return TN_FAULT_NONE;
	tn_audit_format(&a.result.finding, text, sizeof(text));
	return tn_truth_fault(t, TN_LEAKED, text, 0, 0);
}

enum tn_fault tn_judge_audit(struct tn_truth *t, const struct tn_world *w,
			     bool dead_is_gone)
{ return audit(t, w, dead_is_gone, true); }

/* Who only stops there is none to be found fault with. */
static enum tn_fault judge_stopped(struct tn_judge *j, const struct tn_world *w)
{ return audit(&j->now, w, false, false); }

/* The one object that may be in one of several ways. */
static enum tn_fault judge_subject(struct tn_judge *j, struct tn_world *w,
				   const struct tn_deed *op)
{
	const struct tn_thing *thing = tn_truth_find(&j->now,
						     w->board->subject);
	uint64_t ref = tn_ref_to(&w->heap.pool, w->board->subject);
	uint16_t tag = thing ? thing->tag : 0;
	uint64_t word = tn_world_word(w);

	for (unsigned i = 0; i < TN_ARRAY_LEN(op->may); i++) {
		const struct tn_outcome *o = &op->may[i];

		if (!o->allowed || o->tag != tag)
			continue;
		if (o->word == TN_WORD_ANY ||
		    (o->word == TN_WORD_HOLDS_IT && word == ref) ||
		    (o->word == TN_WORD_EMPTY && word == 0))
			return TN_FAULT_NONE;
	}
	return tn_truth_fault(&j->now, TN_DOUBLED,
			      "the object is not as it may be: tag, word", tag,
			      word);
}

/* Who held something before holds it now, and nobody else anything. */
static enum tn_fault judge_things(struct tn_judge *j, struct tn_world *w,
				  const struct tn_deed *op)
{
	bool may = op->may[0].allowed;
	uint64_t subject = w->board->subject;
	const struct tn_thing *was;
	unsigned n = 0;

	for (unsigned i = 0; i < j->before.n; i++) {
		const struct tn_thing *now;

		was = &j->before.thing[i];
		if ((may && was->off == subject) ||
		    tn_thing_of(was->tag, TN_DEAD))
			continue;
		now = tn_truth_find(&j->now, was->off);
		if (!now || now->tag != was->tag || now->class != was->class ||
		    now->pages != was->pages)
			return tn_truth_fault(&j->now, TN_DOUBLED,
					      "a living one has lost",
					      was->off, was->tag);
		n++;
	}
	if (may && tn_truth_find(&j->now, subject))
		n++;
	if (n != j->now.n)
		return tn_truth_fault(&j->now, TN_LEAKED,
				      "more is held than before", j->now.n, n);
	return may ? judge_subject(j, w, op) : TN_FAULT_NONE;
}

/* What the dead one's own rows and records say. */
static enum tn_fault judge_records(struct tn_judge *j, struct tn_world *w)
{
	struct tn_heap *h = &w->heap;
	const tn_a64 *pages = tn_touched_pages(&h->pool, TN_DEAD, 0);

	for (uint64_t i = 0; i < h->pool.geo.n_areas * TN_AREA_ROWS; i++)
		if (tn64_load_relaxed(&pages[i]))
			return tn_truth_fault(&j->now, TN_LEAKED,
					      "touched pages are left", i, 0);
	for (uint32_t i = 0; i < 8; i++) {
		struct tn_lane *rec = tn_lane_rec(&h->pool.geo,
						  h->control[TN_DEAD], i);
		uint64_t step = TN_PROGRESS_STEP(
				tn64_load_relaxed(&rec->progress));

		if (tn64_load_relaxed(&rec->op) ||
		    tn64_load_relaxed(&rec->state))
			return tn_truth_fault(&j->now, TN_LEAKED,
					      "a lane is not at rest", i, 0);
		if (tn64_load_relaxed(tn_lane_done(&h->pool, TN_DEAD, i)) <
		    step)
			return tn_truth_fault(&j->now, TN_DOUBLED,
					      "step numbers begin anew", i,
					      step);
	}
	return TN_FAULT_NONE;
}

static enum tn_fault recover(struct tn_judge *j, struct tn_world *w)
{
	int e = tn_world_recover(w, TN_DEAD);

	if (!e)
		return TN_FAULT_NONE;
	return tn_truth_fault(&j->now, TN_BLOCKED, "recovery does not end",
			      (uint64_t)(int64_t)e, 0);
}

enum tn_fault tn_judge_death(struct tn_judge *j, struct tn_world *w,
			     const struct tn_deed *op)
{
	struct tn_lane_ref l = w->living;
	const char *not_right;

	memset(&j->now, 0, offsetof(struct tn_truth, thing));
	if (judge_stopped(j, w) || recover(j, w) ||
	    tn_truth_look(&j->now, w, op->odd) ||
	    judge_things(j, w, op) || judge_records(j, w) ||
	    tn_judge_audit(&j->now, w, true))
		return j->now.fault;
	if (j->same && !tn_world_same_truth(j->same, w))
		return tn_truth_fault(&j->now, TN_DOUBLED,
				      "it ends in another way", 0, 0);
	tn_world_copy(&j->again, w);
	if (recover(j, &j->again))
		return j->now.fault;
	if (!tn_world_same_truth(&j->again, w))
		return tn_truth_fault(&j->now, TN_DOUBLED,
				      "a second recovery changes things", 0, 0);
	not_right = op->after ? op->after(w, op) : NULL;
	if (not_right)
		return tn_truth_fault(&j->now, TN_LEAKED, not_right, 0, 0);
	/* every other time by who comes after the dead one, in its place */
	if (j->n++ % 2)
		l = tn_world_reborn(w, TN_DEAD);
	return tn_truth_fill(&j->now, w, &l);
}
