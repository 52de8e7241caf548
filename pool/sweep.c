/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What tarnd does to slabs of others: free in them what a dead client held,
 * and empty them.
 *
 * Both lease the slab, so that nobody allocates there meanwhile. Its clients
 * go on freeing: they store their tags and add to the count, as in any lease.
 * The rules and crash windows are those of slab.c. What is freed here is first
 * put into our hands (KEPT by tarnd), and a tarnd that dies with something
 * there is swept like a client.
 */
#include "pool/lease.h"

#include <errno.h>

#include "base/assert.h"
#include "pool/handle.h"
#include "pool/share.h"

/* Not recovered yet, so a lease of its is one. What was so when a slice began
 * is so until it ends: a lessee's recovery would be in its way. */
static bool is_client(const struct tn_pool *pool, unsigned id)
{
	const tn_a64 *word = &pool->clients[TN_CLIENT_SLOT(id)].state;
	uint64_t state = tn64_load_relaxed(word);

	return id && (state == (TN_CLIENT_ALIVE | id) ||
		      state == (TN_CLIENT_DEAD | id));
}

/*
 * A lease of the dead's, or of an earlier tarnd's, is taken over. Where there
 * is no slab, one is being made or ended by a living client, or was ended:
 * all tags were 0 then, and there is nothing of the dead's.
 *
 * Return: 1: leased; 0: nothing is there; -EAGAIN: leased by another client;
 * -EUCLEAN: leased by nobody.
 */
static int lease_for_sweep(struct tn_pool *pool, const struct tn_lane_ref *l,
			   uint64_t page, uint32_t dead, uint64_t *ret_word)
{
	tn_a64 *word = &pool->pages[page].slab;
	uint64_t w = tn64_load_relaxed(word);
	unsigned lessee;

	do {
		if (TN_SLAB_STATE(w) == TN_SLAB_NONE)
			return 0;
		lessee = TN_SLAB_CLIENT(w);
		if (TN_SLAB_STATE(w) != TN_SLAB_OPEN && lessee != dead &&
		    lessee != l->client)
			return is_client(pool, lessee) ? -EAGAIN : -EUCLEAN;
		*ret_word = TN_SLAB_WORD(TN_SLAB_LEASED, TN_SLAB_CLASS(w),
					 l->client, l->index, TN_SLAB_FREE(w));
		/* HB< slab.word */
	} while (!tn64_cas_acquire(word, &w, *ret_word));
	return 1;
}

/*
 * Counts anew: @f tags were 0 in one look, during which others may have
 * returned slots and added them. What they added is in the look, or is not:
 * so it is added, and may be counted twice. Too much is found out by the
 * next claim that goes all round (I1); too little would be lost.
 */
static unsigned open_counted(struct tn_pool *pool, uint64_t page,
			     unsigned class, const struct tn_shape *s,
			     uint64_t leased, unsigned f)
{
	uint64_t w = tn64_load_relaxed(&pool->pages[page].slab);
	unsigned since = TN_SLAB_FREE(w) - TN_SLAB_FREE(leased);
	unsigned count = f + since < s->slots ? f + since : s->slots;

	return tn_lease_end(pool, page, class, TN_SLAB_FREE(w), count, NULL);
}

/* A slot of the dead's that is in our hands (KEPT). Return: 1 or -EUCLEAN */
static int free_swept(struct tn_pool *pool, const struct tn_lane_ref *l,
		      uint64_t off, unsigned class, tn_a16 *tag, uint32_t dead)
{
	if (class == TN_CLASS_HANDLE && tn_handle_drop(pool, l, off, dead) < 0)
		return -EUCLEAN;
	/* HB> tag.free */
	tn16_store_release(tag, TN_TAG_FREE);
	return 1;
}

