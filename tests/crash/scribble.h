/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* What the programs that scribble share: see tests/crash/test_scribble.c. */
#include "tests/lib/tn_test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/tn_busy.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif
#define SLICE_NS_MAX (SANITIZED ? 500000000ULL : 100000000ULL)

static struct tn_busy busy;
static char doing[200] = "nothing"; /* a signal tells */
static uint64_t seed;

static inline bool full(void) { return getenv("TARN_CRASH_FULL") != NULL; }

static inline void tell_and_die(int sig)
{
	const char *why = sig == SIGALRM ? "\nit hangs: " : "\nit crashes: ";

	(void)!write(2, why, strlen(why));
	(void)!write(2, doing, strlen(doing));
	(void)!write(2, "\n", 1);
	signal(sig, SIG_DFL);
	raise(sig);
}

static inline int begin(void **state)
{
	static const int signals[] = {
		SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM,
	};
	int r = tn_test_setup(state);

	if (full())
		alarm(600);
	for (unsigned i = 0; i < TN_ARRAY_LEN(signals); i++)
		signal(signals[i], tell_and_die);
	seed = 0x123456789;
	return r;
}

struct tally {
	uint64_t tries, ends[TN_BUSY_N_ENDS];
};

static inline void tell(const char *of, const struct tally *t)
{
	print_message("# %-14s %7u scribbles: %6u recovered, %6u named by "
		      "the audit, %6u refused, %4u wait\n", of,
		      (unsigned)t->tries,
		      (unsigned)t->ends[TN_BUSY_HOLDS],
		      (unsigned)t->ends[TN_BUSY_NAMED],
		      (unsigned)t->ends[TN_BUSY_REFUSED],
		      (unsigned)t->ends[TN_BUSY_WAITS]);
}

static inline void tell_slices(void)
{
	print_message("# the longest slice: %u us\n",
		      (unsigned)(busy.slice_ns / 1000));
	assert_true(busy.slice_ns < SLICE_NS_MAX);
}

/* tarnd's part, with what it may write. */
static inline void recover_into(struct tally *t)
{
	enum tn_busy_end end;

	tn_busy_protect_data(&busy, true);
	end = tn_busy_recover(&busy);
	tn_busy_protect_data(&busy, false);
	t->ends[end]++;
	t->tries++;
	if (end == TN_BUSY_HOLDS || end == TN_BUSY_NAMED)
		tn_busy_compact(&busy);
}
