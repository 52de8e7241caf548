/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An audit of a pool that is never at rest finds nothing. Four processes do
 * everything to objects that can be done, one of them is killed now and then,
 * wherever it happens to be, and another takes its place; and all the while
 * the pool is audited, now and then with all of them stopped. At the end it is
 * audited at rest.
 *
 * TARN_STRESS_SECONDS (3) is how long.
 */
#include "tests/lib/tn_test.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tarn/admin.h>
#include <tarn/handle.h>
#include <tarn/stats.h>
#include <tarn/tarn.h>

#include "tests/stress/object.h"

#define N_CLIENTS 4
#define N_CELLS 16
#define N_SLOTS 48     /* objects that a client holds at most */
#define N_HANDLES 24   /* ... and handles */
#define N_BOARD 8      /* places for refs of shared objects */
#define N_INBOX 8
#define KILL_MS 40
#define POOL_BYTES ((uint64_t)32 << 20)

/* Between the processes of this test, not in the pool. A ref in it may be
 * stale, of an object that is gone with its holder. */
struct shared {
	atomic_bool stop;
	atomic_uint id[N_CLIENTS];
	_Atomic tarn_ref inbox[N_CLIENTS][N_INBOX];
	_Atomic tarn_ref hbox[N_CLIENTS]; /* for handles */
	_Atomic tarn_ref board[N_BOARD];
	atomic_ulong n_ops;
};

static struct shared *shared;
static int seconds = 3;
static struct tn_test_daemon tarnd;

struct client {
	unsigned n;
	struct tarn_pool *pool;
	uint64_t *cell;
	uint64_t random;
	struct object *slot[N_SLOTS];
	tarn_ref hold[N_BOARD];
	tarn_ref handle[N_HANDLES];
};

/*
 * Clients
 */

