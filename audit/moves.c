/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The second half of a control file: pins, which say what must stay where it
 * is, and in tarnd's the journal, which says what is being moved.
 *
 * A lane that is in use may have pinned anything; but not one that is not. A
 * pin that names no handle pins nothing: a caller's mistake, and gone at once
 * unless he stops or dies in it.
 *
 * A line of the journal, if its .handle is not 0, names a handle and two
 * different places in data, and no two lines have one place. More cannot be
 * said of it by itself: the holder may free the handle meanwhile, and make it
 * again for another object. What is at these places, and what the handle is
 * about, is held against the line from there (handles.c). A dead tarnd leaves
 * its lines to its successor.
 */
#include "audit/look.h"

static uint64_t pin(const struct tn_audit *a, unsigned c, unsigned lane,
		    unsigned i)
{
	return tn_look_control(a, c, TN_AUDIT_AT_PINS +
				     (lane * TN_LANE_PINS + i) * 8);
}

static void names_handle(struct tn_audit *a, unsigned c, uint64_t slot,
			 uint64_t ref)
{
	if (TN_HANDLE_IDX(ref) < a->geo.n_handles)
		return;
	tn_audit_say_weak(a, TN_AUDIT_PIN_HANDLE, c, slot, ref);
}

static int lane_pins(struct tn_audit *a, unsigned c, unsigned lane)
{
	uint64_t at = TN_AUDIT_AT_LANES + lane * 64U;
	bool used = tn_look_control(a, c, at);
	uint64_t section = tn_look_control(a, c, at + 40), ref;

	if (!used && section & 1)
		return tn_audit_say_lane(a, TN_AUDIT_PIN_LANE, c, lane,
					 TN_AUDIT_NOWHERE, section, 0);
	for (unsigned i = 0; i < TN_LANE_PINS; i++) {
		ref = pin(a, c, lane, i);
		if (!ref)
			continue;
		if (!used)
			return tn_audit_say_lane(a, TN_AUDIT_PIN_LANE, c, lane,
						 TN_AUDIT_NOWHERE, section,
						 ref);
		names_handle(a, c, lane, ref);
	}
	return 0;
}

/* Not even read if the header says that there are none: that would have the
 * system back them with memory. */
static int long_pins(struct tn_audit *a, unsigned c)
{
	bool any = tn_look_control(a, c, 40);

	for (unsigned i = 0; i < TN_N_LONG_PINS; i++) {
		uint64_t at = TN_AUDIT_AT_LONG_PINS + i * 16U, ref, count;

		if (!any && !a->in.thorough)
			return 0;
		ref = tn_look_control(a, c, at);
		count = tn_look_control(a, c, at + 8);
		if (!count)
			continue;
		if (!any)
			return tn_audit_say_lane(a, TN_AUDIT_PIN_LONG, c, i,
						 TN_AUDIT_NOWHERE, ref, count);
		names_handle(a, c, i, ref);
	}
	return 0;
}

struct line { uint64_t idx, from, to; };

/* Line @i. Return: is anything there? */
static bool line(const struct tn_audit *a, unsigned c, unsigned i,
		 struct line *ret)
{
	uint64_t at = TN_AUDIT_AT_JOURNAL + i * 32U;

	ret->idx = tn_look_control(a, c, at) - 1;
	ret->from = tn_look_control(a, c, at + 8);
	ret->to = tn_look_control(a, c, at + 16);
	return ret->idx != UINT64_MAX;
}

static bool in_data(const struct tn_audit *a, uint64_t off)
{ return off < a->in.data_bytes && off % 16 == 0; }

/* Has a line before the one at @i one of its places? */
static bool is_double(const struct tn_audit *a, unsigned c, unsigned i,
		      const struct line *l)
{
	struct line k;

	while (i--)
		if (line(a, c, i, &k) &&
		    (k.from == l->from || k.from == l->to ||
		     k.to == l->from || k.to == l->to))
			return true;
	return false;
}

static int journal(struct tn_audit *a, unsigned c)
{
	bool tarnds = a->in.controls[c].client == TN_DAEMON_SLOT;
	struct line l;

	for (unsigned i = 0; i < TN_N_MOVES; i++) {
		if (!tarnds && !a->in.thorough)
			return 0;
		if (!line(a, c, i, &l))
			continue;
		if (!tarnds || l.idx >= a->geo.n_handles ||
		    !in_data(a, l.from) || !in_data(a, l.to) ||
		    l.from == l.to)
			return tn_audit_say_lane(a, TN_AUDIT_MOVE_LINE, c, i,
						 TN_AUDIT_NOWHERE, l.from,
						 l.to);
		if (is_double(a, c, i, &l))
			return tn_audit_say_lane(a, TN_AUDIT_MOVE_TWICE, c, i,
						 TN_AUDIT_NOWHERE, l.from,
						 l.to);
	}
	return 0;
}

int tn_audit_moves(struct tn_audit *a, uint64_t control)
{
	unsigned c = (unsigned)control, n = tn_audit_n_lanes(a, c);
	int e = 0;

	for (unsigned lane = 0; lane < n && !e; lane++)
		e = lane_pins(a, c, lane);
	if (!e)
		e = long_pins(a, c);
	return e ? e : journal(a, c);
}

bool tn_audit_move(const struct tn_audit *a, uint64_t idx, uint64_t off,
		   bool from)
{
	int c = tn_audit_control(a, TN_DAEMON_SLOT);
	struct line l;

	if (c < 0)
		return true; /* who knows */
	for (unsigned i = 0; i < TN_N_MOVES; i++)
		if (line(a, (unsigned)c, i, &l) && l.idx == idx &&
		    (l.from == off || (!from && l.to == off)))
			return true;
	return false;
}

bool tn_audit_moving(const struct tn_audit *a)
{
	int c = tn_audit_control(a, TN_DAEMON_SLOT);
	struct line l;

	for (unsigned i = 0; c >= 0 && i < TN_N_MOVES; i++)
		if (line(a, (unsigned)c, i, &l))
			return true;
	return false;
}
