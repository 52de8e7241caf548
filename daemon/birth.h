/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* How a session begins: by a connection, or as an earlier tarnd left it. See
 * birth.c. */
#include "daemon/session.h"

/* Long for any program, short for a held descriptor. */
#define BIRTH_HELLO_SECONDS 5

/**
 * birth_accept() - take over an accepted connection
 * @fd: non-blocking; closed in any case
 *
 * All but who it is, and whether there is room for him, is for
 * birth_complete().
 */
void birth_accept(struct server *server, int fd);

/** birth_complete() - the rest, in its turn; @session may be gone then */
void birth_complete(struct session *session);

/**
 * birth_restore() - one that an earlier tarnd had
 * @index: of its record in the ledger, which is checked
 * @sock, @pidfd, @live: what was in the store, checked; -1: was not there.
 *                       Taken over if 0 is returned
 *
 * Its attachments come next, and then session_restored(). Return: 0; -errno.
 */
int birth_restore(struct session **ret, struct server *server, uint32_t index,
		  int sock, int pidfd, int live);