#define need(cond) \
	do { \
		if (!(cond)) \
			complain(__LINE__, #cond); \
	} while (0)

static void complain(int line, const char *what)
{
	dprintf(2, "test_audit_live.c:%d: pid %d: not so: %s (errno %d)\n",
		line, (int)getpid(), what, errno);
	_exit(1);
}

static uint32_t rnd(struct client *c, uint32_t n)
{ return random_below(&c->random, n); }

static struct object *make(struct client *c)
{
	/* now and then a run of pages */
	uint32_t size = rnd(c, 20) ? 16 + rnd(c, 2048) :
				     32769 + rnd(c, 200000);
	struct object *o = tarn_alloc(c->pool, size);

	need(o || errno == ENOMEM);
	if (o)
		object_fill(o, size, (uint32_t)c->random);
	return o;
}

/* What is ours by any way has the right bytes in it. */
static struct object *got(struct client *c, tarn_ref ref)
{
	struct object *o = tarn_ptr(c->pool, ref);

	need(o && object_is_right(o, tarn_usable_bytes(c->pool, o)));
	return o;
}

static void drop(struct client *c, struct object *o)
{
	got(c, tarn_ref_of(c->pool, o));
	object_spoil(o);
	need(tarn_free(c->pool, o) == 0);
}

/* Each of these leaves in @slot what this client holds afterwards. */

static void give(struct client *c, struct object **slot)
{
	tarn_ref ref = tarn_ref_of(c->pool, *slot);
	unsigned to = rnd(c, N_CLIENTS);
	_Atomic tarn_ref *in = &shared->inbox[to][rnd(c, N_INBOX)];
	int r;

	if (*in)
		return; /* what nobody finds any more lies there for long */
	r = tarn_give(c->pool, ref, shared->id[to]);
	need(r == 0 || r == -ESRCH);
	if (r)
		return;
	*slot = NULL;
	atomic_store(in, ref);
}

static void take(struct client *c, struct object **slot)
{
	tarn_ref ref = atomic_exchange(&shared->inbox[c->n][rnd(c, N_INBOX)],
				       0);
	int r = ref ? tarn_take(c->pool, ref) : -EINVAL;

	need(r == 0 || r == -EINVAL || r == -EPERM);
	if (r == 0)
		*slot = got(c, ref);
}

static void publish(struct client *c, struct object **slot)
{
	int r = tarn_publish(c->pool, &c->cell[rnd(c, N_CELLS)],
			     tarn_ref_of(c->pool, *slot));

	need(r == 0 || r == -EBUSY);
	if (r == 0)
		*slot = NULL;
}

static void claim(struct client *c, struct object **slot)
{
	tarn_ref ref = tarn_claim(c->pool, &c->cell[rnd(c, N_CELLS)]);

	if (ref)
		*slot = got(c, ref);
}

static void share(struct client *c, struct object **slot)
{
	unsigned i = rnd(c, N_BOARD);
	tarn_ref ref = tarn_ref_of(c->pool, *slot);
	int r;

	if (c->hold[i])
		return;
	r = tarn_share(c->pool, ref);
	need(r == 0 || r == -EAGAIN || r == -ENOSPC);
	if (r)
		return;
	*slot = NULL;
	c->hold[i] = ref;
	atomic_store(&shared->board[i], ref);
}

/* A place of the board: what is there, or what was, is held, or released. */
static void hold_or_release(struct client *c)
{
	unsigned i = rnd(c, N_BOARD);
	tarn_ref ref = c->hold[i] ? c->hold[i] : shared->board[i];
	int r;

	if (c->hold[i]) {
		c->hold[i] = 0;
		need(tarn_release(c->pool, ref) == 0);
		return;
	}
	for (unsigned k = 0; k < N_BOARD; k++)
		if (c->hold[k] == ref)
			return;
	r = ref ? tarn_hold(c->pool, ref) : -EINVAL;
	need(r == 0 || r == -EINVAL || r == -EPERM);
	if (r == 0) {
		got(c, ref);
		c->hold[i] = ref;
	}
}

/* Handles */

static void fill(struct client *c, tarn_ref h)
{
	struct object *o = tarn_pin(c->pool, h);

	need(o);
	object_fill(o, (uint32_t)tarn_hbytes(c->pool, h), (uint32_t)c->random);
	need(tarn_unpin(c->pool, h) == 0);
}

static void check(struct client *c, tarn_ref h)
{
	const struct object *o = tarn_pin_read(c->pool, h);

	need(o && object_is_right(o, tarn_hbytes(c->pool, h)));
	need(tarn_unpin(c->pool, h) == 0);
}

/* Away to another client, or away. */
static void part_with(struct client *c, tarn_ref *h)
{
	unsigned to = rnd(c, N_CLIENTS);
	int r = -ESRCH;

	check(c, *h);
	if (!shared->hbox[to] && rnd(c, 2)) {
		r = tarn_give(c->pool, *h, shared->id[to]);
		need(r == 0 || r == -ESRCH);
		if (r == 0)
			atomic_store(&shared->hbox[to], *h);
	}
	need(r == 0 || tarn_hfree(c->pool, *h) == 0);
	*h = 0;
}

static void step_handle(struct client *c)
{
	tarn_ref *h = &c->handle[rnd(c, N_HANDLES)], given;

	if (*h && rnd(c, 2)) {
		fill(c, *h);
	} else if (*h) {
		part_with(c, h);
	} else if ((given = atomic_exchange(&shared->hbox[c->n], 0))) {
		int r = tarn_take(c->pool, given);

		need(r == 0 || r == -ESTALE || r == -EPERM || r == -EINVAL);
		*h = r == 0 ? given : 0;
	} else {
		*h = tarn_halloc(c->pool, rnd(c, 20) ? 16 + rnd(c, 2048) :
						       32769 + rnd(c, 99999));
		need(*h || errno == ENOMEM);
		if (*h)
			fill(c, *h);
	}
}

static void step(struct client *c)
{
	struct object **slot = &c->slot[rnd(c, N_SLOTS)];
	uint32_t what = rnd(c, 8);

	if (rnd(c, 4) == 0) {
		step_handle(c);
	} else if (what == 0) {
		hold_or_release(c);
	} else if (!*slot) {
		if (what < 4)
			take(c, slot);
		else if (what < 5)
			claim(c, slot);
		else
			*slot = make(c);
	} else if (what < 3) {
		give(c, slot);
	} else if (what < 4) {
		publish(c, slot);
	} else if (what < 5) {
		share(c, slot);
	} else {
		drop(c, *slot);
		*slot = NULL;
	}
}

static void leave(struct client *c)
{
	for (int i = 0; i < N_SLOTS; i++)
		if (c->slot[i])
			drop(c, c->slot[i]);
	for (int i = 0; i < N_HANDLES; i++)
		need(tarn_hfree(c->pool, c->handle[i]) == 0);
	for (int i = 0; i < N_BOARD; i++)
		need(!c->hold[i] || tarn_release(c->pool, c->hold[i]) == 0);
	tarn_pool_close(c->pool);
}

static int run_client(void *arg)
{
	static struct client c;
	struct tarn *t;

	alarm((unsigned)seconds + 60);
	c.n = *(unsigned *)arg;
	c.random = 0x9e3779b97f4a7c15u * ((unsigned)getpid() + 1);
	need(tarn_connect(NULL, &t) == 0);
	need(tarn_pool_open(t, "live", TARN_PRODUCER, &c.pool) == 0);
	tarn_disconnect(t);
	c.cell = tarn_ptr(c.pool, tarn_root_get(c.pool, "cells"));
	need(c.cell);
	atomic_store(&shared->id[c.n], tarn_client_id(c.pool));
	while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
		for (int i = 0; i < 100; i++)
			step(&c);
		atomic_fetch_add(&shared->n_ops, 100);
	}
	leave(&c);
	return 0;
}

/*
 * The parent
 */

static struct tarn *make_pool(void)
{
	struct tarn_pool *pool;
	struct tarn *t;
	uint64_t *cell;
	tarn_ref ref;

