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

static bool become_daemon(const struct spawn *s, pid_t parent)
{
	char pid[16];
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	/* A Ctrl-C is for the command; the daemon ends after it. */
	setpgid(0, 0);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		return false;
	if (getppid() != parent)
		_exit(1); /* it died before the line above */
	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		return false;
	if (s->log_fd >= 0 && (dup2(s->log_fd, STDOUT_FILENO) < 0 ||
			       dup2(s->log_fd, STDERR_FILENO) < 0))
		return false;
	if (s->listen_fd == FIRST_PASSED_FD)
		fcntl(s->listen_fd, F_SETFD, 0);
	else if (dup2(s->listen_fd, FIRST_PASSED_FD) < 0)
		return false;
	if (close_range(FIRST_PASSED_FD + 1, UINT_MAX, CLOSE_RANGE_CLOEXEC))
		return false;

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	/* What our own service manager told us is not for it. */
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	unsetenv("LISTEN_FDNAMES");
	return !setenv("LISTEN_FDS", "1", 1) && !setenv("LISTEN_PID", pid, 1);
}

__attribute__((noreturn))
static void child(const struct spawn *s, pid_t parent, int report_fd)
{
	int error;

	/* Above the descriptors that are given a place of their own. */
	report_fd = fcntl(report_fd, F_DUPFD_CLOEXEC, FIRST_PASSED_FD + 1);
	if ((!s->daemon || become_daemon(s, parent)) &&
	    (!s->socket || !setenv("TARN_SOCKET", s->socket, 1)) &&
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
