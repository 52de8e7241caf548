/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Was that a good death? */
#include "tests/lib/tn_ops.h"

struct tn_judge {
	struct tn_truth before; /* the world before the operation */
	struct tn_truth now;    /* ... as judged; .fault and .why tell */
	struct tn_world again;  /* for the second recovery */
	/* NULL, or how it must be afterwards: the truth of it */
	const struct tn_world *same;
	uint64_t n;             /* judged so far */
};

/* @size: any world of the size of those that will be judged */
void tn_judge_init(struct tn_judge *j, const struct tn_world *size);
void tn_judge_fini(struct tn_judge *j);

/* The world before the operation: what is there must be there afterwards. */
enum tn_fault tn_judge_before(struct tn_judge *j, struct tn_world *w,
			      const struct tn_deed *op);

/**
 * tn_judge_death() - client TN_DEAD is dead: recover it and look
 * @w: is spoilt: it is full at the end
 *
 * Return: the fault; j->now.why says more.
 */
enum tn_fault tn_judge_death(struct tn_judge *j, struct tn_world *w,
			     const struct tn_deed *op);

/* Is all in the world as the auditor would have it? With .fault and .why. */
enum tn_fault tn_judge_audit(struct tn_truth *t, const struct tn_world *w,
			     bool dead_is_gone);
