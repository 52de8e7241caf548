/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/lane.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/process.h"
#include "pool/run.h"

/* Every lane that a thread has, by the pool's key. */
struct tn_thread_lanes {
	unsigned n, room;
	struct {
		uint64_t key;
		struct tarn_pool *pool;
		struct tarn_lane *lane;
	} at[];
};

/* No pool's, so a new thread takes the slow path first. */
#define NO_KEY 1

__thread struct tn_thread tn_thread = { .key = NO_KEY };

static pthread_key_t exit_key;
static bool have_exit_key; /* under the process lock */

/* Lanes */

/* What the thread still has pinned, or is in, ends with it. */
static void let_go(struct tarn_lane *lane)
{
	tn_a64 *section = &lane->rack.ref.rec->section;

	for (unsigned i = 0; i < TN_LANE_PINS; i++)
		if (tn64_load_relaxed(&lane->pins[i]))
			/* HB> pin.clear */
			tn64_store_release(&lane->pins[i], 0);
	if (!lane->sections)
		return;
	/* HB> pin.clear */
	tn64_store_release(section, tn64_load_relaxed(section) + 1);
	lane->sections = 0;
	lane->derefed.n = 0; /* there, or a lane would keep a page for it */
}

static void lane_stop(struct tarn_lane *lane)
{
	if (!lane->started)
		return;
	let_go(lane);
	tn_rack_flush(&lane->rack);
	tn_lane_end(&lane->pool->p, &lane->rack.ref);
	lane->started = 0;
	lane->key = 0;
	/* HB> lane.rest: the private half is at rest */
	tn64_store_release(&lane->rack.ref.rec->state, 0);
}

static struct tarn_lane *lane_map(void)
{
	struct tarn_lane *lane;

	lane = mmap(NULL, sizeof(*lane), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (lane == MAP_FAILED)
		return NULL;
	if (madvise(lane, sizeof(*lane), MADV_WIPEONFORK) < 0) {
		munmap(lane, sizeof(*lane));
		return NULL;
	}
	return lane;
}

/* Takes the first lane that is at rest. */
static struct tarn_lane *lane_start(struct tarn_pool *pool)
{
	struct tn_lane_ref ref = {
		.control = pool->control,
		.client = pool->client,
	};
	struct tarn_lane *lane;
	uint64_t rest;

	for (ref.index = 0; ref.index < TN_N_LANES; ref.index++) {
		ref.rec = tn_lane_rec(&pool->p.geo, pool->control, ref.index);
		rest = tn64_load_relaxed(tn_lane_done(&pool->p,
				TN_CLIENT_SLOT(ref.client), ref.index));
		if (tn_lane_worn(rest))
			continue;
		rest = 0;
		/* HB< lane.rest */
		if (tn64_cas_acquire(&ref.rec->state, &rest,
				     TN_LANE_BUSY | (uint64_t)gettid()))
			break;
	}
	if (ref.index == TN_N_LANES) {
		errno = EAGAIN;
		return NULL;
	}
	lane = pool->lanes[ref.index];
	if (!lane)
		lane = lane_map();
	if (!lane) {
		/* HB> lane.rest */
		tn64_store_release(&ref.rec->state, 0);
		errno = ENOMEM;
		return NULL;
	}
	pool->lanes[ref.index] = lane;
	tn_lane_start(&pool->p, &ref);
	tn_rack_start(&lane->rack, &pool->p, &ref, pool->p.geo.data_bytes);
	lane->pool = pool;
	lane->key = pool->key;
	lane->pins = tn_lane_pins(&pool->p.geo, pool->control, ref.index);
	lane->started = 1;
	return lane;
}

/* Threads */

/* A pool that was closed meanwhile has ended its lanes itself; one that is
 * being closed just now does, or waits. */
static void thread_exit(void *arg)
{
	struct tn_thread_lanes *all = arg;

	tn_process_lock();
	for (unsigned i = 0; i < all->n; i++)
		if (all->at[i].pool->key == all->at[i].key)
			lane_stop(all->at[i].lane);
	tn_process_unlock();
	if (tn_thread.all == all)
		tn_thread = (struct tn_thread){ .key = NO_KEY };
	free(all);
}

/* What failed is tried again by the next call. Return: 0 or an errno */
static int make_exit_key(void)
{
	int r = 0;

	tn_process_lock();
	if (!have_exit_key)
		r = pthread_key_create(&exit_key, thread_exit);
	have_exit_key = r == 0;
	tn_process_unlock();
	return r;
}

/* Its first: from now on the thread's end is noticed. */
static int note_thread(struct tn_thread_lanes *all)
{
	int r = make_exit_key();

	return r ? r : pthread_setspecific(exit_key, all);
}

/* Room for one more lane in this thread's list. */
static struct tn_thread_lanes *thread_lanes(void)
{
	struct tn_thread_lanes *all = tn_thread.all;
	unsigned room = all ? all->room * 2 : 4, kept = 0;
	int r;

