/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* For fuzzers: what does not hold is said, and aborts. */
#define tn_must(cond) \
	((cond) ? (void)0 : tn_must_failed(#cond, __FILE__, __LINE__))
void tn_must_failed(const char *what, const char *file, int line);
