/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Rows: claiming and releasing pages, so that it can be told afterwards
 * whether it happened.
 *
 *   row    | map: a bit a page, 1 = claimed | stamp: slot, lane, step |
 *
 * A process that dies around a compare-and-swap leaves a question: had it
 * been done? The map cannot answer. Bits that are set may be the dead
 * client's, or another's who claimed the same pages since. So the map
 * changes together with a stamp, which names the lane and the number of its
 * step (one 16-byte compare-and-swap), and who is about to overwrite a stamp
 * first puts its number down in done[slot, lane]. This is a detectable
 * compare-and-swap in the manner of Ben-David, Blelloch, Friedman and Wei
 * (Delay-Free Concurrency on Faulty Persistent Memory, SPAA 2019).
 *
 *   step n of a lane has been done on a row  <=>
 *       the row's stamp is (slot, lane, n)  or  done[slot, lane] >= n
 *
 * I1  A lane does one step at a time, and numbers them upwards; the number
 *     stands in its record (progress) before the compare-and-swap. Numbers
 *     go on across the clients that use the same slot, so none comes twice.
 * I2  done[slot, lane] never decreases, and never passes a number that was
 *     not done: only numbers read from a stamp, or put down by the lane
 *     itself at its end, get there.
 * I3  A stamp that is overwritten has been put down before: the writer reads
 *     the row, puts the stamp down, then swaps against what it read.
 *
 * Who writes: the map and stamp, any client, by compare-and-swap; done, any
 * client, upwards. A stale writer of done (stopped between reading the stamp
 * and putting it down) puts down a number that was true when it read it, and
 * still is.
 *
 * Crash windows: C1 after the number, before the swap: the stamp has another
 * number and done is lower: not done. C2 after the swap: the stamp, or done,
 * tells. There is no third.
 *
 * What it does not do: tell anything of steps before the last one. Whoever
 * needs a row of steps notes in his progress how far he came (pool/run.h).
 */
#include "base/assert.h"
#include "pool/lane.h"

static inline tn_a128 *tn_row_of(const struct tn_pool *pool, uint64_t row)
{ return &pool->areas[row / TN_AREA_ROWS].row[row % TN_AREA_ROWS]; }

/* The map alone: a look, which the compare-and-swap will check. */
static inline uint64_t tn_row_map(const struct tn_pool *pool, uint64_t row)
{ return tn64_load_relaxed(&tn_row_of(pool, row)->lo); }

/**
 * tn_row_claim() - set bits of a row that are all clear
 * @progress: goes into the lane's record with the step's number added; it
 *            tells whoever recovers which row this was about
 *
 * Return: true, or false if any of the bits is set.
 */
bool tn_row_claim(const struct tn_pool *pool, const struct tn_lane_ref *l,
		  uint64_t row, uint64_t mask, uint64_t progress);

/** tn_row_release() - clear bits of a row that are ours; -EUCLEAN if they
 *  are not all set, which only a damaged pool can show */
int tn_row_release(const struct tn_pool *pool, const struct tn_lane_ref *l,
		   uint64_t row, uint64_t mask, uint64_t progress);

/** tn_row_was_done() - of a lane that is at rest or dead: was this step done
 *  on this row? */
bool tn_row_was_done(const struct tn_pool *pool, const struct tn_lane_ref *l,
		     uint64_t row, uint64_t step);
