/* SPDX-License-Identifier: BSD-2-Clause */
/* Handles and their objects, and the mover: here it may be tarnd who acts. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/fit.h"
#include "pool/move.h"
#include "pool/share.h"
#include "tarn/handle.h"
#include "tests/lib/tn_ops.h"
#include "tests/lib/tn_outcomes.h"

#define CLASS (TN_CLASS_MOVABLE + 63) /* 16 KiB: few slots in a slab */

static struct tn_mover mover;

/* A handle of a client's, with an object of the class, or a run of pages. */
static uint64_t make(struct tn_world *w, uint32_t client, unsigned class,
		     uint64_t pages, uint64_t *ret_place)
{
	struct tn_pool *pool = &w->heap.pool;
	struct tn_lane_ref l = tn_ops_lane(w, client);
	uint64_t off = tn_ops_object(w, client, TN_CLASS_HANDLE,
				     (uint16_t)(TN_TAG_HELD | client));
	struct tn_object obj;
	uint64_t to, ref;

	if (pages) {
		tn_ops_need(!tn_run_alloc(pool, &l, pages, TN_FIRST_FIT |
					  TN_AMONG(TN_GROUP_MOVABLE), &to));
		to <<= TN_PAGE_SHIFT;
	} else {
		to = tn_ops_object(w, client, class,
				   (uint16_t)(TN_TAG_HELD | client));
	}
	tn_ops_need(!tn_object_find(pool, to, &obj));
	ref = tn_handle_bind(pool, off, &obj, to);
	tn_ops_need(ref);
	if (ret_place)
		*ret_place = off;
	return ref;
}

static void set_tag(struct tn_world *w, uint64_t off, uint16_t tag)
{
	struct tn_object obj;

	tn_ops_need(!tn_object_find(&w->heap.pool, off, &obj));
	tn16_store_relaxed(obj.tag, tag);
}

/* Others have handles, too. */
static void furnish(struct tn_world *w)
{
	make(w, TN_LIVING, TN_CLASS_MOVABLE + 3, 0, NULL);
	make(w, TN_OWNER, CLASS, 0, NULL);
	make(w, TN_LIVING, 0, 5, NULL);
}

static void newcomer(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	furnish(w);
	tn_world_client(w);
}

static tarn_ref halloc(struct tn_world *w, uint64_t bytes)
{
	tarn_ref h = tarn_halloc(w->client, bytes);

	tn_ops_need(h);
	return h;
}

/* Handles of its own: the last one is w->p[n - 1]'s. */
static void with_handles(struct tn_world *w, const struct tn_deed *op)
{
	newcomer(w, op);
	for (w->n = 0; w->n < (op->n ? op->n : 3); w->n++)
		w->p[w->n] = (void *)halloc(w, op->pages);
}

static tarn_ref last(const struct tn_world *w)
{ return (tarn_ref)w->p[w->n - 1]; }

static void with_empty_handles(struct tn_world *w, const struct tn_deed *op)
{
	const struct tn_mag *m;

	with_handles(w, op);
	m = &tn_thread.lane->rack.mags[TN_CLASS_HANDLE];
	while (m->top != m->base)
		halloc(w, op->pages);
}

static void with_full_handles(struct tn_world *w, const struct tn_deed *op)
{
	const struct tn_mag *m;

	newcomer(w, op);
	for (w->n = 0; w->n < 200; w->n++)
		w->p[w->n] = (void *)halloc(w, op->pages);
	m = &tn_thread.lane->rack.mags[TN_CLASS_HANDLE];
	while (m->top < m->limit)
		tn_ops_need(!tarn_hfree(w->client, (tarn_ref)w->p[--w->n]));
}

static void pool_full(struct tn_world *w, const struct tn_deed *op)
{
	with_handles(w, op);
	tn_ops_leave_pages(w, 0);
	while (tarn_halloc(w->client, op->pages))
		;
}

