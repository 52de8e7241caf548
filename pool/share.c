/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared objects: held by a set of clients, freed by the last one.
 *
 *   tag = SHARED      record | state: offset, holders | set: a bit a client |
 *
 * The record of an object is one of the 32 that follow the hash of its place;
 * it is found by the offset in its state. Count and bits say the same thing
 * twice, because each is good for one: the count is one word, so that "I was
 * the last" and "there is still one" exclude each other; the bits say whose
 * holds end with a death.
 *
 *   share    up:    state 0 -> offset, 1      hold     up:   count + 1, if > 0
 *            set:   our bit                            set:  our bit
 *            tag    HELD -> SHARED                     (it was set: down)
 *   release  clear: our bit
 *            down:  count - 1; at 0:
 *            finish tag SHARED -> KEPT; state -> 0
 *
 * up, set, clear and down are steps (pool/step.h), and the phase stands in the
 * lane's progress beside the number; so recovery knows of each whether it was
 * done, and goes on: a hold that did not get to its bit is taken back, a
 * release that cleared its bit is finished.
 *
 * I1  count = bits set + holds and shares between up and set + releases
 *     between clear and down; all of these stand in records of lanes.
 * I2  A count of 0 with an offset is the way out: nobody can come in (up wants
 *     more than 0), and whoever made it so finishes. finish may be done by
 *     two (that one, and a recovery that cannot tell): the tag's
 *     compare-and-swap has one winner, who frees; clearing the state twice
 *     does nothing.
 * I3  At most one record has an offset whose tag is SHARED. A share looks for
 *     an old one first, and only the object's one holder can share it.
 *
 * Who writes: state and set, any client, by steps; the tag, see pool/hold.c.
 * Orderings: step.word; tag.hand for the tag.
 *
 * Crash windows: one before and one after each of the steps, resumed by the
 * table in tn_share_resume(). Between SHARED -> KEPT and state -> 0: down was
 * done, so finish is done again; the tag is the dead client's and is swept.
 *
 * What it does not do: count a client's holds. A client holds or does not,
 * whatever number of its threads asked; the second hold is fine and the
 * second release is -EPERM.
 */
#include "pool/share.h"

#include <errno.h>

#include "pool/hold.h"
#include "pool/step.h"

enum { PHASE_NONE, PHASE_UP, PHASE_SET, PHASE_CLEAR, PHASE_DOWN };

#define MAX_HOLDERS 4000U /* more than there can be; below what fits */

