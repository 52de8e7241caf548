/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Allocating from a pool of tarnd's, if TARN_MALLOC_POOL names one. What
 * libtarn needs for itself, and what the pool has no room for, is from the
 * home heap; so every thread shares the common seat there.
 *
 * A forked child is not the client that its parent is. It works in a home heap
 * of its own from then on, and what it has inherited stays where it is: it may
 * be used, but freeing it does nothing, for it is the parent's.
 */
#include <stdbool.h>
#include <stddef.h>

/* Opens it. Return: 0; below 0: -errno of why not. */
int tn_named_open(const char *name);

/* May this call go to the pool? Not from inside of libtarn, or of a child. */
bool tn_named_is_on(void);

/* Return: NULL: the pool has no room for it. */
void *tn_named_alloc(size_t bytes, size_t align);

/* Is it in there? Then: the usable bytes (0: nothing starts there), and the
 * end of it. Return of the latter: 0, or -errno as of tarn_free(). */
bool tn_named_has(const void *p);
size_t tn_named_bytes(const void *p);
int tn_named_free(void *p);

void tn_named_forked(void);
