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
 * free, to the allocator's own function. A body is written once, with a
 * constant `mode` that picks the calls, and says whether stamps are checked:
 *
 *	BENCH_INLINE void pair(struct bench_run *r, uint64_t n, unsigned mode)
 *	{ ... put(r, mode, take(r, mode, 64, i)); ... }
 *	BENCH_BODY(pair)
 *	... { .name = "pair", .n_ops = 1000000, BENCH_RUNS(pair) },
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/peer.h"

#define BENCH_INLINE static inline __attribute__((__always_inline__))
#define BENCH_N(array) (sizeof(array) / sizeof((array)[0]))
#define BENCH_POOL_BYTES ((uint64_t)4 << 30) /* sparse; none runs out of it */

/* What kinds of heap there are; .kinds of a case says which can run it. */
enum bench_kind {
	BENCH_TARN = 1,    /* a pool over the daemon */
	BENCH_PEER = 2,    /* another shared heap, through an adapter */
	BENCH_PRIVATE = 4, /* a malloc, preloaded */
	BENCH_PAGES = 8,   /* mmap and munmap: one size at a time */
	BENCH_FITS = 16,   /* a pool that is not first fit */
};
#define BENCH_HEAPS (BENCH_TARN | BENCH_PEER | BENCH_PRIVATE)

enum bench_mode {
	BENCH_SHARED = 1,  /* the heap is a pool, not a malloc */
	BENCH_CHECK = 2,   /* look at every byte and count; time is no matter */
};

struct heap {
	void *(*alloc)(size_t size);      /* of a private heap */
	void (*free)(void *p);

	const char *allocator;
	void *library;                    /* of a malloc; dlopen()ed */
	const struct bench_peer *peer;    /* of a shared one */
	void *pool;
	void *(*pool_alloc)(void *pool, size_t size);
	int (*pool_free)(void *pool, void *p);
	char name[40];
};

struct bench_run {
	struct heap heap;
	const char *name;                 /* of the case */
	unsigned mode;
	uint64_t param;                   /* one of the case's .params, or 0 */
	uint64_t n_taken, n_put;          /* counted where BENCH_CHECK is set */
	void *state;                      /* the case's own */
};

struct bench_case {
	const char *name;
	const char *what;                 /* a line for the reader */
	const char *unit;                 /* NULL: ns an operation */
	const uint64_t *params;           /* a figure each; 0 ends them */
	unsigned kinds;                   /* 0: BENCH_HEAPS */
	bool bytes_are_param;             /* the pool's size is */
	uint64_t pool_bytes;              /* ... or 0: BENCH_POOL_BYTES */
	bool is_alone;                    /* one thread: its cpu time counts */
	uint64_t n_ops;                   /* at most */
	uint64_t n_warm;                  /* before that; 0: a thousandth */

	void (*setup)(struct bench_run *r);    /* may be NULL, as this: */
	void (*teardown)(struct bench_run *r); /* frees what is held */

	/* One of: what to do @n times, by mode; or what takes the time itself,
	 * and calls bench_emit(). */
	void (*run[4])(struct bench_run *r, uint64_t n);
	void (*measure)(struct bench_run *r, uint64_t n);
};

/* What one .c brings; its .tsv has the same name. */
struct bench_group {
	const char *name;
	const struct bench_case *cases;
	size_t n_cases;
};

#define BENCH_BODY(fn) \
	static void fn##_0(struct bench_run *r, uint64_t n) { fn(r, n, 0); } \
	static void fn##_1(struct bench_run *r, uint64_t n) { fn(r, n, 1); } \
	static void fn##_2(struct bench_run *r, uint64_t n) { fn(r, n, 2); } \
	static void fn##_3(struct bench_run *r, uint64_t n) { fn(r, n, 3); }
#define BENCH_RUNS(fn) .run = { fn##_0, fn##_1, fn##_2, fn##_3 }

/** bench_stamp() - fill an object so that bench_verify() can tell */
void bench_stamp(void *p, size_t size, uint64_t value);

/** bench_verify() - the value it was stamped with; dies if a byte differs */
uint64_t bench_verify(const void *p);

/** bench_die() - say what failed; the run ends and has no result */
void bench_die(const char *what, int err)
	__attribute__((__noreturn__, __cold__));

/** bench_cannot() - this heap cannot do this: no figure, and no failure */
void bench_cannot(void) __attribute__((__noreturn__, __cold__));

/** bench_emit() - a figure of this run; @sub names it if it has several */
void bench_emit(const char *sub, const char *unit, double value);

double bench_now_ns(void);

/** bench_private_bytes() - of memory that is this process's alone */
double bench_private_bytes(void);

/** bench_memory() - zeroed, there, of no heap measured, shared over fork */
void *bench_memory(size_t n_bytes);

/** bench_pin() - with option -p: stay on the @n-th processor there is. For
 * cases of two sides, which the scheduler may else put on one processor. */
void bench_pin(unsigned n);

/* Use an object as its owner would: its first bytes are written, or read.
 * Volatile, so that the compiler drops neither the access nor the object. */
BENCH_INLINE void *take(struct bench_run *r, unsigned mode, size_t size,
			uint64_t value)
{
	const struct heap *h = &r->heap;
	void *p = mode & BENCH_SHARED ? h->pool_alloc(h->pool, size) :
					h->alloc(size);

	if (__builtin_expect(!p, 0))
		bench_die("out of memory", 0);
	if (mode & BENCH_CHECK) {
		bench_stamp(p, size, value);
		r->n_taken++;
	} else {
		*(volatile uint64_t *)p = value;
	}
	return p;
}

BENCH_INLINE void put(struct bench_run *r, unsigned mode, void *p)
{
	const struct heap *h = &r->heap;

	if (mode & BENCH_CHECK) {
		bench_verify(p);
		r->n_put++;
	}
	if (!(mode & BENCH_SHARED))
		h->free(p);
	else if (h->pool_free(h->pool, p) < 0 && (mode & BENCH_CHECK))
		bench_die("a free was refused", 0);
}

BENCH_INLINE uint64_t value_of(const void *p, unsigned mode)
{
	return mode & BENCH_CHECK ? bench_verify(p) :
				    *(const volatile uint64_t *)p;
}

/* The same sequence for all allocators. */
#define BENCH_SEED 88172645463325252u

BENCH_INLINE uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* 16 B to 1 KiB */
BENCH_INLINE size_t random_size(uint64_t x)
{
	return 16 + (x >> 8) % 1009;
}

/* Replace any of @n_objects, which are there or NULL, @n times. */
BENCH_INLINE void replace_any(struct bench_run *r, unsigned mode,
			      void **objects, uint64_t n_objects, uint64_t n,
			      uint64_t *x)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t random = next_random(x);
		void **at = &objects[(random >> 32) % n_objects];

		if (*at)
			put(r, mode, *at);
		*at = take(r, mode, random_size(random), i);
	}
}
