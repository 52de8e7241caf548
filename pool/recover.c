/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a dead client leaves behind.
 *
 *   0  moves    of a tarnd: what its mover had under way (pool/move.c)
 *   1  lanes    what each lane had under way is ended: runs and slabs half
 *               made or half given back become free (pool/run.c), objects
 *               between two holders get one (pool/hold.c)
 *   2  pins     what it had pinned to write may be torn, and is said to be
 *   3  pages    first those of handles, whose objects are freed with them:
 *               where the client may have held something, every tag that
 *               names it is settled, leases of its are ended, counts and
 *               hints put right (pool/slab.c), its runs given back
 *   4  numbers  its lanes' step numbers are put down (pool/step.h), so that
 *               the slot's next client goes on from there
 *
 * Each step looks at what is there and makes it right, so that the whole may
 * be done again from the start after it was cut short anywhere: a lane's op
 * is cleared when it is ended; a page is forgotten when it is swept.
 *
 * Exit takes the same way as a crash: a client that leaves has its lanes at
 * rest, and 1 finds nothing to do.
 *
 * Who writes: tarnd alone, one recovery of a pool at a time; it acts in 1 as
 * the dead lane itself, in 3 as a lane of its own.
 *
 * What it believes: nothing. Every word is read once and checked against the
 * geometry; every loop ends by the geometry. What cannot be is -EUCLEAN, and
 * tarnd poisons the pool.
 */
#include "pool/recover.h"

#include <errno.h>

#include "base/assert.h"
#include "pool/move.h"
#include "pool/run.h"
#include "pool/share.h"
#include "pool/slab.h"

#define KEPT(client) ((uint16_t)(TN_TAG_KEPT | (client)))

enum {
	PHASE_MOVES, PHASE_LANES, PHASE_PINS, PHASE_HANDLES, PHASE_PAGES,
	PHASE_NUMBERS, PHASE_DONE
};

void tn_recover_begin(struct tn_recover *r, struct tn_pool *pool,
		      void *control, uint32_t client, struct tn_lane_ref self)
{
	*r = (struct tn_recover){
		.pool = pool,
		.control = control,
		.self = self,
		.client = client,
	};
	tn64_store_relaxed(&pool->clients[TN_CLIENT_SLOT(client)].state,
			   TN_CLIENT_DEAD | client);
	/* before the sweep looks at any tag: see give in pool/hold.c */
	tn_fence_full();
}

/* What cannot be so, for the log. */
static int unclean(struct tn_recover *r, const char *what, uint64_t where)
{
	r->what = what;
	r->where = where;
	return -EUCLEAN;
}

static struct tn_lane_ref dead_lane(const struct tn_recover *r, uint64_t index)
{
	return (struct tn_lane_ref){
		.control = r->control,
		.rec = tn_lane_rec(&r->pool->geo, r->control, (uint32_t)index),
		.client = r->client,
		.index = (uint32_t)index,
	};
}

static int recover_lane(struct tn_recover *r, uint64_t index)
{
	struct tn_lane_ref l = dead_lane(r, index);

	switch (TN_OP_KIND(tn64_load_relaxed(&l.rec->op))) {
	case TN_OP_NONE:
		return 0;
	case TN_OP_RUN:
	case TN_OP_SLAB:
		return tn_run_resume(r->pool, &l);
	case TN_OP_GIVE:
	case TN_OP_PUBLISH:
	case TN_OP_CLAIM:
		return tn_hold_resume(r->pool, &l);
	case TN_OP_SHARE:
	case TN_OP_HOLD:
	case TN_OP_RELEASE:
		return tn_share_resume(r->pool, &l);
	default:
		return -EUCLEAN;
	}
}

static int recover_run(struct tn_recover *r, uint64_t page)
{
	struct tn_pool *pool = r->pool;
	struct tn_object obj;
	uint16_t t, left;

	/* a living client may have given it back since: then it was its */
	if (tn_object_find(pool, page << TN_PAGE_SHIFT, &obj) < 0 || !obj.pages)
		return 0;
	/* HB< tag.hand */
	t = tn16_load_acquire(obj.tag);
	if (t == TN_TAG_SHARED) {
		if (tn_share_release(pool, &r->self, page << TN_PAGE_SHIFT,
				     TN_CLIENT_SLOT(r->client)) != 1)
			return 0;
	} else {
		if (!tn_tag_orphan(t, r->client, r->self.client))
			return 0;
		left = tn_tag_left(t);
		/* if free, ours to drop from here on, whoever of us finds it
		 * again; unless a giver has just taken it back */
		/* HB> tag.hand; HB< tag.hand */
		if (!tn16_cas_acq_rel(obj.tag, &t,
				      left ? left : KEPT(r->client)) || left)
			return 0;
	}
	r->freed_objects += TN_TAG_FORM(t) != TN_TAG_KEPT;
	r->freed_bytes += obj.bytes;
	r->used += obj.pages / TN_ROW_PAGES;
	return tn_run_drop(pool, &r->self, TN_OP_RUN, page, obj.pages) < 0 ?
	       unclean(r, "map of the run at page", page) : 0;
}

