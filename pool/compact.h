/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Going through a pool with the mover. */
#include "pool/move.h"

struct tn_compact {
	struct tn_mover *mover;
	uint64_t area;         /* + 1, in hand; 0: done */
	uint64_t page;         /* + 1, in that area; 0: go on to the next */
	uint64_t n_areas;      /* when it began */
	struct tn_compact_class {
		bool full;         /* there is no lower place for any */
		unsigned n, live;  /* slabs put by, and objects in them */
		uint64_t pages[TN_MOVE_SLABS];
	} classes[TN_CLASS_CACHE];
	unsigned ended;        /* classes with none put by, at the end */
};

/** tn_compact_begin() - a pass from the highest area down */
void tn_compact_begin(struct tn_compact *c, struct tn_mover *mover);

/**
 * tn_compact_step() - a slice of it
 * @bytes: stop after about so many have been moved
 *
 * Stops, too, after a batch that was off because of mover->held; the next step
 * tries it again. Between two steps other things may be done by the same
 * thread. Return: 1: there is more; 0: done; -ENOSYS: no fence; -EUCLEAN.
 */
int tn_compact_step(struct tn_compact *c, uint64_t bytes);

/** tn_compact_done() - how far it has come, in areas of tn_compact.n_areas */
uint64_t tn_compact_done(const struct tn_compact *c);
