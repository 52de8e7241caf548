/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "daemon/clock.h"
#include "daemon/log.h"
#include "daemon/pages.h"
#include "daemon/registry.h"

#define POOL_FDS 3 /* meta, data, self */

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
	return compact_rule_check(&spec->compact);
}

static int charge(struct pool *pool, struct quota *quota, bool force)
{
	uid_t uid = pool->spec.access.uid;
	int r;

	r = quota_charge(quota, &pool->pool_charge, uid, QUOTA_POOLS, 1, force);
	if (r == 0)
		r = quota_charge(quota, &pool->bytes_charge, uid, QUOTA_BYTES,
				 pool->spec.bytes, force);
	if (r == 0)
		r = quota_charge(quota, &pool->fds_charge, uid,
				 QUOTA_DESCRIPTORS, POOL_FDS, force);
	if (r == 0 && pool->spec.flags & TN_POOL_RESERVE)
		r = quota_charge(quota, &pool->reserved_charge, uid,
				 QUOTA_RESERVED, pool->geo.data_bytes +
				 pool->geo.meta_bytes, force);
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
	if (pool->spec.flags & TN_POOL_RESERVE)
		r = backing_reserve(ret, 0, ret->bytes);
	if (r < 0) {
		backing_fini(ret);
		return r;
	}
	header = ret->map;
	header->magic = TN_CONTROL_MAGIC;
	header->major = TN_LAYOUT_MAJOR;
	header->minor = TN_LAYOUT_MINOR;
	header->client = client;
	header->data_bytes = pool->geo.data_bytes;
	header->mark = pool->mark;
	return 0;
}

enum { META, DATA, SELF, N_FILES };

static void file_name(const struct pool_spec *spec, int which,
		      char ret[TN_NAME_BYTES + 16])
{
	static const char *const words[] = { "meta", "data", "tarnd" };

	snprintf(ret, TN_NAME_BYTES + 16, "tarn:%s:%s", spec->name,
		 words[which]);
}

static int make_files(struct pool *pool)
{
	char name[TN_NAME_BYTES + 16];
	int r;

	file_name(&pool->spec, META, name);
	r = backing_init(&pool->meta, name, pool->geo.meta_bytes,
			 PROT_READ | PROT_WRITE);
	if (r < 0)
		return r;
	file_name(&pool->spec, DATA, name);
	r = backing_init(&pool->data, name, pool->geo.data_bytes,
			 PROT_READ | PROT_WRITE);
	if (r < 0)
		return r;
	file_name(&pool->spec, SELF, name);
	return pool_make_control(pool, name, TN_DAEMON_SLOT, &pool->self);
}

static int look_at_files(struct pool *pool)
{
	uint8_t *self = pool->self.map;

	pool->view.shapes = calloc(TN_N_CLASSES, sizeof(*pool->view.shapes));
	if (!pool->view.shapes)
		return -ENOMEM;
	pool->queue.pool = &pool->view;
	pool->queue.self = (struct tn_lane_ref){
		.control = self,
		.rec = tn_lane_rec(&pool->geo, self, 0),
		.client = TN_DAEMON_SLOT,
	};
	return tn_pool_attach(&pool->view, pool->meta.map, pool->data.map,
			      &pool->geo, TN_PRODUCER);
}

static void set_busy(struct pool *pool)
{
	tn64_store_relaxed(&pool->queue.self.rec->state,
			   TN_LANE_BUSY | (uint64_t)getpid());
}

static int format(struct pool *pool)
{
	const struct pool_spec *spec = &pool->spec;
	int r;

	tn_pool_format(pool->meta.map, &pool->geo, spec->name, spec->kind,
		       spec->policy, spec->flags, pool->mark);
	r = look_at_files(pool);
	if (r < 0)
		return r;
	set_busy(pool);
	tn_lane_start(&pool->view, &pool->queue.self);
	return 0;
}

static void pool_close(struct pool *pool, int result)
{
	(void)result;
	keeper_pool_gone(pool);
	compactor_fini(&pool->compactor);
	free(pool->view.shapes);
	backing_fini(&pool->self);
	backing_fini(&pool->data);
	backing_fini(&pool->meta);
	quota_refund(&pool->bytes_charge);
	quota_refund(&pool->pool_charge);
	quota_refund(&pool->fds_charge);
	quota_refund(&pool->reserved_charge);
	pool_tell(pool, 0);
	free(pool);
}

/* At tarnd's end clients keep what they have. */
static void pool_free(struct pool *pool)
{
	struct reaper *reaper = pool->registry ? pool->registry->reaper : NULL;

	tn_assert(!pool->slots.n_used);
	if (pool->unlinked && reaper)
		pages_release(pool, reaper, pool_close);
	else
		pool_close(pool, 0);
}

static void pool_unrefp(struct pool **pool)
{
	*pool = pool_unref(*pool);
}

