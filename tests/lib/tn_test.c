/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int fds_at_setup;

unsigned tn_test_seconds(void)
{
	const char *s = getenv("TARN_TEST_TIMEOUT");

	return s && atoi(s) > 60 ? (unsigned)atoi(s) : 60;
}

int tn_test_setup(void **state)
{
	(void)state;
	alarm(TN_TEST_SECONDS);
	fds_at_setup = tn_test_fd_count(0);
	return 0;
}

int tn_test_teardown(void **state)
{
	int now = tn_test_fd_count(0);

	(void)state;
	alarm(0);
	if (now == fds_at_setup)
		return 0;
	print_error("descriptors: %d before, %d after\n", fds_at_setup, now);
	return -1;
}

int64_t tn_test_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

const char *tn_test_program(const char *name, char *buf, size_t bytes)
{
	const char *build = getenv("TARN_BUILD");

	snprintf(buf, bytes, "%s/%s", build ? build : "build", name);
	return buf;
}

int tn_test_fd_count(pid_t pid)
{
	char path[64];
	int n = 0;
	DIR *dir;

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	else
		snprintf(path, sizeof(path), "/proc/self/fd");
	dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir));)
		n += e->d_name[0] != '.';
	closedir(dir);
	return pid ? n : n - 1; /* without the one that reads */
}

void tn_test_mkdtemp(char *ret, size_t bytes)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(ret, bytes, "%s/tarn-test-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(ret));
	assert_int_equal(chmod(ret, 0755), 0);
}

static int rm_one(const char *path, const struct stat *st, int type,
		  struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void tn_test_rmtree(const char *dir)
{
	nftw(dir, rm_one, 8, FTW_DEPTH | FTW_PHYS);
}

void tn_test_write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static pid_t spawn(uid_t uid, gid_t gid, bool other, int (*fn)(void *),
		   void *arg)
{
	pid_t parent = getpid(), pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid)
		return pid;
	if (other && (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 ||
		      setresuid(uid, uid, uid) < 0))
		_exit(126);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(125);
	alarm(TN_TEST_SECONDS);
	_exit(fn(arg));
}

pid_t tn_test_spawn(int (*fn)(void *), void *arg)
{
	return spawn(0, 0, false, fn, arg);
}

pid_t tn_test_spawn_as(uid_t uid, gid_t gid, int (*fn)(void *), void *arg)
{
	return spawn(uid, gid, true, fn, arg);
}

int tn_test_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* the daemon */

void tn_test_daemon_init(struct tn_test_daemon *d)
{
	memset(d, 0, sizeof(*d));
	tn_test_mkdtemp(d->dir, sizeof(d->dir));
	snprintf(d->socket, sizeof(d->socket), "%s/tarn.sock", d->dir);
	snprintf(d->pools, sizeof(d->pools), "%s/pools", d->dir);
	snprintf(d->conf, sizeof(d->conf), "%s/tarnd.conf", d->dir);
	snprintf(d->log, sizeof(d->log), "%s/log", d->dir);
	assert_int_equal(mkdir(d->pools, 0755), 0);
	tn_test_write_file(d->conf, "");
}

struct launch {
	const struct tn_test_daemon *d;
	const char *const *args;
};

static int exec_logged(const struct launch *l, const char *program,
		       const char *const argv[])
{
	int log = open(l->d->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
		       0644);

	if (log < 0 || dup2(log, 2) < 0)
		return 124;
	alarm(0);
	unsetenv("JOURNAL_STREAM");
	unsetenv("NOTIFY_SOCKET");
	unsetenv("LISTEN_FDS");
	for (const char *const *e = l->d->env; e && *e; e++)
		putenv((char *)*e);
	execv(program, (char *const *)argv);
	dprintf(2, "%s: %s\n", program, strerror(errno));
	return 127;
}

static const char *tarnd(char *buf, size_t bytes)
{
	const char *program = getenv("TARND");

	return program ? program : tn_test_program("tarnd", buf, bytes);
}

static int exec_daemon(void *arg)
{
	const struct launch *l = arg;
	const char *argv[32] = {
		"tarnd", "--socket", l->d->socket, "--pools", l->d->pools,
		"--config", l->d->conf,
	};
	char path[4096];
	int n = 7;

	for (const char *const *a = l->args; a && *a && n < 31; a++)
		argv[n++] = *a;
	return exec_logged(l, tarnd(path, sizeof(path)), argv);
}

static int exec_supervisor(void *arg)
{
	const struct launch *l = arg;
	char run[4096], path[4096];
	const char *argv[64] = {
		"tarn-run", "--verbose", "--restarts", "unlimited",
		"--dir", l->d->dir, "--tarnd", tarnd(path, sizeof(path)),
		"--argument", "--pools", "--argument", l->d->pools,
	};
	int n = 12;

	for (const char *const *a = l->args; a && *a && n < 60; a++) {
		argv[n++] = "--argument";
		argv[n++] = *a;
	}
	argv[n++] = "sleep";
	argv[n++] = "1000000";
	return exec_logged(l, tn_test_program("tools/tarn-run", run,
					      sizeof(run)), argv);
}