	if (all) {
		for (unsigned i = 0; i < all->n; i++)
			if (all->at[i].pool->key == all->at[i].key)
				all->at[kept++] = all->at[i];
		all->n = kept;
		if (kept < all->room)
			return all;
	}
	all = realloc(all, sizeof(*all) + room * sizeof(all->at[0]));
	if (!all)
		return NULL;
	/* once it has been set, to set it again cannot fail */
	r = note_thread(all);
	if (r) {
		free(all);
		errno = r;
		return NULL;
	}
	if (!tn_thread.all)
		all->n = 0;
	all->room = room;
	tn_thread.all = all;
	return all;
}

static void forget_lane(struct tn_thread_lanes *all,
			const struct tarn_lane *lane)
{
	for (unsigned i = 0; i < all->n; i++)
		if (all->at[i].lane == lane)
			all->at[i] = all->at[--all->n];
}

static bool lane_worn(const struct tarn_lane *lane)
{
	const struct tn_lane *rec = lane->rack.ref.rec;

	return tn_lane_worn(TN_PROGRESS_STEP(
			tn64_load_relaxed(&rec->progress)));
}

struct tarn_lane *tn_lane_mine(const struct tarn_pool *pool)
{
	struct tn_thread_lanes *all = tn_thread.all;

	for (unsigned i = 0; all && i < all->n; i++)
		if (all->at[i].key == pool->key)
			return all->at[i].lane;
	return NULL;
}

struct tarn_lane *tn_lane_slow(struct tarn_pool *pool)
{
	struct tn_thread_lanes *all = tn_thread.all;
	struct tarn_lane *lane;
	int r;

	r = tn_client_check(pool, TARN_CONSUMER);
	if (r < 0) {
		errno = -r;
		return NULL;
	}
	lane = tn_lane_mine(pool);
	if (lane && lane_worn(lane)) {
		lane_stop(lane);
		forget_lane(all, lane);
		lane = NULL;
	}
	if (!lane) {
		all = thread_lanes();
		lane = all ? lane_start(pool) : NULL;
		if (!lane)
			return NULL;
		all->at[all->n].key = pool->key;
		all->at[all->n].pool = pool;
		all->at[all->n++].lane = lane;
	}
	/* never the usual path where pins are to be noticed: client/move.c */
	tn_thread.key = pool->moves ? NO_KEY : pool->key;
	tn_thread.lane = lane;
	return lane;
}

void tn_lanes_close(struct tarn_pool *pool)
{
	tn_process_lock();
	for (unsigned i = 0; i < TN_N_LANES; i++) {
		if (!pool->lanes[i])
			continue;
		lane_stop(pool->lanes[i]);
		munmap(pool->lanes[i], sizeof(*pool->lanes[i]));
		pool->lanes[i] = NULL;
	}
	pool->key = 0;
	tn_process_unlock();
}

int tn_lane_fill(struct tn_rack *rack, unsigned class)
{
	int r = tn_rack_fill(rack, class);

	if (r != -ENOMEM)
		return r;
	tn_rack_flush(rack);
	return tn_rack_fill(rack, class);
}

int tn_lane_run(struct tn_rack *rack, uint64_t pages, unsigned where,
		uint64_t *ret_page)
{
	int r = tn_run_alloc(rack->pool, &rack->ref, pages, where, ret_page);

	if (r != -ENOMEM)
		return r;
	tn_rack_flush(rack);
	r = tn_run_alloc(rack->pool, &rack->ref, pages, where, ret_page);
	if (r == -ENOMEM)
		tn_run_want(rack->pool, pages);
	return r;
}
