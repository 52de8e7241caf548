/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * A mapped pool, as one process sees it: where each section lies, and the
 * private copy of what may not be believed twice. tarnd and the clients have
 * one each. Nothing in here is shared.
 */
#include "pool/geometry.h"
#include "pool/shape.h"

struct tn_pool {
	/* what the fast paths read, first */
	uint8_t *data;             /* in tarnd read-only: it looks at words
	                            * that dead clients linked objects to */
	struct tn_page *pages;
	tn_a16 *tags;
	struct tn_shape *shapes;   /* TN_N_CLASSES, private */
	struct tn_handle *handles;
	uint32_t n_handles;        /* as of .geo */
	uint32_t n_writable;       /* ... or 0, if the role only reads */
	uint64_t must_fence;       /* 1: membarrier does not do it for us */

	uint8_t *meta;
	struct tn_header *header;
	struct tn_root *roots;
	struct tn_cache_entry *caches;
	struct tn_client *clients;
	tn_a64 *done;              /* [slot * TN_N_LANES + lane] */
	tn_a8 *fit;
	tn_a8 *groups;             /* enum tn_group of each area */
	tn_a64 *hints;             /* [class * hint_words + area / 64] */
	struct tn_area *areas;
	tn_a64 *touched_areas;     /* see tn_touch() in pool/lane.h */
	tn_a64 *touched_pages;
	struct tn_share *shares;
	tn_a32 *backs;             /* as tags */
	struct tn_geo geo;

	uint64_t mark;
	uint32_t kind, policy, flags, role;
};

/**
 * tn_pool_format() - make zeroed files a pool
 * @meta: of geo->meta_bytes, zero, mapped writable
 * @name: checked already
 * @mark: 16 random bits, not 0: refs carry it
 *
 * Writes the header, and claims the pages that the last area lacks.
 */
void tn_pool_format(void *meta, const struct tn_geo *geo, const char *name,
		    uint32_t kind, uint32_t policy, uint32_t flags,
		    uint64_t mark);

/** tn_pool_write_header() - the header alone: as it was made, but for the
 *  poison word */
void tn_pool_write_header(void *meta, const struct tn_geo *geo,
			  const char *name, uint32_t kind, uint32_t policy,
			  uint32_t flags, uint64_t mark);

/**
 * tn_pool_attach() - look at mapped files as a pool
 * @pool: filled in; pool->shapes must point to TN_N_CLASSES entries
 * @meta, @data: mapped
 * @geo: computed here, from what the sender of the files said
 * @role: TN_PRODUCER, ...: pool/ writes nothing that the role forbids
 *
 * Return: 0; -EUCLEAN: no pool, or of another size; -EPROTONOSUPPORT: a
 *         layout of another major version.
 */
int tn_pool_attach(struct tn_pool *pool, void *meta, void *data,
		   const struct tn_geo *geo, uint32_t role);

static inline uint64_t tn_pool_off(const struct tn_pool *pool, const void *p)
{ return (uint64_t)((const uint8_t *)p - pool->data); }

/* Refs to places in data: mark << 48 | offset. Those to handles: see
 * proto/layout.h. */
static inline uint64_t tn_ref_make(const struct tn_pool *pool, uint64_t off)
{ return pool->mark << 48 | off; }
static inline bool tn_ref_ok(const struct tn_pool *pool, uint64_t ref)
{
	return ref >> 48 == pool->mark &&
	       (ref & 0xffffffffffffULL) < pool->geo.data_bytes;
}
static inline uint64_t tn_ref_off(uint64_t ref)
{ return ref & 0xffffffffffffULL; }

static inline bool tn_ref_is_handle(uint64_t ref)
{ return ref & TN_HANDLE_REF; }

/* Is it a handle's that is not stale? */
static inline bool tn_ref_handle_ok(const struct tn_pool *pool, uint64_t ref)
{
	uint64_t idx = TN_HANDLE_IDX(ref);

	return idx < pool->geo.n_handles &&
	       tn64_load_relaxed(&pool->handles[idx].ref) == ref &&
	       TN_HANDLE_STATE(tn64_load_relaxed(
		       &pool->handles[idx].place)) != TN_HANDLE_FREE;
}

/* Where a ref leads in page space. Return: false: nowhere (any more). */
static inline bool tn_ref_place(const struct tn_pool *pool, uint64_t ref,
				uint64_t *ret)
{
	if (tn_ref_is_handle(ref)) {
		*ret = tn_geo_handle_off(&pool->geo, TN_HANDLE_IDX(ref));
		return tn_ref_handle_ok(pool, ref);
	}
	*ret = tn_ref_off(ref);
	return tn_ref_ok(pool, ref);
}

/* The ref to a place in page space. */
static inline uint64_t tn_ref_to(const struct tn_pool *pool, uint64_t off)
{
	uint64_t handles = pool->geo.handle_page << TN_PAGE_SHIFT;

	if (off < handles)
		return tn_ref_make(pool, off);
	return tn64_load_relaxed(&pool->handles[(off - handles) >> 4].ref);
}

/** tn_pool_fence() - between our store and our look at what tarnd writes: the
 *  light side of its membarrier (P2 of move.c, "give" in hold.c) */
static inline void tn_pool_fence(const struct tn_pool *pool)
{
	tn_fence_compiler();
	if (tn_unlikely(pool->must_fence))
		tn_fence_full();
}