static int try_to_connect(const struct tn_test_daemon *d)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_true(strlen(d->socket) < sizeof(sa.sun_path));
	strcpy(sa.sun_path, d->socket);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	close(fd);
	return -1;
}

bool tn_test_daemon_accepts(const struct tn_test_daemon *d)
{
	int fd = try_to_connect(d);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* An empty packet is an end, to which tarnd answers with its own. */
static void end_one_connection(const struct tn_test_daemon *d)
{
	int fd = try_to_connect(d);
	char c;

	assert_true(fd >= 0);
	send(fd, NULL, 0, MSG_NOSIGNAL);
	assert_true(recv(fd, &c, 1, 0) <= 0);
	close(fd);
}

void tn_test_daemon_print(const struct tn_test_daemon *d)
{
	char line[1024];
	FILE *f = fopen(d->log, "re");

	while (f && fgets(line, sizeof(line), f))
		print_error("| %s", line);
	if (f)
		fclose(f);
}

void tn_test_daemon_spawn(struct tn_test_daemon *d, const char *const args[])
{
	struct launch l = { d, args };

	d->pid = tn_test_spawn(exec_daemon, &l);
}

/* Or its processor is another's, and it has yet to close what it closes. */
static bool sleeps(pid_t pid)
{
	char path[40], state = 'R';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f && fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 'R';
	if (f)
		fclose(f);
	return state == 'S';
}

void tn_test_daemon_start(struct tn_test_daemon *d, const char *const args[])
{
	int64_t end = tn_test_now_ms() + 20000;
	int fds;

	tn_test_daemon_spawn(d, args);
	setenv("TARN_SOCKET", d->socket, 1);
	while (!tn_test_daemon_accepts(d)) {
		if (waitpid(d->pid, NULL, WNOHANG) == d->pid ||
		    tn_test_now_ms() > end) {
			tn_test_daemon_print(d);
			fail_msg("tarnd does not come up");
		}
		usleep(2000);
	}
	/* until it has seen the ends of the connections that tried */
	end_one_connection(d);
	for (int calm = 0; calm < 3; calm++) {
		fds = tn_test_fd_count(d->pid);
		usleep(5000);
		if (!sleeps(d->pid) || tn_test_fd_count(d->pid) != fds)
			calm = 0;
	}
}

/* The pid of a tarnd that is ready, as tarn-run's status file tells. */
static pid_t ready_pid(const struct tn_test_daemon *d)
{
	char path[200];
	int pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/status", d->dir);
	f = fopen(path, "re");
	if (f && fscanf(f, "ready pid %d", &pid) != 1)
		pid = 0;
	if (f)
		fclose(f);
	return pid;
}

void tn_test_daemon_await(struct tn_test_daemon *d)
{
	int64_t end = tn_test_now_ms() + 20000;
	pid_t pid;

	while (!(pid = ready_pid(d)) || pid == d->pid) {
		if (waitpid(d->supervisor, NULL, WNOHANG) == d->supervisor ||
		    tn_test_now_ms() > end) {
			tn_test_daemon_print(d);
			fail_msg("no tarnd gets ready");
		}
		usleep(1000);
	}
	d->pid = pid;
}

void tn_test_daemon_supervise(struct tn_test_daemon *d,
			      const char *const args[])
{
	struct launch l = { d, args };

	d->supervisor = tn_test_spawn(exec_supervisor, &l);
	setenv("TARN_SOCKET", d->socket, 1);
	tn_test_daemon_await(d);
}

void tn_test_daemon_crash(const struct tn_test_daemon *d)
{
	assert_int_equal(kill(d->pid, SIGKILL), 0);
}

int tn_test_daemon_run(struct tn_test_daemon *d, const char *const args[])
{
	struct launch l = { d, args };

	return tn_test_wait(tn_test_spawn(exec_daemon, &l));
}

static int end_daemon(struct tn_test_daemon *d, int sig)
{
	/* tarnd then dies with it, or is ended by it */
	pid_t pid = d->supervisor ? d->supervisor : d->pid;
	int status;

	/* not the other way round: it would undo the stop by which a leak
	 * checker, in the end of the process, looks at its threads */
	kill(pid, SIGCONT);
	kill(pid, sig);
	status = tn_test_wait(pid);
	/* of the command it ran; what tarnd's was is in the log, if not 0 */
	if (d->supervisor && status == 128 + SIGTERM)
		status = tn_test_daemon_said(d, "tarnd ended with status");
	d->pid = d->supervisor = 0;
	unsetenv("TARN_SOCKET");
	return status;
}

void tn_test_daemon_stop(struct tn_test_daemon *d)
{
	int status = end_daemon(d, SIGTERM);

	if (status)
		tn_test_daemon_print(d);
	assert_int_equal(status, 0);
	tn_test_rmtree(d->dir);
}

void tn_test_daemon_kill(struct tn_test_daemon *d)
{
	if (d->pid || d->supervisor)
		end_daemon(d, SIGKILL);
	tn_test_rmtree(d->dir);
}

bool tn_test_daemon_said(const struct tn_test_daemon *d, const char *text)
{
	char line[1024];
	bool found = false;
	FILE *f = fopen(d->log, "re");

	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, text);
	if (f)
		fclose(f);
	return found;
}
