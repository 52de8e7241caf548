/* SPDX-License-Identifier: BSD-2-Clause */
/* One thread, alone: what alloc and free cost. An op is one of each. */
#include "bench/harness.h"

#define SIZE 64
#define BATCH 1000
#define LIVE 100000

static void **objects; /* LIVE of them at most */

static bool setup(struct bench_run *r, bool tarn)
{
	(void)r;
	(void)tarn;
	objects = bench_memory(LIVE * sizeof(*objects));
	return true;
}

BENCH_INLINE void *take(struct bench_run *r, bool tarn, size_t size,
			uint64_t value)
{
	void *p = heap_alloc(&r->heap, tarn, size);

	if (__builtin_expect(!p, 0))
		bench_die("out of memory", 0);
	touch(p, value);
	return p;
}

BENCH_INLINE void pair(struct bench_run *r, uint64_t n, bool tarn)
{
	for (uint64_t i = 0; i < n; i++)
		heap_free(&r->heap, tarn, take(r, tarn, SIZE, i));
}
BENCH_BODY(pair)

BENCH_INLINE void batch(struct bench_run *r, uint64_t n, size_t n_batch,
			bool tarn)
{
	for (uint64_t done = 0; done < n; done += n_batch) {
		for (size_t i = 0; i < n_batch; i++)
			objects[i] = take(r, tarn, SIZE, i);
		for (size_t i = 0; i < n_batch; i++)
			heap_free(&r->heap, tarn, objects[i]);
	}
}

BENCH_INLINE void batch_1000(struct bench_run *r, uint64_t n, bool tarn)
{
	batch(r, n, BATCH, tarn);
}
BENCH_BODY(batch_1000)

BENCH_INLINE void batch_100000(struct bench_run *r, uint64_t n, bool tarn)
{
	batch(r, n, LIVE, tarn);
}
BENCH_BODY(batch_100000)

/* 16 B to 1 KiB, any; the same sequence for all allocators. */
BENCH_INLINE uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

BENCH_INLINE size_t random_size(uint64_t x)
{
	return 16 + (x >> 8) % 1009;
}

BENCH_INLINE void replace(struct bench_run *r, uint64_t n, bool tarn)
{
	static uint64_t x = 88172645463325252u;

	for (size_t i = 0; i < LIVE && !objects[i]; i++)
		objects[i] = take(r, tarn, random_size(next_random(&x)), i);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t random = next_random(&x);
		void **slot = &objects[(random >> 32) % LIVE];

		heap_free(&r->heap, tarn, *slot);
		*slot = take(r, tarn, random_size(random), i);
	}
}
BENCH_BODY(replace)

static const struct bench_case cases[] = {
	{ .name = "pair", .n_ops = 20000000, .setup = setup,
	  .what = "alloc and free at once, 64 B", BENCH_RUNS(pair) },
	{ .name = "batch_1000", .n_ops = 10000000, .setup = setup,
	  .what = "1000 allocs, then their frees, 64 B",
	  BENCH_RUNS(batch_1000) },
	{ .name = "batch_100000", .n_ops = 5000000, .setup = setup,
	  .what = "100000 allocs, then their frees, 64 B",
	  BENCH_RUNS(batch_100000) },
	{ .name = "replace", .n_ops = 3000000, .setup = setup,
	  .what = "of 100000 objects of 16 B to 1 KiB, replace any",
	  BENCH_RUNS(replace) },
};

int main(int argc, char **argv)
{
	return bench_main(argc, argv, "alloc", cases,
			  sizeof(cases) / sizeof(cases[0]));
}
