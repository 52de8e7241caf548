/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Does what a pool promises of itself hold? A second reading of the byte
 * tables in proto/layout.h, which shares nothing with the allocator, so that
 * the two cannot be wrong in the same way. Reads only, believes nothing.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/geometry.h"

/* The control file of a client. */
struct tn_audit_control {
	const void *control;
	uint64_t bytes;
	uint32_t client; /* id; of tarnd's own lanes TN_DAEMON_SLOT */
	/* the client is attached, or dead and not yet recovered to the end, so
	 * that what its lanes have under way counts. Not alive: nothing in the
	 * pool may name it any more. */
	bool alive;
};

struct tn_audit_in {
	const void *meta; /* on a multiple of 8 */
	uint64_t meta_bytes;
	const void *data; /* may be NULL: no sentence is about its bytes */
	uint64_t data_bytes;
	const struct tn_audit_control *controls;
	unsigned n_controls;
	/* nothing changes while it is read, and no lane is between the tag of
	 * a slot that it returns and the slab's count (which no record tells).
	 * Lanes may well be in the middle of a step that has a record. */
	bool quiescent;
	/* also read what lies under areas whose hint says that nothing is
	 * there, which has the system back it with memory */
	bool thorough;
	/* may be NULL: where in meta, from @off on, the first byte is that may
	 * not be 0. It lets the audit pass by what was never used: rows, and
	 * share records. Without it, and not thorough, it looks at no record
	 * but those that shared objects lead to. */
	uint64_t (*next_data)(void *arg, uint64_t off);
	void *arg;
};

/*
 * The sentences. The order is that in which they are looked at, roughly.
 * Who attaches while the audit runs has no control file here, and neither
 * has who keeps it to himself: then a client that is attached explains what
 * a step of its might.
 */
