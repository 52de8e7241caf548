/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * A service to be supervised, in the place of tarnd. It does what it is asked
 * to on its socket, one request and one answer on each connection:
 *
 *   list              what it was started with: NAME=TEXT, in its order
 *   put NAME TEXT     FDSTORE a file with that text
 *   again NAME        FDSTORE the last file under another name
 *   two NAME          FDSTORE two files in one message
 *   pair NAME [stay]  FDSTORE one end of a socket pair; stay: FDPOLL=0
 *   hang              close the other ends of all pairs
 *   remove NAME       FDSTOREREMOVE
 *   many N            put n0 to nN-1, each with its name, all at once
 *   barrier           1 if it came back
 *   say TEXT          send that message; | stands for the end of a line
 *   env NAME          of its environment
 *   quiet             feed the watchdog no more
 *   exit N, kill N    end so, without an answer
 *
 * Started with a descriptor named "die" it exits with status 3.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

static char answer[65000];
static char **names;
static int n_names, last_fd = -1, ends[64], n_ends;
static bool quiet;

static int file_with(const char *text)
{
	int fd = memfd_create("service", MFD_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		abort();
	return fd;
}

static void store(const char *name, const char *more, const int *fds,
		  unsigned n)
{
	char text[400];

	snprintf(text, sizeof(text), "FDSTORE=1%s%s%s",
		 *name ? "\nFDNAME=" : "", name, more);
	if (sd_pid_notify_with_fds(0, 0, text, fds, n) <= 0)
		abort();
}

static const char *do_list(char *arg)
{
	size_t n = 0;

	(void)arg;
	answer[0] = '\0';
	for (int i = 0; i < n_names; i++) {
		char text[64] = "";

		if (pread(SD_LISTEN_FDS_START + i, text, sizeof(text) - 1,
			  0) < 0)
			strcpy(text, "?");
		n += (size_t)snprintf(answer + n, sizeof(answer) - n,
				      "%s=%s ", names[i], text);
	}
	return answer;
}

static const char *do_put(char *arg)
{
	char *text = strchr(arg, ' ');

	*text++ = '\0';
	last_fd = file_with(text);
	store(arg, "", &last_fd, 1);
	return "ok";
}

static const char *do_again(char *arg)
{
	store(arg, "", &last_fd, 1);
	return "ok";
}

static const char *do_two(char *arg)
{
	int fds[2] = { file_with("one"), file_with("two") };

	store(arg, "", fds, 2);
	close(fds[0]);
	close(fds[1]);
	return "ok";
}

static const char *do_pair(char *arg)
{
	char *stay = strchr(arg, ' ');
	int fds[2];

	if (stay)
		*stay = '\0';
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		abort();
	store(arg, stay ? "\nFDPOLL=0" : "", fds, 1);
	ends[n_ends++] = fds[1];
	return "ok";
}

static const char *do_hang(char *arg)
{
	(void)arg;
	while (n_ends)
		close(ends[--n_ends]);
	return "ok";
}

static const char *do_remove(char *arg)
{
	sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", arg);
	return "ok";
}

static const char *do_many(char *arg)
{
	for (int i = 0; i < atoi(arg); i++) {
		char name[16];
		int fd;

		snprintf(name, sizeof(name), "n%d", i);
		fd = file_with(name);
		store(name, "", &fd, 1);
		close(fd);
	}
	return "ok";
}

static const char *do_barrier(char *arg)
{
	(void)arg;
	return sd_notify_barrier(0, 5000000) > 0 ? "1" : "0";
}

static const char *do_say(char *arg)
{
	for (char *c = arg; *c; c++)
		if (*c == '|')
			*c = '\n';
	sd_notify(0, arg);
	return "ok";
}

static const char *do_env(char *arg)
{
	const char *value = getenv(arg);

	return value ? value : "none";
}

static const char *do_quiet(char *arg)
{
	(void)arg;
	quiet = true;
	return "ok";
}

static const char *do_exit(char *arg)
{
	_exit(atoi(arg));
}

static const char *do_kill(char *arg)
{
	kill(getpid(), atoi(arg));
	return "I live";
}

static const struct {
	const char *verb, *(*fn)(char *arg);
} verbs[] = {
	{ "list", do_list },     { "put", do_put },
	{ "again", do_again },   { "two", do_two },
	{ "pair", do_pair },     { "hang", do_hang },
	{ "remove", do_remove }, { "many", do_many },
	{ "barrier", do_barrier }, { "say", do_say },
	{ "env", do_env },       { "quiet", do_quiet },
	{ "exit", do_exit },     { "kill", do_kill },
};

static const char *answer_to(char *request)
{
	char *arg = strchr(request, ' ');

	if (arg)
		*arg++ = '\0';
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(request, verbs[i].verb))
			return verbs[i].fn(arg);
	return "what?";
}

static int service_main(void)
{
	const struct timeval tick = { .tv_usec = 50000 };

	n_names = sd_listen_fds_with_names(0, &names);
	for (int i = 0; i < n_names; i++)
		if (!strcmp(names[i], "die"))
			return 3;
	setsockopt(SD_LISTEN_FDS_START, SOL_SOCKET, SO_RCVTIMEO, &tick,
		   sizeof(tick));
	sd_notifyf(0, "READY=1\nSTATUS=%d names", n_names);
	for (;;) {
		int fd = accept4(SD_LISTEN_FDS_START, NULL, NULL, SOCK_CLOEXEC);
		char request[4096];
		ssize_t n;

		if (!quiet)
			sd_notify(0, "WATCHDOG=1");
		if (fd < 0)
			continue;
		n = recv(fd, request, sizeof(request) - 1, 0);
		if (n > 0) {
			const char *text;

			request[n] = '\0';
			text = answer_to(request);
			send(fd, text, strlen(text) + 1, MSG_NOSIGNAL);
		}
		close(fd);
	}
}
