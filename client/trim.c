/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Giving free pages back to the system.
 *
 * The file itself tells which of its pages are in memory (SEEK_DATA), so
 * that free pages which are gone already are left alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "client/lane.h"
#include "pool/trim.h"

static int punch(int fd, uint64_t off, uint64_t bytes)
{
	int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	if (fallocate(fd, mode, (off_t)off, (off_t)bytes) == 0)
		return 0;
	return errno == EOPNOTSUPP ? -ENOSYS : tn_neg_errno();
}

static int punch_data(void *arg, uint64_t page, uint64_t n)
{
	const struct tarn_pool *pool = arg;

	return punch(pool->data_file.fd, page << TN_PAGE_SHIFT,
		     n << TN_PAGE_SHIFT);
}

static int punch_meta(void *arg, uint64_t off, uint64_t bytes)
{
	const struct tarn_pool *pool = arg;

	return punch(pool->meta_file.fd, off, bytes);
}

static int trim_all(struct tarn_pool *pool, const struct tn_lane_ref *l, int fd)
{
	const struct tn_punch how = {
		.data = punch_data, .arg = pool,
		.meta = tn_client_fd(&pool->meta_file, NULL) < 0 ?
			NULL : punch_meta,
	};
	off_t from = 0, to;
	int r = 0;

	while (r == 0) {
		from = lseek(fd, from, SEEK_DATA);
		if (from < 0)
			return errno == ENXIO ? 0 : tn_neg_errno();
		to = lseek(fd, from, SEEK_HOLE);
		if (to < 0)
			return tn_neg_errno();
		r = tn_trim(&pool->p, l, (uint64_t)from >> TN_PAGE_SHIFT,
			    (uint64_t)to >> TN_PAGE_SHIFT, &how);
		from = to;
	}
	return r;
}

TARN_API int tarn_trim(struct tarn_pool *pool, uint64_t *ret_bytes)
{
	struct tarn_lane *lane;
	uint64_t before = 0, after = 0;
	int r, fd;

	r = tn_client_check(pool, TARN_PRODUCER);
	if (r < 0)
		return r;
	if (pool->p.header->flags & TN_POOL_RESERVE) {
		if (ret_bytes)
			*ret_bytes = 0;
		return 0;
	}
	lane = tn_lane_slow(pool);
	if (!lane)
		return -errno;
	tn_rack_flush(&lane->rack);
	fd = tn_client_fd(&pool->data_file, &before);
	if (fd < 0)
		return -EBADF;
	r = trim_all(pool, &lane->rack.ref, fd);
	tn_client_fd(&pool->data_file, &after);
	if (ret_bytes)
		*ret_bytes = before > after ? before - after : 0;
	return r;
}
