/* SPDX-License-Identifier: BSD-2-Clause */
/* What is in a busy pool: slabs, runs, links, shares; and lanes of client 1
 * that died in the middle. */
#include "tests/lib/tn_busy.h"

#include <stdlib.h>

#include "pool/cache.h"
#include "pool/row.h"
#include "pool/share.h"
#include "pool/step.h"

/* Phases of share ops, as pool/share.c has them. */
enum { UP = 1, SET, CLEAR, DOWN };

static void must(bool ok)
{
	if (!ok)
		abort();
}

static uint64_t off_of(struct tn_busy *b, const struct tn_slot *s)
{ return tn_pool_off(&b->pool, s->p); }

/* @n objects of a class. */
static void hold(struct tn_busy *b, uint32_t client, unsigned class,
		 struct tn_slot *out, unsigned n)
{
	struct tn_slab_cursor cursor = { 0 };

	for (unsigned got = 0, more; got < n; got += more) {
		more = tn_slab_claim(&b->pool, &b->lane[client], class,
				     &cursor, out + got, n - got);
		must(more);
	}
	for (unsigned i = 0; i < n; i++)
		tn16_store_relaxed(out[i].tag, (uint16_t)client);
}

static uint64_t hold_one(struct tn_busy *b, uint32_t client, unsigned class)
{
	struct tn_slot s;

	hold(b, client, class, &s, 1);
	return off_of(b, &s);
}

static uint64_t hold_run(struct tn_busy *b, uint32_t client, uint64_t pages)
{
	uint64_t page;

	must(tn_run_alloc(&b->pool, &b->lane[client], pages,
			  TN_FIRST_FIT, &page) == 0);
	return page << TN_PAGE_SHIFT;
}

static void fill_slabs(struct tn_busy *b)
{
	static const unsigned classes[] = { 0, 3, 15, 39, 55, 71 };
	struct tn_slot s[8];
	unsigned n = 0;

	b->cache = tn_cache_make(&b->pool, "job", 100, 64);
	must(b->cache > 0 &&
	     tn_cache_make(&b->pool, "unused", 48, 16) > 0);
	for (unsigned i = 0; i < TN_ARRAY_LEN(classes); i++) {
		hold(b, TN_BUSY_DEAD, classes[i], s, i < 5 ? 6 : 2);
		tn16_store_relaxed(s[0].tag, TN_TAG_KEPT | TN_BUSY_DEAD);
		tn16_store_relaxed(s[1].tag, TN_TAG_POOL);
		hold(b, TN_BUSY_ALIVE, classes[i], &b->slots[n], 3);
		n += 3;
		hold(b, TN_BUSY_OTHER, classes[i], s, 2);
	}
	hold(b, TN_BUSY_DEAD, (unsigned)b->cache, s, 8);
	hold(b, TN_BUSY_ALIVE, (unsigned)b->cache, &b->slots[n], 3);
	n += 3;
	hold(b, TN_BUSY_ALIVE, 9, &b->slots[n], 3);
	must(n + 3 == TN_BUSY_N_SLOTS);
}

static void fill_objects(struct tn_busy *b)
{
	struct tn_pool *pool = &b->pool;
	struct tn_lane_ref *l = b->lane;
	uint64_t off;

	hold_run(b, TN_BUSY_DEAD, 3);
	hold_run(b, TN_BUSY_DEAD, 70);
	hold_run(b, TN_BUSY_OTHER, 9);
	b->run = hold_run(b, TN_BUSY_ALIVE, 5);
	b->pooled = hold_one(b, TN_BUSY_OTHER, 7);
	must(tn_hold_detach(pool, &l[TN_BUSY_OTHER], b->pooled) == 0);
	tn64_store_relaxed(&tn_root_find(pool, "root", true)->ref,
			   tn_ref_make(pool, b->pooled));
	/* given, both ways; linked */
	off = hold_one(b, TN_BUSY_DEAD, 5);
	must(tn_hold_give(pool, &l[TN_BUSY_DEAD], off, TN_BUSY_ALIVE) == 0);
	off = hold_one(b, TN_BUSY_OTHER, 5);
	must(tn_hold_give(pool, &l[TN_BUSY_OTHER], off, TN_BUSY_DEAD) == 0);
	off = hold_one(b, TN_BUSY_OTHER, 5);
	must(tn_hold_publish(pool, &l[TN_BUSY_OTHER], b->pooled + 8, off) == 0);
	/* shared by three, by the dead alone, and a run */
	b->shared = hold_one(b, TN_BUSY_ALIVE, 11);
	must(tn_share_make(pool, &l[TN_BUSY_ALIVE], b->shared) == 0 &&
	     tn_share_hold(pool, &l[TN_BUSY_DEAD], b->shared) == 0 &&
	     tn_share_hold(pool, &l[TN_BUSY_OTHER], b->shared) == 0);
	off = hold_one(b, TN_BUSY_DEAD, 11);
	must(tn_share_make(pool, &l[TN_BUSY_DEAD], off) == 0);
	off = hold_run(b, TN_BUSY_DEAD, 2);
	must(tn_share_make(pool, &l[TN_BUSY_DEAD], off) == 0);
}

