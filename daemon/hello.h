/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* The first request of a connection: a session begins, or goes on. */
#include "daemon/session.h"

/** hello_handle() - as any handler, see handlers.h. In SESSION_OPEN: it was
 *  carried out by an earlier tarnd, and is answered again */
int hello_handle(struct session *session, const void *body,
		 struct tn_packet *reply);
