/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pins and sections: how an object that has a handle is used.
 *
 * The usual path of a pin is a store to the thread's own control page, and two
 * loads; of an unpin, a store. What must be ordered is the store before the
 * loads, for which the compiler is told here and the processor by the mover,
 * with membarrier (pool/move.c, P1 to P5). A process that could not register
 * for that says so in .must_fence, and pays for a fence itself.
 *
 * A pin goes into the thread's first free slot, and stays there: the mover
 * might look at both places of one that is moved, at the wrong moments. The
 * usual path tries the first two slots alone. Their addresses do not depend on
 * what was stored there last, so that no pin waits for the one before.
 */
#include "tarn/handle.h"

#include <errno.h>
#include <string.h>

#include "client/lane.h"
#include "client/process.h"
#include "pool/handle.h"

#define READ_COPY_TRIES 100

/* The place of a handle that is LIVE, if only for the moment. Return: 0;
 * -ESTALE, -EINVAL. */
static int place_of(const struct tarn_pool *pool, tarn_ref handle,
		    uint64_t *ret)
{
	uint64_t idx = TN_HANDLE_IDX(handle);

	if (!tn_ref_is_handle(handle) || idx >= pool->p.geo.n_handles)
		return -EINVAL;
	/* HB< handle.live; HB< handle.place */
	*ret = tn64_load_acquire(&tn_handle_at(&pool->p, idx)->place);
	if (TN_HANDLE_STATE(*ret) == TN_HANDLE_FREE ||
	    !tn_ref_handle_ok(&pool->p, handle))
		return -ESTALE;
	return TN_HANDLE_OFF(*ret) < pool->p.geo.data_bytes ? 0 : -EUCLEAN;
}

static bool same_place(const struct tarn_pool *pool, tarn_ref handle,
		       uint64_t place)
{
	uint64_t now;

	/* the copy is read before the place is read again */
	atomic_thread_fence(memory_order_acquire);
	return place_of(pool, handle, &now) == 0 &&
	       !((now ^ place) << 3); /* but for state and torn */
}

TARN_API size_t tarn_hbytes(const struct tarn_pool *pool, tarn_ref handle)
{
	struct tn_pool *p = (struct tn_pool *)&pool->p;
	struct tn_object obj;
	uint64_t place;
	int r;

	for (int i = 0; pool->key && i < READ_COPY_TRIES; i++) {
		if (place_of(pool, handle, &place) < 0)
			return 0;
		r = tn_object_find(p, TN_HANDLE_OFF(place), &obj);
		if (same_place(pool, handle, place))
			return r < 0 ? 0 : obj.bytes;
	}
	return 0;
}

/* Pins */

/* P3 to P5, when the store of P1 is done. Return: 0 and where it is. */
static int settle(struct tarn_pool *pool, tarn_ref handle, void **ret)
{
	uint64_t place;
	int r;

	do {
		r = place_of(pool, handle, &place);
		if (r < 0)
			return r;
		place = tn_handle_keep(&pool->p, TN_HANDLE_IDX(handle));
	} while (TN_HANDLE_STATE(place) != TN_HANDLE_LIVE);
	if (!tn_ref_handle_ok(&pool->p, handle))
		return -ESTALE;
	if (tn_handle_told(&pool->p, TN_HANDLE_IDX(handle)))
		return -EOWNERDEAD;
	if (TN_HANDLE_OFF(place) >= pool->p.geo.data_bytes)
		return -EUCLEAN;
	*ret = pool->p.data + TN_HANDLE_OFF(place);
	return 0;
}

static tn_a64 *find_pin(const struct tarn_lane *lane, uint64_t ref)
{
	for (unsigned i = 0; i < TN_LANE_PINS; i++)
		if (!((tn64_load_relaxed(&lane->pins[i]) ^ ref) &
		      ~TN_PIN_WRITE))
			return &lane->pins[i];
	return NULL;
}

static tn_cold void *pin_slow(struct tarn_pool *pool, tarn_ref handle,
			       bool write)
{
	struct tarn_lane *lane;
	void *p = NULL;
	tn_a64 *at;
	int r;

	r = tn_client_check(pool, write ? TARN_PRODUCER : TARN_CONSUMER);
	if (r < 0)
		return tn_null_errno(r);
	lane = tn_lane_slow(pool);
	if (!lane)
		return NULL;
	if (!tn_ref_is_handle(handle))
		return tn_null_errno(-EINVAL);
	at = find_pin(lane, 0);
	if (!at)
		return tn_null_errno(-ENOSPC);
	tn64_store_relaxed(at, write ? handle : handle & ~TN_PIN_WRITE);
	tn_pool_fence(&pool->p);
	r = settle(pool, handle, &p);
	if (r < 0) {
		/* HB> pin.clear */
		tn64_store_release(at, 0);
		return tn_null_errno(r);
	}
	return p;
}

