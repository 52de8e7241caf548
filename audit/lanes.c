/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The records of lanes: what is under way, and how far it came.
 *
 * Numbers. A row's stamp is the name of the step that made it what it is. The
 * lane it names has come to that number, as its record says if the lane is
 * alive, or the number has been put down in done[] by whoever ended the lane.
 * Nothing is put down as done that the lane has not come to.
 */
#include "audit/look.h"

#define N_SHARE_PHASES 4U /* shares.c */

unsigned tn_audit_n_lanes(const struct tn_audit *a, unsigned control)
{
	uint64_t used = tn_look_control(a, control, 32);

	return used < TN_N_LANES && !a->in.thorough ? (unsigned)used :
						      TN_N_LANES;
}

static uint64_t field(const struct tn_audit *a, unsigned control,
		      unsigned lane, unsigned off)
{
	return tn_look_control(a, control,
			       TN_AUDIT_AT_LANES + lane * 64U + off);
}

bool tn_audit_op(const struct tn_audit *a, unsigned control, unsigned lane,
		 struct tn_audit_op *s)
{
	s->op = field(a, control, lane, 8);
	if (!s->op)
		return false;
	s->control = control;
	s->lane = lane;
	s->client = a->in.controls[control].client;
	s->kind = TN_OP_KIND(s->op);
	s->page = TN_OP_PAGE(s->op);
	s->pages = TN_OP_PAGES(s->op);
	s->rows = s->pages ? (s->page + s->pages - 1) / 64 - s->page / 64 + 1 :
			     0;
	s->progress = field(a, control, lane, 16);
	s->down = TN_PROGRESS_DOWN(s->progress);
	s->row = TN_PROGRESS_ROW(s->progress);
	s->number = TN_PROGRESS_STEP(s->progress);
	s->ref = field(a, control, lane, 24) & ~TN_LANE_LINKED;
	s->word = field(a, control, lane, 32);
	return true;
}

static bool pages_place(const struct tn_audit *a, const struct tn_audit_op *s)
{
	if (!s->pages || s->pages > a->geo.n_pages / 2 ||
	    !tn_audit_has(&a->geo, s->page, s->pages))
		return false;
	/* who only trims takes any pages, and makes no run of them */
	return s->kind == TN_OP_RUN ||
	       (s->pages >= 4 && s->pages <= 64 &&
		!(s->pages & (s->pages - 1)) && s->page % s->pages == 0);
}

bool tn_audit_op_place(const struct tn_audit *a, const struct tn_audit_op *s)
{
	if (s->kind == TN_OP_RUN || s->kind == TN_OP_SLAB)
		return pages_place(a, s);
	if (!tn_audit_has(&a->geo, s->ref / 4096, 1) || s->ref % 16)
		return false;
	if (s->kind >= TN_OP_SHARE)
		return s->word && s->word < TN_DAEMON_SLOT &&
		       (s->client == TN_DAEMON_SLOT ||
			s->word == TN_CLIENT_SLOT(s->client)) &&
		       tn_audit_share_place(a, s->page, s->ref);
	if (s->kind == TN_OP_GIVE)
		return s->word <= TN_CLIENT_ID_MASK && TN_CLIENT_SLOT(s->word);
	return s->word < a->in.data_bytes && s->word % 8 == 0;
}

bool tn_audit_op_row(const struct tn_audit_op *s)
{
	if (s->kind >= TN_OP_SHARE)
		return !s->down && s->row <= N_SHARE_PHASES;
	if (s->kind != TN_OP_RUN && s->kind != TN_OP_SLAB)
		return true;
	return s->down ? s->row < s->rows : s->row <= s->rows;
}

