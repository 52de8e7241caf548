/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ways to fill a heap with holes, all of them others': how much memory is
 * there for each byte that lives, before compaction and after it.
 */
#include <string.h>

#include "bench/crew.h"
#include "bench/frag.h"

#define MIB ((uint64_t)1 << 20)

/*
 * redis: a cache of 100 MiB that drops what is old, whose objects change in
 * size: 700,000 of 240 bytes, then 170,000 of 492 (the test of Mesh's authors,
 * with Redis). In eight workers, each with an eighth. To make room the oldest
 * of five chosen at random goes, as in Redis.
 */

#define REDIS_WORKERS 8
#define REDIS_SMALL 700000
#define REDIS_LARGE 170000
#define REDIS_LIVE (100 * MIB)
#define REDIS_CHOICES 5

struct redis {
	_Atomic unsigned step, n_done;
	uint64_t scale;          /* of REDIS_SMALL */
	struct frag_sum sums[REDIS_WORKERS];
};

static void await(_Atomic unsigned *word, unsigned least)
{
	unsigned n_spins = 0;

	while (*word < least)
		wait_a_little(&n_spins);
}

static uint64_t oldest(struct frag *f)
{
	uint64_t best = next_random(&f->x) % f->n;

	for (unsigned i = 1; i < REDIS_CHOICES; i++) {
		uint64_t at = next_random(&f->x) % f->n;

		if (f->objects[at].age < f->objects[best].age)
			best = at;
	}
	return best;
}

static void populate(struct frag *f, uint64_t n, size_t size, uint64_t live_max)
{
	while (n--) {
		while (f->n && f->live + size > live_max)
			frag_remove(f, oldest(f));
		frag_add(f, size);
	}
}

static uint64_t scaled(const struct redis *all, uint64_t n)
{
	return n * all->scale / REDIS_SMALL / REDIS_WORKERS;
}

static void redis_worker(struct worker *w)
{
	struct redis *all = w->arg;
	struct frag f;

	frag_init(&f, &w->run, scaled(all, REDIS_LIVE) / 240 + 2);
	f.x += w->n;
	all->n_done++;
	await(&all->step, 1);
	populate(&f, scaled(all, REDIS_SMALL), 240, scaled(all, REDIS_LIVE));
	populate(&f, scaled(all, REDIS_LARGE), 492, scaled(all, REDIS_LIVE));
	all->sums[w->n] = (struct frag_sum){
		f.live, frag_usable(&f), f.n };
	all->n_done++;
	await(&all->step, 2);
	frag_verify(&f);
	frag_free_all(&f);
}

static void redis(struct bench_run *r, uint64_t n)
{
	struct redis *all = bench_memory(sizeof(*all));
	struct frag_sum sum = { 0 };
	struct crew *crew;

	all->scale = n < REDIS_SMALL ? n : REDIS_SMALL;
	crew = crew_start(r, CREW_SHARES, REDIS_WORKERS, redis_worker, all);
	await(&all->n_done, REDIS_WORKERS);
	frag_begin(r);
	all->step = 1;
	await(&all->n_done, 2 * REDIS_WORKERS);
	for (unsigned i = 0; i < REDIS_WORKERS; i++) {
		sum.live += all->sums[i].live;
		sum.usable += all->sums[i].usable;
		sum.objects += all->sums[i].objects;
	}
	frag_report(r, &sum);
	all->step = 2;
	crew_finish(crew, r);
}

/* Of one worker: what it has done is reported. */
static void end(struct frag *f)
{
	frag_report(f->r, &(struct frag_sum){
			     f->live, frag_usable(f), f->n });
	frag_verify(f);
	frag_free_all(f);
}

/*
 * w0 to w8: RAMCloud's (Rumble, Kejriwal, Ousterhout, "Log-structured memory
 * for DRAM-based storage", FAST 2014), as PMDK's test has them, a tenth of the
 * size: bytes are allocated up to five times of what lives, and random ones
 * freed meanwhile, that no more do; some are freed in between; then the same
 * with other sizes.
 */

#define W_LIVE (100 * MIB)
#define W_TOTAL (500 * MIB)
#define W_FREES 20 /* at once */

struct change {
	uint32_t from, to;        /* sizes at first: @from up to below @to */
	unsigned freed_percent;
	uint32_t then_from, then_to; /* 0: that was all */
};

static const struct change changes[] = {
	{ 100, 101, 0, 0, 0 },
	{ 100, 101, 0, 130, 131 },
	{ 100, 101, 90, 130, 131 },
	{ 100, 150, 0, 200, 250 },
	{ 100, 150, 90, 200, 250 },
	{ 100, 200, 50, 1000, 2000 },
	{ 1000, 2000, 90, 1500, 2500 },
	{ 50, 150, 90, 5000, 15000 },
	{ 2 * MIB, 2 * MIB + 1, 0, 0, 0 },
};

static void remove_any(struct frag *f)
{
	frag_remove(f, next_random(&f->x) % f->n);
}

