/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* A mover, and objects to be moved, in tn_heap_here: for test_move.c and
 * test_move_one.c. */
#include "pool/move.h"

#include <errno.h>
#include <string.h>

#include "pool/fit.h"
#include "tests/lib/tn_busy.h"
#include "tests/lib/tn_movable.h"
#include "tests/lib/tn_test.h"

#define heap tn_heap_here
#define lane tn_heap_lanes
#define SIZE 3 /* 64 bytes */
#define CLASS (TN_CLASS_MOVABLE + SIZE)

static struct tn_mover mover;
static unsigned n_fences, n_pauses;
static int fence_result;
/* called in the middle of a batch, when it is marked and not copied */
static void (*meanwhile)(void);

static int fence(void *arg)
{
	(void)arg;
	n_fences++;
	return fence_result;
}

static void clients(void *arg, struct tn_mover *m)
{
	(void)arg;
	for (unsigned c = 1; c < 4; c++)
		tn_move_look(m, heap.control[c]);
	if (meanwhile)
		meanwhile();
}

static void no_pause(void *arg)
{
	(void)arg;
	n_pauses++;
}

static int setup(void **state)
{
	int r = tn_heap_setup(state);

	tn_mover_init(&mover, &heap.pool, tn_heap_lane(&heap, 0, 0));
	mover.fence = fence;
	mover.clients = clients;
	mover.pause = no_pause;
	n_fences = n_pauses = 0;
	fence_result = 0;
	meanwhile = NULL;
	return r;
}

/* Two slabs, each half full; the handles of the upper one's objects. */
#define SLOTS 256U
#define HALF (SLOTS / 2)
static uint64_t lower[HALF], upper[HALF];

static uint64_t two_half_slabs(void)
{
	uint64_t refs[2 * SLOTS];
	unsigned n[2] = { 0 };

	assert_int_equal(heap.pool.shapes[CLASS].slots, SLOTS);
	for (unsigned i = 0; i < 2 * SLOTS; i++)
		refs[i] = tn_movable_bind(&lane[1],
					  tn_movable_slot(&lane[1], CLASS));
	for (unsigned i = 0; i < 2 * SLOTS; i++) {
		if (i % 2)
			tn_movable_drop(&lane[1], refs[i]);
		else if (i < SLOTS)
			lower[n[0]++] = refs[i];
		else
			upper[n[1]++] = refs[i];
	}
	return tn_movable_place(upper[0]) >> TN_PAGE_SHIFT & ~3ULL;
}

static void all_intact(void)
{
	for (unsigned i = 0; i < HALF; i++) {
		assert_true(tn_movable_intact(lower[i]));
		assert_true(tn_movable_intact(upper[i]));
	}
}

static void free_all(void)
{
	for (unsigned i = 0; i < HALF; i++) {
		tn_movable_drop(&lane[1], lower[i]);
		tn_movable_drop(&lane[1], upper[i]);
	}
	assert_null(tn_heap_not_pristine(&heap.pool));
}
