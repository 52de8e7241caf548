/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Work on all pages of a pool, a slice at a time, on the reaper's thread.
 *
 *	            .pages.file, .off       a slice
 *	reserve     meta, data         -->  fallocate() of SLICE_BYTES
 *	release     meta, data         -->  punch of what is next in memory
 *
 * Reserve: that memory is short is found out here, by memory.c, and answered;
 * afterwards no page of the pool can be missing. On failure the pool goes, and
 * with it what it had got.
 *
 * Release: a hole can be punched into a sealed file, whoever has it mapped. Who
 * still has (it left without unmapping, or the pool was revoked) reads zeros,
 * and what it writes from then on is memory that it might have had without us;
 * so the pool's owner is not charged any more. Offsets only ascend, so that it
 * ends however fast pages are touched behind it. The first page of meta stays,
 * for it tells clients that the pool is revoked. Of a reserved pool every slice
 * is punched: memory that nobody has written to counts as a hole already.
 *
 * Only one of these is under way for a pool, and nothing else: it is not yet,
 * or not any more, in use here.
 */
#include "daemon/pages.h"

#include <errno.h>

#include "base/bits.h"
#include "daemon/memory.h"

#define SLICE_BYTES (1ULL << 20) /* some 200 us */
#define LOOK_BYTES (64ULL << 20) /* so often memory is looked at: 50 us */
#define MARGIN_BYTES (64ULL << 20) /* left to others; picked, not tuned */
#define SMALL_BYTES (1ULL << 20) /* given back at once: some 100 us */

static const struct backing *file_of(const struct pool *pool)
{
	const struct backing *files[] = { &pool->meta, &pool->data };

	return pool->pages.file < TN_ARRAY_LEN(files) ?
	       files[pool->pages.file] : NULL;
}

static void next_file(struct pool *pool)
{
	pool->pages.file++;
	pool->pages.off = 0;
}

static struct pool *pool_of(struct reaper_task *task)
{
	return tn_list_entry(task, struct pool, pages.task);
}

/* At first for all of it, for why begin what cannot be ended? */
static int look(struct pool *pool)
{
	bool first = pool->pages.file == 0 && pool->pages.off == 0;
	uint64_t need = first ? pool->meta.bytes + pool->data.bytes :
				LOOK_BYTES;

	if (pool->pages.seen < SLICE_BYTES) {
		if (memory_available("") < need + MARGIN_BYTES)
			return -ENOMEM;
		pool->pages.seen = LOOK_BYTES;
	}
	pool->pages.seen -= SLICE_BYTES;
	return 0;
}

static int reserve_slice(struct reaper_task *task)
{
	struct pool *pool = pool_of(task);
	const struct backing *b = file_of(pool);
	uint64_t bytes;
	int r;

	if (!b)
		return 0;
	bytes = tn_min64(b->bytes - pool->pages.off, SLICE_BYTES);
	r = look(pool);
	if (r == 0)
		r = backing_reserve(b, pool->pages.off, bytes);
	if (r < 0)
		return r;
	pool->pages.off += bytes;
	if (pool->pages.off == b->bytes)
		next_file(pool);
	return 1;
}

/* Whatever goes wrong, the files are closed in the end. */
static int release_slice(struct reaper_task *task)
{
	struct pool *pool = pool_of(task);
	const struct backing *b = file_of(pool);
	bool blind = pool->spec.flags & TN_POOL_RESERVE;

	if (!b)
		return 0;
	if (backing_punch(b, pool->pages.off, blind, &pool->pages.off) < 0 ||
	    pool->pages.off >= b->bytes)
		next_file(pool);
	return 1;
}

static void on_done(struct reaper_task *task)
{
	struct pool *pool = pool_of(task);

	pool->pages.done(pool, task->result);
}

static void begin(struct pool *pool, int (*slice)(struct reaper_task *task),
		  void (*done)(struct pool *pool, int result))
{
	pool->pages.file = 0;
	pool->pages.off = 0;
	pool->pages.seen = 0;
	pool->pages.done = done;
	pool->pages.task.slice = slice;
	pool->pages.task.done = on_done;
}

static int all_slices(struct pool *pool)
{
	int r;

	do
		r = pool->pages.task.slice(&pool->pages.task);
	while (r > 0);
	return r;
}

void pages_reserve(struct pool *pool, struct reaper *reaper,
		   void (*done)(struct pool *pool, int result))
{
	begin(pool, reserve_slice, done);
	reaper_do(reaper, &pool->pages.task, pool->spec.access.uid);
}

int pages_reserve_now(struct pool *pool)
{
	begin(pool, reserve_slice, NULL);
	return all_slices(pool);
}

bool pages_few(const struct pool *pool)
{
	return backing_resident(&pool->data) + backing_resident(&pool->meta) <=
	       SMALL_BYTES;
}

void pages_release(struct pool *pool, struct reaper *reaper,
		   void (*done)(struct pool *pool, int result))
{
	begin(pool, release_slice, done);
	pool->pages.off = TN_PAGE_BYTES;
	if (reaper && !pages_few(pool))
		reaper_do(reaper, &pool->pages.task, pool->spec.access.uid);
	else
		done(pool, all_slices(pool));
}
