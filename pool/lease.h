/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * A slab in a lane's hands: for slab.c, which takes leases to claim slots, and
 * sweep.c, which takes them to free what is there.
 */
#include "pool/cache.h"
#include "pool/slab.h"

static inline tn_a16 *tn_slab_tag(const struct tn_pool *pool, uint64_t page,
				  uint64_t slot)
{ return &pool->tags[tn_tag_index(page, slot)]; }

/* Four tags at a look: aligned, so one load. */
typedef uint64_t __attribute__((may_alias)) tn_tags4;
static inline uint64_t tn_slab_four(const tn_a16 *tags)
{
	/* HB< tag.free */
	return __atomic_load_n((const tn_tags4 *)(const void *)tags,
			       __ATOMIC_ACQUIRE);
}

/* The tags from slot @at on that lie side by side: how many. */
static inline unsigned tn_slab_in_line(const struct tn_shape *s, unsigned at)
{
	unsigned end = (at | ((1U << TN_BAND_SLOTS_SHIFT) - 1)) + 1;

	return (end < s->slots ? end : s->slots) - at;
}

/* Can a slab be there? What tells of one is a word that others can write. */
bool tn_slab_fits(const struct tn_pool *pool, uint64_t page, unsigned class,
		  const struct tn_shape *s);

/* Takes the lease of an open slab of the class that has free slots. Return:
 * false: it is none; else its word then. */
bool tn_lease(struct tn_pool *pool, const struct tn_lane_ref *l, uint64_t page,
	      unsigned class, const struct tn_shape *s, uint64_t *ret_word);

/* Ends a lease, with @taken slots fewer free and @extra more. @owner: whose own
 * the slab is from now on, if it has free slots; NULL: nobody's. Return: the
 * count then. */
unsigned tn_lease_end(struct tn_pool *pool, uint64_t page, unsigned class,
		      unsigned taken, unsigned extra,
		      const struct tn_lane_ref *owner);

/* Is a slab there to be a lane's own? */
bool tn_lease_may_own(const struct tn_pool *pool, uint64_t page,
		      unsigned class, const struct tn_shape *s);

/* Does a slab word name a lane, as lessee or as owner? */
static inline bool tn_slab_names(uint64_t word, const struct tn_lane_ref *l)
{
	return TN_SLAB_CLIENT(word) == l->client &&
	       TN_SLAB_LANE(word) == l->index;
}

/* It is our own no more, if it was. */
void tn_lease_disown(struct tn_pool *pool, const struct tn_lane_ref *l,
		     uint64_t page, unsigned class);

/* Ends a slab that we have leased, and that is empty. */
int tn_lease_end_slab(struct tn_pool *pool, const struct tn_lane_ref *l,
		      uint64_t page, unsigned class,
		      const struct tn_shape *s);

/* The count says that a slab is empty: look, and end it if it is. */
int tn_slab_end_if_empty(struct tn_pool *pool, const struct tn_lane_ref *l,
			 uint64_t page, unsigned class,
			 const struct tn_shape *s);
