/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slabs.
 *
 *   page words   | SLAB class | SLAB class | SLAB class | SLAB class |
 *   slab word    | free count | lessee | class | state |
 *   tags         | 0 | c1 | kept c2 | 0 | POOL | ...      one a slot
 *
 * The tags are the truth: who holds a slot, and whether it is free. All else
 * is there to find free slots fast. A tag changes from 0 only in the hands
 * of the slab's lessee, and from HELD and KEPT only by the client it names
 * (or, when it is dead, by tarnd), by one plain aligned store. So no two want
 * to change one of these, and there is nothing to retry or repair. (The other
 * forms have rules of their own, and compare-and-swap: pool/hold.c.)
 *
 * A *lease* is one compare-and-swap on the slab word. It lasts while a lane
 * claims a batch of slots for its private magazine, or ends the slab, and no
 * longer: a lane that is stopped or killed in it keeps others from the free
 * slots of this one slab, and they take another. A slot goes 0 -> KEPT by
 * the claim, KEPT -> HELD by an allocation, HELD -> KEPT by a free, KEPT -> 0
 * when it is returned; the middle two happen in the client alone
 * (pool/magazine.h) and touch nothing but the tag.
 *
 * A slab can be a lane's *own*: its open word names the lane whose cursor is
 * there. Others leave it alone as long as there is another or a place for a
 * new one, so that what lanes hold, and its tags, lie in different cache lines;
 * they return slots to it as ever. (It is what SLUB calls frozen.) It is a
 * wish, not a right: whoever needs it leases it, and then it is nobody's. There
 * is none in the upper half of a pool, nor in a small one, which would fill too
 * early; and for a lane that takes few slots there is none.
 *
 * The free count is in the top of the slab word, so that a return, by
 * anybody, leased or not, is tag = 0 and then one addition.
 *
 * Where four slots side by side are all free, a claim tags them by one aligned
 * 8-byte store. Only the lessee changes a tag that is 0, so it overwrites
 * nothing of anybody's; a death leaves all four tagged or none.
 *
 * I1  count <= number of tags that are 0, but for what a recovery has added
 *     too much (see tn_slab_sweep); a claim never takes more than the count.
 *     So the count is never too small for long: whoever returned a slot is
 *     about to add it, and if he died, the sweep of his slabs counts anew.
 * I2  A slab ends only under a lease and after a look at every tag. With all
 *     tags 0 nobody can change one, for lack of a lease or of a slot. Who has
 *     stored a 0 but not added it yet finds the slab gone, and adds nothing;
 *     or finds it made anew, and has added too much.
 * I3  Hints: partial[page] in the area and the class's bit for the area are
 *     set when a slab is open with count > 0 and nobody's own. Whoever makes
 *     that true, by the store that does it, sets them. Whoever clears one that
 *     looks stale looks again afterwards.
 *
 * Who writes: slab word, by compare-and-swap or addition, anybody; page
 * words, the maker of the slab, before it can be found; tags, see above.
 *
 * Orderings:
 *   tag.free    the releaser's last look at a slot is before its next owner's
 *               first: tag = 0 is a release, the claimer's look an acquire
 *   slab.word   a lessee sees what the last one did; who is told of a slab
 *               by its word sees its page words
 *
 * Crash windows:
 *   C1 leased, some slots tagged KEPT, count not lowered: the sweep finds
 *      the lease and the tags, frees these, counts, opens the slab
 *   C2 tag = 0 stored, count not raised: the sweep counts anew
 *   C3 count raised from 0, or disowned, hints not set: the sweep sets them
 *   C4 a new slab half made, or an old one half ended: pool/run.c; nobody
 *      else can have found it
 *
 * What it does not do: keep an order of slabs by fullness. The hints are
 * searched from the lowest address, which keeps the live end low.
 */
#include "pool/slab.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "pool/cache.h"
#include "pool/fit.h"
#include "pool/handle.h"
#include "pool/lease.h"
#include "pool/run.h"
#include "pool/slabhint.h"

/* Four tags at a stroke: aligned, so one store. */
static void store_four(tn_a16 *tags, uint64_t four)
{
	__atomic_store_n((tn_tags4 *)(void *)tags, four, __ATOMIC_RELAXED);
}

#define FOUR_TIMES 0x0001000100010001ULL

/* Is any of the four 0? (The usual trick for a zero byte, on 16 bits.) */
static bool any_free(uint64_t four)
{ return (four - FOUR_TIMES) & ~four & FOUR_TIMES << 15; }

/* Claiming */

/* Who wants so many slots at once has been here before: for some, a slab of
 * their own would be too much. */
#define OWN_FROM 4U

/* What a claim has got: from @end downwards, so that the slots come out of it
 * in ascending order. */
