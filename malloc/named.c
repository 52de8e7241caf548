/* SPDX-License-Identifier: BSD-2-Clause */
#include "malloc/named.h"

#include "client/pool.h"
#include "malloc/seat.h"
#include "tarn/tarn.h"

static struct tarn_pool *pool;
static bool forked;

/* libtarn is at work in this thread: what it allocates is not the program's. */
static __thread bool inside;

int tn_named_open(const char *name)
{
	struct tarn *t = NULL;
	struct tarn_pool *opened;
	int r;

	r = tarn_connect(NULL, &t);
	if (r < 0)
		return r;
	r = tarn_pool_open(t, name, TARN_PRODUCER, &opened);
	if (r < 0)
		return r;
	tn_seat_allow(false);
	tn_seat_quit();
	pool = opened;
	return 0;
}

bool tn_named_is_on(void)
{ return pool && !forked && !inside; }

void *tn_named_alloc(size_t bytes, size_t align)
{
	void *p;

	inside = true;
	p = tarn_alloc_aligned(pool, align, bytes);
	inside = false;
	return p;
}

bool tn_named_has(const void *p)
{
	return pool && tn_pool_off(&pool->p, p) < pool->p.geo.data_bytes;
}

size_t tn_named_bytes(const void *p)
{ return tarn_usable_bytes(pool, p); }

int tn_named_free(void *p)
{
	int r;

	if (forked)
		return 0;
	inside = true;
	r = tarn_free(pool, p);
	inside = false;
	return r;
}

void tn_named_forked(void)
{
	forked = true;
	inside = false;
	tn_seat_allow(true);
}
