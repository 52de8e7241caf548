/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Inside the harness: the allocators, and what is done with the figures. */
#include <stdio.h>

#include "bench/harness.h"

#define BENCH_MAX_ROUNDS 101
#define BENCH_MAX_ALLOCATORS 16
#define EXIT_MISSING 77          /* the allocator is not on this machine */
#define PIN_ENV "TARN_BENCH_PIN" /* -p, for the processes that measure */

struct allocator {
	const char *name;
	enum bench_kind kind;
	const char *library;     /* $B is the build tree; NULL: none needed */
	unsigned policy;         /* of a pool */
};

extern const struct allocator bench_allocators[];
extern const size_t bench_n_allocators;
extern const struct bench_peer bench_tarn;
extern unsigned bench_tarn_policy; /* of pools made; 0: the default */
extern const struct bench_group *const bench_groups[];
extern const size_t bench_n_groups;

/** allocator_library() - its path or name; may be in @buf */
const char *allocator_library(const struct allocator *a, char *buf, size_t n);

/** heap_open() - the functions to measure; false: not on this machine */
bool heap_open(struct heap *h, const struct allocator *a, uint64_t bytes);
void heap_close(struct heap *h);

/** heap_join() - in a forked process, which ends with heap_leave() */
void heap_join(struct heap *h);
void heap_leave(struct heap *h);

/** bench_can() - is that kind of heap one for this case? */
static inline bool bench_can(const struct bench_case *c,
			     const struct allocator *a)
{
	return (c->kinds ? c->kinds : BENCH_HEAPS) & a->kind;
}

/*
 * In the process that measures: --run CASE PARAM ALLOCATOR N_OPS MODE
 */

int bench_measure(char **argv);

/*
 * What came of it
 */

/* The rounds of one figure and allocator; v[i] < 0: not measured. */
struct series {
	size_t n;
	double v[BENCH_MAX_ROUNDS];
};

struct summary {
	double median, min, max;
};

/* One line of a case for each allocator. */
struct figure {
	char name[64];           /* case, case/param, case/param/sub */
	char unit[12];
	struct series by[BENCH_MAX_ALLOCATORS];
};

/** summarize() - false: there is nothing to summarize */
bool summarize(const struct series *s, struct summary *ret);

void print_machine(void);
void print_head(void);
void print_figure(const struct figure *f, const struct bench_case *c,
		  bool is_first, FILE *tsv);

/** print_verdicts() - tarn beside the fastest of each kind, of all figures */
void print_verdicts(void);

/** open_tsv() - in $TARN_BENCH_OUT or bench/out */
FILE *open_tsv(const char *name);
