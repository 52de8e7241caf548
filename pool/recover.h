/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * What a dead client leaves behind, given back. Run by tarnd, in slices.
 */
#include "pool/lane.h"
#include "pool/pool.h"

#define TN_RECOVER_LATER 2

struct tn_recover {
	struct tn_pool *pool;
	uint8_t *control;     /* of the dead client, mapped writable */
	struct tn_lane_ref self; /* the lane of tarnd that does it */
	uint32_t client;      /* id of the dead */
	unsigned phase;
	uint64_t at;          /* lane, or area, where the next slice goes on */
	uint64_t page;        /* ... and page */
	bool kept;            /* in that area something was left */
	bool later;           /* something was left for another pass */
	uint64_t used;        /* of the slice's budget */
	const char *what;     /* on -EUCLEAN: what cannot be so, for the log */
	uint64_t where;       /* ... and of which lane, area or page */
	uint64_t freed_objects, freed_bytes; /* so far */
};

/**
 * tn_recover_begin() - get ready to recover a dead client of a pool
 * @control: its control file, mapped
 * @self: a lane in a control file of tarnd's own, for the steps it makes
 *
 * Between this and the first step comes a membarrier (GLOBAL_EXPEDITED), if
 * any other process may be giving to the client: pool/ makes no system calls.
 * The client must be dead for certain, or have promised (LEAVE) never to
 * touch the pool again. May be called again for the same client, from any
 * process, after a recovery that was cut short anywhere.
 */
void tn_recover_begin(struct tn_recover *r, struct tn_pool *pool,
		      void *control, uint32_t client,
		      struct tn_lane_ref self);

/**
 * tn_recover_step() - do a slice of the work
 * @budget: about how many slots and pages to look at
 *
 * Return: 1: there is more; TN_RECOVER_LATER: there is more, but a living
 *         client is in the way for the moment: call again after some
 *         milliseconds; 0: done, nothing in the pool names the client
 *         any more, but for what a giver is just taking back; -EUCLEAN: the
 *         files contradict themselves (.what and .where say how), poison the
 *         pool.
 */
int tn_recover_step(struct tn_recover *r, unsigned budget);
