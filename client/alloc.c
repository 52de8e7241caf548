/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tarn_alloc and tarn_free, and their family.
 *
 * The usual paths are tarn_alloc(), tarn_cache_alloc() and free_slot(), which
 * the compiler puts into tarn_free(), and free_far(): no call, no locked
 * instruction, one plain store to shared memory each. All that is unusual is
 * in functions of its own that are kept out of line.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/cache.h"
#include "client/lane.h"
#include "pool/hold.h"
#include "pool/run.h"

/* Allocation */

static tn_cold void *alloc_slow(struct tarn_pool *pool, unsigned class)
{
	int r = tn_client_check(pool, TARN_PRODUCER);
	struct tarn_lane *lane;
	struct tn_mag *m;

	if (r < 0)
		return tn_null_errno(r);
	lane = tn_lane_slow(pool);
	if (!lane)
		return NULL;
	m = &lane->rack.mags[class];
	r = m->top == m->base ? tn_lane_fill(&lane->rack, class) : 0;
	if (r < 0)
		return tn_null_errno(r);
	return tn_rack_pop(&lane->rack, m);
}

static inline void *alloc_class(struct tarn_pool *pool, unsigned class)
{
	struct tarn_lane *lane = tn_thread.lane;
	struct tn_mag *m;

	if (tn_unlikely(tn_thread.key != pool->key))
		return alloc_slow(pool, class);
	m = &lane->rack.mags[class];
	if (tn_unlikely(m->top == m->base))
		return alloc_slow(pool, class);
	return tn_rack_pop(&lane->rack, m);
}

/* Whole pages: too large for slabs, or a pool that has none. */
static tn_cold void *alloc_run(struct tarn_pool *pool, uint64_t pages,
				unsigned policy)
{
	struct tarn_lane *lane;
	uint64_t page;
	int r;

	r = tn_client_check(pool, TARN_PRODUCER);
	if (r < 0)
		return tn_null_errno(r);
	if (!pages || pages > pool->p.geo.n_pages / 2)
		return tn_null_errno(-EINVAL);
	lane = tn_lane_slow(pool);
	if (!lane)
		return NULL;
	r = tn_lane_run(&lane->rack, pages, policy, &page);
	if (r < 0)
		return tn_null_errno(r);
	return pool->p.data + (page << TN_PAGE_SHIFT);
}

/* One that this thread keeps, if any place will do; or another. */
static inline void *alloc_pages(struct tarn_pool *pool, uint64_t pages,
				unsigned policy)
{
	void *p = NULL;

	if (tn_likely(tn_thread.key == pool->key && policy == pool->p.policy))
		p = tn_rack_pop_run(&tn_thread.lane->rack, pages);
	return tn_likely(p) ? p : alloc_run(pool, pages, policy);
}

static void *alloc_bytes(struct tarn_pool *pool, uint64_t bytes)
{
	if (!bytes || bytes > pool->p.geo.data_bytes) {
		int r = tn_client_check(pool, TARN_PRODUCER);

		return tn_null_errno(r < 0 ? r : -EINVAL);
	}
	return alloc_pages(pool, tn_div_up(bytes, TN_PAGE_BYTES),
			   pool->p.policy);
}

TARN_API void *tarn_alloc(struct tarn_pool *pool, size_t size)
{
	/* 0, too: one comparison for all that is not a slab's */
	if (tn_unlikely(size - 1 >= pool->class_max))
		return alloc_bytes(pool, size);
	return alloc_class(pool, tn_class_of(size));
}

TARN_API void *tarn_alloc_aligned(struct tarn_pool *pool, size_t align,
				  size_t size)
{
	unsigned class, shift = align ? (unsigned)__builtin_ctzll(align) : 0;

	if (!tn_is_pow2(align) || align > TN_AREA_BYTES)
		return tn_null_errno(-EINVAL);
	if (align <= 16)
		return tarn_alloc(pool, size);
	/* a run starts at a multiple of its size, rounded up */
	if (align > TN_PAGE_BYTES && size)
		return alloc_bytes(pool, size > align ? size : align);
	if (size - 1 >= pool->class_max)
		return alloc_bytes(pool, size);
	class = tn_class_of(size);
	while (tn_shape_align(&pool->shapes[class]) < shift)
		class++; /* every eighth size is a power of two */
	return alloc_class(pool, class);
}

TARN_API void *tarn_zalloc(struct tarn_pool *pool, size_t size)
{
	void *p = tarn_alloc(pool, size);

	return p ? memset(p, 0, size) : NULL;
}

TARN_API void *tarn_cache_alloc(struct tarn_cache *cache)
{ return alloc_class(cache->pool, cache->class); }

TARN_API void *tarn_run_alloc(struct tarn_pool *pool, size_t pages,
			      enum tarn_policy policy)
{
	if (policy && (policy < TARN_FIRST_FIT || policy > TARN_WORST_FIT))
		return tn_null_errno(-EINVAL);
	return alloc_pages(pool, pages, policy ? policy : pool->p.policy);
}

