/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Pools that are declared in files. See declared.c. */
#include "daemon/server.h"

/** declared_make() - at the start, all that are not there yet; 0 or -errno,
 *  logged. Then store_sync(): some may have no room, and be missing */
int declared_make(struct server *server);

/** declared_reload() - the configuration and the files again. Return: 0, or
 *  what config_init() says; logged */
int declared_reload(struct server *server);

/** declared_lost() - one is missing after all; for server->registry.lost */
void declared_lost(struct registry *registry);
