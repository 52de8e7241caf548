/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Having objects moved by tarnd, one by one: before a long pin, and for
 * TARN_DEBUG=move.
 *
 * An object that is pinned for long keeps its area for as long, however few are
 * left there. So before it is, it goes to an area of what cannot be moved
 * anyway (the groups of pool/fit.c), or to one that is free and so becomes one.
 * Where it lies there after its unpin it is an object like any other: the next
 * compaction takes it to a lower place, if there is one. Once it lies there, no
 * more is asked. (Mac OS had MoveHHi() for that.)
 *
 * A pointer that is kept after its unpin is good until the object is moved
 * the next time, which may be never while a program is tested. With this
 * variable in the environment, when the pool is opened, an object goes to
 * another place at each unpin and at the end of each section, and the place
 * that it leaves is filled with 0xa5.
 *
 *	unpin: slot = 0 --> MOVE to tarnd --> moved, old place filled --> return
 *	                                 `--> not moved, for whatever reason --^
 *
 * tarnd does it, not we: moves have one journal and one author (pool/move.c),
 * so there are no states in shared memory that recovery does not know, and the
 * other processes' pins are heeded, which only tarnd can see.
 *
 *   M1  nothing depends on whether it was moved: the pin is gone before we
 *       ask, or not there yet, and errno and the result are those of the call
 *   M2  nothing waits for longer than ASK_MS, and who got no answer in that
 *       time does not ask again for REST_MS. tarnd may be stopped, or dead,
 *       or too old (tn_conn_move(): -ENOSYS)
 *   M3  no lock is held meanwhile, but the turn of the connection
 *   M4  in a section of our own nothing can be moved: then we do not ask
 *
 * The usual paths of client/pin.c know nothing of it: a lane of such a pool
 * is never entered into tn_thread.key, so that each call takes its slow path.
 *
 * Of a section, the first 64 different objects that were deref'ed in it are
 * moved when it is left. What is not moved: objects larger than an area (2
 * MiB), what somebody has pinned or looks at in a section, and those in a pool
 * without a name.
 */
#include "client/move.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "client/lane.h"
#include "client/link.h"
#include "pool/fit.h"
#include "pool/handle.h"

#define ASK_MS 1000
#define REST_MS 5000

/* A word of those in TARN_DEBUG, with commas between them. */
bool tn_move_wanted(void)
{
	const char *words = secure_getenv("TARN_DEBUG");
	size_t n;

	for (; words && *words; words += n + (words[n] == ',')) {
		n = strcspn(words, ",");
		if (n == strlen("move") && !strncmp(words, "move", n))
			return true;
	}
	return false;
}

static void ask(struct tarn_pool *pool, uint64_t handle, uint32_t flags)
{
	const struct tarn_lane *lane = tn_lane_mine(pool);
	int64_t now = tn_link_now_ms();
	int was = errno, r;

	if ((uint64_t)now < tn64_load_relaxed(&pool->move_rest_ms) ||
	    (lane && lane->sections))
		return;
	r = tn_conn_move(pool->conn, pool->attach, handle, flags,
			 now + ASK_MS);
	if (r == -ETIMEDOUT || r == -ENOSYS)
		tn64_store_relaxed(&pool->move_rest_ms,
				   (uint64_t)tn_link_now_ms() + REST_MS);
	errno = was;
}

void tn_move_apart(struct tarn_pool *pool, uint64_t handle)
{
	uint64_t place;

	if (!tn_ref_handle_ok(&pool->p, handle))
		return;
	place = tn64_load_relaxed(&tn_handle_at(&pool->p,
				  TN_HANDLE_IDX(handle))->place);
	if (TN_HANDLE_OFF(place) < pool->p.geo.data_bytes &&
	    !tn_fit_among(&pool->p, TN_HANDLE_OFF(place) >> TN_PAGE_SHIFT,
			  TN_GROUP_FIXED))
		ask(pool, handle, TN_MOVE_FIXED |
		    (pool->moves ? TN_MOVE_POISON : 0));
}

void tn_move_away(struct tarn_pool *pool, uint64_t handle)
{ ask(pool, handle, TN_MOVE_POISON); }

void tn_move_note_deref(struct tarn_lane *lane, uint64_t handle)
{
	struct tn_move_list *l = &lane->derefed;

	for (uint32_t i = 0; i < l->n; i++)
		if (l->refs[i] == handle)
			return;
	if (l->n < TN_ARRAY_LEN(l->refs))
		l->refs[l->n++] = handle;
}

void tn_move_away_derefed(struct tarn_pool *pool, struct tarn_lane *lane)
{
	struct tn_move_list l = lane->derefed;

	lane->derefed.n = 0;
	for (uint32_t i = 0; i < l.n; i++)
		tn_move_away(pool, l.refs[i]);
}
