/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening a pool and leaving it: mappings, identity, and their end. */
#include "client/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "client/lane.h"
#include "proto/wire.h"

static_assert((int)TARN_KIND_SLAB == (int)TN_KIND_SLAB &&
	      (int)TARN_KIND_BUDDY == (int)TN_KIND_BUDDY &&
	      (int)TARN_FIRST_FIT == (int)TN_FIRST_FIT &&
	      (int)TARN_BEST_FIT == (int)TN_BEST_FIT &&
	      (int)TARN_WORST_FIT == (int)TN_WORST_FIT &&
	      (int)TARN_PRODUCER == (int)TN_PRODUCER &&
	      (int)TARN_CONSUMER == (int)TN_CONSUMER &&
	      (int)TARN_OBSERVER == (int)TN_OBSERVER &&
	      TARN_POOL_ABORT_ON_MISUSE == TN_POOL_ABORT_ON_MISUSE &&
	      TARN_NAME_MAX + 1 == TN_NAME_BYTES &&
	      TARN_CLASS_MAX == TN_CLASS_BYTES_MAX &&
	      TARN_POOL_MIN == TN_POOL_BYTES_MIN &&
	      TARN_POOL_MAX == TN_POOL_BYTES_MAX,
	      "the public constants are the protocol's");

int tn_client_check(const struct tarn_pool *pool, enum tarn_role role)
{
	if (!pool->key)
		return -EBADF;
	if (!pool->alive->alive)
		return -ECHILD;
	if (pool->p.role > (uint32_t)role)
		return -EACCES;
	if (tn64_load_relaxed(&pool->p.header->poison))
		return -EUCLEAN;
	return 0;
}

int tn_client_name(const char *name, char ret[TN_NAME_BYTES])
{
	size_t len = name ? strnlen(name, TN_NAME_BYTES) : 0;

	if (!len || len >= TN_NAME_BYTES)
		return -EINVAL;
	memset(ret, 0, TN_NAME_BYTES);
	memcpy(ret, name, len);
	return tn_name_ok(ret) ? 0 : -EINVAL;
}

/* Structs of closed pools, for the next ones: see client/pool.h. */
static pthread_mutex_t closed_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tarn_pool *closed_pools;
static tn_a64 last_key = { 1 };

static struct tarn_pool *pool_new(void)
{
	struct tarn_pool *pool;

	pthread_mutex_lock(&closed_lock);
	pool = closed_pools;
	if (pool)
		closed_pools = pool->next_closed;
	pthread_mutex_unlock(&closed_lock);
	if (pool)
		memset(pool, 0, sizeof(*pool));
	else
		pool = calloc(1, sizeof(*pool));
	if (pool) {
		pool->data_fd = -1;
		pool->meta_fd = -1;
		pool->p.shapes = pool->shapes;
	}
	return pool;
}

static void unmap(void *p, uint64_t bytes)
{
	if (p)
		munmap(p, bytes);
}

/* Undoes whatever opening has done so far. */
static void pool_free(struct tarn_pool *pool)
{
	if (!pool)
		return;
	pool->key = 0;
	unmap(pool->p.meta, pool->p.geo.meta_bytes);
	unmap(pool->p.data, pool->p.geo.data_bytes);
	unmap(pool->control, pool->p.geo.control_bytes);
	unmap(pool->alive, TN_PAGE_BYTES);
	tn_closep(&pool->data_fd);
	tn_closep(&pool->meta_fd);
	if (pool->conn)
		tn_conn_unref(pool->conn);
	pool->conn = NULL;
	pthread_mutex_lock(&closed_lock);
	pool->next_closed = closed_pools;
	closed_pools = pool;
	pthread_mutex_unlock(&closed_lock);
}

/* A file that the daemon sent, of just the size it must have. */
static int map_file(int fd, uint64_t bytes, bool writable, void *ret)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) < 0)
		return tn_neg_errno();
	if ((uint64_t)st.st_size != bytes)
		return -EUCLEAN;
	p = mmap(NULL, bytes, PROT_READ | (writable ? PROT_WRITE : 0),
		 MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (p == MAP_FAILED)
		return tn_neg_errno();
	/* other users' objects have no place in this process's core */
	madvise(p, bytes, MADV_DONTDUMP);
	*(void **)ret = p;
	return 0;
}

