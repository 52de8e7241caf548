/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening a pool and leaving it: mappings, identity, and their end. */
#include "client/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "client/lane.h"
#include "client/move.h"
#include "client/process.h"
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
	      TARN_POOL_RESERVE == TN_POOL_RESERVE &&
	      TARN_NAME_MAX + 1 == TN_NAME_BYTES &&
	      TARN_CLASS_MAX == TN_CLASS_BYTES_MAX &&
	      TARN_POOL_MIN == TN_POOL_BYTES_MIN &&
	      TARN_POOL_MAX == TN_POOL_BYTES_MAX,
	      "the public constants are the protocol's");

int tn_client_name(const char *name, char ret[TN_NAME_BYTES])
{
	size_t len = name ? strnlen(name, TN_NAME_BYTES) : 0;

	if (!len || len >= TN_NAME_BYTES)
		return -EINVAL;
	memset(ret, 0, TN_NAME_BYTES);
	memcpy(ret, name, len);
	return tn_name_ok(ret) ? 0 : -EINVAL;
}

int tn_client_fd(const struct tn_file *file, uint64_t *ret_bytes)
{
	struct stat st;

	if (file->fd < 0 || fstat(file->fd, &st) < 0 ||
	    st.st_dev != file->dev || st.st_ino != file->ino)
		return -1;
	if (ret_bytes)
		*ret_bytes = (uint64_t)st.st_blocks * 512;
	return file->fd;
}

static void file_close(struct tn_file *file)
{
	if (tn_client_fd(file, NULL) >= 0)
		close(file->fd);
	file->fd = -1;
}

static void file_keep(struct tn_file *file, int fd)
{
	struct stat st;

	file_close(file);
	if (fd < 0 || fstat(fd, &st) < 0) {
		tn_closep(&fd);
		return;
	}
	*file = (struct tn_file){ fd, st.st_dev, st.st_ino };
}

/* Structs of closed pools, for the next ones: see client/pool.h. */
static struct tarn_pool *closed_pools;
static tn_a64 last_key = { 1 };

static struct tarn_pool *pool_new(void)
{
	struct tarn_pool *pool;

