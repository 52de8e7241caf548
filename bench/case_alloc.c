/* SPDX-License-Identifier: BSD-2-Clause */
/* One thread, alone: what alloc and free cost. An op is one of each. */
#include "bench/harness.h"

#define SIZE 64
#define LIVE 100000

static void **objects; /* LIVE of them at most */

static void setup(struct bench_run *r)
{
	(void)r;
	objects = bench_memory(LIVE * sizeof(*objects));
}

static void teardown(struct bench_run *r)
{
	for (size_t i = 0; i < LIVE; i++) {
		if (objects[i])
			put(r, r->mode, objects[i]);
		objects[i] = NULL;
	}
}

BENCH_INLINE void pair(struct bench_run *r, uint64_t n, unsigned mode)
{
	for (uint64_t i = 0; i < n; i++)
		put(r, mode, take(r, mode, SIZE, i));
}
BENCH_BODY(pair)

BENCH_INLINE void batch(struct bench_run *r, uint64_t n, uint64_t n_batch,
			size_t size, unsigned mode)
{
	for (uint64_t done = 0; done < n; done += n_batch) {
		/* what is timed is what was asked for */
		uint64_t end = n - done < n_batch ? n - done : n_batch;

		for (uint64_t i = 0; i < end; i++)
			objects[i] = take(r, mode, size, i);
		for (uint64_t i = 0; i < end; i++)
			put(r, mode, objects[i]);
	}
}

BENCH_INLINE void batches(struct bench_run *r, uint64_t n, unsigned mode)
{
	batch(r, n, r->param, SIZE, mode);
}
BENCH_BODY(batches)

BENCH_INLINE void sweep(struct bench_run *r, uint64_t n, unsigned mode)
{
	batch(r, n, 100, r->param, mode);
}
BENCH_BODY(sweep)

BENCH_INLINE void replace(struct bench_run *r, uint64_t n, unsigned mode)
{
	static uint64_t x = BENCH_SEED;

	for (size_t i = 0; i < LIVE && !objects[i]; i++)
		objects[i] = take(r, mode, random_size(next_random(&x)), i);
	replace_any(r, mode, objects, LIVE, n, &x);
}
BENCH_BODY(replace)

static const uint64_t batch_sizes[] = { 1000, 100000, 0 };
static const uint64_t sizes[] = { 16, 32, 64, 128, 256, 512, 1024, 2048, 4096,
				  8192, 16384, 32768, 0 };

static const struct bench_case cases[] = {
	{ .name = "pair", .is_alone = true, .n_ops = 50000000,
	  .what = "alloc and free at once, 64 B",
	  .setup = setup, BENCH_RUNS(pair) },
	{ .name = "batch", .is_alone = true, .n_ops = 20000000,
	  .n_warm = 5 * LIVE, .params = batch_sizes,
	  .what = "so many allocs, then their frees, 64 B",
	  .setup = setup, BENCH_RUNS(batches) },
	{ .name = "replace", .is_alone = true, .n_ops = 10000000,
	  .n_warm = 10 * LIVE,
	  .what = "of 100,000 objects of 16 B to 1 KiB, replace any",
	  .setup = setup, .teardown = teardown, BENCH_RUNS(replace) },
	{ .name = "sweep", .is_alone = true, .n_ops = 10000000,
	  .params = sizes,
	  .what = "100 allocs of so many bytes, then their frees",
	  .setup = setup, BENCH_RUNS(sweep) },
};

const struct bench_group bench_alloc = { "alloc", cases, BENCH_N(cases) };
