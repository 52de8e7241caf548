/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Inside the harness: the allocators, and what is done with the figures. */
#include <stdio.h>

#include "bench/harness.h"

#define BENCH_MAX_ROUNDS 101
#define BENCH_BASE 1 /* ratios are to this one of the list: jemalloc */

struct allocator {
	const char *name;
	const char *library; /* NULL: tarn */
};

extern const struct allocator bench_allocators[];
extern const size_t bench_n_allocators;

/** heap_open() - the functions to measure; false: not on this machine */
bool heap_open(struct heap *h, const struct allocator *a);
void heap_close(struct heap *h);

/* The rounds of one case and allocator; ns[i] < 0: not measured. */
struct series {
	size_t n;
	double ns[BENCH_MAX_ROUNDS];
};

struct summary {
	double median, min, max;
};

/** summarize() - false: there is nothing to summarize */
bool summarize(const struct series *s, struct summary *ret);

/** ratios() - of two series, round by round */
void ratios(const struct series *s, const struct series *base,
	    struct series *ret);

void print_machine(void);
void print_head(void);
void print_row(const char *case_name, const char *allocator,
	       const struct series *s, const struct series *base, FILE *tsv);

/** open_tsv() - $TARN_BENCH_OUT, $TARN_BUILD/bench or build/bench */
FILE *open_tsv(const char *name);