	tn_process_lock();
	pool = closed_pools;
	if (pool)
		closed_pools = pool->next_closed;
	tn_process_unlock();
	if (pool)
		memset(pool, 0, sizeof(*pool));
	else
		pool = calloc(1, sizeof(*pool));
	if (pool) {
		pool->data_file.fd = -1;
		pool->meta_file.fd = -1;
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
	file_close(&pool->data_file);
	file_close(&pool->meta_file);
	if (pool->conn)
		tn_conn_unref(pool->conn);
	pool->conn = NULL;
	tn_process_lock();
	pool->next_closed = closed_pools;
	closed_pools = pool;
	tn_process_unlock();
}

/*
 * A file that the daemon sent, of just the size it must have, mapped at a
 * multiple of an area, so that alignment in the file is alignment here.
 */
static int map_file(int fd, uint64_t bytes, bool writable, void *ret)
{
	uint8_t *room, *p;
	struct stat st;
	uint64_t head;

	if (fstat(fd, &st) < 0)
		return tn_neg_errno();
	if ((uint64_t)st.st_size != bytes)
		return -EUCLEAN;
	room = mmap(NULL, bytes + TN_AREA_BYTES, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (room == MAP_FAILED)
		return tn_neg_errno();
	head = -(uintptr_t)room & (TN_AREA_BYTES - 1);
	p = mmap(room + head, bytes, PROT_READ | (writable ? PROT_WRITE : 0),
		 MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0);
	if (p == MAP_FAILED) {
		munmap(room, bytes + TN_AREA_BYTES);
		return -ENOMEM;
	}
	unmap(head ? room : NULL, head);
	unmap(p + bytes, TN_AREA_BYTES - head);
	/* other users' objects have no place in this process's core */
	madvise(p, bytes, MADV_DONTDUMP);
	*(void **)ret = p;
	return 0;
}

/* For the light side of pins and gives; a process has to ask for it once. */
static bool must_fence(void)
{
	return syscall(SYS_membarrier,
		       MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) < 0;
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
	return tn_pool_attach(&pool->p, meta, data, &pool->p.geo, o->role);
}

/* The control file, which makes this process the client that it names. */
static int map_control(struct tarn_pool *pool, const struct tn_open_reply *o,
		       int fd)
{
	const struct tn_control *c;
	uint8_t *control;
	int r;

	r = map_file(fd, pool->p.geo.control_bytes, true, &control);
	if (r < 0)
		return r;
	c = (const void *)control;
	if (c->magic != TN_CONTROL_MAGIC || c->major != TN_LAYOUT_MAJOR ||
	    c->client != o->client || c->mark != pool->p.mark ||
	    !o->client || o->client > TN_CLIENT_ID_MASK) {
		unmap(control, pool->p.geo.control_bytes);
		return -EUCLEAN;
	}
	unmap(pool->control, pool->p.geo.control_bytes);
	pool->control = control;
	pool->p.must_fence = must_fence();
	pool->client = o->client;
	pool->attach = o->attach;
	return 0;
}

static int pool_attach(struct tarn_pool *pool, struct tn_conn *conn,
		       enum tarn_role role)
{
	struct tn_open_reply o;
	int fds[3] = { -1, -1, -1 }, r;

	r = tn_conn_attach(conn, pool->name, role, &o, fds);
	if (r < 0)
		return r;
	pool->conn = tn_conn_ref(conn);
	r = map_pool(pool, &o, fds);
	if (r == 0)
		r = map_control(pool, &o, fds[2]);
	tn_closep(&fds[2]);
	file_keep(&pool->meta_file, fds[0]);
	file_keep(&pool->data_file, fds[1]);
	if (r < 0)
		tn_conn_leave(conn, o.attach);
	return r;
}

/*
 * In a forked process: a client of its own, over a connection of its own. The
 * mappings of data and meta are as good as new ones, and stay, for there are
 * pointers into them. Called under the process lock.
 */
static int pool_adopt(struct tarn_pool *pool, uint64_t process)
{
	struct tn_conn *conn, *old = pool->conn;
	int fds[3] = { -1, -1, -1 }, r;
	struct tn_open_reply o;

	r = tn_conn_fork(old, &conn);
	if (r < 0)
		return r;
	r = tn_conn_attach(conn, pool->name, pool->p.role, &o, fds);
	if (r == 0) {
		/* another pool may have the name by now */
		r = o.mark == pool->p.mark &&
		    o.data_bytes == pool->p.geo.data_bytes ?
		    map_control(pool, &o, fds[2]) : -ESTALE;
		tn_closep(&fds[2]);
		if (r < 0)
			tn_conn_leave(conn, o.attach);
	}
	if (r < 0) {
		tn_closep(&fds[0]);
		tn_closep(&fds[1]);
		tn_conn_unref(conn);
		return r;
	}
	/* the inherited descriptors are the parent's, offset and all */
	file_keep(&pool->meta_file, fds[0]);
	file_keep(&pool->data_file, fds[1]);
	pool->conn = conn;
	tn_conn_unref(old);
	pool->process = process;
	/* what this thread remembers of the parent's lane is no good */
	pool->key = atomic_fetch_add(&last_key.v, 1) + 1;
	return 0;
}

static int adopt_once(struct tarn_pool *pool)
{
	uint64_t process = tn_process_number();
	int r = 0;

	tn_process_lock();
	if (pool->process != process)
		r = pool_adopt(pool, process);
	tn_process_unlock();
	return r;
}

int tn_client_check(struct tarn_pool *pool, enum tarn_role role)
{
	uint64_t poison;

	if (!pool->key)
		return -EBADF;
	if (pool->p.role > (uint32_t)role)
		return -EACCES;
	poison = tn64_load_relaxed(&pool->p.header->poison);
	if (poison)
		return poison == TN_REVOKED ? -EIDRM : -EUCLEAN;
	if (tn_likely(pool->process == tn_process_number()))
		return 0;
	return adopt_once(pool);
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
	pool = tn_process() ? pool_new() : NULL;
	if (!pool)
		return -ENOMEM;
	memcpy(pool->name, padded, sizeof(padded));
	r = pool_attach(pool, tn_conn_of(t), role);
	if (r < 0) {
		pool_free(pool);
		return r;
	}
	if (role == TARN_PRODUCER && pool->p.kind == TN_KIND_SLAB)
		pool->class_max = TARN_CLASS_MAX;
	pool->process = tn_process_number();
	pool->moves = tn_move_wanted();
	pool->key = atomic_fetch_add(&last_key.v, 1) + 1;
	*ret = pool;
	return 0;
}

TARN_API void tarn_pool_close(struct tarn_pool *pool)
{
	if (!pool || !pool->key)
		return;
	/* in a forked process the lanes are wiped, and the client not ours */
	if (pool->process == tn_process_number()) {
		tn_lanes_close(pool);
		tn_conn_leave(pool->conn, pool->attach);
	}
	pool_free(pool);
}

TARN_API uint32_t tarn_client_id(const struct tarn_pool *pool)
{ return pool->client; }
