/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libFuzzer: whole conversations with a tarnd that lives in this process, of
 * several connections of several processes of several users, and what must
 * hold (tests/lib/tn_guests.h). Built and run by `make fuzz T=session`.
 *
 *	input   a list of acts, each of as many bytes as it wants:
 *	        what (mod N_ACTS), whom (mod TN_GUEST_LINKS), arguments
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/tn_guests.h"

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t bytes);

/* The input, consumed; at its end there are zeros. */
static const uint8_t *at, *end;

static unsigned byte(void) { return at < end ? *at++ : 0; }
static uint32_t word(void) { return byte() | byte() << 8; }

/* requests */

static void put_name(char name[TN_NAME_BYTES])
{
	static const char *const names[] = { "", "a", "b", "bystander" };
	unsigned n = byte();

	memset(name, 0, TN_NAME_BYTES);
	if (n < 0xf0)
		strcpy(name, names[n % 4]);
	else /* whatever the input has */
		for (unsigned i = 0; i < TN_NAME_BYTES; i++)
			name[i] = (char)byte();
}

static struct tn_guest_link *some_link(void)
{
	return &tn_guest_links[byte() % TN_GUEST_LINKS];
}

static size_t put_hello(void *body)
{
	const struct tn_guest_link *earlier = some_link();
	unsigned how = byte();
	struct tn_hello hello = {
		.min_version = how & 1 ? (uint16_t)byte() : 1,
		.max_version = how & 2 ? (uint16_t)byte() : 1,
		.features = how & 4 ? 0 : TN_FEATURE_SESSION,
	};

	if (how & 8) {
		hello.session = earlier->hello.session;
		hello.secret = earlier->hello.secret ^ (how & 16 ? 1 : 0);
		hello.known = how & 32 ? earlier->attach : byte();
	}
	memcpy(body, &hello, sizeof(hello));
	return sizeof(hello);
}

static size_t put_create(void *body)
{
	struct tn_create create = { .kind = TN_KIND_SLAB };
	unsigned how;

	put_name(create.name);
	how = byte();
	create.bytes = (uint64_t)(how & 7) << (how & 8 ? 40 : 20);
	create.kind = how & 16 ? byte() : 1 + (how >> 7);
	create.policy = how & 32 ? byte() : TN_FIRST_FIT;
	create.gid = how & 64 ? byte() : UINT32_MAX;
	create.mode = word();
	create.flags = byte();
	memcpy(body, &create, sizeof(create));
	return sizeof(create);
}

/* A body of the op's own, mostly. Return: its bytes */
static size_t put_body(const struct tn_guest_link *l, uint16_t op,
		       uint8_t *body)
{
	struct tn_compact_request compact = { .percent = 0 };
	struct tn_controls controls = { .after = 0 };
	struct tn_move_request move = { .flags = 0 };
	struct tn_open open = { .role = 0 };
	struct tn_leave leave;

	switch (op) {
	case TN_MSG_HELLO:
		return put_hello(body);
	case TN_MSG_CREATE:
		return put_create(body);
	case TN_MSG_DESTROY:
	case TN_MSG_REVOKE:
	case TN_MSG_STAT:
	case TN_MSG_LIST:
		put_name((char *)body);
		return TN_NAME_BYTES;
	case TN_MSG_OPEN:
		put_name(open.name);
		open.role = 1 + byte() % 4;
		memcpy(body, &open, sizeof(open));
		return sizeof(open);
	case TN_MSG_LEAVE:
		leave = (struct tn_leave){ .attach = l->attach };
		if (byte() & 1)
			leave.attach = byte();
		memcpy(body, &leave, sizeof(leave));
		return sizeof(leave);
	case TN_MSG_CONTROLS:
		put_name(controls.name);
		controls.after = word();
		memcpy(body, &controls, sizeof(controls));
		return sizeof(controls);
	case TN_MSG_COMPACT:
		put_name(compact.name);
		compact.percent = byte() & 127;
		memcpy(body, &compact, sizeof(compact));
		return sizeof(compact);
	case TN_MSG_MOVE:
		move.attach = byte() & 1 ? l->attach : byte();
		move.flags = byte() & TN_MOVE_FLAGS_KNOWN;
		move.handle = TN_HANDLE_REF | byte();
		memcpy(body, &move, sizeof(move));
		return sizeof(move);
	default:
		return 0;
	}
}

