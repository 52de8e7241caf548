/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* What a test over the public API may want to see of a pool behind it. */
#include "tarn/tarn.h"

struct tn_view {
	void *data, *meta; /* as mapped here */
	int data_fd, meta_fd;
};

struct tn_view tn_view_of(const struct tarn_pool *pool);

/* The word that says who holds an object, for tests that spoil it. */
uint16_t *tn_view_tag(struct tarn_pool *pool, const void *p);

/* NULL if nothing is in the pool, else what is; see tn_heap_not_pristine() */
const char *tn_view_not_pristine(const struct tarn_pool *pool);

/* Overwrite @n words that the mover goes by, at random: handles, back links,
 * tags, words of pages and slabs, fit hints; in a pool of 16 MiB or more. */
void tn_view_scribble(struct tarn_pool *in, uint64_t *seed, unsigned n);
