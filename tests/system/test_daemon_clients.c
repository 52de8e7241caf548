/* SPDX-License-Identifier: BSD-2-Clause */
/* Clients that are rude in time: too slow, too fast, gone, too many. After
 * each test tarnd has as many descriptors as before, and its clean end proves
 * that every charge was refunded. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_test.h"

static struct tn_test_daemon d;
static int baseline;

static int setup(void **state)
{
	/* a connection that is not refunded is soon missed */
	static const char *const args[] = {
		"--limit", "connections=40", "--limit", "attachments=40", NULL,
	};

	tn_test_setup(state);
	tn_test_daemon_init(&d);
	tn_test_daemon_start(&d, args);
	baseline = tn_test_fd_count(d.pid);
	return 0;
}

static void settled(void)
{
	tn_test_eventually(tn_test_fd_count(d.pid) == baseline);
}

static int teardown(void **state)
{
	settled();
	tn_test_daemon_stop(&d);
	return tn_test_teardown(state);
}

static bool hangs_up(int sock)
{
	struct tn_packet p;
	bool ret = !tn_raw_recv(sock, &p);

	tn_packet_close(&p);
	return ret;
}

static void serves(int sock)
{
	assert_int_equal(tn_raw_call(sock, TN_MSG_PING, NULL, 0), 0);
}

static void who_says_nothing_is_hung_up_on(void **state)
{
	int64_t begin = tn_test_now_ms();
	int mute = tn_raw_connect(d.socket), sock = tn_raw_hello(d.socket);

	(void)state;
	assert_true(hangs_up(mute));
	assert_in_range(tn_test_now_ms() - begin, 3000, 9000);
	assert_true(tn_test_daemon_said(&d, "no HELLO in 5 s"));
	serves(sock); /* which says nothing either, but did say HELLO */
	close(mute);
	close(sock);
}

/* Send requests without reading until there is no room. */
static uint32_t flood(int sock)
{
	struct tn_packet p;
	uint32_t n = 0;

	for (int idle = 0; idle < 20 && n < 100000;) {
		tn_raw_request(&p, TN_MSG_PING, n, NULL, 0);
		if (send(sock, p.data, p.bytes, MSG_DONTWAIT) < 0) {
			idle++;
			usleep(1000);
		} else {
			idle = 0;
			n++;
		}
	}
	return n;
}

static void who_never_reads_waits_for_itself_alone(void **state)
{
	int rude = tn_raw_hello(d.socket), sock = tn_raw_hello(d.socket);
	uint32_t n = flood(rude);
	struct tn_packet p;

	(void)state;
	assert_in_range(n, 100, 99999);
	for (int i = 0; i < 100; i++)
		serves(sock);
	/* nothing was lost, and nothing changed places */
	for (uint32_t i = 0; i < n; i++) {
		struct tn_msg msg;

		assert_int_equal(tn_raw_recv(rude, &p), 1);
		memcpy(&msg, p.data, sizeof(msg));
		assert_int_equal(msg.id, i);
		assert_int_equal(msg.status, 0);
	}
	serves(rude);
	/* and once more, with an end in the middle */
	flood(rude);
	close(rude);
	serves(sock);
	close(sock);
}

static void half_an_end_is_an_end(void **state)
{
	struct tn_packet p;

	(void)state;
	for (int i = 0; i < 20; i++) {
		int sock = tn_raw_hello(d.socket);

		shutdown(sock, i % 2 ? SHUT_RD : SHUT_WR);
		tn_raw_request(&p, TN_MSG_PING, 1, NULL, 0);
		tn_raw_send(sock, p.data, p.bytes);
		settled();
		close(sock);
	}
}

static int ask_and_go(void *arg)
{
	(void)arg;
	for (int i = 0; i < 30; i++) {
		struct tn_open open = { .name = "p", .role = TN_PRODUCER };
		int sock = tn_raw_hello(d.socket);
		struct tn_packet p;

		tn_raw_request(&p, TN_MSG_OPEN, 1, &open, sizeof(open));
		tn_raw_send(sock, p.data, p.bytes);
		if (i % 3 == 0)
			tn_raw_recv(sock, &p); /* and leave it there */
		close(sock);
	}
	return 0;
}

static void going_before_the_reply_leaves_nothing_behind(void **state)
{
	int sock = tn_raw_hello(d.socket);
	struct tn_info info;

	(void)state;
	assert_int_equal(tn_raw_create(sock, "p", 1 << 20, 0), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(tn_test_wait(tn_test_spawn(ask_and_go, NULL)),
				 0);
		do
			assert_int_equal(tn_raw_stat(sock, "p", &info), 0);
		while (info.n_clients);
	}
	assert_int_equal(tn_raw_destroy(sock, "p"), 0);
	close(sock);
}