/* Bytes changed, cut off or added; descriptors that nobody asked for. */
static void spoil(struct tn_guest_link *l, uint8_t *data, size_t bytes)
{
	static const uint8_t no_end[TN_MSG_MAX + 8];
	unsigned how = byte(), fds = 0;
	int fd = how & 64 ? l->fd : l->by->death;

	for (unsigned i = how & 7; i > 0; i--)
		data[byte() % bytes] ^= (uint8_t)byte();
	if (how & 8)
		bytes -= byte() % (bytes + 1);
	if (how & 16)
		bytes += byte();
	if (how & 32)
		fds = 1 + byte() % TN_MSG_FDS_MAX;
	if (how & 128 && byte() & 1) {
		memcpy(data + bytes, no_end, TN_MSG_MAX + 8 - bytes);
		bytes = TN_MSG_MAX + byte() % 8;
	}
	tn_guest_send(l, data, bytes, fd, fds);
}

static void request(struct tn_guest_link *l, bool spoilt)
{
	uint8_t data[TN_MSG_MAX + 512] = { 0 };
	unsigned op = byte();
	struct tn_msg msg = {
		.magic = TN_WIRE_MAGIC,
		.op = (uint16_t)(op < 0xf0 ? 1 + op % (TN_MSG_N_OPS - 1) : op),
		.id = byte() % 4, /* the same one again, too */
	};

	msg.bytes = (uint32_t)(sizeof(msg) +
			       put_body(l, msg.op, data + sizeof(msg)));
	memcpy(data, &msg, sizeof(msg));
	if (spoilt)
		spoil(l, data, msg.bytes);
	else
		tn_guest_send(l, data, msg.bytes, -1, 0);
}

/* acts */

enum act {
	ACT_CONNECT, ACT_HELLO, ACT_REQUEST, ACT_SPOILT, ACT_MANY, ACT_TURN,
	ACT_RECV, ACT_RECV_ALL, ACT_SHUTDOWN, ACT_CLOSE, ACT_UNMAP, ACT_DIE,
	ACT_WAIT, ACT_NARROW, N_ACTS
};

static void act_on(struct tn_guest_link *l, enum act what)
{
	static const int hows[] = { SHUT_RD, SHUT_WR, SHUT_RDWR };
	int bytes = 1;

	switch (what) {
	case ACT_REQUEST:
		request(l, false);
		break;
	case ACT_SPOILT:
		request(l, true);
		break;
	case ACT_MANY:
		for (unsigned i = byte() % 32; i > 0; i--)
			request(l, false);
		break;
	case ACT_RECV:
		tn_guest_recv(l);
		break;
	case ACT_RECV_ALL:
		tn_guests_turn();
		while (l->fd >= 0 && tn_guest_recv(l))
			tn_guests_turn();
		break;
	case ACT_SHUTDOWN:
		shutdown(l->fd, hows[byte() % 3]);
		break;
	case ACT_CLOSE:
		tn_guest_close(l);
		break;
	case ACT_NARROW: /* so that tarnd's replies soon have no room */
		setsockopt(l->fd, SOL_SOCKET, SO_RCVBUF, &bytes,
			   sizeof(bytes));
		break;
	default:
		break;
	}
}

static void act(void)
{
	enum act what = byte() % N_ACTS;
	struct tn_guest_link *l = some_link();

	switch (what) {
	case ACT_CONNECT:
	case ACT_HELLO:
		if (l->fd >= 0)
			break;
		tn_guest_unmap(l);
		tn_guest_connect(l, &tn_guests[byte() % TN_GUEST_PROCESSES]);
		if (what == ACT_HELLO)
			tn_guest_hello(l);
		break;
	case ACT_TURN:
		tn_guests_turn();
		break;
	case ACT_UNMAP:
		tn_guest_unmap(l);
		break;
	case ACT_DIE:
		tn_guest_die(&tn_guests[byte() % TN_GUEST_PROCESSES]);
		break;
	case ACT_WAIT: /* for recovery, for a moment */
		usleep(byte());
		tn_guests_turn();
		break;
	default:
		if (l->fd >= 0)
			act_on(l, what);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t bytes)
{
	tn_guests_begin();
	at = in;
	end = in + bytes;
	while (at < end)
		act();
	tn_guests_end();
	return 0;
}
