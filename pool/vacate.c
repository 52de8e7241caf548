/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Taking all objects out of slabs, or a run out of its pages.
 *
 * Slabs are drained (leased, so that nobody allocates in them), what is in them
 * is moved as one batch, and then those that are empty end. What is in the way
 * is left: its slab is open again, and its free slots are for others to take.
 *
 * There is a fence to a batch, which interrupts who runs on other processors:
 * so several slabs of a class share one. The batch goes to below the lowest of
 * them, as none of them can take any.
 *
 * A slab of which a thread's magazine keeps slots cannot become empty. It is
 * left alone, for copying what else is there would gain nothing.
 *
 * What is ours in the middle, and what of it a death leaves: pool/move.c.
 */
#include "pool/move.h"

#include <errno.h>

#include "base/assert.h"
#include "pool/fit.h"
#include "pool/lease.h"
#include "pool/run.h"

/* Slabs */

/* The handle that an object of ours to move has, if all agree about it. */
static bool movable(const struct tn_mover *m, const tn_a16 *tag, uint64_t off,
		    uint64_t *ret_idx)
{
	uint64_t idx, place;

	/* HB< tag.hand */
	if (tn16_load_acquire(tag) != TN_TAG_HANDLE)
		return false;
	idx = tn32_load_relaxed(tn_handle_back(m->pool, tag));
	if (idx >= m->pool->geo.n_handles)
		return false;
	/* HB< handle.live */
	place = tn64_load_acquire(&tn_handle_at(m->pool, idx)->place);
	*ret_idx = idx;
	return tn_handle_plain(place & ~TN_HANDLE_TORN) &&
	       TN_HANDLE_OFF(place) == off;
}

/* A slab in our hands, and which part of the batch was in it. */
struct drained {
	uint64_t page;
	unsigned first, n;
	bool all; /* there is nothing else in the slab */
};

/* Objects of a drained slab into the batch, as far as that has room. */
static void gather(struct tn_mover *m, struct drained *d,
		   const struct tn_shape *s)
{
	unsigned i;

	d->all = true;
	for (i = 0; i < s->slots && m->n < TN_N_MOVES; i++) {
		uint64_t off = (d->page << TN_PAGE_SHIFT) +
			       (uint64_t)i * s->bytes;
		struct tn_moving *b = &m->batch[m->n];

		*b = (struct tn_moving){
			.from = off, .bytes = s->bytes,
			.from_tag = tn_slab_tag(m->pool, d->page, i),
		};
		if (movable(m, b->from_tag, off, &b->idx))
			m->n++;
		else if (tn16_load_relaxed(b->from_tag))
			d->all = false;
	}
	d->n = m->n - d->first;
	if (i < s->slots) {
		d->all = false;
		m->cut = true;
	}
}

/* Drains and gathers those of @pages that can become empty. Return: how many;
 * -EUCLEAN. */
static int drain(struct tn_mover *m, unsigned class, const uint64_t *pages,
		 unsigned n, struct drained *d)
{
	const struct tn_shape *s = tn_cache_shape(m->pool, class);
	int k = 0, r;

	m->n = 0;
	m->cut = false;
	for (unsigned i = 0; i < n; i++) {
		if (m->n == TN_N_MOVES) {
			m->cut = true;
			break;
		}
		d[k] = (struct drained){ .page = pages[i], .first = m->n };
		if (!tn_slab_drain(m->pool, &m->self, pages[i], class))
			continue;
		gather(m, &d[k], s);
		if (d[k].all || m->restless) {
			k++;
			continue;
		}
		m->n = d[k].first;
		r = tn_slab_drained(m->pool, &m->self, pages[i], class, 0);
		if (r < 0)
			return r;
	}
	return k;
}

/* Slots at lower addresses for the first of the batch; the others leave it. */
static void claim_places(struct tn_mover *m, uint64_t page, unsigned class)
{
	struct tn_slot slots[TN_CLAIM_MAX];
	unsigned have = 0, got, want;

	while (have < m->n) {
		want = m->n - have < TN_CLAIM_MAX ? m->n - have : TN_CLAIM_MAX;
		got = tn_slab_claim_below(m->pool, &m->self, class, page, slots,
					  want);
		if (!got)
			break;
		while (got--) {
			m->batch[have].to = tn_pool_off(m->pool, slots[got].p);
			m->batch[have++].to_tag = slots[got].tag;
		}
	}
	m->n = have;
}

/* Both sides of the batch, slab by slab. */
static void reach(const struct tn_mover *m, const struct drained *d, int n,
		  const struct tn_shape *s)
{
	uint64_t bytes = TN_PAGE_BYTES << s->order, at, last = ~0ULL;

	if (!m->reach)
		return;
	for (int i = 0; i < n && d[i].first < m->n; i++)
		m->reach(m->arg, d[i].page << TN_PAGE_SHIFT, bytes, false);
	for (unsigned i = 0; i < m->n; i++) {
		at = m->batch[i].to & ~(bytes - 1);
		if (at != last)
			m->reach(m->arg, at, bytes, true);
		last = at;
	}
}

