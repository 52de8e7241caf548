/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * A lane's run cache: short runs that it keeps to itself, as Linux keeps pages
 * for each processor (per-cpu page lists). A kept run's page word says RUN, and
 * its tag is KEPT by the client; so it needs no step to be taken up again, and
 * whoever recovers the client frees it.
 *
 *   length     1     2     3   ...  64 pages
 *            | 7 | | 40 | |  |     |   |
 *            | 3 |                         a stack each: first pages
 *
 * It is private, and a hint of nothing: drop it, and only the pages are KEPT
 * until the client's end.
 *
 * What a thread keeps is not there for others. So all of it together is held
 * below a bound: .room is what may still be added, here or to the limits of
 * magazines beyond what is each class's own (pool/magazine.c). If something
 * finds no room, the runs kept longest go, one length after the other.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "proto/layout.h"

#define TN_RUN_CACHE_PAGES 64U /* the longest */
#define TN_RUN_CACHE_DEPTH 32U /* of one length */

struct tn_run_cache {
	uint64_t room;  /* bytes */
	uint32_t clock; /* the length that something was dropped of last */
	uint32_t (*at)[TN_RUN_CACHE_DEPTH]; /* TN_RUN_CACHE_PAGES + 1 of them */
	uint8_t n[TN_RUN_CACHE_PAGES + 1];
};

/* Could a run be kept, if there were room? It starts at a multiple of its
 * length, rounded up, as any that is newly claimed. */
static inline bool tn_run_cache_takes(const struct tn_run_cache *c,
				      uint64_t page, uint64_t n)
{
	return n - 1 < TN_RUN_CACHE_PAGES && c->n[n] < TN_RUN_CACHE_DEPTH &&
	       !(page & ((1ULL << tn_log2_ceil(n)) - 1));
}

static inline bool tn_run_cache_has(const struct tn_run_cache *c, uint64_t n)
{ return n <= TN_RUN_CACHE_PAGES && c->n[n]; }

/* There is one. */
static inline uint32_t tn_run_cache_pop(struct tn_run_cache *c, uint64_t n)
{
	c->room += n << TN_PAGE_SHIFT;
	return c->at[n][--c->n[n]];
}

/* It takes one, and there is room. A fork in the middle finds it not there. */
static inline void tn_run_cache_push(struct tn_run_cache *c, uint64_t page,
				     uint64_t n)
{
	c->room -= n << TN_PAGE_SHIFT;
	c->at[n][c->n[n]] = (uint32_t)page;
	tn_fence_compiler();
	c->n[n]++;
}
