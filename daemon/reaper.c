/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reaper: one worker thread.
 *
 *	main loop                         worker
 *	---------                         ------
 *	post: job -> its pool's queue,    take the queue whose turn it is,
 *	      queue is due       ------>  do a slice of its first job,
 *	                                  queue is due again
 *	dispatch: job->done()    <------  the job is finished: job -> finished,
 *	                                  eventfd
 *
 * Recovery may find a living client in its way for the moment, and that one
 * may be stopped for a long time. The job then rests, for longer each time,
 * and others of the pool have their turn: the one in the way may be dead by
 * then, and queued behind.
 *
 *   I1  a job is in a queue's .jobs, in .resting, in .finished, or the
 *       caller's; what list it is in changes under the lock
 *   I2  a queue is due, or a slice of it is under way, while and only while
 *       it has jobs
 *   I3  of one pool, one slice is under way at a time, for recovery makes its
 *       own steps in one lane of tarnd's, and each is complete at the slice's
 *       end. A job goes on until it is finished or rests, so two recoveries of
 *       one pool may interleave, but never run at the same time; the owners
 *       of pools take turns (fair.c), and so do the pools of one owner, slice
 *       by slice, so that one full of dead clients holds up no other
 *   I4  what a slice touches (the pool's meta, the dead one's control file,
 *       tarnd's control file, job->recover) the main thread lets be from post
 *       to done. It writes just the client's slot and the poison word, which
 *       are shared words anyway.
 *
 * Tasks, of whatever kind, have turns as the queues do, and end in .ended.
 *
 * The lock is never held during a slice. A slice is bounded by its budget
 * whatever stands in shared memory; that it ends is what reaper_healthy(),
 * and through it the watchdog, looks at.
 */
#include "daemon/reaper.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "daemon/clock.h"

#define SLICE_BUDGET 8192U      /* slots and pages; some 100 us */
#define DONE_A_TURN 4           /* each unmaps and closes: some 50 us */
#define SLICE_SECONDS_MAX 5     /* beyond it something is broken */
#define REST_MS 4               /* the first time; then twice as long ... */
#define REST_DOUBLINGS 8        /* ... up to a second */

struct reaper {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct fair fair;        /* reaper_turn.item */
	struct tn_list resting;  /* reaper_job.link */
	struct tn_list finished; /* reaper_job.link */
	struct tn_list ended;    /* reaper_task.link */
	int64_t due_ms;          /* no resting job is due before */
	bool stop;
	int64_t slice_began_ms;  /* 0: no slice is under way */
	int event_fd;
};

int reaper_fence_clients(void)
{
	return (int)syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0,
			    0);
}

/* Without the lock. Return: as tn_recover_step(). */
static int slice(struct reaper_queue *queue, struct reaper_job *job)
{
	int r;

	if (!job->begun) {
		tn_recover_begin(&job->recover, queue->pool, job->control,
				 job->client, queue->self);
		job->begun = true;
		/* For those who give it something. If it cannot be had, a rest
		 * does: no processor keeps a store to itself that long. */
		if (reaper_fence_clients() < 0)
			return TN_RECOVER_LATER;
	}
	r = tn_recover_step(&job->recover, SLICE_BUDGET);
	job->result = r < 0 ? r : 0;
	return r;
}

static void finish(struct reaper *reaper, struct reaper_job *job)
{
	tn_list_remove(&job->link);
	tn_list_append(&reaper->finished, &job->link);
	eventfd_write(reaper->event_fd, 1);
}

static void rest(struct reaper *reaper, struct reaper_job *job)
{
	job->due_ms = clock_ms() + ((int64_t)REST_MS << job->rests);
	if (job->rests < REST_DOUBLINGS)
		job->rests++;
	if (tn_list_empty(&reaper->resting) || job->due_ms < reaper->due_ms)
		reaper->due_ms = job->due_ms;
	tn_list_remove(&job->link);
	tn_list_append(&reaper->resting, &job->link);
}

static void add_turn(struct reaper *reaper, struct reaper_turn *turn)
{
	fair_add(&reaper->fair, &turn->item, turn->uid);
}

static void enqueue(struct reaper *reaper, struct reaper_job *job)
{
	struct reaper_queue *queue = job->queue;

	/* I2: one whose job is under way is due after it */
	if (tn_list_empty(&queue->jobs))
		add_turn(reaper, &queue->turn);
	tn_list_append(&queue->jobs, &job->link);
}

