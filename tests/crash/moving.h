/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * What the clients of both storms with a mover do to objects that have handles:
 * see tests/crash/test_moving.c. Define OBJECT_BYTES_MAX first: none is longer.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include <tarn/handle.h>

#include "tests/lib/tn_busy.h"
#include "tests/stress/object.h"

#define COMMON_BYTES 4000U

/* One that anybody writes, one at a time. */
struct common {
	atomic_uint writer;  /* id of who may write it, or 0 */
	tarn_ref h;          /* the pool holds it */
};

/* Between the processes of a test; it may have more. */
struct moving {
	atomic_uint faults;
	atomic_ulong ops, told;
};

static struct moving *moving;
static uint64_t seed;

static inline uint64_t next(void) { return tn_busy_random(&seed) >> 8; }

static inline void fault(const char *what, uint64_t a, uint64_t b)
{
	dprintf(2, "client %d: %s: %llx %llx, errno %d\n", (int)getpid(), what,
		(unsigned long long)a, (unsigned long long)b, errno);
	atomic_fetch_add(&moving->faults, 1);
	_exit(1);
}

static inline void look_at(const struct object *o, tarn_ref h)
{
	if (!object_is_right(o, OBJECT_BYTES_MAX))
		fault("torn", h, object_size(o));
}

static inline void write_object(struct object *o, uint32_t bytes)
{ object_fill(o, bytes, (uint32_t)next()); }

/* Return: a new one; 0: there is no room. */
static inline tarn_ref make(struct tarn_pool *pool, uint32_t bytes)
{
	tarn_ref h = tarn_halloc(pool, bytes);
	struct object *o;

	if (!h && errno != ENOMEM)
		fault("halloc", bytes, 0);
	if (!h)
		return 0;
	o = tarn_pin(pool, h);
	if (!o)
		fault("pin of a new one", h, 0);
	write_object(o, bytes);
	if (tarn_unpin(pool, h))
		fault("unpin", h, 0);
	return h;
}

/* Our own: it cannot be stale, and nobody else writes. */
static inline void use_mine(struct tarn_pool *pool, tarn_ref h)
{
	struct object *o;
	const struct object *r;

	switch (next() % 4) {
	case 0:
		o = tarn_pin(pool, h);
		if (!o)
			fault("pin of mine", h, 0);
		look_at(o, h);
		write_object(o, object_size(o));
		tarn_unpin(pool, h);
		break;
	case 1:
		if (tarn_enter(pool))
			fault("enter", h, 0);
		r = tarn_deref(pool, h);
		if (!r)
			fault("deref of mine", h, 0);
		look_at(r, h);
		tarn_exit(pool);
		break;
	default:
		r = tarn_pin_read(pool, h);
		if (!r)
			fault("read pin of mine", h, 0);
		look_at(r, h);
		tarn_unpin(pool, h);
	}
}

static inline void free_mine(struct tarn_pool *pool, tarn_ref h)
{
	if (tarn_hfree(pool, h))
		fault("free of mine", h, 0);
	if (tarn_pin(pool, h) || errno != ESTALE)
		fault("pin of a freed one", h, 0);
}

/* @was writes it, or 0; then he is gone. Who comes after a writer that died
 * has been told so, or finds it whole. */
static inline void use_common(struct tarn_pool *pool, struct common *c,
			      unsigned was, unsigned self)
{
	struct object *o;

	if (!atomic_compare_exchange_strong(&c->writer, &was, self))
		return;
	o = tarn_pin(pool, c->h);
	if (!o && errno == EOWNERDEAD) {
		atomic_fetch_add(&moving->told, 1);
		o = tarn_pin(pool, c->h);
		if (o)
			write_object(o, COMMON_BYTES);
	}
	if (!o)
		fault("pin of a common one", c->h, 0);
	look_at(o, c->h);
	write_object(o, COMMON_BYTES);
	tarn_unpin(pool, c->h);
	atomic_store(&c->writer, 0);
}
