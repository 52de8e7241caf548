/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads come and go; lanes stay.
 *
 *            sit                       thread ends
 *   rest ----------> this thread's ----------------> rest
 *
 * A thread sits down at its first allocation: it takes the first lane at rest,
 * by one compare-and-swap, and the magazines that an earlier thread left there.
 * It rises in the last round of its destructors, when those of others have
 * had their say. From then on, and if all lanes are taken, it shares one lane
 * with others like it, under a lock.
 *
 * I1  A magazine's slots are KEPT and in no other magazine, and a cache's runs
 *     likewise, but in a seat that is *doing* something. (pool/magazine.h)
 * I2  The common seat is used under the lock alone.
 *
 * Who writes: a seat, its thread; in a child, for the threads that are not
 * there, the one that is.
 *
 * Orderings: lane.seat, from the thread that rises to the one that sits down.
 *
 * A fork in the middle: the child finds each seat as its thread's stores had
 * left it (malloc/home.h). Then, before anything else there:
 *   F1 a run or slab half made or given back: the lane's record says how far it
 *      came (pool/run.c)
 *   F2 a seat that was doing something: all it keeps is forgotten, and found
 *      by malloc/mend.c in the slabs and runs, and their leases
 *   F3 a slot or run popped and not yet tagged HELD, or tagged KEPT and not yet
 *      pushed: one object of a thread that is not there; lost to the child
 *   F4 a seat half made: not among seats[] yet, so nobody's; its lane stays
 *      taken. A magazine half prepared: has no base yet, and is emptied as F2
 * The lanes are at rest then, with what their magazines hold, which is for
 * the next who sits there.
 *
 * What it does not do: find that a thread ended without its destructors
 * (a bare clone()). Its lane stays taken. Nor is it for who forks in a handler
 * of signals that came in the middle of an allocation, and allocates there.
 */
#include "malloc/seat.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "malloc/map.h"
#include "malloc/mend.h"
#include "pool/run.h"

/* The last lane of all is the common one. */
#define COMMON (TN_N_LANES - 1)

static struct tn_seat nobody;
__thread struct tn_seat *tn_seat_mine = &nobody;

static struct tn_seat *seats[TN_N_LANES];
static pthread_mutex_t common_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t end_key;
static bool end_known;
static tn_a32 not_allowed;
static __thread unsigned rounds; /* of destructors still to wait for */
static __thread bool ended;

static void end_of_thread(void *seat);

static void make_key(void)
{ end_known = pthread_key_create(&end_key, end_of_thread) == 0; }

/* The private half, made at the lane's first use. */
static struct tn_seat *seat_at(struct tn_lane_ref ref)
{
	struct tn_seat *seat = seats[ref.index];

	if (!seat)
		seat = (struct tn_seat *)(void *)tn_map(sizeof(*seat));
	if (!seat)
		return NULL;
	tn_lane_start(&tn_home.pool, &ref);
	tn_rack_start(&seat->rack, &tn_home.pool, &ref,
		      tn_home.n_areas * TN_AREA_BYTES);
	tn_fence_compiler(); /* a fork finds it whole or not at all */
	seats[ref.index] = seat;
	return seat;
}

static struct tn_lane_ref lane_ref(uint32_t index)
{
	return (struct tn_lane_ref){
		.control = tn_home.control,
		.rec = tn_lane_rec(&tn_home.pool.geo, tn_home.control, index),
		.client = TN_HOME_CLIENT,
		.index = index,
	};
}

static bool lane_take(const struct tn_lane_ref *l)
{
	uint64_t rest = 0;

	/* HB< lane.seat */
	return tn64_cas_acquire(&l->rec->state, &rest,
				TN_LANE_BUSY | (uint64_t)gettid());
}

static void lane_rest(const struct tn_lane_ref *l)
{
	/* HB> lane.seat: its private half is at rest */
	tn64_store_release(&l->rec->state, 0);
}

/* Numbers that are used up: see pool/lane.h. */
static bool worn(uint32_t index)
{
	return tn_lane_worn(tn64_load_relaxed(tn_lane_done(&tn_home.pool,
				TN_HOME_CLIENT, index)));
}

static struct tn_seat *sit(void)
{
	struct tn_seat *seat = NULL;
	struct tn_lane_ref l;

