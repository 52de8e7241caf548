/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each call fails that tarnd makes from its first instruction on until it is
 * ready. Then it either ends with status 1 or 2 and a word about why, or it
 * comes up and serves as if nothing had been; with a pool that was declared,
 * as many descriptors as otherwise, and a clean end.
 *
 * The pool's owner is a number. To look up a name, the C library loads its
 * name service, which (glibc 2.36) does not survive a failed allocation.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/tn_fault.h"
#include "tests/lib/tn_manager.h"
#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_test.h"

static struct tn_fault_table table;
static int n_fds; /* of a tarnd that is up */
static struct tn_manager manager;

static bool has_said_why(void)
{
	struct stat st;

	return stat(manager.d.log, &st) == 0 && st.st_size > 0;
}

enum { UP = -1, STILL_THERE = -2 };

/* Return: a wait status if it has ended, or UP, or STILL_THERE */
static int outcome(bool may_be_up)
{
	int64_t end = tn_test_now_ms() + TN_TEST_PATIENCE_MS;
	int status;

	while (tn_test_now_ms() < end) {
		if (waitpid(manager.d.pid, &status, WNOHANG) == manager.d.pid)
			return status;
		if (may_be_up && tn_test_daemon_accepts(&manager.d))
			return UP;
		usleep(300);
	}
	kill(manager.d.pid, SIGKILL);
	tn_test_wait(manager.d.pid);
	return STILL_THERE;
}

static int end(void)
{
	kill(manager.d.pid, SIGTERM);
	return outcome(false);
}

/* libevent may have chosen a backend that needs less of them. */
static bool fds_are_right(void)
{
	int64_t end = tn_test_now_ms() + 3000;

	while (tn_test_fd_count(manager.d.pid) > n_fds)
		if (tn_test_now_ms() > end)
			return false;
	return true;
}

/* The pool that was declared, too. It may end while it is asked. */
static bool serves(void)
{
	const struct tn_hello hello = { 1, 1, 0, 0, 0, 0 };
	const struct tn_by_name name = { "declared" };
	int sock = tn_raw_try_connect(manager.d.socket);
	struct tn_packet p;
	int r;

	if (sock < 0)
		return false;
	tn_raw_request(&p, TN_MSG_HELLO, 1, &hello, sizeof(hello));
	r = tn_raw_ask(sock, &p, 3000);
	tn_raw_request(&p, TN_MSG_STAT, 2, &name, sizeof(name));
	if (r == 0)
		r = tn_raw_ask(sock, &p, 3000);
	close(sock);
	return r == 0;
}

static const char *look_at_ended(const struct tn_fault *f, int status,
				 struct tn_fault_row *row)
{
	if (!WIFEXITED(status) ||
	    (WEXITSTATUS(status) != 1 && WEXITSTATUS(status) != 2)) {
		row->crashes++;
		print_error("wait status %x\n", (unsigned)status);
		return "tarnd crashes";
	}
	if (!has_said_why() && f->kind != TN_FAULT_write) {
		row->refused++;
		return "it ends without a word";
	}
	return NULL;
}

/* Return: what has gone wrong, or NULL */
static const char *look_at_running(const struct tn_fault *f,
				   struct tn_fault_row *row)
{
	bool served = serves();
	int r;

	/* rather without a declared pool than not at all: others may be at
	 * work in those that were adopted */
	if (!served && !tn_test_daemon_said(&manager.d, "cannot be kept")) {
		r = end();
		if (WIFEXITED(r)) /* while we were about to speak */
			return look_at_ended(f, r, row);
		row->refused++;
		return "it is up, but does not serve";
	}
	if (!fds_are_right()) {
		row->leaks++;
		return "descriptors are left";
	}
	r = end();
	if (r == STILL_THERE) {
		row->hangs++;
		return "it does not end";
	}
	if (r && !served) /* it listened, but could not start after all */
		return look_at_ended(f, r, row);
	if (r) {
		row->crashes++;
		return "it does not end well";
	}
	return NULL;
}

static bool run(struct tn_fault_table *t, const struct tn_fault *f,
		struct tn_fault_row *row)
{
	const char *wrong;
	bool failed;
	int r;

	alarm(TN_TEST_SECONDS);
	unlink(manager.d.log);
	unlink(manager.d.socket);
	tn_fault_arm(t, f);
	tn_test_daemon_spawn(&manager.d, NULL);
	r = outcome(true);
	failed = tn_fault_disarm(t);
	if (r >= 0) {
		wrong = look_at_ended(f, r, row);
	} else if (r == UP) {
		wrong = look_at_running(f, row);
	} else {
		wrong = "it neither starts nor ends";
		row->hangs++;
	}
	manager.d.pid = 0;
	tn_fault_forget(&manager);
	if (wrong) {
		tn_fault_say(t, f, wrong);
		tn_test_daemon_print(&manager.d);
	}
	return failed;
}

/* How many descriptors it has when nothing fails. */
static void learn(void)
{
	tn_test_daemon_start(&manager.d, NULL);
	n_fds = tn_test_fd_count(manager.d.pid);
	kill(manager.d.pid, SIGTERM);
	assert_int_equal(tn_test_wait(manager.d.pid), 0);
	manager.d.pid = 0;
	tn_fault_forget(&manager);
}

static void every_call_of_a_starting_daemon_may_fail(void **state)
{
	char path[4096];

	(void)state;
	tn_fault_skip_unless_possible();
	tn_fault_manager(&table, &manager, "WATCHDOG_USEC=60000000");
	snprintf(path, sizeof(path), "%s/declared.pool", manager.d.pools);
	tn_test_write_file(path, "[pool]\nbytes = 1M\nowner = 0\n");
	tn_test_write_file(manager.d.conf, "[limits]\npools = 100\n");
	learn();
	tn_fault_all(&table, run);
	assert_int_equal(tn_fault_print(&table, "tarnd at its start"), 0);
	tn_fault_fini(&table);
	tn_manager_fini(&manager);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(every_call_of_a_starting_daemon_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
