/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pages of an area, one after the other. A page is free, and then bare
 * of words and tags; or in the hands of a live step (hands.c); or the first
 * of a run or slab, or inside of it. Runs may go on in the areas after.
 *
 *   run    starts at a multiple of the power of two that its length rounds
 *          up to, 512 at most; so one that leaves its area starts with it
 *   slab   starts at a multiple of its length: it stays in one row
 *
 * Behind data there are pages of handles: slabs of them, and nothing else. Of
 * one that is in no slab every handle is FREE (handles.c).
 *
 * An area whose fit hint is 0 is one where nothing is claimed but by a live
 * step: everybody passes by it, recovery too. Of such areas only the rows are
 * read, unless the audit is to be thorough; and not even these, if they were
 * never written.
 */
#include <string.h>

#include "audit/look.h"

static int say(struct tn_audit *a, enum tn_audit_sentence sentence,
	       uint64_t page, uint64_t seen0, uint64_t seen1)
{
	return tn_audit_say(a, sentence, page, TN_AUDIT_NOWHERE, seen0, seen1);
}

/* Counts are of data alone. */
static void tally(const struct tn_audit *a, uint64_t *count, uint64_t page,
		  uint64_t n)
{
	if (page < a->geo.n_pages)
		*count += n;
}

static bool claimed(const struct tn_audit *a, uint64_t page)
{ return a->map[page / 64 % 8] >> page % 64 & 1; }

/* Not claimed, or past the end: no word, no tag. */
static int bare_page(struct tn_audit *a, uint64_t page,
		     enum tn_audit_sentence word_is,
		     enum tn_audit_sentence tag_is)
{
	uint64_t word = tn_look_word(a, page), slab = tn_look_slab(a, page);
	uint64_t seen;

	if (word || slab)
		return say(a, word_is, page, word, slab);
	if (!tn_audit_no_tags(a, page, 0, &seen))
		return say(a, tag_is, page, seen, 0);
	return 0;
}

/* Inside of a run, not its first page. */
static int run_page(struct tn_audit *a, uint64_t page)
{
	uint64_t map = a->map[page / 64 % 8];

	if (!claimed(a, page))
		return say(a, TN_AUDIT_RUN_HOLE, page, map, a->run);
	if (tn_look_hands(a, page))
		return say(a, TN_AUDIT_HAND_OBJECT, page, map, a->run);
	a->result.pages_run++;
	return bare_page(a, page, TN_AUDIT_RUN_WORD, TN_AUDIT_RUN_TAG);
}

static int run_start(struct tn_audit *a, uint64_t page, uint64_t word)
{
	uint64_t pages = TN_PAGE_PAGES(word), seen;
	uint64_t slab = tn_look_slab(a, page);
	uint16_t tag = (uint16_t)tn_look_tags(a, page, 0, 0);

	if (!pages || pages > a->geo.n_pages / 2 ||
	    page >= a->geo.n_pages || page + pages > a->geo.n_pages)
		return say(a, TN_AUDIT_RUN_PAGES, page, word, slab);
	if (page % tn_audit_run_align(pages))
		return say(a, TN_AUDIT_RUN_PLACE, page, word, slab);
	if (slab)
		return say(a, TN_AUDIT_RUN_WORD, page, word, slab);
	if (!tag)
		return say(a, TN_AUDIT_RUN_HOLDER, page, word, tag);
	if (!tn_audit_no_tags(a, page, 1, &seen))
		return say(a, TN_AUDIT_RUN_TAG, page, seen, word);
	a->run = page;
	a->run_end = page + pages;
	a->result.runs++;
	a->result.pages_run++;
	return tn_audit_holder(a, tag, page, TN_AUDIT_NOWHERE, page * 4096);
}

/* What is between two stores of a step that makes or ends a run or a slab; in
 * nobody's hands, if the step is of a client who came after the audit began. */
static int made(struct tn_audit *a, int e)
{
	if ((e != TN_AUDIT_RUN_HOLDER && e != TN_AUDIT_SLAB_PAGES &&
	     e != TN_AUDIT_SLAB_WORD) || !tn_audit_unseen(a))
		return e;
	memset(&a->result.finding, 0, sizeof(a->result.finding));
	a->result.pages_hand++;
	return 0;
}

/* Claimed, and neither inside of anything nor in hands. */
static int object_page(struct tn_audit *a, uint64_t page, uint64_t *ret_next)
{
	uint64_t word = tn_look_word(a, page);

	if (TN_PAGE_KIND(word) == TN_PAGE_RUN)
		return made(a, run_start(a, page, word));
	if (TN_PAGE_KIND(word) == TN_PAGE_SLAB)
		return made(a, tn_audit_slab(a, page, ret_next));
	if (word)
		return say(a, TN_AUDIT_PAGE_WORD, page, word, 0);
	if (!tn_audit_unseen(a))
		return say(a, TN_AUDIT_UNNAMED, page, a->map[page / 64 % 8],
			   tn_look_stamp(a, page / 64));
	tally(a, &a->result.pages_hand, page, 1);
	return 0;
}

