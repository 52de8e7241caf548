/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Objects, by where they start, and who holds them. */
#include "pool/lane.h"

struct tn_object {
	tn_a16 *tag;
	uint64_t page;   /* of its slab or run, the first */
	uint64_t bytes;  /* usable */
	uint64_t pages;  /* of a run; 0: a slot */
	unsigned class;  /* of a slot */
};

/* Is it this client's, in whatever form? */
static inline bool tn_tag_names(uint16_t tag, uint32_t client)
{
	return tag && TN_TAG_FORM(tag) <= TN_TAG_LINK &&
	       TN_TAG_CLIENT(tag) == client;
}

/* Is it the dead client's; or, for it was one of the dead's, did an earlier
 * recovery, by @self, die with it in its hands? */
static inline bool tn_tag_orphan(uint16_t tag, uint32_t dead, uint32_t self)
{ return tn_tag_names(tag, dead) || tag == (TN_TAG_KEPT | self); }

/* What an orphan's tag becomes, the records of lanes being settled: free; or
 * the pool's, if a claim died that had noted nothing (tn_hold_resume()). */
static inline uint16_t tn_tag_left(uint16_t tag)
{ return TN_TAG_FORM(tag) == TN_TAG_LINK ? TN_TAG_POOL : TN_TAG_FREE; }

/**
 * tn_object_find() - what starts at an offset of data
 *
 * Return: 0; -EINVAL: nothing does (or nothing any more).
 */
int tn_object_find(struct tn_pool *pool, uint64_t off, struct tn_object *ret);

/**
 * tn_object_release() - make an object free to this client alone (KEPT)
 * @obj: of @off; held by this client, given to it, or held by the pool. What
 *       the pool holds may be another by the time it is ours: @obj then is it
 *
 * It is then the caller's to return: a slot by tn_slab_return() or into a
 * magazine, a run by tn_run_drop().
 *
 * Return: 0; -EALREADY: it is free; -EPERM: somebody else's; -EINVAL.
 */
int tn_object_release(struct tn_pool *pool, const struct tn_lane_ref *l,
		      uint64_t off, struct tn_object *obj);

/* The calls of the same names in tarn/tarn.h; refs already checked, @off
 * is the object's offset. Return 0, -EINVAL, -EPERM, and what is said there. */
int tn_hold_give(struct tn_pool *pool, const struct tn_lane_ref *l,
		 uint64_t off, uint32_t client);
int tn_hold_take(struct tn_pool *pool, const struct tn_lane_ref *l,
		 uint64_t off);

/* The same for who knows the tag already, and of a gift the first page. */
int tn_hold_give_found(struct tn_pool *pool, const struct tn_lane_ref *l,
		       uint64_t off, uint64_t page, tn_a16 *tag,
		       uint32_t client);
int tn_hold_take_found(struct tn_pool *pool, const struct tn_lane_ref *l,
		       uint64_t off, tn_a16 *tag);

int tn_hold_detach(struct tn_pool *pool, const struct tn_lane_ref *l,
		   uint64_t off);
int tn_hold_adopt(struct tn_pool *pool, const struct tn_lane_ref *l,
		  uint64_t off);

/* @word: an offset in data, 8-byte aligned */
int tn_hold_publish(struct tn_pool *pool, const struct tn_lane_ref *l,
		    uint64_t word, uint64_t off);

/** Return: the object's ref, or 0 */
uint64_t tn_hold_claim(struct tn_pool *pool, const struct tn_lane_ref *l,
		       uint64_t word);

/**
 * tn_hold_resume() - end what a dead lane was doing to an object
 * @l: the dead lane
 *
 * Its op must be TN_OP_GIVE, TN_OP_PUBLISH or TN_OP_CLAIM. What it leaves to
 * the dead client, the sweep settles. Return: 0 or -EUCLEAN.
 */
int tn_hold_resume(struct tn_pool *pool, const struct tn_lane_ref *l);
