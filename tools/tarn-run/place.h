/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * A directory that nobody else may enter, with the socket of a private tarnd
 * in it. The socket listens before there is a tarnd: who connects early waits
 * in its queue, so there is no moment at which it is too early.
 */
#include <limits.h>

struct place {
	char dir[PATH_MAX];     /* "" if there is none */
	char socket[PATH_MAX];  /* dir/tarn.sock */
	char pools[PATH_MAX];   /* dir/pools.d, empty: not the system's pools */
	char config[PATH_MAX];  /* dir/tarnd.conf, empty: not its limits */
	int listen_fd;
};
#define PLACE_NONE { .listen_fd = -1 }

/** place_open() - make it; says what went wrong. Return: 0 or -errno. */
int place_open(struct place *place);

/** place_stop_listening() - from now on connecting fails at once */
void place_stop_listening(struct place *place);

/** place_close() - remove it with all that is in it */
void place_close(struct place *place);
