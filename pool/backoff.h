/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Slabs and runs that clients need too much to let them be moved, and how long
 * each is left alone. See backoff.c. */
#include <stdbool.h>
#include <stdint.h>

#define TN_BACKOFF_PAGES 512U  /* picked, not tuned: 8 KiB */

struct tn_backoff {
	uint64_t pass;
	struct tn_backoff_page {
		uint32_t page;  /* + 1; 0: none */
		uint32_t n;     /* tries called off in succession, 6 at most */
		uint64_t until; /* the pass that may try it again */
	} pages[TN_BACKOFF_PAGES];
};

/** tn_backoff_pass() - a pass begins */
static inline void tn_backoff_pass(struct tn_backoff *b) { b->pass++; }

/** tn_backoff_is_due() - may what begins at @page be tried in this pass? */
bool tn_backoff_is_due(struct tn_backoff *b, uint64_t page);

/** tn_backoff_tried() - it was; @called_off: a client had some of it pinned, or
 *  needed it in the middle */
void tn_backoff_tried(struct tn_backoff *b, uint64_t page, bool called_off);
