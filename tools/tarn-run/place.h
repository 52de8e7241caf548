/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * A directory with the socket of a private tarnd in it: a new one that nobody
 * else may enter, or one that was there. The socket listens before there is a
 * tarnd: who connects early waits in its queue, so there is no moment at
 * which it is too early.
 *
 * Whoever can enter the directory can connect.
 */
#include <limits.h>
#include <stdbool.h>

struct place {
	char dir[PATH_MAX];     /* "" if there is none */
	bool keep;              /* it was there, and stays */
	char socket[PATH_MAX];  /* dir/tarn.sock */
	char notify[PATH_MAX];  /* dir/notify, for the daemon */
	char pools[PATH_MAX];   /* dir/pools.d, empty: not the system's pools */
	char config[PATH_MAX];  /* dir/tarnd.conf, empty: not its limits */
	char status[PATH_MAX];  /* dir/status, see status.h */
	char pid[PATH_MAX];     /* dir/pid */
	int listen_fd;
};
#define PLACE_NONE { .listen_fd = -1 }

/** place_open() - make it, or with @dir use that; says what went wrong.
 *  Return: 0 or -errno. */
int place_open(struct place *place, const char *dir);

/** place_stop_listening() - from now on connecting fails at once */
void place_stop_listening(struct place *place);

/** place_close() - remove it; or what was made in it, if it was there */
void place_close(struct place *place);

/** place_write() - a small file, in one step; fails silently */
__attribute__((format(printf, 2, 3)))
void place_write(const char *path, const char *fmt, ...);
