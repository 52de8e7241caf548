/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nobody waits for anybody: with tarnd stopped by SIGSTOP, and with any
 * client stopped wherever it happens to be, the other clients go on. Each
 * counts what it does; in every window of 100 ms each must have done some.
 *
 * TARN_STRESS_SECONDS (3) is how long each test goes on.
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
#include <time.h>
#include <unistd.h>

#include <tarn/stats.h>
#include <tarn/tarn.h>

#include "tests/stress/object.h"

#define N_CLIENTS 4
#define N_CELLS 16      /* few, so that they get in each other's way */
#define N_SLOTS 64
#define WINDOW_MS 100
#define STARVED_WINDOWS 30 /* for a client that the machine does not run */
#define POOL_BYTES ((uint64_t)64 << 20)

/* Between the processes of this test, not in the pool. */
struct shared {
	_Alignas(64) atomic_uint n_ready;
	atomic_bool stop;
	struct {
		_Alignas(64) atomic_ulong n_ops;
	} client[N_CLIENTS];
};

static struct shared *shared;
static int seconds = 3;
static struct tn_test_daemon daemon_;
static pid_t client_pid[N_CLIENTS];

struct client {
	unsigned n;
	struct tarn_pool *pool;
	uint64_t *cell;
	uint64_t random;
	struct object *slot[N_SLOTS];
};

/*
 * Clients
 */

static void die(const char *what)
{
	dprintf(2, "client %d: %s (errno %d)\n", (int)getpid(), what, errno);
	_exit(1);
}

static void drop(struct client *c, struct object *o)
{
	if (!object_is_right(o, tarn_usable_bytes(c->pool, o)))
		die("an object is not what it was");
	object_spoil(o);
	if (tarn_free(c->pool, o) != 0)
		die("free");
}

static struct object *make(struct client *c)
{
	/* now and then a run of pages */
	uint32_t size = random_below(&c->random, 50) ?
			16 + random_below(&c->random, 2048) :
			32769 + random_below(&c->random, 131072);
	struct object *o = tarn_alloc(c->pool, size);

	if (!o)
		die("alloc");
	object_fill(o, size, (uint32_t)c->random);
	return o;
}

static void step(struct client *c)
{
	struct object **slot = &c->slot[random_below(&c->random, N_SLOTS)];
	uint64_t *cell = &c->cell[random_below(&c->random, N_CELLS)];
	uint32_t what = random_below(&c->random, 4);
	tarn_ref ref;
	int r;

	if (*slot && what == 0) {
		r = tarn_publish(c->pool, cell, tarn_ref_of(c->pool, *slot));
		if (r != 0 && r != -EBUSY)
			die("publish");
		if (r == 0)
			*slot = NULL;
	} else if (*slot) {
		drop(c, *slot);
		*slot = NULL;
	} else if (what == 0 && (ref = tarn_claim(c->pool, cell))) {
		*slot = tarn_ptr(c->pool, ref);
	} else {
		*slot = make(c);
	}
}

static int run_client(void *arg)
{
	static struct client c;
	struct tarn *t;

	alarm((unsigned)seconds * 2 + 60);
	c.n = *(unsigned *)arg;
	c.random = 0x9e3779b97f4a7c15u * (c.n + 1);
	if (tarn_connect(NULL, &t) ||
	    tarn_pool_open(t, "stopped", TARN_PRODUCER, &c.pool))
		die("open");
	tarn_disconnect(t);
	c.cell = tarn_ptr(c.pool, tarn_root_get(c.pool, "cells"));
	if (!c.cell)
		die("root");
	atomic_fetch_add(&shared->n_ready, 1);
	while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
		step(&c);
		atomic_fetch_add_explicit(&shared->client[c.n].n_ops, 1,
					  memory_order_relaxed);
	}
	for (int i = 0; i < N_SLOTS; i++)
		if (c.slot[i])
			drop(&c, c.slot[i]);
	tarn_pool_close(c.pool);
	return 0;
}

/*
 * The parent: a pool with cells in it, and clients at work
 */