/* One slot of a slab that we have leased. Return: is it free now? -EUCLEAN */
static int sweep_slot(struct tn_pool *pool, const struct tn_lane_ref *l,
		      uint64_t page, unsigned class, unsigned i,
		      const struct tn_shape *s, uint32_t dead,
		      uint64_t *ret_freed)
{
	tn_a16 *tag = tn_slab_tag(pool, page, i);
	uint64_t off = (page << TN_PAGE_SHIFT) + (uint64_t)i * s->bytes;
	uint16_t ours = (uint16_t)(TN_TAG_KEPT | l->client);
	/* HB< tag.free */
	uint16_t t = tn16_load_acquire(tag), left;

	if (t == TN_TAG_SHARED &&
	    tn_share_release(pool, l, off, TN_CLIENT_SLOT(dead)) == 1) {
		*ret_freed += 1;
		return free_swept(pool, l, off, class, tag, dead);
	}
	/* a giver may be taking back what he gave to the dead */
	while (tn_tag_orphan(t, dead, l->client)) {
		left = tn_tag_left(t);
		/* HB> tag.free; HB< tag.free */
		if (!tn16_cas_acq_rel(tag, &t, left ? left : ours))
			continue;
		if (left)
			return 0;
		*ret_freed += TN_TAG_FORM(t) != TN_TAG_KEPT;
		return free_swept(pool, l, off, class, tag, dead);
	}
	return !t;
}

int tn_slab_sweep(struct tn_pool *pool, const struct tn_lane_ref *l,
		  uint64_t page, uint32_t dead, uint64_t *ret_freed)
{
	const struct tn_shape *s;
	uint64_t leased;
	unsigned f = 0, class;
	int r = lease_for_sweep(pool, l, page, dead, &leased);

	if (r <= 0)
		return r == -EAGAIN ? 1 : r;
	/* now it stays what it is */
	class = TN_SLAB_CLASS(leased);
	s = class < TN_N_CLASSES ? tn_cache_shape(pool, class) : NULL;
	if (!s || !tn_slab_fits(pool, page, class, s) ||
	    tn64_load_relaxed(&pool->pages[page].word) !=
	    TN_PAGE_SLAB_WORD(class, 0))
		return -EUCLEAN;
	for (unsigned i = 0; i < s->slots; i++) {
		r = sweep_slot(pool, l, page, class, i, s, dead, ret_freed);
		if (r < 0)
			return r;
		f += (unsigned)r;
	}
	TN_CRASH("slab.swept");
	if (f == s->slots)
		return tn_lease_end_slab(pool, l, page, class, s);
	if (open_counted(pool, page, class, s, leased, f) >= s->slots)
		return tn_slab_end_if_empty(pool, l, page, class, s);
	return 0;
}

bool tn_slab_drain(struct tn_pool *pool, const struct tn_lane_ref *l,
		   uint64_t page, unsigned class)
{
	const struct tn_shape *s = tn_cache_shape(pool, class);
	tn_a64 *word = &pool->pages[page].slab;
	uint64_t w = tn64_load_relaxed(word);

	if (!s || !tn_slab_fits(pool, page, class, s))
		return false;
	tn_touch(pool, l->client, page);
	do {
		if (TN_SLAB_STATE(w) != TN_SLAB_OPEN ||
		    TN_SLAB_CLASS(w) != class)
			return false;
		/* HB< slab.word */
	} while (!tn64_cas_acquire(word, &w,
				   TN_SLAB_WORD(TN_SLAB_LEASED, class,
						l->client, l->index,
						TN_SLAB_FREE(w))));
	TN_CRASH("slab.drain");
	return true;
}

int tn_slab_drained(struct tn_pool *pool, const struct tn_lane_ref *l,
		    uint64_t page, unsigned class, unsigned freed)
{
	const struct tn_shape *s = tn_cache_shape(pool, class);

	if (tn_lease_end(pool, page, class, 0, freed, NULL) < s->slots)
		return 0;
	return tn_slab_end_if_empty(pool, l, page, class, s);
}
