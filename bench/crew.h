/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * The other sides of a case. Where the heap is shared each is a process that
 * has opened it for itself; where it is private, a thread of this one.
 */
#include "bench/harness.h"

struct worker {
	struct bench_run run;   /* with a heap of its own */
	unsigned n;             /* which one */
	void *arg;
};

enum crew_kind {
	CREW_SHARES, /* as said above */
	CREW_APART,  /* processes always: a private heap is each one's own */
};

struct crew;

/**
 * crew_start() - @n workers begin with @work
 * @arg: theirs; from bench_memory(), if they are to see it from outside
 *
 * A worker that dies ends the run without a result.
 */
struct crew *crew_start(struct bench_run *r, enum crew_kind kind, unsigned n,
			void (*work)(struct worker *w), void *arg);

/** crew_finish() - wait for all; what they took and put is added to @r's */
void crew_finish(struct crew *crew, struct bench_run *r);

/** crew_pid() - of a worker that is a process, else 0 */
pid_t crew_pid(const struct crew *crew, unsigned n);

/** wait_a_little() - in a loop that looks for what another is to do */
void wait_a_little(unsigned *n_spins);
