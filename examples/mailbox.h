/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * What producer.c and consumer.c agree on: a pool, a root in it, and behind
 * the root a ring of cells. A cell is 0 or the ref of a letter. The producer
 * publishes into the cells in turn, the consumer claims from them in turn.
 * Either may be killed at any moment and started again: no letter is read
 * twice, and only what a consumer had claimed is lost with it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tarn/tarn.h>

#define MAIL_POOL "mail"
#define MAIL_ROOT "mailbox"
#define MAIL_CELLS 16

struct mailbox {
	/* Each has one writer, and may lag by one if that died: the cells are
	 * what counts. */
	_Atomic uint64_t n_sent;
	_Atomic uint64_t n_read;
	uint64_t cell[MAIL_CELLS];
};

struct letter {
	size_t n_bytes;      /* 0: the last one */
	char text[];
};

static inline void mail_die(const char *what, int r)
{
	fprintf(stderr, "%s: %s\n", what, strerror(-r));
	exit(1);
}

static inline struct tarn_pool *mail_open(void)
{
	struct tarn *t;
	struct tarn_pool *pool;
	int r;

	r = tarn_connect(NULL, &t);
	if (r < 0)
		mail_die("tarnd", r);
	r = tarn_pool_create(t, MAIL_POOL, TARN_POOL_OPTS(.bytes = 1 << 20));
	if (r < 0 && r != -EEXIST)
		mail_die("create " MAIL_POOL, r);
	r = tarn_pool_open(t, MAIL_POOL, TARN_PRODUCER, &pool);
	if (r < 0)
		mail_die("open " MAIL_POOL, r);
	tarn_disconnect(t); /* the pool keeps what it needs of it */
	return pool;
}
