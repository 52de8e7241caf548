/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Single allocations, and what there is around them: percentiles; clients
 * that are attached and do nothing; the size of the pool.
 */
#include <stdlib.h>
#include <unistd.h>

#include "bench/crew.h"

#define LIVE 100000
#define SAMPLES 1000000
#define BATCH 1000
#define SIZE 64
#define AT_ONCE 10 /* processes that come together */
#define CLIENTS_MAX 1000

/*
 * Percentiles, in the steady replacement. The clock is part of each sample;
 * what it costs alone is emitted too.
 */

static inline uint64_t ticks(void)
{
#if defined(__x86_64__)
	unsigned aux;
	uint64_t t = __builtin_ia32_rdtscp(&aux);

	__builtin_ia32_lfence();
	return t;
#else
	return (uint64_t)bench_now_ns();
#endif
}

static uint32_t *samples;
static void **objects;

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static inline void sample(uint64_t i, uint64_t begin)
{
	uint64_t t = ticks() - begin;

	samples[i] = t < UINT32_MAX ? (uint32_t)t : UINT32_MAX;
}

BENCH_INLINE void timed(struct bench_run *r, uint64_t n, unsigned mode)
{
	uint64_t x = BENCH_SEED;

	replace_any(r, mode, objects, LIVE, 10 * n, &x);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t random = next_random(&x), begin;
		void **at = &objects[(random >> 32) % LIVE];

		if (*at)
			put(r, mode, *at);
		begin = ticks();
		*at = take(r, mode, random_size(random), i);
		sample(i, begin);
	}
}
BENCH_BODY(timed)

static void latency(struct bench_run *r, uint64_t n)
{
	static void (*const run[])(struct bench_run *, uint64_t) = {
		timed_0, timed_1, timed_2, timed_3,
	};
	static const struct { const char *name; double part; } wanted[] = {
		{ "p50", .5 }, { "p90", .9 }, { "p99", .99 },
		{ "p99.9", .999 }, { "p99.99", .9999 }, { "max", 1 },
	};
	double begin_ns = bench_now_ns(), ns_a_tick;
	uint64_t begin = ticks();

	samples = bench_memory(n * sizeof(*samples));
	objects = bench_memory(LIVE * sizeof(*objects));
	run[r->mode](r, n);
	ns_a_tick = (bench_now_ns() - begin_ns) / (double)(ticks() - begin);
	qsort(samples, n, sizeof(*samples), by_value);
	for (unsigned i = 0; i < BENCH_N(wanted); i++)
		bench_emit(wanted[i].name, "ns", ns_a_tick *
			samples[(uint64_t)((double)(n - 1) * wanted[i].part)]);
	for (uint64_t i = 0; i < n; i++)
		sample(i, ticks());
	qsort(samples, n, sizeof(*samples), by_value);
	bench_emit("clock", "ns", ns_a_tick * samples[n / 2]);
	for (unsigned i = 0; i < LIVE; i++)
		if (objects[i])
			put(r, r->mode, objects[i]);
}

/*
 * Batches, as in case_alloc.c, with something around them
 */

BENCH_INLINE void batch(struct bench_run *r, uint64_t n, unsigned mode)
{
	static void *held[BATCH];

	for (uint64_t done = 0; done < n; done += BATCH) {
		uint64_t end = n - done < BATCH ? n - done : BATCH;

		for (uint64_t i = 0; i < end; i++)
			held[i] = take(r, mode, SIZE, i);
		for (uint64_t i = 0; i < end; i++)
			put(r, mode, held[i]);
	}
}
BENCH_BODY(batch)

static struct crew *idle[CLIENTS_MAX / AT_ONCE];
static int gate[2]; /* shut at the end */
static _Atomic unsigned *n_there;

static void stand_by(struct worker *w)
{
	char c;

	close(gate[1]);
	/* attached is who has used the pool */
	put(&w->run, w->run.mode, take(&w->run, w->run.mode, SIZE, w->n));
	++*n_there;
	while (read(gate[0], &c, 1) > 0)
		;
}

/* A few at a time: how a thousand come at once is another question. */
static void setup_clients(struct bench_run *r)
{
	unsigned n = (unsigned)r->param - 1, n_spins = 0;

	if (pipe(gate) < 0)
		bench_die("pipe", 0);
	n_there = bench_memory(sizeof(*n_there));
	for (unsigned i = 0; i * AT_ONCE < n; i++) {
		unsigned left = n - i * AT_ONCE;
		unsigned some = left < AT_ONCE ? left : AT_ONCE;

		idle[i] = crew_start(r, CREW_SHARES, some, stand_by, NULL);
		while (*n_there != i * AT_ONCE + some)
			wait_a_little(&n_spins);
	}
}

static void teardown_clients(struct bench_run *r)
{
	close(gate[1]);
	for (unsigned i = 0; i < BENCH_N(idle) && idle[i]; i++)
		crew_finish(idle[i], r);
}

#define MIB ((uint64_t)1 << 20)
static const uint64_t clients[] = { 1, 10, 100, 1000, 0 };
static const uint64_t pool_bytes[] = { MIB, 64 * MIB, MIB << 10, MIB << 15,
				       MIB << 20, 0 };

static const struct bench_case cases[] = {
	{ .name = "latency", .measure = latency, .n_ops = SAMPLES,
	  .what = "one alloc in the steady replacement of 100,000 objects" },
	{ .name = "clients", .is_alone = true, .n_ops = 10000000,
	  .params = clients, .kinds = BENCH_TARN | BENCH_PEER,
	  .what = "batch/1000 with so many processes attached",
	  .setup = setup_clients, .teardown = teardown_clients,
	  BENCH_RUNS(batch) },
	{ .name = "pool", .is_alone = true, .n_ops = 10000000,
	  .params = pool_bytes, .kinds = BENCH_TARN, .bytes_are_param = true,
	  .what = "batch/1000 in a pool of that size",
	  BENCH_RUNS(batch) },
};

const struct bench_group bench_latency = { "latency", cases, BENCH_N(cases) };
