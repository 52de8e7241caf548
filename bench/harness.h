/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Measuring allocators beside each other.
 *
 * A case is a loop over alloc and free. The harness runs it for every
 * allocator in turn (A B C A B C ...), each time in a process of its own, and
 * reports medians over the rounds and ratios within them: what the machine
 * does from one minute to the next hits all alike.
 *
 * The same for all: one call through a function pointer for each alloc and
 * free, to the shared library's own function (tarn's are linked in). A body
 * is written once, with a constant `tarn` that picks the calls:
 *
 *	static void pair(struct bench_run *r, uint64_t n, bool tarn) { ... }
 *	BENCH_BODY(pair)
 *	... { .name = "pair", .n_ops = 1000000, BENCH_RUNS(pair) },
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tarn/tarn.h>

#define BENCH_INLINE static inline __attribute__((__always_inline__))

/* One of the two halves is filled. */
struct heap {
	void *(*alloc)(size_t size);
	void (*free)(void *p);

	struct tarn_pool *pool;
	void *(*pool_alloc)(struct tarn_pool *pool, size_t size);
	int (*pool_free)(struct tarn_pool *pool, void *p);
	char pool_name[TARN_NAME_MAX + 1];
};

struct bench_run {
	struct heap heap;
	void *state;           /* the case's own, from .setup */
};

struct bench_case {
	const char *name;
	const char *what;      /* one line for the reader */
	uint64_t n_ops;        /* of one measurement; a tenth warms up */
	bool (*setup)(struct bench_run *r, bool tarn); /* may be NULL */
	void (*teardown)(struct bench_run *r, bool tarn);
	/* do it @n times; NULL: this kind of heap cannot */
	void (*run_private)(struct bench_run *r, uint64_t n);
	void (*run_tarn)(struct bench_run *r, uint64_t n);
};

#define BENCH_BODY(fn) \
	static void fn##_private(struct bench_run *r, uint64_t n) \
	{ \
		fn(r, n, false); \
	} \
	static void fn##_tarn(struct bench_run *r, uint64_t n) \
	{ \
		fn(r, n, true); \
	}
#define BENCH_RUNS(fn) .run_private = fn##_private, .run_tarn = fn##_tarn

BENCH_INLINE void *heap_alloc(const struct heap *h, bool tarn, size_t size)
{
	return tarn ? h->pool_alloc(h->pool, size) : h->alloc(size);
}

BENCH_INLINE void heap_free(const struct heap *h, bool tarn, void *p)
{
	if (tarn)
		h->pool_free(h->pool, p);
	else
		h->free(p);
}

/* Use an object as its owner would: its first bytes are written. Volatile,
 * so that the compiler can drop neither the store nor the object. */
BENCH_INLINE void touch(void *p, uint64_t value)
{
	*(volatile uint64_t *)p = value;
}

/** bench_memory() - zeroed memory that is of none of the heaps measured */
void *bench_memory(size_t n_bytes);

/** bench_pin() - with option -p: stay on the @n-th processor there is. For
 * cases of two sides, which the scheduler may else put on one processor. */
void bench_pin(unsigned n);

/** bench_die() - say what failed; the run ends and has no result */
void bench_die(const char *what, int err)
	__attribute__((__noreturn__, __cold__));

/** bench_main() - all of a benchmark's main(); @name names its .tsv */
int bench_main(int argc, char **argv, const char *name,
	       const struct bench_case *cases, size_t n_cases);
