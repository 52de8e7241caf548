/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Arithmetic on sizes and bits; no memory is touched but what is given. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TN_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define tn_likely(x) __builtin_expect(!!(x), 1)
#define tn_unlikely(x) __builtin_expect(!!(x), 0)
/* a function off the usual path, kept out of line */
#define tn_cold __attribute__((__noinline__, __cold__))

static inline bool tn_is_pow2(uint64_t x) { return x && !(x & (x - 1)); }

/* x rounded up to a multiple of the power of two @to; wraps like any sum. */
static inline uint64_t tn_round_up(uint64_t x, uint64_t to)
{ return (x + to - 1) & ~(to - 1); }

static inline uint64_t tn_div_up(uint64_t x, uint64_t by)
{ return x / by + (x % by != 0); }

/* floor and ceiling of the binary logarithm; x must not be 0 */
static inline unsigned tn_log2_floor(uint64_t x)
{ return 63U - (unsigned)__builtin_clzll(x); }
static inline unsigned tn_log2_ceil(uint64_t x)
{ return x <= 1 ? 0 : 64U - (unsigned)__builtin_clzll(x - 1); }

/* bits [from, from + n) of a word; n is 1 ... 64 - from */
static inline uint64_t tn_mask(unsigned from, unsigned n)
{ return (~0ULL >> (64 - n)) << from; }

static inline uint64_t tn_min64(uint64_t a, uint64_t b)
{ return a < b ? a : b; }
static inline uint64_t tn_max64(uint64_t a, uint64_t b)
{ return a > b ? a : b; }

/* FNV-1a, 64 bits (Fowler, Noll, Vo); never 0, so that 0 can mean "none". */
static inline uint64_t tn_hash_name(const char *s)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3ULL;
	return h ? h : 1;
}