#define TN_AUDIT_SENTENCES(is) \
	/* files and tables */ \
	is(FILES, "the files are smaller than the pool, or lie askew") \
	is(MAGIC, "meta does not begin as a pool does") \
	is(VERSION, "a layout of another major version") \
	is(BYTES, "the header tells another size than data has") \
	is(HEADER, "kind, policy, flags, mark or name cannot be") \
	is(CONTROL, "a control file is not of this pool and client") \
	is(CLIENT, "the state of a client slot cannot be") \
	is(ROOT_KEY, "a root has no key, or another root's") \
	is(ROOT_REF, "a root's ref is none of this pool") \
	is(CACHE_KEY, "a cache has no key, or another cache's") \
	is(CACHE_SHAPE, "a cache's shape cannot be") \
	/* lanes */ \
	is(LANE_STATE, "a lane that is not in use, or beyond the last, " \
		       "has something under way") \
	is(LANE_NUMBER, "a step is put down as done that its lane " \
			"has not come to") \
	is(STEP_KIND, "what a lane has under way is no step there is") \
	is(STEP_PLACE, "a step names a place that cannot be") \
	is(STEP_ROW, "a step has come further than its rows go") \
	is(STEP_GONE, "a client that is gone has something under way") \
	is(PIN_LANE, "a lane that is not in use has pins, " \
		     "or is in a section") \
	is(PIN_LONG, "a client has long pins, and does not say so") \
	is(MOVE_LINE, "a line of the mover's journal cannot be") \
	is(MOVE_TWICE, "two lines of the mover's journal have one place") \
	is(HAND_UNCLAIMED, "a live step has a page that is not claimed") \
	is(HAND_TWICE, "two live steps have the same page") \
	is(HAND_WORD, "a page in a live step's hands has a word " \
		      "that is not of that step") \
	is(HAND_TAG, "a page in a live step's hands has a tag " \
		     "that is not of that step") \
	is(HAND_OBJECT, "a page of a run or slab is in a live step's hands") \
	/* pages */ \
	is(ROW_STAMP, "a row's stamp names a step that nobody made") \
	is(PAST_END, "a page past the pool's end is not claimed, " \
		     "or has words or tags") \
	is(FIT_EMPTY, "an area that is hinted to be untouched " \
		      "has claimed pages") \
	is(UNNAMED, "a page is claimed, but no run, slab or live step " \
		    "names it") \
	is(FREE_WORD, "a free page has a page word or slab word") \
	is(FREE_TAG, "a free page has a tag") \
	is(PAGE_WORD, "a page word is of no kind there is") \
	is(RUN_PAGES, "a run is longer than half the pool, leaves it, " \
		      "or has no pages") \
	is(RUN_PLACE, "a run does not start at a multiple of its size") \
	is(RUN_HOLE, "a page inside a run is not claimed") \
	is(RUN_WORD, "a page inside a run has a word of its own") \
	is(RUN_HOLDER, "a run has no holder") \
	is(RUN_TAG, "a page inside a run has a tag") \
	is(SLAB_CLASS, "a slab of a class that does not exist") \
	is(SLAB_GROUND, "a slab of handles is in data, " \
			"or another behind it") \
	is(SLAB_PLACE, "a slab does not start at a multiple of its size") \
	is(SLAB_HOLE, "a page inside a slab is not claimed") \
	is(SLAB_PAGES, "the page words of a slab differ, " \
		       "or a page inside has a slab word") \
	is(SLAB_WORD, "a slab word cannot be, or is of another class " \
		      "than its pages") \
	is(SLAB_LESSEE, "a slab is leased to nobody who is there, or his own") \
	is(LEASE_UNTOUCHED, "a slab's lessee has no touched bit for it") \
	is(COUNT_ABOVE, "a slab counts more free slots than it has slots") \
	is(COUNT_LOW, "a slab counts fewer free slots than are free") \
	/* tags */ \
	is(TAG_UNUSED, "a tag beyond a slab's last slot is not 0") \
	is(TAG_FORM, "a tag is of no form there is") \
	is(TAG_HOLDER, "a holder is gone") \
	is(TAG_UNTOUCHED, "a holder has no touched bit for what it holds") \
	is(TAG_LINK, "no live publish or claim names an object " \
		     "that is being linked") \
	is(SHARE_NONE, "a shared object has no share record") \
	/* handles */ \
	is(BACK_CLASS, "what is a handle's cannot be moved") \
	is(BACK_LINK, "an object names a handle that says another place, " \
		      "and nobody moves it") \
	is(HANDLE_PLACE, "a handle's place is no word that can be") \
	is(HANDLE_REF, "a handle has no ref, or another's") \
	is(HANDLE_FREE, "a handle that nobody holds has an object") \
	is(HANDLE_OBJECT, "a handle says the place of what is not its") \
	is(HANDLE_MOVING, "a handle is being moved, by no line of a journal") \
	is(HANDLE_BORN, "a handle in no slab has a number " \
			"that may come again") \
	/* share records */ \
	is(SHARE_STAMP, "a share record's stamp names a step " \
			"that nobody made") \
	is(SHARE_FORM, "a share record names no place in the pool") \
	is(SHARE_PLACE, "a share record is not in the window " \
			"of its object") \
	is(SHARE_TWICE, "two share records name one object") \
	is(SHARE_BITS, "an unused share record has holders") \
	is(SHARE_COUNT, "a share record counts other than its holders " \
			"and live steps") \
	is(SHARE_GONE, "a holder of a shared object is gone") \
	is(SHARE_UNTOUCHED, "a holder of a shared object has no touched bit " \
			    "for it") \
	is(SHARE_EMPTY, "a share record without holders, " \
			"which no live step is ending") \
	is(SHARE_STRAY, "a share record names an object " \
			"that is not shared") \
	/* weaker: these cost time, or may come right by themselves */ \
	is(HINT_LOST, "no hint leads to a slab with free slots") \
	is(COUNT_HIGH, "a slab counts more free slots than are free") \
	is(LINK_TWICE, "two live steps name one object " \
		       "that is being linked") \
	is(FIT_VALUE, "the fit hint of an area is no hint") \
	is(GROUP_VALUE, "the group of an area is none there is") \
	is(PIN_HANDLE, "a pin names no handle") \
	is(NAME, "a root or cache has another name than its key tells")

#define TN_AUDIT_VALUE(name, text) TN_AUDIT_##name,
enum tn_audit_sentence {
	TN_AUDIT_HOLDS,
	TN_AUDIT_SENTENCES(TN_AUDIT_VALUE)
	TN_AUDIT_N_SENTENCES
};
#define TN_AUDIT_FIRST_WEAK TN_AUDIT_HINT_LOST

#define TN_AUDIT_NOWHERE UINT64_MAX

