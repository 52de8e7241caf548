/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes to a message that may be acted upon.
 *
 * A packet has passed when each of these is true; what is checked later (is
 * the name known, may this uid) needs state, and is not the wire's business.
 *
 *   W1  it holds a whole header with our magic, and is no longer than
 *       TN_MSG_MAX                      else -EBADMSG: no reply can be made
 *   W2  .bytes is the packet's length
 *   W3  .reserved, .status and .n_fds are 0: a request brings no descriptor
 *   W4  the op is known                 else -ENOSYS
 *   W5  the body is as long as the op's body, exactly
 *   W6  names are terminated, of the permitted characters, padded with zero;
 *       reserved fields are 0; a HELLO's versions are a range, and it has a
 *       secret only beside the session that it is of
 *
 * W2, W3, W5, W6 give -EPROTO. A reply is checked by its receiver in the same
 * way, with the op and id it waits for. Nothing is read before the length
 * that covers it was checked; nothing outside the packet is looked at. The
 * packet is copied field by field, so it may lie at any address.
 */
#include "proto/wire.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"

/* Bytes of each op's body, in a request and in a reply that succeeded. */
static const struct {
	uint16_t request, reply, reply_fds;
} shapes[TN_MSG_N_OPS] = {
	[TN_MSG_HELLO] = { sizeof(struct tn_hello),
			   sizeof(struct tn_hello_reply), 0 },
	[TN_MSG_PING] = { 0, 0, 0 },
	[TN_MSG_CREATE] = { sizeof(struct tn_create), 0, 0 },
	[TN_MSG_DESTROY] = { sizeof(struct tn_by_name), 0, 0 },
	[TN_MSG_STAT] = { sizeof(struct tn_by_name),
			  sizeof(struct tn_info), 0 },
	[TN_MSG_LIST] = { sizeof(struct tn_by_name),
			  sizeof(struct tn_list_reply), 0 },
	[TN_MSG_OPEN] = { sizeof(struct tn_open),
			  sizeof(struct tn_open_reply), TN_MSG_FDS_MAX },
	[TN_MSG_LEAVE] = { sizeof(struct tn_leave), 0, 0 },
	[TN_MSG_CONTROLS] = { sizeof(struct tn_controls),
			      sizeof(struct tn_controls_reply), 1 },
	[TN_MSG_REVOKE] = { sizeof(struct tn_by_name), 0, 0 },
	[TN_MSG_COMPACT] = { sizeof(struct tn_compact_request),
			     sizeof(struct tn_compaction), 0 },
	[TN_MSG_MOVE] = { sizeof(struct tn_move_request), 0, 0 },
};

