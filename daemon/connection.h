/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* A session's connection: packets in, replies out. See connection.c. */
#include "daemon/session.h"

/** connection_open() - begin to read from s->fd; 0 or -errno */
int connection_open(struct session *s);

/** connection_check() - is that the socket of a connection? */
bool connection_check(int fd);

/** connection_close() - it goes, with what was not sent; the rest stays */
void connection_close(struct session *s);

/** connection_read() - serve the next request, if there is one */
void connection_read(struct session *s);

/** connection_write() - send the reply that had no room, if there is now */
void connection_write(struct session *s);

/** connection_answer() - the reply that was due later, without a body; then
 *  the next request. If it cannot be sent, hang up: @s may be gone. */
void connection_answer(struct session *s, uint16_t op, uint32_t id,
		       int status);

/** connection_keep() - what it has made is complete: reply to @op @id without
 *  a body, as soon as that is kept. Else as connection_answer() */
void connection_keep(struct session *s, uint16_t op, uint32_t id);

/** connection_refuse() - too many connections of this user: tell it so */
void connection_refuse(struct session *s);