static void descriptors_are_sent_one_reply_at_a_time(void **state)
{
	struct tn_open open = { .name = "p", .role = TN_OBSERVER };
	int sock = tn_raw_hello(d.socket), status[3];
	struct tn_open_reply opened;
	struct tn_packet p, reply;
	int fds[3];

	(void)state;
	assert_int_equal(tn_raw_create(sock, "p", 1 << 20, 0), 0);
	tn_raw_request(&p, TN_MSG_OPEN, 1, &open, sizeof(open));
	for (int i = 0; i < 3; i++)
		tn_raw_send(sock, p.data, p.bytes);
	for (int i = 0; i < 3; i++) {
		struct tn_msg msg;

		/* until the first was read, there is to be no second */
		usleep(i ? 0 : 200000);
		assert_int_equal(tn_raw_recv(sock, &reply), 1);
		memcpy(&msg, reply.data, sizeof(msg));
		status[i] = msg.status;
		tn_packet_close(&reply);
	}
	assert_int_equal(status[0], 0);
	assert_int_equal(status[1], -EBUSY);
	assert_int_equal(status[2], -EBUSY);
	assert_int_equal(tn_raw_open(sock, "p", TN_OBSERVER, &opened, fds), 0);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	assert_int_equal(tn_raw_leave(sock, opened.attach), 0);
	assert_int_equal(tn_raw_leave(sock, opened.attach - 1), 0);
	assert_int_equal(tn_raw_destroy(sock, "p"), 0);
	close(sock);
}

static long cpu_ticks(pid_t pid)
{
	char path[64], text[1024];
	unsigned long user = 0, system = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	fclose(f);
	assert_int_equal(sscanf(strrchr(text, ')'),
				") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
				"%lu %lu", &user, &system), 2);
	return (long)(user + system);
}

static void without_descriptors_it_waits_and_does_not_spin(void **state)
{
	struct rlimit before, low = { (rlim_t)baseline + 5,
				      (rlim_t)baseline + 5 };
	int sock = tn_raw_hello(d.socket), more[12];
	long ticks;

	(void)state;
	assert_int_equal(prlimit(d.pid, RLIMIT_NOFILE, NULL, &before), 0);
	low.rlim_max = before.rlim_max;
	assert_int_equal(prlimit(d.pid, RLIMIT_NOFILE, &low, NULL), 0);
	for (int i = 0; i < 12; i++)
		more[i] = tn_raw_connect(d.socket);
	tn_test_eventually(tn_test_daemon_said(&d, "Too many open files"));
	ticks = cpu_ticks(d.pid);
	for (int i = 0; i < 10; i++) {
		serves(sock);
		usleep(100000);
	}
	assert_in_range(cpu_ticks(d.pid) - ticks, 0, 20);
	for (int i = 0; i < 12; i++)
		close(more[i]);
	assert_int_equal(prlimit(d.pid, RLIMIT_NOFILE, &before, NULL), 0);
	close(tn_raw_hello(d.socket));
	close(sock);
}

static void a_crowd_at_the_door_is_let_in(void **state)
{
	const struct tn_hello hello = { .min_version = 1, .max_version = 1 };
	struct tn_packet p, reply;
	int socks[35];

	(void)state;
	kill(d.pid, SIGSTOP);
	tn_raw_request(&p, TN_MSG_HELLO, 1, &hello, sizeof(hello));
	for (int i = 0; i < 80; i++)
		close(tn_raw_connect(d.socket)); /* came and went */
	for (int i = 0; i < 35; i++) {
		socks[i] = tn_raw_connect(d.socket);
		tn_raw_send(socks[i], p.data, p.bytes);
	}
	kill(d.pid, SIGCONT);
	for (int i = 0; i < 35; i++) {
		assert_int_equal(tn_raw_recv(socks[i], &reply), 1);
		close(socks[i]);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_says_nothing_is_hung_up_on),
		TEST(who_never_reads_waits_for_itself_alone),
		TEST(half_an_end_is_an_end),
		TEST(going_before_the_reply_leaves_nothing_behind),
		TEST(descriptors_are_sent_one_reply_at_a_time),
		TEST(without_descriptors_it_waits_and_does_not_spin),
		TEST(a_crowd_at_the_door_is_let_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
