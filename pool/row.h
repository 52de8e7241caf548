/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Rows of the page map: 64 pages each, a bit a page, 1 = claimed. Claiming and
 * releasing are steps (pool/step.h), so a death in the middle leaves no doubt.
 */
#include "pool/step.h"

static inline tn_a128 *tn_row_of(const struct tn_pool *pool, uint64_t row)
{ return &pool->areas[row / TN_AREA_ROWS].row[row % TN_AREA_ROWS]; }

/* The map alone: a look, which the compare-and-swap will check. */
static inline uint64_t tn_row_map(const struct tn_pool *pool, uint64_t row)
{ return tn64_load_relaxed(&tn_row_of(pool, row)->lo); }

/**
 * tn_row_claim() - set bits of a row that are all clear
 * @progress: as of tn_step_begin(): which row of the run this is
 *
 * Return: true, or false if any of the bits is set.
 */
bool tn_row_claim(const struct tn_pool *pool, const struct tn_lane_ref *l,
		  uint64_t row, uint64_t mask, uint64_t progress);

/** tn_row_release() - clear bits of a row that are ours; -EUCLEAN if they
 *  are not all set, which only a damaged pool can show */
int tn_row_release(const struct tn_pool *pool, const struct tn_lane_ref *l,
		   uint64_t row, uint64_t mask, uint64_t progress);
