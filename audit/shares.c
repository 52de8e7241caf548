/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared objects, and the records of who shares them.
 *
 * An object whose tag is SHARED has one record, in the window of 32 that
 * follow the hash of its place; from there on the record is believed, and
 * looked at once, wherever it lies:
 *
 *   state 0     no bits; nobody's step counts on it
 *   state used  a place in the pool, in whose window it is; its only record
 *     count     = bits, and of the steps under way on it one for each that
 *                 has counted itself in and not set its bit
 *                 has found its bit set, and not counted itself out again
 *                 has cleared its bit, and not counted itself out
 *     bits      clients that are there, and have the touched bits
 *     tag       SHARED; or a share is under way. With a count of 0 it may be
 *               anything, for then a step that has brought it to that ends
 *               the record.
 *
 * What a step has done is known as it is of rows: the word it is about carries
 * its stamp, or done[] its number. The phase stands where the row does:
 *
 *   1 up    count + 1         3 clear  the bit goes
 *   2 set   the bit comes     4 down   count - 1
 *
 * A pool that changes meanwhile. The seventeen words of a record change only
 * with their stamps, so what was read is what was, if it is still there after
 * everything else was looked at; and as every step that changes what a lane
 * explains is one of the record's words, what lanes explained did not change
 * either. A record that never stands still is busy, and counted.
 */
#include <string.h>

#include "audit/look.h"

enum { PHASE_UP = 1, PHASE_SET, PHASE_CLEAR, PHASE_DOWN };

#define N_SETS (TN_N_CLIENTS / 64)
#define TRIES 8U  /* picked, not tuned */
#define GROUP 64U /* records, in five pages of their own */

struct copy {
	uint64_t state, stamp;
	uint64_t set[N_SETS], set_stamp[N_SETS];
	uint64_t bits;
};
static_assert(sizeof(struct copy) == (3 + 2 * N_SETS) * sizeof(uint64_t),
	      "two of them can be held against each other byte by byte");

/* What the steps under way say of a record. */
struct steps {
	unsigned counted; /* in the count, and not by a bit */
	bool sharing, ending;
};

static uint64_t record_at(const struct tn_audit *a, uint64_t rec)
{ return a->geo.at[TN_AUDIT_AT_SHARES] + rec * 320; }

static uint64_t look_state(const struct tn_audit *a, uint64_t rec)
{ return tn_look64(a, record_at(a, rec)); }

/* The first of the window. SplitMix64's finisher, of the place in units. */
static uint64_t window_of(const struct tn_audit *a, uint64_t off)
{
	uint64_t x = off / 16 + 0x9e3779b97f4a7c15ULL;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return (x ^ x >> 31) % a->geo.n_shares;
}

bool tn_audit_share_place(const struct tn_audit *a, uint64_t rec, uint64_t off)
{
	return rec < a->geo.n_shares &&
	       (rec - window_of(a, off)) % a->geo.n_shares < TN_SHARE_WINDOW;
}

/* A record of the object, other than @except. */
static bool find(const struct tn_audit *a, uint64_t off, uint64_t except,
		 uint64_t *ret)
{
	uint64_t first = window_of(a, off);

	for (unsigned i = 0; i < TN_SHARE_WINDOW; i++) {
		uint64_t rec = (first + i) % a->geo.n_shares;

		if (rec != except && look_state(a, rec) >> 12 ==
				  TN_SHARE_VALUE(off, 0) >> 12) {
			*ret = rec;
			return true;
		}
	}
	return false;
}

int tn_audit_shared(struct tn_audit *a, uint64_t page, uint64_t slot,
		    uint64_t off)
{
	uint64_t rec, n = slot == TN_AUDIT_NOWHERE ? 0 : slot;

	for (unsigned i = 0; i < (a->in.quiescent ? 1 : TRIES); i++) {
		if (find(a, off, UINT64_MAX, &rec))
			return 0;
		tn_fence_full();
		if (tn_look_tag(a, page, n) != TN_TAG_SHARED)
			return 0; /* it has ended meanwhile */
	}
	return tn_audit_say(a, TN_AUDIT_SHARE_NONE, page, slot,
			    TN_TAG_SHARED, window_of(a, off));
}

/* Steps under way. */

/* A record of a lane that did not change while it was read. */
static bool share_op(const struct tn_audit *a, unsigned control, unsigned lane,
		     struct tn_audit_op *ret)
{
	struct tn_audit_op s;

	for (unsigned i = 0; i < TRIES; i++) {
		if (!tn_audit_op(a, control, lane, ret))
			return false;
		if (a->in.quiescent)
			break;
		tn_fence_full();
		if (tn_audit_op(a, control, lane, &s) && s.op == ret->op &&
		    s.progress == ret->progress)
			break;
	}
	return ret->kind >= TN_OP_SHARE && ret->kind <= TN_OP_RELEASE;
}

