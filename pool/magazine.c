/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filling magazines and emptying them.
 *
 *   base          top           limit
 *    | old ... young |   room     |
 *
 * A slot in [base, top) is KEPT by the client and in no other magazine. A fill
 * claims into an empty magazine, the first few slots and more each time; a
 * full magazine gives its older half back, so that neither alternates with
 * the other. A magazine that is filled again and again grows: its limit, which
 * begins at FIRST_LIMIT slots, doubles. One that is only freed to does not, so
 * that what it gets from other threads goes back to them soon.
 *
 * Up to OWN_BYTES any of them may. Beyond, it takes of the rack's room, and
 * kept runs make way; where that is not enough, now and then another class,
 * each in its turn, gives back half of what it has beyond. So what a thread
 * keeps follows what it uses (as tcmalloc's thread caches, which steal from
 * each other).
 *
 * Who writes: the lane's thread alone. Crash windows: none of its own; slots
 * are KEPT from the claim on, until they are returned (pool/slab.c).
 *
 * What it does not do: move slots from one thread's magazine to another's
 * but by way of the slab.
 */
#include "pool/magazine.h"

#include <errno.h>
#include <string.h>

#include "pool/cache.h"
#include "pool/handle.h"
#include "pool/run.h"

#define FIRST_LIMIT 128U /* slots; picked, not tuned */
#define LEAST_LIMIT 2U   /* ... and shrinks to: that many slabs are kept */
#define OWN_BYTES 65536U /* of a class's magazine, whatever others have */
#define PATIENCE 16U     /* refusals until another class gives back */

static_assert(TN_MAG_SLOTS / 2 <= TN_CLAIM_MAX, "half is claimed at once");

void tn_rack_start(struct tn_rack *rack, struct tn_pool *pool,
		   const struct tn_lane_ref *ref, uint64_t bytes)
{
	if (!rack->pool && pool->role == TN_PRODUCER)
		rack->room = tn_min64(TN_RACK_ROOM, bytes / 1024);
	if (!rack->pool)
		rack->runs.room = rack->room;
	rack->pool = pool;
	rack->ref = *ref;
	rack->ref.cache = &rack->runs;
	rack->runs.at = rack->runs_at;
	rack->held = (uint16_t)(TN_TAG_HELD | ref->client);
	rack->kept = (uint16_t)(TN_TAG_KEPT | ref->client);
}

/* At the limit stands nothing: see tn_rack_push_near(). First that, then the
 * limit, for who forks in between. */
static void set_limit(struct tn_mag *m, struct tn_slot *base, uint64_t slots)
{
	base[slots] = (struct tn_slot){ NULL, NULL };
	tn_fence_compiler();
	m->limit = base + slots;
}

/* The base comes last: a magazine that has one is ready. */
static void mag_prepare(struct tn_rack *rack, unsigned class)
{
	const struct tn_shape *s = tn_cache_shape(rack->pool, class);
	uint64_t room = rack->pool->geo.data_bytes / 2048, cap, least;
	struct tn_slot *base = rack->slots[class];
	struct tn_mag *m = &rack->mags[class];

	/* In small pools less: what a thread keeps to itself is missed there.
	 * A few slots at least, unless they are large against the pool. */
	cap = tn_min64(room, OWN_BYTES) / s->bytes;
	least = s->bytes <= room ? 4 : 1;
	cap = tn_min64(tn_max64(cap, least), TN_MAG_SLOTS - 1);
	if (rack->pool->role != TN_PRODUCER)
		cap = 0; /* it never allocates: what it frees goes back */
	m->top = base;
	m->own = (uint32_t)cap;
	set_limit(m, base, tn_min64(cap, FIRST_LIMIT));
	m->batch = 4;
	m->slab_bytes = s->slots * s->bytes;
	m->recip = tn64_load_relaxed(&s->recip);
	tn_fence_compiler();
	m->base = base;
}

static int mag_ready(struct tn_rack *rack, unsigned class)
{
	if (rack->mags[class].base)
		return 0;
	if (!tn_cache_shape(rack->pool, class))
		return -EINVAL;
	mag_prepare(rack, class);
	return 0;
}

static int mag_return(struct tn_rack *rack, unsigned class, unsigned n)
{
	struct tn_mag *m = &rack->mags[class];
	unsigned have = (unsigned)(m->top - m->base);
	int r;

	r = tn_slab_return(rack->pool, &rack->ref, class, m->base, n,
			   &m->cursor);
	memmove(m->base, m->base + n, (have - n) * sizeof(*m->base));
	m->top -= n;
	return r;
}

