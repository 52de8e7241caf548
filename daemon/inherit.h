/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* What the service manager passed in from the descriptor store, by name. */
#include "daemon/store.h"

/* Something from the descriptor store. */
struct inherited {
	int fd;           /* -1: it has an owner by now */
	unsigned schema;  /* 0: its name is none of ours */
	char kind;        /* as of store_name(), or 0 */
	uint32_t index;
	const char *name;
};

struct inheritance {
	struct inherited *all;
	size_t n;
	char **names;
	int listener;     /* close-on-exec and non-blocking; -1: none */
};
#define INHERITANCE_NONE { .listener = -1 }

/** inherit_sort() - by kind and index; before all below */
void inherit_sort(struct inheritance *in);

/** inherit_first() - where the first of that name is, or would be */
size_t inherit_first(const struct inheritance *in, char kind, uint32_t index);

#define inherit_for_each(pos, in, k, i) \
	for (struct inherited *pos = (in)->all + inherit_first(in, k, i); \
	     pos < (in)->all + (in)->n && pos->kind == (k) && \
	     pos->index == (i); pos++)

/** inherit_drop_rest() - close what has no owner, and have it dropped from the
 *  store; how many there were */
unsigned inherit_drop_rest(struct inheritance *in, struct store *store);