static int map_alive(struct tarn_pool *pool)
{
	void *p = mmap(NULL, TN_PAGE_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return tn_neg_errno();
	pool->alive = p;
	if (madvise(p, TN_PAGE_BYTES, MADV_WIPEONFORK) < 0)
		return tn_neg_errno();
	pool->alive->alive = 1;
	return 0;
}

/* Maps what came; geometry and sizes are computed here, not believed. */
static int map_pool(struct tarn_pool *pool, const struct tn_open_reply *o,
		    const int fds[3])
{
	void *meta, *data;
	int r;

	r = tn_geo_init(&pool->p.geo, o->data_bytes);
	if (r < 0 || o->role < TN_PRODUCER || o->role > TN_OBSERVER)
		return -EUCLEAN;
	r = map_file(fds[0], pool->p.geo.meta_bytes, o->role != TN_OBSERVER,
		     &meta);
	if (r < 0)
		return r;
	pool->p.meta = meta;
	r = map_file(fds[1], pool->p.geo.data_bytes, o->role == TN_PRODUCER,
		     &data);
	if (r < 0)
		return r;
	pool->p.data = data;
	r = map_file(fds[2], pool->p.geo.control_bytes, true, &pool->control);
	if (r < 0)
		return r;
	r = map_alive(pool);
	if (r < 0)
		return r;
	return tn_pool_attach(&pool->p, meta, data, &pool->p.geo, o->role);
}

static int control_check(const struct tarn_pool *pool)
{
	const struct tn_control *c = (const void *)pool->control;

	if (c->magic != TN_CONTROL_MAGIC || c->major != TN_LAYOUT_MAJOR ||
	    c->client != pool->client || c->mark != pool->p.mark ||
	    !pool->client || pool->client > TN_CLIENT_ID_MASK)
		return -EUCLEAN;
	return 0;
}

static int pool_attach(struct tarn_pool *pool, struct tn_conn *conn,
		       const char *name, enum tarn_role role)
{
	struct tn_open_reply o;
	int fds[3] = { -1, -1, -1 }, r;

	r = tn_conn_attach(conn, name, role, &o, fds);
	if (r < 0)
		return r;
	pool->conn = tn_conn_ref(conn);
	pool->attach = o.attach;
	pool->client = o.client;
	r = map_pool(pool, &o, fds);
	if (r == 0)
		r = control_check(pool);
	tn_closep(&fds[2]);
	pool->meta_fd = fds[0];
	pool->data_fd = fds[1];
	if (r < 0)
		tn_conn_leave(conn, o.attach);
	return r;
}

TARN_API int tarn_pool_open(struct tarn *t, const char *name,
			    enum tarn_role role, struct tarn_pool **ret)
{
	char padded[TN_NAME_BYTES];
	struct tarn_pool *pool;
	int r;

	r = tn_client_name(name, padded);
	if (r < 0 || role < TARN_PRODUCER || role > TARN_OBSERVER)
		return -EINVAL;
	pool = pool_new();
	if (!pool)
		return -ENOMEM;
	r = pool_attach(pool, tn_conn_of(t), padded, role);
	if (r < 0) {
		pool_free(pool);
		return r;
	}
	if (role == TARN_PRODUCER && pool->p.kind == TN_KIND_SLAB)
		pool->class_max = TARN_CLASS_MAX;
	pool->key = atomic_fetch_add(&last_key.v, 1) + 1;
	*ret = pool;
	return 0;
}

TARN_API void tarn_pool_close(struct tarn_pool *pool)
{
	if (!pool || !pool->key)
		return;
	/* in a forked child the lanes are wiped, and the client is not ours */
	if (pool->alive->alive) {
		tn_lanes_close(pool);
		tn_conn_leave(pool->conn, pool->attach);
	}
	pool_free(pool);
}

TARN_API uint32_t tarn_client_id(const struct tarn_pool *pool)
{ return pool->client; }