static inline __attribute__((always_inline))
void *pin(struct tarn_pool *pool, tarn_ref handle, bool write)
{
	uint64_t idx = TN_HANDLE_IDX(handle), place, ref;
	const struct tn_handle *h = &pool->p.handles[idx];
	tn_a64 *at;

	if (tn_unlikely(tn_thread.key != pool->key ||
			idx >= (write ? pool->p.n_writable
				      : pool->p.n_handles)))
		return pin_slow(pool, handle, write);
	at = tn_thread.lane->pins;
	if (tn_unlikely(!at))
		return pin_slow(pool, handle, write); /* a forked child */
	if (tn64_load_relaxed(at) && tn64_load_relaxed(++at))
		return pin_slow(pool, handle, write);
	/* P1 */
	tn64_store_relaxed(at, write ? handle : handle & ~TN_PIN_WRITE);
	tn_pool_fence(&pool->p);
	/* HB< handle.live; HB< handle.place */
	place = tn64_load_acquire(&h->place);
	ref = tn64_load_relaxed(&h->ref);
	if (tn_unlikely(ref != handle || !tn_handle_plain(place))) {
		/* HB> pin.clear */
		tn64_store_release(at, 0);
		return pin_slow(pool, handle, write);
	}
	return pool->p.data + TN_HANDLE_OFF(place);
}

TARN_API void *tarn_pin(struct tarn_pool *pool, tarn_ref handle)
{ return pin(pool, handle, true); }

TARN_API const void *tarn_pin_read(struct tarn_pool *pool, tarn_ref handle)
{ return pin(pool, handle, false); }

static tn_cold int unpin_slow(struct tarn_pool *pool, tarn_ref handle)
{
	struct tarn_lane *lane;
	tn_a64 *at;
	int r;

	r = tn_client_check(pool, TARN_CONSUMER);
	if (r < 0)
		return r;
	lane = tn_lane_slow(pool);
	if (!lane)
		return -errno;
	at = tn_ref_is_handle(handle) ? find_pin(lane, handle) : NULL;
	if (!at)
		return -EINVAL;
	/* HB> pin.clear */
	tn64_store_release(at, 0);
	if (pool->moves)
		tn_move_away(pool, handle);
	return 0;
}

TARN_API int tarn_unpin(struct tarn_pool *pool, tarn_ref handle)
{
	tn_a64 *at;

	if (tn_unlikely(tn_thread.key != pool->key))
		return unpin_slow(pool, handle);
	at = tn_thread.lane->pins;
	if (tn_unlikely(!at || !tn_ref_is_handle(handle) ||
			(tn64_load_relaxed(at) ^ handle) & ~TN_PIN_WRITE))
		return unpin_slow(pool, handle);
	/* U1 */
	/* HB> pin.clear */
	tn64_store_release(at, 0);
	return 0;
}

/* Long pins */

static struct tn_long_pin *long_pin(const struct tarn_pool *pool,
				    tarn_ref handle, bool make)
{
	struct tn_long_pin *table = (void *)(pool->control +
					     pool->p.geo.long_pins);
	struct tn_long_pin *room = NULL;

	for (uint64_t i = 0; i < TN_N_LONG_PINS; i++) {
		struct tn_long_pin *l = &table[(TN_HANDLE_IDX(handle) + i) %
					       TN_N_LONG_PINS];

		if (tn64_load_relaxed(&l->ref) == handle &&
		    tn64_load_relaxed(&l->count))
			return l;
		if (!room && !tn64_load_relaxed(&l->count))
			room = l;
		if (!tn64_load_relaxed(&l->ref))
			break; /* never used, and so none behind it */
	}
	return make ? room : NULL;
}

static int pin_long(struct tarn_pool *pool, tarn_ref handle, void **ret)
{
	struct tn_control *control = (void *)pool->control;
	struct tn_long_pin *l = long_pin(pool, handle, true);
	int r;

	if (!l)
		return -ENOSPC;
	if (!tn64_load_relaxed(&l->count))
		tn64_store_relaxed(&l->ref, handle);
	tn64_store_relaxed(&control->long_pins, 1);
	tn_fence_compiler();
	tn64_store_relaxed(&l->count, tn64_load_relaxed(&l->count) + 1);
	/* P2, both sides of it here: this is no place to save it */
	tn_fence_full();
	r = settle(pool, handle, ret);
	if (r < 0)
		/* HB> pin.clear */
		tn64_store_release(&l->count, tn64_load_relaxed(&l->count) - 1);
	return r;
}

static bool has_long_pin(const struct tarn_pool *pool, tarn_ref handle)
{
	bool has;

	tn_process_lock();
	has = long_pin(pool, handle, false);
	tn_process_unlock();
	return has;
}

