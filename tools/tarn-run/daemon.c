/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/tarn-run/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

int daemon_start(struct daemon *d, struct spawn *how, struct spawn_service *v,
		 bool verbose)
{
	int log[2];
	pid_t pid;

	v->log_fd = -1;
	if (!verbose) {
		/* Full means lost: it must not wait because we do not read. */
		if (pipe2(log, O_CLOEXEC | O_NONBLOCK))
			return -errno;
		if (d->log_fd >= 0)
			close(d->log_fd);
		d->log_fd = log[0];
		v->log_fd = log[1];
	}
	how->service = v;
	pid = spawn_start(how);
	if (v->log_fd >= 0)
		close(v->log_fd);
	if (pid < 0)
		return pid;
	d->pid = pid;
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

void daemon_tell(struct daemon *d, int status, const char *then, bool words)
{
	daemon_hear(d);
	if (WIFSIGNALED(status))
		fprintf(stderr, "tarn-run: tarnd was killed by signal %d (%s)",
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		fprintf(stderr, "tarn-run: tarnd ended with status %d",
			WEXITSTATUS(status));
	words = words && d->n_words;
	fprintf(stderr, "%s%s\n", then, words ? "; it had said:" : "");
	if (words)
		fwrite(d->words, 1, d->n_words, stderr);
}

void daemon_signal(const struct daemon *d, int sig)
{
	if (!d->pid)
		return;
	/* It may be stopped. One that is to die does nothing more; but the
	 * end of one that ends well is no time for a SIGCONT: it undoes the
	 * stops by which a leak checker looks at such a process. */
	if (sig == SIGTERM)
		kill(d->pid, SIGCONT);
	kill(d->pid, sig);
	if (sig != SIGTERM)
		kill(d->pid, SIGCONT);
}

void daemon_fini(struct daemon *d)
{
	if (d->log_fd >= 0)
		close(d->log_fd);
	d->log_fd = -1;
}
