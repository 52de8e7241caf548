/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who holds an object, and how it changes hands.
 *
 *             alloc                give               take
 *      free ---------> HELD by a -------> GIVEN to b -------> HELD by b
 *                       |     ^
 *                detach |     | adopt, take
 *                       v     |
 *                        POOL                 publish: HELD -> LINK -> POOL
 *                                             claim:   POOL -> LINK -> HELD
 *
 * The tag says it all, and it changes by one store. Only the client that a
 * tag names may change it, to whatever it likes (but for GIVEN, which the
 * giver takes back from a receiver that is dead); a tag that is POOL, anybody
 * may. So two of the same client's threads, or two who want what the pool
 * holds, may race, and each change here but one is a compare-and-swap from the
 * form it was found in: exactly one has it. What the pool holds is seized
 * first: POOL -> LINK with an op open, looked at again, and then made ours.
 *
 * The one is give: a look and a plain store, as free is (pool/magazine.h), and
 * like there it is the caller's to see that no other of its threads does away
 * with the object at the very same moment. A locked instruction would wait
 * until the processor has written all that it was told to before: the object,
 * whose line the receiver of the last one in its place had.
 *
 * Words. publish and claim tie an object to a word of shared memory: the
 * word holds the ref if and only if the pool holds the object *there*. That
 * takes two stores, so the lane's record names object and word, and while it
 * happens the tag is LINK: this client is at it, everybody else keep off.
 *
 *   publish  op; HELD -> LINK; word 0 -> ref (note it); LINK -> POOL; op = 0
 *   claim    op; POOL -> LINK; look: word = ref? (note it); word ref -> 0;
 *            LINK -> HELD; op = 0
 *
 * A ref that was read from a word long ago may be linked in another word by
 * now, or in none. So the claimer looks at the word once more when the tag
 * is LINK and nobody else can move the object; if it is not there he puts
 * POOL back and has changed nothing. What he saw is noted before the word is
 * touched, and that it was written is noted before the tag lets others at the
 * object, because it is what recovery must know: see tn_hold_resume().
 *
 * Who writes: tags, see above; words, whoever has the LINK of the object
 * that goes in or out, by compare-and-swap.
 *
 * Orderings:
 *   tag.hand   what the giver did to the object is before its tag's release,
 *              and the taker's acquire is before what he does
 *   word.link  the same by way of the word
 *   give: tag store, tn_pool_fence(), look at the receiver's state; tarnd:
 *              state DEAD, membarrier, sweep of tags. Either the sweep sees
 *              the tag, or the giver the state: a giver that is between the
 *              two is made to fence by the membarrier.
 *
 * Crash windows (c the dead, d the receiver):
 *   C1 give, GIVEN stored, receiver not looked at: if d is dead, nobody
 *      else may know of the object: freed (op)
 *   C2 publish, LINK, word not written: made HELD, the sweep frees it with c's
 *   C3 publish, word written, LINK: made POOL (op; the word holds the ref)
 *   C4 publish, noted, POOL, op not cleared: over; the object may be anybody's
 *   C5 claim, LINK, nothing noted: the sweep makes it POOL again
 *   C6 claim, noted, word still holds the ref: made POOL again
 *   C7 claim, noted, word cleared: made HELD, the sweep frees it
 *   C8 seized, for adopt or free: made POOL again, as C5
 * In C2, C3 and C5 to C8 no other client can have changed the tag: it names c.
 *
 * What it does not do: keep anyone waiting. A word whose object is in LINK
 * is taken for a publisher, and empty for a claimer, until its client goes
 * on or is recovered.
 */
#include "pool/hold.h"

#include <errno.h>

#include "base/assert.h"
#include "pool/cache.h"
#include "pool/run.h"

#define HELD(l) ((uint16_t)(TN_TAG_HELD | (l)->client))
#define KEPT(l) ((uint16_t)(TN_TAG_KEPT | (l)->client))
#define GIVEN(l) ((uint16_t)(TN_TAG_GIVEN | (l)->client))
#define LINK(l) ((uint16_t)(TN_TAG_LINK | (l)->client))

static int find_slot(struct tn_pool *pool, uint64_t off, uint64_t word,
		     struct tn_object *ret)
{
	uint64_t back = TN_PAGE_BACK(word), page = off >> TN_PAGE_SHIFT, slot;
	const struct tn_shape *s;

