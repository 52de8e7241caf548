/* SPDX-License-Identifier: BSD-2-Clause */
/* What no libtarn would send. After each test tarnd has as many descriptors
 * as before, and its clean end proves that every charge was refunded. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
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

static void what_is_no_message_ends_the_connection(void **state)
{
	static const size_t lengths[] = { 1, 4, 23, 24, 25, 100, 4096 };
	struct tn_packet p;

	(void)state;
	for (int round = 0; round < 10; round++) {
		for (size_t i = 0; i < 7; i++) {
			int sock = tn_raw_hello(d.socket);

			tn_raw_request(&p, TN_MSG_PING, 1, NULL, 0);
			if (lengths[i] >= 24)
				p.data[2] ^= 0x40; /* the magic */
			tn_raw_send(sock, p.data, lengths[i]);
			assert_true(hangs_up(sock));
			close(sock);
		}
	}
	assert_true(tn_test_daemon_said(&d, "no message"));
}

static void a_wrong_length_is_answered(void **state)
{
	static const uint32_t wrong[] = {
		0, 1, 23, 25, 4096, 0x7fffffff, 0x80000000, 0xffffffff,
	};
	int sock = tn_raw_hello(d.socket);
	struct tn_packet p;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		tn_raw_request(&p, TN_MSG_PING, 1, NULL, 0);
		memcpy(p.data + 8, &wrong[i], 4);
		assert_int_equal(tn_raw_exchange(sock, &p), -EPROTO);
	}
	serves(sock);
	close(sock);
}

static void a_packet_that_is_too_long_is_answered(void **state)
{
	static uint8_t big[3 * TN_MSG_MAX];
	static const size_t lengths[] = { TN_MSG_MAX, TN_MSG_MAX + 1,
					  sizeof(big) };
	int sock = tn_raw_hello(d.socket);
	struct tn_packet p;

	(void)state;
	for (int i = 0; i < 6; i++) {
		/* it tells its length, or that of what tarnd can see of it */
		uint32_t says = i < 3 ? (uint32_t)lengths[i] : TN_MSG_MAX;
		struct tn_msg msg;

		tn_raw_request(&p, TN_MSG_PING, 1, NULL, 0);
		memcpy(big, p.data, p.bytes);
		memcpy(big + 8, &says, 4);
		tn_raw_send(sock, big, lengths[i % 3]);
		assert_int_equal(tn_raw_recv(sock, &p), 1);
		memcpy(&msg, p.data, sizeof(msg));
		assert_int_equal(msg.status, -EPROTO);
	}
	serves(sock);
	close(sock);
}

static void unknown_requests_are_answered(void **state)
{
	static const uint16_t ops[] = { 0, TN_MSG_N_OPS, 100, 0x8000, 0xffff };
	int sock = tn_raw_hello(d.socket);

	(void)state;
	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++)
		assert_int_equal(tn_raw_call(sock, ops[i], NULL, 0), -ENOSYS);
	serves(sock);
	close(sock);
}

static void bad_names_and_reserved_bits_are_answered(void **state)
{
	static const char *const names[] = {
		"", ".", ".x", "a/b", "a b", "a:b", "a\nb", "\xc3\xa4",
		"\xff\xfe", "a%s",
	};
	int sock = tn_raw_hello(d.socket);
	struct tn_by_name by_name;
	struct tn_leave leave = { .reserved = 1 };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		memset(&by_name, 0, sizeof(by_name));
		memcpy(by_name.name, names[i], strlen(names[i]));
		assert_int_equal(tn_raw_call(sock, TN_MSG_STAT, &by_name,
					     sizeof(by_name)), -EPROTO);
	}
	memset(&by_name, 'x', sizeof(by_name)); /* no end */
	assert_int_equal(tn_raw_call(sock, TN_MSG_DESTROY, &by_name,
				     sizeof(by_name)), -EPROTO);
	memset(&by_name, 0, sizeof(by_name));
	by_name.name[0] = 'x';
	by_name.name[30] = 'y'; /* something after the end */
	assert_int_equal(tn_raw_call(sock, TN_MSG_DESTROY, &by_name,
				     sizeof(by_name)), -EPROTO);
	assert_int_equal(tn_raw_call(sock, TN_MSG_LEAVE, &leave,
				     sizeof(leave)), -EPROTO);
	serves(sock);
	close(sock);
}

