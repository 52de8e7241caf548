/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Starting a program, and knowing at once if it could not be started. */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* What a daemon is given, as a service manager would. */
struct spawn_service {
	int *fds;                /* from descriptor 3 on; may be changed */
	unsigned n_fds;
	const char *names;       /* LISTEN_FDNAMES */
	const char *notify;      /* NOTIFY_SOCKET */
	uint64_t watchdog_usec;  /* 0: no watchdog */
	int log_fd;              /* its stdout and stderr; -1: ours */
};

struct spawn {
	char *const *argv;     /* argv[0] is looked for in PATH */
	const sigset_t *mask;  /* signals blocked in it */
	const struct rlimit *n_fds; /* its RLIMIT_NOFILE */
	const char *socket;    /* its TARN_SOCKET, or NULL */
	/* A daemon: out of the terminal's reach, killed when we die; or NULL */
	const struct spawn_service *service;
};

/** spawn_start() - Return: its pid, or -errno of what failed, exec included. */
pid_t spawn_start(const struct spawn *s);
