/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The audit of a pool.
 *
 * The one sentence behind all of them: every page and every slot is free, or
 * in exactly one object that somebody has who is there, or named by exactly
 * one step that is under way. TN_AUDIT_SENTENCES in audit.h has it in
 * pieces, each of which a test breaks by itself; where they are looked at:
 *
 *   tables.c    headers, client slots, roots, caches
 *   lanes.c     records of steps, and the numbers of steps
 *   moves.c     pins, and what the mover is about
 *   hands.c     pages in the hands of a step
 *   pages.c     every page: free, run, slab, in hands; one of them
 *   slabs.c     a slab's words, lease and count, and the hints to it
 *   tags.c      every tag: free, or a holder who is there
 *   handles.c   handles and their objects
 *   shares.c    shared objects, and the records of their holders
 *   clients.c   who is there
 *   geometry.c  where all this lies
 *
 * Nothing here comes from pool/. What the bytes say is used only after it was
 * held against the geometry, which follows from the caller's data_bytes, and
 * every load is held against the ranges (look.h), so the worst that bytes can
 * do is to break a sentence.
 *
 * A pool that changes meanwhile. One look at several words may find what never
 * was. So a part of the walk (a table, a control file's lanes, a window of
 * hands, an area) in which a sentence breaks is done again, and what it says
 * counts if it says the same of the same words SAME times in a row. A part
 * that says another thing each time is busy, and passed by after TRIES; that
 * is rare, and counted. What holds a stopped process in the middle of a step
 * stays the same for ever, so that every state between two stores must be
 * right by itself: repeating excuses torn looks, nothing else.
 *
 * What it does not do: look at the bytes of objects, or say which roots, words
 * or refs are stale; that is between those who use the pool.
 */
#include <string.h>

#include "audit/look.h"

#define SAME 8U   /* picked, not tuned */
#define TRIES 24U

typedef int check_fn(struct tn_audit *a, uint64_t arg);

static bool same(const struct tn_audit_finding *f,
		 const struct tn_audit_finding *g)
{
	return f->sentence == g->sentence && f->client == g->client &&
	       f->page == g->page && f->slot == g->slot &&
	       f->seen[0] == g->seen[0] && f->seen[1] == g->seen[1];
}

bool tn_audit_hole(struct tn_audit *a, uint64_t off, uint64_t bytes)
{
	if (!a->in.next_data)
		return false;
	if (off < a->hole || off >= a->hole_end) {
		a->hole = off;
		a->hole_end = a->in.next_data(a->in.arg, off);
	}
	return a->hole_end > off && a->hole_end - off >= bytes;
}

static void forget(struct tn_audit *a)
{
	a->result = a->saved;
	a->run = a->run_saved;
	a->run_end = a->run_end_saved;
	a->good_client = 0;
	a->unseen = -1;
	a->hole = a->hole_end = 0;
}

/* The same part once more, on what is there now. */
static int again(struct tn_audit *a, check_fn *check, uint64_t arg)
{
	forget(a);
	tn_fence_full();
	if (check == tn_audit_area) {
		tn_audit_gather(a);
		tn_audit_find_run(a, arg);
	}
	return check(a, arg);
}

/* A part, until what it says counts. */
static int part(struct tn_audit *a, check_fn *check, uint64_t arg)
{
	struct tn_audit_finding last;
	unsigned times = 1;
	int e;

	if (!a->in.quiescent) {
		a->saved = a->result;
		a->run_saved = a->run;
		a->run_end_saved = a->run_end;
	}
	e = check(a, arg);
	if (!e || a->in.quiescent)
		return e;
	for (unsigned tries = 0; tries < TRIES; tries++) {
		last = a->result.finding;
		e = again(a, check, arg);
		if (!e)
			return 0;
		times = same(&last, &a->result.finding) ? times + 1 : 1;
		if (times == SAME)
			return e;
	}
	forget(a);
	if (check == tn_audit_area)
		tn_audit_find_run(a, arg + 1);
	a->result.areas_busy++;
	return 0;
}

static int begin(struct tn_audit *a)
{
	int e = tn_audit_files(a, 0);

	if (!e)
		e = part(a, tn_audit_clients, 0);
	if (!e)
		e = part(a, tn_audit_roots, 0);
	if (!e)
		e = part(a, tn_audit_caches, 0);
	for (unsigned c = 0; c < a->in.n_controls && !e; c++)
		e = part(a, tn_audit_lanes, c);
	for (unsigned c = 0; c < a->in.n_controls && !e; c++)
		e = part(a, tn_audit_moves, c);
	return e;
}

static int next_area(struct tn_audit *a)
{
	int e = 0;

	if (a->area % TN_AUDIT_WINDOW_AREAS == 0)
		e = part(a, tn_audit_window, a->area);
	if (!e)
		e = part(a, tn_audit_area, a->area);
	a->area++;
	return e;
}

static int next_share(struct tn_audit *a)
{
	uint64_t first = a->share;

	a->share = tn_audit_next_share(a, first + TN_AUDIT_WINDOW_SHARES);
	return part(a, tn_audit_shares, first);
}

static bool more(const struct tn_audit *a)
{
	return a->area < a->geo.n_areas || a->share < a->geo.n_shares;
}

void tn_audit_begin(struct tn_audit *a, const struct tn_audit_in *in)
{
	memset(a, 0, sizeof(*a));
	a->in = *in;
}

bool tn_audit_step(struct tn_audit *a, uint64_t areas)
{
	if (a->result.finding.sentence)
		return false;
	if (!a->begun) {
		a->begun = true;
		if (begin(a))
			return false;
		a->share = tn_audit_next_share(a, 0);
	}
	for (; areas && a->area < a->geo.n_areas; areas--)
		if (next_area(a))
			return false;
	for (; areas && more(a); areas -= areas < 4 ? areas : 4)
		if (next_share(a))
			return false;
	return more(a);
}

enum tn_audit_sentence tn_audit_run(struct tn_audit *a,
				    const struct tn_audit_in *in)
{
	tn_audit_begin(a, in);
	while (tn_audit_step(a, TN_AUDIT_WINDOW_AREAS))
		;
	return a->result.finding.sentence;
}
