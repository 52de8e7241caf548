/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * What a pool knows by name: caches and roots. Both are tables of entries
 * found by the hash of the name, from the place that the hash gives onwards.
 * One compare-and-swap makes an entry; it is never unmade. The text of the
 * name beside it is for people: two names of one 64-bit hash are one name.
 */
#include "pool/pool.h"

/**
 * tn_cache_make() - find or make a named cache
 * @bytes, @align: of an object; @bytes 0: it must exist
 *
 * Return: its class; -ENOENT, -EEXIST (other size or alignment), -ENOSPC.
 */
int tn_cache_make(struct tn_pool *pool, const char *name, uint32_t bytes,
		  uint32_t align);

/** tn_cache_shape() - the shape of a class, or NULL: there is none. Learns
 *  of caches that other processes made. */
const struct tn_shape *tn_cache_shape(struct tn_pool *pool, unsigned class);

/* Slabs of handles lie in the handles section, and nothing else does. */
static inline bool tn_class_fits(const struct tn_pool *pool, unsigned class,
				 uint64_t page)
{ return (class == TN_CLASS_HANDLE) == (page >= pool->geo.handle_page); }

/** tn_root_find() - the entry of a root's name, or NULL; @make: make it if
 *  there is room */
struct tn_root *tn_root_find(struct tn_pool *pool, const char *name, bool make);
