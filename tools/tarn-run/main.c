/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tarn-run: a command, and a tarnd of its own for as long as it runs.
 *
 * One loop waits for everything: signals come through a descriptor, children
 * are reaped there, and what a child's end means is decided there. The
 * listening socket is ours and stays open while tarnd is started again, so
 * that nobody finds it missing. When tarnd is gone for good the socket is
 * closed, so that nobody waits for an answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tarn/tarn.h>

#include "tools/tarn-run/options.h"
#include "tools/tarn-run/place.h"
#include "tools/tarn-run/spawn.h"
#include "tools/tarn-run/supervise.h"

/* As env, timeout and shells have it. */
#define STATUS_OURS 125
#define STATUS_CANNOT_EXECUTE 126
#define STATUS_NOT_FOUND 127

struct run {
	struct options options;
	struct place place;
	struct supervise tarnd;
	sigset_t mask;          /* as it was when we were started */
	struct rlimit n_fds;    /* likewise */
	int signal_fd;
};

static int signals_take(struct run *run)
{
	static const int ours[] = {
		SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT,
	};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		sigaddset(&set, ours[i]);
	/* A parent that ignores SIGCHLD would have our children reaped. */
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_BLOCK, &set, &run->mask);
	run->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return run->signal_fd < 0 ? -errno : 0;
}

/* The descriptors that tarnd puts by are ours, too. */
static void raise_fd_limit(struct run *run)
{
	struct rlimit all;

	getrlimit(RLIMIT_NOFILE, &run->n_fds);
	all = run->n_fds;
	all.rlim_cur = all.rlim_max;
	setrlimit(RLIMIT_NOFILE, &all);
}

/* Whoever has ended; true if @pid is among them. */
static bool reap(struct run *run, pid_t pid, int *ret_status)
{
	bool found = false;
	int status;
	pid_t p;

	while ((p = waitpid(-1, &status, WNOHANG)) > 0) {
		supervise_reaped(&run->tarnd, p, status);
		if (p == pid) {
			*ret_status = status;
			found = true;
		}
	}
	return found;
}

static bool gone(const struct run *run)
{
	return run->tarnd.state == SUPERVISE_GONE;
}

/* Until @pid has ended, or tarnd if @needs_tarnd: then @pid is ended too. */
static int wait_for(struct run *run, pid_t pid, bool needs_tarnd)
{
	struct signalfd_siginfo info;
	int status = 0;

	for (;;) {
		struct pollfd p[1 + SUPERVISE_N_POLLFDS] = {
			{ .fd = run->signal_fd, .events = POLLIN },
		};
		int ms = supervise_pollfds(&run->tarnd, p + 1);

		poll(p, 1 + SUPERVISE_N_POLLFDS, ms);
		supervise_turn(&run->tarnd);
		if (read(run->signal_fd, &info, sizeof(info)) != sizeof(info))
			continue;
		/* A key pressed reaches the whole foreground group, which the
		 * command is in; once is enough. */
		if (info.ssi_signo != SIGCHLD && info.ssi_code != SI_KERNEL)
			kill(pid, (int)info.ssi_signo);
		if (info.ssi_signo == SIGCHLD && reap(run, pid, &status))
			return status;
		if (needs_tarnd && gone(run))
			kill(pid, SIGKILL);
	}
}

static int status_of(int wait_status)
{
	if (WIFSIGNALED(wait_status))
		return 128 + WTERMSIG(wait_status);
	return WEXITSTATUS(wait_status);
}

static int make_pools(const struct run *run)
{
	struct tarn *t;
	int r = tarn_connect(run->place.socket, &t);

	if (r < 0) {
		fprintf(stderr, "tarn-run: tarnd does not answer: %s\n",
			strerror(-r));
		return STATUS_OURS;
	}
	for (size_t i = 0; i < run->options.n_pools && !r; i++) {
		const struct options_pool *p = &run->options.pools[i];

		r = tarn_pool_create(t, p->name, &p->opts);
		if (r < 0)
			fprintf(stderr, "tarn-run: cannot make pool '%s': %s\n",
				p->name, strerror(-r));
	}
	tarn_disconnect(t);
	return r < 0 ? STATUS_OURS : 0;
}

/* In a process of its own: we stay where signals and a tarnd that failed to
 * start are seen at once. */
static int run_make_pools(struct run *run)
{
	pid_t pid;

	if (!run->options.n_pools)
		return 0;
	pid = fork();
	if (pid < 0) {
		perror("tarn-run: fork");
		return STATUS_OURS;
	}
	if (!pid) {
		sigprocmask(SIG_SETMASK, &run->mask, NULL);
		place_stop_listening(&run->place);
		_exit(make_pools(run));
	}
	pid = wait_for(run, pid, true);
	return gone(run) ? STATUS_OURS : status_of(pid);
}

static int run_command(struct run *run)
{
	struct spawn s = { .argv = run->options.command, .mask = &run->mask,
			   .n_fds = &run->n_fds, .socket = run->place.socket };
	pid_t pid = spawn_start(&s);
	int r;

	if (pid < 0) {
		fprintf(stderr, "tarn-run: %s: %s\n", s.argv[0],
			strerror(-pid));
		return pid == -ENOENT ? STATUS_NOT_FOUND :
					STATUS_CANNOT_EXECUTE;
	}
	r = status_of(wait_for(run, pid, false));
	return !r && gone(run) && run->options.restarts ? STATUS_OURS : r;
}

static int run_all(struct run *run)
{
	struct supervise *s = &run->tarnd;
	int r;

	s->options = &run->options;
	s->place = &run->place;
	s->mask = &run->mask;
	s->n_fds = &run->n_fds;
	if (supervise_open(s) < 0 || supervise_start(s) < 0)
		return STATUS_OURS;
	r = run_make_pools(run);
	return r ? r : run_command(run);
}

int main(int argc, char *argv[])
{
	struct run run = { .place = PLACE_NONE, .tarnd = SUPERVISE_NONE };
	int r = options_parse(&run.options, argc, argv);

	if (r)
		return r < 0 ? STATUS_OURS : 0;
	/* Descriptors 0 to 2 must not become something of ours. */
	do
		r = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (r >= 0 && r <= STDERR_FILENO);
	if (r >= 0)
		close(r);

	raise_fd_limit(&run);
	r = signals_take(&run);
	if (r < 0)
		fprintf(stderr, "tarn-run: signalfd: %s\n", strerror(-r));
	else
		r = place_open(&run.place, run.options.dir);
	r = r < 0 ? STATUS_OURS : run_all(&run);
	supervise_close(&run.tarnd, run.signal_fd);
	place_close(&run.place);
	return r;
}