static struct tarn_pool *open_pool(void)
{
	struct tarn_pool *pool;
	struct tarn *t;
	int r;

	assert_int_equal(tarn_connect(NULL, &t), 0);
	r = tarn_pool_create(t, "stopped", TARN_POOL_OPTS(.bytes = POOL_BYTES));
	assert_true(r == 0 || r == -EEXIST);
	assert_int_equal(tarn_pool_open(t, "stopped", TARN_PRODUCER, &pool), 0);
	tarn_disconnect(t);
	return pool;
}

static int start(void **state)
{
	static unsigned n[N_CLIENTS];
	struct tarn_pool *pool;
	uint64_t *cell;
	tarn_ref ref;
	int r = tn_test_setup(state);

	alarm((unsigned)seconds * 2 + 60);
	tn_test_daemon_init(&daemon_);
	tn_test_daemon_start(&daemon_, NULL);
	pool = open_pool();
	cell = tarn_zalloc(pool, N_CELLS * sizeof(*cell));
	assert_non_null(cell);
	ref = tarn_ref_of(pool, cell);
	assert_int_equal(tarn_detach(pool, ref), 0);
	assert_int_equal(tarn_root_set(pool, "cells", ref), 0);
	tarn_pool_close(pool);
	shared->stop = false;
	shared->n_ready = 0;
	for (unsigned i = 0; i < N_CLIENTS; i++) {
		n[i] = i;
		client_pid[i] = tn_test_spawn(run_client, &n[i]);
	}
	tn_test_eventually(shared->n_ready == N_CLIENTS);
	return r;
}

static uint64_t live_objects(struct tarn_pool *pool)
{
	struct tarn_stats s = { .sz = sizeof(s) };

	assert_int_equal(tarn_stats(pool, &s), 0);
	tarn_stats_free(&s);
	return s.live_objects;
}

/* All leave; what is left is the cells and what is in them. */
static int stop(void **state)
{
	struct tarn_pool *pool;
	uint64_t *cell;
	tarn_ref ref;

	shared->stop = true;
	kill(daemon_.pid, SIGCONT); /* should a test have failed */
	for (int i = 0; i < N_CLIENTS; i++)
		kill(client_pid[i], SIGCONT);
	for (int i = 0; i < N_CLIENTS; i++)
		assert_int_equal(tn_test_wait(client_pid[i]), 0);
	pool = open_pool();
	cell = tarn_ptr(pool, tarn_root_get(pool, "cells"));
	for (int i = 0; i < N_CELLS; i++)
		if ((ref = tarn_claim(pool, &cell[i])))
			assert_int_equal(tarn_free(pool, tarn_ptr(pool, ref)),
					 0);
	assert_int_equal(tarn_free(pool, cell), 0);
	tn_test_eventually(live_objects(pool) == 0);
	tarn_pool_close(pool);
	tn_test_daemon_stop(&daemon_);
	return tn_test_teardown(state);
}