	assert_int_equal(tarn_connect(NULL, &t), 0);
	assert_int_equal(tarn_pool_create(t, "live",
			 TARN_POOL_OPTS(.bytes = POOL_BYTES)), 0);
	assert_int_equal(tarn_pool_open(t, "live", TARN_PRODUCER, &pool), 0);
	cell = tarn_zalloc(pool, N_CELLS * sizeof(*cell));
	assert_non_null(cell);
	ref = tarn_ref_of(pool, cell);
	assert_int_equal(tarn_detach(pool, ref), 0);
	assert_int_equal(tarn_root_set(pool, "cells", ref), 0);
	tarn_pool_close(pool);
	return t;
}

static struct tarn_audit audit(struct tarn *t, uint32_t flags)
{
	struct tarn_audit a = { .sz = sizeof(a) };
	int r = tarn_audit(t, "live", flags, &a);

	if (r == 1)
		fail_msg("%s: %s", a.finding.sentence, a.finding.text);
	assert_int_equal(r, 0);
	return a;
}

static bool all_have_left(struct tarn *t)
{
	struct tarn_pool_info info;

	assert_int_equal(tarn_pool_stat(t, "live", &info), 0);
	return info.n_clients == 0;
}

static void empty_cells(struct tarn *t)
{
	struct tarn_pool *pool;
	uint64_t *cell;
	tarn_ref ref;

	assert_int_equal(tarn_pool_open(t, "live", TARN_PRODUCER, &pool), 0);
	cell = tarn_ptr(pool, tarn_root_get(pool, "cells"));
	for (int i = 0; i < N_CELLS; i++)
		if ((ref = tarn_claim(pool, &cell[i])))
			assert_int_equal(tarn_free(pool, tarn_ptr(pool, ref)),
					 0);
	assert_int_equal(tarn_free(pool, cell), 0);
	tarn_pool_close(pool);
}

static void audit_at_rest(struct tarn *t)
{
	struct tarn_audit a;

	tn_test_eventually(all_have_left(t));
	a = audit(t, TARN_AUDIT_QUIESCENT);
	assert_int_equal(a.slots_held + a.slots_kept + a.slots_given, 0);
	assert_int_equal(a.slots_shared + a.holds + a.slots_link, 0);
	assert_int_equal(a.slots_handle + a.runs_handle + a.handles, 0);
	empty_cells(t);
	tn_test_eventually(all_have_left(t));
	a = audit(t, TARN_AUDIT_QUIESCENT);
	if (a.n_weak)
		fail_msg("%s: %s", a.weak.sentence, a.weak.text);
	assert_int_equal(a.pages_free, a.pages);
}

/* Each wherever it is: what an audit then finds is no matter of timing. */
static void audit_all_stopped(struct tarn *t, const pid_t pid[N_CLIENTS])
{
	for (int i = 0; i < N_CLIENTS; i++)
		kill(pid[i], SIGSTOP);
	audit(t, 0);
	for (int i = 0; i < N_CLIENTS; i++)
		kill(pid[i], SIGCONT);
}

static unsigned kill_one(pid_t pid[N_CLIENTS], unsigned n[N_CLIENTS],
			 unsigned i)
{
	kill(pid[i], SIGKILL);
	assert_int_equal(tn_test_wait(pid[i]), 128 + SIGKILL);
	pid[i] = tn_test_spawn(run_client, &n[i]);
	return 1;
}

static void an_audit_while_clients_work_and_die_finds_nothing(void **state)
{
	unsigned n[N_CLIENTS], n_audits = 0, n_kills = 0;
	int64_t end = tn_test_now_ms() + seconds * 1000, next_kill = 0;
	unsigned long busy = 0, holds = 0, hands = 0, handles = 0;
	pid_t pid[N_CLIENTS];
	struct tarn *t;

	(void)state;
	alarm((unsigned)seconds + 60);
	tn_test_daemon_init(&tarnd);
	tn_test_daemon_start(&tarnd, NULL);
	t = make_pool();
	for (unsigned i = 0; i < N_CLIENTS; i++) {
		n[i] = i;
		pid[i] = tn_test_spawn(run_client, &n[i]);
	}
	for (; tn_test_now_ms() < end; n_audits++) {
		struct tarn_audit a = audit(t, 0);

		busy += a.n_busy;
		holds += a.holds;
		hands += a.pages_hand + a.slots_link;
		handles += a.handles;
		if (tn_test_now_ms() < next_kill)
			continue;
		audit_all_stopped(t, pid);
		n_kills += kill_one(pid, n, n_kills % N_CLIENTS);
		next_kill = tn_test_now_ms() + KILL_MS;
	}
	shared->stop = true;
	for (unsigned i = 0; i < N_CLIENTS; i++)
		assert_int_equal(tn_test_wait(pid[i]), 0);
	print_message("%u audits, %u kills, %lu operations; seen: %lu holds, "
		      "%lu in hands, %lu handles, %lu too busy\n", n_audits,
		      n_kills, shared->n_ops, holds, hands, handles, busy);
	audit_at_rest(t);
	tarn_disconnect(t);
	tn_test_daemon_stop(&tarnd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(an_audit_while_clients_work_and_die_finds_nothing),
	};
	const char *s = getenv("TARN_STRESS_SECONDS");

	if (s && atoi(s) > 0)
		seconds = atoi(s);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
