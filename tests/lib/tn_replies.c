/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_replies.h"

#include <stdlib.h>

#include "pool/handle.h"
#include "pool/share.h"

static void note(struct tn_got *got, uint64_t off, uint64_t bytes)
{
	if (got->n == TN_GOT_MAX)
		return;
	got->at[got->n].off = off;
	got->at[got->n++].bytes = bytes;
}

static void claim(struct tn_world *w, struct tn_got *got, unsigned class,
		  unsigned want)
{
	struct tn_slab_cursor cursor = { 0 };
	struct tn_slot out[TN_CLAIM_MAX];
	unsigned n = tn_slab_claim(&w->heap.pool, &w->living, class, &cursor,
				   out, want);

	while (n--) {
		note(got, tn_pool_off(&w->heap.pool, out[n].p), 16);
		tn16_store_relaxed(out[n].tag, TN_TAG_HELD | TN_LIVING);
	}
}

static bool run_alloc(struct tn_world *w, struct tn_got *got, uint64_t n)
{
	uint64_t page;

	if (tn_run_alloc(&w->heap.pool, &w->living, n, TN_FIRST_FIT, &page))
		return false;
	note(got, page << TN_PAGE_SHIFT, n << TN_PAGE_SHIFT);
	return true;
}

static void give_back(struct tn_world *w, uint64_t off,
		      const struct tn_object *obj)
{
	static const struct tn_slab_cursor none;
	struct tn_pool *p = &w->heap.pool;
	struct tn_slot slot = { p->data + off, obj->tag };

	if (obj->pages)
		tn_run_drop(p, &w->living, TN_OP_RUN, obj->page, obj->pages);
	else
		tn_slab_return(p, &w->living, obj->class, &slot, 1, &none);
}

static bool free_at(struct tn_world *w, uint64_t off)
{
	struct tn_pool *p = &w->heap.pool;
	struct tn_object obj, own;
	uint64_t at;

	if (tn_object_find(p, off, &obj) < 0 ||
	    tn_object_release(p, &w->living, off, &obj) < 0)
		return false;
	if (!obj.pages && obj.class == TN_CLASS_HANDLE &&
	    tn_handle_unbind(p, &w->living, off, &own, &at) == 0)
		give_back(w, at, &own);
	give_back(w, off, &obj);
	return true;
}

/* Whatever is a handle is pinned, and stays so: see tn_replies.h. */
struct tn_pinned tn_pinned[TN_LANE_PINS];
unsigned tn_n_pinned;

static void pin_all(struct tn_world *w, const struct tn_truth *before,
		    struct tn_got *got)
{
	struct tn_pool *p = &w->heap.pool;
	tn_a64 *pins = tn_lane_pins(&p->geo, w->heap.control[TN_LIVING], 0);

	(void)got;
	for (unsigned i = 0; i < before->n && tn_n_pinned < TN_LANE_PINS; i++) {
		const struct tn_thing *t = &before->thing[i];
		struct tn_pinned *pinned = &tn_pinned[tn_n_pinned];

		if (t->class != TN_CLASS_HANDLE || t->pages)
			continue;
		pinned->idx = tn_handle_idx(p, t->off);
		pinned->ref = tn_ref_to(p, t->off);
		tn64_store_relaxed(&pins[tn_n_pinned], pinned->ref);
		tn_fence_full();
		pinned->place = tn_handle_keep(p, pinned->idx);
		if (TN_HANDLE_STATE(pinned->place) == TN_HANDLE_LIVE)
			tn_n_pinned++;
		else
			tn64_store_relaxed(&pins[tn_n_pinned], 0);
	}
}

/* The classes that the operations are about. */
static void claim_few(struct tn_world *w, const struct tn_truth *before,
		      struct tn_got *got)
{
	(void)before;
	claim(w, got, 3, 2);
	claim(w, got, 23, 2);
}

static void claim_many(struct tn_world *w, const struct tn_truth *before,
		       struct tn_got *got)
{
	(void)before;
	for (unsigned i = 0; i < 3; i++)
		claim(w, got, 23, 20);
}

static void claim_large(struct tn_world *w, const struct tn_truth *before,
			struct tn_got *got)
{
	(void)before;
	claim(w, got, 71, 1);
}

/* All that is LIVING's own, one by one. */
static void free_all(struct tn_world *w, const struct tn_truth *before,
		     struct tn_got *got)
{
	(void)got;
	for (unsigned i = 0; i < before->n; i++)
		if (before->thing[i].tag == (TN_TAG_HELD | TN_LIVING))
			free_at(w, before->thing[i].off);
}

static void run_few(struct tn_world *w, const struct tn_truth *before,
		    struct tn_got *got)
{
	(void)before;
	run_alloc(w, got, 1);
	run_alloc(w, got, 65);
}