/* Lanes of the dead, each left where it died. */

static struct tn_lane_ref die(struct tn_busy *b)
{
	struct tn_control *h = (void *)b->control[TN_BUSY_DEAD].at;
	uint32_t index = (uint32_t)tn64_load_relaxed(&h->lanes);

	return tn_busy_lane(b, TN_BUSY_DEAD, index);
}

/* A run in the lane's hands: taken; with words; or (un)claimed in part. */
static void die_in_runs(struct tn_busy *b)
{
	struct tn_pool *pool = &b->pool;
	struct tn_lane_ref l = die(b);
	uint64_t page, step;

	must(tn_run_take(pool, &l, TN_OP_RUN, 5, TN_FIRST_FIT, &page) == 0);
	l = die(b);
	must(tn_run_take(pool, &l, TN_OP_SLAB, 4, TN_FIRST_FIT, &page) == 0);
	for (unsigned i = 0; i < 2; i++)
		tn64_store_relaxed(&pool->pages[page + i].word,
				   TN_PAGE_SLAB_WORD(0, i));
	/* upwards: the first of two rows is claimed, the second is not */
	l = die(b);
	must(tn_run_take(pool, &l, TN_OP_RUN, 100, TN_FIRST_FIT, &page) == 0);
	step = TN_PROGRESS_STEP(tn64_load_relaxed(&l.rec->progress));
	must(tn_row_release(pool, &l, page / 64 + 1, tn_mask(0, 36),
			    TN_PROGRESS(1, 1, 0)) == 0);
	tn64_store_relaxed(&l.rec->progress, TN_PROGRESS(0, 1, step + 9));
	/* downwards: the upper one is released */
	l = die(b);
	must(tn_run_take(pool, &l, TN_OP_RUN, 90, TN_FIRST_FIT, &page) == 0 &&
	     tn_row_release(pool, &l, page / 64 + 1, tn_mask(0, 26),
			    TN_PROGRESS(1, 1, 0)) == 0);
	/* more than an area */
	l = die(b);
	must(tn_run_take(pool, &l, TN_OP_RUN, 600, TN_FIRST_FIT, &page) == 0);
}

static void die_in_lease(struct tn_busy *b)
{
	struct tn_lane_ref l = die(b);
	struct tn_slot s[4];
	tn_a64 *word;

	hold(b, TN_BUSY_DEAD, 23, s, 4);
	for (unsigned i = 0; i < 4; i++)
		tn16_store_relaxed(s[i].tag, TN_TAG_KEPT | TN_BUSY_DEAD);
	word = &b->pool.pages[off_of(b, &s[0]) >> TN_PAGE_SHIFT &
				   ~3ULL].slab;
	tn64_store_relaxed(word, TN_SLAB_WORD(TN_SLAB_LEASED, 23, TN_BUSY_DEAD,
					      l.index, 32));
}

static void note(struct tn_lane_ref *l, unsigned kind, uint64_t ref,
		 uint64_t word)
{
	tn64_store_relaxed(&l->rec->ref, ref);
	tn64_store_relaxed(&l->rec->word, word);
	tn_lane_begin(l, TN_OP(kind, 0, 0));
}

