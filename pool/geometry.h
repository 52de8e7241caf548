/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Where everything lies, from the pool's size alone. tarnd and each client
 * compute it for themselves and believe no offset that stands in a file.
 */
#include "base/bits.h"
#include "proto/layout.h"

struct tn_geo {
	uint64_t data_bytes;
	uint64_t n_pages;       /* of data */
	uint64_t n_data_areas;
	uint64_t n_areas;       /* of data and handles */
	uint64_t n_handles;
	uint64_t handle_page;   /* the first page of handles */
	uint64_t hint_words;    /* 64-bit words of one class's area hints */
	uint64_t touched_words; /* ... of one client's touched areas */
	/* offsets in meta */
	uint64_t roots, caches, clients, done, fit, groups, hints;
	uint64_t areas, pages, tags, touched_areas, touched_pages, shares;
	uint64_t backs, handles;
	uint64_t n_shares;      /* a power of two */
	uint64_t meta_bytes;
	/* offsets in control */
	uint64_t lanes, pins, long_pins, journal;
	uint64_t control_bytes;
};

/**
 * tn_geo_init() - the geometry of a pool of @data_bytes
 *
 * Return: 0, or -EINVAL: not a multiple of a page, or not between
 *         TN_POOL_BYTES_MIN and TN_POOL_BYTES_MAX.
 */
int tn_geo_init(struct tn_geo *geo, uint64_t data_bytes);

/* Are these pages of data, or all of handles? */
static inline bool tn_geo_has(const struct tn_geo *geo, uint64_t page,
			      uint64_t n)
{
	uint64_t end = page < geo->handle_page ? geo->n_pages
					       : geo->n_areas << TN_AREA_SHIFT;

	return page < end && n <= end - page;
}

/* The place of a handle, as if its slab lay behind data. */
static inline uint64_t tn_geo_handle_off(const struct tn_geo *geo, uint64_t idx)
{ return (geo->handle_page << TN_PAGE_SHIFT) + (idx << 4); }

/* The index of slot @slot's tag in a slab at @page; a run's is that of slot
 * 0. See the bands in proto/layout.h. */
static inline uint64_t tn_tag_index(uint64_t page, uint64_t slot)
{
	uint64_t area = page >> TN_AREA_SHIFT;
	uint64_t in_area = page & (TN_AREA_PAGES - 1);

	return (area << TN_AREA_TAGS_SHIFT) + (in_area << TN_BAND_TAGS_SHIFT) +
	       (slot >> TN_BAND_SLOTS_SHIFT << TN_BAND_SHIFT) +
	       (slot & ((1U << TN_BAND_SLOTS_SHIFT) - 1));
}
