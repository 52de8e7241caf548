/* SPDX-License-Identifier: BSD-2-Clause */
/* Losing the connection is not losing the pool, and the end of a program is
 * the end of what it held, though its process lives. By the public API. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <tarn/admin.h>
#include <tarn/stats.h>

#include "tests/lib/tn_test.h"

static struct tn_test_daemon d;
static struct tarn *admin;
static volatile int *step; /* of the process under test */

static int setup(void **state)
{
	tn_test_setup(state);
	tn_test_daemon_init(&d);
	tn_test_daemon_start(&d, NULL);
	step = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return tarn_connect(NULL, &admin) ||
	       tarn_pool_create(admin, "p", TARN_POOL_OPTS(.bytes = 8 << 20));
}

static int teardown(void **state)
{
	tarn_disconnect(admin);
	tn_test_daemon_stop(&d);
	munmap((void *)step, 4096);
	return tn_test_teardown(state);
}

static unsigned n_clients(void)
{
	struct tarn_pool_info info;

	assert_int_equal(tarn_pool_stat(admin, "p", &info), 0);
	return info.n_clients;
}

static uint64_t n_objects(void)
{
	struct tarn_stats s = { .sz = sizeof(s) };
	struct tarn_pool *pool;
	uint64_t ret;

	assert_int_equal(tarn_pool_open(admin, "p", TARN_OBSERVER, &pool), 0);
	assert_int_equal(tarn_stats(pool, &s), 0);
	ret = s.live_objects;
	tarn_stats_free(&s);
	tarn_pool_close(pool);
	return ret;
}

static void wait_for_step(int n)
{
	tn_test_eventually(*step >= n);
}

static struct tarn_pool *open_p(void)
{
	struct tarn_pool *pool;
	struct tarn *t;

	if (tarn_connect(NULL, &t) ||
	    tarn_pool_open(t, "p", TARN_PRODUCER, &pool))
		_exit(100);
	tarn_disconnect(t); /* the pool keeps what it needs */
	return pool;
}

static int alloc_100(struct tarn_pool *pool)
{
	for (int i = 0; i < 100; i++)
		if (!tarn_alloc(pool, 100))
			return 1;
	return 0;
}

/* Steps 1, 3 and 5 are its own, 2 and 4 the test's. */
static int close_all_and_go_on(void *arg)
{
	struct tarn_pool *pool = open_p();

	(void)arg;
	if (alloc_100(pool))
		return 1;
	closefrom(3);
	if (alloc_100(pool))
		return 2;
	*step = 1;
	while (*step < 2)
		usleep(1000);
	if (alloc_100(pool))
		return 3;
	*step = 3;
	while (*step < 4)
		usleep(1000);
	tarn_pool_close(pool);
	*step = 5;
	while (*step < 6)
		usleep(1000);
	return 0;
}

static void who_closes_all_descriptors_goes_on(void **state)
{
	pid_t pid = tn_test_spawn(close_all_and_go_on, NULL);

	(void)state;
	wait_for_step(1);
	for (int i = 0; i < 30; i++) {
		assert_int_equal(n_clients(), 1);
		assert_int_equal(n_objects(), 200);
		usleep(10000);
	}
	*step = 2;
	wait_for_step(3);
	assert_int_equal(n_objects(), 300);
	*step = 4;
	wait_for_step(5);
	/* it lives, but has left */
	assert_int_equal(n_clients(), 0);
	assert_int_equal(n_objects(), 0);
	*step = 6;
	assert_int_equal(tn_test_wait(pid), 0);
}

static int open_another_in_its_place(void *arg)
{
	struct tarn_pool *pool = open_p(), *again;
	struct tarn *t;
	int fd;

	(void)arg;
	if (tarn_connect(NULL, &t) || alloc_100(pool))
		return 1;
	closefrom(3);
	/* whatever number the socket had, a file has it now */
	for (fd = 0; fd < 40;)
		fd = dup(2);
	if (tarn_ping(t) || tarn_pool_open(t, "p", TARN_PRODUCER, &again))
		return 2;
	tarn_pool_close(again);
	tarn_disconnect(t);
	for (fd = 30; fd <= 40; fd++)
		if (dup2(fd, fd) != fd)
			return 3; /* it has closed what was not its own */
	*step = 1;
	while (*step < 2)
		usleep(1000);
	tarn_pool_close(pool);
	return 0;
}

