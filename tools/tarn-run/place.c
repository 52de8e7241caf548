/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/tarn-run/place.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int complain(const char *what)
{
	int r = errno > 0 ? -errno : -EINVAL;

	fprintf(stderr, "tarn-run: %s: %s\n", what, strerror(-r));
	return r;
}

static int make_names(struct place *place)
{
	const char *tmp = getenv("TMPDIR");
	int n = snprintf(place->dir, sizeof(place->dir), "%s/tarn-run.XXXXXX",
			 tmp && *tmp ? tmp : "/tmp");
	size_t room = sizeof(((struct sockaddr_un *)0)->sun_path);

	if (n < 0 || (size_t)n + sizeof("/tarn.sock") > room) {
		fprintf(stderr, "tarn-run: TMPDIR is too long for a socket "
			"below it (%zu bytes are)\n", room);
		place->dir[0] = '\0';
		return -ENAMETOOLONG;
	}
	if (!mkdtemp(place->dir)) {
		int r = complain(place->dir);

		place->dir[0] = '\0';
		return r;
	}
	/* Short, as was just seen; the compiler cannot know. */
	memcpy(place->socket, place->dir, (size_t)n + 1);
	strcpy(place->socket + n, "/tarn.sock");
	memcpy(place->pools, place->dir, (size_t)n + 1);
	strcpy(place->pools + n, "/pools.d");
	memcpy(place->config, place->dir, (size_t)n + 1);
	strcpy(place->config + n, "/tarnd.conf");
	return 0;
}

static int listen_there(struct place *place)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	strcpy(addr.sun_path, place->socket);
	place->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (place->listen_fd < 0 ||
	    bind(place->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(place->listen_fd, SOMAXCONN))
		return complain(place->socket);
	return 0;
}

int place_open(struct place *place)
{
	int r = make_names(place), fd;

	if (r < 0)
		return r;
	if (mkdir(place->pools, 0700))
		return complain(place->pools);
	fd = open(place->config, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return complain(place->config);
	close(fd);
	return listen_there(place);
}

void place_stop_listening(struct place *place)
{
	if (place->listen_fd >= 0)
		close(place->listen_fd);
	place->listen_fd = -1;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *at)
{
	(void)st, (void)type, (void)at;
	if (remove(path) && errno != ENOENT)
		complain(path);
	return 0;
}

void place_close(struct place *place)
{
	place_stop_listening(place);
	if (place->dir[0])
		nftw(place->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	place->dir[0] = '\0';
}
