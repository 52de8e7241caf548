/* SPDX-License-Identifier: BSD-2-Clause */
/* Well-formed requests at the wrong moment, and ill-mannered ways to use a
 * connection. As in test_daemon_protocol.c, tarnd has as many descriptors
 * afterwards as before, and its clean end proves its ledger. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_test.h"

static struct tn_test_daemon d;
static int baseline;

static int setup(void **state)
{
	static const char *const args[] = {
		"--limit", "connections=20", "--limit", "attachments=20", NULL,
	};

	tn_test_setup(state);
	tn_test_daemon_init(&d);
	tn_test_daemon_start(&d, args);
	baseline = tn_test_fd_count(d.pid);
	return 0;
}

static int teardown(void **state)
{
	tn_test_eventually(tn_test_fd_count(d.pid) == baseline);
	tn_test_daemon_stop(&d);
	return tn_test_teardown(state);
}

static void close_all(int fds[3])
{
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

/* A body that is right for the op. Return: its bytes */
static size_t good_body(uint16_t op, uint8_t *body)
{
	const struct tn_hello hello = { .min_version = 1, .max_version = 1 };
	const struct tn_create create = {
		.name = "p", .bytes = 1 << 20, .kind = TN_KIND_SLAB,
		.policy = TN_FIRST_FIT, .gid = UINT32_MAX,
	};
	const struct tn_open open = { .name = "p", .role = TN_OBSERVER };
	const struct tn_controls controls = { .name = "p" };
	const struct tn_by_name by_name = { .name = "p" };
	const struct tn_compact_request compact = { .name = "p" };
	const struct tn_leave leave = { .attach = 1 };
	const struct tn_move_request move = { .attach = 1 };
	static const struct { uint16_t op; size_t bytes; } sizes[] = {
		{ TN_MSG_HELLO, sizeof(hello) },
		{ TN_MSG_CREATE, sizeof(create) },
		{ TN_MSG_DESTROY, sizeof(by_name) },
		{ TN_MSG_REVOKE, sizeof(by_name) },
		{ TN_MSG_COMPACT, sizeof(compact) },
		{ TN_MSG_STAT, sizeof(by_name) },
		{ TN_MSG_LIST, sizeof(by_name) },
		{ TN_MSG_OPEN, sizeof(open) },
		{ TN_MSG_LEAVE, sizeof(leave) },
		{ TN_MSG_CONTROLS, sizeof(controls) },
		{ TN_MSG_MOVE, sizeof(move) },
	};
	const void *bodies[] = {
		&hello, &create, &by_name, &by_name, &compact, &by_name,
		&by_name, &open, &leave, &controls, &move,
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		if (sizes[i].op != op)
			continue;
		memcpy(body, bodies[i], sizes[i].bytes);
		return sizes[i].bytes;
	}
	return 0;
}

static int call(int sock, uint16_t op)
{
	uint8_t body[128];
	size_t bytes = good_body(op, body);

	return tn_raw_call(sock, op, body, bytes);
}

static bool hangs_up(int sock)
{
	struct tn_packet p;
	bool ret = !tn_raw_recv(sock, &p);

	tn_packet_close(&p);
	return ret;
}

static void every_request_is_refused_before_hello(void **state)
{
	(void)state;
	for (uint16_t op = TN_MSG_PING; op < TN_MSG_N_OPS; op++) {
		int sock = tn_raw_connect(d.socket);

		assert_int_equal(call(sock, op), -EPROTO);
		assert_true(hangs_up(sock));
		close(sock);
	}
}

/* HELLO, PING, CREATE, DESTROY, STAT, LIST, OPEN, LEAVE, CONTROLS, REVOKE,
 * COMPACT, MOVE */