static int name_char_ok(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

int tn_name_ok(const char name[TN_NAME_BYTES])
{
	size_t i, n = 0;

	while (n < TN_NAME_BYTES && name[n])
		n++;
	if (n == 0 || n == TN_NAME_BYTES || name[0] == '.')
		return 0;
	for (i = 0; i < n; i++)
		if (!name_char_ok(name[i]))
			return 0;
	for (; i < TN_NAME_BYTES; i++)
		if (name[i])
			return 0;
	return 1;
}

static int hello_ok(const uint8_t *body)
{
	struct tn_hello hello;

	memcpy(&hello, body, sizeof(hello));
	if (!(hello.features & TN_FEATURE_SESSION) && hello.session)
		return 0;
	if (!hello.session && (hello.known || hello.secret))
		return 0;
	return hello.min_version <= hello.max_version;
}

static int create_ok(const uint8_t *body)
{
	struct tn_create create;

	memcpy(&create, body, sizeof(create));
	return !(create.compact >> TN_COMPACT_RULE_BITS) &&
	       tn_name_ok(create.name);
}

static int open_ok(const uint8_t *body)
{
	struct tn_open open;

	memcpy(&open, body, sizeof(open));
	return !open.reserved && tn_name_ok(open.name);
}

static int by_name_ok(const uint8_t *body, int may_be_empty)
{
	static const struct tn_by_name empty;
	struct tn_by_name by_name;

	memcpy(&by_name, body, sizeof(by_name));
	return tn_name_ok(by_name.name) ||
	       (may_be_empty && !memcmp(&by_name, &empty, sizeof(empty)));
}

static int leave_ok(const uint8_t *body)
{
	struct tn_leave leave;

	memcpy(&leave, body, sizeof(leave));
	return !leave.reserved;
}

static int controls_ok(const uint8_t *body)
{
	struct tn_controls controls;

	memcpy(&controls, body, sizeof(controls));
	return !controls.reserved && tn_name_ok(controls.name);
}

static int compact_ok(const uint8_t *body)
{
	struct tn_compact_request compact;

	memcpy(&compact, body, sizeof(compact));
	return !compact.reserved && compact.percent <= 100 &&
	       tn_name_ok(compact.name);
}

static int move_ok(const uint8_t *body)
{
	struct tn_move_request move;

	memcpy(&move, body, sizeof(move));
	return !(move.flags & ~TN_MOVE_FLAGS_KNOWN);
}

static int body_ok(uint16_t op, const uint8_t *body)
{
	switch (op) {
	case TN_MSG_HELLO:
		return hello_ok(body);
	case TN_MSG_CREATE:
		return create_ok(body);
	case TN_MSG_DESTROY:
	case TN_MSG_REVOKE:
	case TN_MSG_STAT:
		return by_name_ok(body, 0);
	case TN_MSG_LIST:
		return by_name_ok(body, 1);
	case TN_MSG_OPEN:
		return open_ok(body);
	case TN_MSG_LEAVE:
		return leave_ok(body);
	case TN_MSG_CONTROLS:
		return controls_ok(body);
	case TN_MSG_COMPACT:
		return compact_ok(body);
	case TN_MSG_MOVE:
		return move_ok(body);
	default:
		return 1;
	}
}

int tn_wire_check_request(const void *packet, size_t bytes)
{
	struct tn_msg msg;

	if (bytes < sizeof(msg) || bytes > TN_MSG_MAX)
		return -EBADMSG;
	memcpy(&msg, packet, sizeof(msg));
	if (msg.magic != TN_WIRE_MAGIC)
		return -EBADMSG;
	if (msg.bytes != bytes || msg.reserved || msg.status || msg.n_fds)
		return -EPROTO;
	if (msg.op == 0 || msg.op >= TN_MSG_N_OPS)
		return -ENOSYS;
	if (bytes != sizeof(msg) + shapes[msg.op].request)
		return -EPROTO;
	if (!body_ok(msg.op, (const uint8_t *)packet + sizeof(msg)))
		return -EPROTO;
	return 0;
}

static int info_ok(const uint8_t *at)
{
	struct tn_info info;

	memcpy(&info, at, sizeof(info));
	return tn_name_ok(info.name);
}

/* @bytes are at least what every reply to @op has. */
static int reply_body_ok(uint16_t op, const uint8_t *body, size_t bytes)
{
	struct tn_list_reply list;
	size_t i;

	if (op == TN_MSG_STAT)
		return bytes == sizeof(struct tn_info) && info_ok(body);
	if (op != TN_MSG_LIST)
		return bytes == shapes[op].reply;
	memcpy(&list, body, sizeof(list));
	if (list.n > TN_LIST_MAX ||
	    bytes != sizeof(list) + list.n * sizeof(struct tn_info))
		return 0;
	for (i = 0; i < list.n; i++)
		if (!info_ok(body + sizeof(list) + i * sizeof(struct tn_info)))
			return 0;
	return 1;
}

/* A new session brings its live file; @body has passed. */
static unsigned reply_fds(uint16_t op, const uint8_t *body)
{
	struct tn_hello_reply hello;

	if (op != TN_MSG_HELLO)
		return shapes[op].reply_fds;
	memcpy(&hello, body, sizeof(hello));
	return (hello.features & TN_FEATURE_SESSION) &&
	       !(hello.flags & TN_HELLO_REJOINED);
}

int tn_wire_check_reply(const void *packet, size_t bytes, uint16_t op,
			uint32_t id, uint32_t n_fds)
{
	const uint8_t *body = (const uint8_t *)packet + sizeof(struct tn_msg);
	struct tn_msg msg;

	if (bytes < sizeof(msg) || bytes > TN_MSG_MAX || op == 0 ||
	    op >= TN_MSG_N_OPS)
		return -EBADMSG;
	memcpy(&msg, packet, sizeof(msg));
	if (msg.magic != TN_WIRE_MAGIC || msg.op != op || msg.reserved ||
	    msg.bytes != bytes || msg.id != id || msg.n_fds != n_fds)
		return -EBADMSG;
	bytes -= sizeof(msg);
	if (msg.status > 0 || (msg.status < 0 && (bytes || n_fds)))
		return -EBADMSG;
	if (msg.status < 0)
		return 0;
	if (bytes < shapes[op].reply || !reply_body_ok(op, body, bytes) ||
	    n_fds != reply_fds(op, body))
		return -EBADMSG;
	return 0;
}
