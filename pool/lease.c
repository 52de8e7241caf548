/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Leases of slabs, how they end, and whose own a slab is then.
 *
 *          claim                  free slots, may be own
 *   OPEN --------> LEASED by a lane --------------------> OPEN, the lane's own
 *     |               |  |                                  |
 *     |               |  `------------------------------> OPEN  (disowned)
 *     `- a recovery --'   all tags 0: its pages go back
 *
 * Rules, orderings and crash windows are those of slab.c, whose half this is.
 */
#include "pool/lease.h"

#include "base/assert.h"
#include "pool/handle.h"
#include "pool/run.h"
#include "pool/slabhint.h"

bool tn_slab_fits(const struct tn_pool *pool, uint64_t page, unsigned class,
		 const struct tn_shape *s)
{
	return page % (1ULL << s->order) == 0 &&
	       tn_geo_has(&pool->geo, page, 1ULL << s->order) &&
	       tn_class_fits(pool, class, page);
}

bool tn_lease(struct tn_pool *pool, const struct tn_lane_ref *l, uint64_t page,
	      unsigned class, const struct tn_shape *s, uint64_t *ret_word)
{
	tn_a64 *word = &pool->pages[page].slab;
	uint64_t w = tn64_load_relaxed(word), leased;

	if (TN_SLAB_STATE(w) != TN_SLAB_OPEN || TN_SLAB_CLASS(w) != class ||
	    !TN_SLAB_FREE(w) || !tn_slab_fits(pool, page, class, s))
		return false;
	tn_touch(pool, l->client, page);
	leased = TN_SLAB_WORD(TN_SLAB_LEASED, class, l->client, l->index,
			      TN_SLAB_FREE(w));
	/* HB< slab.word */
	if (!tn64_cas_acquire(word, &w, leased))
		return false;
	TN_CRASH("slab.leased");
	*ret_word = leased;
	return true;
}

unsigned tn_lease_end(struct tn_pool *pool, uint64_t page, unsigned class,
		      unsigned taken, unsigned extra,
		      const struct tn_lane_ref *owner)
{
	tn_a64 *word = &pool->pages[page].slab;
	uint64_t w = tn64_load_relaxed(word), open;
	unsigned count;

	do {
		count = TN_SLAB_FREE(w) + extra - taken;
		/* clear first: a return that comes after sets it again */
		if (!count || owner)
			tn_hint_clear(pool, page);
		open = TN_SLAB_WORD(TN_SLAB_OPEN, class,
				    count && owner ? owner->client : 0,
				    count && owner ? owner->index : 0, count);
		/* HB> slab.word */
	} while (!tn64_cas_release(word, &w, open));
	TN_CRASH("slab.opened");
	if (count && !owner)
		tn_hint_set(pool, page, class);
	return count;
}

bool tn_lease_may_own(const struct tn_pool *pool, uint64_t page,
		      unsigned class, const struct tn_shape *s)
{
	return class < TN_CLASS_MOVABLE && page < pool->geo.n_pages / 2 &&
	       1ULL << s->order <= pool->geo.n_pages / 1024;
}

void tn_lease_disown(struct tn_pool *pool, const struct tn_lane_ref *l,
		     uint64_t page, unsigned class)
{
	tn_a64 *word = &pool->pages[page].slab;
	uint64_t w = tn64_load_relaxed(word), open;

	do {
		if (TN_SLAB_STATE(w) != TN_SLAB_OPEN ||
		    TN_SLAB_CLASS(w) != class || !tn_slab_names(w, l))
			return;
		open = TN_SLAB_WORD(TN_SLAB_OPEN, class, 0, 0,
				    TN_SLAB_FREE(w));
		/* HB> slab.word; HB< slab.word */
	} while (!tn64_cas_acq_rel(word, &w, open));
	TN_CRASH("slab.disowned");
	tn_hint_set(pool, page, class);
}

static unsigned count_free_in_line(const tn_a16 *tags, unsigned n)
{
	unsigned f = 0;

	for (unsigned i = 0; i < n; i += 4) {
		uint64_t four = tn_slab_four(&tags[i]);

		if (!four)
			f += n - i < 4 ? n - i : 4;
		for (unsigned k = 0; four && k < 4 && i + k < n; k++)
			f += !(four >> 16 * k & 0xffff);
	}
	return f;
}

static unsigned count_free(struct tn_pool *pool, uint64_t page,
			   const struct tn_shape *s)
{
	unsigned f = 0, n;

	for (unsigned at = 0; at < s->slots; at += n) {
		n = tn_slab_in_line(s, at);
		f += count_free_in_line(tn_slab_tag(pool, page, at), n);
	}
	return f;
}

int tn_lease_end_slab(struct tn_pool *pool, const struct tn_lane_ref *l,
		      uint64_t page, unsigned class,
		      const struct tn_shape *s)
{
	uint64_t n = 1ULL << s->order;

	tn_hint_clear(pool, page);
	if (class == TN_CLASS_HANDLE)
		tn_handle_end_slab(pool, page, n);
	return class < TN_CLASS_MOVABLE ?
	       tn_run_put(pool, l, TN_OP_SLAB, page, n) :
	       tn_run_drop(pool, l, TN_OP_SLAB, page, n);
}

int tn_slab_end_if_empty(struct tn_pool *pool, const struct tn_lane_ref *l,
			uint64_t page, unsigned class, const struct tn_shape *s)
{
	unsigned count, f, too_many;
	uint64_t w;

	while (tn_lease(pool, l, page, class, s, &w)) {
		count = TN_SLAB_FREE(w);
		f = count < s->slots ? count : count_free(pool, page, s);
		if (f == s->slots)
			return tn_lease_end_slab(pool, l, page, class, s);
		/* a recovery had counted too many (I1) */
		too_many = count > f ? count - f : 0;
		/* once more if the last slot came back during the lease */
		if (tn_lease_end(pool, page, class, too_many, 0, NULL) <
		    s->slots)
			break;
	}
	return 0;
}