	ret->class = TN_PAGE_CLASS(word);
	s = ret->class < TN_N_CLASSES ? tn_cache_shape(pool, ret->class) : NULL;
	if (!s || back >> s->order || back > page)
		return -EINVAL;
	ret->page = page - back;
	if (ret->page & ((1ULL << s->order) - 1) ||
	    !tn_class_fits(pool, ret->class, page))
		return -EINVAL;
	if (!tn_shape_slot(s, off - (ret->page << TN_PAGE_SHIFT), &slot))
		return -EINVAL;
	ret->bytes = s->bytes;
	ret->pages = 0;
	ret->tag = &pool->tags[tn_tag_index(ret->page, slot)];
	return 0;
}

int tn_object_find(struct tn_pool *pool, uint64_t off, struct tn_object *ret)
{
	uint64_t page = off >> TN_PAGE_SHIFT, word;

	if (!tn_geo_has(&pool->geo, page, 1))
		return -EINVAL;
	word = tn64_load_relaxed(&pool->pages[page].word);
	if (TN_PAGE_KIND(word) == TN_PAGE_SLAB)
		return find_slot(pool, off, word, ret);
	if (TN_PAGE_KIND(word) != TN_PAGE_RUN || off % TN_PAGE_BYTES ||
	    !TN_PAGE_PAGES(word) || page >= pool->geo.n_pages ||
	    TN_PAGE_PAGES(word) > pool->geo.n_pages - page)
		return -EINVAL;
	ret->page = page;
	ret->pages = TN_PAGE_PAGES(word);
	ret->bytes = ret->pages << TN_PAGE_SHIFT;
	ret->class = 0;
	ret->tag = &pool->tags[tn_tag_index(page, 0)];
	return 0;
}

/* One change of a tag. Return: 0, -EALREADY (free), -EPERM (it is not @from) */
static int change(tn_a16 *tag, uint16_t from, uint16_t to)
{
	uint16_t was = from;

	/* HB> tag.hand; HB< tag.hand */
	if (tn16_cas_acq_rel(tag, &was, to))
		return 0;
	return was == TN_TAG_FREE || TN_TAG_FORM(was) == TN_TAG_KEPT ?
	       -EALREADY : -EPERM;
}

static int find_and_change(struct tn_pool *pool, uint64_t off, uint16_t from,
			   uint16_t to)
{
	struct tn_object obj;
	int r;

	r = tn_object_find(pool, off, &obj);
	if (r < 0)
		return r;
	r = change(obj.tag, from, to);
	return r == -EALREADY ? -EPERM : r;
}

/*
 * Takes what the pool holds into our hands: POOL -> LINK, with an op open that
 * puts POOL back should we die. Between finding an object and changing its
 * tag, others may have freed it, and something else may be there that the
 * pool holds, too. So it is found again when nobody else can move it.
 *
 * Return: 0, the tag LINK, the op open; else < 0 and no op.
 */
static int seize(struct tn_pool *pool, const struct tn_lane_ref *l,
		 uint64_t off, uint64_t word, struct tn_object *obj)
{
	struct tn_object again;
	int r;

	tn_touch(pool, l->client, obj->page);
	tn64_store_relaxed(&l->rec->ref, off);
	tn64_store_relaxed(&l->rec->word, word);
	tn_lane_begin(l, TN_OP(TN_OP_CLAIM, 0, 0));
	r = change(obj->tag, TN_TAG_POOL, LINK(l));
	TN_CRASH("seized");
	if (r == 0) {
		if (tn_object_find(pool, off, &again) == 0 &&
		    again.tag == obj->tag && again.page == obj->page) {
			*obj = again;
			return 0;
		}
		change(obj->tag, LINK(l), TN_TAG_POOL);
		r = -EINVAL;
	}
	tn_lane_commit(l);
	return r;
}

/* Ends what seize() began. */
static void keep(const struct tn_lane_ref *l, const struct tn_object *obj,
		 uint16_t tag)
{
	change(obj->tag, LINK(l), tag);
	tn_lane_commit(l);
}

int tn_object_release(struct tn_pool *pool, const struct tn_lane_ref *l,
		      uint64_t off, struct tn_object *obj)
{
	int r = change(obj->tag, HELD(l), KEPT(l));

	if (r == -EPERM)
		r = change(obj->tag, GIVEN(l), KEPT(l));
	if (r != -EPERM)
		return r;
	r = seize(pool, l, off, 0, obj);
	if (r == 0)
		keep(l, obj, KEPT(l));
	return r;
}

