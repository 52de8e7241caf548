/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Who is acting: a lane (one thread) of a client, with its record in the
 * client's control file. A step that needs more than one store is noted
 * there first, so that whoever cleans up after a death knows what the lane
 * had in its hands.
 *
 * The record is written by its lane alone, with plain stores: its one other
 * reader comes after the death, and a process's stores are all visible, in
 * program order, to who has been told of its death by the kernel. So only
 * the compiler must be kept from moving them: tn_fence_compiler().
 */
#include "pool/pool.h"
#include "pool/runcache.h"

struct tn_lane_ref {
	uint8_t *control;    /* the control file, mapped writable */
	struct tn_lane *rec; /* the lane's record in it */
	uint32_t client;     /* id */
	uint32_t index;      /* of the lane in the client */
	struct tn_run_cache *cache; /* private; NULL: it keeps no runs */
};

static inline struct tn_lane *tn_lane_rec(const struct tn_geo *geo,
					  uint8_t *control, uint32_t index)
{ return (struct tn_lane *)(void *)(control + geo->lanes) + index; }

static inline tn_a64 *tn_lane_pins(const struct tn_geo *geo, uint8_t *control,
				   uint32_t index)
{
	return (tn_a64 *)(void *)(control + geo->pins) +
	       (uint64_t)index * TN_LANE_PINS;
}

/* The counter that outlives the lane: see pool/step.h. */
static inline tn_a64 *tn_lane_done(const struct tn_pool *pool, unsigned slot,
				   unsigned lane)
{ return &pool->done[slot * TN_N_LANES + lane]; }

/* How many lanes there may be anything to know of. */
static inline uint64_t tn_lanes_used(uint8_t *control)
{
	tn_a64 *lanes = &((struct tn_control *)(void *)control)->lanes;

	return tn_min64(tn64_load_relaxed(lanes), TN_N_LANES);
}

/* A lane takes up work: its steps are counted on from where the last lane in
 * the same place stopped. */
static inline void tn_lane_start(const struct tn_pool *pool,
				 const struct tn_lane_ref *l)
{
	uint64_t step = tn64_load_relaxed(tn_lane_done(pool,
				TN_CLIENT_SLOT(l->client), l->index));
	tn_a64 *lanes = &((struct tn_control *)(void *)l->control)->lanes;
	uint64_t used = tn64_load_relaxed(lanes);

	while (used <= l->index &&
	       !tn64_cas_relaxed(lanes, &used, l->index + 1))
		;
	tn64_store_relaxed(&l->rec->op, 0);
	tn64_store_relaxed(&l->rec->progress,
			   TN_PROGRESS(0, 0, step & TN_STEP_MASK));
}

/* ... and ends it: nothing is under way, and its number is put down. (It may
 * be lower than what is there: of a lane that died while it started.) */
static inline void tn_lane_end(const struct tn_pool *pool,
			       const struct tn_lane_ref *l)
{
	uint64_t step = TN_PROGRESS_STEP(tn64_load_relaxed(&l->rec->progress));
	tn_a64 *done = tn_lane_done(pool, TN_CLIENT_SLOT(l->client), l->index);
	uint64_t was = tn64_load_relaxed(done);

	while (was < step && !tn64_cas_relaxed(done, &was, step))
		;
}

/* Numbers are many, but not endless: a place that has used up half of them
 * is worn, and is not used again. */
static inline bool tn_lane_worn(uint64_t step)
{ return step > TN_STEP_MASK / 2; }

/* Before an op is begun: at @row, with a number that no word has seen, so
 * that no stamp of an earlier step is taken for one of this op's. */
static inline void tn_lane_fresh(const struct tn_lane_ref *l, uint64_t row)
{
	uint64_t last = TN_PROGRESS_STEP(tn64_load_relaxed(&l->rec->progress));

	tn64_store_relaxed(&l->rec->progress, TN_PROGRESS(0, row, last + 1));
	tn_fence_compiler();
}

static inline void tn_lane_begin(const struct tn_lane_ref *l, uint64_t op)
{
	tn_fence_compiler();
	tn64_store_relaxed(&l->rec->op, op);
	tn_fence_compiler();
}

static inline void tn_lane_commit(const struct tn_lane_ref *l)
{
	tn_fence_compiler();
	tn64_store_relaxed(&l->rec->op, TN_OP_NONE);
	tn_fence_compiler();
}

/*
 * Where a client may hold something: a bit a page (of a slab or run, the
 * first one), and a bit an area above them, in meta, a row of each for every
 * client slot. Set before the first hold, by the client itself or by who
 * gives it an object; never cleared while the client lives: too much costs
 * recovery time, too little would cost memory.
 */
static inline tn_a64 *tn_touched_pages(const struct tn_pool *pool,
				       unsigned slot, uint64_t area)
{
	return pool->touched_pages +
	       (slot * pool->geo.n_areas + area) * TN_AREA_ROWS;
}

static inline tn_a64 *tn_touched_areas(const struct tn_pool *pool,
				       unsigned slot)
{ return pool->touched_areas + slot * pool->geo.touched_words; }

static inline void tn_touch(const struct tn_pool *pool, uint32_t client,
			    uint64_t page)
{
	unsigned slot = TN_CLIENT_SLOT(client);
	uint64_t area = page >> TN_AREA_SHIFT, in_area = page % TN_AREA_PAGES;
	tn_a64 *pages = tn_touched_pages(pool, slot, area) + in_area / 64;
	tn_a64 *areas = tn_touched_areas(pool, slot) + area / 64;

	/* both: a recovery may have cleared one that was set too late for it */
	if (tn64_load_relaxed(pages) >> in_area % 64 & 1 &&
	    tn64_load_relaxed(areas) >> area % 64 & 1)
		return;
	tn64_or_relaxed(areas, 1ULL << area % 64);
	tn64_or_relaxed(pages, 1ULL << in_area % 64);
	tn_fence_compiler();
}