static int record(struct tn_audit *a, unsigned c, unsigned lane)
{
	uint64_t state = field(a, c, lane, 0), used, done;
	uint64_t progress = field(a, c, lane, 16);
	unsigned slot = TN_CLIENT_SLOT(a->in.controls[c].client);
	struct tn_audit_op s = { .op = 0 };
	bool alive = a->in.controls[c].alive;

	tn_audit_op(a, c, lane, &s);
	used = tn_look_control(a, c, 32);
	if ((state && state >> 32 != TN_LANE_BUSY >> 32) ||
	    (s.op && (!state || lane >= used)))
		return tn_audit_say_lane(a, TN_AUDIT_LANE_STATE, c, lane,
					 TN_AUDIT_NOWHERE, state, s.op);
	if (s.op && !alive)
		return tn_audit_say_lane(a, TN_AUDIT_STEP_GONE, c, lane,
					 TN_AUDIT_NOWHERE, state, s.op);
	done = alive && state && progress ? tn_look_done(a, slot, lane) : 0;
	if (done > TN_PROGRESS_STEP(progress))
		return tn_audit_say_lane(a, TN_AUDIT_LANE_NUMBER, c, lane,
					 TN_AUDIT_NOWHERE, done, progress);
	if (!s.op)
		return 0;
	if (s.kind < TN_OP_RUN || s.kind > TN_OP_RELEASE)
		return tn_audit_say_lane(a, TN_AUDIT_STEP_KIND, c, lane,
					 TN_AUDIT_NOWHERE, s.op, 0);
	if (!tn_audit_op_place(a, &s))
		return tn_audit_say_lane(a, TN_AUDIT_STEP_PLACE, c, lane,
					 TN_AUDIT_NOWHERE, s.op,
					 s.kind < TN_OP_PUBLISH ? 0 : s.ref);
	return tn_audit_op_row(&s) ? 0 :
	       tn_audit_say_lane(a, TN_AUDIT_STEP_ROW, c, lane,
				 TN_AUDIT_NOWHERE, s.op, s.progress);
}

int tn_audit_lanes(struct tn_audit *a, uint64_t control)
{
	unsigned c = (unsigned)control, n = tn_audit_n_lanes(a, c);
	int e = 0;

	for (unsigned lane = 0; lane < n && !e; lane++)
		e = record(a, c, lane);
	return e;
}

bool tn_audit_stamp_ok(const struct tn_audit *a, uint64_t stamp)
{
	unsigned slot = TN_STAMP_SLOT(stamp), lane = TN_STAMP_LANE(stamp);
	uint64_t number = stamp & TN_STEP_MASK, state;
	unsigned c = a->control_of[slot];

	if (!stamp)
		return true;
	if (!slot || !number || stamp != TN_STAMP(slot, lane, number))
		return false;
	if (tn_look_done(a, slot, lane) >= number)
		return true;
	state = tn_look_client(a, slot);
	/* of a client that is there, but not its control file */
	if (slot == TN_DAEMON_SLOT ? !c :
	    state && tn_audit_control(a, (uint32_t)state) < 0)
		return true;
	return c && TN_PROGRESS_STEP(field(a, c - 1, lane, 16)) >= number;
}

int tn_audit_stamp(struct tn_audit *a, uint64_t row)
{
	uint64_t stamp = tn_look_stamp(a, row);
	unsigned slot = TN_STAMP_SLOT(stamp);

	return tn_audit_stamp_ok(a, stamp) ? 0 :
	       tn_audit_say(a, TN_AUDIT_ROW_STAMP, row * 64, TN_AUDIT_NOWHERE,
			    stamp, slot ? tn_look_done(a, slot,
						TN_STAMP_LANE(stamp)) : 0);
}

unsigned tn_audit_links(const struct tn_audit *a, uint32_t client,
			uint64_t off)
{
	int c = tn_audit_control(a, client);
	unsigned found = 0, n = c < 0 ? 0 : tn_audit_n_lanes(a, (unsigned)c);
	struct tn_audit_op s;

	for (unsigned lane = 0; lane < n; lane++)
		if (tn_audit_op(a, (unsigned)c, lane, &s) && s.ref == off &&
		    (s.kind == TN_OP_PUBLISH || s.kind == TN_OP_CLAIM))
			found++;
	return found;
}

bool tn_audit_giving(const struct tn_audit *a, uint32_t client, uint64_t off)
{
	struct tn_audit_op s;

	for (unsigned c = 0; c < a->in.n_controls; c++) {
		unsigned n = a->in.controls[c].alive ? tn_audit_n_lanes(a, c) :
						       0;

		for (unsigned lane = 0; lane < n; lane++)
			if (tn_audit_op(a, c, lane, &s) && s.ref == off &&
			    s.kind == TN_OP_GIVE && s.word == client)
				return true;
	}
	return false;
}
