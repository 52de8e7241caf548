/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_raw.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/layout.h"
#include "tests/lib/tn_test.h"

int tn_raw_try_connect(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), r;

	assert_true(fd >= 0);
	assert_true(strlen(path) < sizeof(sa.sun_path));
	strcpy(sa.sun_path, path);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

int tn_raw_connect(const char *path)
{
	int fd = tn_raw_try_connect(path);

	assert_true(fd >= 0);
	return fd;
}

int tn_raw_hello(const char *path)
{
	const struct tn_hello hello = {
		.min_version = TN_WIRE_MIN_VERSION,
		.max_version = TN_WIRE_VERSION,
	};
	int fd = tn_raw_connect(path);

	assert_int_equal(tn_raw_call(fd, TN_MSG_HELLO, &hello, sizeof(hello)),
			 0);
	return fd;
}

int tn_raw_session(const char *path, struct tn_hello hello,
		   struct tn_hello_reply *ret, int *ret_live)
{
	int fd = tn_raw_connect(path);
	struct tn_packet packet;

	hello.min_version = TN_WIRE_MIN_VERSION;
	hello.max_version = TN_WIRE_VERSION;
	hello.features = TN_FEATURE_SESSION;
	tn_raw_request(&packet, TN_MSG_HELLO, 6, &hello, sizeof(hello));
	assert_int_equal(tn_raw_exchange(fd, &packet), 0);
	memcpy(ret, packet.data + sizeof(struct tn_msg), sizeof(*ret));
	assert_int_equal(ret->features, TN_FEATURE_SESSION);
	assert_int_equal(packet.n_fds, !(ret->flags & TN_HELLO_REJOINED));
	*ret_live = packet.n_fds ? packet.fds[0] : -1;
	return fd;
}

void tn_raw_request(struct tn_packet *packet, uint16_t op, uint32_t id,
		    const void *body, size_t bytes)
{
	const struct tn_msg msg = {
		.magic = TN_WIRE_MAGIC,
		.op = op,
		.bytes = (uint32_t)(sizeof(msg) + bytes),
		.id = id,
	};

	assert_true(bytes <= sizeof(packet->data) - sizeof(msg));
	memset(packet, 0, sizeof(*packet));
	memcpy(packet->data, &msg, sizeof(msg));
	if (bytes)
		memcpy(packet->data + sizeof(msg), body, bytes);
	packet->bytes = msg.bytes;
}

void tn_raw_send(int sock, const void *data, size_t bytes)
{
	if (send(sock, data, bytes, MSG_NOSIGNAL) < 0)
		assert_true(errno == EPIPE || errno == ECONNRESET);
}

int tn_raw_recv(int sock, struct tn_packet *packet)
{
	struct pollfd pfd = { .fd = sock, .events = POLLIN };
	int r;

	assert_int_equal(poll(&pfd, 1, 10000), 1);
	r = tn_packet_recv(sock, packet, TN_MSG_FDS_MAX);
	if (r < 0)
		assert_int_equal(r, -ECONNRESET);
	return r > 0;
}

int tn_raw_exchange(int sock, struct tn_packet *packet)
{
	struct tn_msg asked = { .op = 0 }, msg;

	if (packet->bytes >= sizeof(asked))
		memcpy(&asked, packet->data, sizeof(asked));
	tn_raw_send(sock, packet->data, packet->bytes);
	do {
		if (!tn_raw_recv(sock, packet))
			return 1;
		assert_true(packet->bytes >= sizeof(msg));
		memcpy(&msg, packet->data, sizeof(msg));
		if (msg.op != asked.op && !msg.status)
			tn_packet_close(packet); /* of before a restart */
	} while (msg.op != asked.op && !msg.status);
	assert_int_equal(msg.bytes, packet->bytes);
	assert_int_equal(msg.n_fds, packet->n_fds);
	assert_true(msg.status <= 0);
	return msg.status;
}

