/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Making a pool small while it is in use. See compactor.c. */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "daemon/reaper.h"
#include "pool/move.h"
#include "proto/wire.h"

struct event;
struct pool;
struct server;

/* Who was found in a section for too long. */
struct compact_holder {
	uint32_t client;           /* id; 0: nobody */
	uint64_t lane, section;
	int64_t since_ns;          /* when he was first found there */
	bool told;                 /* the log did */
};

/* In a pool; all zero but for what compactor_init() does. */
struct compactor {
	pthread_mutex_t clients;   /* of pool->attachments: I3 */
	struct reaper_task task;
	struct compaction *run;    /* what is under way, or NULL */
	struct tn_backoff *backoff; /* of the thread; NULL before the first
	                            * run that nobody asked for */
	struct event *again;       /* the next burst of one with a budget */
	pthread_mutex_t status_lock;
	struct tn_compaction status; /* as of now, or of the last one */
	tn_a32 stop;               /* the thread is to: an errno value, or 0 */
	unsigned next_percent;     /* a full one is to follow; 0: none */
	struct compact_holder holder; /* the last one; of the thread, I2 */
	struct tn_move_wait held;  /* what single moves are off for; of the
	                            * thread: mover.c */
	struct server *server;
};

void compactor_init(struct compactor *c);
void compactor_fini(struct compactor *c);

/* Around each change of pool->attachments. */
void compactor_lock(struct compactor *c);
void compactor_unlock(struct compactor *c);

struct compact_order {
	unsigned percent;  /* of a processor's time; 100: all of it */
	bool unasked;      /* it is the housekeeper's */
	uint64_t holes;    /* ... who thinks that so many bytes of slabs can be
	                    * freed, */
	uint64_t keep;     /* and leaves the pool so many of what is free; */
	uint64_t wanted;   /* ... or only makes room for a run of so many pages,
	                    * and leaves it all that is free; 0: not that */
};

/**
 * compactor_start() - compact a pool
 *
 * If that is under way already it goes on with the higher percentage of the
 * two, and if it would not have freed all, another one follows. Return: 0;
 * -ENOMEM; -EUCLEAN (poisoned).
 */
int compactor_start(struct server *server, struct pool *pool,
		    const struct compact_order *order);

/** compactor_stop() - the pool is not to be compacted any more: ECANCELED, or
 *  EUCLEAN. What waits for its next burst ends at once */
void compactor_stop(struct pool *pool, unsigned error);

/** compactor_stopped() - with which of them, or 0; on any thread */
unsigned compactor_stopped(const struct pool *pool);

/** compactor_found_bad() - a pool's metadata contradicts itself: poison it */
void compactor_found_bad(struct pool *pool, const char *when);

/** compactor_status() - of what is under way, or was last */
void compactor_status(struct pool *pool, struct tn_compaction *ret);