/* Resting jobs that are due go on. */
static void wake_due(struct reaper *reaper)
{
	int64_t now = clock_ms();

	if (tn_list_empty(&reaper->resting) || now < reaper->due_ms)
		return;
	reaper->due_ms = INT64_MAX;
	tn_list_for_each(link, &reaper->resting) {
		struct reaper_job *job = tn_list_entry(link, struct reaper_job,
						       link);

		if (job->due_ms <= now) {
			tn_list_remove(&job->link);
			enqueue(reaper, job);
		} else if (job->due_ms < reaper->due_ms) {
			reaper->due_ms = job->due_ms;
		}
	}
}

static void queue_turn(struct reaper *reaper, struct reaper_queue *queue)
{
	struct reaper_job *job = tn_list_entry(queue->jobs.next,
					       struct reaper_job, link);
	int r = 0;

	if (!queue->dropped) {
		pthread_mutex_unlock(&reaper->lock);
		r = slice(queue, job);
		pthread_mutex_lock(&reaper->lock);
	}
	if (r <= 0)
		finish(reaper, job);
	else if (r == TN_RECOVER_LATER)
		rest(reaper, job);
	if (!tn_list_empty(&queue->jobs))
		add_turn(reaper, &queue->turn);
}

static void task_turn(struct reaper *reaper, struct reaper_task *task)
{
	pthread_mutex_unlock(&reaper->lock);
	task->result = task->slice(task);
	pthread_mutex_lock(&reaper->lock);
	if (task->result > 0) {
		add_turn(reaper, &task->turn);
		return;
	}
	tn_list_append(&reaper->ended, &task->link);
	eventfd_write(reaper->event_fd, 1);
}

/* With the lock, which is let go for the slice. */
static void take_turn(struct reaper *reaper, struct reaper_turn *turn)
{
	int64_t began = clock_ns();

	reaper->slice_began_ms = began / 1000000 + 1;
	if (turn->is_task)
		task_turn(reaper, tn_list_entry(turn, struct reaper_task,
						turn));
	else
		queue_turn(reaper, tn_list_entry(turn, struct reaper_queue,
						 turn));
	reaper->slice_began_ms = 0;
	fair_served(&reaper->fair, clock_ns() - began);
}

/* With the lock: until a job is posted, or one that rests is due. */
static void wait_for_work(struct reaper *reaper)
{
	const struct timespec due = {
		.tv_sec = reaper->due_ms / 1000,
		.tv_nsec = reaper->due_ms % 1000 * 1000000,
	};

	if (tn_list_empty(&reaper->resting))
		pthread_cond_wait(&reaper->wake, &reaper->lock);
	else
		pthread_cond_timedwait(&reaper->wake, &reaper->lock, &due);
}

static void *work(void *arg)
{
	struct reaper *reaper = arg;
	struct fair_item *item;

	pthread_mutex_lock(&reaper->lock);
	while (!reaper->stop) {
		wake_due(reaper);
		item = fair_next(&reaper->fair);
		if (item)
			take_turn(reaper, tn_list_entry(
				item, struct reaper_turn, item));
		else
			wait_for_work(reaper);
	}
	pthread_mutex_unlock(&reaper->lock);
	return NULL;
}

/* Signals are the main loop's. */
static int start_thread(struct reaper *reaper)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&reaper->thread, NULL, work, reaper);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

static void init_lock(struct reaper *reaper)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&reaper->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&reaper->wake, &attr);
	pthread_condattr_destroy(&attr);
}

int reaper_new(struct reaper **ret)
{
	tn_cleanup(tn_freep) struct reaper *reaper = calloc(1, sizeof(*reaper));
	int r;

	if (!reaper)
		return -ENOMEM;
	fair_init(&reaper->fair);
	tn_list_init(&reaper->resting);
	tn_list_init(&reaper->finished);
	tn_list_init(&reaper->ended);
	reaper->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (reaper->event_fd < 0)
		return tn_neg_errno();
	init_lock(reaper);
	r = start_thread(reaper);
	if (r < 0) {
		tn_closep(&reaper->event_fd);
		return r;
	}
	*ret = tn_steal_ptr(reaper);
	return 0;
}

static struct reaper_task *take_ended(struct reaper *reaper)
{
	struct reaper_task *task = NULL;

