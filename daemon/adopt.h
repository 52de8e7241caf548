/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* What an earlier tarnd left in the descriptor store. See adopt.c. */
#include "daemon/server.h"
#include "daemon/systemd.h"

enum { ADOPT_NOTHING = 1 };

/**
 * adopt() - take over pools, sessions and attachments, or refuse to
 * @in: what was passed in; what is used of it is taken out
 *
 * Return: 0: all goes on; ADOPT_NOTHING: there was nothing, and server->keeper
 *         is a new one; -EUCLEAN, -EPROTONOSUPPORT: it is not for this tarnd,
 *         and nothing was touched; -errno. Logged.
 */
int adopt(struct server *server, struct inheritance *in);
