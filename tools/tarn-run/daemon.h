/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * The process of the private tarnd. What it says is kept, the end of it at
 * least, and told only if it fails: a command's output stays the command's.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "tools/tarn-run/spawn.h"

struct daemon {
	pid_t pid;            /* 0: not running */
	int log_fd;           /* reading end of what it says, or -1 */
	size_t n_words;
	char words[4096];     /* the last of it */
};
#define DAEMON_NONE { .log_fd = -1 }

/** daemon_find() - beside this program, else in PATH, else in sbin;
 *  Return: a path to free(), or NULL: there is none */
char *daemon_find(void);

/**
 * daemon_start() - start it; may be done again after it has ended
 * @how: as what
 * @v: what @how's service is; log_fd is set here
 * @verbose: let it say all, on our stderr
 *
 * Return: 0 or -errno.
 */
int daemon_start(struct daemon *d, struct spawn *how, struct spawn_service *v,
		 bool verbose);

/** daemon_hear() - read what it has to say */
void daemon_hear(struct daemon *d);

/** daemon_tell() - say how it ended: @status is of waitpid(), @then what
 *  follows from it, @words: with what it said */
void daemon_tell(struct daemon *d, int status, const char *then, bool words);

/** daemon_signal() - send it a signal, and let it go on if it is stopped */
void daemon_signal(const struct daemon *d, int sig);

void daemon_fini(struct daemon *d);
