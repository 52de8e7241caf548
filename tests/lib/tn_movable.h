/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Objects that have handles, in tn_heap_here. Each has its ref in it. */
#include "pool/handle.h"
#include "tests/lib/tn_heap.h"

/* A slot of a class, HELD by the lane's client. Its place. */
uint64_t tn_movable_slot(const struct tn_lane_ref *l, unsigned class);

/* A handle of a client's for the object at @off. Its ref. */
uint64_t tn_movable_bind(const struct tn_lane_ref *l, uint64_t off);

/* Where the object is; is its ref still in it? */
uint64_t tn_movable_place(uint64_t ref);
bool tn_movable_intact(uint64_t ref);

/* Both go back. */
void tn_movable_drop(const struct tn_lane_ref *l, uint64_t ref);
