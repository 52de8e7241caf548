/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_test.h"

static struct tn_test_daemon d;

/* A limit that is set counts for every user, for root and tarnd's own too. */
static int setup(void **state)
{
	tn_test_setup(state);
	tn_test_daemon_init(&d);
	tn_test_write_file(d.conf, "[limits]\nbytes = 8M\npools = 3\n"
			   "connections = 4\nattachments = 5\n");
	tn_test_daemon_start(&d, NULL);
	return 0;
}

static int teardown(void **state)
{
	tn_test_daemon_stop(&d);
	return tn_test_teardown(state);
}

static void bytes_may_be_used_up_exactly(void **state)
{
	int sock = tn_raw_hello(d.socket);

	(void)state;
	assert_int_equal(tn_raw_create(sock, "a", (8 << 20) + 1, 0), -EDQUOT);
	assert_int_equal(tn_raw_create(sock, "a", 6 << 20, 0), 0);
	assert_int_equal(tn_raw_create(sock, "b", (2 << 20) + 4096, 0),
			 -EDQUOT);
	assert_int_equal(tn_raw_create(sock, "b", 2 << 20, 0), 0);
	assert_int_equal(tn_raw_create(sock, "c", 1 << 20, 0), -EDQUOT);
	close(sock);
}

static void quota_is_refunded_when_a_pool_is_destroyed(void **state)
{
	int sock = tn_raw_hello(d.socket);

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(tn_raw_create(sock, "a", 8 << 20, 0), 0);
		assert_int_equal(tn_raw_create(sock, "b", 1 << 20, 0), -EDQUOT);
		assert_int_equal(tn_raw_destroy(sock, "a"), 0);
	}
	close(sock);
}

static void a_destroyed_pool_counts_while_somebody_has_it(void **state)
{
	int sock = tn_raw_hello(d.socket), fds[3];
	struct tn_open_reply opened;

	(void)state;
	assert_int_equal(tn_raw_create(sock, "a", 8 << 20, 0), 0);
	assert_int_equal(tn_raw_open(sock, "a", TN_OBSERVER, &opened, fds), 0);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	assert_int_equal(tn_raw_destroy(sock, "a"), 0);
	assert_int_equal(tn_raw_create(sock, "b", 1 << 20, 0), -EDQUOT);
	assert_int_equal(tn_raw_leave(sock, opened.attach), 0);
	assert_int_equal(tn_raw_create(sock, "b", 8 << 20, 0), 0);
	close(sock);
}

static void pools_are_counted(void **state)
{
	int sock = tn_raw_hello(d.socket);

	(void)state;
	assert_int_equal(tn_raw_create(sock, "a", 1 << 20, 0), 0);
	assert_int_equal(tn_raw_create(sock, "b", 1 << 20, 0), 0);
	assert_int_equal(tn_raw_create(sock, "c", 1 << 20, 0), 0);
	assert_int_equal(tn_raw_create(sock, "d", 1 << 20, 0), -EDQUOT);
	assert_int_equal(tn_raw_destroy(sock, "b"), 0);
	assert_int_equal(tn_raw_create(sock, "d", 1 << 20, 0), 0);
	close(sock);
}

static void attachments_are_counted(void **state)
{
	int sock = tn_raw_hello(d.socket), fds[3];
	struct tn_open_reply opened;

	(void)state;
	assert_int_equal(tn_raw_create(sock, "a", 1 << 20, 0), 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(tn_raw_open(sock, "a", TN_OBSERVER, &opened,
					     fds), 0);
		for (int k = 0; k < 3; k++)
			close(fds[k]);
	}
	assert_int_equal(tn_raw_open(sock, "a", TN_OBSERVER, &opened, fds),
			 -EDQUOT);
	assert_int_equal(tn_raw_leave(sock, opened.attach), 0);
	assert_int_equal(tn_raw_open(sock, "a", TN_OBSERVER, &opened, fds), 0);
	for (int k = 0; k < 3; k++)
		close(fds[k]);
	close(sock);
}

static void who_has_too_many_connections_is_told(void **state)
{
	const struct tn_hello hello = { .min_version = 1, .max_version = 1 };
	int socks[4], fds, more;

	(void)state;
	for (int i = 0; i < 4; i++)
		socks[i] = tn_raw_hello(d.socket);
	fds = tn_test_fd_count(d.pid);
	for (int i = 0; i < 40; i++) {
		struct tn_packet p, reply;
		struct tn_msg msg;

		/* HELLO before tarnd looks, or after */
		tn_raw_request(&p, TN_MSG_HELLO, 0, &hello, sizeof(hello));
		more = tn_raw_connect(d.socket);
		if (i % 2)
			usleep(2000);
		tn_raw_send(more, p.data, p.bytes);
		assert_int_equal(tn_raw_recv(more, &reply), 1);
		memcpy(&msg, reply.data, sizeof(msg));
		assert_int_equal(msg.status, -EDQUOT);
		assert_int_equal(msg.op, TN_MSG_HELLO);
		assert_int_equal(tn_raw_recv(more, &reply), 0);
		close(more);
	}
	assert_int_equal(tn_test_fd_count(d.pid), fds);
	close(socks[0]);
	tn_test_eventually(tn_test_fd_count(d.pid) < fds);
	more = tn_raw_hello(d.socket);
	close(more);
	for (int i = 1; i < 4; i++)
		close(socks[i]);
}

static void limits_follow_the_file_when_it_is_read_again(void **state)
{
	int sock = tn_raw_hello(d.socket);

	(void)state;
	assert_int_equal(tn_raw_create(sock, "a", 16 << 20, 0), -EDQUOT);
	tn_test_write_file(d.conf, "[limits]\nbytes = 16M\n");
	kill(d.pid, SIGHUP);
	tn_test_eventually(tn_test_daemon_said(&d, "reloaded"));
	assert_int_equal(tn_raw_create(sock, "a", 16 << 20, 0), 0);
	tn_test_write_file(d.conf, "[limits]\nbytes = much\n");
	kill(d.pid, SIGHUP);
	tn_test_eventually(tn_test_daemon_said(&d, "not reloaded"));
	assert_true(tn_test_daemon_said(&d, ":2: [limits] bytes = much"));
	assert_int_equal(tn_raw_destroy(sock, "a"), 0);
	assert_int_equal(tn_raw_create(sock, "a", 16 << 20, 0), 0);
	close(sock);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bytes_may_be_used_up_exactly),
		TEST(quota_is_refunded_when_a_pool_is_destroyed),
		TEST(a_destroyed_pool_counts_while_somebody_has_it),
		TEST(pools_are_counted),
		TEST(attachments_are_counted),
		TEST(who_has_too_many_connections_is_told),
		TEST(limits_follow_the_file_when_it_is_read_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
