/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * One function a request. Each gets the body, checked as far as proto/wire
 * can, and makes the reply, or refuses with a status that the client sees.
 */
#include "daemon/session.h"

enum {
	HANDLER_LATER = 1, /* the reply is sent when what was begun is over */
	HANDLER_CLOSE = 2, /* send the reply, then hang up */
	HANDLER_KEEP = 3,  /* send the reply when what was made is kept */
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

/** handlers_done_before() - has an earlier tarnd carried this request out? */
bool handlers_done_before(const struct session *session,
			  const struct tn_msg *msg);
