/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Handles: names for objects that may be moved. See handle.c. */
#include "pool/hold.h"

static inline struct tn_handle *tn_handle_at(const struct tn_pool *pool,
					     uint64_t idx)
{ return &pool->handles[idx]; }

/* The handle whose place in page space is @off; it must be one. */
static inline uint64_t tn_handle_idx(const struct tn_pool *pool, uint64_t off)
{ return (off - (pool->geo.handle_page << TN_PAGE_SHIFT)) >> 4; }

/* The back link of an object, beside its tag. */
static inline tn_a32 *tn_handle_back(const struct tn_pool *pool,
				     const tn_a16 *tag)
{ return &pool->backs[tag - pool->tags]; }

/* A place that may be used as it is: LIVE, and nobody died writing it. */
static inline bool tn_handle_plain(uint64_t place)
{ return place >> 61 == TN_HANDLE_LIVE << 1; }

/**
 * tn_handle_bind() - an object gets a handle, which becomes LIVE
 * @off: a slot of TN_CLASS_HANDLE, HELD by the lane's client
 * @obj: a slot of a movable class or a run, at @to, KEPT or HELD by it
 *
 * Return: the ref; 0: the handle is worn, and has been left to the pool.
 */
uint64_t tn_handle_bind(struct tn_pool *pool, uint64_t off,
			const struct tn_object *obj, uint64_t to);

/**
 * tn_handle_unbind() - the object of a handle that is KEPT by the lane's
 *                      client becomes KEPT by it, too
 *
 * From here on the ref is stale. Return: 0, and the object and its place;
 * -ENOENT: it has none; -EUCLEAN.
 */
int tn_handle_unbind(struct tn_pool *pool, const struct tn_lane_ref *l,
		     uint64_t off, struct tn_object *ret, uint64_t *ret_off);

/**
 * tn_handle_drop() - free the object of a handle whose holder is dead
 * @l: the lane of tarnd that does it, in whose hands (KEPT) the handle is
 * @dead: whose pages a recovery that is cut short looks at again
 *
 * Idempotent. Return: 0 or -EUCLEAN.
 */
int tn_handle_drop(struct tn_pool *pool, const struct tn_lane_ref *l,
		   uint64_t off, uint32_t dead);

/** tn_handle_end_slab() - a slab of handles is about to end: none that is made
 *  there later may have a number that one of these has had */
void tn_handle_end_slab(struct tn_pool *pool, uint64_t page, uint64_t n);

/** tn_handle_torn() - its writer died: the next one to pin it is told */
void tn_handle_torn(struct tn_pool *pool, uint64_t ref);

/** tn_handle_told() - ... and this one has been. Return: was there anything? */
bool tn_handle_told(struct tn_pool *pool, uint64_t idx);

/** tn_handle_keep() - undo a move of it that is under way, if one is.
 *  Return: the place then. */
uint64_t tn_handle_keep(struct tn_pool *pool, uint64_t idx);
