/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/cleanup.h"
#include "daemon/log.h"
#include "daemon/pages.h"

void registry_init(struct registry *registry, struct keeper *keeper)
{
	memset(registry, 0, sizeof(*registry));
	registry->keeper = keeper;
}

void registry_fini(struct registry *registry)
{
	for (size_t i = 0; i < registry->n; i++) {
		compactor_stop(registry->pools[i], ECANCELED);
		pool_unref(registry->pools[i]);
	}
	free(registry->pools);
	registry_init(registry, NULL);
}

/* The index of the first pool whose name is not less than @name. */
static size_t position(const struct registry *registry, const char *name)
{
	size_t lo = 0, hi = registry->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(registry->pools[mid]->spec.name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool is_at(const struct registry *registry, size_t at, const char *name)
{
	return at < registry->n &&
	       !strcmp(registry->pools[at]->spec.name, name);
}

/* Random, so that a ref of a pool that is gone fits no other; unique while
 * there are marks left. Pools without a name may share one with a new pool. */
static int choose_mark(const struct registry *registry, uint64_t *ret)
{
	uint16_t start, m;

	if (getrandom(&start, sizeof(start), 0) != sizeof(start))
		return tn_neg_errno();
	m = start;
	do {
		if (m && !(registry->marks[m / 64] & 1ULL << m % 64))
			break;
		m++;
	} while (m != start);
	*ret = m ? m : 1;
	return 0;
}

static int make_room(struct registry *registry)
{
	size_t room = registry->room ? registry->room * 2 : 16;
	struct pool **pools;

	if (registry->n < registry->room)
		return 0;
	pools = realloc(registry->pools, room * sizeof(struct pool *));
	if (!pools)
		return -ENOMEM;
	registry->pools = pools;
	registry->room = room;
	return 0;
}

static void insert(struct registry *registry, struct pool *pool)
{
	size_t at = position(registry, pool->spec.name);

	memmove(registry->pools + at + 1, registry->pools + at,
		(registry->n - at) * sizeof(struct pool *));
	registry->pools[at] = pool;
	registry->n++;
	registry->marks[pool->mark / 64] |= 1ULL << pool->mark % 64;
}

int registry_add(struct registry *registry, const struct pool_spec *spec,
		 struct quota *quota, bool force, struct pool **ret)
{
	struct pool *pool;
	uint64_t mark;
	int r;

	if (is_at(registry, position(registry, spec->name), spec->name))
		return REGISTRY_EXISTS;
	r = make_room(registry);
	if (r == 0)
		r = choose_mark(registry, &mark);
	if (r == 0)
		r = pool_new(&pool, spec, mark, quota, force);
	if (r)
		return r == POOL_NO_QUOTA ? REGISTRY_NO_QUOTA : r;
	pool->registry = registry;
	r = keeper_pool(registry->keeper, pool);
	if (r < 0) {
		pool_unref(pool);
		return r;
	}
	pool->pending = true;
	insert(registry, pool);
	*ret = pool;
	return 0;
}

void registry_show(struct pool *pool)
{
	keeper_pool_there(pool);
	pool->pending = false;
}

/* It was logged. */
static void lose_declared(struct pool *pool)
{
	struct registry *registry = pool->registry;

	registry_remove(registry, pool);
	if (registry->lost)
		registry->lost(registry);
}

static void on_kept(struct store_wait *wait, int r)
{
	struct pool *pool = tn_list_entry(wait, struct pool, wait);
	const struct log_about about = { .pool = pool->spec.name };

	if (r == 0) {
		registry_show(pool);
		return;
	}
	log_line(LOG_ERR, &about, "cannot be kept: %s", strerror(-r));
	lose_declared(pool);
}

int registry_show_when_kept(struct registry *registry, struct pool *pool)
{
	int r = 0;

	pool->registry = registry;
	pool->wait.done = on_kept;
	if (registry->keeper)
		r = store_confirm(&registry->keeper->store, &pool->wait);
	if (r <= 0)
		on_kept(&pool->wait, r);
	return r < 0 ? r : 0;
}

int registry_restore(struct registry *registry, struct pool *pool)
{
	int r = make_room(registry);

	pool->registry = registry;
	if (r == 0)
		insert(registry, pool);
	return r;
}

struct pool *registry_find(const struct registry *registry, const char *name)
{
	size_t at = position(registry, name);

	return is_at(registry, at, name) && !registry->pools[at]->pending ?
	       registry->pools[at] : NULL;
}

struct pool *registry_after(const struct registry *registry, const char *name)
{
	size_t at = position(registry, name);

	if (is_at(registry, at, name))
		at++;
	while (at < registry->n && registry->pools[at]->pending)
		at++;
	return at < registry->n ? registry->pools[at] : NULL;
}

void registry_remove(struct registry *registry, struct pool *pool)
{
	size_t at = position(registry, pool->spec.name);

	tn_assert(at < registry->n && registry->pools[at] == pool);
	registry->n--;
	memmove(registry->pools + at, registry->pools + at + 1,
		(registry->n - at) * sizeof(struct pool *));
	registry->marks[pool->mark / 64] &= ~(1ULL << pool->mark % 64);
	pool->unlinked = true;
	if (pool->kept.there)
		keeper_pool_there(pool);
	compactor_stop(pool, ECANCELED);
	pool_unref(pool);
}

/* Its client may have gone, who alone knows of it; or it was declared. At
 * tarnd's end it is as if it had never been begun. */
static void on_reserved(struct pool *pool, int result)
{
	const struct log_about about = { .pool = pool->spec.name };
	bool declared = !pool->told.tell, heard = pool->told.who;

	if (result == -ECANCELED)
		return;
	if (result < 0)
		log_line(LOG_WARNING, &about, "its memory cannot be reserved: "
			 "%s", strerror(-result));
	pool_tell(pool, result);
	if (result < 0 && declared)
		lose_declared(pool);
	else if (result < 0 || (!declared && !heard))
		registry_remove(pool->registry, pool);
	else if (declared)
		registry_show_when_kept(pool->registry, pool);
}

void registry_reserve(struct registry *registry, struct pool *pool)
{
	pages_reserve(pool, registry->reaper, on_reserved);
}