/* The subject: a handle with the tag op->n. */
static void subject(struct tn_world *w, const struct tn_deed *op)
{
	uint32_t client = TN_TAG_FORM(op->n) <= TN_TAG_LINK ?
			  TN_TAG_CLIENT(op->n) : TN_LIVING;
	uint64_t cell = tn_ops_object(w, TN_LIVING, 7, TN_TAG_POOL);

	newcomer(w, op);
	memset(w->heap.pool.data + cell, 0, 128);
	w->board->word = cell + 16;
	w->p[0] = (void *)make(w, client, CLASS, op->pages,
			       &w->board->subject);
	w->n = 1;
	set_tag(w, w->board->subject, (uint16_t)op->n);
	/* the lane, so that only the operation itself is looked at */
	tn_ops_need(tn_lane_slow(w->client));
}

static tn_a64 *word(const struct tn_world *w)
{ return (tn_a64 *)(void *)(w->heap.pool.data + w->board->word); }

static void word_full(struct tn_world *w, const struct tn_deed *op)
{
	subject(w, op);
	tn64_store_relaxed(word(w), last(w));
}

static void shared_by_two(struct tn_world *w, const struct tn_deed *op)
{
	subject(w, op);
	tn_ops_need(!tn_share_make(&w->heap.pool, &w->dead,
				   w->board->subject));
	if (op->policy)
		tn_ops_need(!tn_share_hold(&w->heap.pool, &w->living,
					   w->board->subject));
}

static void act_halloc(struct tn_world *w, const struct tn_deed *op)
{ w->board->result = tarn_halloc(w->client, op->pages) != 0; }

static void act_hfree(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = tarn_hfree(w->client, last(w));
}

static void act_stale(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = tarn_hfree(w->client, last(w) +
				      (1ULL << TN_HANDLE_IDX_BITS));
}

static void act_pin(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = tarn_pin(w->client, last(w)) != NULL;
}

static void act_pin_pair(struct tn_world *w, const struct tn_deed *op)
{
	const void *p = tarn_pin_read(w->client, last(w));

	(void)op;
	w->board->result = p && !tarn_unpin(w->client, last(w));
}

static void act_pin_long(struct tn_world *w, const struct tn_deed *op)
{
	const void *p = tarn_pin_long(w->client, last(w));

	(void)op;
	w->board->result = p && !tarn_unpin_long(w->client, last(w));
}

static void act_section(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	tarn_enter(w->client);
	w->board->result = tarn_deref(w->client, last(w)) != NULL;
	tarn_exit(w->client);
}

static void act_give(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = tarn_give(w->client, last(w), TN_LIVING);
}

static void act_take(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = tarn_take(w->client, last(w));
}

static void act_detach(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = tarn_detach(w->client, last(w));
}

static void act_publish(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = tarn_publish(w->client, (uint64_t *)word(w),
					last(w));
}

static void act_claim(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = (int64_t)tarn_claim(w->client, (uint64_t *)word(w));
}

static void act_release(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = tarn_release(w->client, last(w));
}

static void act_close(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	tarn_pin(w->client, last(w));
	tn_lanes_close(w->client);
}

/* The mover */

static int no_fence(void *arg)
{
	(void)arg;
	return 0;
}

static void look_at_both(void *arg, struct tn_mover *m)
{
	const struct tn_world *w = arg;

	tn_move_look(m, w->heap.control[TN_DEAD]);
	tn_move_look(m, w->heap.control[TN_LIVING]);
}

static void no_pause(void *arg)
{ (void)arg; }

static void be_mover(struct tn_world *w)
{
	tn_mover_init(&mover, &w->heap.pool, tn_heap_lane(&w->heap, 0, 0));
	mover.fence = no_fence;
	mover.clients = look_at_both;
	mover.pause = no_pause;
	mover.arg = w;
}

/* Slabs with holes, op->pages of them, or two; w->n is the page of the highest
 * one. op->n objects of that are pinned. */