static void a_descriptor_of_the_programs_is_not_taken_for_ours(void **state)
{
	pid_t pid = tn_test_spawn(open_another_in_its_place, NULL);

	(void)state;
	tn_test_eventually(*step == 1);
	assert_int_equal(n_objects(), 100);
	*step = 2;
	assert_int_equal(tn_test_wait(pid), 0);
	assert_int_equal(n_clients(), 0);
}

static int alloc_and_exec(void *arg)
{
	struct tarn_pool *pool = open_p();

	if (alloc_100(pool))
		return 1;
	*step = 1;
	while (*step < 2)
		usleep(1000);
	if (arg)
		closefrom(3); /* so that exec is not seen by the socket */
	*step = 3;
	usleep(arg ? 100000 : 0);
	execl("/bin/sleep", "sleep", "60", (char *)NULL);
	return 1;
}

static void exec_gives_back_what_the_program_held(void **state)
{
	pid_t pid = tn_test_spawn(alloc_and_exec, NULL);

	(void)state;
	wait_for_step(1);
	assert_int_equal(n_objects(), 100);
	*step = 2;
	tn_test_eventually(n_objects() == 0);
	assert_int_equal(n_clients(), 0);
	assert_int_equal(kill(pid, SIGKILL), 0); /* it was there all along */
	tn_test_wait(pid);
}

static void exec_after_closing_all_does_so_too(void **state)
{
	pid_t pid = tn_test_spawn(alloc_and_exec, (void *)step);

	(void)state;
	wait_for_step(1);
	*step = 2;
	wait_for_step(3);
	assert_int_equal(n_objects(), 100);
	tn_test_eventually(n_objects() == 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	tn_test_wait(pid);
}

static int fork_and_stay(void *arg)
{
	struct tarn_pool *pool = open_p();

	if (alloc_100(pool))
		return 1;
	if (fork() == 0) {
		alarm(TN_TEST_SECONDS);
		step[1] = getpid();
		for (;;)
			pause();
	}
	while (!step[1])
		usleep(1000);
	*step = 1;
	while (*step < 2)
		usleep(1000);
	if (arg)
		execl("/bin/sleep", "sleep", "60", (char *)NULL);
	for (;;)
		pause();
}

static void a_forked_child_keeps_nothing_of_its_parents(void **state)
{
	pid_t pid = tn_test_spawn(fork_and_stay, NULL);
	int64_t begin;

	(void)state;
	wait_for_step(1);
	assert_int_equal(n_objects(), 100);
	begin = tn_test_now_ms();
	kill(pid, SIGKILL);
	tn_test_eventually(n_objects() == 0);
	assert_in_range(tn_test_now_ms() - begin, 0, 500);
	assert_int_equal(kill(step[1], SIGKILL), 0);
	tn_test_wait(pid);
}

/* The child holds the socket, so tarnd learns of it only when that ends. */
static void nor_after_its_parents_exec(void **state)
{
	pid_t pid = tn_test_spawn(fork_and_stay, (void *)step);

	(void)state;
	wait_for_step(1);
	*step = 2;
	usleep(200000);
	assert_int_equal(kill(step[1], SIGKILL), 0);
	tn_test_eventually(n_objects() == 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	tn_test_wait(pid);
}

static void a_new_daemon_is_found_and_the_old_pools_harm_nothing(void **state)
{
	struct tarn_pool *old, *now;

	(void)state;
	assert_int_equal(tarn_pool_open(admin, "p", TARN_PRODUCER, &old), 0);
	kill(d.pid, SIGKILL);
	tn_test_wait(d.pid);
	assert_int_equal(tarn_ping(admin), -ECONNRESET);
	assert_int_equal(alloc_100(old), 0);
	tn_test_daemon_start(&d, NULL);
	assert_int_equal(tarn_ping(admin), 0);
	assert_int_equal(tarn_pool_create(admin, "p", TARN_POOL_OPTS(
		.bytes = 8 << 20)), 0);
	assert_int_equal(tarn_pool_open(admin, "p", TARN_PRODUCER, &now), 0);
	/* both are the first of their daemon */
	tarn_pool_close(old);
	assert_int_equal(n_clients(), 1);
	assert_int_equal(alloc_100(now), 0);
	assert_int_equal(n_objects(), 100);
	tarn_pool_close(now);
	assert_int_equal(n_clients(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_closes_all_descriptors_goes_on),
		TEST(a_descriptor_of_the_programs_is_not_taken_for_ours),
		TEST(exec_gives_back_what_the_program_held),
		TEST(exec_after_closing_all_does_so_too),
		TEST(a_forked_child_keeps_nothing_of_its_parents),
		TEST(nor_after_its_parents_exec),
		TEST(a_new_daemon_is_found_and_the_old_pools_harm_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
