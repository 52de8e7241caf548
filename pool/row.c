/* SPDX-License-Identifier: BSD-2-Clause */
#include "pool/row.h"

#include <errno.h>

/* Before a stamp is overwritten: its lane may be dead, and may want to know
 * (I3). Our own last step needs no witness: we are here. */
static void put_down(const struct tn_pool *pool, const struct tn_lane_ref *l,
		     uint64_t stamp)
{
	unsigned slot = TN_STAMP_SLOT(stamp), lane = TN_STAMP_LANE(stamp);
	uint64_t step = stamp & TN_STEP_MASK, was;
	tn_a64 *done;

	if (!stamp || (slot == TN_CLIENT_SLOT(l->client) && lane == l->index))
		return;
	done = tn_lane_done(pool, slot, lane);
	was = tn64_load_relaxed(done);
	/* HB> row.done: the swap that follows is a full barrier, so who sees
	 * the stamp gone sees its number put down */
	while (was < step && !tn64_cas_release(done, &was, step))
		;
}

static uint64_t number(const struct tn_lane_ref *l, uint64_t progress)
{
	uint64_t last = TN_PROGRESS_STEP(tn64_load_relaxed(&l->rec->progress));
	uint64_t step = last + 1;

	tn64_store_relaxed(&l->rec->progress, progress | step);
	tn_fence_compiler();
	return TN_STAMP(TN_CLIENT_SLOT(l->client), l->index, step);
}

bool tn_row_claim(const struct tn_pool *pool, const struct tn_lane_ref *l,
		  uint64_t row, uint64_t mask, uint64_t progress)
{
	tn_a128 *w = tn_row_of(pool, row);
	uint64_t stamp = number(l, progress);
	struct tn_pair old;

	TN_CRASH("row.claim.numbered");
	do {
		/* HB< row.map: what the releaser did to the pages is over */
		old.hi = tn64_load_acquire(&w->hi);
		old.lo = tn64_load_relaxed(&w->lo);
		if (old.lo & mask)
			return false;
		put_down(pool, l, old.hi);
		/* HB> row.map */
	} while (!tn128_cas_full(w, old, (struct tn_pair){ old.lo | mask,
							   stamp }));
	TN_CRASH("row.claim.swapped");
	return true;
}

int tn_row_release(const struct tn_pool *pool, const struct tn_lane_ref *l,
		   uint64_t row, uint64_t mask, uint64_t progress)
{
	tn_a128 *w = tn_row_of(pool, row);
	uint64_t stamp = number(l, progress);
	struct tn_pair old;

	TN_CRASH("row.release.numbered");
	do {
		/* HB< row.map */
		old.hi = tn64_load_acquire(&w->hi);
		old.lo = tn64_load_relaxed(&w->lo);
		if ((old.lo & mask) != mask)
			return -EUCLEAN;
		put_down(pool, l, old.hi);
		/* HB> row.map: the pages' words and tags are wiped */
	} while (!tn128_cas_full(w, old, (struct tn_pair){ old.lo & ~mask,
							   stamp }));
	TN_CRASH("row.release.swapped");
	return 0;
}

bool tn_row_was_done(const struct tn_pool *pool, const struct tn_lane_ref *l,
		     uint64_t row, uint64_t step)
{
	unsigned slot = TN_CLIENT_SLOT(l->client);
	/* HB< row.map */
	uint64_t stamp = tn64_load_acquire(&tn_row_of(pool, row)->hi);

	if (stamp == TN_STAMP(slot, l->index, step))
		return true;
	/* HB< row.done */
	return tn64_load_acquire(tn_lane_done(pool, slot, l->index)) >= step;
}
