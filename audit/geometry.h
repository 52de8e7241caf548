/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Where things lie, worked out a second time from the prose of the tables. */
#include "proto/layout.h"

enum tn_audit_section {
	TN_AUDIT_AT_HEADER,
	TN_AUDIT_AT_ROOTS,
	TN_AUDIT_AT_CACHES,
	TN_AUDIT_AT_CLIENTS,
	TN_AUDIT_AT_DONE,
	TN_AUDIT_AT_FIT,
	TN_AUDIT_AT_GROUPS,
	TN_AUDIT_AT_HINTS,
	TN_AUDIT_AT_AREAS,
	TN_AUDIT_AT_PAGES,
	TN_AUDIT_AT_TAGS,
	TN_AUDIT_AT_TOUCHED_AREAS,
	TN_AUDIT_AT_TOUCHED_PAGES,
	TN_AUDIT_AT_SHARES,
	TN_AUDIT_AT_BACKS,
	TN_AUDIT_AT_HANDLES,
	TN_AUDIT_AT_END,
};

/* in control: after one page of header; all are whole pages long */
#define TN_AUDIT_AT_LANES 4096U
#define TN_AUDIT_AT_PINS (TN_AUDIT_AT_LANES + TN_N_LANES * 64U)
#define TN_AUDIT_AT_LONG_PINS (TN_AUDIT_AT_PINS + TN_N_LANES * 64U * 8)
#define TN_AUDIT_AT_JOURNAL (TN_AUDIT_AT_LONG_PINS + TN_N_LONG_PINS * 16U)
#define TN_AUDIT_CONTROL_BYTES (TN_AUDIT_AT_JOURNAL + TN_N_MOVES * 32U)
#define TN_AUDIT_BANDS 32U        /* of tags, in an area */
#define TN_AUDIT_PAGE_HANDLES 256U

struct tn_audit_geo {
	uint64_t n_pages;     /* of data */
	uint64_t handle_page; /* the first one behind it: of handles */
	uint64_t end_page;
	uint64_t n_areas;     /* of both */
	uint64_t n_handles;
	uint64_t n_shares;
	uint64_t area_words; /* of a bit an area, to whole cache lines */
	uint64_t at[TN_AUDIT_AT_END + 1];
};

/* A slab of some class. */
struct tn_audit_cut {
	uint32_t bytes; /* of a slot */
	uint32_t pages;
	uint32_t slots;
};

/** tn_audit_geo_init() - false: there is no pool of that size */
bool tn_audit_geo_init(struct tn_audit_geo *geo, uint64_t data_bytes);

/** tn_audit_cut_class() - how slabs of a size class are cut, of the
 *  same class for what can be moved, or TN_CLASS_HANDLE */
struct tn_audit_cut tn_audit_cut_class(unsigned class);

/** tn_audit_cut_cache() - how those of a cache are; false: that is no shape */
bool tn_audit_cut_cache(uint64_t shape, struct tn_audit_cut *ret);

/** tn_audit_has() - are these pages of data, or all of handles? */
static inline bool tn_audit_has(const struct tn_audit_geo *geo, uint64_t page,
				uint64_t n)
{
	uint64_t end = page < geo->handle_page ? geo->n_pages : geo->end_page;

	return page < end && n <= end - page;
}

/** tn_audit_run_align() - what the first page of a run is a multiple of */
uint64_t tn_audit_run_align(uint64_t pages);
