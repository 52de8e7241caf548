/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * A thread's lane in a pool: the rack of magazines that it allocates from
 * (pool/magazine.h), and whose it is.
 *
 * The memory is private and wiped in forked children (MADV_WIPEONFORK): they
 * find empty magazines, leave the usual path, and there see that they are not
 * the client their parent is.
 *
 * The thread finds its lane by the pool's key, which is a number that no
 * other opening of a pool in this process ever has.
 */
#include <errno.h>

#include "client/move.h"
#include "client/pool.h"
#include "pool/magazine.h"

struct tarn_lane {
	struct tarn_pool *pool;
	uint64_t key;
	uint32_t started;      /* 0 in a forked child, and when at rest */
	uint32_t sections;     /* entered and not left */
	tn_a64 *pins;          /* TN_LANE_PINS of them, in control */
	struct tn_rack rack;
	struct tn_move_list derefed; /* in the section; TARN_DEBUG=move */
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

/* The one that this thread has in a pool already, whatever it used last and
 * whatever became of the pool; or NULL. In a forked process it is wiped. */
struct tarn_lane *tn_lane_mine(const struct tarn_pool *pool);

/* More slots of a class for an empty magazine; a run. If there is no room, all
 * that the rack keeps goes back: others may want it, and so may we. Return: as
 * tn_rack_fill() and tn_run_alloc(). */
int tn_lane_fill(struct tn_rack *rack, unsigned class);
int tn_lane_run(struct tn_rack *rack, uint64_t pages, unsigned where,
		uint64_t *ret_page);

/* How a call that returns a pointer fails. */
static inline void *tn_null_errno(int r)
{
	errno = -r;
	return NULL;
}

/* Frees an object at an offset that is KEPT by the lane's client. Return: 0 or
 * -EUCLEAN. */
int tn_lane_dispose(struct tarn_lane *lane, uint64_t off);

/* Flushes and ends every lane of a pool that is being closed. */
void tn_lanes_close(struct tarn_pool *pool);
