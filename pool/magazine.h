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

#define TN_MAG_SLOTS 1024U /* one more than a magazine ever holds */

/* A cache line. All zero before first use, when it is empty and full. */
struct tn_mag {
	struct tn_slot *top;   /* one past the youngest */
	struct tn_slot *base;
	struct tn_slot *limit; /* full when top is here; = base: keep none */
	uint64_t recip;        /* of the class's shape */
	struct tn_slab_cursor cursor;
	uint32_t batch;        /* how many to claim at the next filling */
	uint32_t most;         /* slots; how far the limit may grow */
	uint32_t slab_bytes;   /* of a slab's slots together */
	uint32_t filled;       /* since it was full last */
	uint32_t reserved[2];
};

/*
 * The slab that a slot came back to last, and what it takes to find the tag
 * of another slot there. All of it holds as long as the slab's first page says
 * what it said: slabs start at multiples of their size, so if a slab of this
 * class is there, it is cut as that one was.
 */
struct tn_near {
	uint8_t *data;
	uint64_t bytes;        /* of its slots together; 0: there is none */
	tn_a64 *word;          /* of its first page */
	uint64_t seen;         /* what that was */
	uint64_t recip;
	tn_a16 *tags;          /* of slot 0 */
	struct tn_mag *mag;
};

/* All zero but for what comes before .last, it is ready and empty. */
struct tn_rack {
	struct tn_pool *pool;
	struct tn_lane_ref ref;
	uint16_t held;         /* tags of this client */
	uint16_t kept;
	uint32_t last;         /* the page of the slab freed to last */
	struct tn_near near;
	_Alignas(64) struct tn_mag mags[TN_N_CLASSES];
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

#define TN_ANY_CLASS (-1)

static inline __attribute__((always_inline))
bool tn_rack_holds(const struct tn_rack *rack, const tn_a16 *tag)
{
	/* HB< tag.hand */
	uint16_t t = tn16_load_acquire(tag);

	/* HELD by us, or GIVEN to us: nobody else changes either */
	return tn_likely(t == rack->held) || (t & ~TN_TAG_GIVEN) == rack->held;
}

static inline __attribute__((always_inline))
void tn_rack_put(struct tn_rack *rack, struct tn_mag *m, struct tn_slot slot)
{
	tn16_store_relaxed(slot.tag, rack->kept);
	*m->top = slot;
	tn_fence_compiler(); /* a fork finds no slot that is not there yet */
	m->top++;
}

/*
 * Frees an object of the slab that the last one came from, of @class. Return:
 * false: it is none, or not so simple, and nothing was done.
 *
 * What was popped from the magazine last still stands there, at its top. If
 * that is what comes back, its tag need not be computed: the same place in a
 * slab of the same class has the same tag. (At the limit stands nothing.)
 */
static inline __attribute__((always_inline))
bool tn_rack_push_near(struct tn_rack *rack, void *p, int class)
{
	const struct tn_near *near = &rack->near;
	uint64_t in_slab = (uint64_t)((uint8_t *)p - near->data), slot;
	struct tn_mag *m = near->mag;
	struct tn_slot *top;
	tn_a16 *tag;

	if (tn_unlikely(in_slab >= near->bytes ||
			tn64_load_relaxed(near->word) != near->seen))
		return false;
	if (class != TN_ANY_CLASS && m != &rack->mags[class])
		return false;
	top = m->top;
	if (tn_likely(top->p == p)) {
		tag = top->tag;
		if (tn_unlikely(!tn_rack_holds(rack, tag)))
			return false;
		tn16_store_relaxed(tag, rack->kept);
		tn_fence_compiler();
		m->top = top + 1;
		return true;
	}
	slot = (uint64_t)((unsigned __int128)in_slab * near->recip >> 64);
	tag = near->tags + tn_tag_index(0, slot);
	if (tn_unlikely(top == m->limit ||
			in_slab * near->recip >= near->recip ||
			!tn_rack_holds(rack, tag)))
		return false;
	tn_rack_put(rack, m, (struct tn_slot){ p, tag });
	return true;
}

/* Remembers a slab that two in a row came back to. A fork in the middle finds
 * none. */
static inline __attribute__((always_inline))
void tn_rack_note(struct tn_rack *rack, struct tn_mag *m, uint64_t page)
{
	struct tn_near *near = &rack->near;
	struct tn_pool *pool = rack->pool;

	if (rack->last == (uint32_t)page) {
		near->bytes = 0;
		tn_fence_compiler();
		near->data = pool->data + (page << TN_PAGE_SHIFT);
		near->word = &pool->pages[page].word;
		near->seen = TN_PAGE_SLAB_WORD(m - rack->mags, 0);
		near->recip = m->recip;
		near->tags = &pool->tags[tn_tag_index(page, 0)];
		near->mag = m;
		tn_fence_compiler();
		near->bytes = m->slab_bytes;
	}
	rack->last = (uint32_t)page;
}

/*
 * Frees an object if that is simple: one comparison each for: the place is in
 * the pool; in a slab's page, of @class; there is room; a slot starts here; we
 * hold it. Return: false: nothing was done, something is not so.
 */
static inline __attribute__((always_inline))
bool tn_rack_push(struct tn_rack *rack, struct tn_pool *pool, void *p,
		  int class)
{
	uint64_t off = tn_pool_off(pool, p), page = off >> TN_PAGE_SHIFT;
	uint64_t word, in_slab, slot;
	struct tn_mag *m;
	tn_a16 *tag;

	if (tn_unlikely(off >= pool->geo.data_bytes))
		return false;
	word = tn64_load_relaxed(&pool->pages[page].word);
	if (tn_unlikely(TN_PAGE_KIND(word) != TN_PAGE_SLAB ||
			TN_PAGE_CLASS(word) >= TN_N_CLASSES ||
			(class != TN_ANY_CLASS &&
			 class != (int)TN_PAGE_CLASS(word))))
		return false;
	m = &rack->mags[TN_PAGE_CLASS(word)];
	page -= TN_PAGE_BACK(word);
	in_slab = off - (page << TN_PAGE_SHIFT);
	if (tn_unlikely(m->top == m->limit || in_slab >= m->slab_bytes ||
			in_slab * m->recip >= m->recip))
		return false;
	slot = (uint64_t)((unsigned __int128)in_slab * m->recip >> 64);
	tag = &pool->tags[tn_tag_index(page, slot)];
	if (tn_unlikely(!tn_rack_holds(rack, tag)))
		return false;
	tn_rack_put(rack, m, (struct tn_slot){ p, tag });
	tn_rack_note(rack, m, page);
	return true;
}