static void allocate(struct frag *f, uint32_t from, uint32_t to,
		     uint64_t live_max, uint64_t total)
{
	uint64_t done = 0;

	while (done < total) {
		size_t size = from + (next_random(&f->x) >> 8) % (to - from);

		frag_add(f, size);
		done += size;
		if (f->live <= live_max)
			continue;
		for (unsigned i = 0; f->n && i < W_FREES; i++)
			remove_any(f);
	}
}

static void shifted(struct bench_run *r, uint64_t n)
{
	const struct change *c = &changes[r->name[1] - '0'];
	uint64_t live = W_LIVE < n ? W_LIVE : n, total = live * 5;
	struct frag f;

	frag_init(&f, r, live / c->from + W_FREES + 2);
	frag_begin(r);
	allocate(&f, c->from, c->to, live, total);
	for (uint64_t k = f.n * c->freed_percent / 100; k--;)
		remove_any(&f);
	if (c->then_from)
		allocate(&f, c->then_from, c->then_to, live, total);
	end(&f);
}

/*
 * robson: sizes that double, each twice, of which every second is freed, so
 * that no hole is large enough for what comes next (Robson 1977; the basic
 * strategy in Mesh's fragmenter: from 1 KiB on, 128 MiB)
 */

#define ROBSON_TOTAL (128 * MIB)
#define ROBSON_LEAST 512

static void robson(struct bench_run *r, uint64_t n)
{
	uint64_t room = ROBSON_TOTAL < n ? ROBSON_TOTAL : n, kept = 0;
	struct frag f;

	frag_init(&f, r, room / ROBSON_LEAST + 2);
	frag_begin(r);
	for (uint64_t size = ROBSON_LEAST; room >= 2 * size;) {
		uint64_t pairs;

		size *= 2;
		pairs = room / (2 * size);
		for (uint64_t k = 0; k < 2 * pairs; k++)
			frag_add(&f, size);
		/* the last one takes its place: so from the end on */
		for (uint64_t k = pairs; k--;)
			frag_remove(&f, kept + 2 * k + 1);
		kept += pairs;
		room -= size * pairs;
	}
	end(&f);
}

/*
 * equal/N: of 100 MiB in objects of 256 bytes each Nth stays, by its place. So
 * all holes are at the same offsets, and no two pages can be laid over each
 * other: the worst case for meshing.
 */

#define EQUAL_BYTES 256

static void equal(struct bench_run *r, uint64_t n)
{
	uint64_t bytes = W_LIVE < n ? W_LIVE : n;
	struct frag f;

	frag_init(&f, r, bytes / EQUAL_BYTES + 1);
	frag_begin(r);
	while (f.live < bytes)
		frag_add(&f, EQUAL_BYTES);
	for (uint64_t i = f.n; i--;)
		if (frag_place(&f, i) / EQUAL_BYTES % r->param)
			frag_remove(&f, i);
	end(&f);
}

#define POOL_BYTES (1024 * MIB) /* ten times what lives */
#define KINDS (BENCH_TARN | BENCH_FITS | BENCH_PRIVATE)
static const uint64_t shares[] = { 2, 64, 0 };

#define SHIFTED(case_name, text) { \
	.name = case_name, .unit = "B/B", .measure = shifted, .kinds = KINDS, \
	.pool_bytes = POOL_BYTES, .n_ops = W_LIVE, .what = text }

static const struct bench_case cases[] = {
	{ .name = "redis", .unit = "B/B", .measure = redis, .kinds = KINDS,
	  .pool_bytes = POOL_BYTES, .n_ops = REDIS_SMALL,
	  .what = "100 MiB, LRU: 700,000 of 240 B, then 170,000 of 492 B" },
	SHIFTED("w0", "100 B"),
	SHIFTED("w1", "100 B, then 130 B"),
	SHIFTED("w2", "100 B, 90 % freed, then 130 B"),
	SHIFTED("w3", "100 to 150 B, then 200 to 250 B"),
	SHIFTED("w4", "100 to 150 B, 90 % freed, then 200 to 250 B"),
	SHIFTED("w5", "100 to 200 B, 50 % freed, then 1000 to 2000 B"),
	SHIFTED("w6", "1000 to 2000 B, 90 % freed, then 1500 to 2500 B"),
	SHIFTED("w7", "50 to 150 B, 90 % freed, then 5000 to 15000 B"),
	SHIFTED("w8", "2 MiB"),
	{ .name = "robson", .unit = "B/B", .measure = robson, .kinds = KINDS,
	  .pool_bytes = POOL_BYTES, .n_ops = ROBSON_TOTAL,
	  .what = "sizes that double, of which every second is freed" },
	{ .name = "equal", .unit = "B/B", .measure = equal, .kinds = KINDS,
	  .pool_bytes = POOL_BYTES, .params = shares, .n_ops = W_LIVE,
	  .what = "each Nth of 100 MiB in 256 B stays: all at equal offsets" },
};

const struct bench_group bench_frag = { "frag", cases, BENCH_N(cases) };
