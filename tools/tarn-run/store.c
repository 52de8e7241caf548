/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/tarn-run/store.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int store_init(struct store *s, size_t max)
{
	*s = (struct store){ .max = max };
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll_fd < 0)
		return -errno;
	s->entries = calloc(max, sizeof(s->entries[0]));
	return s->entries || !max ? 0 : -ENOMEM;
}

static void forget(struct store *s, struct store_entry *e)
{
	/* Others may have it open still, and epoll would go on with it. */
	if (e->polled)
		epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, e->fd, NULL);
	close(e->fd);
	s->names_bytes -= strlen(e->name) + 1;
	free(e->name);
	e->fd = -1;
}

/* Close up the gaps forget() left. Return: how many there were. */
static size_t squeeze(struct store *s)
{
	size_t kept = 0, gone;

	for (size_t i = 0; i < s->n; i++)
		if (s->entries[i].fd >= 0)
			s->entries[kept++] = s->entries[i];
	gone = s->n - kept;
	s->n = kept;
	return gone;
}

void store_fini(struct store *s)
{
	for (size_t i = 0; i < s->n; i++)
		forget(s, &s->entries[i]);
	free(s->entries);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	*s = (struct store)STORE_NONE;
}

bool store_name_ok(const char *name)
{
	size_t n = 0;

	for (; name[n]; n++)
		if (name[n] < ' ' || name[n] >= 127 || name[n] == ':')
			return false;
	return n <= STORE_NAME_MAX;
}

/* One open file, not merely one inode: a file may be open twice. */
static bool same_file(const struct store_entry *e, int fd,
		      const struct stat *st)
{
	pid_t self = getpid();

	if (e->dev != st->st_dev || e->ino != st->st_ino)
		return false;
	return syscall(SYS_kcmp, self, self, KCMP_FILE, e->fd, fd) == 0;
}

static bool has(const struct store *s, int fd, const struct stat *st)
{
	for (size_t i = 0; i < s->n; i++)
		if (same_file(&s->entries[i], fd, st))
			return true;
	return false;
}

static int add(struct store *s, int fd, const char *name, bool polled)
{
	struct store_entry *e = &s->entries[s->n];
	/* Hanging up is told unasked. */
	struct epoll_event hung = { .data.fd = fd };
	size_t bytes = strlen(name) + 1;
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (has(s, fd, &st))
		return 0;
	if (s->n >= s->max || s->names_bytes + bytes > STORE_NAMES_MAX)
		return -ENOSPC;
	*e = (struct store_entry){ .fd = fd, .dev = st.st_dev,
				   .ino = st.st_ino, .name = strdup(name) };
	if (!e->name)
		return -ENOMEM;
	/* EPERM: it is of a kind that cannot be polled. */
	e->polled = polled &&
		    !epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &hung);
	s->names_bytes += bytes;
	s->n++;
	return 1;
}

int store_add(struct store *s, int fd, const char *name, bool polled)
{
	int r = add(s, fd, name, polled);

	if (r != 1)
		close(fd);
	return r;
}

size_t store_remove(struct store *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->entries[i].name, name))
			forget(s, &s->entries[i]);
	return squeeze(s);
}

static void drop(struct store *s, int fd)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->entries[i].fd == fd)
			forget(s, &s->entries[i]);
}

size_t store_drop_hung(struct store *s)
{
	struct epoll_event events[64];
	int n = epoll_wait(s->epoll_fd, events, 64, 0);

	for (int i = 0; i < n; i++)
		if (events[i].events & (EPOLLHUP | EPOLLERR))
			drop(s, events[i].data.fd);
	return squeeze(s);
}
