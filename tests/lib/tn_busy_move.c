/* SPDX-License-Identifier: BSD-2-Clause */
/* What is in a busy pool that can be moved: objects with handles, pins, and
 * moves of a tarnd that died in the middle; and tarnd's compaction of it. */
#include "tests/lib/tn_busy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/cache.h"
#include "pool/compact.h"
#include "pool/fit.h"
#include "pool/share.h"
#include "pool/trim.h"

#define CLASS (TN_CLASS_MOVABLE + 31) /* 1 KiB: 32 in a slab */
#define N_SLOTS 96U
#define N_MOVES 4U
#define STEPS_MAX 10000U
#define HELD_MAX 3U

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void die(const char *what, uint64_t a, uint64_t b)
{
	fprintf(stderr, "busy pool: %s: %#llx, %#llx\n", what,
		(unsigned long long)a, (unsigned long long)b);
	abort();
}

uint64_t tn_busy_hmake(struct tn_busy *b, const struct tn_lane_ref *l,
		       uint64_t off)
{
	struct tn_slab_cursor cursor = { 0 };
	struct tn_pool *pool = &b->pool;
	struct tn_object obj;
	struct tn_slot entry;

	if (tn_object_find(pool, off, &obj) < 0 ||
	    !tn_slab_claim(pool, l, TN_CLASS_HANDLE, &cursor, &entry, 1))
		return 0;
	tn16_store_relaxed(entry.tag, (uint16_t)l->client);
	return tn_handle_bind(pool, tn_pool_off(pool, entry.p), &obj, off);
}

static uint64_t entry_of(const struct tn_busy *b, uint64_t ref)
{
	return (b->pool.geo.handle_page << TN_PAGE_SHIFT) +
	       TN_HANDLE_IDX(ref) * sizeof(struct tn_handle);
}

/* Three slabs, of whose slots every second one has a handle: clients 1, 2 and
 * 3 in turn. */
static void fill_holes(struct tn_busy *b, uint64_t *ret_refs)
{
	const struct tn_slab_cursor none = { 0 };
	struct tn_slab_cursor cursors[4] = { 0 };
	struct tn_slot s[N_SLOTS];

	for (unsigned i = 0; i < N_SLOTS; i++)
		must(tn_slab_claim(&b->pool, &b->lane[1 + i % 3], CLASS,
				   &cursors[1 + i % 3], &s[i], 1));
	for (unsigned i = 0; i < N_SLOTS; i++) {
		const struct tn_lane_ref *l = &b->lane[1 + i % 3];

		if (i % 2) {
			must(tn_slab_return(&b->pool, l, CLASS, &s[i], 1,
					    &none) == 0);
			continue;
		}
		*ret_refs = tn_busy_hmake(b, l, tn_pool_off(&b->pool,
							    s[i].p));
		must(*ret_refs++);
	}
}

/* Of refs, 0, 3, 6 ... are client 1's, 2, 5, 8 ... client 2's. */
static void fill_hands(struct tn_busy *b, const uint64_t *refs)
{
	const unsigned where = TN_FIRST_FIT | TN_AMONG(TN_GROUP_MOVABLE);
	struct tn_lane_ref *l = b->lane;
	struct tn_pool *pool = &b->pool;
	uint64_t page;

	must(tn_hold_detach(pool, &l[1], entry_of(b, refs[0])) == 0);
	must(tn_hold_give(pool, &l[1], entry_of(b, refs[3]), 3) == 0);
	must(tn_share_make(pool, &l[1], entry_of(b, refs[6])) == 0);
	must(tn_share_hold(pool, &l[2], entry_of(b, refs[6])) == 0);
	for (unsigned c = 1; c < 3; c++) {
		must(tn_run_alloc(pool, &l[c], 3, where, &page) == 0);
		must(tn_busy_hmake(b, &l[c], page << TN_PAGE_SHIFT));
	}
	memcpy(b->handles, refs, sizeof(b->handles));
}

static void pin(struct tn_busy *b, uint32_t client, unsigned i, uint64_t ref)
{
	tn64_store_relaxed(&tn_lane_pins(&b->pool.geo, b->control[client].at,
					 0)[i], ref);
}

static void pin_long(struct tn_busy *b, uint32_t client, uint64_t ref)
{
	struct tn_control *h = (void *)b->control[client].at;
	struct tn_long_pin *p = (void *)(b->control[client].at +
					 b->pool.geo.long_pins);

	tn64_store_relaxed(&p->ref, ref);
	tn64_store_relaxed(&p->count, 1);
	tn64_store_relaxed(&h->long_pins, 1);
}

static void fill_pins(struct tn_busy *b, const uint64_t *refs)
{
	pin(b, TN_BUSY_DEAD, 0, refs[2]);
	pin(b, TN_BUSY_DEAD, 3, refs[9] & ~TN_PIN_WRITE);
	pin_long(b, TN_BUSY_DEAD, refs[5]);
	pin(b, TN_BUSY_ALIVE, 0, refs[8]);
	pin(b, TN_BUSY_ALIVE, 1, refs[1] & ~TN_PIN_WRITE);
	pin_long(b, TN_BUSY_ALIVE, refs[11]);
	b->lane[TN_BUSY_DEAD].rec->section.v = 1;
	b->lane[TN_BUSY_ALIVE].rec->section.v = 2;
}

