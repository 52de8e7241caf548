/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compaction without end by a real tarnd, under clients that are killed.
 *
 * Sixteen processes make, pin, read, write and free objects that have handles,
 * and look whether each is what it must be; one of them is killed every 10 ms,
 * and another one takes its place. One more has the pool compacted all the
 * time, and tarnd itself is killed every 1.5 s. Who kills is not who replaces
 * the dead, or one would wait for the other. What is written when its writer is
 * killed may be torn, but then the next one who pins it must have been told so.
 * At the end the pool is sound, and nothing is left in it.
 *
 * Prints how long it took each new tarnd to settle what the one before had
 * under way. TARN_STORM_SECONDS (5) is how long all of it takes.
 */
#include "tests/lib/tn_test.h"
#include "tests/lib/tn_trace.h"

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
#include <tarn/stats.h>

#define OBJECT_BYTES_MAX 100000U
#include "tests/crash/killer.h"
#include "tests/crash/moving.h"

#define N N_VICTIMS
#define N_MINE 300U
#define N_COMMON 16U
#define CRASH_MS 1500

static int seconds = 5;

static struct shared {
	struct moving moving;
	struct victims victims;
	atomic_uint id[N];   /* of who lives */
	atomic_int tarnd;    /* the pid of the last one */
	atomic_uint crashes;
	atomic_ulong compactions, moved;
	struct common common[N_COMMON];
} *shared;

static struct tn_test_daemon tarnd;
static struct tarn *tarn;
static struct tarn_pool *pool;
/* Clients */

static uint32_t random_size(void)
{
	uint64_t more = next() % 64 ? next() % 4 * 200 : next() % 60000;

	return (uint32_t)(sizeof(struct object) + 8 + more);
}

/* That a writer died is told when tarnd has found out. */
static bool is_gone(struct tarn_pool *p, unsigned id)
{
	struct tarn_stats s = { .sz = sizeof(s) };
	bool gone = true;

	for (unsigned n = 0; n < N; n++)
		if (atomic_load(&shared->id[n]) == id)
			return false;
	if (tarn_stats(p, &s) < 0)
		return false;
	for (unsigned n = 0; n < s.n_clients; n++)
		gone = gone && s.clients[n].id != id;
	tarn_stats_free(&s);
	return gone;
}

static void use_any_common(struct tarn_pool *p)
{
	struct common *c = &shared->common[next() % N_COMMON];
	unsigned was = atomic_load(&c->writer);

	if (!was || is_gone(p, was))
		use_common(p, c, was, tarn_client_id(p));
}

/* tarnd may be away just now. */
static struct tarn_pool *attach(struct tarn **t)
{
	struct tarn_pool *p;

	while (tarn_connect(NULL, t) < 0)
		usleep(1000);
	while (tarn_pool_open(*t, "p", TARN_PRODUCER, &p) < 0)
		usleep(1000);
	return p;
}

static int be_client(void *arg)
{
	tarn_ref mine[N_MINE] = { 0 };
	struct tarn_pool *p;
	struct tarn *t;

	alarm((unsigned)seconds + 2 * TN_TEST_SECONDS);
	seed = (uint64_t)getpid() * 2654435761u + (uintptr_t)arg;
	p = attach(&t);
	atomic_store(&shared->id[(uintptr_t)arg], tarn_client_id(p));
	/* many objects at times, and few at others */
	for (uint64_t turn = 0; !atomic_load(&moving->faults); turn++) {
		tarn_ref *h = &mine[next() % N_MINE];

		if (!*h && turn % 20000 < 10000) {
			*h = make(p, random_size());
		} else if (!*h) {
			continue;
		} else if (next() % (turn % 20000 < 10000 ? 64 : 4)) {
			use_mine(p, *h);
		} else {
			free_mine(p, *h);
			*h = 0;
		}
		if (next() % 16 == 0)
			use_any_common(p);
		atomic_fetch_add(&moving->ops, 1);
	}
	return 0;
}

static int compact_again_and_again(void *arg)
{
	struct tarn_compaction c = { .sz = sizeof(c) };
	struct tarn *t;

	(void)arg;
	alarm((unsigned)seconds + 2 * TN_TEST_SECONDS);
	while (tarn_connect(NULL, &t) < 0)
		usleep(1000);
	while (!atomic_load(&moving->faults)) {
		if (tarn_compact(t, "p", 100, NULL, NULL, &c) < 0)
			continue;
		atomic_fetch_add(&shared->compactions, 1);
		atomic_fetch_add(&shared->moved, c.moved_objects);
	}
	return 0;
}

/* The storm */

static pid_t pid[N];

static void start(unsigned n)
{
	pid[n] = tn_test_spawn(be_client, (void *)(uintptr_t)n);
	atomic_store(&shared->victims.pid[n], pid[n]);
}

static void end(pid_t p)
{
	kill(p, SIGKILL);
	assert_true(tn_test_wait(p) == 128 + SIGKILL ||
		    atomic_load(&moving->faults));
}

static int run_killer(void *arg)
{
	(void)arg;
	alarm((unsigned)seconds + 2 * TN_TEST_SECONDS);
	kill_all_the_time(&shared->victims, seconds, &moving->faults);
	return 0;
}

static void crash(void)
{
	tn_test_daemon_crash(&tarnd);
	tn_test_daemon_await(&tarnd);
	atomic_store(&shared->tarnd, tarnd.pid);
}

static int crash_again_and_again(void *arg)
{
	int64_t stop = tn_test_now_ms() + seconds * 1000;

	(void)arg;
	alarm((unsigned)seconds + 2 * TN_TEST_SECONDS);
	while (tn_test_now_ms() + CRASH_MS < stop &&
	       !atomic_load(&moving->faults)) {
		usleep(CRASH_MS * 1000);
		crash();
		atomic_fetch_add(&shared->crashes, 1);
	}
	return 0;
}

