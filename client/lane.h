/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * A thread's private half of a lane: for each class a magazine of slots that
 * are free to this client alone.
 *
 *   alloc  pop a slot, tag = HELD        free  tag = KEPT, push the slot
 *
 * That is the whole usual path: one store to shared memory, plain, and none
 * that anybody waits for. An empty magazine is filled from a slab, a full one
 * gives its older half back (pool/slab.h).
 *
 * Nothing here is needed by anybody else. A process that is killed takes its
 * magazines with it, and the tags (HELD or KEPT by its client id) tell tarnd
 * what was in them. The memory is private and wiped in forked children
 * (MADV_WIPEONFORK): they find empty magazines, leave the usual path, and
 * there see that they are not the client their parent is.
 *
 * The thread finds its lane by the pool's key, which is a number that no
 * other opening of a pool in this process ever has.
 */
#include "client/pool.h"
#include "pool/cache.h"
#include "pool/slab.h"

#define TN_MAG_SLOTS TN_CLAIM_MAX

struct tn_mag {
	struct tn_slot *top;   /* one past the youngest; 0 before first use */
	struct tn_slot *base;
	struct tn_slot *limit; /* full when top is here; = base: keep none */
	struct tn_slab_cursor cursor;
	uint32_t batch;        /* how many to claim at the next filling */
	uint32_t reserved;
};

struct tarn_lane {
	uint16_t held;         /* tags of this client */
	uint16_t kept;
	uint32_t started;      /* 0 in a forked child, and when at rest */
	struct tn_lane_ref ref;
	struct tarn_pool *pool;
	uint64_t key;
	struct tn_mag mags[TN_N_CLASSES];
	struct tn_slot slots[TN_N_CLASSES][TN_MAG_SLOTS];
};

struct tn_thread {
	uint64_t key;          /* of the pool used last; never 0 */
	struct tarn_lane *lane;
	struct tn_thread_lanes *all;
};
extern __thread struct tn_thread tn_thread
	__attribute__((tls_model("initial-exec")));

/* The lane of this thread in a pool, looked up anew, started if need be; or
 * NULL with errno as of tn_client_check(), EACCES for an observer, ENOMEM,
 * EAGAIN (all lanes in use). Where a call leaves the usual path, it starts
 * here: in a forked process, what the thread remembers is wiped. */
struct tarn_lane *tn_lane_slow(struct tarn_pool *pool);

/* Fills a class's empty magazine; its first use prepares it. Return: 0,
 * -ENOMEM, -EINVAL (no such class). */
int tn_mag_fill(struct tarn_lane *lane, unsigned class);

/* Makes room in a full magazine (or prepares it). Return: 0; 1: it keeps
 * nothing, return the slot to its slab; -EINVAL, -EUCLEAN. */
int tn_mag_room(struct tarn_lane *lane, unsigned class);

/* Frees an object at an offset that is KEPT by the lane's client. Return: 0 or
 * -EUCLEAN. */
int tn_lane_dispose(struct tarn_lane *lane, uint64_t off);

/* Gives everything that the lane keeps back to the slabs. */
void tn_lane_flush(struct tarn_lane *lane);

/* Flushes and ends every lane of a pool that is being closed. */
void tn_lanes_close(struct tarn_pool *pool);
