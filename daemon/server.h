/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* The event loop and what hangs on it. See server.c. */
#include "base/list.h"
#include "daemon/config.h"
#include "daemon/housekeeper.h"
#include "daemon/keeper.h"
#include "daemon/linger.h"
#include "daemon/quota.h"
#include "daemon/reaper.h"
#include "daemon/registry.h"
#include "daemon/turns.h"

struct event;
struct event_base;

#define SERVER_SIGNALS 3

struct server {
	struct event_base *base;
	struct config config;
	int argc;                /* to read the configuration again */
	char **argv;
	struct keeper keeper;
	struct quota quota;
	struct registry registry;
	struct reaper *reaper;
	struct turns turns;
	struct lingerers lingerers;
	struct housekeeper housekeeper;
	struct tn_list sessions; /* session.link */
	unsigned n_sessions;     /* that have a connection */
	unsigned n_refused;      /* connections that are still to be told so */
	unsigned n_missing;      /* declared pools that are not there */
	uint32_t last_session;   /* id */
	int listen_fd;
	bool own_socket;         /* we made it, so we remove it */
	struct event *accept, *accept_again, *reaped, *watchdog, *status;
	struct event *signals[SERVER_SIGNALS];
};

/**
 * server_init() - everything, with the declared pools; no client is served yet
 * @config: copied
 * @argc, @argv: it was made from
 *
 * Return: 0; -errno, logged. In both cases server_fini() is due.
 */
int server_init(struct server *server, const struct config *config, int argc,
		char *argv[]);

/** server_fini() - drop clients, pools and all else */
void server_fini(struct server *server);

/** server_run() - serve, until SIGTERM or SIGINT; 0 or -errno */
int server_run(struct server *server);

/** server_changed() - pools or clients did: the status line is due */
void server_changed(struct server *server);
