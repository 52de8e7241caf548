/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Handles.
 *
 *   ref ----> handle: | place | ref |       a slot of TN_CLASS_HANDLE in the
 *                        |                  handles section of meta
 *                        v
 *             object:  tag HANDLE, back link = the handle's index
 *
 * A ref says where the handle is, and the handle where the object is, so that
 * the object can be moved (pool/move.c). Who holds the object, the tag of the
 * handle says, as with any slot: give, take, share, publish, recovery and the
 * rest know nothing of handles but that their slots lie behind data. The
 * object's own tag says HANDLE, and names nobody.
 *
 * I1  An object whose tag is HANDLE belongs to the handle h that its back
 *     link names, and the place of h is its; or the journal of the mover
 *     names both.
 * I2  A handle that is LIVE or MOVING has an object of which I1 is true; or
 *     its holder is just making it, and still has the object KEPT or HELD.
 * I3  A handle that is FREE may still say where its last object was. It is
 *     that one's if and only if tag and back link say so, too.
 * I4  The number in a handle's ref only grows, over the ends and births of
 *     slabs as well (.born). So a stale ref fits no handle, ever. A handle
 *     whose number cannot grow any more is left to the pool for good.
 *
 * Making: back link, ref, place = LIVE, tag = HANDLE. Unmaking: the handle's
 * tag says KEPT already; place = FREE, the object's tag = KEPT. So
 *
 *   C1 made but for the last tag    the handle is HELD by the dead, and the
 *                                   object KEPT or HELD: the sweep frees both,
 *                                   in whatever order, for by I3 the handle no
 *                                   longer has an object once that is free
 *   C2 place = FREE, the tag still  the handle is KEPT by the dead: its sweep
 *      HANDLE                       finds the object by I3
 *   C3 the sweep of a handle cut    the handle is KEPT by tarnd, and is found
 *      short                        again where it was found before; the object
 *                                   is I3's, or in pages that the dead is said
 *                                   to have touched
 *
 * Who writes place: the handle's holder; the mover, LIVE <-> MOVING and the
 * new place; whoever needs the object while it is MOVING, back to LIVE. All by
 * compare-and-swap but for the holder's first LIVE.
 *
 * Orderings:
 *   handle.live   LIVE is a release: who loads the place with an acquire sees
 *                 the ref and the back link
 *   handle.place  a new place is a release: the copy is complete
 *   tag.hand      (pool/hold.c) whoever finds the tag HANDLE finds the link
 *
 * What it does not do: wait, or keep a handle from being freed while others
 * have it pinned. That is the holder's to know, as with any object.
 */
#include "pool/handle.h"

#include <errno.h>

#include "base/assert.h"
#include "pool/run.h"
#include "pool/slab.h"

/* Numbers and refs */

static uint64_t number_of(const struct tn_pool *pool, uint64_t ref)
{
	uint64_t n = ref >> 48 << 17 |
		     (ref >> TN_HANDLE_IDX_BITS & ((1U << 17) - 1));

	return !ref ? 0 : (n - (pool->mark << 17)) & TN_HANDLE_NUMBER_MAX;
}

static uint64_t ref_of(const struct tn_pool *pool, uint64_t idx,
		       uint64_t number)
{
	uint64_t n = (number + (pool->mark << 17)) & TN_HANDLE_NUMBER_MAX;

	return n >> 17 << 48 | TN_HANDLE_REF |
	       (n & ((1U << 17) - 1)) << TN_HANDLE_IDX_BITS | idx;
}

static tn_a64 *born(struct tn_pool *pool, uint64_t page)
{ return &pool->areas[page >> TN_AREA_SHIFT].born; }

void tn_handle_end_slab(struct tn_pool *pool, uint64_t page, uint64_t n)
{
	uint64_t idx = tn_handle_idx(pool, page << TN_PAGE_SHIFT);
	uint64_t end = idx + (n << (TN_PAGE_SHIFT - 4)), highest = 0, was;

	for (; idx < end; idx++)
		highest = tn_max64(highest, number_of(pool,
			tn64_load_relaxed(&tn_handle_at(pool, idx)->ref)));
	was = tn64_load_relaxed(born(pool, page));
	while (was < highest &&
	       !tn64_cas_relaxed(born(pool, page), &was, highest))
		;
}

/* Life */

