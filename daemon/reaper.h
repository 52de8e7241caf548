/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Gives back what clients left behind: runs pool/recover on a thread of its
 * own, off the main loop. See reaper.c.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "daemon/fair.h"
#include "pool/recover.h"

/* One dead client of one pool. */
struct reaper_job {
	struct tn_list link;
	struct tn_recover recover;
	struct reaper_queue *queue;
	bool begun;
	unsigned rests;   /* how often it had to wait for a living client */
	int64_t due_ms;   /* when it goes on after that */
	int result; /* 0 or -EUCLEAN */
	void *control;
	uint32_t client;
	void (*done)(struct reaper_job *job); /* on the main thread */
};

/* The jobs of one pool, done one after another. */
struct reaper_queue {
	struct fair_item turn;
	struct tn_list jobs;
	uid_t uid;        /* whose the pool is */
	struct tn_pool *pool;
	struct tn_lane_ref self;
};

struct reaper;

int reaper_new(struct reaper **ret);

/** reaper_free() - stop after the slice under way; jobs not done are dropped */
void reaper_free(struct reaper *reaper);

void reaper_queue_init(struct reaper_queue *queue, uid_t uid);

/** reaper_post() - @job->control, .client and .done are set */
void reaper_post(struct reaper *reaper, struct reaper_queue *queue,
		 struct reaper_job *job);

/** reaper_fd() - readable: reaper_dispatch() has something to do */
int reaper_fd(const struct reaper *reaper);

/** reaper_dispatch() - call .done of some jobs that are; reaper_fd() stays
 *  readable if there are more */
void reaper_dispatch(struct reaper *reaper);

/** reaper_healthy() - false: a slice has been under way for far too long */
bool reaper_healthy(struct reaper *reaper);