static struct pool *make_struct(const struct pool_spec *spec, uint64_t mark)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->spec = *spec;
	pool->mark = mark;
	pool->refs = 1;
	pool->meta = pool->data = pool->self = (struct backing)BACKING_NONE;
	slots_init(&pool->slots, NULL);
	compactor_init(&pool->compactor);
	tn_list_init(&pool->attachments);
	tn_list_init(&pool->self_job.link);
	reaper_queue_init(&pool->queue, spec->access.uid);
	return pool;
}

int pool_new(struct pool **ret, const struct pool_spec *spec, uint64_t mark,
	     struct quota *quota, bool force)
{
	tn_cleanup(pool_unrefp) struct pool *pool = make_struct(spec, mark);
	int r;

	if (!pool)
		return -ENOMEM;
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

/* having it again */

int pool_file_of(const struct pool_spec *spec, const struct tn_geo *geo, int fd)
{
	const uint64_t bytes[N_FILES] = {
		geo->meta_bytes, geo->data_bytes, geo->control_bytes,
	};
	char name[TN_NAME_BYTES + 16];

	for (int which = 0; which < N_FILES; which++) {
		file_name(spec, which, name);
		if (backing_check(fd, name, bytes[which]) == 0)
			return which;
	}
	return -1;
}

/* Clients can write there. What we know better is put right; the rest of the
 * pool is then as little to be believed. */
static int look_again(struct pool *pool)
{
	const struct pool_spec *spec = &pool->spec;
	int r = look_at_files(pool);

	if (r == 0 && pool->view.mark == pool->mark &&
	    pool->view.kind == spec->kind && pool->view.policy == spec->policy)
		return 0;
	if (r == -ENOMEM)
		return r;
	free(pool->view.shapes);
	tn_pool_write_header(pool->meta.map, &pool->geo, spec->name,
			     spec->kind, spec->policy, spec->flags, pool->mark);
	r = look_at_files(pool);
	if (r == 0)
		pool_poison(pool);
	return r;
}

static int map_files(struct pool *pool, const int fds[3])
{
	int r;

	pool->meta.fd = fds[META];
	r = backing_map(&pool->meta, pool->geo.meta_bytes,
			PROT_READ | PROT_WRITE);
	if (r < 0)
		return r;
	pool->data.fd = fds[DATA];
	r = backing_map(&pool->data, pool->geo.data_bytes,
			PROT_READ | PROT_WRITE);
	if (r < 0)
		return r;
	pool->self.fd = fds[SELF];
	return backing_map(&pool->self, pool->geo.control_bytes,
			   PROT_READ | PROT_WRITE);
}

int pool_restore(struct pool **ret, const struct pool_spec *spec, uint64_t mark,
		 struct quota *quota, int fds[3])
{
	tn_cleanup(pool_unrefp) struct pool *pool = make_struct(spec, mark);
	int r;

	if (!pool)
		return -ENOMEM;
	r = tn_geo_init(&pool->geo, spec->bytes);
	if (r == 0)
		r = charge(pool, quota, true);
	if (r == 0)
		r = map_files(pool, fds);
	if (r == 0)
		r = look_again(pool);
	if (r == 0)
		*ret = tn_steal_ptr(pool);
	else if (pool)
		pool->meta.fd = pool->data.fd = pool->self.fd = -1;
	return r;
}

/* The lane goes on from where it was; a new one in its place would forget
 * what its last step was. */
static void on_self_restored(struct reaper_job *job)
{
	struct pool *pool = tn_list_entry(job, struct pool, self_job);
	const struct log_about about = { .pool = pool->spec.name };

	log_line(LOG_DEBUG, &about, "what an earlier tarnd had under way is "
		 "settled in %lld us",
		 (long long)((clock_ns() - pool->self_began_ns) / 1000));
	set_busy(pool);
	tn64_store_relaxed(&pool->view.clients[TN_DAEMON_SLOT].state, 0);
	if (job->result < 0)
		pool_poison(pool);
	pool_unref(pool);
}

void pool_restore_self(struct pool *pool, struct reaper *reaper)
{
	struct reaper_job *job = &pool->self_job;

	job->control = pool->self.map;
	job->client = TN_DAEMON_SLOT;
	job->done = on_self_restored;
	pool->self_began_ns = clock_ns();
	pool_ref(pool);
	reaper_post(reaper, &pool->queue, job);
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

void pool_tell(struct pool *pool, int result)
{
	void *who = pool->told.who;

	pool->told.who = NULL;
	if (who)
		pool->told.tell(who, result);
}

void pool_revoke(struct pool *pool)
{
	tn64_store_relaxed(&pool->view.header->poison, TN_REVOKED);
}

void pool_poison(struct pool *pool)
{
	pool->poisoned = true;
	compactor_stop(pool, EUCLEAN);
	if (pool->kept.there)
		keeper_pool_there(pool);
	/* read by itself; what it stops needs no order */
	tn64_store_relaxed(&pool->view.header->poison, TN_POISONED);
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