static int one_page(struct tn_audit *a, uint64_t page, uint64_t *ret_next)
{
	int e;

	*ret_next = page + 1;
	if (page >= a->geo.n_pages && page < a->geo.handle_page) {
		if (!claimed(a, page))
			return say(a, TN_AUDIT_PAST_END, page,
				   a->map[page / 64 % 8], 0);
		return bare_page(a, page, TN_AUDIT_PAST_END,
				 TN_AUDIT_PAST_END);
	}
	if (page < a->run_end)
		return run_page(a, page);
	if (tn_look_hands(a, page)) {
		tally(a, &a->result.pages_hand, page, 1);
		return tn_audit_no_handles(a, page);
	}
	if (claimed(a, page))
		return object_page(a, page, ret_next);
	tally(a, &a->result.pages_free, page, 1);
	e = bare_page(a, page, TN_AUDIT_FREE_WORD, TN_AUDIT_FREE_TAG);
	return e ? e : tn_audit_no_handles(a, page);
}

/* The bits of the pages in a row that the pool has. */
static uint64_t row_pages(const struct tn_audit *a, uint64_t row)
{
	uint64_t first = row * 64;

	if (first + 64 <= a->geo.n_pages || first >= a->geo.handle_page)
		return ~0ULL;
	return first < a->geo.n_pages ?
	       (1ULL << (a->geo.n_pages - first)) - 1 : 0;
}

/* Rows, when the hint says that nothing is there. */
static int untouched(struct tn_audit *a, uint64_t area)
{
	for (uint64_t row = area * 8; row < area * 8 + 8; row++) {
		uint64_t pool = row_pages(a, row), map = a->map[row % 8];
		uint64_t hands = a->hands[row - a->window * TN_AREA_ROWS];

		if (~map & ~pool)
			return say(a, TN_AUDIT_PAST_END, row * 64, map, 0);
		if (map & pool & ~hands && !tn_audit_unseen(a))
			return say(a, TN_AUDIT_FIT_EMPTY, row * 64, map,
				   hands);
	}
	return 0;
}

static void count_untouched(struct tn_audit *a, uint64_t area)
{
	for (uint64_t row = area * 8; row < area * 8 + 8; row++) {
		uint64_t pool = row_pages(a, row), map = a->map[row % 8];

		tally(a, &a->result.pages_free, row * 64,
		      (unsigned)__builtin_popcountll(pool & ~map));
		tally(a, &a->result.pages_hand, row * 64,
		      (unsigned)__builtin_popcountll(pool & map));
	}
}

/* Which run, if any, goes on from the areas before into this one? Asked when
 * what was true a moment ago need not be any more. */
void tn_audit_find_run(struct tn_audit *a, uint64_t area)
{
	a->run = a->run_end = 0;
	for (uint64_t i = area; i--;) {
		uint64_t word, page = i * TN_AREA_PAGES;

		if (!(tn_look_map(a, i * 8) & 1))
			return;
		word = tn_look_word(a, page);
		if (!word)
			continue;
		if (TN_PAGE_KIND(word) == TN_PAGE_RUN &&
		    page < a->geo.n_pages &&
		    TN_PAGE_PAGES(word) <= a->geo.n_pages - page) {
			a->run = page;
			a->run_end = page + TN_PAGE_PAGES(word);
		}
		return;
	}
}

/* Not even claimed by a step. (An area that is cut short was written to.) */
static bool never_used(struct tn_audit *a, uint64_t area, uint8_t fit)
{
	if (fit || a->in.thorough || !tn_audit_has(&a->geo, area * 512, 512) ||
	    !tn_audit_hole(a, a->geo.at[TN_AUDIT_AT_AREAS] + area * 256, 256))
		return false;
	tally(a, &a->result.pages_free, area * 512, 512);
	return true;
}

/* A hint, of an area that has something. */
static void group_of(struct tn_audit *a, uint64_t area)
{
	uint8_t group = tn_look8(a, a->geo.at[TN_AUDIT_AT_GROUPS] + area);

	if (group > TN_GROUP_HANDLES)
		say(a, TN_AUDIT_GROUP_VALUE, area * 512, group, 0);
}

int tn_audit_area(struct tn_audit *a, uint64_t area)
{
	uint64_t page = area * TN_AREA_PAGES, end = page + TN_AREA_PAGES;
	uint8_t fit = tn_look8(a, a->geo.at[TN_AUDIT_AT_FIT] + area);
	int e = 0;

	if (page >= a->run_end && never_used(a, area, fit))
		return 0;
	a->unseen = -1;
	for (uint64_t row = area * 8; row < area * 8 + 8 && !e; row++) {
		a->map[row % 8] = tn_look_map(a, row);
		e = tn_audit_stamp(a, row);
	}
	if (!e && !fit)
		e = untouched(a, area);
	if (!e && fit > TN_FIT_FULL)
		say(a, TN_AUDIT_FIT_VALUE, page, fit, 0);
	if (!e && fit)
		group_of(a, area);
	if (e)
		return e;
	if (!fit && !a->in.thorough) {
		count_untouched(a, area);
		return 0;
	}
	while (page < end && !e)
		e = one_page(a, page, &page);
	return e;
}