static void every_request_in_every_state_has_its_answer(void **state)
{
	static const int none[TN_MSG_N_OPS] = {
		0, -EPROTO, 0, 0, -ENOENT, -ENOENT, 0, -ENOENT, -ENOENT,
		-ENOENT, -ENOENT, -ENOENT, -ENOENT,
	};
	static const int there[TN_MSG_N_OPS] = {
		0, -EPROTO, 0, -EEXIST, 0, 0, 0, 0, -ENOENT, 0, 0, 0,
		-ENOENT,
	};
	int sock = tn_raw_hello(d.socket);

	(void)state;
	for (uint16_t op = TN_MSG_HELLO; op < TN_MSG_N_OPS; op++) {
		/* no pool; then one, which nobody has open */
		assert_int_equal(call(sock, op), none[op]);
		if (op == TN_MSG_CREATE)
			assert_int_equal(call(sock, TN_MSG_DESTROY), 0);
		assert_int_equal(call(sock, TN_MSG_CREATE), 0);
		assert_int_equal(call(sock, op), there[op]);
		if (op != TN_MSG_DESTROY && op != TN_MSG_REVOKE)
			assert_int_equal(call(sock, TN_MSG_DESTROY), 0);
		if (op == TN_MSG_OPEN) /* its number, 1, is not used again */
			assert_int_equal(call(sock, TN_MSG_LEAVE), 0);
	}
	close(sock);
}

static void an_attachment_outlives_its_pool(void **state)
{
	int sock = tn_raw_hello(d.socket);

	(void)state;
	assert_int_equal(call(sock, TN_MSG_CREATE), 0);
	assert_int_equal(call(sock, TN_MSG_OPEN), 0);
	assert_int_equal(call(sock, TN_MSG_DESTROY), 0);
	assert_int_equal(call(sock, TN_MSG_OPEN), -ENOENT);
	assert_int_equal(call(sock, TN_MSG_CONTROLS), -ENOENT);
	assert_int_equal(call(sock, TN_MSG_CREATE), 0); /* another one */
	assert_int_equal(call(sock, TN_MSG_LEAVE), 0);
	assert_int_equal(call(sock, TN_MSG_LEAVE), -ENOENT);
	assert_int_equal(call(sock, TN_MSG_DESTROY), 0);
	close(sock);
}

static void lengths_around_the_right_one_are_answered(void **state)
{
	int sock = tn_raw_hello(d.socket);
	uint8_t body[512] = { 0 };
	size_t right;

	(void)state;
	for (uint16_t op = TN_MSG_PING; op < TN_MSG_N_OPS; op++) {
		right = good_body(op, body);
		assert_int_equal(tn_raw_call(sock, op, body, right + 1),
				 -EPROTO);
		/* as if a name could be longer */
		assert_int_equal(tn_raw_call(sock, op, body, right + 256),
				 -EPROTO);
		if (right)
			assert_int_equal(tn_raw_call(sock, op, body, right - 1),
					 -EPROTO);
	}
	close(sock);
}

static void reserved_bits_are_answered(void **state)
{
	/* reserved, status, n_fds of the header */
	static const size_t offs[] = { 6, 7, 16, 19, 20, 23 };
	int sock = tn_raw_hello(d.socket);
	struct tn_packet p;

	(void)state;
	for (size_t i = 0; i < sizeof(offs) / sizeof(*offs); i++) {
		tn_raw_request(&p, TN_MSG_PING, 1, NULL, 0);
		p.data[offs[i]] = 1;
		assert_int_equal(tn_raw_exchange(sock, &p), -EPROTO);
	}
	close(sock);
}

static void a_request_id_may_come_again(void **state)
{
	int sock = tn_raw_hello(d.socket);
	struct tn_packet p;

	(void)state;
	tn_raw_request(&p, TN_MSG_PING, UINT32_MAX, NULL, 0);
	for (int i = 0; i < 3; i++)
		tn_raw_send(sock, p.data, p.bytes);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(tn_raw_recv(sock, &p), 1);
		assert_int_equal(tn_wire_check_reply(p.data, p.bytes,
				TN_MSG_PING, UINT32_MAX, 0), 0);
	}
	close(sock);
}

