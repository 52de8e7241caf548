/* SPDX-License-Identifier: BSD-2-Clause */
/* libtarn over a real tarnd: several processes, what each may do, and what
 * becomes of the objects of those that die. */
#include "tests/lib/tn_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tarn/admin.h"
#include "tarn/stats.h"
#include "tests/lib/tn_view.h"

#define MIB ((uint64_t)1 << 20)

static struct tn_test_daemon daemon_;
static struct tarn *t;
static struct tarn_pool *pool;
static int pair[2]; /* a child talks on [1] */

static int start(void **state)
{
	int r = tn_test_setup(state);

	tn_test_daemon_init(&daemon_);
	tn_test_daemon_start(&daemon_, NULL);
	assert_int_equal(tarn_connect(NULL, &t), 0);
	assert_int_equal(tarn_pool_create(t, "p",
		TARN_POOL_OPTS(.bytes = 16 * MIB, .mode = 0666)), 0);
	assert_int_equal(tarn_pool_open(t, "p", TARN_PRODUCER, &pool), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
				    pair), 0);
	return r;
}

static int stop(void **state)
{
	close(pair[0]);
	close(pair[1]);
	tarn_pool_close(pool);
	tarn_disconnect(t);
	tn_test_daemon_stop(&daemon_);
	return tn_test_teardown(state);
}

static uint64_t live_objects(void)
{
	struct tarn_stats st = { .sz = sizeof(st) };

	assert_int_equal(tarn_stats(pool, &st), 0);
	tarn_stats_free(&st);
	return st.live_objects;
}

/* In a child: a client of its own, in this role. */
static void child_attach(enum tarn_role role)
{
	if (tarn_connect(NULL, &t) || tarn_pool_open(t, "p", role, &pool))
		_exit(99);
}

static void say(int fd, uint64_t v)
{
	if (write(fd, &v, sizeof(v)) != sizeof(v))
		abort();
}

static uint64_t hear(int fd)
{
	uint64_t v = 0;

	if (read(fd, &v, sizeof(v)) != sizeof(v))
		abort();
	return v;
}

static int make_writable(void *page)
{ return mprotect(page, 4096, PROT_READ | PROT_WRITE) == 0; }

static int consumer_child(void *arg)
{
	tarn_ref ref = *(tarn_ref *)arg;
	char *p;
	int r = 0;

	child_attach(TARN_CONSUMER);
	say(pair[1], tarn_client_id(pool));
	ref = hear(pair[1]);
	p = tarn_ptr(pool, ref);
	r |= tarn_alloc(pool, 64) != NULL || errno != EACCES;
	r |= (tarn_alloc(pool, 64000) != NULL || errno != EACCES) << 1;
	r |= (tarn_trim(pool, NULL) != -EACCES) << 2;
	r |= (tarn_root_set(pool, "x", ref) != -EACCES) << 3;
	r |= (tarn_take(pool, ref) != 0) << 4;
	r |= (strcmp(p, "payload") != 0) << 5;
	/* the kernel says no, whatever libtarn thinks */
	r |= make_writable(tn_view_of(pool).data) << 6;
	r |= (tarn_free(pool, p) != 0) << 7;
	return r;
}

static void a_consumer_takes_and_frees_but_cannot_write(void **state)
{
	char *p = strcpy(tarn_alloc(pool, 64), "payload");
	tarn_ref ref = tarn_ref_of(pool, p);
	pid_t pid = tn_test_spawn(consumer_child, &ref);

	(void)state;
	assert_int_equal(tarn_give(pool, ref, (uint32_t)hear(pair[0])), 0);
	say(pair[0], ref);
	assert_int_equal(tn_test_wait(pid), 0);
	tn_test_eventually(live_objects() == 0);
}

static void faulted(int sig)
{
	(void)sig;
	_exit(77);
}

static int consumer_writes(void *arg)
{
	child_attach(TARN_CONSUMER);
	signal(SIGSEGV, faulted);
	*(volatile char *)tarn_ptr(pool, *(tarn_ref *)arg) = 1;
	return 0;
}