static unsigned limit_of(const struct tn_mag *m)
{ return (unsigned)(m->limit - m->base); }

/* What a limit costs of the rack's room, in bytes. */
static uint64_t cost(const struct tn_rack *rack, unsigned class, uint64_t limit)
{
	uint64_t own = rack->mags[class].own;

	return limit <= own ? 0 : (limit - own) *
	       tn_cache_shape(rack->pool, class)->bytes;
}

/* What is kept beyond a limit that is lower than it was goes back. */
static void mag_lower(struct tn_rack *rack, unsigned class, unsigned limit)
{
	struct tn_mag *m = &rack->mags[class];
	unsigned have = (unsigned)(m->top - m->base);

	if (have > limit)
		mag_return(rack, class, have - limit);
	rack->runs.room += cost(rack, class, limit_of(m)) -
			   cost(rack, class, limit);
	set_limit(m, m->base, limit);
}

/* Another class's limit comes half-way down to what is its own. */
static void lower_another(struct tn_rack *rack, unsigned class)
{
	for (unsigned i = 0; i < TN_CLASS_MOVABLE; i++) {
		unsigned v = rack->victim++ % TN_CLASS_MOVABLE;
		const struct tn_mag *m = &rack->mags[v];

		if (v != class && limit_of(m) > m->own) {
			mag_lower(rack, v, (limit_of(m) + m->own) / 2);
			return;
		}
	}
}

/* There was no room for something. Now and then another class makes some. */
static void refuse(struct tn_rack *rack, unsigned class)
{
	if (++rack->refused % PATIENCE == 0)
		lower_another(rack, class);
}

/* A magazine that was filled at its limit may have twice that, if there is
 * room. */
static void mag_grow(struct tn_rack *rack, unsigned class)
{
	struct tn_mag *m = &rack->mags[class];
	uint64_t limit = limit_of(m), to = limit * 2, more;

	to = tn_min64(to, class < TN_CLASS_MOVABLE ? TN_MAG_SLOTS - 1 : m->own);
	if (to <= limit)
		return;
	more = cost(rack, class, to) - cost(rack, class, limit);
	if (more && !tn_run_make_room(rack->pool, &rack->ref, more, 0)) {
		refuse(rack, class);
		return;
	}
	rack->runs.room -= more;
	set_limit(m, m->base, to);
}

int tn_rack_fill(struct tn_rack *rack, unsigned class)
{
	struct tn_mag *m = &rack->mags[class];
	uint32_t half, want;
	unsigned got;
	int r;

	r = mag_ready(rack, class);
	if (r < 0)
		return r;
	/* more each time, as the class turns out to be in use */
	half = (limit_of(m) + 1) / 2;
	want = m->batch < half ? m->batch : half;
	m->batch = want * 2;
	got = tn_slab_claim(rack->pool, &rack->ref, class, &m->cursor,
			    m->base, want);
	m->top = m->base + got;
	m->filled = true;
	if (want == half)
		mag_grow(rack, class);
	if (got)
		return 0;
	m->batch = 1;
	return -ENOMEM;
}

/* Makes room in a full magazine of a movable class. */
static int mag_shrink(struct tn_rack *rack, unsigned class)
{
	struct tn_mag *m = &rack->mags[class];
	unsigned have = (unsigned)(m->top - m->base), limit = have;
	int r;

	if (limit > LEAST_LIMIT)
		limit = (unsigned)tn_max64(limit / 2, LEAST_LIMIT);
	r = mag_return(rack, class, have - limit / 2);
	if (limit < have)
		set_limit(m, m->base, limit);
	return r;
}

/* Makes room in a full magazine (or prepares it). Return: 0; 1: it keeps
 * nothing, return the slot to its slab; -EINVAL, -EUCLEAN. */
static int mag_room(struct tn_rack *rack, unsigned class)
{
	struct tn_mag *m = &rack->mags[class];
	int r;

	r = mag_ready(rack, class);
	if (r < 0)
		return r;
	if (m->limit == m->base)
		return 1;
	if (m->top < m->limit)
		return 0;
	if (!m->filled && class >= TN_CLASS_MOVABLE && class < TN_CLASS_HANDLE)
		return mag_shrink(rack, class);
	m->filled = false;
	return mag_return(rack, class,
			  (unsigned)(m->limit - m->base + 1) / 2);
}

