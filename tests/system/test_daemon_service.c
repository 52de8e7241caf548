/* SPDX-License-Identifier: BSD-2-Clause */
/* tarnd and a service manager, of which this is as much as is needed. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_test.h"

static struct tn_test_daemon d;
static char notify_path[160], said[512];
static int notify_fd;

static void address(struct sockaddr_un *sa, const char *path)
{
	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	assert_true(strlen(path) < sizeof(sa->sun_path));
	strcpy(sa->sun_path, path);
}

static int setup(void **state)
{
	const struct timeval limit = { .tv_sec = 10 };
	struct sockaddr_un sa;

	tn_test_setup(state);
	tn_test_daemon_init(&d);
	snprintf(notify_path, sizeof(notify_path), "%s/notify", d.dir);
	address(&sa, notify_path);
	notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	setsockopt(notify_fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return bind(notify_fd, (struct sockaddr *)&sa, sizeof(sa));
}

static int teardown(void **state)
{
	close(notify_fd);
	tn_test_daemon_kill(&d);
	return tn_test_teardown(state);
}

static int listener(int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa;

	address(&sa, d.socket);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	if (type != SOCK_DGRAM)
		assert_int_equal(listen(fd, 16), 0);
	return fd;
}

struct launch { int fds[2]; int n_fds; const char *watchdog_usec; };

static int exec_as_service(void *arg)
{
	const struct launch *l = arg;
	char pid[16], n[16], path[4096], *program = getenv("TARND");
	int log = open(d.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	dup2(log, 2);
	for (int i = 0; i < l->n_fds; i++)
		if (dup2(l->fds[i], 20 + i) < 0)
			return 120;
	for (int i = 0; i < l->n_fds; i++)
		dup2(20 + i, 3 + i);
	for (int i = 0; i < l->n_fds; i++)
		close(20 + i);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	snprintf(n, sizeof(n), "%d", l->n_fds);
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", n, 1);
	setenv("NOTIFY_SOCKET", notify_path, 1);
	setenv("WATCHDOG_PID", pid, 1);
	setenv("WATCHDOG_USEC", l->watchdog_usec, 1);
	alarm(0);
	if (!program)
		program = (char *)tn_test_program("tarnd", path, sizeof(path));
	execl(program, "tarnd", "--pools", d.pools, "--config", d.conf,
	      (char *)NULL);
	return 127;
}

static void start(const struct launch *l)
{
	d.pid = tn_test_spawn(exec_as_service, (void *)l);
}

/* The next message that has @text in it, into said[]. */
static void wait_for(const char *text)
{
	do {
		ssize_t n = recv(notify_fd, said, sizeof(said) - 1, 0);

		if (n < 0)
			fail_msg("it does not say: %s", text);
		said[n < 0 ? 0 : n] = 0;
	} while (!strstr(said, text));
}

static void it_serves_the_socket_it_was_given(void **state)
{
	struct launch l = { { listener(SOCK_SEQPACKET) }, 1, "0" };
	int sock = tn_raw_connect(d.socket); /* before it is there */
	const struct tn_hello hello = { .min_version = 1, .max_version = 1 };

	(void)state;
	start(&l);
	close(l.fds[0]);
	assert_int_equal(tn_raw_call(sock, TN_MSG_HELLO, &hello, sizeof(hello)),
			 0);
	close(sock);
	kill(d.pid, SIGTERM);
	assert_int_equal(tn_test_wait(d.pid), 0);
	d.pid = 0;
	/* it is the manager's */
	assert_int_equal(access(d.socket, F_OK), 0);
}

static void it_tells_how_it_is(void **state)
{
	struct launch l = { { listener(SOCK_SEQPACKET) }, 1, "0" };
	int sock;

	(void)state;
	start(&l);
	close(l.fds[0]);
	wait_for("READY=1");
	assert_non_null(strstr(said, "STATUS=0 pools, 0 clients"));
	sock = tn_raw_hello(d.socket);
	assert_int_equal(tn_raw_create(sock, "p", 1 << 20, 0), 0);
	wait_for("STATUS=1 pools, 1 clients");
	kill(d.pid, SIGHUP);
	wait_for("RELOADING=1");
	assert_non_null(strstr(said, "MONOTONIC_USEC="));
	wait_for("READY=1");
	close(sock);
	wait_for("STATUS=1 pools, 0 clients");
	kill(d.pid, SIGTERM);
	wait_for("STOPPING=1");
	assert_int_equal(tn_test_wait(d.pid), 0);
	d.pid = 0;
}

static void it_feeds_the_watchdog(void **state)
{
	struct launch l = { { listener(SOCK_SEQPACKET) }, 1, "300000" };
	int64_t begin;

	(void)state;
	start(&l);
	close(l.fds[0]);
	wait_for("READY=1");
	begin = tn_test_now_ms();
	for (int i = 0; i < 4; i++)
		wait_for("WATCHDOG=1");
	assert_in_range(tn_test_now_ms() - begin, 400, 2000);
	/* from the main loop: when that stands still, so does the feeding */
	kill(d.pid, SIGSTOP);
	while (recv(notify_fd, said, sizeof(said), MSG_DONTWAIT) > 0)
		;
	usleep(500000);
	assert_true(recv(notify_fd, said, sizeof(said), MSG_DONTWAIT) < 0);
	kill(d.pid, SIGCONT);
	wait_for("WATCHDOG=1");
}

static void a_socket_of_another_type_is_refused(void **state)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct launch l = { { listener(types[i]) }, 1, "0" };

		start(&l);
		close(l.fds[0]);
		assert_int_not_equal(tn_test_wait(d.pid), 0);
		d.pid = 0;
		assert_true(tn_test_daemon_said(&d, "SOCK_SEQPACKET"));
		unlink(d.socket);
	}
}

static void two_sockets_are_one_too_many(void **state)
{
	int fd = listener(SOCK_SEQPACKET);
	struct launch l = { { fd, fd }, 2, "0" };

	(void)state;
	start(&l);
	close(fd);
	assert_int_not_equal(tn_test_wait(d.pid), 0);
	d.pid = 0;
	assert_true(tn_test_daemon_said(&d, "2 sockets were passed in"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_serves_the_socket_it_was_given),
		TEST(it_tells_how_it_is),
		TEST(it_feeds_the_watchdog),
		TEST(a_socket_of_another_type_is_refused),
		TEST(two_sockets_are_one_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