	if (ended || tn32_load_relaxed(&not_allowed))
		return NULL;
	for (uint32_t i = 0; i < COMMON && !seat; i++) {
		l = lane_ref(i);
		if (worn(i) || tn64_load_relaxed(&l.rec->state) ||
		    !lane_take(&l))
			continue;
		seat = seat_at(l);
		if (seat)
			break;
		lane_rest(&l);
		return NULL;
	}
	if (!seat)
		return NULL;
	tn_seat_mine = seat;
	rounds = 1;
	/* allocates, in some threads: from here on there is a seat to do it */
	if (end_known)
		pthread_setspecific(end_key, seat);
	return seat;
}

static struct tn_seat *common(void)
{
	struct tn_seat *seat;

	pthread_mutex_lock(&common_lock);
	seat = seats[COMMON];
	if (!seat)
		seat = seat_at(lane_ref(COMMON));
	if (!seat)
		pthread_mutex_unlock(&common_lock);
	return seat;
}

struct tn_seat *tn_seat_enter(void)
{
	struct tn_seat *seat = tn_seat_mine;

	if (seat == &nobody) {
		if (!tn_home_make())
			return NULL;
		pthread_once(&once, make_key);
		seat = sit();
		if (!seat)
			seat = common();
		if (!seat)
			return NULL;
	}
	tn32_store_relaxed(&seat->doing, true);
	tn_fence_compiler();
	return seat;
}

void tn_seat_leave(struct tn_seat *seat)
{
	tn_fence_compiler();
	tn32_store_relaxed(&seat->doing, false);
	if (seat == seats[COMMON])
		pthread_mutex_unlock(&common_lock);
}

void tn_seat_quit(void)
{
	struct tn_seat *seat = tn_seat_mine;

	if (seat == &nobody)
		return;
	tn32_store_relaxed(&seat->doing, true);
	tn_fence_compiler();
	tn_rack_flush(&seat->rack);
	tn_lane_end(&tn_home.pool, &seat->rack.ref);
	tn_fence_compiler();
	tn32_store_relaxed(&seat->doing, false);
	tn_seat_mine = &nobody;
	lane_rest(&seat->rack.ref);
}

/* In the first round the destructors of others may still allocate. */
static void end_of_thread(void *seat)
{
	if (rounds && pthread_setspecific(end_key, seat) == 0) {
		rounds--;
		return;
	}
	ended = true;
	tn_seat_quit();
}

void tn_seat_allow(bool yes)
{ tn32_store_relaxed(&not_allowed, !yes); }

/* Is that seat's thread not in this process? */
static bool orphan(uint32_t i)
{
	return seats[i] && seats[i] != tn_seat_mine &&
	       (i == COMMON ||
		tn64_load_relaxed(&lane_ref(i).rec->state));
}

static void mend_all(const struct tn_lane_ref *l, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (seats[i])
			tn_mend_hide(seats[i], true);
	tn_mend_pages(l);
	for (uint32_t i = 0; i < n; i++)
		if (seats[i])
			tn_mend_hide(seats[i], false);
}

void tn_seat_forked(void)
{
	const struct tn_lane_ref *of_one = NULL; /* who was at something */
	uint32_t n = tn_home.control ?
		     (uint32_t)tn_lanes_used(tn_home.control) : 0;

	for (uint32_t i = 0; i < n; i++) {
		struct tn_lane_ref l = lane_ref(i);

		if (!orphan(i))
			continue;
		if (tn64_load_relaxed(&l.rec->op))
			tn_run_resume(&tn_home.pool, &l);
		if (tn_mend_forget(seats[i]))
			of_one = &seats[i]->rack.ref;
	}
	/* who forks in a handler of signals may be in the middle, too; then
	 * what is KEPT may be his */
	if (of_one && !tn32_load_relaxed(&tn_seat_mine->doing))
		mend_all(of_one, n);
	for (uint32_t i = 0; i < n; i++) {
		if (!orphan(i))
			continue;
		tn_lane_end(&tn_home.pool, &seats[i]->rack.ref);
		if (i != COMMON)
			lane_rest(&seats[i]->rack.ref);
	}
	pthread_mutex_init(&common_lock, NULL);
}