static int observer_child(void *arg)
{
	tarn_ref ref = *(tarn_ref *)arg;
	struct tarn_stats st = { .sz = sizeof(st) };
	char path[64];
	int r = 0;

	child_attach(TARN_OBSERVER);
	r |= strcmp(tarn_ptr(pool, ref), "payload") != 0;
	r |= (tarn_free(pool, tarn_ptr(pool, ref)) != -EACCES) << 1;
	r |= (tarn_take(pool, ref) != -EACCES) << 2;
	r |= (tarn_stats(pool, &st) != 0 || st.live_objects != 1) << 3;
	r |= make_writable(tn_view_of(pool).meta) << 4;
	r |= make_writable(tn_view_of(pool).data) << 5;
	/* nor by way of /proc, for whom the file is not */
	snprintf(path, sizeof(path), "/proc/self/fd/%d",
		 tn_view_of(pool).meta_fd);
	r |= (open(path, O_RDWR) >= 0 || errno != EACCES) << 6;
	return r;
}

static void a_read_only_role_is_kept_by_the_kernel(void **state)
{
	char *p = strcpy(tarn_alloc(pool, 64), "payload");
	tarn_ref ref = tarn_ref_of(pool, p);

	(void)state;
	tn_test_skip_unless_root();
	assert_int_equal(tn_test_wait(tn_test_spawn_as(65534, 65534,
			observer_child, &ref)), 0);
	assert_int_equal(tn_test_wait(tn_test_spawn(consumer_writes, &ref)),
			 77);
	assert_string_equal(p, "payload");
}

/* Holds objects of all kinds, and waits to be killed. */
static int hoarder(void *arg)
{
	struct tarn_cache *cache;
	char *p = NULL;

	(void)arg;
	child_attach(TARN_PRODUCER);
	if (tarn_cache_open(pool, "hoard", 200, 0, &cache))
		return 1;
	for (unsigned i = 0; i < 1000; i++)
		if (!tarn_alloc(pool, 16 + i * 3) || !tarn_cache_alloc(cache))
			return 2;
	for (unsigned i = 1; i < 20; i++)
		p = tarn_run_alloc(pool, i, 0);
	if (!p || tarn_detach(pool, tarn_ref_of(pool, p)))
		return 3;
	strcpy(p, "left behind");
	say(pair[1], tarn_ref_of(pool, p));
	pause();
	return 0;
}

static void what_a_killed_client_held_becomes_free(void **state)
{
	char *mine = strcpy(tarn_alloc(pool, 64), "mine");
	char *p;

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		pid_t pid = tn_test_spawn(hoarder, NULL);

		p = tarn_ptr(pool, hear(pair[0]));
		assert_int_equal(live_objects(), 1 + 2000 + 19);
		kill(pid, SIGKILL);
		assert_int_equal(tn_test_wait(pid), 128 + SIGKILL);
		/* what it had detached stays; what others hold, too */
		tn_test_eventually(live_objects() == 2);
		assert_string_equal(p, "left behind");
		assert_int_equal(tarn_free(pool, p), 0);
	}
	assert_string_equal(mine, "mine");
	assert_int_equal(tarn_free(pool, mine), 0);
	assert_int_equal(tarn_trim(pool, NULL), 0);
	assert_null(tn_view_not_pristine(pool));
}

static int leaver(void *arg)
{
	(void)arg;
	child_attach(TARN_PRODUCER);
	for (unsigned i = 0; i < 1000; i++)
		if (!tarn_alloc(pool, 16 + i * 3))
			return 1;
	tarn_pool_close(pool);
	tarn_disconnect(t);
	return 0;
}

static void who_leaves_takes_nothing_along(void **state)
{
	(void)state;
	assert_int_equal(tn_test_wait(tn_test_spawn(leaver, NULL)), 0);
	/* LEAVE is answered when it is all over */
	assert_int_equal(live_objects(), 0);
	assert_null(tn_view_not_pristine(pool));
}

static int drops_its_socket(void *arg)
{
	void *p;

	(void)arg;
	child_attach(TARN_PRODUCER);
	p = strcpy(tarn_alloc(pool, 64), "still mine");
	closefrom(pair[1] + 1);
	usleep(200000);
	if (strcmp(p, "still mine") || tarn_free(pool, p) ||
	    !tarn_alloc(pool, 64))
		return 1;
	say(pair[1], 1);
	pause();
	return 0;
}

static void a_lost_socket_is_not_a_death(void **state)
{
	pid_t pid = tn_test_spawn(drops_its_socket, NULL);

	(void)state;
	assert_int_equal(hear(pair[0]), 1);
	assert_int_equal(live_objects(), 1);
	kill(pid, SIGKILL);
	tn_test_wait(pid);
	tn_test_eventually(live_objects() == 0);
}

