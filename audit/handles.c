/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Handles and their objects, each held against the other.
 *
 *   handle:  place, ref  <------------------  back link
 *                |                            tag HANDLE  :object
 *                +-------------------------------^
 *
 * From the object: it can be moved (a run, or a slot of such a class), and its
 * back link names a handle that says its place. A handle that is FREE still
 * says the place of its last object; that is its own as long as it is KEPT by
 * who takes the two apart. Or a line of the mover's journal names the handle
 * and the place.
 *
 * From the handle: it is FREE; or LIVE or MOVING, and then has a tag, a ref,
 * and an object that says so. Who just makes a handle has it HELD, and the
 * object is still HELD or KEPT by the same client. MOVING says where the
 * journal moves it from. Of who is dead its recovery may have had the object
 * before the handle: as long as that is at work nothing is said of it.
 *
 * A handle that is in no slab is FREE, and its number is none that one in its
 * place may still get: at most that in its area's .born.
 *
 * A pool that changes meanwhile. Making, unmaking and moving change several
 * words, so one look may find what never was. What breaks is looked at again
 * at once, so that an area full of busy handles gets a verdict, too.
 */
#include "audit/look.h"

#define TRIES 8U /* picked, not tuned */

struct verdict {
	enum tn_audit_sentence sentence;
	uint64_t seen[2];
};

typedef struct verdict judge_fn(struct tn_audit *a, uint64_t page,
				uint64_t slot, uint64_t what);

static struct verdict broken(enum tn_audit_sentence sentence, uint64_t seen0,
			     uint64_t seen1)
{ return (struct verdict){ sentence, { seen0, seen1 } }; }

static const struct verdict holds;

static int judge(struct tn_audit *a, judge_fn *fn, uint64_t page,
		 uint64_t slot, uint64_t what)
{
	struct verdict v = fn(a, page, slot, what);

	for (unsigned i = 1; v.sentence && !a->in.quiescent && i < TRIES; i++) {
		tn_fence_full();
		v = fn(a, page, slot, what);
	}
	return !v.sentence ? 0 : tn_audit_say(a, v.sentence, page, slot,
					      v.seen[0], v.seen[1]);
}

/* Refs */

static uint64_t number_of(const struct tn_audit *a, uint64_t ref)
{
	uint64_t n = ref >> 48 << 17 |
		     (ref >> TN_HANDLE_IDX_BITS & ((1U << 17) - 1));

	return (n - (a->mark << 17)) & TN_HANDLE_NUMBER_MAX;
}

static bool ref_is_of(const struct tn_audit *a, uint64_t ref, uint64_t idx)
{
	return ref & TN_HANDLE_REF && TN_HANDLE_IDX(ref) == idx &&
	       number_of(a, ref);
}

static uint64_t born(const struct tn_audit *a, uint64_t idx)
{
	uint64_t page = a->geo.handle_page + idx / TN_AUDIT_PAGE_HANDLES;

	return tn_look64(a, a->geo.at[TN_AUDIT_AT_AREAS] + page / 512 * 256 +
			    192);
}

bool tn_audit_ref_was(const struct tn_audit *a, uint64_t ref)
{
	uint64_t idx = TN_HANDLE_IDX(ref), now;

	if (idx >= a->geo.n_handles || !ref_is_of(a, ref, idx))
		return false;
	now = tn_look_ref(a, idx);
	return (now && number_of(a, ref) <= number_of(a, now)) ||
	       number_of(a, ref) <= born(a, idx);
}

/* Is a word the place of a handle? */
static bool form_ok(uint64_t place)
{
	uint64_t state = TN_HANDLE_STATE(place);

	return state <= TN_HANDLE_MOVING && !(place << 3 >> 47) &&
	       !(state == TN_HANDLE_FREE && place & TN_HANDLE_TORN);
}

/* A handle */

/* By whom its recovery may have come to the object first. */
static bool excused(const struct tn_audit *a, uint16_t tag)
{
	uint32_t client = TN_TAG_CLIENT(tag);

	return tag == (TN_TAG_KEPT | TN_DAEMON_SLOT) ||
	       (TN_TAG_FORM(tag) <= TN_TAG_LINK &&
		tn_look_client(a, TN_CLIENT_SLOT(client)) ==
		(TN_CLIENT_DEAD | client));
}

static bool movable(unsigned class, uint64_t slot)
{
	return slot == TN_AUDIT_NOWHERE ||
	       (class >= TN_CLASS_MOVABLE && class < TN_CLASS_HANDLE);
}

/* The holder of the handle is just making it: the tag comes last. */
static bool making(uint16_t tag, uint16_t of_object)
{
	return TN_TAG_FORM(tag) == TN_TAG_HELD &&
	       TN_TAG_FORM(of_object) <= TN_TAG_KEPT &&
	       TN_TAG_CLIENT(tag) == TN_TAG_CLIENT(of_object);
}