/* What was claimed and not used goes back. */
static int return_places(struct tn_mover *m, unsigned class)
{
	const struct tn_slab_cursor none = { 0 };
	int r = 0;

	for (unsigned i = 0; i < m->n && r == 0; i++) {
		struct tn_moving *b = &m->batch[i];

		if (!b->moved)
			r = tn_slab_return(m->pool, &m->self, class,
				&(struct tn_slot){ m->pool->data + b->to,
						   b->to_tag }, 1, &none);
	}
	return r;
}

/* M7, but for the counts. */
static void free_old(struct tn_mover *m)
{
	for (unsigned i = 0; i < m->n; i++) {
		struct tn_moving *b = &m->batch[i];

		if (b->moved)
			/* HB> tag.free */
			tn16_store_release(b->from_tag, TN_TAG_FREE);
		else
			tn16_store_relaxed(b->to_tag, (uint16_t)
					   (TN_TAG_KEPT | m->self.client));
	}
	TN_CRASH("move.freed");
}

static void note_tried(const struct tn_mover *m, uint64_t page, bool called_off)
{
	if (m->backoff)
		tn_backoff_tried(m->backoff, page, called_off);
}

/* The slabs are let go, and end if they are empty. Return: how many objects
 * have been moved; -EUCLEAN. */
static int let_go(struct tn_mover *m, unsigned class, const struct drained *d,
		  int n, const struct tn_shape *s)
{
	int all = 0, r;

	for (int i = 0; i < n; i++) {
		unsigned freed = 0, k = d[i].first;
		bool off = false;

		for (; k < d[i].first + d[i].n && k < m->n; k++) {
			freed += m->batch[k].moved;
			off |= m->batch[k].called_off;
		}
		r = tn_slab_drained(m->pool, &m->self, d[i].page, class,
				    freed);
		if (r < 0)
			return r;
		if (freed == d[i].n && d[i].all)
			m->ended += 1ULL << s->order;
		if (freed || off)
			note_tried(m, d[i].page, off);
		all += (int)freed;
	}
	return all;
}

int tn_move_slabs(struct tn_mover *m, unsigned class, const uint64_t *pages,
		  unsigned n_pages)
{
	const struct tn_shape *s = tn_cache_shape(m->pool, class);
	struct drained d[TN_MOVE_SLABS];
	unsigned all;
	int r = 0, e, n;

	tn_assert(n_pages <= TN_MOVE_SLABS);
	m->no_place = false;
	n = drain(m, class, pages, n_pages, d);
	if (n <= 0)
		return n < 0 ? n : -EBUSY;
	all = m->n;
	claim_places(m, d[n - 1].page, class);
	m->no_place = m->n < all;
	if (m->n) {
		reach(m, d, n, s);
		for (unsigned i = 0; i < m->n; i++)
			tn_move_note(m, i);
		r = tn_move_batch(m);
		free_old(m);
		tn_move_forget(m);
	}
	e = return_places(m, class);
	if (e == 0)
		e = let_go(m, class, d, n, s);
	if (e < 0 || r < 0)
		return e < 0 ? e : r;
	return (unsigned)e == m->n && m->n && (m->n < all || m->cut);
}

/* Runs */

/* A run as low as can be, if that is below @page: HELD by tarnd, the caller's.
 * Return: false: none. */
static bool claim_run(struct tn_mover *m, uint64_t page, uint64_t n,
		      uint64_t *ret_page)
{
	const unsigned where = TN_FIRST_FIT | TN_AMONG(TN_GROUP_MOVABLE);
	uint64_t at;

	/* in a lower area: within one it is no gain */
	if (!tn_fit_find(m->pool, n, where, false, &at) ||
	    at >> TN_AREA_SHIFT >= page >> TN_AREA_SHIFT)
		return false;
	return tn_run_alloc(m->pool, &m->self, n, where, ret_page) == 0;
}

/* A batch of one, to a place that is ours. What it has left, or where it does
 * not go (unless @go it does not), is KEPT by us then. Return: as of
 * tn_move_batch(). */
static int move_first(struct tn_mover *m, bool go)
{
	const struct tn_moving *b = &m->batch[0];
	int r;

	m->n = 1;
	tn_move_note(m, 0);
	r = go ? tn_move_batch(m) : 0;
	/* forgotten before others can have the place, and the handle */
	tn16_store_relaxed(b->moved ? b->from_tag : b->to_tag,
			   (uint16_t)(TN_TAG_KEPT | m->self.client));
	tn_move_forget(m);
	return r;
}

/* The batch is a run of @n pages: to @to, which is ours. Unless @go that only
 * goes back. Return: has it been moved; -ENOSYS, -EUCLEAN. */