/* Return: 0 done with the page; 1 later; -EUCLEAN */
static int recover_page(struct tn_recover *r, uint64_t page)
{
	uint64_t word = tn64_load_relaxed(&r->pool->pages[page].word);
	uint64_t freed = 0;
	unsigned class = TN_PAGE_CLASS(word);
	int e;

	switch (TN_PAGE_KIND(word)) {
	case 0:
		return 0;
	case TN_PAGE_RUN:
		return recover_run(r, page);
	case TN_PAGE_SLAB:
		if (class >= TN_N_CLASSES)
			return unclean(r, "class in the word of page", page);
		e = tn_slab_sweep(r->pool, &r->self, page, r->client, &freed);
		r->freed_objects += freed;
		/* a shared one may be some 30 times the work of another */
		r->used += 4ULL * r->pool->shapes[class].slots;
		r->freed_bytes += freed * r->pool->shapes[class].bytes;
		return e < 0 ? unclean(r, "slab at page", page) : e;
	default:
		return unclean(r, "kind in the word of page", page);
	}
}

/* An area's touched pages, from r->page on. Return: 1: the budget is used
 * up; 0: done with it; -EUCLEAN */
static int recover_area(struct tn_recover *r, uint64_t area, unsigned budget)
{
	tn_a64 *words = tn_touched_pages(r->pool, TN_CLIENT_SLOT(r->client),
					 area);
	uint64_t end = (area + 1) * TN_AREA_PAGES, bits;
	int e;

	r->page = tn_max64(r->page, end - TN_AREA_PAGES);
	for (; r->page < end; r->page++) {
		tn_a64 *word = &words[r->page % TN_AREA_PAGES / 64];

		bits = tn64_load_relaxed(word) & ~0ULL << r->page % 64;
		if (!bits) {
			r->page |= 63;
			continue;
		}
		if (r->used >= budget)
			return 1;
		r->page = (r->page & ~63ULL) + (unsigned)__builtin_ctzll(bits);
		if (!tn_geo_has(&r->pool->geo, r->page, 1))
			return unclean(r, "touched page", r->page);
		r->used += 8;
		e = recover_page(r, r->page);
		if (e < 0)
			return e;
		if (e)
			r->kept = true;
		else
			tn64_and_relaxed(word, ~(1ULL << r->page % 64));
	}
	return 0;
}

/* Areas from r->at to @end; then r->at is the first again. Return: 1 the budget
 * is used up; 0; -EUCLEAN */
static int recover_pages(struct tn_recover *r, uint64_t end, unsigned budget)
{
	tn_a64 *words = tn_touched_areas(r->pool, TN_CLIENT_SLOT(r->client));
	uint64_t bits;
	int e;

	while (r->at < end) {
		bits = tn64_load_relaxed(&words[r->at / 64]);
		bits &= ~0ULL << r->at % 64;
		if (!bits) {
			r->at = (r->at | 63) + 1;
			continue;
		}
		if (r->used >= budget)
			return 1;
		r->at = (r->at & ~63ULL) + (unsigned)__builtin_ctzll(bits);
		if (r->at >= r->pool->geo.n_areas)
			return unclean(r, "touched area", r->at);
		if (r->at >= end)
			break;
		e = recover_area(r, r->at, budget);
		if (e)
			return e;
		r->used += 64;
		if (r->kept)
			r->later = true;
		else
			tn64_and_relaxed(&words[r->at / 64],
					 ~(1ULL << r->at % 64));
		r->kept = false;
		r->at++;
	}
	r->at = 0;
	r->page = 0;
	return 0;
}

static void recover_number(struct tn_recover *r, uint64_t index)
{
	struct tn_lane_ref l = dead_lane(r, index);

	if (!tn64_load_relaxed(&l.rec->state))
		return;
	tn_lane_end(r->pool, &l);
	tn64_store_relaxed(&l.rec->state, 0);
}

