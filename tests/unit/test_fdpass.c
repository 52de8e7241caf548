/* SPDX-License-Identifier: BSD-2-Clause */
#include "proto/fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/tn_test.h"

static int socks[2], null_fd;

static int setup(void **state)
{
	tn_test_setup(state);
	null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks);
}

static int teardown(void **state)
{
	close(socks[0]);
	close(socks[1]);
	close(null_fd);
	return tn_test_teardown(state);
}

static void send_fds(unsigned n)
{
	char buf[CMSG_SPACE(64 * sizeof(int))] = { 0 };
	struct iovec iov = { "x", 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = buf,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (unsigned i = 0; i < n; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &null_fd, sizeof(int));
	assert_int_equal(sendmsg(socks[0], &msg, 0), 1);
}

static void a_packet_arrives_with_its_descriptors(void **state)
{
	int fds[3] = { null_fd, null_fd, null_fd };
	struct tn_packet p;

	(void)state;
	assert_int_equal(tn_packet_send(socks[0], "hello", 5, fds, 3), 0);
	assert_int_equal(tn_packet_recv(socks[1], &p, 3), 1);
	assert_int_equal(p.bytes, 5);
	assert_memory_equal(p.data, "hello", 5);
	assert_int_equal(p.n_fds, 3);
	for (int i = 0; i < 3; i++)
		assert_true(fcntl(p.fds[i], F_GETFD) & FD_CLOEXEC);
	assert_false(p.cut || p.fds_cut);
	tn_packet_close(&p);
	assert_int_equal(p.n_fds, 0);
}

static void who_wants_none_gets_none(void **state)
{
	int before = tn_test_fd_count(0);
	struct tn_packet p;

	(void)state;
	for (unsigned n = 1; n <= 16; n *= 2) {
		send_fds(n);
		assert_int_equal(tn_packet_recv(socks[1], &p, 0), 1);
		assert_true(p.fds_cut);
		assert_int_equal(p.n_fds, 0);
		assert_int_equal(tn_test_fd_count(0), before);
	}
}

static void of_too_many_none_is_kept(void **state)
{
	int before = tn_test_fd_count(0);
	struct tn_packet p;

	(void)state;
	for (unsigned n = 4; n <= 64; n *= 4) {
		send_fds(n);
		assert_int_equal(tn_packet_recv(socks[1], &p, 3), 1);
		assert_true(p.fds_cut);
		assert_int_equal(p.n_fds, 0);
		assert_int_equal(tn_test_fd_count(0), before);
	}
	send_fds(2);
	assert_int_equal(tn_packet_recv(socks[1], &p, 1), 1);
	assert_true(p.fds_cut);
	assert_int_equal(tn_test_fd_count(0), before);
}

static void a_longer_packet_is_cut_and_the_next_is_whole(void **state)
{
	static uint8_t big[TN_MSG_MAX + 1];
	struct tn_packet p;

	(void)state;
	assert_int_equal(tn_packet_send(socks[0], big, sizeof(big), NULL, 0),
			 0);
	assert_int_equal(tn_packet_send(socks[0], "y", 1, NULL, 0), 0);
	assert_int_equal(tn_packet_recv(socks[1], &p, 0), 1);
	assert_true(p.cut);
	assert_int_equal(tn_packet_recv(socks[1], &p, 0), 1);
	assert_false(p.cut);
	assert_int_equal(p.bytes, 1);
}

static void neither_end_ever_blocks(void **state)
{
	static uint8_t big[TN_MSG_MAX];
	struct tn_packet p;
	int r = 0;

	(void)state;
	assert_int_equal(tn_packet_recv(socks[1], &p, 0), -EAGAIN);
	for (int i = 0; r == 0 && i < 100000; i++)
		r = tn_packet_send(socks[0], big, sizeof(big), NULL, 0);
	assert_int_equal(r, -EAGAIN);
}

static void the_end_is_no_error_and_no_signal(void **state)
{
	struct tn_packet p;

	(void)state;
	shutdown(socks[1], SHUT_RDWR);
	assert_int_equal(tn_packet_recv(socks[0], &p, 0), 0);
	assert_int_equal(tn_packet_send(socks[0], "z", 1, NULL, 0), -EPIPE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_packet_arrives_with_its_descriptors),
		TEST(who_wants_none_gets_none),
		TEST(of_too_many_none_is_kept),
		TEST(a_longer_packet_is_cut_and_the_next_is_whole),
		TEST(neither_end_ever_blocks),
		TEST(the_end_is_no_error_and_no_signal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