/* Give and take */

static bool alive(struct tn_pool *pool, uint32_t client)
{
	const tn_a64 *state = &pool->clients[TN_CLIENT_SLOT(client)].state;

	return client && client <= TN_CLIENT_ID_MASK &&
	       tn64_load_relaxed(state) == (TN_CLIENT_ALIVE | client);
}

/* Nobody else changes what we hold. Return: 0, or -EPERM: we do not. */
static int give_to(tn_a16 *tag, uint16_t held, uint16_t given)
{
	if (tn16_load_relaxed(tag) != held)
		return -EPERM;
	/* HB> tag.hand */
	tn16_store_release(tag, given);
	return 0;
}

int tn_hold_give_found(struct tn_pool *pool, const struct tn_lane_ref *l,
		       uint64_t off, uint64_t page, tn_a16 *tag,
		       uint32_t client)
{
	uint16_t given = (uint16_t)(TN_TAG_GIVEN | client);
	int r;

	if (!alive(pool, client))
		return -ESRCH;
	tn_touch(pool, client, page);
	tn64_store_relaxed(&l->rec->ref, off);
	tn64_store_relaxed(&l->rec->word, client);
	tn_lane_begin(l, TN_OP(TN_OP_GIVE, 0, 0));
	r = give_to(tag, HELD(l), given);
	TN_CRASH("give.given");
	/* tarnd says that a client is dead before it sweeps its tags: either
	 * the sweep sees this one, or we see that */
	tn_pool_fence(pool);
	/* swept already: it was given, and has died with the receiver */
	if (r == 0 && !alive(pool, client) &&
	    change(tag, given, HELD(l)) == 0)
		r = -ESRCH;
	tn_lane_commit(l);
	return r;
}

int tn_hold_give(struct tn_pool *pool, const struct tn_lane_ref *l,
		 uint64_t off, uint32_t client)
{
	struct tn_object obj;
	int r = tn_object_find(pool, off, &obj);

	if (r < 0)
		return alive(pool, client) ? r : -ESRCH;
	return tn_hold_give_found(pool, l, off, obj.page, obj.tag, client);
}

int tn_hold_take_found(struct tn_pool *pool, const struct tn_lane_ref *l,
		       uint64_t off, tn_a16 *tag)
{
	return change(tag, GIVEN(l), HELD(l)) == 0 ? 0 :
	       tn_hold_adopt(pool, l, off);
}

int tn_hold_take(struct tn_pool *pool, const struct tn_lane_ref *l,
		 uint64_t off)
{
	struct tn_object obj;
	int r = tn_object_find(pool, off, &obj);

	return r < 0 ? r : tn_hold_take_found(pool, l, off, obj.tag);
}

int tn_hold_detach(struct tn_pool *pool, const struct tn_lane_ref *l,
		   uint64_t off)
{ return find_and_change(pool, off, HELD(l), TN_TAG_POOL); }

int tn_hold_adopt(struct tn_pool *pool, const struct tn_lane_ref *l,
		  uint64_t off)
{
	struct tn_object obj;
	int r;

	r = tn_object_find(pool, off, &obj);
	if (r == 0)
		r = seize(pool, l, off, 0, &obj);
	if (r == 0)
		keep(l, &obj, HELD(l));
	return r == -EALREADY ? -EPERM : r;
}

/* Publish and claim */

/* Publish: the ref is in the word. Claim: it was, and we have the tag. */
static void note_linked(const struct tn_lane_ref *l, uint64_t off)
{
	tn_fence_compiler();
	tn64_store_relaxed(&l->rec->ref, off | TN_LANE_LINKED);
	tn_fence_compiler();
}

static tn_a64 *word_at(const struct tn_pool *pool, uint64_t word)
{ return (tn_a64 *)(void *)(pool->data + word); }

int tn_hold_publish(struct tn_pool *pool, const struct tn_lane_ref *l,
		    uint64_t word, uint64_t off)
{
	struct tn_object obj;
	uint64_t empty = 0;
	int r;

	r = tn_object_find(pool, off, &obj);
	if (r < 0)
		return r;
	tn64_store_relaxed(&l->rec->ref, off);
	tn64_store_relaxed(&l->rec->word, word);
	tn_lane_begin(l, TN_OP(TN_OP_PUBLISH, 0, 0));
	r = change(obj.tag, HELD(l), LINK(l));
	TN_CRASH("publish.link");
	if (r == 0) {
		/* HB> word.link */
		if (tn64_cas_release(word_at(pool, word), &empty,
				     tn_ref_to(pool, off))) {
			TN_CRASH("publish.written");
			note_linked(l, off);
			change(obj.tag, LINK(l), TN_TAG_POOL);
		} else {
			change(obj.tag, LINK(l), HELD(l));
			r = -EBUSY;
		}
	}
	tn_lane_commit(l);
	return r == -EALREADY ? -EPERM : r;
}