static void run_all(struct tn_world *w, const struct tn_truth *before,
		    struct tn_got *got)
{
	(void)before;
	while (got->n < TN_GOT_MAX && run_alloc(w, got, 8))
		;
	while (got->n < TN_GOT_MAX && run_alloc(w, got, 1))
		;
}

/* Alloc and free in turn: stamps of rows go, and number after number. */
static void run_and_back(struct tn_world *w, const struct tn_truth *before,
			 struct tn_got *got)
{
	(void)before;
	for (unsigned i = 0; i < 3; i++) {
		run_all(w, before, got);
		while (got->n)
			free_at(w, got->at[--got->n].off);
	}
}

static void take(struct tn_world *w, const struct tn_truth *before,
		 struct tn_got *got)
{
	(void)before;
	(void)got;
	tn_hold_take(&w->heap.pool, &w->living, w->board->subject);
}

static void take_and_free(struct tn_world *w, const struct tn_truth *before,
			  struct tn_got *got)
{
	(void)got;
	(void)before;
	free_at(w, w->board->subject);
}

static void claim_word(struct tn_world *w, const struct tn_truth *before,
		       struct tn_got *got)
{
	(void)before;
	(void)got;
	if (w->board->word)
		tn_hold_claim(&w->heap.pool, &w->living, w->board->word);
}

static void claim_and_free(struct tn_world *w, const struct tn_truth *before,
			   struct tn_got *got)
{
	uint64_t ref, off;

	(void)before;
	(void)got;
	if (!w->board->word)
		return;
	ref = tn_hold_claim(&w->heap.pool, &w->living, w->board->word);
	if (ref && tn_ref_place(&w->heap.pool, ref, &off))
		free_at(w, off);
}

/* Something of its own goes into the word. */
static void publish(struct tn_world *w, const struct tn_truth *before,
		    struct tn_got *got)
{
	(void)got;
	for (unsigned i = 0; w->board->word && i < before->n; i++)
		if (before->thing[i].tag == (TN_TAG_HELD | TN_LIVING)) {
			tn_hold_publish(&w->heap.pool, &w->living,
					w->board->word, before->thing[i].off);
			return;
		}
}

static void give(struct tn_world *w, const struct tn_truth *before,
		 struct tn_got *got)
{
	(void)got;
	for (unsigned i = 0; i < before->n; i++)
		if (before->thing[i].tag == (TN_TAG_HELD | TN_LIVING))
			tn_hold_give(&w->heap.pool, &w->living,
				     before->thing[i].off, TN_DEAD);
}

static void hold(struct tn_world *w, const struct tn_truth *before,
		 struct tn_got *got)
{
	(void)before;
	(void)got;
	tn_share_hold(&w->heap.pool, &w->living, w->board->subject);
}

static void let_go(struct tn_world *w, const struct tn_truth *before,
		   struct tn_got *got)
{
	uint64_t off = w->board->subject;

	(void)before;
	(void)got;
	if (tn_share_release(&w->heap.pool, &w->living, off, TN_LIVING) == 1)
		free_at(w, off);
}

/* A lot of everything, while nobody gets out of the way: TARN_CRASH_CHURN. */
static void churn(struct tn_world *w, const struct tn_truth *before,
		  struct tn_got *got)
{
	static const unsigned class[] = { 3, 23, 71, 5 };
	const char *many = getenv("TARN_CRASH_CHURN");
	unsigned seed = 1, n = many ? (unsigned)atoi(many) : 200;

	(void)before;
	for (unsigned i = 0; i < n; i++) {
		unsigned what = (unsigned)rand_r(&seed) % 8;

		if (what < 4)
			claim(w, got, class[what], 1 + i % 5);
		else if (what == 4)
			run_alloc(w, got, 1 + i % 9);
		for (; (what > 4 || got->n > 500) && got->n; what--)
			free_at(w, got->at[--got->n].off);
	}
}

/* It dies, and is recovered as far as that goes for the moment. */
static void die(struct tn_world *w, const struct tn_truth *before,
		struct tn_got *got)
{
	int e = tn_world_recover(w, TN_LIVING);

	(void)before;
	(void)got;
	if (e && e != TN_RECOVER_LATER)
		abort();
}

const struct tn_reply tn_replies[] = {
	{ "claim slots", claim_few, false },
	{ "claim many slots", claim_many, false },
	{ "claim a large slot", claim_large, false },
	{ "free its own", free_all, false },
	{ "runs", run_few, false },
	{ "all free pages", run_all, false },
	{ "all free pages, thrice", run_and_back, false },
	{ "take", take, true },
	{ "free it", take_and_free, true },
	{ "claim the word", claim_word, false },
	{ "claim it and free it", claim_and_free, false },
	{ "publish its own", publish, false },
	{ "give its own", give, false },
	{ "hold", hold, false },
	{ "release", let_go, false },
	{ "pin all", pin_all, false },
	{ "many of all kinds", churn, false },
	{ "die", die, false },
	{ NULL, NULL, false },
};
