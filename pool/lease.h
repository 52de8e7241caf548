/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * A slab in a lane's hands. Between slab.c, which takes leases to claim slots,
 * and sweep.c, which takes them to free what is there.
 */
#include "pool/cache.h"
#include "pool/slab.h"

static inline tn_a16 *tn_slab_tag(const struct tn_pool *pool, uint64_t page,
				  uint64_t slot)
{ return &pool->tags[tn_tag_index(page, slot)]; }

/* Can a slab be there? What tells of one is a word that others can write. */
bool tn_slab_fits(const struct tn_pool *pool, uint64_t page, unsigned class,
		  const struct tn_shape *s);

/* Ends a lease, with @taken slots fewer free and @extra more. Return: the
 * count then. */
unsigned tn_lease_end(struct tn_pool *pool, uint64_t page, unsigned class,
		      unsigned taken, unsigned extra);

/* Ends a slab that we have leased, and that is empty. */
int tn_lease_end_slab(struct tn_pool *pool, const struct tn_lane_ref *l,
		      uint64_t page, unsigned class,
		      const struct tn_shape *s);

/* The count says that a slab is empty: look, and end it if it is. */
int tn_slab_end_if_empty(struct tn_pool *pool, const struct tn_lane_ref *l,
			 uint64_t page, unsigned class,
			 const struct tn_shape *s);