static void ids_beyond_all_are_refused(void **state)
{
	struct tn_controls controls = { .name = "p", .after = UINT32_MAX };
	struct tn_leave leave = { .attach = UINT32_MAX };
	int sock = tn_raw_hello(d.socket);

	(void)state;
	assert_int_equal(call(sock, TN_MSG_CREATE), 0);
	assert_int_equal(tn_raw_call(sock, TN_MSG_CONTROLS, &controls,
				     sizeof(controls)), -ESRCH);
	assert_int_equal(tn_raw_call(sock, TN_MSG_LEAVE, &leave,
				     sizeof(leave)), -ENOENT);
	assert_int_equal(call(sock, TN_MSG_DESTROY), 0);
	close(sock);
}

static void a_thousand_requests_ahead_are_answered_in_order(void **state)
{
	int sock = tn_raw_hello(d.socket);
	struct tn_packet p;
	uint32_t sent = 0, seen = 0;

	(void)state;
	assert_int_equal(fcntl(sock, F_SETFL, O_NONBLOCK), 0);
	while (seen < 1000) {
		while (sent < 1000) {
			tn_raw_request(&p, TN_MSG_PING, sent, NULL, 0);
			if (send(sock, p.data, p.bytes, MSG_NOSIGNAL) < 0)
				break;
			sent++;
		}
		assert_true(sent > seen);
		assert_int_equal(tn_raw_recv(sock, &p), 1);
		assert_int_equal(tn_wire_check_reply(p.data, p.bytes,
				TN_MSG_PING, seen, 0), 0);
		seen++;
	}
	close(sock);
}