static bool was_done(const struct tn_audit *a, const struct tn_audit_op *s)
{
	unsigned slot = TN_CLIENT_SLOT(s->client);
	bool state = s->row == PHASE_UP || s->row == PHASE_DOWN;
	uint64_t at = state ? 8 : 24 + s->word % TN_N_CLIENTS / 64 * 16;

	return tn_look64(a, record_at(a, s->page) + at) ==
	       TN_STAMP(slot, s->lane, s->number) ||
	       tn_look_done(a, slot, s->lane) >= s->number;
}

static bool is_counted(const struct tn_audit_op *s, bool done)
{
	switch (s->row) {
	case PHASE_UP:
	case PHASE_CLEAR:
		return done;
	case PHASE_SET:
	case PHASE_DOWN:
		return !done;
	default:
		return false;
	}
}

typedef void step_fn(struct tn_audit *a, const struct tn_audit_op *s,
		     bool done, void *arg);

static void each_step(struct tn_audit *a, step_fn *fn, void *arg)
{
	struct tn_audit_op s;

	for (unsigned c = 0; c < a->in.n_controls; c++) {
		unsigned n = a->in.controls[c].alive ? tn_audit_n_lanes(a, c) :
						       0;

		for (unsigned lane = 0; lane < n; lane++)
			if (share_op(a, c, lane, &s))
				fn(a, &s, was_done(a, &s), arg);
	}
}

struct wanted {
	uint64_t rec, off;
	struct steps steps;
};

static void add_step(struct tn_audit *a, const struct tn_audit_op *s,
		     bool done, void *arg)
{
	struct wanted *w = arg;

	(void)a;
	if (s->page != w->rec || s->ref != w->off)
		return;
	w->steps.counted += is_counted(s, done);
	w->steps.sharing |= s->kind == TN_OP_SHARE;
	w->steps.ending |= s->row == PHASE_DOWN && done;
}

static struct steps steps_of(struct tn_audit *a, uint64_t rec, uint64_t off)
{
	struct wanted w = { .rec = rec, .off = off };

	each_step(a, add_step, &w);
	return w.steps;
}

/* The same for a window of records at once, but for what is rarely asked. */
static void add_counted(struct tn_audit *a, const struct tn_audit_op *s,
			bool done, void *arg)
{
	uint64_t i = s->page - *(uint64_t *)arg;

	if (i < TN_AUDIT_WINDOW_SHARES && is_counted(s, done))
		a->counted[i]++;
}

/* A record. */

static void take(const struct tn_audit *a, uint64_t rec, struct copy *ret)
{
	uint64_t at = record_at(a, rec);

	ret->bits = 0;
	ret->state = tn_look64(a, at);
	ret->stamp = tn_look64(a, at + 8);
	for (unsigned i = 0; i < N_SETS; i++) {
		ret->set[i] = tn_look64(a, at + 16 + i * 16);
		ret->set_stamp[i] = tn_look64(a, at + 24 + i * 16);
		ret->bits += (unsigned)__builtin_popcountll(ret->set[i]);
	}
}

static int say(struct tn_audit *a, enum tn_audit_sentence sentence,
	       uint64_t rec, uint64_t seen0, uint64_t seen1)
{
	uint64_t state = look_state(a, rec);

	return tn_audit_say(a, sentence,
			    state && tn_audit_has(&a->geo,
					TN_SHARE_OFF(state) / 4096, 1) ?
			    TN_SHARE_OFF(state) / 4096 : TN_AUDIT_NOWHERE,
			    rec, seen0, seen1);
}

static int stamps(struct tn_audit *a, uint64_t rec, const struct copy *r)
{
	if (!tn_audit_stamp_ok(a, r->stamp))
		return say(a, TN_AUDIT_SHARE_STAMP, rec, r->stamp, r->state);
	for (unsigned i = 0; i < N_SETS; i++)
		if (!tn_audit_stamp_ok(a, r->set_stamp[i]))
			return say(a, TN_AUDIT_SHARE_STAMP, rec,
				   r->set_stamp[i], r->set[i]);
	return 0;
}

/* One set of holders; @page: of the object, or NOWHERE. */
static int holders(struct tn_audit *a, uint64_t rec, unsigned i, uint64_t set,
		   uint64_t page)
{
	for (; set; set &= set - 1) {
		unsigned slot = i * 64 + (unsigned)__builtin_ctzll(set);
		uint64_t state = tn_look_client(a, slot);
		enum tn_audit_sentence sentence = TN_AUDIT_SHARE_GONE;

		if (tn_audit_attached(a, (uint32_t)state)) {
			sentence = TN_AUDIT_SHARE_UNTOUCHED;
			if (page == TN_AUDIT_NOWHERE ||
			    tn_audit_touched(a, (uint32_t)state, page))
				continue;
		}
		say(a, sentence, rec, slot, state);
		a->result.finding.client = (uint32_t)state;
		return (int)sentence;
	}
	return 0;
}

