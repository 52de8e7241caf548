/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A storm: sixteen processes allocate, free, give, take, publish and claim as
 * fast as they can, in one pool of a real tarnd, and every ten milliseconds
 * one of them is killed and replaced. Nobody may notice: an object that was
 * handed over is what it was, and no call fails that has no reason to. When
 * all have left, the pool is as it was when it was new.
 *
 * What is given goes with a note in the receiver's box, which is memory of
 * this test and not of the pool. A giver who dies before he writes the note
 * leaves the object to a receiver who never hears of it; it goes with him.
 *
 * TARN_STORM_SECONDS (5) is how long.
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

#include <tarn/stats.h>
#include <tarn/tarn.h>

#include "tests/crash/killer.h"
#include "tests/lib/tn_view.h"
#include "tests/stress/object.h"

#define N_CLIENTS N_VICTIMS
#define N_CELLS 64
#define N_SLOTS 64    /* objects that a client holds at most */
#define N_NOTES 8
#define POOL_BYTES ((uint64_t)128 << 20)

struct note {
	atomic_ullong ref;   /* 0: free */
	atomic_uint to;      /* id; written before the ref */
	atomic_uint writing; /* client number + 1 */
};

/* Between the processes of this test, not in the pool. */
struct shared {
	atomic_bool stop;
	atomic_uint faults;
	struct victims victims;
	struct {
		_Alignas(64) atomic_uint id;
		atomic_ulong n_ops;
		struct note note[N_NOTES];
	} client[N_CLIENTS];
};

static struct shared *shared;
static int seconds = 5;
static struct tn_test_daemon daemon_;
static pid_t pid[N_CLIENTS];

struct client {
	unsigned n;
	uint32_t id;
	struct tarn_pool *pool;
	uint64_t *cell;
	uint64_t random;
	struct object *slot[N_SLOTS];
};

/*
 * Clients
 */

static void die(const struct client *c, const char *what, int r)
{
	atomic_fetch_add(&shared->faults, 1);
	dprintf(2, "client %u, id %u: %s: %d (errno %d)\n", c->n, c->id, what,
		r, errno);
	_exit(1);
}

static void check(const struct client *c, const struct object *o,
		  const char *whence)
{
	if (!object_is_right(o, tarn_usable_bytes(c->pool, o)))
		die(c, whence, 0);
}

static void drop(struct client *c, struct object **slot)
{
	int r;

	check(c, *slot, "an object is not what it was");
	object_spoil(*slot);
	r = tarn_free(c->pool, *slot);
	if (r != 0)
		die(c, "free", r);
	*slot = NULL;
}

static void make(struct client *c, struct object **slot)
{
	uint32_t large = random_below(&c->random, 64), size;

	size = large == 0 ? 32769 + random_below(&c->random, 300000) :
	       large < 8 ? 2064 + random_below(&c->random, 30000) :
			   16 + random_below(&c->random, 2048);
	*slot = tarn_alloc(c->pool, size);
	if (!*slot)
		die(c, "alloc", (int)size);
	object_fill(*slot, size, (uint32_t)c->random);
}

static void give(struct client *c, struct object **slot)
{
	unsigned to = random_below(&c->random, N_CLIENTS), none = 0;
	uint32_t id = atomic_load(&shared->client[to].id);
	struct note *note = &shared->client[to].note[
				random_below(&c->random, N_NOTES)];
	tarn_ref ref = tarn_ref_of(c->pool, *slot);
	int r;

	if (!id || to == c->n || atomic_load(&note->ref) ||
	    !atomic_compare_exchange_strong(&note->writing, &none,
					    c->n + 1))
		return;
	r = atomic_load(&note->ref) ? -EAGAIN : tarn_give(c->pool, ref, id);
	if (r == 0) {
		*slot = NULL;
		atomic_store(&note->to, id);
		atomic_store(&note->ref, ref);
	} else if (r != -ESRCH && r != -EAGAIN) {
		die(c, "give", r);
	}
	atomic_store(&note->writing, 0);
}

