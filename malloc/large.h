/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Objects with a mapping of their own: what is too large for the home heap,
 * and what it has no room for.
 */
#include <stdbool.h>
#include <stddef.h>

/* Zeroed; @align a power of two. Return: NULL: no memory. */
void *tn_large_alloc(size_t bytes, size_t align);

/* The size of the mapping; 0: there is none that starts at @p. */
size_t tn_large_bytes(const void *p);

/* Return: false: there is none, or another thread was faster. */
bool tn_large_free(void *p);

/* Its pages stay the same ones; the place may not. Return: NULL: no memory,
 * and all is as before. */
void *tn_large_resize(void *p, size_t bytes);
