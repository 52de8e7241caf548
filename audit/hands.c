/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages in hands: those that a live step has claimed and not yet made
 * something of, or has unmade and not yet released.
 *
 *   up, row r      of the rows the run covers, those below r are the step's,
 *                  and row r if the step it numbers was done
 *   up, all rows   the same, and words and tags may have been written
 *   down, row r    those below r, and row r if the step was not done
 *
 * A step was done if its row's stamp names it, or done[] has its number or a
 * higher one. What is in hands is claimed, in one step's hands only, and
 * carries no words or tags but those that the step is there to write.
 *
 * A bit a page of them is kept for a window of 64 areas, so that this takes
 * no memory that grows with the pool. A step's pages are passed as far as no
 * other step has them: the work is bounded by the lanes, and the pages of the
 * window.
 */
#include <string.h>

#include "audit/look.h"

/* The bits of row @i (of those it covers) that are the run's. */
static uint64_t run_bits(const struct tn_audit_op *s, uint64_t i)
{
	uint64_t row = s->page / 64 + i, bits = ~0ULL;
	uint64_t end = s->page + s->pages;

	if (!i)
		bits &= ~0ULL << s->page % 64;
	if (end - row * 64 < 64)
		bits &= (1ULL << end % 64) - 1;
	return bits;
}

static bool was_done(const struct tn_audit *a, const struct tn_audit_op *s)
{
	unsigned slot = TN_CLIENT_SLOT(s->client);
	uint64_t stamp = tn_look_stamp(a, s->page / 64 + s->row);

	return stamp == TN_STAMP(slot, s->lane, s->number) ||
	       tn_look_done(a, slot, s->lane) >= s->number;
}

/* How many of the rows, from the lowest on, are the step's. */
static uint64_t rows_owned(const struct tn_audit *a,
			   const struct tn_audit_op *s)
{
	if (s->row >= s->rows)
		return s->rows;
	return s->row + (was_done(a, s) != s->down);
}

static int hand_word(struct tn_audit *a, const struct tn_audit_op *s,
		     uint64_t page, bool written)
{
	uint64_t word = tn_look_word(a, page), slab = tn_look_slab(a, page);
	struct tn_audit_cut cut;
	bool ok;

	if (!word && !slab)
		return 0;
	if (!written)
		ok = false;
	else if (page == s->page && word == (TN_PAGE_RUN | s->pages << 8))
		/* a slab's, too: of a run that the lane keeps, or is to */
		ok = !slab;
	else if (s->kind == TN_OP_RUN)
		ok = false;
	else
		ok = (!word ||
		      (word == TN_PAGE_SLAB_WORD(TN_PAGE_CLASS(word),
						 page - s->page) &&
		       tn_look_ground(a, TN_PAGE_CLASS(word), page) &&
		       tn_audit_cut(a, TN_PAGE_CLASS(word), &cut) &&
		       cut.pages == s->pages)) &&
		     (!slab || (page == s->page &&
				tn_audit_cut(a, TN_SLAB_CLASS(slab), &cut) &&
				cut.pages == s->pages));
	return ok ? 0 : tn_audit_say_lane(a, TN_AUDIT_HAND_WORD, s->control,
					  s->lane, page, word, slab);
}

/* The tag of a run that is not wiped yet: of whose step it is, or of the dead
 * one for whom tarnd gives it back. */
static bool is_holder(const struct tn_audit *a, const struct tn_audit_op *s,
		      uint16_t tag)
{
	uint32_t client = TN_TAG_CLIENT(tag);

	if (client == s->client)
		return TN_TAG_FORM(tag) <= TN_TAG_KEPT;
	return s->client == TN_DAEMON_SLOT &&
	       TN_TAG_FORM(tag) == TN_TAG_KEPT &&
	       tn_look_client(a, TN_CLIENT_SLOT(client)) ==
	       (TN_CLIENT_DEAD | client);
}

static int hand_tags(struct tn_audit *a, const struct tn_audit_op *s,
		     uint64_t page, bool written)
{
	uint16_t tag = (uint16_t)tn_look_tags(a, page, 0, 0);
	bool first = written && page == s->page;
	uint64_t seen;

	if (first && tag && !is_holder(a, s, tag))
		return tn_audit_say_lane(a, TN_AUDIT_HAND_TAG, s->control,
					 s->lane, page, tag, s->op);
	if (tn_audit_no_tags(a, page, first, &seen))
		return 0;
	return tn_audit_say_lane(a, TN_AUDIT_HAND_TAG, s->control, s->lane,
				 page, seen, s->op);
}

/* Row @i is the step's: put that down, and look closer if asked to. */
static int own_row(struct tn_audit *a, const struct tn_audit_op *s,
		   uint64_t i, bool look)
{
	uint64_t row = s->page / 64 + i, bits = run_bits(s, i);
	uint64_t *hands = &a->hands[row - a->window * TN_AREA_ROWS];
	uint64_t twice = *hands & bits, map = tn_look_map(a, row);
	bool written = !s->down && s->row == s->rows;
	int e = 0;

	*hands |= bits;
	if (!look)
		return twice != 0;
	if (twice)
		return tn_audit_say_lane(a, TN_AUDIT_HAND_TWICE, s->control,
					 s->lane, row * 64, twice, s->op);
	if (bits & ~map)
		return tn_audit_say_lane(a, TN_AUDIT_HAND_UNCLAIMED,
					 s->control, s->lane, row * 64, map,
					 s->op);
	for (; bits && !e; bits &= bits - 1) {
		uint64_t page = row * 64 + (unsigned)__builtin_ctzll(bits);

		e = hand_word(a, s, page, written);
		if (!e)
			e = hand_tags(a, s, page, written);
	}
	return e;
}

static int own_rows(struct tn_audit *a, const struct tn_audit_op *s, bool look)
{
	uint64_t first = s->page / 64, end = first + rows_owned(a, s);
	uint64_t row = a->window * TN_AREA_ROWS;
	uint64_t window_end = row + TN_AUDIT_WINDOW_ROWS;
	int e = 0;

	if (row < first)
		row = first;
	for (; row < end && row < window_end && !e; row++)
		e = own_row(a, s, row - first, look);
	return e;
}

static int gather_lane(struct tn_audit *a, unsigned control, unsigned lane,
		       bool look)
{
	struct tn_audit_op s;
	int e;

	if (!tn_audit_op(a, control, lane, &s) ||
	    (s.kind != TN_OP_RUN && s.kind != TN_OP_SLAB) ||
	    !tn_audit_op_place(a, &s) || !tn_audit_op_row(&s))
		return 0;
	e = own_rows(a, &s, look);
	return look ? e : 0;
}

static int gather(struct tn_audit *a, bool look)
{
	int e = 0;

	memset(a->hands, 0, sizeof(a->hands));
	for (unsigned c = 0; c < a->in.n_controls && !e; c++) {
		unsigned n = a->in.controls[c].alive ? tn_audit_n_lanes(a, c) :
						       0;

		for (unsigned lane = 0; lane < n && !e; lane++)
			e = gather_lane(a, c, lane, look);
	}
	return e;
}

void tn_audit_gather(struct tn_audit *a)
{
	gather(a, false);
}

int tn_audit_window(struct tn_audit *a, uint64_t area)
{
	a->window = area;
	return gather(a, true);
}