/* The processor time that a process has had. */
static int64_t cpu_us(pid_t pid)
{
	struct timespec ts;
	clockid_t clock;

	assert_int_equal(clock_getcpuclockid(pid, &clock), 0);
	assert_int_equal(clock_gettime(clock, &ts), 0);
	return ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* S, R, ... as of ps */
static char process_state(pid_t pid)
{
	char path[64], line[256] = "", *at;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	fclose(f);
	at = strrchr(line, ')');
	assert_non_null(at);
	return at[2];
}

/* Client @i has done nothing in a window. Does it wait for somebody, or has
 * a busy machine not let it run? It gets time for the benefit of the doubt;
 * who sleeps, or runs without getting anywhere, has none. */
static void assert_starved(int i, unsigned long n_before, int64_t cpu_before)
{
	for (int n = 0; n < STARVED_WINDOWS; n++) {
		int64_t cpu = cpu_us(client_pid[i]) - cpu_before;
		char s = process_state(client_pid[i]);

		if (shared->client[i].n_ops != n_before) {
			print_message("client %d: not run for %d ms\n", i,
				      WINDOW_MS * (n + 1));
			return;
		}
		if (s == 'S' || s == 'T' || cpu > WINDOW_MS * 1000 / 4)
			fail_msg("client %d did nothing for %d ms: state %c, "
				 "%d us of processor time", i,
				 WINDOW_MS * (n + 1), s, (int)cpu);
		usleep(WINDOW_MS * 1000);
	}
	fail_msg("client %d did nothing, nor had it a chance to", i);
}

/* One window, in which the clients of the set @stopped (bit i: client i) must
 * stand still and all others must not. Returns the operations of all. */
static unsigned long watch_window(unsigned stopped)
{
	unsigned long before[N_CLIENTS], sum = 0;
	int64_t cpu[N_CLIENTS];

	for (int i = 0; i < N_CLIENTS; i++) {
		cpu[i] = cpu_us(client_pid[i]);
		before[i] = shared->client[i].n_ops;
	}
	usleep(WINDOW_MS * 1000);
	for (int i = 0; i < N_CLIENTS; i++) {
		unsigned long n = shared->client[i].n_ops - before[i];

		if (!(stopped >> i & 1) && n == 0)
			assert_starved(i, before[i], cpu[i]);
		if (stopped >> i & 1 && n != 0)
			fail_msg("client %d is not stopped", i);
		sum += n;
	}
	return sum;
}

static void halt(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
}

static unsigned long watch(int n_windows)
{
	unsigned long sum = 0;

	for (int i = 0; i < n_windows; i++)
		sum += watch_window(0);
	return sum / (unsigned)n_windows;
}

static void all_clients_go_on_while_tarnd_is_stopped(void **state)
{
	unsigned long with, without;

	(void)state;
	with = watch(10);
	halt(daemon_.pid);
	without = watch(seconds * 1000 / WINDOW_MS);
	kill(daemon_.pid, SIGCONT);
	print_message("operations in 100 ms: %lu, with tarnd stopped %lu\n",
		      with, without);
}

/* Stop these clients, each wherever it is then, watch the others for one
 * window, and let all go on. */
static unsigned long watch_without(unsigned stopped, uint64_t *random)
{
	unsigned long n;

	for (int i = 0; i < N_CLIENTS; i++) {
		if (!(stopped >> i & 1))
			continue;
		usleep(random_below(random, 2000));
		halt(client_pid[i]);
	}
	n = watch_window(stopped);
	for (int i = 0; i < N_CLIENTS; i++)
		if (stopped >> i & 1)
			kill(client_pid[i], SIGCONT);
	return n;
}

static void the_others_go_on_while_any_client_is_stopped(void **state)
{
	int64_t end = tn_test_now_ms() + seconds * 1000;
	unsigned long sum = 0, all = watch(5);
	uint64_t random = 88172645463325252u;
	unsigned n = 0;

	(void)state;
	for (; tn_test_now_ms() < end; n++)
		sum += watch_without(1U << n % N_CLIENTS, &random);
	print_message("operations in 100 ms: %lu of %d clients, "
		      "%lu of %d with one stopped (%u stops)\n", all,
		      N_CLIENTS, sum / n, N_CLIENTS - 1, n);
}

static void one_goes_on_while_tarnd_and_all_others_are_stopped(void **state)
{
	int64_t end = tn_test_now_ms() + seconds * 1000;
	uint64_t random = 362436069123456789u;
	unsigned long sum = 0;
	unsigned n = 0;

	(void)state;
	halt(daemon_.pid);
	for (; tn_test_now_ms() < end; n++)
		sum += watch_without(((1U << N_CLIENTS) - 1) &
				     ~(1U << n % N_CLIENTS), &random);
	kill(daemon_.pid, SIGCONT);
	print_message("operations in 100 ms: %lu of the only one "
		      "(%u times)\n", sum / n, n);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_clients_go_on_while_tarnd_is_stopped),
		TEST(the_others_go_on_while_any_client_is_stopped),
		TEST(one_goes_on_while_tarnd_and_all_others_are_stopped),
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
