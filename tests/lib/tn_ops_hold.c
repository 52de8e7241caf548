/* SPDX-License-Identifier: BSD-2-Clause */
/* Hand-over: from client to client, to the pool, and by way of a word. */
#include <errno.h>
#include <string.h>

#include "pool/cache.h"
#include "tests/lib/tn_ops.h"
#include "tests/lib/tn_outcomes.h"

/* A word for the pool's, in an object of the pool's. */
static void make_word(struct tn_world *w)
{
	uint64_t off = tn_ops_object(w, TN_LIVING, 7, TN_TAG_POOL);

	memset(w->heap.pool.data + off, 0, 128);
	w->board->word = off + 16;
}

static void set_word(struct tn_world *w, uint64_t ref)
{
	tn64_store_relaxed((tn_a64 *)(void *)(w->heap.pool.data +
					      w->board->word), ref);
}

/* The subject: a slot, or a run of op->pages, with the tag op->n. */
static void subject(struct tn_world *w, const struct tn_deed *op)
{
	uint32_t client = TN_TAG_FORM(op->n) <= TN_TAG_LINK ?
			  TN_TAG_CLIENT(op->n) : TN_LIVING;
	struct tn_object obj;

	make_word(w);
	tn_ops_object(w, TN_LIVING, 3, TN_TAG_HELD | TN_LIVING);
	if (op->pages)
		w->board->subject = tn_ops_run_of(w, client, op->pages);
	else
		w->board->subject = tn_ops_object(w, client, 3, 0xffff);
	tn_ops_need(!tn_object_find(&w->heap.pool, w->board->subject, &obj));
	tn16_store_relaxed(obj.tag, (uint16_t)op->n);
	w->obj = obj;
}

static void act_give(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = tn_hold_give(&w->heap.pool, &w->dead,
					w->board->subject, TN_LIVING);
}

static void act_give_gone(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = tn_hold_give(&w->heap.pool, &w->dead,
					w->board->subject, TN_LIVING + 1024);
}

static void act_take(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = tn_hold_take(&w->heap.pool, &w->dead,
					w->board->subject);
}

static void act_detach(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = tn_hold_detach(&w->heap.pool, &w->dead,
					  w->board->subject);
}

static void act_adopt(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = tn_hold_adopt(&w->heap.pool, &w->dead,
					 w->board->subject);
}

static void act_publish(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = tn_hold_publish(&w->heap.pool, &w->dead,
					   w->board->word, w->board->subject);
}

static void act_claim(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = (int64_t)tn_hold_claim(&w->heap.pool, &w->dead,
						  w->board->word);
}

static void act_release(struct tn_world *w, const struct tn_deed *op)
{
	static const struct tn_slab_cursor none;
	struct tn_slot slot = {
		w->heap.pool.data + w->board->subject, w->obj.tag,
	};

	(void)op;
	if (tn_object_release(&w->heap.pool, &w->dead,
			      w->board->subject, &w->obj) < 0)
		return;
	if (w->obj.pages)
		tn_run_drop(&w->heap.pool, &w->dead, TN_OP_RUN, w->obj.page,
			    w->obj.pages);
	else
		tn_slab_return(&w->heap.pool, &w->dead, w->obj.class, &slot, 1,
			       &none);
}

/* The word holds a ref already: another's, which is where it should be. */
static void word_taken(struct tn_world *w, const struct tn_deed *op)
{
	uint64_t other;

	subject(w, op);
	other = tn_ops_object(w, TN_LIVING, 3, TN_TAG_POOL);
	set_word(w, tn_ref_make(&w->heap.pool, other));
}

static void word_full(struct tn_world *w, const struct tn_deed *op)
{
	subject(w, op);
	set_word(w, tn_ref_make(&w->heap.pool, w->board->subject));
}

/* ... of an object that is in no slab and no run any more. */
static void word_dangling(struct tn_world *w, const struct tn_deed *op)
{
	subject(w, op);
	set_word(w, tn_ref_make(&w->heap.pool, 200 << TN_PAGE_SHIFT));
}

/* Roots */

static void root_there(struct tn_world *w, const struct tn_deed *op)
{
	w->p[0] = w->heap.pool.data +
		  tn_ops_object(w, TN_LIVING, 3, TN_TAG_POOL);
	if (op->n)
		tn_ops_need(tn_root_find(&w->heap.pool, "top", true));
}

