/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * A thread's private half of a lane: a rack of magazines. For each class there
 * is one, of slots that are free to this client alone; and for whole pages a
 * cache of short runs (pool/runcache.h).
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
 *
 * A magazine has so many bytes of its own. What one that is much used has
 * beyond, and the runs, share a bound: in all a thread keeps TN_RACK_ROOM at
 * most to itself, and what is the classes' own.
 */
#include "base/bits.h"
#include "pool/hold.h"
#include "pool/slab.h"

#define TN_MAG_SLOTS 1024U /* one more than a magazine ever holds */
#define TN_RACK_ROOM ((uint64_t)4 << 20) /* bytes; less in small pools */

/* A cache line. All zero before first use, when it is empty and full. */
struct tn_mag {
	struct tn_slot *top;   /* one past the youngest */
	struct tn_slot *base;
	struct tn_slot *limit; /* full when top is here; = base: keep none */
	uint64_t recip;        /* of the class's shape */
	struct tn_slab_cursor cursor;
	uint32_t batch;        /* how many to claim at the next filling */
	uint32_t own;          /* slots; a limit beyond costs .runs.room */
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

/* What a free looks at first is a cache line. */
struct tn_rack {
	_Alignas(64) struct tn_near near;
	uint16_t held;         /* tags of this client */
	uint16_t kept;
	uint32_t last;         /* the page of the slab freed to last */
	struct tn_pool *pool;
	struct tn_lane_ref ref;
	uint64_t room;         /* bytes: what .runs.room is if none is used */
	uint32_t refused;      /* how often a limit was not to grow */
	uint32_t victim;       /* whose was lowered for others last, plus 1 */
	struct tn_run_cache runs;
	_Alignas(64) struct tn_mag mags[TN_N_CLASSES];
	uint32_t runs_at[TN_RUN_CACHE_PAGES + 1][TN_RUN_CACHE_DEPTH];
	struct tn_slot slots[TN_N_CLASSES][TN_MAG_SLOTS];
};

/* A lane's private half, all zero or as the lane had it last, is ready for its
 * thread. @bytes: of the pool, or what it may grow to. */
void tn_rack_start(struct tn_rack *rack, struct tn_pool *pool,
		   const struct tn_lane_ref *ref, uint64_t bytes);

/* Fills a class's empty magazine; its first use prepares it. Return: 0;
 * -EINVAL (no such class); -ENOMEM: what the other magazines keep may help,
 * tn_rack_flush() and try again. */
int tn_rack_fill(struct tn_rack *rack, unsigned class);

/* Frees an object that is KEPT by the lane's client, of whatever kind.
 * Return: 0, -EINVAL (no such class), -EUCLEAN. */
int tn_rack_dispose(struct tn_rack *rack, void *p, const struct tn_object *obj);

/* The same of what had a handle, or was to: a run lies among what can be moved,
 * and is not kept. */
int tn_rack_dispose_movable(struct tn_rack *rack, void *p,
			    const struct tn_object *obj);

/* Gives back all that the thread keeps, slots and runs. */
void tn_rack_flush(struct tn_rack *rack);

/* Keeps nothing any more, and gives nothing back: for who has had the tags
 * looked through, or is going to. */
void tn_rack_forget(struct tn_rack *rack);

/* Remembers the slab at a page, whose word is that of one. Return: 0 */
int tn_rack_note(struct tn_rack *rack, uint64_t page);

/* Takes the youngest slot of a magazine that is not empty. */
static inline void *tn_rack_pop(struct tn_rack *rack, struct tn_mag *m)
{
	struct tn_slot *s = m->top - 1;
	void *p = s->p;

	m->top = s;
	tn16_store_relaxed(s->tag, rack->held);
	return p;
}

/* Takes the youngest run of @n pages that is kept; NULL: there is none. */
static inline void *tn_rack_pop_run(struct tn_rack *rack, uint64_t n)
{
	struct tn_pool *pool = rack->pool;
	uint64_t page;

	if (!tn_run_cache_has(&rack->runs, n))
		return NULL;
	page = tn_run_cache_pop(&rack->runs, n);
	tn16_store_relaxed(&pool->tags[tn_tag_index(page, 0)], rack->held);
	return pool->data + (page << TN_PAGE_SHIFT);
}

#define TN_ANY_CLASS (-1)
#define TN_RUNS_ONLY (-2)

static inline __attribute__((always_inline))
bool tn_rack_holds(const struct tn_rack *rack, const tn_a16 *tag)
{
	/* HB< tag.hand */
	uint16_t t = tn16_load_acquire(tag);

	/* HELD by us, or GIVEN to us: nobody else changes either */
	return tn_likely(t == rack->held) || (t & ~TN_TAG_GIVEN) == rack->held;
}

static inline __attribute__((always_inline))
void tn_rack_put(struct tn_rack *rack, struct tn_mag *m, struct tn_slot *top,
		 struct tn_slot slot)
{
	tn16_store_relaxed(slot.tag, rack->kept);
	*top = slot;
	tn_fence_compiler(); /* a fork finds no slot that is not there yet */
	m->top = top + 1;
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
	uint64_t in_slab = (uint64_t)((uint8_t *)p - near->data);
	unsigned __int128 quotient;
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
	quotient = (unsigned __int128)in_slab * near->recip;
	tag = near->tags + tn_tag_index(0, (uint64_t)(quotient >> 64));
	if (tn_unlikely(top == m->limit ||
			(uint64_t)quotient >= near->recip ||
			!tn_rack_holds(rack, tag)))
		return false;
	tn_rack_put(rack, m, top, (struct tn_slot){ p, tag });
	return true;
}

/*
 * Finds the tag of an object in a slab, as the two above do it: by what was
 * popped last, or by computing it. Return: false: it is not so simple.
 */
static inline __attribute__((always_inline))
bool tn_rack_find(const struct tn_rack *rack, const struct tn_pool *pool,
		  uint64_t off, uint64_t *ret_page, tn_a16 **ret_tag)
{
	uint64_t page = off >> TN_PAGE_SHIFT, in_slab;
	/* @off is in data or in handles: their words lie side by side */
	uint64_t word = tn64_load_relaxed(&pool->pages[page].word);
	unsigned __int128 quotient;
	const struct tn_mag *m;

	if (tn_unlikely(TN_PAGE_KIND(word) != TN_PAGE_SLAB ||
			TN_PAGE_CLASS(word) >= TN_N_CLASSES))
		return false;
	m = &rack->mags[TN_PAGE_CLASS(word)];
	page -= TN_PAGE_BACK(word);
	*ret_page = page;
	if (tn_unlikely(!m->base))
		return false;
	if (tn_likely(m->top->p == pool->data + off)) {
		*ret_tag = m->top->tag;
		return true;
	}
	in_slab = off - (page << TN_PAGE_SHIFT);
	quotient = (unsigned __int128)in_slab * m->recip;
	*ret_tag = &pool->tags[tn_tag_index(page, (uint64_t)(quotient >> 64))];
	return in_slab < m->slab_bytes && (uint64_t)quotient < m->recip;
}

/*
 * Frees an object if that is simple: one comparison each for: the place is in
 * the pool; in a slab's page, of @class; there is room; a slot starts here; we
 * hold it. Return: false: nothing was done, something is not so. If it was,
 * tn_rack_pushed() comes next, with the slab's first page.
 */
static inline __attribute__((always_inline))
bool tn_rack_push_far(struct tn_rack *rack, struct tn_pool *pool, void *p,
		      int class, uint64_t *ret_page)
{
	uint64_t off = tn_pool_off(pool, p), page = off >> TN_PAGE_SHIFT;
	unsigned __int128 quotient;
	uint64_t word, in_slab;
	struct tn_slot *top;
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
	top = m->top;
	in_slab = off - (page << TN_PAGE_SHIFT);
	quotient = (unsigned __int128)in_slab * m->recip;
	if (tn_unlikely(top == m->limit || in_slab >= m->slab_bytes ||
			(uint64_t)quotient >= m->recip))
		return false;
	tag = &pool->tags[tn_tag_index(page, (uint64_t)(quotient >> 64))];
	if (tn_unlikely(!tn_rack_holds(rack, tag)))
		return false;
	tn_rack_put(rack, m, top, (struct tn_slot){ p, tag });
	*ret_page = page;
	return true;
}

/* If two in a row came back to a slab, the next may, too. A function of its own
 * because a call in the middle of the one above would cost it registers: as the
 * last thing that a caller does it costs nothing. Return: 0 */
static inline __attribute__((always_inline))
int tn_rack_pushed(struct tn_rack *rack, uint64_t page)
{
	if (tn_unlikely(rack->last == (uint32_t)page))
		return tn_rack_note(rack, page);
	rack->last = (uint32_t)page;
	return 0;
}

/* The same for a run: it is short, and there is room to keep it. */
static inline __attribute__((always_inline))
bool tn_rack_push_run(struct tn_rack *rack, struct tn_pool *pool, void *p)
{
	uint64_t off = tn_pool_off(pool, p), page = off >> TN_PAGE_SHIFT;
	uint64_t word, n;
	tn_a16 *tag;

	if (tn_unlikely(off >= pool->geo.data_bytes || off % TN_PAGE_BYTES))
		return false;
	word = tn64_load_relaxed(&pool->pages[page].word);
	n = TN_PAGE_PAGES(word);
	tag = &pool->tags[tn_tag_index(page, 0)];
	if (tn_unlikely(TN_PAGE_KIND(word) != TN_PAGE_RUN ||
			n > pool->geo.n_pages - page ||
			!tn_run_cache_takes(&rack->runs, page, n) ||
			n << TN_PAGE_SHIFT > rack->runs.room ||
			!tn_rack_holds(rack, tag)))
		return false;
	tn16_store_relaxed(tag, rack->kept);
	tn_run_cache_push(&rack->runs, page, n);
	return true;
}
