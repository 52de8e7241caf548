/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making a pool small while it is in use.
 *
 *	        start()
 *	  idle ---------> LOOK --> MOVE --> PUNCH --> idle
 *	                   |   <-------------'   pass after pass, while one
 *	                   `--> PUNCH            frees enough
 *
 * It is a task of the reaper's thread, in slices of some 200 us: the mover
 * (pool/move.c) takes objects down, and what is free goes back to the system
 * (punching.c). Recoveries of the same pool come in between.
 *
 *   I1  one run for each pool at a time. It keeps a reference of the pool
 *   I2  what stands in compaction is the thread's from reaper_do() to .done;
 *       .status is a copy, under its lock; the loop speaks to it by .stop and
 *       .percent alone
 *   I3  pool->attachments changes under .clients: the thread goes through it
 *       for the control files. A process is in there before it can know its
 *       control file, so that no pin of before the barrier is missed
 *
 * A run that the housekeeper begins leaves a part of what is free, in holes of
 * slabs and as the lowest free pages; one for room that is wanted ends as soon
 * as there is room, and punches nothing. Who asks for all meanwhile gets a run
 * of his own after it.
 *
 * With a budget below 100 % a run is cut into bursts of BURST_NS, and the loop
 * waits between them as long as the budget says. Clients do not notice either
 * way: what they meet in the middle of a move they call off.
 *
 * A run that nobody asked for leaves alone for a while what was in use at the
 * last try (pool/backoff.c).
 *
 * Who stays in a section stops all moves; nobody but the pool's size suffers. A
 * run tries for HELD_NS, and then only punches. If a run finds the same section
 * again after HOLDER_NS, the log names the client.
 *
 * A pool that loses its name, or is revoked, is compacted no further: pages.c
 * is the next to work on it.
 *
 * Not in a pool that is poisoned; nothing is moved if there is no membarrier.
 */
#include "daemon/compactor.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/attachment.h"
#include "daemon/clock.h"
#include "daemon/housekeeper.h"
#include "daemon/log.h"
#include "daemon/mover.h"
#include "daemon/pool.h"
#include "daemon/punching.h"
#include "daemon/server.h"
#include "pool/compact.h"
#include "pool/fit.h"

#define SLICE_BYTES (256ULL << 10) /* moved: some 200 us */
#define BURST_NS 5000000           /* a twentieth of a processor: each 100 ms */
#define PASSES_MAX 8U              /* what is still pinned then, stays */
#define HELD_NS 1000000000LL       /* a section may last that long */
#define HELD_REST_US 10000         /* between two looks at such a one */
#define HOLDER_NS 10000000000LL    /* then the log names who is in it */

struct compaction {
	struct pool *pool;
	struct tn_mover mover;
	struct tn_compact pass;
	struct compact_order order;
	tn_a32 percent;            /* of a processor; the loop may raise it */
	struct punching punching;
	bool room;                 /* there is a place for what was wanted */
	uint64_t room_at;          /* pages that had ended at the last look */
	unsigned passes;           /* that are over */
	uint64_t moved_before;     /* this pass, in bytes */
	uint64_t ended_before;
	int64_t burst_began;
	int64_t held_since;        /* somebody is in a section; 0: not now */
};

static struct compactor *of_task(struct reaper_task *task)
{
	return tn_list_entry(task, struct compactor, task);
}

/* Status */

static uint64_t resident(const struct pool *pool)
{
	return backing_resident(&pool->data) + backing_resident(&pool->meta);
}

static void tell(struct compactor *c, unsigned state, int error)
{
	const struct compaction *run = c->run;
	const struct tn_mover *m = &run->mover;

	pthread_mutex_lock(&c->status_lock);
	c->status.state = state;
	c->status.error = error;
	c->status.done = (uint32_t)tn_compact_done(&run->pass);
	c->status.of = (uint32_t)run->pass.n_areas;
	c->status.passes = run->passes;
	c->status.moved_objects = m->moved_objects;
	c->status.moved_bytes = m->moved_bytes;
	c->status.pinned = m->pinned;
	c->status.undone = m->undone;
	c->status.after = resident(run->pool);
	pthread_mutex_unlock(&c->status_lock);
}

void compactor_status(struct pool *pool, struct tn_compaction *ret)
{
	struct compactor *c = &pool->compactor;

	pthread_mutex_lock(&c->status_lock);
	*ret = c->status;
	pthread_mutex_unlock(&c->status_lock);
}

/* Slices */

static void begin_pass(struct compaction *run)
{
	run->moved_before = run->mover.moved_bytes;
	run->ended_before = run->mover.ended;
	tn_compact_begin(&run->pass, &run->mover);
}

/* Somebody stays in a section, and so nothing can be moved. */

static uint32_t client_of(struct compactor *c, const void *control)
{
	uint32_t client = 0;

	pthread_mutex_lock(&c->clients);
	tn_list_for_each(link, &c->run->pool->attachments) {
		const struct attachment *a = tn_list_entry(
			link, struct attachment, of_pool);

		if (a->control.map == control)
			client = a->client;
	}
	pthread_mutex_unlock(&c->clients);
	return client;
}

static void note_holder(struct compactor *c)
{
	const struct tn_move_wait *held = &c->run->mover.held;
	struct compact_holder now = {
		.client = client_of(c, held->control),
		.lane = held->lane, .section = held->section,
		.since_ns = clock_ns(),
	};
	struct compact_holder *h = &c->holder;

	if (now.client != h->client || now.lane != h->lane ||
	    now.section != h->section)
		*h = now;
}

/* Return: -EAGAIN: try again a bit later; -EBUSY: it is no use. */
static int is_held_up(struct compactor *c)
{
	struct compaction *run = c->run;

	note_holder(c);
	if (!run->held_since)
		run->held_since = clock_ns();
	return clock_ns() - run->held_since < HELD_NS ? -EAGAIN : -EBUSY;
}

static void say_holder(struct compactor *c)
{
	struct compact_holder *h = &c->holder;
	struct pool *pool = c->run->pool;
	const struct log_about about = {
		.pool = pool->spec.name, .client = h->client,
	};
	uint64_t pid = tn64_load_relaxed(&pool->view.clients[
			TN_CLIENT_SLOT(h->client)].pid_uid) >> 32;

	if (!c->run->mover.held.control) {
		*h = (struct compact_holder){ 0 };
	} else if (!h->told && h->client &&
		   clock_ns() - h->since_ns > HOLDER_NS) {
		h->told = true;
		log_line(LOG_WARNING, &about, "client %u, process %llu, has "
			 "not left its section (tarn_exit) for %lld s: nothing "
			 "can be moved", (unsigned)h->client,
			 (unsigned long long)pid,
			 (long long)((clock_ns() - h->since_ns) / 1000000000));
	}
}

/* Was the pass worth another? One that frees little of what it moves is not. */
static bool again(struct compaction *run)
{
	uint64_t moved = run->mover.moved_bytes - run->moved_before;
	uint64_t freed = (run->mover.ended - run->ended_before)
			 << TN_PAGE_SHIFT;

	return ++run->passes < PASSES_MAX && moved && freed >= moved / 100;
}

/* Is there a place now for what was wanted? What was moved can have made one
 * only if it ended pages. */
static bool has_room(struct compaction *run)
{
	uint64_t page;

	if (!run->room && run->mover.ended != run->room_at)
		run->room = tn_fit_find(&run->pool->view, run->order.wanted,
					TN_FIRST_FIT, false, &page);
	run->room_at = run->mover.ended;
	return run->room;
}

/* Are there so few holes left that what is kept may be in them? */
static bool is_enough(struct compaction *run)
{
	if (run->order.wanted)
		return has_room(run);
	return run->order.unasked &&
	       run->order.holes <= run->order.keep +
				   (run->mover.ended << TN_PAGE_SHIFT);
}

/* What is left of the holes is a part of what is kept. */
static void begin_punching(struct compaction *run)
{
	uint64_t ended = run->mover.ended << TN_PAGE_SHIFT;
	uint64_t holes = run->order.holes - tn_min64(run->order.holes, ended);

	punching_begin(&run->punching, run->pool, run->order.keep -
		       tn_min64(run->order.keep, holes));
}

static int move_slice(struct compactor *c)
{
	struct compaction *run = c->run;
	uint64_t batches = run->mover.batches;
	int r = is_enough(run) ? 0 : tn_compact_step(&run->pass, SLICE_BYTES);

	/* .held is of the last batch, whenever that was */
	if (r > 0 && run->mover.batches != batches && run->mover.held.control)
		r = is_held_up(c);
	else
		run->held_since = 0;
	if (r > 0 || r == -EAGAIN || r == -EUCLEAN)
		return r;
	if (r == 0 && !is_enough(run) && again(run)) {
		begin_pass(run);
		return 1;
	}
	begin_punching(run);
	tell(c, TN_COMPACTION_PUNCHES, r);
	/* a reserved pool keeps its memory */
	return !(run->pool->spec.flags & TN_POOL_RESERVE) &&
	       !run->order.wanted;
}

/* -EAGAIN: the burst is over. */
static int slice(struct reaper_task *task)
{
	struct compactor *c = of_task(task);
	struct compaction *run = c->run;
	int r = -(int)compactor_stopped(run->pool);

	if (r < 0)
		return r;
	if (!run->burst_began)
		run->burst_began = clock_ns();
	r = c->status.state == TN_COMPACTION_MOVES ?
	    move_slice(c) : punching_step(&run->punching);
	tell(c, c->status.state, c->status.error);
	if (r > 0 && tn32_load_relaxed(&run->percent) < 100 &&
	    clock_ns() - run->burst_began > BURST_NS)
		return -EAGAIN;
	return r;
}

/* The loop's side */

static void start_next(struct compactor *c, struct pool *pool)
{
	const struct compact_order order = { .percent = c->next_percent };

	compactor_start(c->server, pool, &order);
}

void compactor_found_bad(struct pool *pool, const char *when)
{
	const struct log_about about = { .pool = pool->spec.name };

	if (pool->poisoned)
		return;
	pool_poison(pool);
	log_line(LOG_ERR, &about, "poisoned: its metadata contradicts itself; "
		 "found when %s", when);
}

static void end_run(struct compactor *c, int result)
{
	struct pool *pool = c->run->pool;
	const struct log_about about = { .pool = pool->spec.name };
	const struct tn_compaction *s = &c->status;

	if (result == -EUCLEAN)
		compactor_found_bad(pool, "it was compacted");
	say_holder(c);
	tell(c, TN_COMPACTION_DONE, result ? result : s->error);
	log_line(LOG_INFO, &about, "compacted: %llu objects moved, %llu "
		 "pinned, %llu needed meanwhile; %llu bytes of memory, %llu "
		 "before", (unsigned long long)s->moved_objects,
		 (unsigned long long)s->pinned, (unsigned long long)s->undone,
		 (unsigned long long)s->after, (unsigned long long)s->before);
	if (c->run->order.unasked)
		housekeeper_ran(c->server, pool, c->run->order.wanted,
				!c->run->room);
	free(c->run);
	c->run = NULL;
	if (!result && c->next_percent)
		start_next(c, pool);
	c->next_percent = 0;
	pool_unref(pool);
}

static void go_on(struct compactor *c)
{
	c->run->burst_began = 0;
	reaper_do(c->server->reaper, &c->task,
		  c->run->pool->spec.access.uid);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	go_on(arg);
}

/* After a burst, which may have been longer than it should: its last slice is
 * over when it is over. */
static struct timeval rest_of(const struct compaction *run)
{
	unsigned percent = tn32_load_relaxed(&run->percent);
	uint64_t took = (uint64_t)(clock_ns() - run->burst_began), us;

	us = tn_max64(took, BURST_NS) / 1000 * (100 - percent) / percent;
	if (run->held_since)
		us = tn_max64(us, HELD_REST_US);
	return (struct timeval){
		.tv_sec = (time_t)(us / 1000000),
		.tv_usec = (suseconds_t)(us % 1000000),
	};
}

static void on_done(struct reaper_task *task)
{
	struct compactor *c = of_task(task);
	struct timeval rest;

	if (task->result == -EAGAIN && c->again && !c->run->pool->unlinked) {
		rest = rest_of(c->run);
		evtimer_add(c->again, &rest);
		return;
	}
	end_run(c, task->result == -EAGAIN ? -ECANCELED : task->result);
}

unsigned compactor_stopped(const struct pool *pool)
{
	return tn32_load_relaxed(&pool->compactor.stop);
}

void compactor_stop(struct pool *pool, unsigned error)
{
	struct compactor *c = &pool->compactor;

	tn32_store_relaxed(&c->stop, error); /* it orders nothing */
	if (c->run && c->again && evtimer_pending(c->again, NULL)) {
		evtimer_del(c->again);
		end_run(c, -(int)error);
	}
}

/* Who asks wants all that can be had, and sees what he gets. Without memory,
 * too, all is tried. */
static struct tn_backoff *backoff_of(struct compactor *c,
				     const struct compact_order *order)
{
	if (!order->unasked)
		return NULL;
	if (!c->backoff)
		c->backoff = calloc(1, sizeof(*c->backoff));
	return c->backoff;
}

static struct compaction *run_new(struct pool *pool,
				  const struct compact_order *order)
{
	struct compaction *run = calloc(1, sizeof(*run));

	if (!run)
		return NULL;
	run->pool = pool;
	run->order = *order;
	tn32_store_relaxed(&run->percent, order->percent);
	mover_init(&run->mover, pool);
	run->mover.backoff = backoff_of(&pool->compactor, order);
	begin_pass(run);
	return run;
}

/* One that is under way. */
static void join(struct compactor *c, const struct compact_order *order)
{
	struct compaction *run = c->run;

	if (order->percent > tn32_load_relaxed(&run->percent))
		tn32_store_relaxed(&run->percent, order->percent);
	if (run->order.unasked && !order->unasked &&
	    order->percent > c->next_percent)
		c->next_percent = order->percent;
}

static void say_begin(const struct compaction *run)
{
	const struct log_about about = { .pool = run->pool->spec.name };

	if (run->order.wanted)
		log_line(LOG_INFO, &about, "is compacted, unasked: a run of "
			 "%llu pages found no place",
			 (unsigned long long)run->order.wanted);
	else
		log_line(LOG_INFO, &about, "is compacted%s: %llu bytes of "
			 "memory", run->order.unasked ? ", unasked" : "",
			 (unsigned long long)resident(run->pool));
}

int compactor_start(struct server *server, struct pool *pool,
		    const struct compact_order *order)
{
	struct compactor *c = &pool->compactor;

	if (pool->poisoned)
		return -EUCLEAN;
	if (c->run) {
		join(c, order);
		return 0;
	}
	c->run = run_new(pool, order);
	if (!c->run)
		return -ENOMEM;
	say_begin(c->run);
	if (!c->again)
		c->again = evtimer_new(server->base, on_again, c);
	pool_ref(pool);
	c->server = server;
	c->status = (struct tn_compaction){
		.before = resident(pool),
		.runs = c->status.runs + 1,
		.unasked = c->status.unasked + order->unasked,
	};
	tell(c, TN_COMPACTION_MOVES, 0);
	c->task.slice = slice;
	c->task.done = on_done;
	go_on(c);
	return 0;
}

void compactor_lock(struct compactor *c)
{
	pthread_mutex_lock(&c->clients);
}

void compactor_unlock(struct compactor *c)
{
	pthread_mutex_unlock(&c->clients);
}

void compactor_init(struct compactor *c)
{
	pthread_mutex_init(&c->clients, NULL);
	pthread_mutex_init(&c->status_lock, NULL);
}

void compactor_fini(struct compactor *c)
{
	if (c->again)
		event_free(c->again);
	free(c->backoff);
	pthread_mutex_destroy(&c->clients);
	pthread_mutex_destroy(&c->status_lock);
}