/* What was given to me; a note to who was here before is void. */
static bool take(struct client *c, struct object **slot)
{
	for (unsigned i = 0; i < N_NOTES; i++) {
		struct note *note = &shared->client[c->n].note[i];
		tarn_ref ref = atomic_load(&note->ref);
		uint32_t to = atomic_load(&note->to);
		int r;

		if (!ref)
			continue;
		atomic_store(&note->ref, 0);
		if (to != c->id)
			continue;
		r = tarn_take(c->pool, ref);
		if (r != 0)
			die(c, "take", r);
		*slot = tarn_ptr(c->pool, ref);
		check(c, *slot, "what was taken is not what was given");
		return true;
	}
	return false;
}

static void publish(struct client *c, struct object **slot)
{
	uint64_t *cell = &c->cell[random_below(&c->random, N_CELLS)];
	int r = tarn_publish(c->pool, cell, tarn_ref_of(c->pool, *slot));

	if (r != 0 && r != -EBUSY)
		die(c, "publish", r);
	if (r == 0)
		*slot = NULL;
}

static bool claim(struct client *c, struct object **slot)
{
	uint64_t *cell = &c->cell[random_below(&c->random, N_CELLS)];
	tarn_ref ref = tarn_claim(c->pool, cell);

	if (!ref)
		return false;
	*slot = tarn_ptr(c->pool, ref);
	check(c, *slot, "what was claimed is not what was published");
	return true;
}

static void step(struct client *c)
{
	struct object **slot = &c->slot[random_below(&c->random, N_SLOTS)];
	uint32_t what = random_below(&c->random, 8);

	if (*slot && what == 0)
		publish(c, slot);
	else if (*slot && what == 1)
		give(c, slot);
	else if (*slot)
		drop(c, slot);
	else if (!(what == 0 && claim(c, slot)) &&
		 !(what == 1 && take(c, slot)))
		make(c, slot);
}

static void attach(struct client *c)
{
	struct tarn *t = NULL;
	int r;

	r = tarn_connect(NULL, &t);
	if (r == 0)
		r = tarn_pool_open(t, "storm", TARN_PRODUCER, &c->pool);
	if (r != 0)
		die(c, "attach", r);
	tarn_disconnect(t);
	c->cell = tarn_ptr(c->pool, tarn_root_get(c->pool, "cells"));
	if (!c->cell)
		die(c, "root", 0);
	c->id = tarn_client_id(c->pool);
	atomic_store(&shared->client[c->n].id, c->id);
}

static int run_client(void *arg)
{
	static struct client c;

	alarm((unsigned)seconds + 60);
	/* or who kills would have to wait for a turn among the many */
	errno = 0;
	if (nice(5) < 0 && errno)
		die(&c, "nice", -1);
	c.n = *(unsigned *)arg;
	c.random = 0x9e3779b97f4a7c15u * (unsigned)getpid() | 1;
	attach(&c);
	while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
		step(&c);
		atomic_fetch_add_explicit(&shared->client[c.n].n_ops, 1,
					  memory_order_relaxed);
	}
	/* some free what they hold, some just leave */
	for (unsigned i = 0; c.n % 2 && i < N_SLOTS; i++)
		if (c.slot[i])
			drop(&c, &c.slot[i]);
	tarn_pool_close(c.pool);
	return 0;
}

/*
 * The parent
 */

static struct tarn_pool *open_pool(enum tarn_role role)
{
	struct tarn_pool *pool;
	struct tarn *t;
	int r;

	assert_int_equal(tarn_connect(NULL, &t), 0);
	r = tarn_pool_create(t, "storm", TARN_POOL_OPTS(.bytes = POOL_BYTES));
	assert_true(r == 0 || r == -EEXIST);
	assert_int_equal(tarn_pool_open(t, "storm", role, &pool), 0);
	tarn_disconnect(t);
	return pool;
}

static void spawn(unsigned n)
{
	static unsigned number[N_CLIENTS];

	number[n] = n;
	atomic_store(&shared->client[n].id, 0);
	pid[n] = tn_test_spawn(run_client, &number[n]);
	atomic_store(&shared->victims.pid[n], pid[n]);
}

