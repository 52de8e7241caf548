/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * A thread's private half of a lane: a rack of magazines. For each class there
 * is one, of slots that are free to this client alone.
 *
 *   alloc  pop a slot, tag = HELD        free  tag = KEPT, push the slot
 *
 * That is the whole usual path: one store to shared memory, plain, and none
 * that anybody waits for. An empty magazine is filled from a slab, a full one
 * gives its older half back (pool/slab.h).
 *
 * Nothing here is needed by anybody else. A process that is killed takes its
 * magazines with it, and the tags (HELD or KEPT by its client id) tell who
 * recovers it what was in them.
 */
#include "base/bits.h"
#include "pool/hold.h"
#include "pool/slab.h"

#define TN_MAG_SLOTS TN_CLAIM_MAX

struct tn_mag {
	struct tn_slot *top;   /* one past the youngest; 0 before first use */
	struct tn_slot *base;
	struct tn_slot *limit; /* full when top is here; = base: keep none */
	struct tn_slab_cursor cursor;
	uint32_t batch;        /* how many to claim at the next filling */
	uint32_t reserved;
};

/* All zero but for what comes before .mags, it is ready and empty. */
struct tn_rack {
	uint16_t held;         /* tags of this client */
	uint16_t kept;
	struct tn_lane_ref ref;
	struct tn_pool *pool;
	struct tn_mag mags[TN_N_CLASSES];
	struct tn_slot slots[TN_N_CLASSES][TN_MAG_SLOTS];
};

/* Fills a class's empty magazine; its first use prepares it. Return: 0;
 * -EINVAL (no such class); -ENOMEM: what the other magazines keep may help,
 * tn_rack_flush() and try again. */
int tn_rack_fill(struct tn_rack *rack, unsigned class);

/* Frees an object that is KEPT by the lane's client, of whatever kind.
 * Return: 0, -EINVAL (no such class), -EUCLEAN. */
int tn_rack_dispose(struct tn_rack *rack, void *p, const struct tn_object *obj);

/* Gives everything that is in the magazines back to the slabs. */
void tn_rack_flush(struct tn_rack *rack);

/* Takes the youngest slot of a magazine that is not empty. */
static inline void *tn_rack_pop(struct tn_rack *rack, struct tn_mag *m)
{
	struct tn_slot *s = m->top - 1;
	void *p = s->p;

	m->top = s;
	tn16_store_relaxed(s->tag, rack->held);
	return p;
}

/* The tag of a slot, from where it lies; NULL: none starts there. */
static inline tn_a16 *tn_tag_at(struct tn_pool *pool, unsigned class,
				uint64_t off, uint64_t back)
{
	uint64_t slot, in_slab = (off & (TN_PAGE_BYTES - 1)) |
				 back << TN_PAGE_SHIFT;

	if (!tn_shape_slot(&pool->shapes[class], in_slab, &slot))
		return NULL;
	return &pool->tags[tn_tag_index((off >> TN_PAGE_SHIFT) - back, slot)];
}

#define TN_ANY_CLASS (-1)

/*
 * Frees an object if that is simple: one comparison each for: the place is in
 * the pool; in a slab's page, of @class; there is room; a slot starts here; we
 * hold it. Return: false: nothing was done, something is not so.
 *
 * What was popped from the magazine last still stands there, just above its
 * top. If that is what comes back, its tag need not be computed again: the
 * same place in a slab of the same class has the same tag.
 */
static inline __attribute__((always_inline))
bool tn_rack_push(struct tn_rack *rack, struct tn_pool *pool, void *p,
		  int class)
{
	uint64_t off = tn_pool_off(pool, p), word;
	struct tn_slot *top;
	struct tn_mag *m;
	tn_a16 *tag;

	if (tn_unlikely(off >= pool->geo.data_bytes))
		return false;
	word = tn64_load_relaxed(&pool->pages[off >> TN_PAGE_SHIFT].word);
	if (tn_unlikely(TN_PAGE_KIND(word) != TN_PAGE_SLAB ||
			TN_PAGE_CLASS(word) >= TN_N_CLASSES ||
			(class != TN_ANY_CLASS &&
			 class != (int)TN_PAGE_CLASS(word))))
		return false;
	m = &rack->mags[TN_PAGE_CLASS(word)];
	top = m->top;
	if (tn_unlikely(top == m->limit))
		return false;
	tag = top->tag;
	if (top->p != p)
		tag = tn_tag_at(pool, TN_PAGE_CLASS(word), off,
				TN_PAGE_BACK(word));
	/* HELD by us, or GIVEN to us: nobody else changes either */
	/* HB< tag.hand */
	if (tn_unlikely(!tag || (tn16_load_acquire(tag) & ~TN_TAG_GIVEN) !=
				rack->held))
		return false;
	tn16_store_relaxed(tag, rack->kept);
	*top = (struct tn_slot){ p, tag };
	tn_fence_compiler(); /* a fork finds no slot that is not there yet */
	m->top = top + 1;
	return true;
}
