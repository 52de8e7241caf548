/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pool, mostly as the dispatcher sees it. The job table belongs to the
 * pool, not to the dispatcher: should that be killed, no worker writes into
 * memory that is somebody else's by then, and the next dispatcher finds the
 * table by its root and frees it with what is left in its cells.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <tarn/stats.h>

#include "examples/wordcount/wordcount.h"

#define PATIENCE_MS 5000 /* for others to free something */
#define QUIET_MS 10000   /* for tarnd to give back what the dead held */

void *alloc_patiently(struct tarn_pool *pool, size_t n_bytes, const char *what)
{
	for (int ms = 0; ms < PATIENCE_MS; ms++) {
		void *p = tarn_alloc(pool, n_bytes);

		if (p)
			return p;
		if (errno != ENOMEM)
			break;
		usleep(1000);
	}
	wc_die(what, -errno);
}

/* What a failed run must not leave behind; atexit() passes no argument. */
static struct heap *doomed;

static void destroy_own_pool(void)
{
	if (doomed && doomed->own)
		tarn_pool_destroy(doomed->t, doomed->pool_name);
	doomed = NULL;
}

/* Live bytes; and whether we are the only client of the pool. */
static uint64_t live_bytes(struct heap *heap, bool *ret_alone)
{
	struct tarn_stats stats = { .sz = sizeof(stats) };
	uint64_t live;
	int r;

	r = tarn_stats(heap->pool, &stats);
	if (r < 0)
		wc_die("stats", r);
	live = stats.live_bytes;
	*ret_alone = true;
	for (uint32_t i = 0; i < stats.n_clients; i++)
		if (stats.clients[i].id != 0 &&
		    stats.clients[i].id != tarn_client_id(heap->pool))
			*ret_alone = false;
	tarn_stats_free(&stats);
	return live;
}

/* Waits until we are alone, and *@live bytes are live; false: too long. */
static bool wait_quiet(struct heap *heap, const uint64_t *live)
{
	bool alone;

	for (int ms = 0; ms < QUIET_MS; ms += 5) {
		uint64_t now = live_bytes(heap, &alone);

		if (alone && (!live || now == *live))
			return true;
		usleep(5000);
	}
	return false;
}

static void open_pool(struct heap *heap, const struct wc_opts *opts)
{
	int r;

	heap->own = !opts->pool;
	if (opts->pool)
		r = snprintf(heap->pool_name, sizeof(heap->pool_name), "%s",
			     opts->pool);
	else
		r = snprintf(heap->pool_name, sizeof(heap->pool_name),
			     "wordcount.%d", (int)getpid());
	if (r < 0 || (size_t)r >= sizeof(heap->pool_name))
		wc_die("pool name", -ENAMETOOLONG);
	r = tarn_connect(NULL, &heap->t);
	if (r < 0)
		wc_die("tarnd", r);
	r = tarn_pool_create(heap->t, heap->pool_name,
			     TARN_POOL_OPTS(.bytes = opts->pool_bytes));
	if (r < 0 && (r != -EEXIST || heap->own))
		wc_die("create the pool", r);
	doomed = heap;
	atexit(destroy_own_pool);
	r = tarn_pool_open(heap->t, heap->pool_name, TARN_PRODUCER,
			   &heap->pool);
	if (r < 0)
		wc_die("open the pool", r);
}

/* Frees a job table with all that is in its cells. */
static void free_table(struct heap *heap, struct wc_jobs *jobs)
{
	tarn_ref ref;

	tarn_root_set(heap->pool, WC_ROOT, TARN_REF_NONE);
	for (size_t i = 0; i < WC_CELLS; i++)
		while ((ref = tarn_claim(heap->pool, &jobs->cell[i])))
			tarn_free(heap->pool, tarn_ptr(heap->pool, ref));
	tarn_free(heap->pool, jobs);
}

static void make_table(struct heap *heap)
{
	tarn_ref ref;
	int r;

	heap->jobs = tarn_zalloc(heap->pool, sizeof(*heap->jobs));
	if (!heap->jobs)
		wc_die("job table", -errno);
	ref = tarn_ref_of(heap->pool, heap->jobs);
	/* First the pool's, then known: nobody finds what may vanish. */
	r = tarn_detach(heap->pool, ref);
	if (r == 0)
		r = tarn_root_set(heap->pool, WC_ROOT, ref);
	if (r < 0)
		wc_die("job table", r);
}

void heap_open(struct heap *heap, const struct wc_opts *opts)
{
	bool alone;
	tarn_ref old;

	open_pool(heap, opts);
	if (!wait_quiet(heap, NULL))
		wc_die("another process uses that pool", 0);
	old = tarn_root_get(heap->pool, WC_ROOT);
	if (old)
		free_table(heap, tarn_ptr(heap->pool, old));
	heap->live_at_start = live_bytes(heap, &alone);
	make_table(heap);
}

bool heap_check(struct heap *heap)
{
	bool alone, ok;

	free_table(heap, heap->jobs);
	ok = wait_quiet(heap, &heap->live_at_start);
	printf("live bytes in the pool: %llu before, %llu after: %s\n",
	       (unsigned long long)heap->live_at_start,
	       (unsigned long long)live_bytes(heap, &alone),
	       ok ? "nothing is lost" : "NOT WHAT IT SHOULD BE");
	return ok;
}

void heap_close(struct heap *heap)
{
	destroy_own_pool();
	tarn_pool_close(heap->pool);
	tarn_disconnect(heap->t);
}
