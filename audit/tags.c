/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tags: who holds what.
 *
 * An area has 32 bands of tags, and of each band every page has 8. A slab
 * has those of its first four pages, 32 slots in each band; those beyond its
 * last slot, and those of its further pages, are 0. A run has one: the first of
 * its first page in band 0.
 *
 * A tag that names a client names one who is there, and who has the touched
 * bit for the slab or run, and for its area: by these alone recovery finds what
 * he held. GIVEN to one who is gone is explained by the giver who has not
 * yet looked; LINK by a publish or claim of the client's, which recovery needs
 * to know how far it came. And tarnd, whose slot is empty, keeps for a moment
 * what it is about to return, while it recovers somebody, and the places of
 * what it moves: these with a touched bit of its own.
 */
#include "audit/look.h"

static int say(struct tn_audit *a, enum tn_audit_sentence sentence,
	       uint64_t page, uint64_t slot, uint16_t tag)
{
	return tn_audit_say(a, sentence, page, slot, tag,
			    tn_look_client(a, TN_CLIENT_SLOT(
						TN_TAG_CLIENT(tag))));
}

/* Records are ended first, and then what is in LINK is no more than theirs. */
static bool being_recovered(const struct tn_audit *a, uint32_t client)
{
	return !a->in.quiescent &&
	       tn_look_client(a, TN_CLIENT_SLOT(client)) ==
	       (TN_CLIENT_DEAD | client);
}

static int linked(struct tn_audit *a, uint16_t tag, uint64_t page,
		  uint64_t slot, uint64_t off)
{
	uint32_t client = TN_TAG_CLIENT(tag);
	unsigned n = tn_audit_links(a, client, off);

	if (tn_audit_control(a, client) < 0)
		return 0;
	if (!n && !being_recovered(a, client))
		return say(a, TN_AUDIT_TAG_LINK, page, slot, tag);
	if (n > 1 && a->in.quiescent)
		say(a, TN_AUDIT_LINK_TWICE, page, slot, tag);
	return 0;
}

static void count(struct tn_audit *a, uint16_t tag, uint64_t slot)
{
	struct tn_audit_client_count *c =
		&a->result.clients[TN_CLIENT_SLOT(TN_TAG_CLIENT(tag))];

	if (slot == TN_AUDIT_NOWHERE)
		c->runs++;
	else if (TN_TAG_FORM(tag) == TN_TAG_HELD)
		c->held++;
	else if (TN_TAG_FORM(tag) == TN_TAG_KEPT)
		c->kept++;
	else if (TN_TAG_FORM(tag) == TN_TAG_GIVEN)
		c->given++;
	else
		c->link++;
}

/* What no single client holds. */
static void count_common(struct tn_audit *a, bool pool, uint64_t slot)
{
	struct tn_audit_result *r = &a->result;

	if (slot == TN_AUDIT_NOWHERE)
		(*(pool ? &r->runs_pool : &r->runs_shared))++;
	else
		(*(pool ? &r->slots_pool : &r->slots_shared))++;
}

/* tarnd's, for good reason? At rest, the only one is a batch of moves that it
 * noted and died in. */
static bool tarnds(const struct tn_audit *a, uint16_t tag, uint64_t page,
		   uint64_t slot)
{
	/* a run that is to be the new place of another */
	bool held = TN_TAG_FORM(tag) == TN_TAG_HELD && slot == TN_AUDIT_NOWHERE;

	if (TN_TAG_FORM(tag) != TN_TAG_KEPT && !held)
		return false;
	if (!a->in.quiescent && tn_audit_recovering(a))
		return true;
	return tn_audit_touched(a, TN_DAEMON_SLOT, page) &&
	       (!a->in.quiescent || tn_audit_moving(a));
}

/* The client is there, and knows where to look. */
static int there(struct tn_audit *a, uint16_t tag, uint64_t page,
		 uint64_t slot, uint64_t off)
{
	uint32_t client = TN_TAG_CLIENT(tag);

	if (client == TN_DAEMON_SLOT && tarnds(a, tag, page, slot))
		return 0;
	if (!tn_audit_attached(a, client)) {
		if (TN_TAG_FORM(tag) == TN_TAG_GIVEN &&
		    (tn_audit_unseen(a) || tn_audit_giving(a, client, off)))
			return 0;
		return say(a, TN_AUDIT_TAG_HOLDER, page, slot, tag);
	}
	if (!tn_audit_touched(a, client, page))
		return say(a, TN_AUDIT_TAG_UNTOUCHED, page, slot, tag);
	a->good_client = slot == TN_AUDIT_NOWHERE ? 0 : client;
	return 0;
}

