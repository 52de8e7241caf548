/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes of memory behind a heap, for each byte asked for. A private heap's
 * are what this process's private memory grows by, exactly (smaps_rollup); a
 * shared one's are the blocks of its files, all of them, and that growth, for
 * what it keeps outside. What the cases themselves need is shared memory, and
 * there before.
 */
#include <pthread.h>
#include <string.h>

#include "bench/harness.h"

#define LIVE 100000
#define LANES 64
#define LANE_STACK 16384 /* touched before, so that no alloc does */

static double before;

static double pool_bytes(const struct bench_run *r)
{
	return r->heap.peer ?
	       (double)r->heap.peer->resident(r->heap.pool) : 0;
}

/* The stream above took memory once: so twice, and the second one counts. */
static void begin(const struct bench_run *r)
{
	if (r->heap.peer && !r->heap.peer->resident)
		bench_cannot();
	bench_private_bytes();
	pool_bytes(r);
	before = bench_private_bytes();
}

static double footprint(const struct bench_run *r)
{
	return bench_private_bytes() - before + pool_bytes(r);
}

static void emit_per_byte(const struct bench_run *r, double live)
{
	const struct bench_peer *peer = r->heap.peer;

	bench_emit(NULL, "B/B", footprint(r) / live);
	if (peer && peer->meta)
		bench_emit("meta", "%", 100 * (double)peer->meta(r->heap.pool) /
			   (pool_bytes(r) -
			    (double)peer->meta(r->heap.pool)));
}

/* All its bytes are there, not just the first page's. */
static void *take_whole(struct bench_run *r, size_t size, uint64_t value)
{
	void *p = take(r, r->mode, size, value);

	if (!(r->mode & BENCH_CHECK))
		memset(p, (int)value, size);
	return p;
}

static void fill(struct bench_run *r, uint64_t n_bytes)
{
	uint64_t n = n_bytes / r->param;
	void **objects = bench_memory(n * sizeof(*objects));

	begin(r);
	for (uint64_t i = 0; i < n; i++)
		objects[i] = take_whole(r, r->param, i);
	emit_per_byte(r, (double)(n * r->param));
	for (uint64_t i = 0; i < n; i++)
		put(r, r->mode, objects[i]);
}

static void replaced(struct bench_run *r, uint64_t n)
{
	void **objects = bench_memory(LIVE * sizeof(*objects));
	uint16_t *sizes = bench_memory(LIVE * sizeof(*sizes));
	uint64_t x = BENCH_SEED, live = 0;

	begin(r);
	for (uint64_t i = 0; i < n + LIVE; i++) {
		uint64_t random = next_random(&x);
		uint64_t at = i < LIVE ? i : (random >> 32) % LIVE;

		if (objects[at])
			put(r, r->mode, objects[at]);
		live -= sizes[at];
		sizes[at] = (uint16_t)random_size(random);
		live += sizes[at];
		objects[at] = take_whole(r, sizes[at], i);
	}
	emit_per_byte(r, (double)live);
	for (uint64_t i = 0; i < LIVE; i++)
		put(r, r->mode, objects[i]);
}

/*
 * What a thread costs that holds nothing: it has had one object of 64 bytes
 * (lane), or 1000 of 16 B to 1 KiB at once (lane_used), and freed all.
 */

struct lane {
	struct bench_run run;
	pthread_barrier_t *step;
	unsigned n_objects;
};

static void __attribute__((__noinline__)) touch_stack(void)
{
	volatile char room[LANE_STACK];

	for (size_t i = 0; i < sizeof(room); i += 1024)
		room[i] = 1;
}

static void *lane(void *arg)
{
	struct lane *l = arg;
	struct bench_run *r = &l->run;
	void *objects[1000];
	uint64_t x = BENCH_SEED;

	touch_stack();
	memset(objects, 0, sizeof(objects));
	pthread_barrier_wait(l->step); /* all are there */
	pthread_barrier_wait(l->step); /* and have been measured */
	for (unsigned i = 0; i < l->n_objects; i++)
		objects[i] = take(r, r->mode, l->n_objects == 1 ? 64 :
				  random_size(next_random(&x)), i);
	for (unsigned i = 0; i < l->n_objects; i++)
		put(r, r->mode, objects[i]);
	pthread_barrier_wait(l->step); /* done */
	pthread_barrier_wait(l->step); /* and measured */
	return NULL;
}

static void lanes(struct bench_run *r, unsigned n_objects)
{
	struct lane *all = bench_memory(LANES * sizeof(*all));
	pthread_t threads[LANES];
	pthread_barrier_t step;
	double at_first;

	pthread_barrier_init(&step, NULL, LANES + 1);
	put(r, r->mode, take(r, r->mode, 64, 0));
	for (unsigned i = 0; i < LANES; i++) {
		all[i] = (struct lane){ *r, &step, n_objects };
		all[i].run.n_taken = all[i].run.n_put = 0;
		if (pthread_create(&threads[i], NULL, lane, &all[i]))
			bench_die("thread", 0);
	}
	pthread_barrier_wait(&step);
	begin(r);
	at_first = footprint(r);
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&step);
	bench_emit(NULL, "B", (footprint(r) - at_first) / LANES);
	pthread_barrier_wait(&step);
	for (unsigned i = 0; i < LANES; i++) {
		pthread_join(threads[i], NULL);
		r->n_taken += all[i].run.n_taken;
		r->n_put += all[i].run.n_put;
	}
}

static void fresh_lanes(struct bench_run *r, uint64_t n)
{
	(void)n;
	lanes(r, 1);
}

static void used_lanes(struct bench_run *r, uint64_t n)
{
	(void)n;
	lanes(r, 1000);
}

static const uint64_t sizes[] = { 16, 64, 512, 4096, 32768, 0 };

static const struct bench_case cases[] = {
	{ .name = "fill", .unit = "B/B", .measure = fill, .params = sizes,
	  .n_ops = 32 << 20,
	  .what = "memory per byte of 32 MiB live, in objects of that size" },
	{ .name = "replaced", .unit = "B/B", .measure = replaced,
	  .n_ops = 3000000,
	  .what = "the same after 3,000,000 replacements as in replace" },
	{ .name = "lane", .unit = "B", .measure = fresh_lanes,
	  .what = "memory for a thread that had one object, and freed it" },
	{ .name = "lane_used", .unit = "B", .measure = used_lanes,
	  .what = "the same after 1000 of 16 B to 1 KiB at once" },
};

const struct bench_group bench_mem = { "memory", cases, BENCH_N(cases) };