static void refs_and_roots_cross_processes_and_not_pools(void **state)
{
	struct tarn_pool *other;
	void *p = tarn_alloc(pool, 64);
	tarn_ref ref = tarn_ref_of(pool, p);

	(void)state;
	assert_int_equal(tarn_pool_create(t, "q",
				TARN_POOL_OPTS(.bytes = MIB)), 0);
	assert_int_equal(tarn_pool_open(t, "q", TARN_PRODUCER, &other), 0);
	assert_ptr_equal(tarn_ptr(pool, ref), p);
	assert_null(tarn_ptr(other, ref));
	assert_null(tarn_ptr(pool, TARN_REF_NONE));
	assert_int_equal(tarn_ref_of(pool, &other), TARN_REF_NONE);
	assert_int_equal(tarn_root_get(pool, "top"), TARN_REF_NONE);
	assert_int_equal(tarn_root_set(other, "top", ref), -EINVAL);
	assert_int_equal(tarn_root_set(pool, "bad name", ref), -EINVAL);
	assert_int_equal(tarn_root_set(pool, "", ref), -EINVAL);
	assert_int_equal(tarn_root_set(pool, ".x", ref), -EINVAL);
	assert_int_equal(tarn_root_set(pool, "top", ref), 0);
	assert_int_equal(tarn_root_get(pool, "top"), ref);
	assert_int_equal(tarn_root_set(pool, "top", TARN_REF_NONE), 0);
	assert_int_equal(tarn_root_get(pool, "top"), TARN_REF_NONE);
	assert_int_equal(tarn_give(pool, ref ^ 1ULL << 60, 1), -EINVAL);
	tarn_pool_close(other);
}

static void a_buddy_pool_has_runs_and_no_caches(void **state)
{
	struct tarn_pool *b;
	struct tarn_cache *cache;
	char *p, *q;

	(void)state;
	assert_int_equal(tarn_pool_create(t, "b",
		TARN_POOL_OPTS(.bytes = MIB, .kind = TARN_KIND_BUDDY,
			       .policy = TARN_BEST_FIT)), 0);
	assert_int_equal(tarn_pool_open(t, "b", TARN_PRODUCER, &b), 0);
	assert_int_equal(tarn_cache_open(b, "c", 64, 0, &cache), -EOPNOTSUPP);
	p = tarn_alloc(b, 1);
	q = tarn_alloc(b, 5 * 4096);
	assert_int_equal(tarn_usable_bytes(b, p), 4096);
	assert_int_equal(tarn_usable_bytes(b, q), 5 * 4096);
	assert_int_equal(tarn_free(b, p), 0);
	assert_int_equal(tarn_free(b, q), 0);
	tarn_pool_close(b);
}

static void without_a_daemon_there_is_an_error_at_once(void **state)
{
	struct tarn *none;
	int64_t before = tn_test_now_ms();

	(void)state;
	assert_int_equal(tarn_connect("/nonexistent/tarn.sock", &none),
			 -ENOENT);
	assert_true(tn_test_now_ms() - before < 1000);
}

static void a_dead_daemon_leaves_open_pools_at_work(void **state)
{
	void *p;

	(void)state;
	kill(daemon_.pid, SIGKILL);
	for (unsigned i = 0; i < 1000; i++) {
		p = tarn_alloc(pool, 1 + i * 50);
		assert_non_null(p);
		assert_int_equal(tarn_free(pool, p), 0);
	}
	assert_int_equal(tarn_ping(t), -ECONNRESET);
	tarn_pool_close(pool);
	tarn_disconnect(t);
	/* for stop() */
	tn_test_daemon_kill(&daemon_);
	tn_test_daemon_init(&daemon_);
	tn_test_daemon_start(&daemon_, NULL);
	pool = NULL;
	assert_int_equal(tarn_connect(NULL, &t), 0);
}

#define ROLE_TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROLE_TEST(a_consumer_takes_and_frees_but_cannot_write),
		ROLE_TEST(a_read_only_role_is_kept_by_the_kernel),
		ROLE_TEST(what_a_killed_client_held_becomes_free),
		ROLE_TEST(who_leaves_takes_nothing_along),
		ROLE_TEST(a_lost_socket_is_not_a_death),
		ROLE_TEST(refs_and_roots_cross_processes_and_not_pools),
		ROLE_TEST(a_buddy_pool_has_runs_and_no_caches),
		ROLE_TEST(without_a_daemon_there_is_an_error_at_once),
		ROLE_TEST(a_dead_daemon_leaves_open_pools_at_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