int tn_audit_holder(struct tn_audit *a, uint16_t tag, uint64_t page,
		    uint64_t slot, uint64_t off)
{
	unsigned form = TN_TAG_FORM(tag);
	uint32_t client = TN_TAG_CLIENT(tag);

	if (tag == TN_TAG_POOL || tag == TN_TAG_SHARED) {
		count_common(a, tag == TN_TAG_POOL, slot);
		return tag == TN_TAG_POOL ? 0 :
		       tn_audit_shared(a, page, slot, off);
	}
	if (tag == TN_TAG_HANDLE)
		return tn_audit_back(a, page, slot, off);
	if (form > TN_TAG_LINK || !TN_CLIENT_SLOT(client))
		return say(a, TN_AUDIT_TAG_FORM, page, slot, tag);
	count(a, tag, slot);
	if (client != a->good_client) {
		int e = there(a, tag, page, slot, off);

		if (e)
			return e;
	}
	return form == TN_TAG_LINK ? linked(a, tag, page, slot, off) : 0;
}

/* Four tags, some of which are not 0. */
static int four_slots(struct tn_audit *a, uint64_t page,
		      const struct tn_audit_cut *cut, uint64_t slot,
		      uint64_t tags, uint64_t *zero)
{
	int e = 0;

	for (unsigned i = 0; i < 4 && !e; i++, slot++, tags >>= 16) {
		uint16_t tag = (uint16_t)tags;

		if (!tag)
			*zero += slot < cut->slots;
		else if (slot >= cut->slots)
			e = say(a, TN_AUDIT_TAG_UNUSED, page, slot, tag);
		else
			e = tn_audit_holder(a, tag, page, slot,
					    page * 4096 + slot * cut->bytes);
	}
	return e;
}

/* The tags that are those of the first four pages. */
static int all_slots(struct tn_audit *a, uint64_t page,
		     const struct tn_audit_cut *cut, uint64_t *zero)
{
	uint64_t slot = 0;
	int e = 0;

	for (unsigned band = 0; band < TN_AUDIT_BANDS; band++)
		for (unsigned i = 0; i < 32 && !e; i += 4, slot += 4) {
			uint64_t tags = tn_look_tags(a, page, band, i);

			if (tags)
				e = four_slots(a, page, cut, slot, tags, zero);
			else if (slot < cut->slots)
				*zero += cut->slots - slot < 4 ?
					 cut->slots - slot : 4;
		}
	return e;
}

int tn_audit_slots(struct tn_audit *a, uint64_t page,
		   const struct tn_audit_cut *cut, uint64_t *ret_zero)
{
	uint64_t zero = 0, seen;
	int e;

	a->good_client = 0;
	e = all_slots(a, page, cut, &zero);
	a->good_client = 0;
	a->result.slots_free += zero;
	*ret_zero = zero;
	for (uint64_t p = page + 4; p < page + cut->pages && !e; p++)
		if (!tn_audit_no_tags(a, p, 0, &seen))
			e = tn_audit_say(a, TN_AUDIT_TAG_UNUSED, p,
					 TN_AUDIT_NOWHERE, seen, 0);
	return e;
}

bool tn_audit_no_tags(const struct tn_audit *a, uint64_t page, unsigned from,
		      uint64_t *ret_seen)
{
	for (unsigned band = 0; band < TN_AUDIT_BANDS; band++)
		for (unsigned i = 0; i < 8; i += 4) {
			uint64_t tags = tn_look_tags(a, page, band, i);

			if (!band && !i && from)
				tags &= ~0xffffULL;
			if (tags) {
				*ret_seen = tags;
				return false;
			}
		}
	return true;
}

bool tn_audit_spot(const struct tn_audit *a, uint64_t off,
		   struct tn_audit_spot *ret)
{
	uint64_t page = off / 4096, word = tn_look_word(a, page);
	struct tn_audit_cut cut;

	*ret = (struct tn_audit_spot){ .slot = TN_AUDIT_NOWHERE };
	if (!(tn_look_map(a, page / 64) >> page % 64 & 1))
		return false;
	if (TN_PAGE_KIND(word) == TN_PAGE_SLAB) {
		ret->class = TN_PAGE_CLASS(word);
		if (!tn_audit_cut(a, ret->class, &cut) ||
		    TN_PAGE_BACK(word) >= cut.pages ||
		    TN_PAGE_BACK(word) > page)
			return false;
		page -= TN_PAGE_BACK(word);
		ret->slot = (off - page * 4096) / cut.bytes;
		if ((off - page * 4096) % cut.bytes || ret->slot >= cut.slots)
			return false;
	} else if (TN_PAGE_KIND(word) != TN_PAGE_RUN || off % 4096) {
		return false;
	}
	ret->page = page;
	ret->tag = tn_look_tag(a, page, tn_look_slot(ret->slot));
	return true;
}
