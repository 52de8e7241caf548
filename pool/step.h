/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Steps: changing a shared word so that it can be told afterwards whether it
 * happened.
 *
 *   word   | value | stamp: slot, lane, number |
 *
 * A process that dies around a compare-and-swap leaves a question: had it
 * been done? The value cannot answer: that it is as the dead wanted it may be
 * another's doing, and that it is not may be another's, too, who came later.
 * So the value changes together with a stamp, which names the lane and the
 * number of its step (one 16-byte compare-and-swap), and who is about to
 * overwrite a stamp first puts its number down in done[slot, lane]. This is a
 * detectable compare-and-swap in the manner of Ben-David, Blelloch, Friedman
 * and Wei (Delay-Free Concurrency on Faulty Persistent Memory, SPAA 2019).
 *
 *   step n of a lane has been done on a word  <=>
 *       the word's stamp is (slot, lane, n)  or  done[slot, lane] >= n
 *
 * I1  A lane does one step at a time, and numbers them upwards; the number
 *     stands in its record (progress) before the compare-and-swap. Numbers
 *     go on across the clients that use the same slot, so none comes twice.
 * I2  done[slot, lane] never decreases, and while a lane has something under
 *     way it is below that step's number unless the step was done: only
 *     numbers read from a stamp get there, and the last number of a lane that
 *     is at rest.
 * I3  A stamp that is overwritten has been put down before: the writer reads
 *     the word, puts the stamp down, then swaps against what it read.
 *
 * Who writes: value and stamp, any client, by compare-and-swap; done, any
 * client, upwards. A stale writer of done (stopped between reading the stamp
 * and putting it down) puts down a number that was true when it read it, and
 * still is.
 *
 * Orderings:
 *   step.word   what the last one did before his step is seen after ours
 *   step.done   who sees a stamp gone sees its number put down
 *
 * Crash windows: C1 after the number, before the swap: the stamp has another
 * number and done is lower: not done. C2 after the swap: the stamp, or done,
 * tells. There is no third.
 *
 * What it does not do: tell anything of steps before the last one. Whoever
 * takes several notes in his progress how far he came (pool/run.c,
 * pool/share.c).
 */
#include "base/assert.h"
#include "pool/lane.h"

/* A step under way: begun by tn_step_begin(), then tried until it is done or
 * the value is no longer one to change. */
struct tn_step {
	tn_a128 *word;
	uint64_t stamp;
	struct tn_pair seen;
};

/** tn_step_begin() - number the lane's next step, and look at the word
 *  @progress: goes into the lane's record, the number added to it */
void tn_step_begin(struct tn_step *s, const struct tn_lane_ref *l,
		   tn_a128 *word, uint64_t progress);

/** tn_step_try() - change the value from s->seen.lo to @value, a full barrier
 *  Return: false: it is another; s->seen is what it is now */
bool tn_step_try(const struct tn_pool *pool, struct tn_step *s, uint64_t value);

/** tn_step_clear() - change a word that has value @from to 0, with no stamp:
 *  for what may be done twice, and by anybody */
void tn_step_clear(const struct tn_pool *pool, tn_a128 *word, uint64_t from);

/** tn_step_was_done() - of a lane that is at rest or dead: was the step with
 *  this number done on this word? */
bool tn_step_was_done(const struct tn_pool *pool, const struct tn_lane_ref *l,
		      const tn_a128 *word, uint64_t number);