static void replace(pid_t dead, int status)
{
	unsigned n = 0;

	while (n < N && pid[n] != dead)
		n++;
	if (atomic_load(&moving->faults))
		return;
	if (n == N || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail_msg("%s has ended, status %#x", n < N ? "a client" :
			 "what was not to end", (unsigned)status);
	atomic_store(&shared->id[n], 0);
	start(n);
}

/* Who dies is replaced, until both of these have ended. */
static void replace_dead(pid_t killer, pid_t crasher)
{
	int status;
	pid_t dead;

	for (unsigned left = 2; left; ) {
		dead = waitpid(-1, &status, 0);
		if (dead == killer || dead == crasher) {
			assert_int_equal(status, 0);
			left--;
		} else {
			replace(dead, status);
		}
	}
}

static void make_common(void)
{
	for (unsigned i = 0; i < N_COMMON; i++) {
		tarn_ref h = tarn_halloc(pool, COMMON_BYTES);

		write_object(tarn_pin(pool, h), COMMON_BYTES);
		assert_int_equal(tarn_unpin(pool, h), 0);
		assert_int_equal(tarn_detach(pool, h), 0);
		shared->common[i].h = h;
	}
}

/* What tarnd's log says of that. */
static void print_settled(void)
{
	unsigned long us = 0, most = 0, n = 0;
	char line[512], *at;
	FILE *f = fopen(tarnd.log, "re");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		at = strstr(line, "under way is settled in ");
		if (!at || sscanf(at, "under way is settled in %lu us",
				  &us) != 1)
			continue;
		n++;
		most = us > most ? us : most;
	}
	fclose(f);
	print_message("# moving, tarnd: %lu times it settled what the one "
		      "before had under way, in %lu us at most, and in %lu us "
		      "while clients were stopped\n", n, most, us);
	assert_true(n > 1);
}

static void leave_nothing(void)
{
	struct tarn_audit audit = { .sz = sizeof(audit) };
	struct tarn_stats stats = { .sz = sizeof(stats) };
	struct tarn_pool_info info;
	int r;

	tn_test_eventually(tarn_pool_stat(tarn, "p", &info) == 0 &&
			   info.n_clients == 1);
	for (unsigned i = 0; i < N_COMMON; i++)
		assert_int_equal(tarn_hfree(pool, shared->common[i].h), 0);
	r = tarn_audit(tarn, "p", 0, &audit);
	if (r)
		print_error("audit: %d %s\n", r, audit.finding.text);
	assert_int_equal(r, 0);
	assert_int_equal(tarn_stats(pool, &stats), 0);
	assert_int_equal(stats.live_objects, 0);
	assert_int_equal(stats.handles, 0);
	tarn_stats_free(&stats);
}

static void print_storm(int64_t ms)
{
	const struct victims *v = &shared->victims;

	print_message("# moving, tarnd: %u clients killed in %.1f s, %.1f a "
		      "second, %u turns with nobody left to kill; %u tarnds\n",
		      v->n_kills, (double)ms / 1000,
		      v->n_kills * 1000.0 / (double)ms, v->n_alone,
		      shared->crashes);
	print_message("# moving, tarnd: %lu operations, %lu told of a torn "
		      "object; %lu compactions, %lu objects moved\n",
		      moving->ops, moving->told, shared->compactions,
		      shared->moved);
}

static void storm(void)
{
	pid_t compactor = tn_test_spawn(compact_again_and_again, NULL);
	int64_t begin = tn_test_now_ms();
	pid_t crasher;

	for (unsigned n = 0; n < N; n++)
		start(n);
	crasher = tn_test_spawn(crash_again_and_again, NULL);
	replace_dead(tn_test_spawn(run_killer, NULL), crasher);
	begin = tn_test_now_ms() - begin;
	if (atomic_load(&shared->tarnd))
		tarnd.pid = atomic_load(&shared->tarnd);
	/* once more, with the processors to itself */
	for (unsigned n = 0; n < N; n++)
		kill(pid[n], SIGSTOP);
	usleep(100000);
	crash();
	for (unsigned n = 0; n < N; n++)
		end(pid[n]);
	end(compactor);
	print_storm(begin);
	assert_int_equal(atomic_load(&moving->faults), 0);
	/* a sanitizer leaves time for one death of tarnd, no more */
	assert_true(atomic_load(&shared->moved) > 0 || TN_SANITIZED);
}

static void clients_and_tarnd_die_while_objects_move(void **state)
{
	const char *s = getenv("TARN_STORM_SECONDS");

	(void)state;
	if (s)
		seconds = atoi(s);
	alarm((unsigned)seconds + 2 * TN_TEST_SECONDS);
	seed = 4711;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(shared, MAP_FAILED);
	moving = &shared->moving;
	tn_test_daemon_init(&tarnd);
	tn_test_daemon_supervise(&tarnd, NULL);
	assert_int_equal(tarn_connect(NULL, &tarn), 0);
	assert_int_equal(tarn_pool_create(tarn, "p", TARN_POOL_OPTS(
				.bytes = 64ULL << 20)), 0);
	assert_int_equal(tarn_pool_open(tarn, "p", TARN_PRODUCER, &pool), 0);
	make_common();
	storm();
	leave_nothing();
	print_settled();
	tarn_pool_close(pool);
	tarn_disconnect(tarn);
	tn_test_daemon_stop(&tarnd);
	munmap(shared, sizeof(*shared));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(clients_and_tarnd_die_while_objects_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