TARN_API void *tarn_pin_long(struct tarn_pool *pool, tarn_ref handle)
{
	void *p = NULL;
	int r;

	r = tn_client_check(pool, TARN_PRODUCER);
	if (r < 0)
		return tn_null_errno(r);
	if (!tn_ref_is_handle(handle))
		return tn_null_errno(-EINVAL);
	if (!has_long_pin(pool, handle))
		tn_move_apart(pool, handle);
	tn_process_lock();
	r = pin_long(pool, handle, &p);
	tn_process_unlock();
	return r < 0 ? tn_null_errno(r) : p;
}

TARN_API int tarn_unpin_long(struct tarn_pool *pool, tarn_ref handle)
{
	struct tn_long_pin *l;
	int r;

	r = tn_client_check(pool, TARN_PRODUCER);
	if (r < 0)
		return r;
	tn_process_lock();
	l = long_pin(pool, handle, false);
	if (l)
		/* HB> pin.clear */
		tn64_store_release(&l->count, tn64_load_relaxed(&l->count) - 1);
	tn_process_unlock();
	if (l && pool->moves)
		tn_move_away(pool, handle);
	return l ? 0 : -EINVAL;
}

/* Sections */

static tn_cold int enter_slow(struct tarn_pool *pool,
			       struct tarn_lane **ret)
{
	int r = tn_client_check(pool, TARN_CONSUMER);

	if (r < 0)
		return r;
	*ret = tn_lane_slow(pool);
	return *ret ? 0 : -errno;
}

TARN_API int tarn_enter(struct tarn_pool *pool)
{
	struct tarn_lane *lane = tn_thread.lane;
	tn_a64 *section;

	if (tn_unlikely(tn_thread.key != pool->key || !lane->started)) {
		int r = enter_slow(pool, &lane);

		if (r < 0)
			return r;
	}
	if (lane->sections++)
		return 0;
	section = &lane->rack.ref.rec->section;
	tn64_store_relaxed(section, tn64_load_relaxed(section) + 1);
	tn_pool_fence(&pool->p);
	return 0;
}

static tn_cold const void *deref_slow(struct tarn_pool *pool, tarn_ref handle)
{
	struct tarn_lane *lane;
	void *p = NULL;
	int r = tn_client_check(pool, TARN_CONSUMER);

	lane = tn_lane_mine(pool);
	if (r == 0 && (!lane || !lane->sections))
		r = -EPERM;
	if (r == 0)
		r = settle(pool, handle, &p);
	if (r == 0 && pool->moves)
		tn_move_note_deref(lane, handle);
	return r < 0 ? tn_null_errno(r) : p;
}

TARN_API const void *tarn_deref(struct tarn_pool *pool, tarn_ref handle)
{
	const struct tn_handle *h = &pool->p.handles[TN_HANDLE_IDX(handle)];
	uint64_t place;

	if (tn_unlikely(tn_thread.key != pool->key ||
			!tn_thread.lane->sections ||
			TN_HANDLE_IDX(handle) >= pool->p.geo.n_handles))
		return deref_slow(pool, handle);
	/* HB< handle.live; HB< handle.place */
	place = tn64_load_acquire(&h->place);
	if (tn_unlikely(tn64_load_relaxed(&h->ref) != handle ||
			!tn_handle_plain(place)))
		return deref_slow(pool, handle);
	return pool->p.data + TN_HANDLE_OFF(place);
}

static inline int leave(struct tarn_lane *lane)
{
	tn_a64 *section = &lane->rack.ref.rec->section;

	if (--lane->sections)
		return 0;
	/* HB> pin.clear */
	tn64_store_release(section, tn64_load_relaxed(section) + 1);
	return 0;
}

/* The thread is in none, or has used another pool since. */
static tn_cold int exit_slow(struct tarn_pool *pool)
{
	struct tarn_lane *lane = tn_lane_mine(pool);

	if (!lane || !lane->sections)
		return -EINVAL;
	leave(lane);
	if (pool->moves && !lane->sections)
		tn_move_away_derefed(pool, lane);
	return 0;
}

TARN_API int tarn_exit(struct tarn_pool *pool)
{
	struct tarn_lane *lane = tn_thread.lane;

	if (tn_unlikely(tn_thread.key != pool->key || !lane->sections))
		return exit_slow(pool);
	return leave(lane);
}

/* Without a pin */

TARN_API int tarn_read_copy(struct tarn_pool *pool, tarn_ref handle, void *to,
			    size_t off, size_t bytes)
{
	struct tn_object obj;
	uint64_t place, at;
	int r = 0;

	if (!pool->key)
		return -EBADF;
	for (int i = 0; i < READ_COPY_TRIES; i++) {
		r = place_of(pool, handle, &place);
		if (r < 0)
			return r;
		at = TN_HANDLE_OFF(place);
		r = tn_object_find(&pool->p, at, &obj);
		if (r == 0 && (off > obj.bytes || bytes > obj.bytes - off))
			r = -EINVAL;
		if (r == 0)
			memcpy(to, pool->p.data + at + off, bytes);
		if (same_place(pool, handle, place))
			return r;
	}
	return -EAGAIN;
}