static void die_in_links(struct tn_busy *b)
{
	struct tn_pool *pool = &b->pool;
	tn_a64 *words = (void *)(pool->data + b->pooled);
	struct tn_lane_ref l = die(b);
	struct tn_slot s[4];

	hold(b, TN_BUSY_DEAD, 6, s, 4);
	note(&l, TN_OP_GIVE, off_of(b, &s[0]), TN_BUSY_OTHER);
	tn_touch(pool, TN_BUSY_OTHER,
		 off_of(b, &s[0]) >> TN_PAGE_SHIFT & ~3ULL);
	tn16_store_relaxed(s[0].tag, TN_TAG_GIVEN | TN_BUSY_OTHER);
	for (unsigned i = 1; i < 4; i++)
		tn16_store_relaxed(s[i].tag, TN_TAG_LINK | TN_BUSY_DEAD);
	l = die(b);
	note(&l, TN_OP_PUBLISH, off_of(b, &s[1]), b->pooled + 16);
	tn64_store_relaxed(&words[2], tn_ref_make(pool, off_of(b, &s[1])));
	l = die(b);
	note(&l, TN_OP_CLAIM, off_of(b, &s[2]) | TN_LANE_LINKED,
	     b->pooled + 24);
	l = die(b);
	note(&l, TN_OP_CLAIM, off_of(b, &s[3]), b->pooled + 32);
}

static void share_step(struct tn_busy *b, struct tn_lane_ref *l,
		       tn_a128 *word, unsigned phase, uint64_t value)
{
	struct tn_step s;

	tn_step_begin(&s, l, word, TN_PROGRESS(0, phase, 0));
	must(tn_step_try(&b->pool, &s, value));
}

static uint64_t record_of(struct tn_busy *b, uint64_t off)
{
	const struct tn_pool *pool = &b->pool;

	for (uint64_t i = 0; i < pool->geo.n_shares; i++)
		if (TN_SHARE_OFF(tn64_load_relaxed(&pool->shares[i].state.lo))
		    == off)
			return i;
	abort();
}

static void share_begin(struct tn_lane_ref *l, unsigned kind, uint64_t record,
			uint64_t off)
{
	tn_lane_fresh(l, 0);
	note(l, kind, off, TN_BUSY_DEAD);
	tn_lane_begin(l, TN_OP(kind, record, 0));
}

static void die_in_shares(struct tn_busy *b)
{
	struct tn_pool *pool = &b->pool;
	struct tn_lane_ref l = die(b);
	struct tn_object obj;
	uint64_t off[2], record;

	/* a hold, counted but without its bit */
	off[0] = hold_one(b, TN_BUSY_OTHER, 13);
	must(tn_share_make(pool, &b->lane[TN_BUSY_OTHER], off[0]) == 0);
	record = record_of(b, off[0]);
	share_begin(&l, TN_OP_HOLD, record, off[0]);
	share_step(b, &l, &pool->shares[record].state, UP,
		   TN_SHARE_VALUE(off[0], 2));
	/* a release whose bit is gone */
	l = die(b);
	off[1] = hold_one(b, TN_BUSY_DEAD, 13);
	must(tn_share_make(pool, &b->lane[TN_BUSY_DEAD], off[1]) == 0);
	record = record_of(b, off[1]);
	share_begin(&l, TN_OP_RELEASE, record, off[1]);
	share_step(b, &l, &pool->shares[record].set[0], CLEAR, 0);
	/* a share that has not got to the tag */
	l = die(b);
	off[1] = hold_one(b, TN_BUSY_DEAD, 13);
	must(tn_share_make(pool, &l, off[1]) == 0);
	must(tn_object_find(pool, off[1], &obj) == 0);
	tn16_store_relaxed(obj.tag, TN_TAG_HELD | TN_BUSY_DEAD);
	share_begin(&l, TN_OP_SHARE, record_of(b, off[1]), off[1]);
	tn64_store_relaxed(&l.rec->progress, TN_PROGRESS(0, SET,
		TN_PROGRESS_STEP(tn64_load_relaxed(&l.rec->progress)) - 1));
}

void tn_busy_fill(struct tn_busy *b)
{
	for (uint32_t c = 1; c < 4; c++)
		b->lane[c] = tn_busy_lane(b, c, 0);
	fill_slabs(b);
	fill_objects(b);
	die_in_runs(b);
	die_in_lease(b);
	die_in_links(b);
	die_in_shares(b);
	tn_busy_fill_movable(b);
}
