/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Slabs: runs cut into slots, where objects of up to 32 KiB come from. */
#include "pool/lane.h"

/* A slot in a lane's hands: free, and this client's (TN_TAG_KEPT). */
struct tn_slot {
	void *p;
	tn_a16 *tag;
};

/* Where a lane took slots of a class last; private, and only a hint. */
struct tn_slab_cursor {
	uint32_t page_plus_1; /* the slab; 0: none */
	uint32_t slot;        /* where to go on in it */
};

#define TN_CLAIM_MAX 512U

/**
 * tn_slab_claim() - get free slots of a class, from a slab old or new
 * @out: the slots, the one with the lowest address last
 * @want: at most how many; 1 to TN_CLAIM_MAX
 *
 * Return: how many, at least 1; 0: the pool is full.
 */
unsigned tn_slab_claim(struct tn_pool *pool, const struct tn_lane_ref *l,
		       unsigned class, struct tn_slab_cursor *cursor,
		       struct tn_slot *out, unsigned want);

/** tn_slab_claim_below() - the same, from slabs below page @end alone, the
 *  lowest first; a new one only in a lower area. Return: how many; 0: there is
 *  no place */
unsigned tn_slab_claim_below(struct tn_pool *pool, const struct tn_lane_ref *l,
			     unsigned class, uint64_t end, struct tn_slot *out,
			     unsigned want);

/**
 * tn_slab_claim_among() - as tn_slab_claim(), in areas of a group
 * @group: not the class's own
 *
 * In one that is free, if need be, which is the group's then; never in another
 * group's. Return: how many; 0: there is no such place.
 */
unsigned tn_slab_claim_among(struct tn_pool *pool, const struct tn_lane_ref *l,
			     unsigned class, unsigned group,
			     struct tn_slot *out, unsigned want);

/**
 * tn_slab_return() - give slots back to their slabs
 * @slots: of @class, tags TN_TAG_KEPT by this client; grouped by slab is
 *         cheaper
 *
 * Slabs that have become empty go back to the page layer, but for @keep's.
 * Return: 0 or -EUCLEAN.
 */
int tn_slab_return(struct tn_pool *pool, const struct tn_lane_ref *l,
		   unsigned class, const struct tn_slot *slots, unsigned n,
		   const struct tn_slab_cursor *keep);

/** tn_slab_retire() - give the slab at a cursor back if it is empty */
int tn_slab_retire(struct tn_pool *pool, const struct tn_lane_ref *l,
		   unsigned class, const struct tn_slab_cursor *cursor);

/**
 * tn_slab_sweep() - free what a dead client holds in a slab, and put right
 *                   what it may have left half done there
 * @l: the lane of tarnd that does it
 * @ret_freed: raised by the number of objects it held
 *
 * Return: 0; 1: another client has the slab leased, try again; -EUCLEAN.
 */
int tn_slab_sweep(struct tn_pool *pool, const struct tn_lane_ref *l,
		  uint64_t page, uint32_t dead, uint64_t *ret_freed);

/**
 * tn_slab_drain() - lease a slab, full or not, to take objects out of it
 *
 * Return: false: it is no slab of the class any more, or leased.
 */
bool tn_slab_drain(struct tn_pool *pool, const struct tn_lane_ref *l,
		   uint64_t page, unsigned class);

/** tn_slab_drained() - end that; @freed tags have been set to 0, and are not
 *  counted yet. An empty slab goes back. Return: 0 or -EUCLEAN. */
int tn_slab_drained(struct tn_pool *pool, const struct tn_lane_ref *l,
		    uint64_t page, unsigned class, unsigned freed);