/* A slot of this client's, KEPT: into the magazine or back to its slab. */
static int keep_slot(struct tn_rack *rack, unsigned class,
		     struct tn_slot slot)
{
	int r = mag_room(rack, class);

	if (r == 0)
		*rack->mags[class].top++ = slot;
	else if (r == 1)
		r = tn_slab_return(rack->pool, &rack->ref, class, &slot, 1,
				   &rack->mags[class].cursor);
	return r;
}

static int keep_run(struct tn_rack *rack, uint64_t page, uint64_t n)
{
	if (n <= TN_RUN_CACHE_PAGES &&
	    !tn_run_make_room(rack->pool, &rack->ref, n << TN_PAGE_SHIFT, n))
		refuse(rack, TN_N_CLASSES);
	return tn_run_put(rack->pool, &rack->ref, TN_OP_RUN, page, n);
}

int tn_rack_dispose_movable(struct tn_rack *rack, void *p,
			    const struct tn_object *obj)
{
	if (obj->pages)
		return tn_run_drop(rack->pool, &rack->ref, TN_OP_RUN,
				   obj->page, obj->pages);
	return tn_rack_dispose(rack, p, obj);
}

/* A handle: first what it has. */
static int dispose_handle(struct tn_rack *rack, void *p)
{
	struct tn_object obj;
	uint64_t off;
	int r;

	r = tn_handle_unbind(rack->pool, &rack->ref,
			     tn_pool_off(rack->pool, p), &obj, &off);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return tn_rack_dispose_movable(rack, rack->pool->data + off, &obj);
}

int tn_rack_dispose(struct tn_rack *rack, void *p, const struct tn_object *obj)
{
	int r = !obj->pages && obj->class == TN_CLASS_HANDLE ?
		dispose_handle(rack, p) : 0;

	if (r < 0)
		return r;
	if (obj->pages)
		return keep_run(rack, obj->page, obj->pages);
	return keep_slot(rack, obj->class, (struct tn_slot){ p, obj->tag });
}

/* A fork in the middle finds none. */
int tn_rack_note(struct tn_rack *rack, uint64_t page)
{
	struct tn_near *near = &rack->near;
	struct tn_pool *pool = rack->pool;
	tn_a64 *word = &pool->pages[page].word;
	unsigned class = TN_PAGE_CLASS(tn64_load_relaxed(word));
	struct tn_mag *m = &rack->mags[class];

	/* others write to the pool, too */
	if (class >= TN_N_CLASSES || !m->base)
		return 0;
	near->bytes = 0;
	tn_fence_compiler();
	near->data = pool->data + (page << TN_PAGE_SHIFT);
	near->word = word;
	near->seen = TN_PAGE_SLAB_WORD(class, 0);
	near->recip = m->recip;
	near->tags = &pool->tags[tn_tag_index(page, 0)];
	near->mag = m;
	tn_fence_compiler();
	near->bytes = m->slab_bytes;
	return 0;
}

void tn_rack_flush(struct tn_rack *rack)
{
	for (unsigned c = 0; c < TN_N_CLASSES; c++) {
		struct tn_mag *m = &rack->mags[c];

		if (m->top != m->base)
			mag_return(rack, c, (unsigned)(m->top - m->base));
		if (limit_of(m) > m->own)
			mag_lower(rack, c, m->own);
		if (!m->cursor.page_plus_1)
			continue;
		tn_slab_retire(rack->pool, &rack->ref, c, &m->cursor);
		m->cursor = (struct tn_slab_cursor){ 0 };
	}
	tn_run_flush(rack->pool, &rack->ref);
	rack->runs.room = rack->room; /* as it was, but for what forks did */
}

void tn_rack_forget(struct tn_rack *rack)
{
	for (unsigned c = 0; c < TN_N_CLASSES; c++) {
		struct tn_mag *m = &rack->mags[c];

		/* without a base it was just being prepared */
		if (!m->base) {
			*m = (struct tn_mag){ 0 };
			continue;
		}
		m->top = m->base;
		m->cursor = (struct tn_slab_cursor){ 0 };
		if (limit_of(m) > m->own)
			set_limit(m, m->base, m->own);
	}
	memset(rack->runs.n, 0, sizeof(rack->runs.n));
	rack->runs.room = rack->room;
	rack->near.bytes = 0;
}
