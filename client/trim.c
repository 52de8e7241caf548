/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Giving free pages back to the system.
 *
 * A page that is seen to be free may be claimed and written to the moment
 * after. So trim claims what it punches, as any other run, and gives it back
 * afterwards: a row (256 KiB) at most at a time, so that the pool is never
 * short of more than that because of it. A trim that dies has its row
 * released like any run that was being made (pool/run.c).
 *
 * The file itself tells which of its pages are in memory (SEEK_DATA), so
 * that free pages which are gone already are left alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "client/lane.h"
#include "pool/row.h"
#include "pool/run.h"

static int punch(struct tarn_pool *pool, uint64_t page, uint64_t n)
{
	int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	if (fallocate(pool->data_file.fd, mode, (off_t)(page << TN_PAGE_SHIFT),
		      (off_t)(n << TN_PAGE_SHIFT)) == 0)
		return 0;
	return errno == EOPNOTSUPP ? -ENOSYS : tn_neg_errno();
}

/* Free pages [page, page + n) of one row, if they still are. */
static int trim_run(struct tarn_pool *pool, const struct tn_lane_ref *l,
		    uint64_t page, uint64_t n)
{
	int r, e;

	if (!tn_run_take_at(&pool->p, l, TN_OP_RUN, page, n))
		return 0;
	r = punch(pool, page, n);
	e = tn_run_drop(&pool->p, l, TN_OP_RUN, page, n);
	return r < 0 ? r : e;
}

/* The free pages of one row among [from, to). */
static int trim_row(struct tarn_pool *pool, const struct tn_lane_ref *l,
		    uint64_t from, uint64_t to)
{
	uint64_t base = from & ~(uint64_t)(TN_ROW_PAGES - 1), free;
	unsigned at, n;
	int r = 0;

	free = ~tn_row_map(&pool->p, from / TN_ROW_PAGES) &
	       tn_mask(from % TN_ROW_PAGES, (unsigned)(to - from));
	while (free && r == 0) {
		at = (unsigned)__builtin_ctzll(free);
		n = ~(free >> at) ? (unsigned)__builtin_ctzll(~(free >> at))
				  : TN_ROW_PAGES;
		r = trim_run(pool, l, base + at, n);
		free &= ~tn_mask(at, n);
	}
	return r;
}

/* One stretch of the file that is in memory. */
static int trim_stretch(struct tarn_pool *pool, const struct tn_lane_ref *l,
			uint64_t from, uint64_t to)
{
	uint64_t next;
	int r = 0;

	for (; from < to && r == 0; from = next) {
		next = tn_min64(to, (from | (TN_ROW_PAGES - 1)) + 1);
		r = trim_row(pool, l, from, next);
	}
	return r;
}

static int trim_all(struct tarn_pool *pool, const struct tn_lane_ref *l, int fd)
{
	off_t from = 0, to;
	int r = 0;

	while (r == 0) {
		from = lseek(fd, from, SEEK_DATA);
		if (from < 0)
			return errno == ENXIO ? 0 : tn_neg_errno();
		to = lseek(fd, from, SEEK_HOLE);
		if (to < 0)
			return tn_neg_errno();
		r = trim_stretch(pool, l, (uint64_t)from >> TN_PAGE_SHIFT,
				 (uint64_t)to >> TN_PAGE_SHIFT);
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
