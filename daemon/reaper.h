/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Long work, on a thread of its own, off the main loop: gives back what clients
 * left behind (pool/recover), and does other tasks by the slice. See reaper.c.
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

/* What has turns. */
struct reaper_turn {
	struct fair_item item;
	uid_t uid;        /* whose time it takes */
	bool is_task;     /* of a reaper_task; else of a reaper_queue */
};

/* The jobs of one pool, done one after another. */
struct reaper_queue {
	struct reaper_turn turn;
	struct tn_list jobs;
	bool dropped;     /* there is nothing to be recovered any more */
	struct tn_pool *pool;
	struct tn_lane_ref self;
};

/* Any other work. */
struct reaper_task {
	struct reaper_turn turn;
	struct tn_list link;
	/* Some 200 us of it, on the thread: 1: there is more; 0; -errno. */
	int (*slice)(struct reaper_task *task);
	int result; /* of the last slice; -ECANCELED: tarnd ends */
	void (*done)(struct reaper_task *task); /* on the main thread */
};

struct reaper;

int reaper_new(struct reaper **ret);

/** reaper_free() - stop after the slice under way; jobs not done are dropped,
 *  tasks are called .done */
void reaper_free(struct reaper *reaper);

void reaper_queue_init(struct reaper_queue *queue, uid_t uid);

/** reaper_post() - @job->control, .client and .done are set */
void reaper_post(struct reaper *reaper, struct reaper_queue *queue,
		 struct reaper_job *job);

/** reaper_drop() - the pool's memory is going: its jobs, now and later, are
 *  done as soon as their turn comes, and touch nothing */
void reaper_drop(struct reaper *reaper, struct reaper_queue *queue);

/** reaper_do() - @task->slice and .done are set */
void reaper_do(struct reaper *reaper, struct reaper_task *task, uid_t uid);

/** reaper_fd() - readable: reaper_dispatch() has something to do */
int reaper_fd(const struct reaper *reaper);

/** reaper_dispatch() - call .done of some that are; reaper_fd() stays
 *  readable if there are more */
void reaper_dispatch(struct reaper *reaper);

/**
 * reaper_fence_clients() - a full fence in the midst of whatever the clients
 * of any pool are doing, on whatever processor
 *
 * Return: 0, or -1: the kernel, or a filter, has no membarrier for us.
 */
int reaper_fence_clients(void);

/** reaper_healthy() - false: a slice has been under way for far too long */
bool reaper_healthy(struct reaper *reaper);
