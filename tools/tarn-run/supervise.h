/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * A tarnd, kept running: what systemd does for tarnd.service.
 *
 *           start              READY=1            STOPPING=1
 *   NOTHING -----> STARTING ------------> RUNNING ---------> STOPPING
 *                   ^    |                   |                  |
 *        in a while |    |       dies        v                  |
 *                WAITING <------ or ------- (at once, STARTING) <
 *                        |
 *                        v  it never was ready, or dies too often
 *                       GONE                     ENDING: by our own doing
 *
 * It is started with the listening socket and with every descriptor that those
 * before it have put by, as soon as the one before it has died. Only one that
 * dies before it is ready, or by itself within a second after, has to wait,
 * ever longer, and not without end. One killed by SIGKILL need not wait.
 *
 * What it says counts until the last word: a death is dealt with after all
 * that it sent has been read, and its descriptors have been put by.
 */
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>

#include "tools/tarn-run/daemon.h"
#include "tools/tarn-run/options.h"
#include "tools/tarn-run/place.h"
#include "tools/tarn-run/store.h"

enum supervise_state {
	SUPERVISE_NOTHING,
	SUPERVISE_STARTING,
	SUPERVISE_RUNNING,
	SUPERVISE_STOPPING,   /* by itself */
	SUPERVISE_WAITING,
	SUPERVISE_GONE,       /* for good, and told */
	SUPERVISE_ENDING,     /* by our own doing */
};

#define SUPERVISE_N_POLLFDS 3

struct supervise {
	enum supervise_state state;
	const struct options *options;
	struct place *place;
	const sigset_t *mask;         /* for it */
	const struct rlimit *n_fds;
	char *tarnd;                  /* its path */
	struct daemon daemon;
	struct store store;
	int notify_fd;
	unsigned n_starts, n_failed;  /* all; in a row */
	bool was_ready;               /* any of them */
	bool full;                    /* the store, and that was told */
	unsigned n_kills;             /* of this one, by the deadline */
	int64_t deadline_ms;          /* of the state, or 0: none */
	int64_t ready_ms;             /* when it became so */
	char status[256];             /* its own words */
};
#define SUPERVISE_NONE \
	{ .daemon = DAEMON_NONE, .store = STORE_NONE, .notify_fd = -1 }

/** supervise_open() - get ready; the pointers above are set. Says what went
 *  wrong. Return: 0 or -errno. */
int supervise_open(struct supervise *s);

/** supervise_start() - the first time. Return: 0 or -errno, told. */
int supervise_start(struct supervise *s);

/** supervise_pollfds() - what to wait for. Return: for how long, as poll(). */
int supervise_pollfds(const struct supervise *s,
		      struct pollfd p[SUPERVISE_N_POLLFDS]);

/** supervise_turn() - do what there is to do, now */
void supervise_turn(struct supervise *s);

/** supervise_reaped() - if @pid is the daemon's, it has ended so */
void supervise_reaped(struct supervise *s, pid_t pid, int status);

/** supervise_close() - end it, politely first, wait for that, and close all
 *  that it had put by. @signal_fd: tells of SIGCHLD, which is blocked. */
void supervise_close(struct supervise *s, int signal_fd);
