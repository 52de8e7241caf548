/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * What client TN_LIVING does while client TN_DEAD stands still in the middle
 * of something: each goes for the same slab, pages, object or word.
 */
#include "tests/lib/tn_truth.h"

#define TN_GOT_MAX 512

/* What it has got, new to it: it must have been nobody's. */
struct tn_got {
	unsigned n;
	struct { uint64_t off, bytes; } at[TN_GOT_MAX];
};

/* What it has pinned, and where that was: there it must stay. */
struct tn_pinned {
	uint64_t idx, ref, place;
};
extern struct tn_pinned tn_pinned[TN_LANE_PINS];
extern unsigned tn_n_pinned;

struct tn_reply {
	const char *name;
	/* @before: what is in the world just now */
	void (*act)(struct tn_world *w, const struct tn_truth *before,
		    struct tn_got *got);
	bool adopts; /* it takes an object without a look at the word */
};

extern const struct tn_reply tn_replies[]; /* ends with .name = NULL */
