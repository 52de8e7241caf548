/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Giving memory of free pages back to the system. */
#include "pool/lane.h"

/**
 * tn_trim() - punch what is free among pages [@from, @to)
 * @punch: takes the memory of pages from behind the file; 0 or -errno
 * @arg: for it
 *
 * A page that is seen to be free may be claimed and written to the moment
 * after. So what is punched is claimed, as any other run, and given back
 * afterwards: a row (256 KiB) at most at a time, so that the pool is never
 * short of more than that because of it. Who dies in it has the row released
 * like any run that was being made (pool/run.c).
 *
 * Return: 0; what @punch gave; -EUCLEAN.
 */
int tn_trim(struct tn_pool *pool, const struct tn_lane_ref *l, uint64_t from,
	    uint64_t to, int (*punch)(void *arg, uint64_t page, uint64_t n),
	    void *arg);
