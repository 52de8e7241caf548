/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A slab: the words of its pages agree on a class, which exists, and each
 * tells how far it is from the first; the slab word, with the first page, is
 * of the same class and open, or leased to a lane that is there. Its count is
 * how many of its slots' tags are 0.
 *
 * The count goes down after tags are taken, under the lease; it goes up after
 * a tag was freed, lease or not. So of a slab that is leased, or of a pool that
 * is not at rest, no more can be said than that it is not above the slots. In
 * one at rest it is exact, but that recovery may have counted what a living
 * client then counted once more: COUNT_HIGH, which costs the next claimant a
 * look. COUNT_LOW is worse: those slots may never be found again.
 */
#include "audit/look.h"

static int say(struct tn_audit *a, enum tn_audit_sentence sentence,
	       uint64_t page, uint64_t seen0, uint64_t seen1)
{
	return tn_audit_say(a, sentence, page, TN_AUDIT_NOWHERE, seen0, seen1);
}

static int slab_pages(struct tn_audit *a, uint64_t page,
		      const struct tn_audit_cut *cut, uint64_t word)
{
	uint64_t map = a->map[page / 64 % 8];

	if (page % cut->pages || !tn_audit_has(&a->geo, page, cut->pages))
		return say(a, TN_AUDIT_SLAB_PLACE, page, word, 0);
	for (uint64_t p = page; p < page + cut->pages; p++) {
		uint64_t other = tn_look_word(a, p);
		uint64_t slab = p == page ? 0 : tn_look_slab(a, p);

		if (!(map >> p % 64 & 1))
			return say(a, TN_AUDIT_SLAB_HOLE, p, map, word);
		if (tn_look_hands(a, p))
			return say(a, TN_AUDIT_HAND_OBJECT, p, map, page);
		if (slab || other != TN_PAGE_SLAB_WORD(TN_PAGE_CLASS(word),
						       p - page))
			return say(a, TN_AUDIT_SLAB_PAGES, p, other, slab);
	}
	return 0;
}

static bool lane_in_use(const struct tn_audit *a, uint32_t client,
			unsigned lane)
{
	int c = tn_audit_control(a, client);

	return c < 0 || tn_look_control(a, (unsigned)c, TN_AUDIT_AT_LANES +
							lane * 64U);
}

static int lessee(struct tn_audit *a, uint64_t page, uint64_t slab)
{
	uint32_t client = TN_SLAB_CLIENT(slab);

	/* tarnd is in no slot; leases of one that died are taken over by the
	 * next one's recovery of who died before */
	if (client == TN_DAEMON_SLOT)
		return lane_in_use(a, client, TN_SLAB_LANE(slab)) ||
		       (!a->in.quiescent && tn_audit_recovering(a)) ? 0 :
		       say(a, TN_AUDIT_SLAB_LESSEE, page, slab, 0);
	if (!tn_audit_attached(a, client) ||
	    !lane_in_use(a, client, TN_SLAB_LANE(slab)))
		return say(a, TN_AUDIT_SLAB_LESSEE, page, slab,
			   tn_look_client(a, TN_CLIENT_SLOT(client)));
	if (!tn_audit_touched(a, client, page))
		return say(a, TN_AUDIT_LEASE_UNTOUCHED, page, slab, 0);
	return 0;
}

static int slab_word(struct tn_audit *a, uint64_t page, uint64_t word,
		     uint64_t slab, const struct tn_audit_cut *cut)
{
	uint64_t state = TN_SLAB_STATE(slab);

	if ((state != TN_SLAB_OPEN && state != TN_SLAB_LEASED) ||
	    TN_SLAB_CLASS(slab) != TN_PAGE_CLASS(word) ||
	    slab << 16 >> 16 >> 34)
		return say(a, TN_AUDIT_SLAB_WORD, page, word, slab);
	if (TN_SLAB_FREE(slab) > cut->slots)
		return say(a, TN_AUDIT_COUNT_ABOVE, page, slab, cut->slots);
	return state == TN_SLAB_LEASED || TN_SLAB_CLIENT(slab) ?
	       lessee(a, page, slab) : 0;
}

/* A pool at rest: does the way to this slab's free slots exist? */
static void hints(struct tn_audit *a, uint64_t page, uint64_t slab)
{
	uint64_t area = page / 512, class = TN_SLAB_CLASS(slab);
	uint64_t partial = tn_look64(a, a->geo.at[TN_AUDIT_AT_AREAS] +
					area * 256 + 128 +
					page % 512 / 64 * 8);
	uint64_t areas = tn_look64(a, a->geo.at[TN_AUDIT_AT_HINTS] +
				      (class * a->geo.area_words +
				       area / 64) * 8);

	if (!(partial >> page % 64 & 1) || !(areas >> area % 64 & 1))
		say(a, TN_AUDIT_HINT_LOST, page, partial, areas);
}

static int counts(struct tn_audit *a, uint64_t page, uint64_t slab,
		  uint64_t zero)
{
	uint64_t n = TN_SLAB_FREE(slab);

	if (!a->in.quiescent || TN_SLAB_STATE(slab) != TN_SLAB_OPEN)
		return 0;
	if (n < zero)
		return say(a, TN_AUDIT_COUNT_LOW, page, slab, zero);
	if (n > zero)
		say(a, TN_AUDIT_COUNT_HIGH, page, slab, zero);
	if (n && !TN_SLAB_CLIENT(slab))
		hints(a, page, slab);
	return 0;
}

int tn_audit_slab(struct tn_audit *a, uint64_t page, uint64_t *ret_next)
{
	uint64_t word = tn_look_word(a, page), slab = tn_look_slab(a, page);
	struct tn_audit_cut cut;
	uint64_t zero;
	int e;

	if (!tn_audit_cut(a, TN_PAGE_CLASS(word), &cut))
		return say(a, TN_AUDIT_SLAB_CLASS, page, word, slab);
	if (!tn_look_ground(a, TN_PAGE_CLASS(word), page))
		return say(a, TN_AUDIT_SLAB_GROUND, page, word, slab);
	e = slab_pages(a, page, &cut, word);
	if (!e)
		e = slab_word(a, page, word, slab, &cut);
	if (!e)
		e = tn_audit_slots(a, page, &cut, &zero);
	if (!e && page >= a->geo.handle_page)
		e = tn_audit_handles(a, page, cut.slots);
	if (!e)
		e = counts(a, page, slab, zero);
	a->result.slabs++;
	a->result.slots += cut.slots;
	if (page < a->geo.handle_page)
		a->result.pages_slab += cut.pages;
	else
		a->result.pages_handle += cut.pages;
	*ret_next = page + cut.pages;
	return e;
}
