/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * tn_assert: a bug of ours. Never for what the caller passed in (that is
 * -EINVAL), never for a byte another process can write (read it once, check
 * the copy, return an error). Off in the library unless built with TN_DEBUG;
 * on in tarnd, which rather restarts than goes on wrong.
 */
#include <stdio.h>
#include <stdlib.h>

#define tn_assert_always(expr) \
	((expr) ? (void)0 : tn_assert_failed(#expr, __FILE__, __LINE__))

#if defined(TN_DEBUG) || defined(TN_DAEMON)
#define tn_assert(expr) tn_assert_always(expr)
#else
#define tn_assert(expr) ((void)sizeof(!(expr)))
#endif

__attribute__((noreturn, cold, unused))
static void tn_assert_failed(const char *what, const char *file, int line)
{
	fprintf(stderr, "tarn: %s:%d: assertion failed: %s\n", file, line,
		what);
	abort();
}

/*
 * A numbered crash window. A test build names a window in TARN_CRASH_AT and
 * dies there; otherwise there is no code.
 */
#ifdef TN_CRASH_POINTS
void tn_crash_point(const char *window);
#define TN_CRASH(window) tn_crash_point(window)
#else
#define TN_CRASH(window) ((void)0)
#endif