/* Free */

static int misuse(const struct tarn_pool *pool, int r)
{
	if (pool->p.flags & TARN_POOL_ABORT_ON_MISUSE &&
	    (r == -EINVAL || r == -EALREADY || r == -EPERM))
		abort();
	return r;
}

int tn_lane_dispose(struct tarn_lane *lane, uint64_t off)
{
	struct tn_object obj;
	int r = tn_object_find(&lane->pool->p, off, &obj);

	if (r < 0)
		return r;
	return tn_rack_dispose(&lane->rack, lane->pool->p.data + off, &obj);
}

static tn_cold int free_slow(struct tarn_pool *pool, void *p, int class)
{
	struct tarn_lane *lane;
	struct tn_object obj;
	int r;

	if (!p)
		return 0;
	lane = tn_lane_slow(pool);
	if (!lane)
		return -errno;
	r = tn_object_find(&pool->p, tn_pool_off(&pool->p, p), &obj);
	if (r == 0 && class != TN_ANY_CLASS &&
	    (class == TN_RUNS_ONLY ? !obj.pages
				: obj.pages || (int)obj.class != class))
		r = -EINVAL;
	if (r == 0)
		r = tn_object_release(&pool->p, &lane->rack.ref,
				      tn_pool_off(&pool->p, p), &obj);
	if (r < 0)
		return misuse(pool, r);
	return tn_rack_dispose(&lane->rack, p, &obj);
}

/* A run that is kept, or none. */
static __attribute__((__noinline__))
int free_run(struct tarn_pool *pool, void *p, int class)
{
	if (tn_likely(tn_thread.key == pool->key) && class < 0 &&
	    tn_likely(tn_rack_push_run(&tn_thread.lane->rack, &pool->p, p)))
		return 0;
	return free_slow(pool, p, class);
}

/* The object is in another slab than the last one was. */
static __attribute__((__noinline__))
int free_far(struct tarn_pool *pool, void *p, int class)
{
	struct tarn_lane *lane = tn_thread.lane;
	uint64_t page;

	if (tn_likely(tn_thread.key == pool->key) &&
	    tn_likely(tn_rack_push_far(&lane->rack, &pool->p, p, class,
				       &page)))
		return tn_rack_pushed(&lane->rack, page);
	return free_run(pool, p, class);
}

/* The usual paths, if this is the pool that the thread used last; else all of
 * it is looked at again, and said what is wrong. */
static inline __attribute__((always_inline))
int free_slot(struct tarn_pool *pool, void *p, int class)
{
	if (tn_likely(tn_thread.key == pool->key) &&
	    tn_likely(tn_rack_push_near(&tn_thread.lane->rack, p, class)))
		return 0;
	return free_far(pool, p, class);
}

TARN_API int tarn_free(struct tarn_pool *pool, void *p)
{ return free_slot(pool, p, TN_ANY_CLASS); }

TARN_API int tarn_cache_free(struct tarn_cache *cache, void *p)
{ return free_slot(cache->pool, p, (int)cache->class); }

TARN_API int tarn_run_free(struct tarn_pool *pool, void *p)
{ return free_run(pool, p, TN_RUNS_ONLY); }

/* Size */

static int find_at(const struct tarn_pool *pool, const void *p,
		   struct tn_object *ret)
{
	if (!p || !pool->key)
		return -EINVAL;
	return tn_object_find((struct tn_pool *)&pool->p,
			      tn_pool_off(&pool->p, p), ret);
}

TARN_API size_t tarn_usable_bytes(const struct tarn_pool *pool, const void *p)
{
	struct tn_object obj;

	if (find_at(pool, p, &obj) < 0 || !tn16_load_relaxed(obj.tag))
		return 0;
	return obj.bytes;
}

TARN_API void *tarn_realloc(struct tarn_pool *pool, void *p, size_t size)
{
	struct tn_object obj;
	uint16_t t;
	void *to;
	int r;

	if (!p)
		return tarn_alloc(pool, size);
	r = tn_client_check(pool, TARN_PRODUCER);
	if (r < 0 || !size)
		return tn_null_errno(r < 0 ? r : -EINVAL);
	r = find_at(pool, p, &obj);
	if (r < 0)
		return tn_null_errno(misuse(pool, r));
	t = tn16_load_relaxed(obj.tag);
	if (t != (TN_TAG_HELD | pool->client))
		return tn_null_errno(misuse(pool, !t || TN_TAG_FORM(t) ==
					 TN_TAG_KEPT ? -EALREADY : -EPERM));
	/* it stays if it fits, and does not waste half of it or more */
	if (size <= obj.bytes && (size > obj.bytes / 2 || obj.bytes <= 16))
		return p;
	to = tarn_alloc(pool, size);
	if (!to)
		return NULL;
	memcpy(to, p, size < obj.bytes ? size : obj.bytes);
	tarn_free(pool, p);
	return to;
}