int tn_raw_ask(int sock, struct tn_packet *packet, int ms)
{
	struct pollfd pfd = { .fd = sock, .events = POLLIN };
	struct tn_msg msg;

	if (sock < 0)
		return 1;
	tn_raw_send(sock, packet->data, packet->bytes);
	packet->n_fds = 0;
	if (poll(&pfd, 1, ms) <= 0 ||
	    tn_packet_recv(sock, packet, TN_MSG_FDS_MAX) <= 0)
		return 1;
	memcpy(&msg, packet->data, sizeof(msg));
	assert_true(msg.status <= 0);
	return msg.status;
}

int tn_raw_call(int sock, uint16_t op, const void *body, size_t bytes)
{
	struct tn_packet packet;
	int r;

	tn_raw_request(&packet, op, 7, body, bytes);
	r = tn_raw_exchange(sock, &packet);
	tn_packet_close(&packet);
	return r;
}

static void set_name(char to[TN_NAME_BYTES], const char *name)
{
	assert_true(strlen(name) < TN_NAME_BYTES);
	memset(to, 0, TN_NAME_BYTES);
	memcpy(to, name, strlen(name));
}

int tn_raw_create(int sock, const char *name, uint64_t bytes, uint32_t mode)
{
	struct tn_create create = {
		.bytes = bytes,
		.kind = TN_KIND_SLAB,
		.policy = TN_FIRST_FIT,
		.mode = mode,
		.gid = UINT32_MAX,
	};

	set_name(create.name, name);
	return tn_raw_call(sock, TN_MSG_CREATE, &create, sizeof(create));
}

int tn_raw_destroy(int sock, const char *name)
{
	struct tn_by_name by_name;

	set_name(by_name.name, name);
	return tn_raw_call(sock, TN_MSG_DESTROY, &by_name, sizeof(by_name));
}

int tn_raw_open(int sock, const char *name, uint32_t role,
		struct tn_open_reply *ret, int fds[3])
{
	struct tn_open open = { .role = role };
	struct tn_packet packet;
	int r;

	set_name(open.name, name);
	tn_raw_request(&packet, TN_MSG_OPEN, 8, &open, sizeof(open));
	r = tn_raw_exchange(sock, &packet);
	if (r)
		return r;
	assert_int_equal(packet.n_fds, 3);
	memcpy(ret, packet.data + sizeof(struct tn_msg), sizeof(*ret));
	memcpy(fds, packet.fds, 3 * sizeof(int));
	return 0;
}

int tn_raw_stat(int sock, const char *name, struct tn_info *ret)
{
	struct tn_by_name by_name;
	struct tn_packet packet;
	int r;

	set_name(by_name.name, name);
	tn_raw_request(&packet, TN_MSG_STAT, 9, &by_name, sizeof(by_name));
	r = tn_raw_exchange(sock, &packet);
	if (r == 0)
		memcpy(ret, packet.data + sizeof(struct tn_msg), sizeof(*ret));
	return r;
}

int tn_raw_leave(int sock, uint32_t attach)
{
	const struct tn_leave leave = { .attach = attach };

	return tn_raw_call(sock, TN_MSG_LEAVE, &leave, sizeof(leave));
}

void tn_raw_poison(int sock, const char *name)
{
	struct tn_open_reply o;
	struct tn_lane *lane;
	uint8_t *control;
	int fds[3];

	assert_int_equal(tn_raw_open(sock, name, TN_PRODUCER, &o, fds), 0);
	control = mmap(NULL, o.control_bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED, fds[2], 0);
	assert_ptr_not_equal(control, MAP_FAILED);
	tn64_store_relaxed(&((struct tn_control *)(void *)control)->lanes, 1);
	lane = (struct tn_lane *)(void *)(control + TN_PAGE_BYTES);
	tn64_store_relaxed(&lane->op, TN_OP(77, 0, 0));
	munmap(control, o.control_bytes);
	assert_int_equal(tn_raw_leave(sock, o.attach), 0);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}
