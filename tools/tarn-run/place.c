/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/tarn-run/place.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
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

/* "@dir/@file"; @dir is short */
static void name(char to[PATH_MAX], const char *dir, const char *file)
{
	int n = snprintf(to, PATH_MAX, "%s/%s", dir, file);

	if (n < 0 || n >= PATH_MAX)
		to[0] = '\0';
}

static int make_names(struct place *place, const char *dir)
{
	const char *tmp = getenv("TMPDIR");
	size_t room = sizeof(((struct sockaddr_un *)0)->sun_path);

	place->keep = dir;
	if (!tmp || !*tmp)
		tmp = "/tmp";
	snprintf(place->dir, sizeof(place->dir), "%s%s", dir ? dir : tmp,
		 dir ? "" : "/tarn-run.XXXXXX");
	/* What was cut short is too long, too. */
	if (strlen(place->dir) + sizeof("/tarn.sock") > room) {
		fprintf(stderr, "tarn-run: %s is too long for a socket below "
			"it (%zu bytes are)\n", dir ? dir : "TMPDIR", room);
		place->dir[0] = '\0';
		return -ENAMETOOLONG;
	}
	if (dir ? mkdir(dir, 0700) && errno != EEXIST : !mkdtemp(place->dir)) {
		int r = complain(place->dir);

		place->dir[0] = '\0';
		return r;
	}
	name(place->socket, place->dir, "tarn.sock");
	name(place->notify, place->dir, "notify");
	name(place->pools, place->dir, "pools.d");
	name(place->config, place->dir, "tarnd.conf");
	name(place->status, place->dir, "status");
	name(place->pid, place->dir, "pid");
	return 0;
}

static int listen_there(struct place *place)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	strcpy(addr.sun_path, place->socket);
	unlink(place->socket); /* of one that was killed */
	unlink(place->notify);
	place->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (place->listen_fd < 0 ||
	    bind(place->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    chmod(place->socket, 0666) ||
	    listen(place->listen_fd, SOMAXCONN))
		return complain(place->socket);
	return 0;
}

int place_open(struct place *place, const char *dir)
{
	int r = make_names(place, dir), fd;

	if (r < 0)
		return r;
	if (mkdir(place->pools, 0700) && errno != EEXIST)
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

static void remove_ours(const struct place *place)
{
	struct stat st;

	unlink(place->socket);
	unlink(place->notify);
	unlink(place->status);
	unlink(place->pid);
	rmdir(place->pools);
	if (!stat(place->config, &st) && !st.st_size)
		unlink(place->config);
}

void place_close(struct place *place)
{
	place_stop_listening(place);
	if (place->dir[0] && place->keep)
		remove_ours(place);
	else if (place->dir[0])
		nftw(place->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	place->dir[0] = '\0';
}

void place_write(const char *path, const char *fmt, ...)
{
	char new[PATH_MAX + 4];
	va_list ap;
	FILE *f;

	snprintf(new, sizeof(new), "%s.new", path);
	f = fopen(new, "we");
	if (!f)
		return;
	va_start(ap, fmt);
	vfprintf(f, fmt, ap);
	va_end(ap);
	if (!fclose(f))
		rename(new, path);
}
