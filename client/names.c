/* SPDX-License-Identifier: BSD-2-Clause */
/* Caches, roots and refs: what is found by name or number. */
#include <errno.h>
#include <stdlib.h>

#include "client/cache.h"
#include "pool/cache.h"
#include "proto/wire.h"

TARN_API int tarn_cache_open(struct tarn_pool *pool, const char *name,
			     size_t size, size_t align, struct tarn_cache **ret)
{
	char padded[TN_NAME_BYTES];
	struct tarn_cache *cache;
	int r;

	r = tn_client_check(pool, TARN_PRODUCER);
	if (r == 0)
		r = tn_client_name(name, padded);
	if (r < 0)
		return r;
	if (pool->p.kind != TN_KIND_SLAB)
		return -EOPNOTSUPP;
	if (size > TARN_CLASS_MAX || align > TARN_PAGE ||
	    (align && !tn_is_pow2(align)))
		return -EINVAL;
	align = align < 16 ? 16 : align;
	if (tn_round_up(size, align) > TARN_CLASS_MAX)
		return -EINVAL;
	r = tn_cache_make(&pool->p, padded, (uint32_t)size, (uint32_t)align);
	if (r < 0)
		return r;
	cache = malloc(sizeof(*cache));
	if (!cache)
		return -ENOMEM;
	*cache = (struct tarn_cache){ pool, (unsigned)r };
	*ret = cache;
	return 0;
}

TARN_API void tarn_cache_close(struct tarn_cache *cache)
{ free(cache); }

TARN_API tarn_ref tarn_ref_of(const struct tarn_pool *pool, const void *p)
{
	uint64_t off = tn_pool_off(&pool->p, p);

	if (!pool->key || off >= pool->p.geo.data_bytes)
		return TARN_REF_NONE;
	return tn_ref_make(&pool->p, off);
}

TARN_API void *tarn_ptr(const struct tarn_pool *pool, tarn_ref ref)
{
	if (!pool->key || !tn_ref_ok(&pool->p, ref))
		return NULL;
	return pool->p.data + tn_ref_off(ref);
}

TARN_API int tarn_root_set(struct tarn_pool *pool, const char *name,
			   tarn_ref ref)
{
	char padded[TN_NAME_BYTES];
	struct tn_root *root;
	uint64_t off;
	int r;

	r = tn_client_check(pool, TARN_PRODUCER);
	if (r == 0)
		r = tn_client_name(name, padded);
	if (r < 0)
		return r;
	if (ref && !tn_ref_place(&pool->p, ref, &off))
		return tn_ref_is_handle(ref) ? -ESTALE : -EINVAL;
	root = tn_root_find(&pool->p, padded, ref != TARN_REF_NONE);
	if (!root)
		return ref ? -ENOSPC : 0;
	/* HB> root.ref: what the root leads to has been written */
	tn64_store_release(&root->ref, ref);
	return 0;
}

TARN_API tarn_ref tarn_root_get(const struct tarn_pool *pool, const char *name)
{
	char padded[TN_NAME_BYTES];
	struct tn_root *root;
	uint64_t ref, off;

	if (!pool->key || tn_client_name(name, padded) < 0)
		return TARN_REF_NONE;
	root = tn_root_find((struct tn_pool *)&pool->p, padded, false);
	if (!root)
		return TARN_REF_NONE;
	/* HB< root.ref */
	ref = tn64_load_acquire(&root->ref);
	return tn_ref_place(&pool->p, ref, &off) ? ref : TARN_REF_NONE;
}