static int move_run_to(struct tn_mover *m, uint64_t n, uint64_t to, bool go)
{
	struct tn_moving *b = &m->batch[0];
	uint64_t page = b->from >> TN_PAGE_SHIFT;
	int r, e;

	b->to = to << TN_PAGE_SHIFT;
	b->to_tag = &m->pool->tags[tn_tag_index(to, 0)];
	r = move_first(m, go);
	m->ended += b->moved ? n : 0;
	e = tn_run_drop(m->pool, &m->self, TN_OP_RUN, b->moved ? page : to, n);
	return e < 0 ? e : r < 0 ? r : b->moved;
}

int tn_move_run(struct tn_mover *m, uint64_t page)
{
	struct tn_moving *b = &m->batch[0];
	struct tn_object obj;
	uint64_t to;
	int r;

	*b = (struct tn_moving){ .from = page << TN_PAGE_SHIFT };
	if (tn_object_find(m->pool, b->from, &obj) < 0 || !obj.pages ||
	    obj.pages > TN_AREA_PAGES ||
	    !movable(m, obj.tag, b->from, &b->idx))
		return -ENOENT;
	b->bytes = obj.bytes;
	b->from_tag = obj.tag;
	tn_touch(m->pool, m->self.client, page);
	if (!claim_run(m, page, obj.pages, &to))
		return 0;
	r = move_run_to(m, obj.pages, to, to < page);
	if (b->moved || b->called_off)
		note_tried(m, page, b->called_off);
	return r < 0 ? r : 0;
}

/* One object: the batch, that is */

static int move_one_run(struct tn_mover *m, const struct tn_object *obj,
			unsigned group)
{
	const unsigned where = m->pool->policy | TN_AMONG(group);
	bool there;
	uint64_t to;
	int r;

	r = tn_run_alloc(m->pool, &m->self, obj->pages, where, &to);
	if (r < 0)
		return r;
	there = group == TN_GROUP_MOVABLE || tn_fit_among(m->pool, to, group);
	r = move_run_to(m, obj->pages, to, there);
	return r == 0 && !there ? -ENOMEM : r;
}

static bool claim_one(struct tn_mover *m, unsigned class, unsigned group,
		      struct tn_slot *ret)
{
	struct tn_slab_cursor cursor = { 0 };

	if (group == TN_GROUP_MOVABLE)
		return tn_slab_claim(m->pool, &m->self, class, &cursor, ret,
				     1);
	return tn_slab_claim_among(m->pool, &m->self, class, group, ret, 1);
}

static int move_one_slot(struct tn_mover *m, const struct tn_object *obj,
			 unsigned group)
{
	const struct tn_slab_cursor none = { 0 };
	struct tn_moving *b = &m->batch[0];
	struct tn_slot to;
	int r, e;

	if (!claim_one(m, obj->class, group, &to))
		return -ENOMEM;
	b->to = tn_pool_off(m->pool, to.p);
	b->to_tag = to.tag;
	r = move_first(m, true);
	if (b->moved)
		to = (struct tn_slot){ m->pool->data + b->from, b->from_tag };
	e = tn_slab_return(m->pool, &m->self, obj->class, &to, 1, &none);
	return e < 0 ? e : r < 0 ? r : b->moved;
}

/* Is it in data, and of the kind that handles are for? A client may have
 * written what it likes to handles, tags and back links. */
static bool may_move(const struct tn_mover *m, uint64_t off,
		     const struct tn_object *obj)
{
	uint64_t end = m->pool->geo.data_bytes;

	if (off >= end || obj->bytes > end - off)
		return false;
	return obj->pages ? obj->pages <= TN_AREA_PAGES :
	       obj->class >= TN_CLASS_MOVABLE && obj->class < TN_CLASS_HANDLE;
}

int tn_move_one(struct tn_mover *m, uint64_t ref, unsigned group)
{
	struct tn_moving *b = &m->batch[0];
	uint64_t idx = TN_HANDLE_IDX(ref), place;
	struct tn_object obj;

	if (!tn_ref_handle_ok(m->pool, ref))
		return -ESTALE;
	/* HB< handle.live; HB< handle.place */
	place = tn64_load_acquire(&tn_handle_at(m->pool, idx)->place);
	*b = (struct tn_moving){ .idx = idx, .from = TN_HANDLE_OFF(place) };
	if (tn_object_find(m->pool, b->from, &obj) < 0 ||
	    !may_move(m, b->from, &obj) ||
	    !movable(m, obj.tag, b->from, &place) || place != idx)
		return -ENOENT;
	if (group != TN_GROUP_MOVABLE &&
	    tn_fit_among(m->pool, obj.page, group))
		return -EALREADY;
	tn_touch(m->pool, m->self.client, obj.page);
	b->bytes = obj.bytes;
	b->from_tag = obj.tag;
	return obj.pages ? move_one_run(m, &obj, group) :
	       move_one_slot(m, &obj, group);
}
