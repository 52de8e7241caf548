/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Giving memory of free pages back to the system. */
#include "pool/lane.h"

/* How memory is taken from behind a file. Return: 0 or -errno. */
struct tn_punch {
	int (*data)(void *arg, uint64_t page, uint64_t n);
	/* NULL, or: of meta */
	int (*meta)(void *arg, uint64_t off, uint64_t bytes);
	void *arg;
};

/**
 * tn_trim() - punch what is free among pages [@from, @to)
 *
 * Of an area that is free throughout all of it goes, and what is known about
 * it; see trim.c. Return: 0; what @punch gave; -EUCLEAN.
 */
int tn_trim(struct tn_pool *pool, const struct tn_lane_ref *l, uint64_t from,
	    uint64_t to, const struct tn_punch *punch);
