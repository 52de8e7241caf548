/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/tarn-run/notify.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int notify_open(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, one = 1, r;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 &&
	    !setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) &&
	    !bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	r = -errno;
	if (fd >= 0)
		close(fd);
	return r;
}

static const char *after(const char *line, const char *name)
{
	size_t n = strlen(name);

	return strncmp(line, name, n) ? NULL : line + n;
}

static void parse_line(struct notify_message *m, const char *line)
{
	static const struct { const char *line; unsigned what; } known[] = {
		{ "READY=1", NOTIFY_READY },
		{ "WATCHDOG=1", NOTIFY_WATCHDOG },
		{ "WATCHDOG=trigger", NOTIFY_TRIGGER },
		{ "FDSTORE=1", NOTIFY_STORE },
		{ "FDSTOREREMOVE=1", NOTIFY_REMOVE },
		{ "FDPOLL=0", NOTIFY_NO_POLL },
		{ "BARRIER=1", NOTIFY_BARRIER },
		{ "STOPPING=1", NOTIFY_STOPPING },
	};
	const char *value;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(line, known[i].line))
			m->what |= known[i].what;
	value = after(line, "STATUS=");
	if (value)
		m->status = value;
	value = after(line, "FDNAME=");
	if (value && !m->fdname)
		m->fdname = value;
}

void notify_parse(struct notify_message *m)
{
	char *next = m->text, *line;
	unsigned n_lines = 0;

	m->what = 0;
	m->status = m->fdname = NULL;
	while ((line = strsep(&next, "\n"))) {
		n_lines += *line != '\0';
		parse_line(m, line);
	}
	/* A barrier stands alone, with one descriptor, or all is void. */
	if ((m->what & NOTIFY_BARRIER) && (n_lines != 1 || m->n_fds != 1)) {
		m->what = 0;
		m->status = m->fdname = NULL;
	}
}

static void take_fds(struct notify_message *m, const struct cmsghdr *c)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	if (n > NOTIFY_FDS_MAX)
		n = NOTIFY_FDS_MAX;
	memcpy(m->fds, CMSG_DATA(c), n * sizeof(int));
	m->n_fds = n;
}

/* One datagram. Return: its sender's pid, 0 if that is not known, or -1. */
static pid_t receive(int fd, struct notify_message *m, size_t *ret_bytes,
		     bool *ret_cut)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(struct ucred)) +
			 CMSG_SPACE(sizeof(int) * NOTIFY_FDS_MAX)];
	} control;
	struct iovec iov = { m->text, sizeof(m->text) - 1 };
	struct msghdr hdr = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	struct ucred from = { 0 };
	ssize_t n;

	m->n_fds = 0;
	n = recvmsg(fd, &hdr, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n < 0)
		return -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&hdr); c;
	     c = CMSG_NXTHDR(&hdr, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS)
			take_fds(m, c);
		else if (c->cmsg_type == SCM_CREDENTIALS)
			memcpy(&from, CMSG_DATA(c), sizeof(from));
	}
	m->text[n] = '\0';
	*ret_bytes = (size_t)n;
	*ret_cut = hdr.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
	return from.pid;
}

int notify_receive(int fd, pid_t pid, struct notify_message *m)
{
	size_t bytes;
	pid_t from;
	bool cut;

	while ((from = receive(fd, m, &bytes, &cut)) >= 0) {
		if (from == pid && from && !cut && strlen(m->text) == bytes) {
			notify_parse(m);
			return 1;
		}
		if (from == pid && from)
			fputs("tarn-run: a message of tarnd's was cut short "
			      "and is ignored\n", stderr);
		notify_done(m);
	}
	return 0;
}

void notify_done(struct notify_message *m)
{
	for (size_t i = 0; i < m->n_fds; i++)
		if (m->fds[i] >= 0)
			close(m->fds[i]);
	m->n_fds = 0;
}