static void nothing_comes_before_hello(void **state)
{
	(void)state;
	for (uint16_t op = TN_MSG_PING; op < TN_MSG_N_OPS + 2; op++) {
		int sock = tn_raw_connect(d.socket);

		assert_true(tn_raw_call(sock, op, NULL, 0) < 0);
		assert_true(hangs_up(sock));
		close(sock);
	}
	assert_true(tn_test_daemon_said(&d, "no HELLO, but request 2"));
}

static void hello_comes_once(void **state)
{
	const struct tn_hello hello = { .min_version = 1, .max_version = 1 };
	int sock = tn_raw_hello(d.socket);

	(void)state;
	assert_int_equal(tn_raw_call(sock, TN_MSG_HELLO, &hello, sizeof(hello)),
			 -EPROTO);
	serves(sock);
	close(sock);
}

static void versions_are_agreed_upon_or_not(void **state)
{
	static const struct { uint16_t min, max; int status; } table[] = {
		{ 1, 1, 0 }, { 0, 1, 0 }, { 0, 0xffff, 0 }, { 1, 7, 0 },
		{ 2, 7, -EPROTONOSUPPORT }, { 0, 0, -EPROTONOSUPPORT },
		{ 0xffff, 0xffff, -EPROTONOSUPPORT }, { 3, 2, -EPROTO },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		const struct tn_hello hello = {
			.min_version = table[i].min,
			.max_version = table[i].max, .features = ~0U,
		};
		struct tn_hello_reply reply;
		int sock = tn_raw_connect(d.socket);
		struct tn_packet p;

		tn_raw_request(&p, TN_MSG_HELLO, 1, &hello, sizeof(hello));
		assert_int_equal(tn_raw_exchange(sock, &p), table[i].status);
		if (table[i].status) {
			assert_true(hangs_up(sock));
		} else {
			memcpy(&reply, p.data + sizeof(struct tn_msg),
			       sizeof(reply));
			assert_int_equal(reply.version, 1);
			assert_int_equal(reply.features, TN_FEATURES_KNOWN);
		}
		tn_packet_close(&p);
		close(sock);
	}
}

static void an_empty_packet_is_an_end(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++) {
		int sock = tn_raw_hello(d.socket);

		tn_raw_send(sock, NULL, 0);
		assert_true(hangs_up(sock));
		close(sock);
	}
}

/* Since Linux 6.16 the kernel refuses them for tarnd. */
static bool send_fds(int sock, int fd, unsigned n)
{
	static char buf[CMSG_SPACE(253 * sizeof(int))];
	struct tn_packet p;
	struct iovec iov;
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = buf,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	tn_raw_request(&p, TN_MSG_PING, 1, NULL, 0);
	iov = (struct iovec){ p.data, p.bytes };
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (unsigned i = 0; i < n; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(int));
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) > 0)
		return true;
	assert_int_equal(errno, EPERM);
	return false;
}

static void descriptors_are_not_taken(void **state)
{
	static const unsigned n[] = { 1, 3, 16, 253 };
	bool sent = false;

	(void)state;
	for (int i = 0; i < 8; i++) {
		int sock = tn_raw_hello(d.socket);

		/* its own socket too: a cycle, if it were taken */
		sent = send_fds(sock, i % 2 ? sock : 0, n[i / 2]);
		if (sent)
			assert_true(hangs_up(sock));
		else
			assert_int_equal(tn_raw_call(sock, TN_MSG_PING, NULL,
						     0), 0);
		close(sock);
	}
	assert_int_equal(tn_test_daemon_said(&d, "sent descriptors"), sent);
}

