/* SPDX-License-Identifier: BSD-2-Clause */
/* What tarnd and a living client do with a busy pool, whatever is in it. */
#include "tests/lib/tn_busy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pool/cache.h"
#include "pool/census.h"
#include "pool/fit.h"
#include "pool/share.h"

#define SLICE_BUDGET 8192U /* as daemon/reaper.c has it */
#define STEPS_MAX 10000U
#define LATER_MAX 3U

static void die(const char *what, uint64_t a, uint64_t b)
{
	fprintf(stderr, "busy pool: %s: %#llx, %#llx\n", what,
		(unsigned long long)a, (unsigned long long)b);
	abort();
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int timed_step(struct tn_busy *b, struct tn_recover *r)
{
	uint64_t t = cpu_ns();
	int e = tn_recover_step(r, SLICE_BUDGET);

	b->slice_ns = tn_max64(b->slice_ns, cpu_ns() - t);
	return e;
}

/* Return: 0, -EUCLEAN, or TN_RECOVER_LATER again and again */
static int recover(struct tn_busy *b, unsigned control, uint32_t client)
{
	struct tn_recover r;
	unsigned steps = 0, later = 0;
	int e;

	tn_recover_begin(&r, &b->pool, b->control[control].at, client,
			 tn_busy_lane(b, 0, 0));
	do {
		e = timed_step(b, &r);
		later += e == TN_RECOVER_LATER;
		if (++steps == STEPS_MAX)
			die("recovery does not end", r.phase, r.at);
	} while (e > 0 && later < LATER_MAX);
	b->what = e < 0 ? r.what : NULL;
	b->where = r.where;
	return e;
}

/* What tarnctl and the statistics look at. */
static void look(struct tn_busy *b)
{
	static _Thread_local struct tn_census census;
	uint64_t largest = tn_fit_largest(&b->pool);

	memset(&census, 0, sizeof(census));
	tn_census_take(&b->pool, &census);
	if (largest > b->pool.geo.n_pages / 2)
		die("largest run", largest, 0);
}

bool tn_busy_audit(struct tn_busy *b, bool recovered)
{
	struct tn_audit_control controls[TN_BUSY_N_CONTROLS];
	struct tn_audit_in in = {
		.meta = b->meta.at,
		.meta_bytes = b->meta.bytes,
		.data = b->data.at,
		.data_bytes = b->data.bytes,
		.controls = controls,
		.n_controls = TN_BUSY_N_CONTROLS,
		.quiescent = true,
		.thorough = true,
	};

	for (unsigned c = 0; c < TN_BUSY_N_CONTROLS; c++)
		controls[c] = (struct tn_audit_control){
			.control = b->control[c].at,
			.bytes = b->control[c].bytes,
			.client = c ? c : TN_DAEMON_SLOT,
			.alive = c != TN_BUSY_DEAD || !recovered,
		};
	return !tn_audit_run(&b->audit, &in) && !b->audit.result.n_weak;
}

enum tn_busy_end tn_busy_recover(struct tn_busy *b)
{
	int e = recover(b, 0, TN_DAEMON_SLOT);
	bool holds;

	if (e >= 0)
		e = recover(b, TN_BUSY_DEAD, TN_BUSY_DEAD);
	look(b);
	holds = tn_busy_audit(b, e == 0);
	if (e < 0)
		return TN_BUSY_REFUSED;
	if (e)
		return TN_BUSY_WAITS;
	return holds ? TN_BUSY_HOLDS : TN_BUSY_NAMED;
}

/* A client's calls */

/* Memory that a client is handed: the pool's, and its own to write on. */
static void check_memory(struct tn_busy *b, const void *p, uint64_t bytes)
{
	uint64_t off = (uint64_t)((uintptr_t)p - (uintptr_t)b->data.at);

	if (off >= b->data.bytes || bytes > b->data.bytes - off)
		die("memory past the end", off, bytes);
}

static void return_object(struct tn_busy *b, const struct tn_lane_ref *l,
			  uint64_t off, const struct tn_object *obj)
{
	static const struct tn_slab_cursor none;
	struct tn_slot slot = { b->pool.data + off, obj->tag };

	if (obj->pages)
		tn_run_drop(&b->pool, l, TN_OP_RUN, obj->page, obj->pages);
	else
		tn_slab_return(&b->pool, l, obj->class, &slot, 1, &none);
}

static void give_back(struct tn_busy *b, const struct tn_lane_ref *l,
		      uint64_t off)
{
	struct tn_pool *pool = &b->pool;
	struct tn_object obj, its;
	uint64_t its_off;

	if (tn_object_find(pool, off, &obj) < 0 ||
	    tn_object_release(pool, l, off, &obj) < 0)
		return;
	if (!obj.pages && obj.class == TN_CLASS_HANDLE &&
	    tn_handle_unbind(pool, l, off, &its, &its_off) == 0)
		return_object(b, l, its_off, &its);
	return_object(b, l, off, &obj);
}

static void use_slabs(struct tn_busy *b, const struct tn_lane_ref *l)
{
	const unsigned classes[] = {
		0, 3, 9, 15, 23, 39, 55, 71, (unsigned)b->cache,
		TN_CLASS_CACHE + 1,
	};
	struct tn_pool *pool = &b->pool;
	struct tn_slab_cursor cursor;
	const struct tn_shape *s;
	struct tn_slot slots[40];
	unsigned n;

	for (unsigned i = 0; i < TN_ARRAY_LEN(classes); i++) {
		s = tn_cache_shape(pool, classes[i]);
		cursor = (struct tn_slab_cursor){ 0 };
		n = tn_slab_claim(pool, l, classes[i], &cursor, slots, 40);
		for (unsigned k = 0; k < n; k++)
			check_memory(b, slots[k].p, s->bytes);
		if (n)
			tn_slab_return(pool, l, classes[i], slots, n, &cursor);
		tn_slab_retire(pool, l, classes[i], &cursor);
	}
	for (unsigned i = 0; i < TN_BUSY_N_SLOTS; i++)
		give_back(b, l, tn_pool_off(pool, b->slots[i].p));
}

static void use_runs(struct tn_busy *b, const struct tn_lane_ref *l)
{
	static const uint64_t sizes[] = { 1, 3, 64, 65, 300, 513, 640 };
	struct tn_pool *pool = &b->pool;
	uint64_t page;

	for (unsigned i = 0; i < TN_ARRAY_LEN(sizes); i++) {
		if (tn_run_alloc(pool, l, sizes[i], 1 + i % 3, &page) < 0)
			continue;
		check_memory(b, pool->data + (page << TN_PAGE_SHIFT),
			     sizes[i] << TN_PAGE_SHIFT);
		tn_run_drop(pool, l, TN_OP_RUN, page, sizes[i]);
	}
	give_back(b, l, b->run);
}

static void use_hands(struct tn_busy *b, const struct tn_lane_ref *l)
{
	struct tn_pool *pool = &b->pool;
	uint64_t off, ref;

	for (unsigned i = 0; i < 6; i++) {
		off = tn_pool_off(pool, b->slots[i * 3].p);
		tn_hold_detach(pool, l, off);
		tn_hold_adopt(pool, l, off);
		tn_hold_publish(pool, l, b->pooled + 40, off);
		ref = tn_hold_claim(pool, l, b->pooled + 40);
		tn_hold_give(pool, l, off, TN_BUSY_OTHER);
		tn_hold_take(pool, &b->lane[TN_BUSY_OTHER], off);
		if (ref && tn_ref_off(ref) >= TN_BUSY_BYTES)
			die("claimed", ref, off);
	}
	for (unsigned i = 0; i < 6; i++)
		tn_hold_claim(pool, l, b->pooled + 8 * i);
	tn_hold_take(pool, l, b->pooled);
}

static void use_shares(struct tn_busy *b, const struct tn_lane_ref *l)
{
	struct tn_pool *pool = &b->pool;
	uint64_t off = tn_pool_off(pool, b->slots[9].p);

	tn_share_hold(pool, l, b->shared);
	if (tn_share_release(pool, l, b->shared, TN_BUSY_ALIVE) == 1)
		give_back(b, l, b->shared);
	tn_share_make(pool, l, off);
	tn_share_hold(pool, &b->lane[TN_BUSY_OTHER], off);
	if (tn_share_release(pool, l, off, TN_BUSY_ALIVE) == 1)
		give_back(b, l, off);
	if (tn_share_release(pool, &b->lane[TN_BUSY_OTHER], off,
			     TN_BUSY_OTHER) == 1)
		give_back(b, &b->lane[TN_BUSY_OTHER], off);
}

static void use_handles(struct tn_busy *b, const struct tn_lane_ref *l)
{
	const unsigned class = TN_CLASS_MOVABLE + 31;
	const struct tn_geo *geo = &b->pool.geo;
	struct tn_slab_cursor cursor = { 0 };
	struct tn_slot slots[8];
	unsigned n;

	n = tn_slab_claim(&b->pool, l, class, &cursor, slots, 8);
	for (unsigned i = 0; i < n; i++) {
		check_memory(b, slots[i].p, b->shapes[class].bytes);
		tn_busy_hmake(b, l, tn_pool_off(&b->pool, slots[i].p));
	}
	for (unsigned i = 0; i < TN_BUSY_N_HANDLES; i++) {
		uint64_t idx = TN_HANDLE_IDX(b->handles[i]);

		tn_handle_keep(&b->pool, idx);
		tn_handle_torn(&b->pool, b->handles[i]);
		tn_handle_told(&b->pool, idx);
		if (i % 2)
			give_back(b, l, (geo->handle_page << TN_PAGE_SHIFT) +
					idx * sizeof(struct tn_handle));
	}
}

void tn_busy_use(struct tn_busy *b)
{
	struct tn_pool *pool = &b->pool;
	struct tn_lane_ref l = b->lane[TN_BUSY_ALIVE];
	struct tn_root *root;

	use_hands(b, &l);
	use_shares(b, &l);
	use_slabs(b, &l);
	use_runs(b, &l);
	use_handles(b, &l);
	root = tn_root_find(pool, "another", true);
	if (root)
		tn64_store_relaxed(&root->ref, 0);
	tn_cache_make(pool, "job", 100, 64);
	tn_cache_make(pool, "new", 200, 16);
	tn_lane_end(pool, &l);
	look(b);
}
