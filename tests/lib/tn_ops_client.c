/* SPDX-License-Identifier: BSD-2-Clause */
/* The library's own paths: magazines, lanes, and the calls that use them. */
#include <stdlib.h>
#include <string.h>

#include "client/cache.h"
#include "pool/cache.h"
#include "tests/lib/tn_ops.h"

static void furnish(struct tn_world *w)
{
	tn_ops_run_of(w, TN_LIVING, 3);
	tn_ops_object(w, TN_LIVING, 3, TN_TAG_HELD | TN_LIVING);
}

/* A client that has not done anything in the pool yet. */
static void newcomer(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	furnish(w);
	tn_world_client(w);
}

/* @n objects of op->pages bytes, in w->p. */
static void alloc_some(struct tn_world *w, const struct tn_deed *op, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		tn_ops_need(w->n < TN_ARRAY_LEN(w->p));
		w->p[w->n] = tarn_alloc(w->client, op->pages);
		tn_ops_need(w->p[w->n++]);
	}
}

/* Objects in its hands, and slots in its magazine. */
static void with_magazine(struct tn_world *w, const struct tn_deed *op)
{
	newcomer(w, op);
	alloc_some(w, op, op->n && op->n < 256 ? op->n : 5);
}

static struct tn_mag *magazine(const struct tn_deed *op)
{ return &tn_thread.lane->rack.mags[tn_class_of(op->pages)]; }

/* ... and no slot in its magazine. */
static void with_empty_magazine(struct tn_world *w, const struct tn_deed *op)
{
	with_magazine(w, op);
	while (magazine(op)->top != magazine(op)->base)
		alloc_some(w, op, 1);
}

/* ... and no room in its magazine. */
static void with_full_magazine(struct tn_world *w, const struct tn_deed *op)
{
	newcomer(w, op);
	alloc_some(w, op, 200);
	while (magazine(op)->top < magazine(op)->limit)
		tn_ops_need(!tarn_free(w->client, w->p[--w->n]));
}

static void pool_full(struct tn_world *w, const struct tn_deed *op)
{
	with_empty_magazine(w, op);
	tn_ops_leave_pages(w, 0);
	while (tarn_alloc(w->client, op->pages))
		w->n++;
}

/* Free slots in the magazine of another class, the pool else full. */
static void pool_full_but_kept(struct tn_world *w, const struct tn_deed *op)
{
	struct tn_slab_cursor cursor = { 0 };
	struct tn_slot slot;

	with_empty_magazine(w, op);
	tn_ops_need(!tarn_free(w->client, tarn_alloc(w->client, 512)));
	tn_ops_leave_pages(w, 0);
	while (tn_slab_claim(&w->heap.pool, &w->living, tn_class_of(op->pages),
			     &cursor, &slot, 1))
		;
}

static void three_classes(struct tn_world *w, const struct tn_deed *op)
{
	with_magazine(w, op);
	tn_ops_need(tarn_alloc(w->client, 512));
	tn_ops_need(!tarn_free(w->client, tarn_alloc(w->client, 3000)));
}

static void others_object(struct tn_world *w, const struct tn_deed *op)
{
	with_magazine(w, op);
	w->board->subject = tn_ops_object(w, TN_LIVING, 3, (uint16_t)op->n);
	w->p[w->n++] = w->heap.pool.data + w->board->subject;
}

static void cached(struct tn_world *w, const struct tn_deed *op)
{
	int class;

	newcomer(w, op);
	class = tn_cache_make(&w->heap.pool, "jobs", 100, 64);
	tn_ops_need(class > 0);
	tn_ops_object(w, TN_LIVING, (unsigned)class, TN_TAG_HELD | TN_LIVING);
	w->n = (unsigned)class;
}

static void act_alloc(struct tn_world *w, const struct tn_deed *op)
{ w->board->result = tarn_alloc(w->client, op->pages) != NULL; }

static void act_free(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = tarn_free(w->client, w->p[w->n - 1]);
}

static void act_realloc(struct tn_world *w, const struct tn_deed *op)
{
	void *p = tarn_realloc(w->client, w->p[w->n - 1], op->pages * 3);

	w->board->result = p != NULL;
}

static void act_pair(struct tn_world *w, const struct tn_deed *op)
{
	w->board->result = tarn_free(w->client,
				     tarn_alloc(w->client, op->pages));
}

