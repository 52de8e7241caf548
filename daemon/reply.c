/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/reply.h"

#include <string.h>

void reply_init(struct tn_packet *reply, uint16_t op, uint32_t id,
		    int status)
{
	const struct tn_msg msg = {
		.magic = TN_WIRE_MAGIC,
		.op = op,
		.bytes = sizeof(msg),
		.id = id,
		.status = status,
	};

	memcpy(reply->data, &msg, sizeof(msg));
	reply->bytes = sizeof(msg);
	reply->n_fds = 0;
}

struct tn_msg reply_header(const struct tn_packet *packet)
{
	struct tn_msg msg;

	memcpy(&msg, packet->data, sizeof(msg));
	return msg;
}

int reply_refuse(struct tn_packet *reply, int status)
{
	struct tn_msg msg = reply_header(reply);

	tn_packet_close(reply);
	reply_init(reply, msg.op, msg.id, status);
	return 0;
}

void reply_append(struct tn_packet *reply, const void *body, size_t bytes)
{
	memcpy(reply->data + reply->bytes, body, bytes);
	reply->bytes += bytes;
}

/* The header tells the length and the descriptors that were added. */
void reply_seal(struct tn_packet *reply)
{
	struct tn_msg msg = reply_header(reply);

	msg.bytes = (uint32_t)reply->bytes;
	msg.n_fds = reply->n_fds;
	memcpy(reply->data, &msg, sizeof(msg));
}
