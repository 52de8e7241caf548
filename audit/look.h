/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * How the auditor reads: every load is one word, at an offset that is held
 * against the range it was given, and a relaxed one; what was read at an
 * unlucky moment is read again (audit.c). Beyond the range there are zeros.
 */
#include "audit/audit.h"

static inline uint64_t tn_look64(const struct tn_audit *a, uint64_t off)
{
	const uint8_t *meta = a->in.meta;

	if (a->in.meta_bytes < 8 || off > a->in.meta_bytes - 8 || off % 8)
		return 0;
	return tn64_load_relaxed((const tn_a64 *)(const void *)(meta + off));
}

static inline uint8_t tn_look8(const struct tn_audit *a, uint64_t off)
{
	const uint8_t *meta = a->in.meta;

	if (off >= a->in.meta_bytes)
		return 0;
	return tn8_load_relaxed((const tn_a8 *)(const void *)(meta + off));
}

/* Of control file @c. */
static inline uint64_t tn_look_control(const struct tn_audit *a, unsigned c,
				       uint64_t off)
{
	const struct tn_audit_control *f = &a->in.controls[c];
	const uint8_t *control = f->control;

	if (f->bytes < 8 || off > f->bytes - 8 || off % 8)
		return 0;
	return tn64_load_relaxed((const tn_a64 *)(const void *)(control + off));
}

static inline uint64_t tn_look_word(const struct tn_audit *a, uint64_t page)
{ return tn_look64(a, a->geo.at[TN_AUDIT_AT_PAGES] + page * 16); }

static inline uint64_t tn_look_slab(const struct tn_audit *a, uint64_t page)
{ return tn_look64(a, a->geo.at[TN_AUDIT_AT_PAGES] + page * 16 + 8); }

/* Row @row of the pool: area 0 has 0 to 7, and so on. */
static inline uint64_t tn_look_map(const struct tn_audit *a, uint64_t row)
{
	return tn_look64(a, a->geo.at[TN_AUDIT_AT_AREAS] + row / 8 * 256 +
			    row % 8 * 16);
}

static inline uint64_t tn_look_stamp(const struct tn_audit *a, uint64_t row)
{
	return tn_look64(a, a->geo.at[TN_AUDIT_AT_AREAS] + row / 8 * 256 +
			    row % 8 * 16 + 8);
}

static inline uint64_t tn_look_client(const struct tn_audit *a, unsigned slot)
{ return tn_look64(a, a->geo.at[TN_AUDIT_AT_CLIENTS] + slot * 64U); }

static inline uint64_t tn_look_done(const struct tn_audit *a, unsigned slot,
				    unsigned lane)
{
	return tn_look64(a, a->geo.at[TN_AUDIT_AT_DONE] +
			    (slot * (uint64_t)TN_N_LANES + lane) * 8);
}

/* Four tags, in band @band, the first @i tags on from @page's first there;
 * @i a multiple of 4. */
static inline uint64_t tn_look_tags(const struct tn_audit *a, uint64_t page,
				    unsigned band, unsigned i)
{
	return tn_look64(a, a->geo.at[TN_AUDIT_AT_TAGS] +
			    page / 512 * 512 * 512 + band * 8192U +
			    page % 512 * 16 + i * 2);
}

/* The tag of a slot of the slab, or (slot 0) of the run, that starts there. */
static inline uint16_t tn_look_tag(const struct tn_audit *a, uint64_t page,
				   uint64_t slot)
{
	unsigned i = (unsigned)(slot % 32);

	return (uint16_t)(tn_look_tags(a, page, (unsigned)(slot / 32),
				       i / 4 * 4) >> i % 4 * 16);
}

/* Is the page in the hands of a live step? */
static inline bool tn_look_hands(const struct tn_audit *a, uint64_t page)
{
	uint64_t row = page / 64 - a->window * TN_AREA_ROWS;

	return row < TN_AUDIT_WINDOW_ROWS && a->hands[row] >> page % 64 & 1;
}

/* Where a slot's tag is; a run's is that of slot 0. */
static inline uint64_t tn_look_slot(uint64_t slot)
{ return slot == TN_AUDIT_NOWHERE ? 0 : slot; }

/* The back link beside that tag. */
static inline uint32_t tn_look_back(const struct tn_audit *a, uint64_t page,
				    uint64_t slot)
{
	uint64_t off = a->geo.at[TN_AUDIT_AT_BACKS] +
		       (page / 512 * 131072 + slot / 32 * 4096 +
			page % 512 * 8 + slot % 32) * 4;

	return (uint32_t)(tn_look64(a, off & ~7ULL) >> off % 8 * 8);
}

static inline uint64_t tn_look_place(const struct tn_audit *a, uint64_t idx)
{ return tn_look64(a, a->geo.at[TN_AUDIT_AT_HANDLES] + idx * 16); }

static inline uint64_t tn_look_ref(const struct tn_audit *a, uint64_t idx)
{ return tn_look64(a, a->geo.at[TN_AUDIT_AT_HANDLES] + idx * 16 + 8); }

/* May a slab of that class be there? */
static inline bool tn_look_ground(const struct tn_audit *a, uint64_t class,
				  uint64_t page)
{ return (class == TN_CLASS_HANDLE) == (page >= a->geo.handle_page); }

/* report.c: put down what is broken; returns the sentence. Weak ones are
 * counted, and 0 is returned. */
int tn_audit_say(struct tn_audit *a, enum tn_audit_sentence sentence,
		 uint64_t page, uint64_t slot, uint64_t seen0, uint64_t seen1);
