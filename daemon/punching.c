/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of a compaction: memory of what is free goes back to the system.
 *
 *	data  | kept | kept | x |    | x |       handles | x |    | x |
 *	        ^ the lowest   ^ in memory, free: punched
 *
 * It goes through what is in memory of data, and then of the handles in meta,
 * a stretch at a time. In each pool/trim.c claims what is free, and that is
 * punched: with what the allocator knows about it, if that is a whole area.
 */
#include "daemon/punching.h"

#include <errno.h>
#include <unistd.h>

#include "daemon/pool.h"
#include "pool/trim.h"

/* The lowest free pages are those that are used next. Of an area that is free
 * throughout, which comes up once for each part of it that is in memory, all
 * is kept or nothing. */
static bool keep(struct punching *p, uint64_t page, uint64_t n)
{
	bool again = p->kept == page + 1 && n == TN_AREA_PAGES;
	uint64_t in_memory = tn_min64(page + n, p->to) -
			     tn_max64(page, p->from);

	p->kept = p->keep || again ? page + 1 : 0;
	p->keep -= tn_min64(p->keep, in_memory << TN_PAGE_SHIFT);
	return p->kept;
}

static int punch(void *arg, uint64_t page, uint64_t n)
{
	struct punching *p = arg;
	const struct pool *pool = p->pool;
	uint64_t handles = pool->geo.handle_page;

	if (keep(p, page, n))
		return 0;
	if (page < handles)
		return backing_punch_at(&pool->data, page << TN_PAGE_SHIFT,
					n << TN_PAGE_SHIFT);
	return backing_punch_at(&pool->meta, pool->geo.handles +
				((page - handles) << TN_PAGE_SHIFT),
				n << TN_PAGE_SHIFT);
}

/* What the allocator knows about an area that is free now. */
static int punch_meta(void *arg, uint64_t off, uint64_t bytes)
{
	const struct punching *p = arg;

	return p->kept ? 0 : backing_punch_at(&p->pool->meta, off, bytes);
}

/* The next stretch of the file at or after @at that is in memory, an area at
 * most. Return: false: none. */
static bool next_stretch(const struct backing *b, off_t at, off_t *ret_from,
			 off_t *ret_to)
{
	off_t from = lseek(b->fd, at, SEEK_DATA), to;

	if (from < 0)
		return false;
	to = lseek(b->fd, from, SEEK_HOLE);
	if (to < 0)
		return false;
	*ret_from = from;
	*ret_to = to - from > (off_t)TN_AREA_BYTES ?
		  from + (off_t)TN_AREA_BYTES : to;
	return true;
}

void punching_begin(struct punching *p, struct pool *pool, uint64_t keep_bytes)
{
	*p = (struct punching){ .pool = pool, .keep = keep_bytes };
}

int punching_step(struct punching *p)
{
	struct pool *pool = p->pool;
	const struct tn_geo *geo = &pool->geo;
	const struct backing *b = p->handles ? &pool->meta : &pool->data;
	/* the first page of the file's in page space, and where it lies */
	uint64_t first = p->handles ? geo->handle_page : 0;
	uint64_t base = p->handles ? geo->handles : 0;
	const struct tn_punch how = { punch, punch_meta, p };
	off_t from, to;

	if (p->handles && p->at < (off_t)base)
		p->at = (off_t)base;
	if (!next_stretch(b, p->at, &from, &to)) {
		if (p->handles)
			return 0;
		p->handles = true;
		p->at = 0;
		return 1;
	}
	p->at = to;
	p->from = first + (((uint64_t)from - base) >> TN_PAGE_SHIFT);
	p->to = first + (((uint64_t)to - base) >> TN_PAGE_SHIFT);
	return tn_trim(&pool->view, &pool->queue.self, p->from, p->to,
		       &how) < 0 ? -EUCLEAN : 1;
}