/* Is what the record says true of its object, and its holders? */
static int object(struct tn_audit *a, uint64_t rec, const struct copy *r)
{
	uint64_t off = TN_SHARE_OFF(r->state);
	unsigned n = TN_SHARE_HOLDERS(r->state);
	struct tn_audit_spot at;
	int e = 0;

	if (!tn_audit_spot(a, off, &at))
		at = (struct tn_audit_spot){ .page = TN_AUDIT_NOWHERE };
	for (unsigned i = 0; i < N_SETS && !e; i++)
		e = holders(a, rec, i, r->set[i], at.page);
	if (e || (n && at.tag == TN_TAG_SHARED) || tn_audit_unseen(a))
		return e;
	if (!n)
		return steps_of(a, rec, off).ending ? 0 :
		       say(a, TN_AUDIT_SHARE_EMPTY, rec, r->state, at.tag);
	return steps_of(a, rec, off).sharing ? 0 :
	       say(a, TN_AUDIT_SHARE_STRAY, rec, r->state, at.tag);
}

static int used(struct tn_audit *a, uint64_t rec, const struct copy *r,
		unsigned counted)
{
	uint64_t off = TN_SHARE_OFF(r->state), other;
	uint64_t n = TN_SHARE_HOLDERS(r->state), least = r->bits + counted;

	if (!(r->state & TN_SHARE_USED) ||
	    !tn_audit_has(&a->geo, off / 4096, 1))
		return say(a, TN_AUDIT_SHARE_FORM, rec, r->state, 0);
	if (!tn_audit_share_place(a, rec, off))
		return say(a, TN_AUDIT_SHARE_PLACE, rec, r->state,
			   window_of(a, off));
	if (find(a, off, rec, &other))
		return say(a, TN_AUDIT_SHARE_TWICE, rec, r->state, other);
	if (n < least || (n > least && !tn_audit_unseen(a)))
		return say(a, TN_AUDIT_SHARE_COUNT, rec, r->state, least);
	return object(a, rec, r);
}

static int judge(struct tn_audit *a, uint64_t rec, const struct copy *r,
		 unsigned counted)
{
	int e = stamps(a, rec, r);

	if (e)
		return e;
	if (r->state)
		return used(a, rec, r, counted);
	if (r->bits)
		return say(a, TN_AUDIT_SHARE_BITS, rec, r->state, r->bits);
	return counted ? say(a, TN_AUDIT_SHARE_COUNT, rec, 0, counted) : 0;
}

/* It breaks, at a first look; and still, after it has stood still for one? */
static int confirm(struct tn_audit *a, uint64_t rec)
{
	struct copy r, later;
	int e;

	for (unsigned i = 0; i < TRIES; i++) {
		memset(&a->result.finding, 0, sizeof(a->result.finding));
		take(a, rec, &r);
		tn_fence_full();
		e = judge(a, rec, &r, steps_of(a, rec, TN_SHARE_OFF(r.state))
				      .counted);
		if (!e)
			return 0;
		tn_fence_full();
		take(a, rec, &later);
		if (!memcmp(&r, &later, sizeof(r)))
			return e;
	}
	memset(&a->result.finding, 0, sizeof(a->result.finding));
	a->result.shares_busy++;
	return 0;
}

static int group(struct tn_audit *a, uint64_t first, uint64_t end,
		 uint16_t *counted)
{
	struct copy r;
	int e = 0;

	for (uint64_t rec = first; rec < end && !e; rec++, counted++) {
		take(a, rec, &r);
		a->result.shares += r.state != 0;
		a->result.holds += r.bits;
		e = judge(a, rec, &r, *counted);
		if (e && !a->in.quiescent)
			e = confirm(a, rec);
	}
	return e;
}

uint64_t tn_audit_next_share(struct tn_audit *a, uint64_t rec)
{
	uint64_t off = record_at(a, rec), n = a->geo.n_shares;

	if (rec >= n || !(a->in.thorough || a->in.next_data))
		return n;
	if (!tn_audit_hole(a, off, 1))
		return rec;
	if (a->hole_end >= record_at(a, n))
		return n;
	n = (a->hole_end - record_at(a, 0)) / 320;
	return n / TN_AUDIT_WINDOW_SHARES * TN_AUDIT_WINDOW_SHARES;
}

int tn_audit_shares(struct tn_audit *a, uint64_t first)
{
	uint64_t end = first + TN_AUDIT_WINDOW_SHARES;
	int e = 0;

	if (end > a->geo.n_shares)
		end = a->geo.n_shares;
	a->unseen = -1;
	memset(a->counted, 0, sizeof(a->counted));
	each_step(a, add_counted, &first);
	for (uint64_t rec = first; rec < end && !e; rec += GROUP)
		if (!tn_audit_hole(a, record_at(a, rec), GROUP * 320))
			e = group(a, rec, rec + GROUP < end ? rec + GROUP : end,
				  &a->counted[rec - first]);
	return e;
}