	pthread_mutex_lock(&reaper->lock);
	if (!tn_list_empty(&reaper->ended)) {
		task = tn_list_entry(reaper->ended.next, struct reaper_task,
				     link);
		tn_list_remove(&task->link);
	}
	pthread_mutex_unlock(&reaper->lock);
	return task;
}

/* The thread is gone. */
static void end_tasks(struct reaper *reaper)
{
	struct reaper_task *task;
	struct fair_item *item;

	while ((item = fair_next(&reaper->fair))) {
		struct reaper_turn *turn = tn_list_entry(
			item, struct reaper_turn, item);

		fair_served(&reaper->fair, 0);
		if (!turn->is_task)
			continue;
		task = tn_list_entry(turn, struct reaper_task, turn);
		task->result = -ECANCELED;
		tn_list_append(&reaper->ended, &task->link);
	}
	while ((task = take_ended(reaper)))
		task->done(task);
}

void reaper_free(struct reaper *reaper)
{
	if (!reaper)
		return;
	pthread_mutex_lock(&reaper->lock);
	reaper->stop = true;
	pthread_cond_signal(&reaper->wake);
	pthread_mutex_unlock(&reaper->lock);
	pthread_join(reaper->thread, NULL);
	end_tasks(reaper);
	pthread_cond_destroy(&reaper->wake);
	pthread_mutex_destroy(&reaper->lock);
	tn_closep(&reaper->event_fd);
	free(reaper);
}

void reaper_queue_init(struct reaper_queue *queue, uid_t uid)
{
	*queue = (struct reaper_queue){ .turn.uid = uid };
	fair_item_init(&queue->turn.item);
	tn_list_init(&queue->jobs);
}

void reaper_post(struct reaper *reaper, struct reaper_queue *queue,
		 struct reaper_job *job)
{
	tn_assert(queue->pool && job->done);
	job->queue = queue;
	job->begun = false;
	job->rests = 0;
	job->result = 0;
	pthread_mutex_lock(&reaper->lock);
	enqueue(reaper, job);
	pthread_cond_signal(&reaper->wake);
	pthread_mutex_unlock(&reaper->lock);
}

void reaper_drop(struct reaper *reaper, struct reaper_queue *queue)
{
	pthread_mutex_lock(&reaper->lock);
	queue->dropped = true;
	tn_list_for_each(link, &reaper->resting) {
		struct reaper_job *job = tn_list_entry(link, struct reaper_job,
						       link);

		if (job->queue != queue)
			continue;
		tn_list_remove(&job->link);
		enqueue(reaper, job);
	}
	pthread_cond_signal(&reaper->wake);
	pthread_mutex_unlock(&reaper->lock);
}

void reaper_do(struct reaper *reaper, struct reaper_task *task, uid_t uid)
{
	task->turn = (struct reaper_turn){ .uid = uid, .is_task = true };
	fair_item_init(&task->turn.item);
	tn_list_init(&task->link);
	pthread_mutex_lock(&reaper->lock);
	add_turn(reaper, &task->turn);
	pthread_cond_signal(&reaper->wake);
	pthread_mutex_unlock(&reaper->lock);
}

int reaper_fd(const struct reaper *reaper)
{
	return reaper->event_fd;
}

static struct reaper_job *take_finished(struct reaper *reaper)
{
	struct reaper_job *job = NULL;

	pthread_mutex_lock(&reaper->lock);
	if (!tn_list_empty(&reaper->finished)) {
		job = tn_list_entry(reaper->finished.next, struct reaper_job,
				    link);
		tn_list_remove(&job->link);
	}
	pthread_mutex_unlock(&reaper->lock);
	return job;
}

void reaper_dispatch(struct reaper *reaper)
{
	struct reaper_task *task;
	struct reaper_job *job;
	eventfd_t n;

	eventfd_read(reaper->event_fd, &n);
	for (int i = 0; i < DONE_A_TURN; i++) {
		job = take_finished(reaper);
		if (job)
			job->done(job);
		task = take_ended(reaper);
		if (task)
			task->done(task);
		if (!job && !task)
			return;
	}
	eventfd_write(reaper->event_fd, 1);
}

bool reaper_healthy(struct reaper *reaper)
{
	int64_t began;

	pthread_mutex_lock(&reaper->lock);
	began = reaper->slice_began_ms;
	pthread_mutex_unlock(&reaper->lock);
	return !began || clock_ms() - began <= SLICE_SECONDS_MAX * 1000;
}
