/* SPDX-License-Identifier: BSD-2-Clause */
/* Objects that several clients hold. */
#include "pool/share.h"
#include "tests/lib/tn_ops.h"

/* The subject, a slot or a run of deed->pages, held by one client. */
static uint64_t object_of(struct tn_world *w, uint32_t client,
			  const struct tn_deed *deed)
{
	uint64_t off;

	tn_ops_object(w, TN_LIVING, 3, TN_TAG_HELD | TN_LIVING);
	off = deed->pages ? tn_ops_run_of(w, client, deed->pages) :
	      tn_ops_object(w, client, 3, (uint16_t)(TN_TAG_HELD | client));
	tn_ops_need(!tn_object_find(&w->heap.pool, off, &w->obj));
	w->board->subject = off;
	return off;
}

static void own(struct tn_world *w, const struct tn_deed *deed)
{ object_of(w, TN_DEAD, deed); }

static void others(struct tn_world *w, const struct tn_deed *deed)
{ object_of(w, TN_LIVING, deed); }

static void shared_by(struct tn_world *w, const struct tn_lane_ref *l,
		      const struct tn_deed *deed)
{
	uint64_t off = object_of(w, l->client, deed);

	tn_ops_need(tn_share_make(&w->heap.pool, l, off) == 0);
}

static void shared_by_other(struct tn_world *w, const struct tn_deed *deed)
{ shared_by(w, &w->living, deed); }

static void shared_by_self(struct tn_world *w, const struct tn_deed *deed)
{ shared_by(w, &w->dead, deed); }

static void shared_by_both(struct tn_world *w, const struct tn_deed *deed)
{
	shared_by(w, &w->living, deed);
	tn_ops_need(tn_share_hold(&w->heap.pool, &w->dead,
				  w->board->subject) == 0);
}

static void act_share(struct tn_world *w, const struct tn_deed *deed)
{
	(void)deed;
	w->board->result = tn_share_make(&w->heap.pool, &w->dead,
					 w->board->subject);
}

static void act_hold(struct tn_world *w, const struct tn_deed *deed)
{
	(void)deed;
	w->board->result = tn_share_hold(&w->heap.pool, &w->dead,
					 w->board->subject);
}

static void act_release(struct tn_world *w, const struct tn_deed *deed)
{
	static const struct tn_slab_cursor none;
	struct tn_slot slot = {
		w->heap.pool.data + w->board->subject, w->obj.tag,
	};
	int r = tn_share_release(&w->heap.pool, &w->dead, w->board->subject,
				 TN_DEAD);

	(void)deed;
	w->board->result = r;
	if (r == 1 && w->obj.pages)
		tn_run_drop(&w->heap.pool, &w->dead, TN_OP_RUN, w->obj.page,
			    w->obj.pages);
	else if (r == 1)
		tn_slab_return(&w->heap.pool, &w->dead, w->obj.class, &slot, 1,
			       &none);
}

/* If it is shared still, then by the living one alone, who may end that. */
static const char *one_holder(struct tn_world *w, const struct tn_deed *deed)
{
	struct tn_pool *p = &w->heap.pool;
	uint64_t off = w->board->subject;

	(void)deed;
	if (tn_heap_tag(&w->heap, off) == TN_TAG_SHARED) {
		if (tn_share_release(p, &w->living, off, TN_LIVING) != 1)
			return "the living one is not the last holder";
		if (tn_heap_tag(&w->heap, off) != (TN_TAG_KEPT | TN_LIVING))
			return "the last holder has not got it";
	}
	for (uint64_t i = 0; i < p->geo.n_shares; i++) {
		if (tn64_load_relaxed(&p->shares[i].state.lo))
			return "a share record is left";
		for (unsigned k = 0; k < TN_N_CLIENTS / 64; k++)
			if (tn64_load_relaxed(&p->shares[i].set[k].lo))
				return "a holder's bit is left";
	}
	return NULL;
}

#define SHARE(name_, edge_, setup_, act_, tag_, ...) \
	{ .name = name_, .edge = edge_, .setup = setup_, .act = act_, \
	  .may = { { true, tag_, TN_WORD_ANY } }, .after = one_holder, \
	  __VA_ARGS__ }

const struct tn_deed tn_ops_share[] = {
	SHARE("share", "own slot", own, act_share, 0, .n = 1),
	SHARE("share", "own run", own, act_share, 0, .pages = 70),
	SHARE("share", "another's", others, act_share,
	      TN_TAG_HELD | TN_LIVING, .n = 1),
	SHARE("share", "shared already", shared_by_self, act_share, 0, .n = 1),
	SHARE("hold", "another's slot", shared_by_other, act_hold,
	      TN_TAG_SHARED, .n = 1),
	SHARE("hold", "another's run", shared_by_other, act_hold,
	      TN_TAG_SHARED, .pages = 70),
	SHARE("hold", "held already", shared_by_both, act_hold, TN_TAG_SHARED,
	      .n = 1),
	SHARE("hold", "not shared", others, act_hold, TN_TAG_HELD | TN_LIVING,
	      .n = 1),
	SHARE("share release", "one of two", shared_by_both, act_release,
	      TN_TAG_SHARED, .n = 1),
	SHARE("share release", "last, a slot", shared_by_self, act_release, 0,
	      .n = 1),
	SHARE("share release", "last, a run", shared_by_self, act_release, 0,
	      .pages = 70),
	SHARE("share release", "not a holder", shared_by_other, act_release,
	      TN_TAG_SHARED, .n = 1),
	{ .name = NULL },
};