static void slabs_with_holes(struct tn_world *w, const struct tn_deed *op)
{
	unsigned slots = w->heap.pool.shapes[CLASS].slots;
	unsigned n = (unsigned)(op->pages ? op->pages : 2) * slots;
	uint64_t h[128] = { 0 }, off[128];
	tn_a64 *pins = tn_lane_pins(&w->heap.pool.geo,
				    w->heap.control[TN_LIVING], 0);
	struct tn_object obj;

	tn_ops_need(n <= 128);
	for (unsigned i = 0; i < n; i++)
		h[i] = make(w, i % 3 ? TN_LIVING : TN_OWNER, CLASS, 0, &off[i]);
	w->n = (unsigned)(TN_HANDLE_OFF(tn64_load_relaxed(&w->heap.pool.handles[
		TN_HANDLE_IDX(h[n - slots])].place)) >> TN_PAGE_SHIFT);
	for (unsigned i = 0; i < n; i += 2) {
		struct tn_lane_ref l = tn_ops_lane(w, i % 3 ? TN_LIVING
							    : TN_OWNER);
		static const struct tn_slab_cursor none;
		uint64_t at;

		tn_ops_need(!tn_object_find(&w->heap.pool, off[i], &obj));
		tn16_store_relaxed(obj.tag, (uint16_t)(TN_TAG_KEPT | l.client));
		tn_ops_need(!tn_handle_unbind(&w->heap.pool, &l, off[i], &obj,
					      &at));
		tn_ops_need(!tn_slab_return(&w->heap.pool, &l, CLASS,
			&(struct tn_slot){ w->heap.pool.data + at, obj.tag }, 1,
			&none));
		tn_ops_need(!tn_object_find(&w->heap.pool, off[i], &obj));
		tn_ops_need(!tn_slab_return(&w->heap.pool, &l, TN_CLASS_HANDLE,
			&(struct tn_slot){ w->heap.pool.data + off[i],
					   obj.tag }, 1, &none));
	}
	for (unsigned i = 0; i < op->n; i++)
		tn64_store_relaxed(&pins[i], h[n - slots + 1 + 2 * i]);
	be_mover(w);
}

static void act_move_slab(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = tn_move_slab(&mover, w->n, CLASS);
}

static void act_move_two(struct tn_world *w, const struct tn_deed *op)
{
	uint64_t order = w->heap.pool.shapes[CLASS].order;
	const uint64_t pages[] = { w->n, w->n - (1ULL << order) };

	(void)op;
	w->board->result = tn_move_slabs(&mover, CLASS, pages, 2);
}

/* A run in the upper of two areas, and a hole below. */
static void high_run(struct tn_world *w, const struct tn_deed *op)
{
	uint64_t below = tn_ops_run_of(w, TN_OWNER, TN_AREA_PAGES), ref;

	(void)op;
	tn_ops_need(below == 0);
	ref = make(w, TN_LIVING, 0, 70, NULL);
	w->n = (unsigned)(TN_HANDLE_OFF(tn64_load_relaxed(&w->heap.pool.handles[
		TN_HANDLE_IDX(ref)].place)) >> TN_PAGE_SHIFT);
	tn_ops_need(w->n >= TN_AREA_PAGES);
	set_tag(w, below, TN_TAG_KEPT | TN_OWNER);
	tn_ops_need(!tn_run_drop(&w->heap.pool, &w->owner, TN_OP_RUN, 0,
				 TN_AREA_PAGES));
	be_mover(w);
}

static void act_move_run(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = tn_move_run(&mover, w->n);
}

/* The subject is in the middle of a move. */
static void being_moved(struct tn_world *w, const struct tn_deed *op)
{
	struct tn_moving *b = &mover.batch[0];
	struct tn_object obj;
	struct tn_slot to;
	struct tn_slab_cursor none = { 0 };
	tn_a64 *place;

	subject(w, op);
	be_mover(w);
	place = &w->heap.pool.handles[TN_HANDLE_IDX(last(w))].place;
	b->idx = TN_HANDLE_IDX(last(w));
	b->from = TN_HANDLE_OFF(tn64_load_relaxed(place));
	tn_ops_need(!tn_object_find(&w->heap.pool, b->from, &obj));
	tn_ops_need(tn_slab_claim(&w->heap.pool, &mover.self, obj.class, &none,
				  &to, 1));
	b->to = tn_pool_off(&w->heap.pool, to.p);
	b->to_tag = to.tag;
	tn_move_note(&mover, 0);
	tn64_store_relaxed(place, tn64_load_relaxed(place) ^ 3ULL << 62);
}

