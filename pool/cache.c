/* SPDX-License-Identifier: BSD-2-Clause */
#include "pool/cache.h"

#include <errno.h>
#include <string.h>

static_assert(sizeof(struct tn_root) == sizeof(struct tn_cache_entry) &&
	      offsetof(struct tn_root, name) ==
	      offsetof(struct tn_cache_entry, name),
	      "roots and caches are tables of the same build");

/*
 * The entry of a name in a table of @n, or NULL. A maker who dies after the
 * key leaves an entry without its text; the next one who comes by the name
 * writes the same text there.
 */
static struct tn_root *find(struct tn_root *table, unsigned n,
			    const char *name, bool make)
{
	uint64_t hash = tn_hash_name(name), key;

	for (unsigned i = 0; i < n; i++) {
		struct tn_root *e = &table[(hash + i) % n];

		key = tn64_load_relaxed(&e->key);
		if (!key && !make)
			return NULL;
		if (!key && tn64_cas_relaxed(&e->key, &key, hash))
			key = hash;
		if (key != hash)
			continue;
		if (make && !e->name[0])
			strncpy(e->name, name, sizeof(e->name) - 1);
		return e;
	}
	return NULL;
}

struct tn_root *tn_root_find(struct tn_pool *pool, const char *name, bool make)
{ return find(pool->roots, TN_N_ROOTS, name, make); }

int tn_cache_make(struct tn_pool *pool, const char *name, uint32_t bytes,
		  uint32_t align)
{
	struct tn_cache_entry *e = (void *)find((void *)pool->caches,
						TN_N_CACHES, name, bytes);
	uint64_t shape = (uint64_t)align << 32 | bytes, was = 0;
	int class;

	if (!e)
		return bytes ? -ENOSPC : -ENOENT;
	if (!bytes && !tn64_load_relaxed(&e->shape))
		return -ENOENT;
	if (bytes && !tn64_cas_relaxed(&e->shape, &was, shape) && was != shape)
		return -EEXIST;
	class = (int)TN_CLASS_CACHE + (int)(e - pool->caches);
	return tn_cache_shape(pool, (unsigned)class) ? class : -EUCLEAN;
}

const struct tn_shape *tn_cache_shape(struct tn_pool *pool, unsigned class)
{
	static __thread struct tn_shape mine;
	struct tn_shape *s = &pool->shapes[class];
	uint32_t bytes, align, unknown = 0;
	uint64_t shape;

	if (class >= TN_N_CLASSES)
		return NULL;
	if (tn_shape_known(s))
		return s;
	shape = tn64_load_relaxed(&pool->caches[class - TN_CLASS_CACHE].shape);
	bytes = (uint32_t)shape;
	align = (uint32_t)(shape >> 32);
	if (!bytes || bytes > TN_CLASS_BYTES_MAX || !tn_is_pow2(align) ||
	    align < 16 || align > TN_PAGE_BYTES)
		return NULL;
	bytes = (uint32_t)tn_round_up(bytes, align);
	/* One thread learns; who comes in the middle has a copy of his own. */
	if (!tn32_cas_relaxed(&s->learning, &unknown, 1))
		s = &mine;
	tn_shape_init(s, bytes);
	return s;
}
