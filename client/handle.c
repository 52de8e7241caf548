/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Handles: making and freeing them. The work is done in pool/handle.c; how an
 * object is used that has one: client/pin.c.
 */
#include "tarn/handle.h"

#include <errno.h>

#include "client/lane.h"
#include "pool/fit.h"
#include "pool/handle.h"

static void *take(struct tn_rack *rack, unsigned class)
{
	struct tn_mag *m = &rack->mags[class];
	int r = m->top == m->base ? tn_lane_fill(rack, class) : 0;

	return r < 0 ? tn_null_errno(r) : tn_rack_pop(rack, m);
}

/* An object, HELD; its place or 0, with errno. */
static int take_object(struct tarn_pool *pool, struct tn_rack *rack,
		       size_t size, uint64_t *ret_off)
{
	const unsigned among = TN_AMONG(TN_GROUP_MOVABLE);
	uint64_t pages = tn_div_up(size, TN_PAGE_BYTES), page;
	void *p;
	int r;

	if (size <= pool->class_max) {
		p = take(rack, TN_CLASS_MOVABLE + tn_class_of(size));
		*ret_off = p ? tn_pool_off(rack->pool, p) : 0;
		return p ? 0 : -errno;
	}
	r = tn_lane_run(rack, pages, rack->pool->policy | among, &page);
	*ret_off = r < 0 ? 0 : page << TN_PAGE_SHIFT;
	return r;
}

/* What is HELD at @off goes back. */
static void put_back(struct tn_rack *rack, uint64_t off)
{
	struct tn_object obj;

	if (tn_object_find(rack->pool, off, &obj) < 0)
		return;
	tn16_store_relaxed(obj.tag, rack->kept);
	tn_rack_dispose_movable(rack, rack->pool->data + off, &obj);
}

/* A handle for the object at @to; 0 with errno. */
static tarn_ref bind(struct tn_rack *rack, uint64_t to)
{
	struct tn_object obj, entry;
	uint64_t ref, off;
	void *h;

	if (tn_object_find(rack->pool, to, &obj) < 0) {
		errno = EUCLEAN;
		return TARN_REF_NONE;
	}
	do {
		h = take(rack, TN_CLASS_HANDLE);
		if (!h)
			return TARN_REF_NONE;
		off = tn_pool_off(rack->pool, h);
		ref = tn_handle_bind(rack->pool, off, &obj, to);
		/* worn after some thousand millions of lives */
		if (!ref && tn_object_find(rack->pool, off, &entry) == 0)
			tn16_store_relaxed(entry.tag, TN_TAG_POOL);
	} while (!ref);
	return ref;
}

TARN_API tarn_ref tarn_halloc(struct tarn_pool *pool, size_t size)
{
	struct tarn_lane *lane = tn_thread.lane;
	tarn_ref ref;
	uint64_t off;
	int r;

	if (tn_unlikely(tn_thread.key != pool->key || !lane->started ||
			pool->p.role != TARN_PRODUCER || !size ||
			size > pool->p.geo.data_bytes / 2)) {
		r = tn_client_check(pool, TARN_PRODUCER);
		if (r == 0 && (!size || size > pool->p.geo.data_bytes / 2))
			r = -EINVAL;
		if (r < 0) {
			errno = -r;
			return TARN_REF_NONE;
		}
		lane = tn_lane_slow(pool);
		if (!lane)
			return TARN_REF_NONE;
	}
	r = take_object(pool, &lane->rack, size, &off);
	if (r < 0) {
		errno = -r;
		return TARN_REF_NONE;
	}
	ref = bind(&lane->rack, off);
	if (!ref)
		put_back(&lane->rack, off);
	return ref;
}

TARN_API int tarn_hfree(struct tarn_pool *pool, tarn_ref handle)
{
	struct tarn_lane *lane;
	struct tn_object obj;
	uint64_t off;
	int r;

	if (!handle)
		return 0;
	r = tn_client_check(pool, TARN_CONSUMER);
	if (r < 0)
		return r;
	if (!tn_ref_is_handle(handle))
		return -EINVAL;
	lane = tn_lane_slow(pool);
	if (!lane)
		return -errno;
	if (!tn_ref_place(&pool->p, handle, &off) ||
	    tn_object_find(&pool->p, off, &obj) < 0)
		return -ESTALE;
	r = tn_object_release(&pool->p, &lane->rack.ref, off, &obj);
	if (r < 0)
		return r == -EALREADY ? -ESTALE : r;
	return tn_rack_dispose(&lane->rack, pool->p.data + off, &obj);
}
