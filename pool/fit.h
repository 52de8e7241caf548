/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Placement: which hole in the page map a run of pages goes into. */
#include "pool/pool.h"

/* Where to look: a policy, and this, or nothing for TN_GROUP_FIXED. */
#define TN_AMONG(group) ((unsigned)(group) << 8)

/**
 * tn_fit_find() - look for a place
 * @n: pages, 1 to half the pool's
 * @where: TN_FIRST_FIT, TN_BEST_FIT, TN_WORST_FIT; and TN_AMONG() what
 * @thorough: do not believe the fit hints; the last resort before ENOMEM
 *
 * Only looks: by the time the caller claims the pages, they may be taken.
 *
 * Return: true and the first page; false: no place.
 */
bool tn_fit_find(struct tn_pool *pool, uint64_t n, unsigned where,
		 bool thorough, uint64_t *ret_page);

/** tn_fit_raise() - pages around @page have become free: correct the hint */
void tn_fit_raise(struct tn_pool *pool, uint64_t page);

/** tn_fit_group() - pages are about to be claimed for what is of that group */
void tn_fit_group(struct tn_pool *pool, uint64_t page, uint64_t n,
		  unsigned where);

/** tn_fit_among() - is the area of a page that group's, or free? */
static inline bool tn_fit_among(const struct tn_pool *pool, uint64_t page,
				unsigned group)
{
	uint64_t area = page >> TN_AREA_SHIFT;

	return !tn8_load_relaxed(&pool->fit[area]) ||
	       tn8_load_relaxed(&pool->groups[area]) == group;
}

/** tn_fit_claimed() - pages have just been claimed: correct the hint */
void tn_fit_claimed(struct tn_pool *pool, uint64_t page, uint64_t n);

/** tn_fit_recheck() - a lane died that may have left fit = 0 over pages that
 *  are claimed: correct the hint */
void tn_fit_recheck(struct tn_pool *pool, uint64_t page, uint64_t n);

/** tn_fit_largest() - pages of the largest run that would fit just now */
uint64_t tn_fit_largest(struct tn_pool *pool);