static void act_close(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	tn_lanes_close(w->client);
}

static void act_flush(struct tn_world *w, const struct tn_deed *op)
{
	(void)w;
	(void)op;
	tn_rack_flush(&tn_thread.lane->rack);
}

static void act_cache_alloc(struct tn_world *w, const struct tn_deed *op)
{
	struct tarn_cache cache = { w->client, w->n };

	(void)op;
	w->board->result = tarn_cache_alloc(&cache) != NULL;
}

static void act_run(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = tarn_run_free(w->client, tarn_run_alloc(w->client,
				65, TARN_WORST_FIT));
}

/* In a pool with room to keep four pages. */
static void keeps_runs(struct tn_world *w, const struct tn_deed *op)
{
	void *p[2];

	with_magazine(w, op);
	for (unsigned i = 0; i < 2; i++)
		p[i] = tarn_run_alloc(w->client, 1 + i, (enum tarn_policy)0);
	for (unsigned i = 0; i < 2; i++)
		tn_ops_need(!tarn_run_free(w->client, p[i]));
	tn_ops_need(tn_thread.lane->rack.runs.n[1] == 1);
}

static void act_short_run(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = tarn_run_free(w->client, tarn_run_alloc(w->client,
				1, (enum tarn_policy)0));
}

/* A magazine whose own is so little that it has a higher limit at once: that
 * takes the room that runs have. */
static void act_alloc_2000(struct tn_world *w, const struct tn_deed *op)
{
	(void)op;
	w->board->result = tarn_alloc(w->client, 2000) != NULL;
}

const struct tn_deed tn_ops_client[] = {
	{ "tarn_alloc", "first: lane start", newcomer, act_alloc,
	  .pages = 64 },
	{ "tarn_alloc", "from the magazine", with_magazine, act_alloc,
	  .pages = 64 },
	{ "tarn_alloc", "refill", with_empty_magazine, act_alloc,
	  .pages = 64 },
	{ "tarn_alloc", "refill, new slab", with_magazine, act_alloc,
	  .n = 8, .pages = 24000 },
	{ "tarn_alloc", "pool full", pool_full, act_alloc, .pages = 512 },
	{ "tarn_alloc", "pool full but kept", pool_full_but_kept, act_alloc,
	  .pages = 400 },
	{ "tarn_alloc", "a run", newcomer, act_alloc, .pages = 40000 },
	{ "tarn_free", "to the magazine", with_magazine, act_free,
	  .pages = 64 },
	{ "tarn_free", "magazine full", with_full_magazine, act_free,
	  .pages = 64 },
	{ "tarn_free", "the pool's", others_object, act_free, .pages = 64,
	  .n = TN_TAG_POOL,
	  .may = { { true, 0, 0 }, { true, TN_TAG_POOL, 0 } } },
	{ "tarn_free", "another's", others_object, act_free, .pages = 64,
	  .n = TN_TAG_HELD | TN_LIVING,
	  .may = { { true, TN_TAG_HELD | TN_LIVING, 0 } } },
	{ "tarn_alloc, free", "as pairs", with_magazine, act_pair,
	  .pages = 64 },
	{ "tarn_realloc", "moves", with_magazine, act_realloc, .pages = 64 },
	{ "tarn_cache_alloc", "first", cached, act_cache_alloc,
	  .pages = 100 },
	{ "tarn_run_alloc, free", "65 pages", with_magazine, act_run,
	  .pages = 64 },
	{ "tarn_run_alloc, free", "kept", keeps_runs, act_short_run,
	  .pages = 64, .mib = 16 },
	{ "tarn_alloc", "a limit grows", keeps_runs, act_alloc_2000,
	  .pages = 64, .mib = 16 },
	{ "lane flush", "runs", keeps_runs, act_flush, .pages = 64,
	  .mib = 16 },
	{ "lane end", "its own slabs", three_classes, act_close, .pages = 64,
	  .mib = 16 },
	{ "lane flush", "three classes", three_classes, act_flush,
	  .pages = 64 },
	{ "lane end", "three classes", three_classes, act_close,
	  .pages = 64 },
	{ "lane end", "full magazine", with_full_magazine, act_close,
	  .pages = 64 },
	{ .name = NULL },
};
