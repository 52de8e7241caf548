/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Starting a program, and knowing at once if it could not be started. */
#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

struct spawn {
	char *const *argv;     /* argv[0] is looked for in PATH */
	const sigset_t *mask;  /* signals blocked in it */
	const char *socket;    /* its TARN_SOCKET, or NULL */
	/* A daemon: out of the terminal's reach, killed when we die, with
	 * this listening socket as descriptor 3, and with stdout and stderr
	 * here, or where they are if -1. */
	bool daemon;
	int listen_fd, log_fd;
};

/** spawn_start() - Return: its pid, or -errno of what failed, exec included. */
pid_t spawn_start(const struct spawn *s);