/* SplitMix64's finisher (Steele, Lea, Flood 2014): neighbours far apart. */
static uint64_t hash(uint64_t off)
{
	uint64_t x = (off >> 4) + 0x9e3779b97f4a7c15ULL;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static uint64_t nth(const struct tn_pool *pool, uint64_t off, unsigned i)
{ return (hash(off) + i) & (pool->geo.n_shares - 1); }

/* The record of a shared object. Return: false: there is none. */
static bool find(const struct tn_pool *pool, uint64_t off, uint64_t *ret)
{
	uint64_t want = TN_SHARE_VALUE(off, 0) >> 12;

	for (unsigned i = 0; i < TN_SHARE_WINDOW; i++) {
		*ret = nth(pool, off, i);
		if (tn64_load_relaxed(&pool->shares[*ret].state.lo) >> 12 ==
		    want)
			return true;
	}
	return false;
}

/* An op on a record, at its start. */
static void begin(const struct tn_lane_ref *l, unsigned kind, uint64_t record,
		  uint64_t off, unsigned slot)
{
	tn_lane_fresh(l, PHASE_NONE);
	tn64_store_relaxed(&l->rec->ref, off);
	tn64_store_relaxed(&l->rec->word, slot);
	tn_lane_begin(l, TN_OP(kind, record, 0));
}

/* count + @by, if it is not 0 (@by 1, and @first: 0 -> offset, 1).
 * Return: the count then, or -1: the record is no longer one of this object,
 * or nobody holds it. */
static int count(struct tn_pool *pool, const struct tn_lane_ref *l,
		 uint64_t record, uint64_t off, int by, bool first)
{
	unsigned phase = by > 0 ? PHASE_UP : PHASE_DOWN, n;
	struct tn_step s;

	tn_step_begin(&s, l, &pool->shares[record].state,
		      TN_PROGRESS(0, phase, 0));
	do {
		n = TN_SHARE_HOLDERS(s.seen.lo);
		if (first ? s.seen.lo != 0 :
		    !n || n > MAX_HOLDERS ||
		    s.seen.lo != TN_SHARE_VALUE(off, n))
			return -1;
		n = (unsigned)((int)n + by);
	} while (!tn_step_try(pool, &s, TN_SHARE_VALUE(off, n)));
	return (int)n;
}

/* Return: true, or false if the bit is so already. */
static bool set_bit(struct tn_pool *pool, const struct tn_lane_ref *l,
		    uint64_t record, unsigned slot, bool on)
{
	tn_a128 *word = &pool->shares[record].set[slot / 64];
	uint64_t bit = 1ULL << slot % 64;
	struct tn_step s;

	tn_step_begin(&s, l, word,
		      TN_PROGRESS(0, on ? PHASE_SET : PHASE_CLEAR, 0));
	do {
		if (!(s.seen.lo & bit) == !on)
			return false;
	} while (!tn_step_try(pool, &s, s.seen.lo ^ bit));
	return true;
}

static bool has_bit(const struct tn_pool *pool, uint64_t record, unsigned slot)
{
	return tn64_load_relaxed(&pool->shares[record].set[slot / 64].lo) >>
	       slot % 64 & 1;
}

/* After a count that has become 0: who frees the object? Return: 1: we do. */
static int finish(struct tn_pool *pool, const struct tn_lane_ref *l,
		  uint64_t record, uint64_t off)
{
	uint16_t was = TN_TAG_SHARED;
	struct tn_object obj;
	int won = 0;

	TN_CRASH("share.down");
	if (tn_object_find(pool, off, &obj) == 0)
		/* HB> tag.hand; HB< tag.hand */
		won = tn16_cas_acq_rel(obj.tag, &was,
				(uint16_t)(TN_TAG_KEPT | l->client));
	TN_CRASH("share.freed");
	tn_step_clear(pool, &pool->shares[record].state,
		      TN_SHARE_VALUE(off, 0));
	return won;
}

/* One hold fewer. Return: 1: it was the last, and the object is ours. */
static int down(struct tn_pool *pool, const struct tn_lane_ref *l,
		uint64_t record, uint64_t off)
{
	return count(pool, l, record, off, -1, false) == 0 ?
	       finish(pool, l, record, off) : 0;
}

/* A free record of the window, with the op open on it and its count 1. */
static bool claim_record(struct tn_pool *pool, const struct tn_lane_ref *l,
			 uint64_t off, unsigned slot, uint64_t *ret)
{
	for (unsigned i = 0; i < TN_SHARE_WINDOW; i++) {
		*ret = nth(pool, off, i);
		if (tn64_load_relaxed(&pool->shares[*ret].state.lo))
			continue;
		begin(l, TN_OP_SHARE, *ret, off, slot);
		if (count(pool, l, *ret, off, 1, true) == 1)
			return true;
		tn_lane_commit(l);
	}
	return false;
}

int tn_share_make(struct tn_pool *pool, const struct tn_lane_ref *l,
		  uint64_t off)
{
	unsigned slot = TN_CLIENT_SLOT(l->client);
	uint16_t held = (uint16_t)(TN_TAG_HELD | l->client);
	struct tn_object obj;
	uint64_t record;
	int r = 0;

	if (tn_object_find(pool, off, &obj) < 0)
		return -EINVAL;
	if (tn16_load_relaxed(obj.tag) != held)
		return -EPERM;
	if (find(pool, off, &record))
		return -EAGAIN;
	if (!claim_record(pool, l, off, slot, &record))
		return -ENOSPC;
	set_bit(pool, l, record, slot, true);
	/* HB> tag.hand; HB< tag.hand */
	if (!tn16_cas_acq_rel(obj.tag, &held, TN_TAG_SHARED)) {
		set_bit(pool, l, record, slot, false);
		down(pool, l, record, off);
		r = -EPERM;
	}
	tn_lane_commit(l);
	return r;
}

int tn_share_hold(struct tn_pool *pool, const struct tn_lane_ref *l,
		  uint64_t off)
{
	unsigned slot = TN_CLIENT_SLOT(l->client);
	struct tn_object obj;
	uint64_t record;
	int r = -EPERM;

	if (tn_object_find(pool, off, &obj) < 0)
		return -EINVAL;
	if (!find(pool, off, &record))
		return -EPERM;
	tn_touch(pool, l->client, obj.page);
	begin(l, TN_OP_HOLD, record, off, slot);
	if (count(pool, l, record, off, 1, false) > 0) {
		/* a share that is not finished, or was given up: not ours */
		/* HB< tag.hand */
		if (tn16_load_acquire(obj.tag) == TN_TAG_SHARED)
			r = 0;
		if (r < 0 || !set_bit(pool, l, record, slot, true))
			down(pool, l, record, off);
	}
	tn_lane_commit(l);
	return r;
}

int tn_share_release(struct tn_pool *pool, const struct tn_lane_ref *l,
		     uint64_t off, unsigned slot)
{
	uint64_t record;
	int r = -EPERM;

	if (!find(pool, off, &record) || !has_bit(pool, record, slot))
		return -EPERM;
	begin(l, TN_OP_RELEASE, record, off, slot);
	if (set_bit(pool, l, record, slot, false))
		r = down(pool, l, record, off);
	tn_lane_commit(l);
	return r;
}

/*
 *   phase   done                              not done
 *   up      down (the bit was not reached)    nothing
 *   set     a share without its tag: clear,   down
 *           down; else nothing: it is held
 *   clear   down                              nothing: still held
 *   down    finish, if the count is 0         down
 */
static void resume(struct tn_pool *pool, const struct tn_lane_ref *l,
		   uint64_t record, uint64_t off, unsigned slot)
{
	uint64_t progress = tn64_load_relaxed(&l->rec->progress);
	struct tn_share *share = &pool->shares[record];
	unsigned phase = (unsigned)TN_PROGRESS_ROW(progress);
	bool bit = phase == PHASE_SET || phase == PHASE_CLEAR, done;
	bool share_op = TN_OP_KIND(tn64_load_relaxed(&l->rec->op)) ==
			TN_OP_SHARE;
	struct tn_object obj;

	done = tn_step_was_done(pool, l,
				bit ? &share->set[slot / 64] : &share->state,
				TN_PROGRESS_STEP(progress));
	if (phase == PHASE_SET && done) {
		/* HB< tag.hand */
		if (!share_op || (tn_object_find(pool, off, &obj) == 0 &&
				  tn16_load_acquire(obj.tag) == TN_TAG_SHARED))
			return;
		set_bit(pool, l, record, slot, false);
		down(pool, l, record, off);
	} else if (phase == PHASE_DOWN && done) {
		if (tn64_load_relaxed(&share->state.lo) ==
		    TN_SHARE_VALUE(off, 0))
			finish(pool, l, record, off);
	} else if ((phase == PHASE_UP || phase == PHASE_CLEAR) == done) {
		down(pool, l, record, off);
	}
}

int tn_share_resume(struct tn_pool *pool, const struct tn_lane_ref *l)
{
	uint64_t record = TN_OP_PAGE(tn64_load_relaxed(&l->rec->op));
	uint64_t phase = TN_PROGRESS_ROW(tn64_load_relaxed(&l->rec->progress));
	uint64_t off = tn64_load_relaxed(&l->rec->ref);
	uint64_t slot = tn64_load_relaxed(&l->rec->word);

	if (record >= pool->geo.n_shares || slot >= TN_N_CLIENTS ||
	    !tn_geo_has(&pool->geo, off >> TN_PAGE_SHIFT, 1) ||
	    phase > PHASE_DOWN)
		return -EUCLEAN;
	if (phase != PHASE_NONE)
		resume(pool, l, record, off, (unsigned)slot);
	tn_lane_commit(l);
	return 0;
}