int tn_audit_say_lane(struct tn_audit *a, enum tn_audit_sentence sentence,
		      unsigned control, unsigned lane, uint64_t page,
		      uint64_t seen0, uint64_t seen1);
void tn_audit_say_weak(struct tn_audit *a, enum tn_audit_sentence sentence,
		       unsigned control, uint64_t slot, uint64_t seen);

/* tables.c. Like all that follow: 0, or the sentence that does not hold. */
int tn_audit_files(struct tn_audit *a, uint64_t unused);
int tn_audit_clients(struct tn_audit *a, uint64_t unused);
int tn_audit_roots(struct tn_audit *a, uint64_t unused);
int tn_audit_caches(struct tn_audit *a, uint64_t unused);
bool tn_audit_cut(const struct tn_audit *a, uint64_t class,
		  struct tn_audit_cut *ret);

/* clients.c: who is there */
bool tn_audit_attached(const struct tn_audit *a, uint32_t client);
/* the control file of a client, if it is known: 0 ... n_controls - 1, or -1 */
int tn_audit_control(const struct tn_audit *a, uint32_t client);
bool tn_audit_recovering(const struct tn_audit *a); /* any client */
/* may there be a step whose record was not handed over? */
bool tn_audit_unseen(struct tn_audit *a);
bool tn_audit_touched(const struct tn_audit *a, uint32_t client,
		      uint64_t page);

/* lanes.c: a step that has a record */
struct tn_audit_op {
	unsigned control, lane;
	uint32_t client;
	unsigned kind;
	uint64_t page, pages;    /* of a run or slab */
	uint64_t rows;           /* that it covers */
	uint64_t row, number;
	bool down;
	uint64_t ref, word;
	uint64_t op, progress;   /* as read */
};
unsigned tn_audit_n_lanes(const struct tn_audit *a, unsigned control);
bool tn_audit_op(const struct tn_audit *a, unsigned control, unsigned lane,
		 struct tn_audit_op *ret);
bool tn_audit_op_place(const struct tn_audit *a, const struct tn_audit_op *s);
bool tn_audit_op_row(const struct tn_audit_op *s);
/* all records of control file @control */
int tn_audit_lanes(struct tn_audit *a, uint64_t control);
bool tn_audit_stamp_ok(const struct tn_audit *a, uint64_t stamp);
int tn_audit_stamp(struct tn_audit *a, uint64_t row);
/* how many publish and claim steps of a client name the object at @off */
unsigned tn_audit_links(const struct tn_audit *a, uint32_t client,
			uint64_t off);
/* is somebody just giving the object to the client? */
bool tn_audit_giving(const struct tn_audit *a, uint32_t client, uint64_t off);

/* hands.c: a->hands, for the areas from @area on, without a look at what the
 * pages hold; or with one */
void tn_audit_gather(struct tn_audit *a);
int tn_audit_window(struct tn_audit *a, uint64_t area);

/* audit.c: are these bytes of meta zero because nobody ever wrote there? */
bool tn_audit_hole(struct tn_audit *a, uint64_t off, uint64_t bytes);

/* shares.c: the record of the object at @off, whose tag says that it is shared;
 * and a window of records, whatever they are of */
int tn_audit_shared(struct tn_audit *a, uint64_t page, uint64_t slot,
		    uint64_t off);
int tn_audit_shares(struct tn_audit *a, uint64_t first);
/* the first window, from record @rec on, that is not empty for sure */
uint64_t tn_audit_next_share(struct tn_audit *a, uint64_t rec);
/* may record @rec be that of the object at @off? */
bool tn_audit_share_place(const struct tn_audit *a, uint64_t rec, uint64_t off);

/* moves.c: pins, and tarnd's journal, of control file @control */
int tn_audit_moves(struct tn_audit *a, uint64_t control);
/* does the journal move handle @idx from @off, or (not @from) to it? */
bool tn_audit_move(const struct tn_audit *a, uint64_t idx, uint64_t off,
		   bool from);
/* does it move anything? */
bool tn_audit_moving(const struct tn_audit *a);

/* handles.c: all handles of the slab at @page; those of a page in no slab */
int tn_audit_handles(struct tn_audit *a, uint64_t page, uint64_t slots);
int tn_audit_no_handles(struct tn_audit *a, uint64_t page);
/* the object at @off, whose tag is HANDLE */
int tn_audit_back(struct tn_audit *a, uint64_t page, uint64_t slot,
		  uint64_t off);
/* is it, or was it, a ref to a handle of this pool? */
bool tn_audit_ref_was(const struct tn_audit *a, uint64_t ref);

/* tags.c: the slot or run that starts at @off. false: none does */
struct tn_audit_spot {
	uint64_t page, slot; /* NOWHERE: a run */
	unsigned class;      /* of a slot */
	uint16_t tag;
};
bool tn_audit_spot(const struct tn_audit *a, uint64_t off,
		   struct tn_audit_spot *ret);

/* pages.c, slabs.c, tags.c */
int tn_audit_area(struct tn_audit *a, uint64_t area);
void tn_audit_find_run(struct tn_audit *a, uint64_t area);
int tn_audit_slab(struct tn_audit *a, uint64_t page, uint64_t *ret_next);
int tn_audit_holder(struct tn_audit *a, uint16_t tag, uint64_t page,
		    uint64_t slot, uint64_t off);
int tn_audit_slots(struct tn_audit *a, uint64_t page,
		   const struct tn_audit_cut *cut, uint64_t *ret_zero);
/* are all tags of the page 0? @from: the first that must be, 0 or 1 */
bool tn_audit_no_tags(const struct tn_audit *a, uint64_t page, unsigned from,
		      uint64_t *ret_seen);
