/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Having objects moved by tarnd, one by one. See move.c. */
#include <stdbool.h>
#include <stdint.h>

struct tarn_lane;
struct tarn_pool;

/* Handles, the first ones that were noted. */
struct tn_move_list {
	uint32_t n;
	uint64_t refs[64];
};

/** tn_move_wanted() - does the environment say TARN_DEBUG=move? */
bool tn_move_wanted(void);

/** tn_move_note_deref() - an object was deref'ed in the lane's section */
void tn_move_note_deref(struct tarn_lane *lane, uint64_t handle);

/** tn_move_apart() - it is going to stay: to where that is in nobody's way, if
 *  that can be had. errno is as it was */
void tn_move_apart(struct tarn_pool *pool, uint64_t handle);

/** tn_move_away() - TARN_DEBUG=move: it was unpinned. Whatever comes of it,
 *  errno is as it was */
void tn_move_away(struct tarn_pool *pool, uint64_t handle);

/** tn_move_away_derefed() - ... or a section was left */
void tn_move_away_derefed(struct tarn_pool *pool, struct tarn_lane *lane);
