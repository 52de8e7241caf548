/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Where slabs with free slots are: a bit a page in its area (partial), and a
 * bit an area for each class. Only hints; what they mean, and who sets them
 * when, is I3 of pool/slab.c.
 */
#include "pool/pool.h"

void tn_hint_set(struct tn_pool *pool, uint64_t page, unsigned class);
void tn_hint_clear(struct tn_pool *pool, uint64_t page);

/* Slabs of a class that may have free slots, from the lowest address. */
struct tn_hint_walk {
	unsigned class;
	bool thorough;     /* look at every slab, not at the hints */
	uint64_t area;
	unsigned page;     /* in the area, where to go on */
	bool open;         /* the area's bit has been seen set */
	bool found;        /* ... and a slab in it */
};

void tn_hint_walk_begin(struct tn_hint_walk *walk, unsigned class,
			bool thorough);
bool tn_hint_walk_next(struct tn_pool *pool, struct tn_hint_walk *walk,
		       uint64_t *ret_page);
