/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * One function a request. Each gets the body, checked as far as proto/wire
 * can, and makes the reply, or refuses with a status that the client sees.
 */
#include "daemon/session.h"

enum {
	HANDLER_LATER = 1, /* the reply is sent when session->leaving is gone */
	HANDLER_CLOSE = 2, /* send the reply, then hang up */
};

/**
 * handlers_call() - do what a request asks for
 * @packet: has passed tn_wire_check_request(), and its op fits the state
 * @reply: to fill in; what descriptors it gets are the caller's to close
 *
 * Return: 0: send the reply (it may say no); HANDLER_*; -errno: something
 *         was lacking, and @reply is as it was.
 */
int handlers_call(struct session *session, const struct tn_packet *packet,
		  struct tn_packet *reply);

/** handlers_reply() - a reply without a body */
void handlers_reply(struct tn_packet *reply, uint16_t op, uint32_t id,
		    int status);
