/* SPDX-License-Identifier: BSD-2-Clause */
#include "pool/row.h"

#include <errno.h>

bool tn_row_claim(const struct tn_pool *pool, const struct tn_lane_ref *l,
		  uint64_t row, uint64_t mask, uint64_t progress)
{
	struct tn_step s;

	tn_step_begin(&s, l, tn_row_of(pool, row), progress);
	do {
		if (s.seen.lo & mask)
			return false;
	} while (!tn_step_try(pool, &s, s.seen.lo | mask));
	return true;
}

int tn_row_release(const struct tn_pool *pool, const struct tn_lane_ref *l,
		   uint64_t row, uint64_t mask, uint64_t progress)
{
	struct tn_step s;

	tn_step_begin(&s, l, tn_row_of(pool, row), progress);
	do {
		if ((s.seen.lo & mask) != mask)
			return -EUCLEAN;
	} while (!tn_step_try(pool, &s, s.seen.lo & ~mask));
	return 0;
}
