/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/tarn-run/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST_PASSED_FD 3 /* of the socket activation protocol */

/* Bring @fds to descriptors 3, 4, ...; what is there is overwritten, or put
 * above them if it is one of them. */
static bool arrange(int *fds, unsigned n)
{
	int end = FIRST_PASSED_FD + (int)n;
	/* who is at a place, as index + 1 */
	unsigned *at = calloc((size_t)end, sizeof(*at));

	if (!at)
		return false;
	for (unsigned i = 0; i < n; i++)
		if (fds[i] < end)
			at[fds[i]] = i + 1;
	for (unsigned i = 0; i < n; i++) {
		int to = FIRST_PASSED_FD + (int)i, from = fds[i];
		unsigned other = at[to];

		if (from == to) {
			fcntl(to, F_SETFD, 0);
			continue;
		}
		if (other) {
			int r = fcntl(to, F_DUPFD_CLOEXEC, end);

			if (r < 0)
				return false;
			fds[other - 1] = r;
		}
		if (dup2(from, to) < 0)
			return false;
		close(from);
		if (from < end)
			at[from] = 0;
	}
	free(at);
	return true;
}

static bool set_number(const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return !setenv(name, text, 1);
}

static bool set_service(const struct spawn_service *v)
{
	uint64_t pid = (uint64_t)getpid();

	if (v->watchdog_usec) {
		if (!set_number("WATCHDOG_USEC", v->watchdog_usec) ||
		    !set_number("WATCHDOG_PID", pid))
			return false;
	} else {
		/* What our own service manager told us is not for it. */
		unsetenv("WATCHDOG_USEC");
		unsetenv("WATCHDOG_PID");
	}
	return set_number("LISTEN_FDS", v->n_fds) &&
	       set_number("LISTEN_PID", pid) &&
	       !setenv("LISTEN_FDNAMES", v->names, 1) &&
	       !setenv("NOTIFY_SOCKET", v->notify, 1);
}

static bool become_daemon(const struct spawn_service *v, pid_t parent)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	/* A Ctrl-C is for the command; the daemon ends after it. */
	setpgid(0, 0);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		return false;
	if (getppid() != parent)
		_exit(1); /* it died before the line above */
	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		return false;
	if (v->log_fd >= 0 && (dup2(v->log_fd, STDOUT_FILENO) < 0 ||
			       dup2(v->log_fd, STDERR_FILENO) < 0))
		return false;
	return arrange(v->fds, v->n_fds) &&
	       !close_range(FIRST_PASSED_FD + v->n_fds, UINT_MAX,
			    CLOSE_RANGE_CLOEXEC) &&
	       set_service(v);
}

__attribute__((noreturn))
static void child(const struct spawn *s, pid_t parent, int report_fd)
{
	unsigned n = s->service ? s->service->n_fds : 0;
	int error;

	/* Above the descriptors that are given a place of their own. */
	report_fd = fcntl(report_fd, F_DUPFD_CLOEXEC,
			  FIRST_PASSED_FD + (int)n);
	if ((!s->service || become_daemon(s->service, parent)) &&
	    (!s->socket || !setenv("TARN_SOCKET", s->socket, 1)) &&
	    !setrlimit(RLIMIT_NOFILE, s->n_fds) &&
	    !sigprocmask(SIG_SETMASK, s->mask, NULL))
		execvp(s->argv[0], s->argv);
	error = errno;
	if (write(report_fd, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

pid_t spawn_start(const struct spawn *s)
{
	pid_t parent = getpid(), pid;
	int report[2], error = 0;
	ssize_t n;

	if (pipe2(report, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (!pid)
		child(s, parent, report[1]);
	if (pid < 0)
		error = errno;
	close(report[1]);
	/* The end comes when exec closes the pipe; a word means it failed. */
	do
		n = read(report[0], &error, sizeof(error));
	while (n < 0 && errno == EINTR);
	close(report[0]);
	if (pid > 0 && n > 0)
		waitpid(pid, NULL, 0);
	return error ? -error : pid;
}
