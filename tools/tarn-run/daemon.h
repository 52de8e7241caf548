/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * The private tarnd. What it says is kept, the end of it at least, and told
 * only if it fails: a command's output stays the command's.
 */
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "tools/tarn-run/place.h"

#define DAEMON_GRACE_MS 5000 /* from SIGTERM to SIGKILL */

struct daemon {
	pid_t pid;            /* 0: not running */
	bool started;
	int status;           /* of waitpid(), once it has ended */
	int log_fd;           /* reading end of what it says, or -1 */
	size_t n_words;
	char words[4096];     /* the last of it */
};
#define DAEMON_NONE { .log_fd = -1 }

/** daemon_find() - beside this program, else in PATH, else in sbin;
 *  Return: a path to free(), or NULL: there is none */
char *daemon_find(void);

/**
 * daemon_start() - start it on the place's socket; may be done again after
 *                  it has ended
 * @verbose: let it say all, on our stderr
 *
 * Return: 0 or -errno.
 */
int daemon_start(struct daemon *d, char *path, const struct place *place,
		 const sigset_t *mask, bool verbose);

/** daemon_hear() - read what it has to say */
void daemon_hear(struct daemon *d);

/** daemon_ended() - it was reaped: note that, and if @expected is false,
 *  or it failed, say so */
void daemon_ended(struct daemon *d, int status, bool expected);

/** daemon_end() - end it, politely first, and wait for that; safe if it does
 *  not run. @signal_fd: tells of SIGCHLD, which is blocked. */
void daemon_end(struct daemon *d, int signal_fd);
