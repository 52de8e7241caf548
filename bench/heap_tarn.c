/* SPDX-License-Identifier: BSD-2-Clause */
/* tarn among the shared heaps: a pool over the daemon. */
#include <errno.h>

#include <tarn/admin.h>
#include <tarn/stats.h>
#include <tarn/tarn.h>

#include "bench/bench.h"

unsigned bench_tarn_policy;
static struct tarn *tarn; /* this process's; forked ones make their own */
static char pool_name[TARN_NAME_MAX + 1];

static void *join(const char *name)
{
	struct tarn_pool *pool;
	int r;

	r = tarn_connect(NULL, &tarn);
	if (r < 0)
		bench_die("tarnd (run this through tarn-run)", r);
	r = tarn_pool_open(tarn, name, TARN_PRODUCER, &pool);
	if (r < 0)
		bench_die("open a pool", r);
	return pool;
}

static void *create(const char *name, uint64_t bytes)
{
	struct tarn *t;
	int r;

	r = tarn_connect(NULL, &t);
	if (r < 0)
		bench_die("tarnd (run this through tarn-run)", r);
	r = tarn_pool_create(t, name, TARN_POOL_OPTS(
				     .bytes = bytes,
				     .compact_percent = TARN_COMPACT_NEVER,
				     .policy = (enum tarn_policy)
					       bench_tarn_policy));
	if (r < 0)
		bench_die("create a pool", r);
	tarn_disconnect(t);
	snprintf(pool_name, sizeof(pool_name), "%s", name);
	return join(name);
}

static void leave(void *pool)
{
	tarn_pool_close(pool);
	tarn_disconnect(tarn);
}

static void destroy(void *pool)
{
	tarn_pool_destroy(tarn, pool_name);
	leave(pool);
}

static uint64_t ref_of(void *pool, const void *p)
{
	return tarn_ref_of(pool, p);
}

static void *ptr(void *pool, uint64_t ref)
{
	return tarn_ptr(pool, ref);
}

static uint32_t client(void *pool)
{
	return tarn_client_id(pool);
}

static int give(void *pool, uint64_t ref, uint32_t to)
{
	return tarn_give(pool, ref, to);
}

static int take_ref(void *pool, uint64_t ref)
{
	return tarn_take(pool, ref);
}

static struct tarn_stats stats_of(void *pool)
{
	struct tarn_stats stats = { .sz = sizeof(stats) };
	int r = tarn_stats(pool, &stats);

	if (r < 0)
		bench_die("stats", r);
	tarn_stats_free(&stats);
	return stats;
}

static uint64_t live(void *pool)
{
	return stats_of(pool).live_objects;
}

static uint64_t meta(void *pool)
{
	return stats_of(pool).meta_resident;
}

static uint64_t resident(void *pool)
{
	struct tarn_stats stats = stats_of(pool);

	return stats.data_resident + stats.meta_resident;
}

static unsigned clients(void *pool)
{
	struct tarn_pool_info info;
	int r = tarn_pool_stat(tarn, pool_name, &info);

	(void)pool;
	if (r < 0)
		bench_die("pool_stat", r);
	return info.n_clients;
}

static void *alloc_run(void *pool, size_t size)
{
	return tarn_run_alloc(pool, size / TARN_PAGE, (enum tarn_policy)0);
}

/* The calls that are timed by themselves are called by themselves. */
const struct bench_peer bench_tarn = {
	.create = create,
	.join = join,
	.leave = leave,
	.destroy = destroy,
	.alloc = (void *(*)(void *, size_t))tarn_alloc,
	.free = (int (*)(void *, void *))tarn_free,
	.ref_of = ref_of,
	.ptr = ptr,
	.live = live,
	.resident = resident,
	.alloc_run = alloc_run,
	.free_run = (int (*)(void *, void *))tarn_run_free,
	.meta = meta,
	.clients = clients,
	.client = client,
	.give = give,
	.take = take_ref,
};
