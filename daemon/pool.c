/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"

const char *pool_spec_check(struct pool_spec *spec)
{
	struct tn_geo geo;

	if (!tn_name_ok(spec->name))
		return "bad name";
	if (spec->bytes > TN_POOL_BYTES_MAX)
		return "bytes: more than 1T";
	spec->bytes = tn_round_up(spec->bytes, TN_PAGE_BYTES);
	if (tn_geo_init(&geo, spec->bytes) < 0)
		return "bytes: less than 1M";
	if (spec->kind != TN_KIND_SLAB && spec->kind != TN_KIND_BUDDY)
		return "bad kind";
	if (spec->policy < TN_FIRST_FIT || spec->policy > TN_WORST_FIT)
		return "bad policy";
	if (spec->flags & ~TN_POOL_FLAGS_KNOWN)
		return "bad flags";
	if (spec->access.mode & ~ACCESS_MODE_MASK)
		return "bad mode";
	return NULL;
}

static int charge(struct pool *pool, struct quota *quota, bool force)
{
	uid_t uid = pool->spec.access.uid;
	int r;

	r = quota_charge(quota, &pool->pool_charge, uid, QUOTA_POOLS, 1, force);
	if (r == 0)
		r = quota_charge(quota, &pool->bytes_charge, uid, QUOTA_BYTES,
				 pool->spec.bytes, force);
	return r == QUOTA_EXCEEDED ? POOL_NO_QUOTA : r;
}

int pool_make_control(const struct pool *pool, const char *name,
		      uint32_t client, struct backing *ret)
{
	struct tn_control *header;
	int r;

	r = backing_init(ret, name, pool->geo.control_bytes,
			 PROT_READ | PROT_WRITE);
	if (r < 0)
		return r;
	header = ret->map;
	header->magic = TN_CONTROL_MAGIC;
	header->major = TN_LAYOUT_MAJOR;
	header->minor = TN_LAYOUT_MINOR;
	header->client = client;
	header->data_bytes = pool->geo.data_bytes;
	header->mark = pool->mark;
	return 0;
}

static int make_files(struct pool *pool)
{
	char name[TN_NAME_BYTES + 16];
	int r;

	snprintf(name, sizeof(name), "tarn:%s:meta", pool->spec.name);
	r = backing_init(&pool->meta, name, pool->geo.meta_bytes,
			 PROT_READ | PROT_WRITE);
	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "tarn:%s:data", pool->spec.name);
	r = backing_init(&pool->data, name, pool->geo.data_bytes,
			 PROT_READ);
	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "tarn:%s:tarnd", pool->spec.name);
	return pool_make_control(pool, name, TN_DAEMON_SLOT, &pool->self);
}

static int format(struct pool *pool)
{
	const struct pool_spec *spec = &pool->spec;
	uint8_t *self = pool->self.map;
	int r;

	tn_pool_format(pool->meta.map, &pool->geo, spec->name, spec->kind,
		       spec->policy, spec->flags, pool->mark);
	pool->view.shapes = calloc(TN_N_CLASSES, sizeof(*pool->view.shapes));
	if (!pool->view.shapes)
		return -ENOMEM;
	pool->queue.pool = &pool->view;
	pool->queue.self = (struct tn_lane_ref){
		.control = self,
		.rec = tn_lane_rec(&pool->geo, self, 0),
		.client = TN_DAEMON_SLOT,
	};
	r = tn_pool_attach(&pool->view, pool->meta.map, pool->data.map,
			   &pool->geo, TN_PRODUCER);
	if (r < 0)
		return r;
	tn64_store_relaxed(&pool->queue.self.rec->state,
			   TN_LANE_BUSY | (uint64_t)getpid());
	tn_lane_start(&pool->view, &pool->queue.self);
	return 0;
}

static void pool_free(struct pool *pool)
{
	tn_assert(!pool->slots.n_used);
	free(pool->view.shapes);
	backing_fini(&pool->self);
	backing_fini(&pool->data);
	backing_fini(&pool->meta);
	quota_refund(&pool->bytes_charge);
	quota_refund(&pool->pool_charge);
	free(pool);
}

static void pool_unrefp(struct pool **pool)
{
	*pool = pool_unref(*pool);
}

int pool_new(struct pool **ret, const struct pool_spec *spec, uint64_t mark,
	     struct quota *quota, bool force)
{
	tn_cleanup(pool_unrefp) struct pool *pool = calloc(1, sizeof(*pool));
	int r;

	if (!pool)
		return -ENOMEM;
	pool->spec = *spec;
	pool->mark = mark;
	pool->refs = 1;
	pool->meta = pool->data = pool->self = (struct backing)BACKING_NONE;
	slots_init(&pool->slots);
	tn_list_init(&pool->attachments);
	reaper_queue_init(&pool->queue);
	r = tn_geo_init(&pool->geo, spec->bytes);
	if (r == 0)
		r = charge(pool, quota, force);
	if (r == 0)
		r = make_files(pool);
	if (r == 0)
		r = format(pool);
	if (r == 0)
		*ret = tn_steal_ptr(pool);
	return r;
}

struct pool *pool_ref(struct pool *pool)
{
	pool->refs++;
	return pool;
}

struct pool *pool_unref(struct pool *pool)
{
	if (pool && --pool->refs == 0)
		pool_free(pool);
	return NULL;
}

unsigned pool_n_clients(const struct pool *pool)
{
	return pool->slots.n_used;
}

void pool_poison(struct pool *pool)
{
	pool->poisoned = true;
	/* read by itself; what it stops needs no order */
	tn64_store_relaxed(&pool->view.header->poison, 1);
}

void pool_info(const struct pool *pool, struct tn_info *ret)
{
	const struct pool_spec *spec = &pool->spec;

	*ret = (struct tn_info){
		.bytes = spec->bytes,
		.data_resident = backing_resident(&pool->data),
		.meta_resident = backing_resident(&pool->meta),
		.kind = spec->kind,
		.policy = spec->policy,
		.flags = spec->flags |
			 (pool->poisoned ? TN_INFO_POISONED : 0),
		.mode = spec->access.mode,
		.uid = spec->access.uid,
		.gid = spec->access.gid,
		.n_clients = pool_n_clients(pool),
	};
	memcpy(ret->name, spec->name, sizeof(ret->name));
}