struct tn_audit_finding {
	enum tn_audit_sentence sentence;
	uint32_t client;  /* id, or 0 */
	uint64_t page;    /* the first one of a slab; or TN_AUDIT_NOWHERE */
	uint64_t slot;    /* in the slab; entry of a table; lane; the same */
	uint64_t seen[2]; /* the words that do not fit */
};

struct tn_audit_client_count {
	uint64_t held, kept, given, link; /* slots */
	uint64_t runs;
};

struct tn_audit_result {
	struct tn_audit_finding finding; /* .sentence 0: all holds */
	struct tn_audit_finding weak;    /* the first one */
	uint64_t n_weak;
	uint64_t areas_busy; /* changed too fast for a verdict; not quiescent */
	uint64_t shares_busy;
	/* of data; and those behind it that are in slabs */
	uint64_t pages_free, pages_run, pages_slab, pages_hand;
	uint64_t pages_handle;
	uint64_t runs, runs_pool, runs_shared, runs_handle;
	uint64_t slabs, slots, slots_free, slots_pool, slots_shared;
	uint64_t slots_handle; /* objects of handles, as .runs_handle */
	uint64_t handles;      /* LIVE or MOVING */
	uint64_t shares, holds; /* records that were looked at and in use */
	struct tn_audit_client_count clients[TN_N_CLIENTS]; /* by slot */
};

#define TN_AUDIT_WINDOW_AREAS 64U /* so that a slice stays short */
#define TN_AUDIT_WINDOW_ROWS (TN_AUDIT_WINDOW_AREAS * TN_AREA_ROWS)
#define TN_AUDIT_WINDOW_SHARES 2048U /* takes about as long as four areas */

/* An audit under way; about 100 KiB. What is not commented is its own. */
struct tn_audit {
	struct tn_audit_in in;
	struct tn_audit_geo geo;
	struct tn_audit_result result; /* so far */
	struct tn_audit_result saved;
	uint64_t mark;
	uint64_t area;               /* the next one */
	uint64_t share;              /* the next record, once areas are done */
	uint64_t run, run_end;       /* the run that the walk is inside of */
	uint64_t run_saved, run_end_saved;
	uint64_t window;             /* the area that hands[] begins at */
	uint64_t map[TN_AREA_ROWS];  /* of the area in hand */
	uint64_t hole, hole_end;     /* in between, meta was never used */
	uint32_t good_client;        /* was found fit to hold slots here */
	int unseen;                  /* tn_audit_unseen(); -1: not asked */
	bool begun;
	uint16_t control_of[TN_N_CLIENTS];      /* by slot: + 1 */
	uint64_t hands[TN_AUDIT_WINDOW_ROWS];   /* pages of live steps */
	uint16_t counted[TN_AUDIT_WINDOW_SHARES]; /* by live steps */
};

/**
 * tn_audit_begin() - get ready to audit a pool
 * @a: not initialized; stays the caller's
 * @in: copied, but for what it points to
 */
void tn_audit_begin(struct tn_audit *a, const struct tn_audit_in *in);

/**
 * tn_audit_step() - do a slice of it
 * @areas: how many of them to look at. One that is full of small objects takes
 *         0.4 ms, in a pool that changes meanwhile at worst 25 times that; each
 *         64th takes a look at all lanes, and at what is in their hands.
 *
 * Threads: one at a time. No system call, no allocation; ends whatever the
 * bytes are, and reads none outside of the ranges in @in.
 *
 * Return: true: there is more; false: it is done, a->result.finding tells.
 */
bool tn_audit_step(struct tn_audit *a, uint64_t areas);

/** tn_audit_run() - begin, and all the steps. Return: a->result.finding's
 *  sentence, TN_AUDIT_HOLDS (0) if every one holds. */
enum tn_audit_sentence tn_audit_run(struct tn_audit *a,
				    const struct tn_audit_in *in);

/** tn_audit_text() - a sentence as it reads when it is broken */
const char *tn_audit_text(enum tn_audit_sentence sentence);

/** tn_audit_name() - its name in TN_AUDIT_SENTENCES, without the prefix */
const char *tn_audit_name(enum tn_audit_sentence sentence);

/** tn_audit_format() - a finding in one line: sentence, place, words.
 *  Return: as snprintf() does. */
int tn_audit_format(const struct tn_audit_finding *finding, char *buf,
		    size_t bytes);