uint64_t tn_handle_bind(struct tn_pool *pool, uint64_t off,
			const struct tn_object *obj, uint64_t to)
{
	uint64_t idx = tn_handle_idx(pool, off), place, number, ref;
	struct tn_handle *h = tn_handle_at(pool, idx);

	number = number_of(pool, tn64_load_relaxed(&h->ref));
	number = 1 + tn_max64(number, tn64_load_relaxed(
				      born(pool, off >> TN_PAGE_SHIFT)));
	if (number > TN_HANDLE_NUMBER_MAX)
		return 0;
	ref = ref_of(pool, idx, number);
	tn32_store_relaxed(tn_handle_back(pool, obj->tag), (uint32_t)idx);
	tn64_store_relaxed(&h->ref, ref);
	/* counted on, so that no reader takes one object for another */
	place = tn64_load_relaxed(&h->place) + TN_HANDLE_MOVES_ONE;
	place &= TN_HANDLE_MOVES_MASK;
	/* HB> handle.live */
	tn64_store_release(&h->place,
			   place | TN_HANDLE_PLACE(TN_HANDLE_LIVE, to));
	TN_CRASH("handle.live");
	/* HB> tag.hand */
	tn16_store_release(obj->tag, TN_TAG_HANDLE);
	return ref;
}

/* LIVE or MOVING -> FREE, and says where the object is, or was. */
static uint64_t set_free(struct tn_pool *pool, uint64_t idx)
{
	struct tn_handle *h = tn_handle_at(pool, idx);
	uint64_t place = tn64_load_relaxed(&h->place), freed;

	do {
		freed = place & ~(TN_HANDLE_TORN | 3ULL << 62);
		/* HB> handle.place; HB< handle.place */
	} while (!tn64_cas_acq_rel(&h->place, &place, freed));
	return TN_HANDLE_OFF(freed);
}

/* The object that is the handle's by I3. */
static bool find_own(struct tn_pool *pool, uint64_t idx, uint64_t off,
		     struct tn_object *ret)
{
	return off < pool->geo.data_bytes &&
	       tn_object_find(pool, off, ret) == 0 &&
	       /* HB< tag.hand */
	       tn16_load_acquire(ret->tag) == TN_TAG_HANDLE &&
	       tn32_load_relaxed(tn_handle_back(pool, ret->tag)) == idx;
}

int tn_handle_unbind(struct tn_pool *pool, const struct tn_lane_ref *l,
		     uint64_t off, struct tn_object *ret, uint64_t *ret_off)
{
	uint64_t idx = tn_handle_idx(pool, off);

	*ret_off = set_free(pool, idx);
	TN_CRASH("handle.free");
	if (!find_own(pool, idx, *ret_off, ret))
		return -ENOENT;
	tn_touch(pool, l->client, ret->page);
	tn16_store_relaxed(ret->tag, (uint16_t)(TN_TAG_KEPT | l->client));
	TN_CRASH("handle.apart");
	return 0;
}

int tn_handle_drop(struct tn_pool *pool, const struct tn_lane_ref *l,
		   uint64_t off, uint32_t dead)
{
	const struct tn_slab_cursor none = { 0 };
	uint64_t idx = tn_handle_idx(pool, off);
	uint64_t at = set_free(pool, idx);
	struct tn_object obj;

	if (!find_own(pool, idx, at, &obj))
		return 0;
	tn_touch(pool, dead, obj.page);
	if (obj.pages) {
		tn16_store_relaxed(obj.tag, (uint16_t)(TN_TAG_KEPT | dead));
		TN_CRASH("handle.drop.run");
		return tn_run_drop(pool, l, TN_OP_RUN, obj.page, obj.pages);
	}
	return tn_slab_return(pool, l, obj.class, &(struct tn_slot){
		.p = pool->data + at, .tag = obj.tag }, 1, &none);
}

/* A writer's death */

void tn_handle_torn(struct tn_pool *pool, uint64_t ref)
{
	uint64_t idx = TN_HANDLE_IDX(ref), place;
	struct tn_handle *h = tn_handle_at(pool, idx);

	if (idx >= pool->geo.n_handles || tn64_load_relaxed(&h->ref) != ref)
		return;
	place = tn64_load_relaxed(&h->place);
	while (TN_HANDLE_STATE(place) != TN_HANDLE_FREE &&
	       !tn64_cas_relaxed(&h->place, &place, place | TN_HANDLE_TORN))
		;
}

bool tn_handle_told(struct tn_pool *pool, uint64_t idx)
{
	struct tn_handle *h = tn_handle_at(pool, idx);
	uint64_t place = tn64_load_relaxed(&h->place);

	while (place & TN_HANDLE_TORN)
		if (tn64_cas_relaxed(&h->place, &place,
				     place & ~TN_HANDLE_TORN))
			return true;
	return false;
}

/* A move that is under way */

uint64_t tn_handle_keep(struct tn_pool *pool, uint64_t idx)
{
	struct tn_handle *h = tn_handle_at(pool, idx);
	/* HB< handle.live; HB< handle.place */
	uint64_t place = tn64_load_acquire(&h->place), live;

	while (TN_HANDLE_STATE(place) == TN_HANDLE_MOVING) {
		live = (place & ~(3ULL << 62)) | TN_HANDLE_LIVE << 62;
		/* HB> handle.place; HB< handle.place */
		if (tn64_cas_acq_rel(&h->place, &place, live))
			return live;
	}
	return place;
}
