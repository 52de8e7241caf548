/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * What a service tells its manager, sd_notify(3), received: one datagram is
 * one message, lines of NAME=VALUE and descriptors with them.
 */
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define NOTIFY_BYTES_MAX PIPE_BUF /* as systemd has it; more is ignored */
#define NOTIFY_FDS_MAX 253        /* of the kernel, SCM_MAX_FD */

enum notify_what {
	NOTIFY_READY = 1U << 0,
	NOTIFY_WATCHDOG = 1U << 1,
	NOTIFY_TRIGGER = 1U << 2,      /* WATCHDOG=trigger: end me */
	NOTIFY_STORE = 1U << 3,
	NOTIFY_REMOVE = 1U << 4,
	NOTIFY_NO_POLL = 1U << 5,      /* FDPOLL=0 */
	NOTIFY_BARRIER = 1U << 6,
	NOTIFY_STOPPING = 1U << 7,
};

struct notify_message {
	unsigned what;                 /* of enum notify_what */
	const char *status;            /* of STATUS=, or NULL */
	const char *fdname;            /* of FDNAME=, or NULL */
	size_t n_fds;
	int fds[NOTIFY_FDS_MAX];
	char text[NOTIFY_BYTES_MAX + 1];
};

/** notify_open() - bind the socket. Return: it, or -errno. */
int notify_open(const char *path);

/**
 * notify_receive() - the next message from @pid; what others send is dropped
 *
 * Return: 1: it is in @m, and its descriptors are to be taken (set to -1) or
 * closed by notify_done(); 0: there is none.
 */
int notify_receive(int fd, pid_t pid, struct notify_message *m);

void notify_done(struct notify_message *m);

/** notify_parse() - fill @m from its text, of which that is the end of use;
 *  lines that mean nothing here are passed over. */
void notify_parse(struct notify_message *m);
