/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Objects that several clients hold. */
#include "pool/lane.h"

/**
 * tn_share_make() - an object that the lane's client holds becomes shared,
 *                   with that client as its only holder
 *
 * Return: 0; -EINVAL, -EPERM; -ENOSPC: too many shared objects; -EAGAIN: the
 *         place was shared before, and that has not quite ended.
 */
int tn_share_make(struct tn_pool *pool, const struct tn_lane_ref *l,
		  uint64_t off);

/** tn_share_hold() - the lane's client becomes a holder, if it is none yet
 *  Return: 0; -EINVAL; -EPERM: nobody shares it (any more). */
int tn_share_hold(struct tn_pool *pool, const struct tn_lane_ref *l,
		  uint64_t off);

/**
 * tn_share_release() - a client is a holder no more
 * @slot: its slot: the lane's own, or, in tarnd, a dead client's
 *
 * Return: 0; 1: it was the last, and the object is now KEPT by the lane's
 *         client, who is to return it; -EINVAL; -EPERM: not a holder.
 */
int tn_share_release(struct tn_pool *pool, const struct tn_lane_ref *l,
		     uint64_t off, unsigned slot);

/** tn_share_resume() - end what a dead lane had under way: TN_OP_SHARE, HOLD
 *  or RELEASE. Return: 0 or -EUCLEAN. */
int tn_share_resume(struct tn_pool *pool, const struct tn_lane_ref *l);
