/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/tarn-run/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/tarn-run/spawn.h"

/* "@dir/@name" if it can be executed; @n bytes of @dir */
static char *executable(const char *dir, size_t n, const char *name)
{
	char *path = NULL;

	if (asprintf(&path, "%.*s/%s", (int)n, dir, name) < 0)
		return NULL;
	if (!access(path, X_OK))
		return path;
	free(path);
	return NULL;
}

static char *in_path(const char *path)
{
	char *found = NULL;

	while (path && *path && !found) {
		size_t n = strcspn(path, ":");

		if (n)
			found = executable(path, n, "tarnd");
		path += n + (path[n] == ':');
	}
	return found;
}

char *daemon_find(void)
{
	/* installed flat, in a build tree, installed as bin and sbin */
	static const char *const beside[] = {
		"tarnd", "../tarnd", "../sbin/tarnd",
	};
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash, *found = NULL;

	self[n > 0 ? n : 0] = '\0';
	slash = strrchr(self, '/');
	for (int i = 0; slash && i < 3 && !found; i++)
		found = executable(self, (size_t)(slash - self), beside[i]);
	if (!found)
		found = in_path(getenv("PATH"));
	return found ? found : in_path("/usr/local/sbin:/usr/sbin:/sbin");
}

int daemon_start(struct daemon *d, char *path, const struct place *place,
		 const sigset_t *mask, bool verbose)
{
	char *argv[] = { path, (char *)"--socket", (char *)place->socket,
			 (char *)"--pools", (char *)place->pools,
			 (char *)"--config", (char *)place->config,
			 verbose ? (char *)"--verbose" : NULL, NULL };
	struct spawn s = { .argv = argv, .mask = mask, .daemon = true,
			   .listen_fd = place->listen_fd, .log_fd = -1 };
	int log[2];
	pid_t pid;

	if (!verbose) {
		/* Full means lost: it must not wait because we do not read. */
		if (pipe2(log, O_CLOEXEC | O_NONBLOCK))
			return -errno;
		if (d->log_fd >= 0)
			close(d->log_fd);
		d->log_fd = log[0];
		s.log_fd = log[1];
	}
	pid = spawn_start(&s);
	if (s.log_fd >= 0)
		close(s.log_fd);
	if (pid < 0)
		return pid;
	d->pid = pid;
	d->started = true;
	d->n_words = 0;
	return 0;
}

void daemon_hear(struct daemon *d)
{
	char buf[1024];
	ssize_t n;

	if (d->log_fd < 0)
		return;
	while ((n = read(d->log_fd, buf, sizeof(buf))) > 0) {
		size_t over = d->n_words + (size_t)n;

		over = over > sizeof(d->words) ? over - sizeof(d->words) : 0;
		memmove(d->words, d->words + over, d->n_words - over);
		d->n_words -= over;
		memcpy(d->words + d->n_words, buf, (size_t)n);
		d->n_words += (size_t)n;
	}
	if (n == 0) { /* all writers are gone: poll() would not wait any more */
		close(d->log_fd);
		d->log_fd = -1;
	}
}

void daemon_ended(struct daemon *d, int status, bool expected)
{
	d->pid = 0;
	d->status = status;
	/* SIGTERM may come before it has got ready to be told so. */
	if (expected && (WIFSIGNALED(status) ? WTERMSIG(status) == SIGTERM :
					       !WEXITSTATUS(status)))
		return;
	daemon_hear(d);
	if (WIFSIGNALED(status))
		fprintf(stderr, "tarn-run: tarnd was killed by signal %d (%s)",
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		fprintf(stderr, "tarn-run: tarnd ended with status %d",
			WEXITSTATUS(status));
	fputs(d->n_words ? "; it had said:\n" : "\n", stderr);
	fwrite(d->words, 1, d->n_words, stderr);
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void daemon_end(struct daemon *d, int signal_fd)
{
	long deadline = now_ms() + DAEMON_GRACE_MS;
	bool forced = false;
	int status;

	if (!d->pid)
		return;
	/* It may be stopped. Afterwards would be too late: a SIGCONT undoes
	 * the stops by which a leak checker looks at a process that ends. */
	kill(d->pid, SIGCONT);
	kill(d->pid, SIGTERM);
	while (waitpid(d->pid, &status, WNOHANG) == 0) {
		struct pollfd p[] = { { .fd = signal_fd, .events = POLLIN },
				      { .fd = d->log_fd, .events = POLLIN } };
		struct signalfd_siginfo info;
		long left = deadline - now_ms();

		if (left <= 0 && !forced) {
			fputs("tarn-run: tarnd does not end; killing it\n",
			      stderr);
			kill(d->pid, SIGKILL);
			forced = true;
		}
		poll(p, 2, forced ? 100 : (int)left);
		if (p[0].revents && read(signal_fd, &info, sizeof(info)) < 0)
			continue;
		daemon_hear(d);
	}
	if (forced)
		d->pid = 0;
	else
		daemon_ended(d, status, true);
}