static void make_cells(void)
{
	struct tarn_pool *pool = open_pool(TARN_PRODUCER);
	uint64_t *cell = tarn_zalloc(pool, N_CELLS * sizeof(*cell));
	tarn_ref ref = tarn_ref_of(pool, cell);

	assert_non_null(cell);
	assert_int_equal(tarn_detach(pool, ref), 0);
	assert_int_equal(tarn_root_set(pool, "cells", ref), 0);
	tarn_pool_close(pool);
}

/* The note that a dead client may have been writing is nobody's now. */
static void drop_notes_of(unsigned n)
{
	for (unsigned i = 0; i < N_CLIENTS * N_NOTES; i++) {
		unsigned writing = n + 1;

		atomic_compare_exchange_strong(
			&shared->client[i / N_NOTES].note[i % N_NOTES].writing,
			&writing, 0);
	}
}

/* Who dies is replaced, until @killer ends. */
static void replace_dead(pid_t killer)
{
	int status;
	pid_t dead;

	while ((dead = waitpid(-1, &status, 0)) != killer) {
		unsigned n = 0;

		if (dead == daemon_.pid)
			fail_msg("tarnd has died, status %#x", status);
		while (n < N_CLIENTS - 1 && pid[n] != dead)
			n++;
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGKILL);
		drop_notes_of(n);
		spawn(n);
	}
	assert_int_equal(status, 0);
}

static int run_killer(void *arg)
{
	(void)arg;
	alarm((unsigned)seconds + 60);
	kill_all_the_time(&shared->victims, seconds, &shared->faults);
	return 0;
}

static uint64_t live_objects(struct tarn_pool *pool)
{
	struct tarn_stats s = { .sz = sizeof(s) };

	assert_int_equal(tarn_stats(pool, &s), 0);
	tarn_stats_free(&s);
	return s.live_objects;
}

/* All have left: what the pool itself holds is the cells. */
static void empty_pool(void)
{
	struct tarn_pool *pool = open_pool(TARN_PRODUCER);
	uint64_t *cell = tarn_ptr(pool, tarn_root_get(pool, "cells"));
	tarn_ref ref;

	for (unsigned i = 0; i < N_CELLS; i++)
		if ((ref = tarn_claim(pool, &cell[i])))
			assert_int_equal(tarn_free(pool, tarn_ptr(pool, ref)),
					 0);
	assert_int_equal(tarn_free(pool, cell), 0);
	tn_test_eventually(live_objects(pool) == 0);
	tarn_pool_close(pool);
	pool = open_pool(TARN_OBSERVER);
	tn_test_eventually(!tn_view_not_pristine(pool));
	tarn_pool_close(pool);
}

static void nobody_notices_that_one_is_killed_every_ten_ms(void **state)
{
	unsigned long n_ops = 0;
	int64_t begin;
	double took;

	(void)state;
	alarm((unsigned)seconds + 60);
	make_cells();
	for (unsigned i = 0; i < N_CLIENTS; i++)
		spawn(i);
	begin = tn_test_now_ms();
	replace_dead(tn_test_spawn(run_killer, NULL));
	took = (double)(tn_test_now_ms() - begin) / 1000;
	shared->stop = true;
	for (unsigned i = 0; i < N_CLIENTS; i++) {
		bool killed = !shared->victims.pid[i];
		int status = tn_test_wait(pid[i]);

		assert_int_equal(status, killed ? 128 + SIGKILL : 0);
		n_ops += shared->client[i].n_ops;
	}
	assert_int_equal(shared->faults, 0);
	empty_pool();
	printf("# storm: %u killed in %.1f s, %.1f a second, %u turns with "
	       "nobody left to kill; %lu operations\n",
	       shared->victims.n_kills, took, shared->victims.n_kills / took,
	       shared->victims.n_alone, n_ops);
}

static int start(void **state)
{
	int r = tn_test_setup(state);

	tn_test_daemon_init(&daemon_);
	tn_test_daemon_start(&daemon_, NULL);
	return r;
}

static int stop(void **state)
{
	tn_test_daemon_stop(&daemon_);
	return tn_test_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			nobody_notices_that_one_is_killed_every_ten_ms,
			start, stop),
	};
	const char *s = getenv("TARN_STORM_SECONDS");

	if (s && atoi(s) > 0)
		seconds = atoi(s);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