static void attachments_are_named_by_who_made_them(void **state)
{
	static const uint32_t wrong[] = { 0, 2, 1000, 0x7fffffff, 0xffffffff };
	int sock = tn_raw_hello(d.socket), other = tn_raw_hello(d.socket);
	struct tn_open_reply opened;
	int fds[3];

	(void)state;
	assert_int_equal(tn_raw_create(sock, "p", 1 << 20, 0), 0);
	assert_int_equal(tn_raw_open(sock, "p", TN_PRODUCER, &opened, fds), 0);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(tn_raw_leave(sock, opened.attach + wrong[i]),
				 wrong[i] ? -ENOENT : 0);
	assert_int_equal(tn_raw_leave(sock, opened.attach), -ENOENT);
	assert_int_equal(tn_raw_open(sock, "p", TN_PRODUCER, &opened, fds), 0);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	assert_int_equal(tn_raw_leave(other, opened.attach), -ENOENT);
	assert_int_equal(tn_raw_destroy(sock, "p"), 0);
	assert_int_equal(tn_raw_leave(sock, opened.attach), 0);
	close(sock);
	close(other);
}

static void impossible_pools_are_refused(void **state)
{
	static const uint64_t sizes[] = {
		0, 1, 4095, (1 << 20) - 4096, (1ULL << 40) + 1, 1ULL << 63,
		UINT64_MAX - 4095, UINT64_MAX,
	};
	int sock = tn_raw_hello(d.socket);
	struct tn_open_reply opened;
	int fds[3];

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		assert_int_equal(tn_raw_create(sock, "p", sizes[i], 0),
				 -EINVAL);
	assert_int_equal(tn_raw_create(sock, "p", 1 << 20, 07777), -EINVAL);
	assert_int_equal(tn_raw_create(sock, "p", 1ULL << 40, 0), 0);
	assert_int_equal(tn_raw_create(sock, "p", 1 << 20, 0), -EEXIST);
	for (uint32_t role = 0; role < 6; role++)
		if (role < TN_PRODUCER || role > TN_OBSERVER)
			assert_int_equal(tn_raw_open(sock, "p", role, &opened,
						     fds), -EINVAL);
	assert_int_equal(tn_raw_open(sock, "q", TN_OBSERVER, &opened, fds),
			 -ENOENT);
	assert_int_equal(tn_raw_destroy(sock, "p"), 0);
	assert_int_equal(tn_raw_destroy(sock, "p"), -ENOENT);
	close(sock);
}

static void random_packets_do_no_harm(void **state)
{
	struct tn_packet p;
	uint8_t body[96];
	int sock = -1;

	(void)state;
	srand(3);
	for (int i = 0; i < 5000; i++) {
		size_t bytes = (size_t)rand() % sizeof(body);

		if (sock < 0)
			sock = tn_raw_hello(d.socket);
		for (size_t k = 0; k < bytes; k++)
			body[k] = rand() % 3 ? 0 : (uint8_t)rand();
		tn_raw_request(&p, (uint16_t)(rand() % 10), 1, body, bytes);
		for (int k = rand() % 3; k > 0; k--)
			p.data[4 + (size_t)rand() % (p.bytes - 4)] ^=
				(uint8_t)(1 << rand() % 8);
		if (tn_raw_exchange(sock, &p) == 1) {
			close(sock);
			sock = -1;
		}
		tn_packet_close(&p);
	}
	if (sock >= 0)
		close(sock);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_no_message_ends_the_connection),
		TEST(a_wrong_length_is_answered),
		TEST(a_packet_that_is_too_long_is_answered),
		TEST(unknown_requests_are_answered),
		TEST(bad_names_and_reserved_bits_are_answered),
		TEST(nothing_comes_before_hello),
		TEST(hello_comes_once),
		TEST(versions_are_agreed_upon_or_not),
		TEST(an_empty_packet_is_an_end),
		TEST(descriptors_are_not_taken),
		TEST(attachments_are_named_by_who_made_them),
		TEST(impossible_pools_are_refused),
		TEST(random_packets_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