struct claim {
	struct tn_slot *end;
	unsigned want;       /* more */
	uint16_t kept;
	uint64_t bytes;      /* of a slot */
};

static inline void got(struct claim *c, uint8_t *p, tn_a16 *tag)
{
	*--c->end = (struct tn_slot){ p, tag };
	c->want--;
}

/* Claims of four slots, of which @n exist, those that are free. */
static inline void claim_four(struct claim *c, tn_a16 *tags, uint8_t *first,
			      unsigned n)
{
	uint64_t four = tn_slab_four(tags);

	if (!four && n >= 4 && c->want >= 4) {
		store_four(tags, c->kept * FOUR_TIMES);
		got(c, first, &tags[0]);
		got(c, first + c->bytes, &tags[1]);
		got(c, first + 2 * c->bytes, &tags[2]);
		got(c, first + 3 * c->bytes, &tags[3]);
		return;
	}
	if (!any_free(four))
		return;
	for (unsigned i = 0; i < 4 && i < n && c->want; i++) {
		if (four >> 16 * i & 0xffff)
			continue;
		tn16_store_relaxed(&tags[i], c->kept);
		got(c, first + i * c->bytes, &tags[i]);
	}
}

/* Claims up to @want free slots of a slab that we have leased. */
static unsigned claim_slots(struct tn_pool *pool, const struct tn_lane_ref *l,
			    uint64_t page, const struct tn_shape *s,
			    uint32_t *from, struct tn_slot *out, unsigned want)
{
	uint8_t *base = pool->data + (page << TN_PAGE_SHIFT);
	unsigned at = *from < s->slots ? *from & ~3U : 0, seen = 0, n;
	struct claim c = {
		.end = out + want,
		.want = want,
		.kept = (uint16_t)(TN_TAG_KEPT | l->client),
		.bytes = s->bytes,
	};

	while (seen < s->slots && c.want) {
		tn_a16 *tags = tn_slab_tag(pool, page, at);

		n = tn_slab_in_line(s, at);
		for (unsigned i = 0; i < n && c.want; i += 4) {
			claim_four(&c, &tags[i],
				   base + (uint64_t)at * s->bytes, n - i);
			at += 4;
			seen += 4;
		}
		if (at >= s->slots)
			at = 0;
	}
	*from = at;
	if (c.want)
		memmove(out, c.end, (want - c.want) * sizeof(*out));
	return want - c.want;
}

static unsigned claim_leased(struct tn_pool *pool, const struct tn_lane_ref *l,
			     uint64_t page, unsigned class,
			     const struct tn_shape *s, uint64_t w,
			     struct tn_slab_cursor *cursor,
			     struct tn_slot *out, unsigned want)
{
	bool own = want >= OWN_FROM && tn_lease_may_own(pool, page, class, s);
	unsigned count = TN_SLAB_FREE(w), got;

	if (cursor->page_plus_1 != page + 1) {
		cursor->page_plus_1 = (uint32_t)page + 1;
		cursor->slot = 0;
	}
	if (want > count)
		want = count;
	got = claim_slots(pool, l, page, s, &cursor->slot, out, want);
	TN_CRASH("slab.claimed");
	/* fewer than the count says: a recovery had counted too many (I1) */
	tn_lease_end(pool, page, class, got < want ? count : got, 0,
		     own ? l : NULL);
	return got;
}

static unsigned group_of(unsigned class)
{
	return class < TN_CLASS_MOVABLE ? TN_GROUP_FIXED :
	       class < TN_CLASS_HANDLE ? TN_GROUP_MOVABLE : TN_GROUP_HANDLES;
}

/* The pages that have just been claimed become a slab, leased. Return: its
 * word. */
static uint64_t dress(struct tn_pool *pool, const struct tn_lane_ref *l,
		      unsigned class, const struct tn_shape *s, uint64_t page)
{
	uint64_t w = TN_SLAB_WORD(TN_SLAB_LEASED, class, l->client, l->index,
				  s->slots);

	tn_touch(pool, l->client, page);
	for (uint64_t i = 0; i < 1ULL << s->order; i++)
		tn64_store_relaxed(&pool->pages[page + i].word,
				   TN_PAGE_SLAB_WORD(class, i));
	/* HB> slab.word */
	tn64_store_release(&pool->pages[page].slab, w);
	TN_CRASH("slab.made");
	tn_lane_commit(l);
	return w;
}

/* A new slab, leased. Handles stay where they are for ever: so they lie dense,
 * whatever the pool's policy. */
