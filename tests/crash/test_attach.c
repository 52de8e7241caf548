/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attaching and leaving are made of system calls: connect, HELLO, OPEN, maps,
 * LEAVE. A client is killed before and after each of them, over the real
 * daemon, and the pool must be as new afterwards, with nobody attached.
 *
 * (What lies between two system calls of them changes nothing that is shared
 * but by operations that test_step.c steps through.)
 */
#include "tests/lib/tn_test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tarn/admin.h"
#include "tarn/stats.h"
#include "tests/lib/tn_view.h"

#define MIB ((uint64_t)1 << 20)

static struct tn_test_daemon daemon_;
static struct tarn *t;
static struct tarn_pool *pool;

static int start(void **state)
{
	int r = tn_test_setup(state);

	tn_test_daemon_init(&daemon_);
	tn_test_daemon_start(&daemon_, NULL);
	assert_int_equal(tarn_connect(NULL, &t), 0);
	assert_int_equal(tarn_pool_create(t, "p",
				TARN_POOL_OPTS(.bytes = 4 * MIB)), 0);
	assert_int_equal(tarn_pool_open(t, "p", TARN_OBSERVER, &pool), 0);
	return r;
}

static int stop(void **state)
{
	tarn_pool_close(pool);
	tarn_disconnect(t);
	tn_test_daemon_stop(&daemon_);
	return tn_test_teardown(state);
}

/* A whole life: attach, hold something, leave. */
static void live(void)
{
	struct tarn_pool *p;
	struct tarn *c;
	void *slot, *run;

	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	if (tarn_connect(NULL, &c) || tarn_pool_open(c, "p", TARN_PRODUCER, &p))
		_exit(1);
	slot = tarn_alloc(p, 100);
	run = tarn_alloc(p, 100000);
	if (!slot || !run || tarn_share(p, tarn_ref_of(p, slot)))
		_exit(2);
	if (tarn_trim(p, NULL))
		_exit(3);
	tarn_pool_close(p);
	tarn_disconnect(c);
	_exit(0);
}

/* A life of at most @stops stops, two a system call. Return: was it killed? */
static bool killed_after(unsigned stops)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		live();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (unsigned i = 0; i < stops && WIFSTOPPED(status); i++) {
		ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
	if (!WIFSTOPPED(status)) {
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
		return false;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return true;
}

static unsigned clients(void)
{
	struct tarn_pool_info info;

	assert_int_equal(tarn_pool_stat(t, "p", &info), 0);
	return info.n_clients;
}

static void a_death_at_any_system_call_leaves_nothing(void **state)
{
	unsigned stops = 0;
	int before;

	(void)state;
	/* one that ends as it should, so that tarnd has seen all there is */
	assert_false(killed_after(100000));
	tn_test_eventually(clients() == 1);
	usleep(100000);
	before = tn_test_fd_count(daemon_.pid);
	while (killed_after(stops)) {
		tn_test_eventually(clients() == 1);
		if (tn_view_not_pristine(pool))
			fail_msg("after %u stops: %s", stops,
				 tn_view_not_pristine(pool));
		stops++;
	}
	usleep(100000);
	assert_int_equal(tn_test_fd_count(daemon_.pid), before);
	printf("# attach, close: killed at %u system call stops, leaked 0\n",
	       stops);
	assert_true(stops > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_death_at_any_system_call_leaves_nothing,
			start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