/* A tarnd that had drained the highest slab, and came as far with each of the
 * first objects there: noted; marked; moved; and freed the old place. */
static void die_in_moves(struct tn_busy *b, const uint64_t *refs)
{
	static struct tn_mover m;
	struct tn_slot to[N_MOVES];
	struct tn_object obj;

	tn_mover_init(&m, &b->pool, tn_busy_lane(b, 0, 0));
	for (unsigned i = 0; i < N_MOVES; i++) {
		uint64_t idx = TN_HANDLE_IDX(refs[N_SLOTS / 2 - 1 - i]);
		struct tn_handle *h = tn_handle_at(&b->pool, idx);
		struct tn_moving *mv = &m.batch[i];
		uint64_t place = tn64_load_relaxed(&h->place);

		mv->idx = idx;
		mv->from = TN_HANDLE_OFF(place);
		must(tn_object_find(&b->pool, mv->from, &obj) == 0);
		if (!i) {
			must(tn_slab_drain(&b->pool, &m.self, obj.page,
					   CLASS));
			must(tn_slab_claim_below(&b->pool, &m.self, CLASS,
						 obj.page, to, N_MOVES) ==
			     N_MOVES);
		}
		mv->to = tn_pool_off(&b->pool, to[i].p);
		mv->to_tag = to[i].tag;
		tn_move_note(&m, i);
		if (i == 1)
			tn64_store_relaxed(&h->place, place ^
				(TN_HANDLE_LIVE ^ TN_HANDLE_MOVING) << 62);
		if (i >= 2)
			tn64_store_relaxed(&h->place, TN_HANDLE_PLACE(
					   TN_HANDLE_LIVE, mv->to));
		if (i == 3)
			tn16_store_relaxed(obj.tag, TN_TAG_FREE);
	}
}

void tn_busy_fill_movable(struct tn_busy *b)
{
	uint64_t refs[N_SLOTS / 2];

	fill_holes(b, refs);
	fill_hands(b, refs);
	fill_pins(b, refs);
	die_in_moves(b, refs);
}

/* Compaction */

static int no_fence(void *arg)
{
	(void)arg;
	return 0;
}

static void no_pause(void *arg)
{ (void)arg; }

static void the_living(void *arg, struct tn_mover *m)
{
	struct tn_busy *b = arg;

	tn_move_look(m, b->control[TN_BUSY_ALIVE].at);
	tn_move_look(m, b->control[TN_BUSY_OTHER].at);
}

static int punch_nothing(void *arg, uint64_t page, uint64_t n)
{
	struct tn_busy *b = arg;

	if (!tn_geo_has(&b->pool.geo, page, n))
		die("punches", page, n);
	return 0;
}

static int punch_nothing_of_meta(void *arg, uint64_t off, uint64_t bytes)
{
	struct tn_busy *b = arg;

	if (off < b->pool.geo.pages || off > b->meta.bytes ||
	    bytes > b->meta.bytes - off)
		die("punches meta", off, bytes);
	return 0;
}

/* Return: as of tn_compact_step(); 1: somebody is in a section. */
static int pass(struct tn_busy *b, struct tn_mover *m)
{
	struct tn_compact c;
	unsigned steps = 0, held = 0;
	int r;

	tn_compact_begin(&c, m);
	do {
		r = tn_compact_step(&c, 256 << 10);
		held += m->held.control != NULL;
		if (++steps == STEPS_MAX)
			die("compaction does not end", c.area, c.page);
	} while (r > 0 && held < HELD_MAX);
	b->moved += m->moved_objects;
	return r;
}

static int trim(struct tn_busy *b, const struct tn_lane_ref *l)
{
	const struct tn_punch how = {
		punch_nothing, punch_nothing_of_meta, b,
	};
	const struct tn_geo *geo = &b->pool.geo;
	int r = tn_trim(&b->pool, l, 0, geo->n_pages, &how);

	return r < 0 ? r : tn_trim(&b->pool, l, geo->handle_page,
				   geo->n_areas << TN_AREA_SHIFT, &how);
}

enum tn_busy_end tn_busy_compact(struct tn_busy *b)
{
	static _Thread_local struct tn_mover m;
	int r;

	tn_mover_init(&m, &b->pool, tn_busy_lane(b, 0, 0));
	m.fence = no_fence;
	m.clients = the_living;
	m.pause = no_pause;
	m.arg = b;
	r = pass(b, &m);
	if (r >= 0)
		r = trim(b, &m.self);
	if (r < 0)
		return TN_BUSY_REFUSED;
	return tn_busy_audit(b, true) ? TN_BUSY_HOLDS : TN_BUSY_NAMED;
}