/* The object's tag is LINK and ours. Return: did it come out of the word? */
static bool unlink_word(const struct tn_lane_ref *l, tn_a64 *w, uint64_t ref,
			uint64_t off)
{
	if (tn64_load_relaxed(w) != ref)
		return false;
	note_linked(l, off);
	TN_CRASH("claim.noted");
	/* HB< word.link */
	return tn64_cas_acquire(w, &ref, 0);
}

uint64_t tn_hold_claim(struct tn_pool *pool, const struct tn_lane_ref *l,
		       uint64_t word)
{
	tn_a64 *w = word_at(pool, word);
	/* HB< word.link */
	uint64_t ref = tn64_load_acquire(w);
	struct tn_object obj;
	bool out = false;
	uint64_t off;

	if (!tn_ref_place(pool, ref, &off) ||
	    tn_object_find(pool, off, &obj) < 0)
		return 0;
	if (seize(pool, l, off, word, &obj) < 0)
		return 0;
	/* a handle that is in our hands keeps its ref: is it this one? */
	out = tn_ref_place(pool, ref, &off) && unlink_word(l, w, ref, off);
	TN_CRASH("claim.cleared");
	keep(l, &obj, out ? HELD(l) : TN_TAG_POOL);
	return out ? ref : 0;
}

/* After a death */

static void resume_give(struct tn_pool *pool, const struct tn_lane_ref *l,
			const struct tn_object *obj)
{
	uint32_t to = (uint32_t)tn64_load_relaxed(&l->rec->word);

	/* the receiver may have been swept before the tag was stored: then
	 * it is the dead giver's again, and goes with what else is his */
	if (!alive(pool, to))
		change(obj->tag, (uint16_t)(TN_TAG_GIVEN |
					    (to & TN_CLIENT_ID_MASK)), HELD(l));
}

/*
 * The tag of an object in LINK says which client is at it, not which of its
 * lanes, so the records must tell whose it is:
 *
 *   the word holds the ref    the pool's: no two words ever do
 *   it does not, and
 *     publish, not noted      the client's: no word names it, and the call has
 *     claim, noted            not returned, so no other lane can be at it
 *     publish, noted          over long ago; LINK would be another lane's
 *     claim, not noted        not to be told from here, perhaps not even found:
 *                             the ref may be an old one, and the slab another
 *
 * What is in LINK after all records is a claim's that had noted nothing, and
 * so the pool's: tn_tag_left().
 */
static void resume_link(struct tn_pool *pool, const struct tn_lane_ref *l,
			const struct tn_object *obj, uint64_t off,
			uint64_t word)
{
	uint64_t op = tn64_load_relaxed(&l->rec->op);
	bool noted = tn64_load_relaxed(&l->rec->ref) & TN_LANE_LINKED;
	bool publish = TN_OP_KIND(op) == TN_OP_PUBLISH;

	/* HB< word.link */
	if (tn64_load_acquire(word_at(pool, word)) == tn_ref_to(pool, off))
		change(obj->tag, LINK(l), TN_TAG_POOL);
	else if (publish != noted)
		change(obj->tag, LINK(l), HELD(l));
}

int tn_hold_resume(struct tn_pool *pool, const struct tn_lane_ref *l)
{
	unsigned kind = TN_OP_KIND(tn64_load_relaxed(&l->rec->op));
	uint64_t off = tn64_load_relaxed(&l->rec->ref) & ~TN_LANE_LINKED;
	uint64_t word = tn64_load_relaxed(&l->rec->word);
	struct tn_object obj;

	if (tn_object_find(pool, off, &obj) < 0) {
		/* it was gone before the step touched it */
	} else if (kind == TN_OP_GIVE) {
		resume_give(pool, l, &obj);
	} else if (word % 8 || word > pool->geo.data_bytes - 8) {
		return -EUCLEAN;
	} else {
		resume_link(pool, l, &obj, off, word);
	}
	tn_lane_commit(l);
	return 0;
}