const struct tn_deed tn_ops_handle[] = {
	{ "halloc", "first: lane start", newcomer, act_halloc, .pages = 64 },
	{ "halloc", "from the magazines", with_handles, act_halloc,
	  .pages = 64 },
	{ "halloc", "refill of handles", with_empty_handles, act_halloc,
	  .pages = 64 },
	{ "halloc", "new slab", with_handles, act_halloc, .n = 8,
	  .pages = 24000 },
	{ "halloc", "a run", with_handles, act_halloc, .n = 1,
	  .pages = 40000 },
	{ "halloc", "pool full", pool_full, act_halloc, .pages = 512 },
	{ "hfree", "to the magazines", with_handles, act_hfree, .pages = 64 },
	{ "hfree", "magazines full", with_full_handles, act_hfree,
	  .pages = 64 },
	{ "hfree", "a run", with_handles, act_hfree, .pages = 40000 },
	{ "hfree", "the pool's", subject, act_hfree, .n = TN_TAG_POOL,
	  .may = FREE_OR(TN_TAG_POOL) },
	{ "hfree", "another's", subject, act_hfree, .n = OTHERS,
	  .may = { STAYS(OTHERS) } },
	{ "hfree", "stale", subject, act_stale, .n = OTHERS,
	  .may = { STAYS(OTHERS) } },
	{ "hfree", "being moved", being_moved, act_hfree, .n = OWN,
	  .may = { FREE } },
	{ "pin", "to write", subject, act_pin, .n = OTHERS,
	  .may = { STAYS(OTHERS) } },
	{ "pin, unpin", "to read", subject, act_pin_pair, .n = OTHERS,
	  .may = { STAYS(OTHERS) } },
	{ "pin, unpin", "being moved", being_moved, act_pin_pair, .n = OTHERS,
	  .may = { STAYS(OTHERS) } },
	{ "pin, unpin", "being moved, own", being_moved, act_pin_pair,
	  .n = OWN, .may = { FREE } },
	{ "pin_long", "and unpin", subject, act_pin_long, .n = OTHERS,
	  .may = { STAYS(OTHERS) } },
	{ "enter, deref, exit", "another's", subject, act_section,
	  .n = OTHERS, .may = { STAYS(OTHERS) } },
	{ "enter, deref, exit", "being moved", being_moved, act_section,
	  .n = OTHERS, .may = { STAYS(OTHERS) } },
	{ "give", "a handle", subject, act_give, .n = OWN,
	  .may = FREE_OR(TN_TAG_GIVEN | TN_LIVING) },
	{ "take", "a handle", subject, act_take, .n = OFFERED,
	  .may = { FREE } },
	{ "detach", "a handle", subject, act_detach, .n = OWN,
	  .may = FREE_OR(TN_TAG_POOL) },
	{ "publish", "a handle", subject, act_publish, .n = OWN,
	  .may = IN_OR_FREE },
	{ "publish", "being moved", being_moved, act_publish, .n = OWN,
	  .may = IN_OR_FREE },
	{ "claim", "a handle", word_full, act_claim, .n = TN_TAG_POOL,
	  .may = IN_OR_FREE },
	{ "release", "a handle, of two", shared_by_two, act_release, .n = OWN,
	  .policy = 1, .may = { STAYS(TN_TAG_SHARED) } },
	{ "release", "a handle, last", shared_by_two, act_release, .n = OWN,
	  .may = { FREE } },
	{ "lane end", "with a pin", with_handles, act_close, .pages = 64 },
	{ "move", "a slab", slabs_with_holes, act_move_slab, .n = 0 },
	{ "move", "a slab, two pinned", slabs_with_holes, act_move_slab,
	  .n = 2 },
	{ "move", "two slabs", slabs_with_holes, act_move_two, .pages = 4,
	  .n = 1 },
	{ "move", "a run", high_run, act_move_run, .mib = 5 },
	{ .name = NULL },
};
