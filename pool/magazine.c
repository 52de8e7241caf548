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
#define KEPT_BYTES_MAX 65536U

static_assert(TN_MAG_SLOTS / 2 <= TN_CLAIM_MAX, "half is claimed at once");

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

	/* At most 64 KiB a class, in small pools less: what a thread keeps to
	 * itself is missed there. A few slots at least, unless they are large
	 * against the pool. */
	cap = tn_min64(room, KEPT_BYTES_MAX) / s->bytes;
	least = s->bytes <= room ? 4 : 1;
	cap = tn_min64(tn_max64(cap, least), TN_MAG_SLOTS - 1);
	if (rack->pool->role != TN_PRODUCER)
		cap = 0; /* it never allocates: what it frees goes back */
	m->top = base;
	m->most = (uint32_t)cap;
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
	half = (uint32_t)(m->limit - m->base + 1) / 2;
	want = m->batch < half ? m->batch : half;
	m->batch = want * 2;
	got = tn_slab_claim(rack->pool, &rack->ref, class, &m->cursor,
			    m->base, want);
	m->top = m->base + got;
	m->filled = true;
	if (want == half)
		set_limit(m, m->base, tn_min64(half * 4ULL, m->most));
	if (got)
		return 0;
	m->batch = 1;
	return -ENOMEM;
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
	return tn_rack_dispose(rack, rack->pool->data + off, &obj);
}

int tn_rack_dispose(struct tn_rack *rack, void *p, const struct tn_object *obj)
{
	int r = !obj->pages && obj->class == TN_CLASS_HANDLE ?
		dispose_handle(rack, p) : 0;

	if (r < 0)
		return r;
	if (obj->pages)
		return tn_run_drop(rack->pool, &rack->ref, TN_OP_RUN,
				   obj->page, obj->pages);
	return keep_slot(rack, obj->class, (struct tn_slot){ p, obj->tag });
}

void tn_rack_flush(struct tn_rack *rack)
{
	for (unsigned c = 0; c < TN_N_CLASSES; c++) {
		struct tn_mag *m = &rack->mags[c];

		if (m->top != m->base)
			mag_return(rack, c, (unsigned)(m->top - m->base));
		if (!m->cursor.page_plus_1)
			continue;
		tn_slab_retire(rack->pool, &rack->ref, c, &m->cursor);
		m->cursor = (struct tn_slab_cursor){ 0 };
	}
}