/* It is LIVE or MOVING: does its object say so? */
static struct verdict with_object(struct tn_audit *a, uint64_t idx,
				  uint64_t place, uint16_t tag)
{
	uint64_t off = TN_HANDLE_OFF(place);
	bool moving = TN_HANDLE_STATE(place) == TN_HANDLE_MOVING;
	struct tn_audit_spot at;
	bool found = off < a->in.data_bytes && tn_audit_spot(a, off, &at) &&
		     movable(at.class, at.slot);

	if (found && at.tag == TN_TAG_HANDLE &&
	    tn_look_back(a, at.page, tn_look_slot(at.slot)) == idx)
		return !moving || tn_audit_move(a, idx, off, true) ? holds :
		       broken(TN_AUDIT_HANDLE_MOVING, place, tag);
	if ((found && !moving && making(tag, at.tag)) || excused(a, tag))
		return holds;
	return broken(TN_AUDIT_HANDLE_OBJECT, place, found ? at.tag : 0);
}

static struct verdict handle(struct tn_audit *a, uint64_t page, uint64_t slot,
			     uint64_t idx)
{
	uint64_t place = tn_look_place(a, idx), ref = tn_look_ref(a, idx);
	uint16_t tag = tn_look_tag(a, page, slot);

	if (!form_ok(place))
		return broken(TN_AUDIT_HANDLE_PLACE, place, ref);
	if (ref ? !ref_is_of(a, ref, idx) : TN_HANDLE_STATE(place) != 0)
		return broken(TN_AUDIT_HANDLE_REF, place, ref);
	if (TN_HANDLE_STATE(place) == TN_HANDLE_FREE)
		return holds;
	if (!tag)
		return broken(TN_AUDIT_HANDLE_FREE, place, ref);
	return with_object(a, idx, place, tag);
}

static uint64_t first_of(const struct tn_audit *a, uint64_t page)
{ return (page - a->geo.handle_page) * TN_AUDIT_PAGE_HANDLES; }

int tn_audit_handles(struct tn_audit *a, uint64_t page, uint64_t slots)
{
	uint64_t idx = first_of(a, page);
	int e = 0;

	for (uint64_t i = 0; i < slots && !e; i++) {
		a->result.handles += TN_HANDLE_STATE(tn_look_place(a, idx + i))
				     != TN_HANDLE_FREE;
		e = judge(a, handle, page, i, idx + i);
	}
	return e;
}

int tn_audit_no_handles(struct tn_audit *a, uint64_t page)
{
	uint64_t idx, end;

	if (page < a->geo.handle_page)
		return 0;
	idx = first_of(a, page);
	if (tn_audit_hole(a, a->geo.at[TN_AUDIT_AT_HANDLES] + idx * 16, 4096))
		return 0;
	for (end = idx + TN_AUDIT_PAGE_HANDLES; idx < end; idx++) {
		uint64_t place = tn_look_place(a, idx);
		uint64_t ref = tn_look_ref(a, idx);
		enum tn_audit_sentence broken = TN_AUDIT_HOLDS;

		if (TN_HANDLE_STATE(place) != TN_HANDLE_FREE)
			broken = TN_AUDIT_HANDLE_FREE;
		else if (ref && !ref_is_of(a, ref, idx))
			broken = TN_AUDIT_HANDLE_REF;
		else if (ref && number_of(a, ref) > born(a, idx))
			broken = TN_AUDIT_HANDLE_BORN;
		if (broken)
			return tn_audit_say(a, broken, page,
					    idx % TN_AUDIT_PAGE_HANDLES, place,
					    ref);
	}
	return 0;
}

/* An object */

/* Is that a handle, in a slab, which says that the object at @off is its? */
static bool says(const struct tn_audit *a, uint64_t idx, uint64_t off)
{
	uint64_t place = tn_look_place(a, idx);
	struct tn_audit_spot at;

	if (TN_HANDLE_OFF(place) != off ||
	    !tn_audit_spot(a, a->geo.handle_page * 4096 + idx * 16, &at) ||
	    at.class != TN_CLASS_HANDLE || !at.tag)
		return false;
	return TN_HANDLE_STATE(place) != TN_HANDLE_FREE ||
	       TN_TAG_FORM(at.tag) == TN_TAG_KEPT;
}

static struct verdict object(struct tn_audit *a, uint64_t page, uint64_t slot,
			     uint64_t off)
{
	uint64_t idx = tn_look_back(a, page, tn_look_slot(slot));

	if (tn_look_tag(a, page, tn_look_slot(slot)) != TN_TAG_HANDLE)
		return holds; /* no more */
	if (idx < a->geo.n_handles &&
	    (says(a, idx, off) || tn_audit_move(a, idx, off, false)))
		return holds;
	return broken(TN_AUDIT_BACK_LINK, idx, tn_look_place(a, idx));
}

int tn_audit_back(struct tn_audit *a, uint64_t page, uint64_t slot,
		  uint64_t off)
{
	unsigned class = TN_PAGE_CLASS(tn_look_word(a, page));

	(*(slot == TN_AUDIT_NOWHERE ? &a->result.runs_handle :
				      &a->result.slots_handle))++;
	if (!movable(class, slot))
		return tn_audit_say(a, TN_AUDIT_BACK_CLASS, page, slot, class,
				    tn_look_back(a, page, slot));
	return judge(a, object, page, slot, off);
}