static int make_slab(struct tn_pool *pool, const struct tn_lane_ref *l,
		     unsigned class, const struct tn_shape *s,
		     uint64_t *ret_page, uint64_t *ret_word)
{
	unsigned policy = class == TN_CLASS_HANDLE ? TN_FIRST_FIT
						   : pool->policy;
	int r = tn_run_take(pool, l, TN_OP_SLAB, 1ULL << s->order,
			    policy | TN_AMONG(group_of(class)), ret_page);

	if (r == 0)
		*ret_word = dress(pool, l, class, s, *ret_page);
	return r;
}

/* Leases a slab that the hints name; @thorough: any that there is. */
static bool lease_found(struct tn_pool *pool, const struct tn_lane_ref *l,
			unsigned class, const struct tn_shape *s, bool thorough,
			uint64_t *ret_page, uint64_t *ret_word)
{
	struct tn_hint_walk walk;

	tn_hint_walk_begin(&walk, class, thorough);
	while (tn_hint_walk_next(pool, &walk, ret_page))
		if (tn_lease(pool, l, *ret_page, class, s, ret_word))
			return true;
	return false;
}

/* Was a slab ended behind our back, and made anew by somebody for himself? */
static bool is_anothers(const struct tn_pool *pool,
			const struct tn_lane_ref *l, uint64_t page)
{
	uint64_t w = tn64_load_relaxed(&pool->pages[page].slab);

	return TN_SLAB_CLIENT(w) && !tn_slab_names(w, l);
}

/* Leases some slab of the class that has free slots: the last one, one that
 * the hints name, a new one, and before giving up one that no hint named, or
 * that is another's own. */
static bool lease_any(struct tn_pool *pool, const struct tn_lane_ref *l,
		      unsigned class, const struct tn_shape *s,
		      const struct tn_slab_cursor *cursor, uint64_t *ret_page,
		      uint64_t *ret_word)
{
	*ret_page = cursor->page_plus_1 - 1ULL;
	return (cursor->page_plus_1 && !is_anothers(pool, l, *ret_page) &&
		tn_lease(pool, l, *ret_page, class, s, ret_word)) ||
	       lease_found(pool, l, class, s, false, ret_page, ret_word) ||
	       make_slab(pool, l, class, s, ret_page, ret_word) == 0 ||
	       lease_found(pool, l, class, s, true, ret_page, ret_word);
}

unsigned tn_slab_claim(struct tn_pool *pool, const struct tn_lane_ref *l,
		       unsigned class, struct tn_slab_cursor *cursor,
		       struct tn_slot *out, unsigned want)
{
	const struct tn_shape *s = tn_cache_shape(pool, class);
	struct tn_slab_cursor was;
	uint64_t page, w;
	unsigned got = 0;

	/* A slab whose count was wrong gives none, and is right afterwards. */
	while (s && !got) {
		was = *cursor;
		if (!lease_any(pool, l, class, s, cursor, &page, &w))
			return 0;
		got = claim_leased(pool, l, page, class, s, w, cursor, out,
				   want);
		if (was.page_plus_1 != cursor->page_plus_1)
			tn_slab_retire(pool, l, class, &was);
	}
	return got;
}

/* In its own group a class's slabs lie by preference, and elsewhere if need be;
 * in another's only where there are such areas. */
static bool may_lie(const struct tn_pool *pool, uint64_t page, unsigned class,
		    unsigned group)
{ return group == group_of(class) || tn_fit_among(pool, page, group); }

/* A new slab as low as can be, leased, if that is below @end. */
static bool make_low(struct tn_pool *pool, const struct tn_lane_ref *l,
		     unsigned class, const struct tn_shape *s, unsigned group,
		     uint64_t end, uint64_t *ret_page, uint64_t *ret_word)
{
	const unsigned where = TN_FIRST_FIT | TN_AMONG(group);
	uint64_t n = 1ULL << s->order;

	while (tn_fit_find(pool, n, where, false, ret_page) &&
	       *ret_page + n <= end &&
	       may_lie(pool, *ret_page, class, group)) {
		tn_fit_group(pool, *ret_page, n, where);
		if (!tn_run_take_at(pool, l, TN_OP_SLAB, *ret_page, n))
			continue;
		*ret_word = dress(pool, l, class, s, *ret_page);
		return true;
	}
	return false;
}

/* Slots as low as can be, below @end, where slabs may_lie(). */
static unsigned claim_low(struct tn_pool *pool, const struct tn_lane_ref *l,
			  unsigned class, unsigned group, uint64_t end,
			  struct tn_slot *out, unsigned want)
{
	const struct tn_shape *s = tn_cache_shape(pool, class);
	struct tn_slab_cursor cursor = { 0 };
	struct tn_hint_walk walk;
	uint64_t page, w;
	unsigned got;

