/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* The memory of whole pools: had from the start, and given back at the end. See
 * pages.c. */
#include "daemon/pool.h"

/**
 * pages_reserve() - have all memory that a pool may need
 * @pool: nobody has it yet; no other work is under way for it
 *
 * Calls @done(@pool, 0 or -ENOMEM, -ENOSPC, -ECANCELED) later, from
 * reaper_dispatch().
 */
void pages_reserve(struct pool *pool, struct reaper *reaper,
		   void (*done)(struct pool *pool, int result));

/** pages_reserve_now() - the same at once: 0 or -errno; for tarnd's start */
int pages_reserve_now(struct pool *pool);

/** pages_few() - are there so few in memory that it is done at once? */
bool pages_few(const struct pool *pool);

/**
 * pages_release() - give all of it back, whoever has it mapped
 *
 * Calls @done(@pool, 0) when that is so: at once, if it is little or there is
 * no @reaper, or later.
 */
void pages_release(struct pool *pool, struct reaper *reaper,
		   void (*done)(struct pool *pool, int result));