static int recover_lanes(struct tn_recover *r, unsigned budget)
{
	uint64_t n = tn_lanes_used(r->control), op;

	for (; r->at < n; r->at++) {
		if (r->used >= budget)
			return 1;
		op = tn64_load_relaxed(&dead_lane(r, r->at).rec->op);
		r->used += 1 + TN_OP_PAGES(op) / TN_ROW_PAGES;
		if (recover_lane(r, r->at) < 0)
			return unclean(r, "record of lane", r->at);
	}
	r->at = 0;
	r->phase = PHASE_PINS;
	return 1;
}

/* A pin is forgotten when what it says is written down. */
static void recover_pin(struct tn_recover *r, tn_a64 *pin, uint64_t ref)
{
	if (ref & TN_PIN_WRITE)
		tn_handle_torn(r->pool, ref);
	tn_fence_compiler();
	tn64_store_relaxed(pin, 0);
}

static void recover_long_pins(struct tn_recover *r)
{
	tn_a64 *any = &((struct tn_control *)(void *)r->control)->long_pins;
	struct tn_long_pin *l = (void *)(r->control + r->pool->geo.long_pins);

	if (!tn64_load_relaxed(any))
		return;
	for (unsigned i = 0; i < TN_N_LONG_PINS; i++, l++)
		if (tn64_load_relaxed(&l->count))
			recover_pin(r, &l->count, tn64_load_relaxed(&l->ref));
	tn64_store_relaxed(any, 0);
	r->used += TN_N_LONG_PINS / 8;
}

/* Lanes from r->at on. Always 1: there is more, if only the next phase. */
static int recover_pins(struct tn_recover *r, unsigned budget)
{
	uint64_t n = tn_lanes_used(r->control), ref;

	for (; r->at < n && r->used < budget; r->at++) {
		struct tn_lane_ref l = dead_lane(r, r->at);
		tn_a64 *pins = tn_lane_pins(&r->pool->geo, r->control,
					    l.index);

		for (unsigned i = 0; i < TN_LANE_PINS; i++) {
			ref = tn64_load_relaxed(&pins[i]);
			if (ref)
				recover_pin(r, &pins[i], ref);
		}
		tn64_store_relaxed(&l.rec->section, 0);
		r->used += TN_LANE_PINS / 8;
	}
	if (r->at < n)
		return 1;
	recover_long_pins(r);
	r->at = r->pool->geo.n_data_areas;
	r->phase = PHASE_HANDLES;
	return 1;
}

static int recover_handles_phase(struct tn_recover *r, unsigned budget)
{
	int e = recover_pages(r, r->pool->geo.n_areas, budget);

	if (e)
		return e;
	r->phase = PHASE_PAGES;
	return 1;
}

static int recover_pages_phase(struct tn_recover *r, unsigned budget)
{
	int e = recover_pages(r, r->pool->geo.n_data_areas, budget);

	if (e)
		return e;
	if (r->later) {
		r->later = false;
		r->at = r->pool->geo.n_data_areas;
		r->phase = PHASE_HANDLES;
		return TN_RECOVER_LATER;
	}
	r->phase = PHASE_NUMBERS;
	return 1;
}

/* Of tarnd alone: a client moves nothing. What its lane had under way comes in
 * the same step: a compaction may be next in that lane. */
static int recover_moves(struct tn_recover *r, unsigned budget)
{
	const struct tn_lane_ref l = dead_lane(r, 0);

	if (r->client == TN_DAEMON_SLOT && tn_move_replay(r->pool, &l) < 0)
		return unclean(r, "journal of tarnd", 0);
	r->phase = PHASE_LANES;
	return recover_lanes(r, budget);
}

int tn_recover_step(struct tn_recover *r, unsigned budget)
{
	r->used = 0;
	switch (r->phase) {
	case PHASE_MOVES:
		return recover_moves(r, budget);
	case PHASE_LANES:
		return recover_lanes(r, budget);
	case PHASE_PINS:
		return recover_pins(r, budget);
	case PHASE_HANDLES:
		return recover_handles_phase(r, budget);
	case PHASE_PAGES:
		return recover_pages_phase(r, budget);
	case PHASE_NUMBERS:
		for (r->at = 0; r->at < tn_lanes_used(r->control); r->at++)
			recover_number(r, r->at);
		r->phase = PHASE_DONE;
		return 0;
	default:
		return 0;
	}
}
