/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* The mover (pool/move.h), as tarnd has it. See mover.c. */
#include "pool/move.h"

struct pool;

/** mover_init() - get ready to move what is in a pool, on the reaper's thread,
 *  which alone does that */
void mover_init(struct tn_mover *mover, struct pool *pool);