static void act_root(struct tn_world *w, const struct tn_deed *op)
{
	struct tn_root *root = tn_root_find(&w->heap.pool, "top", true);
	uint64_t off = tn_pool_off(&w->heap.pool, w->p[0]);

	(void)op;
	if (root)
		tn64_store_release(&root->ref, tn_ref_make(&w->heap.pool, off));
}

static const char *root_is_whole(struct tn_world *w, const struct tn_deed *op)
{
	struct tn_root *root = tn_root_find(&w->heap.pool, "top", true);
	uint64_t ref = root ? tn64_load_relaxed(&root->ref) : ~0ULL;

	(void)op;
	if (!root || strcmp(root->name, "top") != 0)
		return "the root cannot be made any more";
	return ref && !tn_ref_ok(&w->heap.pool, ref) ?
	       "the root leads to nowhere" : NULL;
}

const struct tn_deed tn_ops_hold[] = {
	{ "give", "a slot", subject, act_give, .n = OWN,
	  .may = FREE_OR(TN_TAG_GIVEN | TN_LIVING) },
	{ "give", "a run", subject, act_give, .n = OWN, .pages = 70,
	  .may = FREE_OR(TN_TAG_GIVEN | TN_LIVING) },
	{ "give", "another's", subject, act_give, .n = OTHERS,
	  .may = { STAYS(OTHERS) } },
	{ "give", "to somebody gone", subject, act_give_gone, .n = OWN,
	  .may = { FREE } },
	{ "take", "what was given", subject, act_take, .n = OFFERED,
	  .may = { FREE } },
	{ "take", "a run", subject, act_take, .n = OFFERED, .pages = 70,
	  .may = { FREE } },
	{ "take", "the pool's", subject, act_take, .n = TN_TAG_POOL,
	  .may = FREE_OR(TN_TAG_POOL) },
	{ "take", "another's", subject, act_take, .n = OTHERS,
	  .may = { STAYS(OTHERS) } },
	{ "detach", "a slot", subject, act_detach, .n = OWN,
	  .may = FREE_OR(TN_TAG_POOL) },
	{ "detach", "a run", subject, act_detach, .n = OWN, .pages = 70,
	  .may = FREE_OR(TN_TAG_POOL) },
	{ "adopt", "a slot", subject, act_adopt, .n = TN_TAG_POOL,
	  .may = FREE_OR(TN_TAG_POOL) },
	{ "adopt", "a run", subject, act_adopt, .n = TN_TAG_POOL, .pages = 70,
	  .may = FREE_OR(TN_TAG_POOL) },
	{ "adopt", "another's", subject, act_adopt, .n = OTHERS,
	  .may = { STAYS(OTHERS) } },
	{ "publish", "empty word", subject, act_publish, .n = OWN,
	  .may = IN_OR_FREE },
	{ "publish", "empty word, a run", subject, act_publish, .n = OWN,
	  .pages = 70, .may = IN_OR_FREE },
	{ "publish", "word taken", word_taken, act_publish, .n = OWN,
	  .may = { FREE } },
	{ "publish", "another's", subject, act_publish, .n = OTHERS,
	  .may = { { true, OTHERS, TN_WORD_EMPTY } } },
	{ "claim", "full word", word_full, act_claim, .n = TN_TAG_POOL,
	  .may = IN_OR_FREE },
	{ "claim", "full word, a run", word_full, act_claim, .n = TN_TAG_POOL,
	  .pages = 70, .may = IN_OR_FREE },
	{ "claim", "empty word", subject, act_claim, .n = TN_TAG_POOL,
	  .may = { { true, TN_TAG_POOL, TN_WORD_EMPTY } } },
	{ "claim", "of another's", word_full, act_claim, .n = OTHERS,
	  .may = { { true, OTHERS, TN_WORD_HOLDS_IT } } },
	{ "claim", "dangling ref", word_dangling, act_claim, .n = TN_TAG_POOL,
	  .may = { STAYS(TN_TAG_POOL) } },
	{ "release", "own slot", subject, act_release, .n = OWN,
	  .may = { FREE } },
	{ "release", "the pool's slot", subject, act_release,
	  .n = TN_TAG_POOL, .may = FREE_OR(TN_TAG_POOL) },
	{ "release", "the pool's run", subject, act_release, .pages = 70,
	  .n = TN_TAG_POOL, .may = FREE_OR(TN_TAG_POOL) },
	{ "release", "another's", subject, act_release, .n = OTHERS,
	  .may = { STAYS(OTHERS) } },
	{ "root set", "new", root_there, act_root, .after = root_is_whole },
	{ "root set", "there already", root_there, act_root, .n = 1,
	  .after = root_is_whole },
	{ .name = NULL },
};
