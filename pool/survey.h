/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* How much compaction could get out of a pool: a quick look at page words and
 * slab words alone. See survey.c. */
#include "pool/pool.h"

struct tn_survey {
	struct tn_pool *pool;
	uint64_t area;               /* the next one */
	uint64_t claimed;            /* pages */
	uint64_t movable;            /* ... of slabs and runs with handles */
	uint64_t free[TN_CLASS_CACHE]; /* slots in slabs of movable classes */
};

void tn_survey_begin(struct tn_survey *s, struct tn_pool *pool);

/** tn_survey_step() - look at @n areas. Return: false: that was all */
bool tn_survey_step(struct tn_survey *s, uint64_t n);

/** tn_survey_holes() - pages that would be free if each movable class had all
 *  its free slots in as few slabs as can be */
uint64_t tn_survey_holes(const struct tn_survey *s);
