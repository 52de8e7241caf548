/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libFuzzer: what arrives on the socket. Built and run by `make fuzz T=wire`.
 * The packet lies in memory of exactly its size, so that a look past its end
 * is seen; the reply's expected op, id and descriptors come first.
 *
 *   input   0  2   op of the request that the reply is to
 *           2  1   id
 *           3  1   descriptors that came along
 *           4      the packet
 */
#include <stdlib.h>
#include <string.h>

#include "proto/wire.h"

#define HEAD_BYTES 4U

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t bytes);

/* A name that was found good ends, and within its field. */
static void check_name(const char name[TN_NAME_BYTES])
{
	if (strnlen(name, TN_NAME_BYTES) == TN_NAME_BYTES)
		abort();
}

static void check_request(const void *packet, size_t bytes)
{
	const struct tn_msg *msg = packet;
	const char *body = (const char *)packet + sizeof(*msg);

	if (tn_wire_check_request(packet, bytes) < 0)
		return;
	if (bytes < sizeof(*msg) || msg->bytes != bytes || bytes > TN_MSG_MAX)
		abort();
	switch (msg->op) {
	case TN_MSG_CREATE:
	case TN_MSG_DESTROY:
	case TN_MSG_REVOKE:
	case TN_MSG_STAT:
	case TN_MSG_OPEN:
	case TN_MSG_CONTROLS:
	case TN_MSG_COMPACT:
		check_name(body);
		break;
	default:
		break;
	}
}

static void check_reply(const void *packet, size_t bytes, uint16_t op,
			uint32_t id, uint32_t n_fds)
{
	const struct tn_msg *msg = packet;
	const struct tn_list_reply *list = (const void *)(msg + 1);

	if (tn_wire_check_reply(packet, bytes, op, id, n_fds) < 0)
		return;
	if (msg->bytes != bytes || msg->op != op || msg->id != id)
		abort();
	if (op == TN_MSG_LIST && msg->status == 0 &&
	    (list->n > TN_LIST_MAX || bytes < sizeof(*msg) + sizeof(*list) +
					      list->n * sizeof(list->info[0])))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t bytes)
{
	uint16_t op;
	void *packet;

	if (bytes < HEAD_BYTES)
		return 0;
	memcpy(&op, in, sizeof(op));
	packet = malloc(bytes - HEAD_BYTES);
	if (!packet)
		return 0;
	memcpy(packet, in + HEAD_BYTES, bytes - HEAD_BYTES);
	check_request(packet, bytes - HEAD_BYTES);
	check_reply(packet, bytes - HEAD_BYTES, op, in[2], in[3]);
	free(packet);
	return 0;
}
