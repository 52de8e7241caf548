/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compaction without being asked.
 *
 *	 timer --> next pool that is due --> look --> calm: later --> timer
 *	   ^                                  |
 *	   `----------- run is over <-- run <-'  cause, twice
 *
 * A look (pool/survey.c, in slices on the reaper's thread) compares what a pool
 * has of memory to what it would need: without the pages that compaction could
 * free in slabs (holes), and without free pages (spare). If it has more than
 * rule.start percent too much, and still a second later, the pool is compacted
 * until rule.stop percent are left of that; so there is no tug-of-war about
 * the memory of a pool whose filling goes up and down.
 *
 * The other cause is a run of pages that a client found no place for, though
 * enough are free. It notes how long (.wanted in the pool's header) and goes
 * on; nobody waits. A look then finds whether there is enough, with the holes,
 * and anything that can be moved: if so a run begins at once that ends as soon
 * as there is a place, and punches nothing, for that would be used next.
 *
 *   client   no place: wanted = n, ENOMEM; some time later he tries again
 *   timer    2 s later at most: wanted = 0, look --> run --> is there room?
 *   then     deaf for 1 s if there was nothing to do, or the run made room;
 *            for 2, 4 ... 64 s if it made none
 *
 * The word is a hint that any producer may write at any time. It is read once,
 * and checked; the worst that comes of it is a look and a run each second, in
 * the shares below.
 *
 * One look or run at a time, of all pools in turn: so however many there are,
 * runs take rule.percent of a processor and no more, and looks SHARE of it.
 *
 * A pool that is calm is looked at less and less often, down to every 16 s; one
 * that has no clients then, not at all until somebody attaches. The timer is
 * set for the first look that is due, or for the next glance at what is wanted;
 * and not at all if no pool is awake. After a run that left cause for another
 * (objects are pinned, slots kept in magazines, a section is not left) the next
 * one waits twice as long as the last time, up to 64 s. A look for what is
 * wanted counts as none of these.
 *
 * All of it is the main loop's but for slice(). That a pool goes meanwhile
 * does not matter: a look keeps a reference, and a run does.
 */
#include "daemon/housekeeper.h"

#include <errno.h>
#include <event2/event.h>

#include "base/bits.h"
#include "daemon/clock.h"
#include "daemon/pool.h"
#include "daemon/server.h"
#include "pool/fit.h"
#include "pool/run.h"

#define LOOK_MS 1000         /* between two looks at a pool, at least */
#define GLANCE_MS 2000       /* ... at what is wanted, at most */
#define CALM_DOUBLINGS 4     /* ... up to 16 s */
#define VAIN_DOUBLINGS 6     /* ... up to 64 s */
#define SHARE 200            /* looks take this part of a processor: 0.5 % */
#define LEAST_BYTES TN_AREA_BYTES /* that are worth it */
#define AREAS_A_SLICE 64     /* some 200 us if they are full */

static void wait_ms(struct housekeeper *h, int64_t ms)
{
	const struct timeval pause = {
		.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000,
	};

	evtimer_add(h->timer, &pause);
	h->timer_ms = clock_ms() + ms;
}

void housekeeper_look_soon(struct housekeeper *h)
{
	/* the timer is set again when a look or a run is over */
	if (h->timer && !h->pool && !h->running &&
	    (!h->timer_ms || h->timer_ms > clock_ms() + LOOK_MS))
		wait_ms(h, LOOK_MS);
}

static struct compact_rule rule_of(const struct housekeeper *h,
				   const struct pool *pool)
{
	return compact_rule_over(&h->server->config.compact,
				 &pool->spec.compact);
}

uint32_t housekeeper_rule(const struct server *server, const struct pool *pool)
{
	struct compact_rule rule = rule_of(&server->housekeeper, pool);

	return compact_rule_pack(&rule);
}

/* What a look found */

struct finding {
	uint64_t holes, spare, needs; /* bytes */
};

static struct finding find(const struct housekeeper *h, const struct pool *pool)
{
	uint64_t has = backing_resident(&pool->data);
	uint64_t used = h->survey.claimed << TN_PAGE_SHIFT;
	struct finding f = {
		.holes = tn_min64(has, tn_survey_holes(&h->survey) <<
				  TN_PAGE_SHIFT),
		.spare = has > used ? has - used : 0,
	};

	/* it keeps all its memory, whatever is free */
	if (pool->spec.flags & TN_POOL_RESERVE) {
		has = used;
		f.spare = 0;
	}
	f.needs = has - tn_min64(has, f.holes + f.spare);
	return f;
}

static bool is_cause(const struct finding *f, unsigned start)
{
	uint64_t more = f->holes + f->spare;

	return more >= LEAST_BYTES && more / start >= f->needs / 100;
}

static void run(struct housekeeper *h, struct pool *pool,
		const struct finding *f, const struct compact_rule *rule)
{
	const struct compact_order order = {
		.percent = rule->percent,
		.unasked = true,
		.holes = tn_min64(f->holes, pool->upkeep.holes),
		.keep = f->needs / 100 * rule->stop,
	};

	h->running = compactor_start(h->server, pool, &order) == 0;
}

/* Return: in how many ms to look again. */
static int64_t judge(struct housekeeper *h, struct pool *pool)
{
	struct compact_rule rule = rule_of(h, pool);
	struct finding f = find(h, pool);
	struct upkeep *u = &pool->upkeep;
	bool ran = u->ran;

	u->ran = false;
	if (!is_cause(&f, rule.start)) {
		u->seen = false;
		u->vain = 0;
		u->asleep = !pool_n_clients(pool);
		if (u->calm < CALM_DOUBLINGS)
			u->calm++;
		return (int64_t)LOOK_MS << u->calm;
	}
	u->calm = 0;
	if (ran) {
		u->seen = false;
		if (u->vain < VAIN_DOUBLINGS)
			u->vain++;
		return (int64_t)LOOK_MS << u->vain;
	}
	if (u->seen && !pool->compactor.run) {
		run(h, pool, &f, &rule);
		u->ran = true;
	}
	u->seen = !u->ran;
	u->holes = f.holes;
	return LOOK_MS;
}

/* What is wanted */

static void be_deaf(struct upkeep *u)
{
	u->deaf_ms = clock_ms() + ((int64_t)LOOK_MS << u->unmet);
}

static bool is_heard(const struct pool *pool, int64_t now)
{
	return tn_run_is_wanted(&pool->view) &&
	       pool->upkeep.deaf_ms <= now && !pool->compactor.run;
}

/* Is there no place, but would be if what can be moved were elsewhere? */
static bool can_make_room(const struct housekeeper *h, const struct pool *pool)
{
	uint64_t pages = pool->geo.n_pages;

	return !h->room && h->survey.movable &&
	       pages - tn_min64(pages, h->survey.claimed) +
	       tn_survey_holes(&h->survey) >= h->wanted;
}

static void make_room(struct housekeeper *h, struct pool *pool)
{
	const struct compact_order order = {
		.percent = rule_of(h, pool).percent,
		.unasked = true,
		.wanted = h->wanted,
	};

	be_deaf(&pool->upkeep);
	if (can_make_room(h, pool) && !pool->compactor.run)
		h->running = compactor_start(h->server, pool, &order) == 0;
}

/* Looks */

static struct housekeeper *of_task(struct reaper_task *task)
{
	return tn_list_entry(task, struct housekeeper, task);
}

static int slice(struct reaper_task *task)
{
	struct housekeeper *h = of_task(task);
	int64_t began = clock_ns();
	int more = !compactor_stopped(h->pool) &&
		   tn_survey_step(&h->survey, AREAS_A_SLICE);
	uint64_t page;

	if (!more && h->wanted)
		h->room = tn_fit_find(&h->pool->view, h->wanted, TN_FIRST_FIT,
				      false, &page);
	h->took_ns += clock_ns() - began;
	return more;
}

static bool may_be_kept(const struct housekeeper *h, const struct pool *pool)
{
	return !pool->pending && !pool->poisoned && !pool->unlinked &&
	       rule_of(h, pool).percent != COMPACT_NEVER;
}

static void on_looked(struct reaper_task *task)
{
	struct housekeeper *h = of_task(task);
	struct pool *pool = h->pool;

	h->pool = NULL;
	if (task->result == 0 && may_be_kept(h, pool)) {
		if (h->wanted)
			make_room(h, pool);
		else
			pool->upkeep.due_ms = clock_ms() + judge(h, pool);
	}
	pool_unref(pool);
	if (task->result == 0 && !h->running)
		wait_ms(h, 1 + h->took_ns * SHARE / 1000000);
}

/* Return: NULL: none is due, and the next time to ask is @ret_due_ms (0:
 * when somebody attaches). */
static struct pool *next_pool(struct housekeeper *h, int64_t now,
			      int64_t *ret_due_ms)
{
	const struct registry *all = &h->server->registry;

	*ret_due_ms = 0;
	for (size_t n = all->n; n; n--) {
		struct pool *pool = all->pools[h->at++ % all->n];
		int64_t due = pool->upkeep.due_ms;

		if (pool->upkeep.asleep || !may_be_kept(h, pool))
			continue;
		if (due <= now || is_heard(pool, now))
			return pool;
		due = due < now + GLANCE_MS ? due : now + GLANCE_MS;
		if (!*ret_due_ms || due < *ret_due_ms)
			*ret_due_ms = due;
	}
	return NULL;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct housekeeper *h = arg;
	int64_t now = clock_ms(), due;
	struct pool *pool = next_pool(h, now, &due);

	(void)fd;
	(void)what;
	h->timer_ms = 0;
	if (!pool && due)
		wait_ms(h, due - now);
	if (!pool)
		return;
	h->pool = pool_ref(pool);
	h->wanted = is_heard(pool, now) ? tn_run_wanted(&pool->view) : 0;
	h->took_ns = 0;
	tn_survey_begin(&h->survey, &pool->view);
	reaper_do(h->server->reaper, &h->task, pool->spec.access.uid);
}

void housekeeper_ran(struct server *server, struct pool *pool, bool wanted,
		     bool unmet)
{
	struct housekeeper *h = &server->housekeeper;
	struct upkeep *u = &pool->upkeep;

	h->running = false;
	if (wanted) {
		u->unmet = unmet ? u->unmet + (u->unmet < VAIN_DOUBLINGS) : 0;
		be_deaf(u);
	}
	if (h->timer)
		wait_ms(h, LOOK_MS);
}

void housekeeper_wake(struct pool *pool)
{
	struct registry *r = pool->registry;

	pool->upkeep.asleep = false;
	if (r && r->housekeeper)
		housekeeper_look_soon(r->housekeeper);
}

int housekeeper_init(struct housekeeper *h, struct server *server)
{
	*h = (struct housekeeper){ .server = server };
	h->task.slice = slice;
	h->task.done = on_looked;
	h->timer = evtimer_new(server->base, on_timer, h);
	if (!h->timer)
		return -ENOMEM;
	server->registry.housekeeper = h;
	wait_ms(h, LOOK_MS);
	return 0;
}

void housekeeper_fini(struct housekeeper *h)
{
	if (h->timer)
		event_free(h->timer);
	h->timer = NULL;
}
