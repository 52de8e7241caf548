/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* A pool in this process's own memory, with clients that are only names: for
 * tests of pool/, which needs no more. */
#include "pool/hold.h"
#include "pool/recover.h"
#include "pool/run.h"
#include "pool/slab.h"

#define TN_HEAP_CLIENTS 4

struct tn_heap {
	struct tn_pool pool;
	struct tn_shape shapes[TN_N_CLASSES];
	uint8_t *control[TN_HEAP_CLIENTS + 1]; /* the last one is tarnd's */
};

/* A new pool of @bytes, with clients 1 to TN_HEAP_CLIENTS attached. */
void tn_heap_init(struct tn_heap *heap, uint64_t bytes, unsigned policy);
void tn_heap_fini(struct tn_heap *heap);

/* A lane, started. Client 0 stands for tarnd. */
struct tn_lane_ref tn_heap_lane(struct tn_heap *heap, uint32_t client,
				uint32_t index);

/* Recover a client to the end. Return: what it held, in objects. */
uint64_t tn_heap_recover(struct tn_heap *heap, uint32_t client);

/* NULL if the truth in meta (rows, words, tags) is that of a new pool, else
 * what is not; the text is valid until the next call. */
const char *tn_heap_not_pristine(const struct tn_pool *pool);

/*
 * A heap of 8 MiB for one test, with a lane of each of clients 1 to 3:
 * HEAP_TEST(name) in the list of tests.
 */
extern struct tn_heap tn_heap_here;
extern struct tn_lane_ref tn_heap_lanes[4];
int tn_heap_setup(void **state);
int tn_heap_teardown(void **state);
#define HEAP_TEST(name) \
	cmocka_unit_test_setup_teardown(name, tn_heap_setup, tn_heap_teardown)

uint16_t tn_heap_tag(struct tn_heap *heap, uint64_t off);