static void who_never_reads_does_not_hold_up_others(void **state)
{
	int deaf = tn_raw_hello(d.socket), sock = tn_raw_hello(d.socket);
	struct tn_packet p;

	(void)state;
	tn_raw_request(&p, TN_MSG_PING, 1, NULL, 0);
	while (send(deaf, p.data, p.bytes, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	for (int i = 0; i < 100; i++)
		assert_int_equal(call(sock, TN_MSG_PING), 0);
	close(deaf);
	close(sock);
}

static void a_half_closed_connection_ends(void **state)
{
	static const int hows[] = { SHUT_RD, SHUT_WR, SHUT_RDWR };
	struct tn_packet p;

	(void)state;
	for (int i = 0; i < 3; i++) {
		int sock = tn_raw_hello(d.socket);

		tn_raw_request(&p, TN_MSG_PING, 1, NULL, 0);
		if (hows[i] == SHUT_WR)
			tn_raw_send(sock, p.data, p.bytes);
		assert_int_equal(shutdown(sock, hows[i]), 0);
		if (hows[i] == SHUT_RD)
			tn_raw_send(sock, p.data, p.bytes);
		else if (hows[i] == SHUT_WR) /* it was asked before */
			assert_int_equal(tn_raw_recv(sock, &p), 1);
		tn_test_eventually(tn_test_fd_count(d.pid) == baseline);
		close(sock);
	}
}

/* Before the reply, or with the descriptors in hand. */
static int ask_and_go(void *arg)
{
	struct tn_packet p;
	uint8_t body[128];
	int sock = tn_raw_hello(d.socket);

	tn_raw_request(&p, TN_MSG_OPEN, 1, body, good_body(TN_MSG_OPEN, body));
	tn_raw_send(sock, p.data, p.bytes);
	if (arg)
		tn_raw_recv(sock, &p);
	return 0;
}

static void who_asks_and_goes_leaves_nothing(void **state)
{
	int sock = tn_raw_hello(d.socket);
	struct tn_info info;

	(void)state;
	assert_int_equal(call(sock, TN_MSG_CREATE), 0);
	for (int i = 0; i < 50; i++)
		assert_int_equal(tn_test_wait(tn_test_spawn(ask_and_go,
				i % 2 ? &d : NULL)), 0);
	tn_test_eventually(tn_raw_stat(sock, "p", &info) == 0 &&
			   !info.n_clients);
	assert_int_equal(call(sock, TN_MSG_DESTROY), 0);
	close(sock);
}

/* It waits for the end of what it has open itself, and is gone by then. */
static void who_revokes_and_goes_does_no_harm(void **state)
{
	struct tn_open_reply opened;
	struct tn_packet p;
	int fds[3], before = tn_test_fd_count(d.pid);
	uint8_t body[128];

	(void)state;
	for (int i = 0; i < 200; i++) {
		int sock = tn_raw_hello(d.socket);

		assert_int_equal(call(sock, TN_MSG_CREATE), 0);
		assert_int_equal(tn_raw_open(sock, "p", TN_PRODUCER, &opened,
					     fds), 0);
		close_all(fds);
		tn_raw_request(&p, TN_MSG_REVOKE, 1, body,
			       good_body(TN_MSG_REVOKE, body));
		tn_raw_send(sock, p.data, p.bytes);
		close(sock);
		if (i % 20 == 19) /* or we have more than is ours */
			tn_test_eventually(tn_test_fd_count(d.pid) <= before);
	}
}

/* Since Linux 6.16 the sender is refused (SO_PASSRIGHTS), before it is hung up
 * on. Return: was it sent? */
static bool send_fd(int sock, int fd)
{
	struct tn_packet p;
	int r;

	tn_raw_request(&p, TN_MSG_PING, 1, NULL, 0);
	r = tn_packet_send(sock, p.data, p.bytes, &fd, 1);
	if (r)
		assert_int_equal(r, -EPERM);
	return r == 0;
}

static void no_kind_of_descriptor_is_taken(void **state)
{
	int fds[] = {
		open("/", O_PATH | O_CLOEXEC), epoll_create1(EPOLL_CLOEXEC),
		(int)syscall(SYS_pidfd_open, getpid(), 0),
		memfd_create("unsealed", MFD_CLOEXEC),
		socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		int sock = tn_raw_hello(d.socket);

		assert_true(fds[i] >= 0);
		if (send_fd(sock, fds[i]))
			assert_true(hangs_up(sock));
		else
			assert_int_equal(call(sock, TN_MSG_PING), 0);
		close(sock);
		close(fds[i]);
	}
}

static void descriptors_that_are_announced_but_not_sent(void **state)
{
	int sock = tn_raw_hello(d.socket);
	struct tn_packet p;
	uint32_t n = 3;

	(void)state;
	tn_raw_request(&p, TN_MSG_PING, 1, NULL, 0);
	memcpy(p.data + 20, &n, sizeof(n));
	assert_int_equal(tn_raw_exchange(sock, &p), -EPROTO);
	assert_int_equal(call(sock, TN_MSG_PING), 0);
	close(sock);
}

/* Root may claim to be anybody; tarnd has asked the kernel, not the sender. */
static void credentials_in_a_message_mean_nothing(void **state)
{
	char buf[CMSG_SPACE(sizeof(struct ucred))] = { 0 };
	const struct ucred lie = { getpid(), 12345, 12345 };
	int sock = tn_raw_hello(d.socket);
	struct tn_info info;
	struct tn_packet p;
	struct iovec iov;
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = buf,
		.msg_controllen = sizeof(buf),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	uint8_t body[128];

	(void)state;
	tn_test_skip_unless_root();
	tn_raw_request(&p, TN_MSG_CREATE, 7, body,
		       good_body(TN_MSG_CREATE, body));
	iov = (struct iovec){ p.data, p.bytes };
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_CREDENTIALS;
	c->cmsg_len = CMSG_LEN(sizeof(lie));
	memcpy(CMSG_DATA(c), &lie, sizeof(lie));
	assert_true(sendmsg(sock, &msg, MSG_NOSIGNAL) > 0);
	assert_int_equal(tn_raw_recv(sock, &p), 1);
	assert_int_equal(tn_raw_stat(sock, "p", &info), 0);
	assert_int_equal(info.uid, 0);
	assert_int_equal(call(sock, TN_MSG_DESTROY), 0);
	close(sock);
}

static int use_inherited(void *arg)
{
	const int *sock = arg;
	struct tn_info info;

	if (call(*sock, TN_MSG_CREATE) || tn_raw_stat(*sock, "p", &info))
		return 1;
	return info.uid == 0 ? 0 : 2;
}

/* It acts as who made the connection, for that is who passed it on. */
static void a_connection_is_its_makers_whoever_uses_it(void **state)
{
	int sock = tn_raw_hello(d.socket);

	(void)state;
	tn_test_skip_unless_root();
	assert_int_equal(tn_test_wait(tn_test_spawn_as(12345, 12345,
						       use_inherited, &sock)), 0);
	assert_int_equal(call(sock, TN_MSG_DESTROY), 0);
	close(sock);
}

static int connect_and_die(void *arg)
{
	(void)arg;
	tn_raw_connect(d.socket);
	return 0;
}

static void who_is_dead_before_it_is_accepted_leaves_nothing(void **state)
{
	int sock;

	(void)state;
	for (int round = 0; round < 5; round++) {
		assert_int_equal(kill(d.pid, SIGSTOP), 0);
		for (int i = 0; i < 10; i++)
			assert_int_equal(tn_test_wait(tn_test_spawn(
					connect_and_die, NULL)), 0);
		assert_int_equal(kill(d.pid, SIGCONT), 0);
		/* who comes after them is accepted after them */
		sock = tn_raw_hello(d.socket);
		close(sock);
		tn_test_eventually(tn_test_fd_count(d.pid) == baseline);
	}
}

/* What a client does to the description it was given, is its own affair. */
static void each_client_has_descriptions_of_its_own(void **state)
{
	int a = tn_raw_hello(d.socket), b = tn_raw_hello(d.socket);
	struct tn_open_reply opened[2];
	int mine[3], theirs[3];

	(void)state;
	assert_int_equal(call(a, TN_MSG_CREATE), 0);
	assert_int_equal(tn_raw_open(a, "p", TN_PRODUCER, &opened[0], mine), 0);
	assert_int_equal(tn_raw_open(b, "p", TN_PRODUCER, &opened[1], theirs),
			 0);
	for (int i = 0; i < 3; i++) {
		int flags = fcntl(theirs[i], F_GETFL);

		assert_int_equal(fcntl(mine[i], F_SETFL, O_NONBLOCK | O_APPEND),
				 0);
		assert_true(lseek(mine[i], 4096, SEEK_SET) == 4096);
		assert_int_equal(fcntl(theirs[i], F_GETFL), flags);
		assert_true(lseek(theirs[i], 0, SEEK_CUR) == 0);
	}
	assert_int_equal(tn_raw_leave(a, opened[0].attach), 0);
	assert_int_equal(tn_raw_leave(b, opened[1].attach), 0);
	assert_int_equal(call(a, TN_MSG_DESTROY), 0);
	close_all(mine);
	close_all(theirs);
	close(a);
	close(b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_request_is_refused_before_hello),
		TEST(every_request_in_every_state_has_its_answer),
		TEST(an_attachment_outlives_its_pool),
		TEST(lengths_around_the_right_one_are_answered),
		TEST(reserved_bits_are_answered),
		TEST(a_request_id_may_come_again),
		TEST(ids_beyond_all_are_refused),
		TEST(a_thousand_requests_ahead_are_answered_in_order),
		TEST(who_never_reads_does_not_hold_up_others),
		TEST(a_half_closed_connection_ends),
		TEST(who_asks_and_goes_leaves_nothing),
		TEST(who_revokes_and_goes_does_no_harm),
		TEST(no_kind_of_descriptor_is_taken),
		TEST(descriptors_that_are_announced_but_not_sent),
		TEST(credentials_in_a_message_mean_nothing),
		TEST(a_connection_is_its_makers_whoever_uses_it),
		TEST(who_is_dead_before_it_is_accepted_leaves_nothing),
		TEST(each_client_has_descriptions_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
