/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole pages, one thread: where tarn has runs, others their large path. */
#include "bench/harness.h"

#define BATCH 16

static void *runs[BATCH];

static void setup(struct bench_run *r)
{
	const struct bench_peer *peer = r->heap.peer;

	if (peer && peer->max_bytes && r->param > peer->max_bytes)
		bench_cannot();
	if (peer && peer->alloc_run) {
		r->heap.pool_alloc = peer->alloc_run;
		r->heap.pool_free = peer->free_run;
	}
}

BENCH_INLINE void run(struct bench_run *r, uint64_t n, unsigned mode)
{
	for (uint64_t done = 0; done < n; done += BATCH) {
		uint64_t end = n - done < BATCH ? n - done : BATCH;

		for (uint64_t i = 0; i < end; i++)
			runs[i] = take(r, mode, r->param, i);
		for (uint64_t i = 0; i < end; i++)
			put(r, mode, runs[i]);
	}
}
BENCH_BODY(run)

#define K(pages) ((pages) * 4096)
static const uint64_t orders[] = {
	K(1), K(2), K(4), K(8), K(16), K(32), K(64), K(128), K(256), K(512), 0
};
static const uint64_t exact[] = { K(3), K(9), K(33), K(100), K(300), 0 };

static const struct bench_case cases[] = {
	{ .name = "run", .is_alone = true, .n_ops = 2000000, .params = orders,
	  .kinds = BENCH_HEAPS | BENCH_PAGES,
	  .what = "16 allocs of so many bytes, orders 0 to 9, then their frees",
	  .setup = setup, BENCH_RUNS(run) },
	{ .name = "exact", .is_alone = true, .n_ops = 2000000, .params = exact,
	  .kinds = BENCH_HEAPS | BENCH_PAGES,
	  .what = "the same of 3, 9, 33, 100 and 300 pages",
	  .setup = setup, BENCH_RUNS(run) },
};

const struct bench_group bench_runs = { "runs", cases, BENCH_N(cases) };
