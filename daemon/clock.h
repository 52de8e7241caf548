/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
#include <stdint.h>
#include <time.h>

/* Nanoseconds, of a clock that nobody sets. */
static inline int64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Milliseconds, of the same. */
static inline int64_t clock_ms(void)
{
	return clock_ns() / 1000000;
}