	tn_hint_walk_begin(&walk, class, false);
	while (tn_hint_walk_next(pool, &walk, &page) && page < end) {
		if (!may_lie(pool, page, class, group)) {
			walk.page = TN_AREA_PAGES; /* none in this area */
			continue;
		}
		if (!tn_lease(pool, l, page, class, s, &w))
			continue;
		got = claim_leased(pool, l, page, class, s, w, &cursor, out,
				   want);
		if (got)
			return got;
	}
	/* in a lower area, that is: within one it is no gain */
	end &= ~(uint64_t)(TN_AREA_PAGES - 1);
	if (!make_low(pool, l, class, s, group, end, &page, &w))
		return 0;
	return claim_leased(pool, l, page, class, s, w, &cursor, out, want);
}

unsigned tn_slab_claim_below(struct tn_pool *pool, const struct tn_lane_ref *l,
			     unsigned class, uint64_t end, struct tn_slot *out,
			     unsigned want)
{
	return claim_low(pool, l, class, group_of(class), end, out, want);
}

unsigned tn_slab_claim_among(struct tn_pool *pool, const struct tn_lane_ref *l,
			     unsigned class, unsigned group,
			     struct tn_slot *out, unsigned want)
{
	return claim_low(pool, l, class, group, UINT64_MAX, out, want);
}

/* Returning */

int tn_slab_retire(struct tn_pool *pool, const struct tn_lane_ref *l,
		   unsigned class, const struct tn_slab_cursor *cursor)
{
	const struct tn_shape *s = tn_cache_shape(pool, class);
	uint64_t w, page = cursor->page_plus_1 - 1ULL;

	if (!cursor->page_plus_1 || !s)
		return 0;
	tn_lease_disown(pool, l, page, class);
	w = tn64_load_relaxed(&pool->pages[page].slab);
	if (TN_SLAB_STATE(w) != TN_SLAB_OPEN || TN_SLAB_CLASS(w) != class ||
	    TN_SLAB_FREE(w) < s->slots)
		return 0;
	return tn_slab_end_if_empty(pool, l, page, class, s);
}

/* @n slots of one slab have had their tags cleared: count them. */
static int count_returned(struct tn_pool *pool, const struct tn_lane_ref *l,
			  uint64_t page, unsigned class,
			  const struct tn_shape *s, unsigned n, bool keep)
{
	tn_a64 *word = &pool->pages[page].slab;
	uint64_t w = tn64_load_relaxed(word);

	TN_CRASH("slab.return.cleared");
	do {
		/* a sweep may have counted these, and ended the slab since */
		if (TN_SLAB_STATE(w) == TN_SLAB_NONE ||
		    TN_SLAB_CLASS(w) != class)
			return 0;
		/* HB> slab.word; HB< slab.word */
	} while (!tn64_cas_acq_rel(word, &w, w + n * TN_SLAB_ONE_FREE));
	TN_CRASH("slab.return.counted");
	if (TN_SLAB_STATE(w) != TN_SLAB_OPEN)
		return 0; /* the lessee will see to it */
	if (!TN_SLAB_FREE(w)) /* so it was nobody's own */
		tn_hint_set(pool, page, class);
	if (TN_SLAB_FREE(w) + n >= s->slots && !keep)
		return tn_slab_end_if_empty(pool, l, page, class, s);
	return 0;
}

/* Clears the tags of those slots at the start of @slots that lie in one slab.
 * Return: how many. */
static unsigned clear_tags(const struct tn_pool *pool, uint64_t page,
			   const struct tn_shape *s,
			   const struct tn_slot *slots, unsigned n)
{
	uint64_t base = (uint64_t)(pool->data + (page << TN_PAGE_SHIFT));
	uint64_t bytes = TN_PAGE_BYTES << s->order;
	unsigned i;

	for (i = 0; i < n && (uint64_t)slots[i].p - base < bytes; i++)
		/* HB> tag.free */
		tn16_store_release(slots[i].tag, TN_TAG_FREE);
	return i;
}

int tn_slab_return(struct tn_pool *pool, const struct tn_lane_ref *l,
		   unsigned class, const struct tn_slot *slots, unsigned n,
		   const struct tn_slab_cursor *keep)
{
	const struct tn_shape *s = tn_cache_shape(pool, class);
	unsigned cleared;
	uint64_t page;
	int r;

	for (; n; slots += cleared, n -= cleared) {
		page = tn_pool_off(pool, slots->p) >> TN_PAGE_SHIFT;
		page &= ~0ULL << s->order;
		cleared = clear_tags(pool, page, s, slots, n);
		r = count_returned(pool, l, page, class, s, cleared,
				   keep->page_plus_1 == page + 1);
		if (r < 0)
			return r;
	}
	return 0;
}
