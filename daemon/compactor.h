/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Making a pool small while it is in use. See compactor.c. */
#include <pthread.h>
#include <stdint.h>

#include "daemon/reaper.h"
#include "proto/wire.h"

struct event;
struct pool;
struct server;

/* In a pool; all zero but for what compactor_init() does. */
struct compactor {
	pthread_mutex_t clients;   /* of pool->attachments: I3 */
	struct reaper_task task;
	struct compaction *run;    /* what is under way, or NULL */
	struct event *again;       /* the next burst of one with a budget */
	pthread_mutex_t status_lock;
	struct tn_compaction status; /* as of now, or of the last one */
	struct server *server;
};

void compactor_init(struct compactor *c);
void compactor_fini(struct compactor *c);

/* Around each change of pool->attachments. */
void compactor_lock(struct compactor *c);
void compactor_unlock(struct compactor *c);

/**
 * compactor_start() - compact a pool
 * @percent: of a processor's time that it may take; 100: all
 *
 * Does nothing if that is under way already, but that it goes on with the
 * higher one of the two. Return: 0; -ENOMEM; -EUCLEAN (poisoned).
 */
int compactor_start(struct server *server, struct pool *pool,
		    unsigned percent);

/** compactor_cancel() - end a run that waits for its next burst, at once */
void compactor_cancel(struct pool *pool);

/** compactor_status() - of what is under way, or was last */
void compactor_status(struct pool *pool, struct tn_compaction *ret);
