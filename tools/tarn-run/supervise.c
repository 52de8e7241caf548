/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/tarn-run/supervise.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/tarn-run/notify.h"

#define START_MS 90000  /* until it is ready; as systemd has it */
#define STOP_MS 90000   /* until it is, when it stops by itself; likewise */
#define PROVEN_MS 1000  /* ready for so long, it has started well; picked */
#define GRACE_MS 5000   /* from SIGTERM or SIGABRT to SIGKILL; picked */
#define DELAY_MS 10     /* before the second start that may fail; picked */
#define DELAY_MAX_MS 1000

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What those who watch from outside can read. */
static void show(const struct supervise *s)
{
	static const char *const states[] = {
		[SUPERVISE_NOTHING] = "nothing",
		[SUPERVISE_STARTING] = "starting",
		[SUPERVISE_RUNNING] = "ready",
		[SUPERVISE_STOPPING] = "stopping",
		[SUPERVISE_WAITING] = "waiting",
		[SUPERVISE_GONE] = "gone",
		[SUPERVISE_ENDING] = "ending",
	};

	place_write(s->place->status, "%s\npid %d\nstarts %u\nstored %zu\n%s\n",
		    states[s->state], (int)s->daemon.pid, s->n_starts,
		    s->store.n, s->status);
}

int supervise_open(struct supervise *s)
{
	/* twice: where a new daemon's are put in order, each moves once */
	rlim_t room = s->n_fds->rlim_max / 2;
	size_t max = s->options->store_max;
	int r;

	if (max + 64 > room)
		max = room > 64 ? room - 64 : 0;
	r = store_init(&s->store, max);
	if (r == 0)
		r = notify_open(s->place->notify);
	if (r < 0) {
		fprintf(stderr, "tarn-run: %s: %s\n", s->place->notify,
			strerror(-r));
		return r;
	}
	s->notify_fd = r;
	s->tarnd = s->options->tarnd ? strdup(s->options->tarnd) :
				       daemon_find();
	if (s->tarnd)
		return 0;
	fputs("tarn-run: no tarnd beside this program, in PATH or in sbin; "
	      "see --tarnd\n", stderr);
	return -ENOENT;
}

/* its command line */
static void arguments(const struct supervise *s, char **argv)
{
	const struct options *o = s->options;

	*argv++ = s->tarnd;
	*argv++ = (char *)"--socket";
	*argv++ = s->place->socket;
	*argv++ = (char *)"--pools";
	*argv++ = s->place->pools;
	*argv++ = (char *)"--config";
	*argv++ = s->place->config;
	if (o->verbose)
		*argv++ = (char *)"--verbose";
	for (size_t i = 0; i < o->n_arguments; i++)
		*argv++ = o->arguments[i];
	*argv = NULL;
}

/* The newest first, as systemd passes them. */
static void passed(const struct supervise *s, int *fds, char *names)
{
	names = stpcpy(names, "tarnd.socket");
	*fds++ = s->place->listen_fd;
	for (size_t i = s->store.n; i-- > 0; ) {
		*names++ = ':';
		names = stpcpy(names, s->store.entries[i].name);
		*fds++ = s->store.entries[i].fd;
	}
}

static int start(struct supervise *s)
{
	char *argv[8 + OPTIONS_ARGUMENTS_MAX + 1];
	struct spawn how = { .argv = argv, .mask = s->mask, .n_fds = s->n_fds };
	struct spawn_service v = {
		.fds = malloc((s->store.n + 1) * sizeof(int)),
		.n_fds = (unsigned)s->store.n + 1,
		.notify = s->place->notify,
		.watchdog_usec = s->options->watchdog_usec,
	};
	char *names = malloc(s->store.names_bytes + sizeof("tarnd.socket"));
	int r = -ENOMEM;

	if (v.fds && names) {
		arguments(s, argv);
		passed(s, v.fds, names);
		v.names = names;
		r = daemon_start(&s->daemon, &how, &v, s->options->verbose);
	}
	free(names);
	free(v.fds);
	if (r < 0) {
		fprintf(stderr, "tarn-run: %s: %s\n", s->tarnd, strerror(-r));
		return r;
	}
	s->state = SUPERVISE_STARTING;
	s->deadline_ms = now_ms() + START_MS;
	s->n_kills = 0;
	s->n_starts++;
	s->status[0] = '\0';
	place_write(s->place->pid, "%d\n", (int)s->daemon.pid);
	show(s);
	return 0;
}

int supervise_start(struct supervise *s)
{
	return start(s);
}

static void give_up(struct supervise *s)
{
	s->state = SUPERVISE_GONE;
	s->deadline_ms = 0;
	/* Nobody shall wait for an answer. */
	place_stop_listening(s->place);
	store_fini(&s->store);
	show(s);
}

/* what it tells */

static void fed(struct supervise *s)
{
	s->deadline_ms = 0;
	if (s->options->watchdog_usec)
		s->deadline_ms = now_ms() +
				 (int64_t)(s->options->watchdog_usec / 1000);
}

/* It does not get ready, does not feed the watchdog, or does not end. */
static void overdue(struct supervise *s)
{
	bool ending = s->n_kills || s->state == SUPERVISE_STOPPING;

	fprintf(stderr, "tarn-run: tarnd %s; killing it\n",
		ending ? "does not end" :
		s->state == SUPERVISE_STARTING ? "does not get ready" :
						 "has not fed the watchdog");
	daemon_signal(&s->daemon, ending ? SIGKILL : SIGABRT);
	s->n_kills++;
	s->deadline_ms = now_ms() + GRACE_MS;
}

static void put_by(struct supervise *s, struct notify_message *m)
{
	const char *name = m->fdname && store_name_ok(m->fdname) ? m->fdname :
								   "stored";

	for (size_t i = 0; i < m->n_fds; i++) {
		int r = store_add(&s->store, m->fds[i], name,
				  !(m->what & NOTIFY_NO_POLL));

		m->fds[i] = -1;
		if (r == -ENOSPC && !s->full)
			fprintf(stderr, "tarn-run: %zu descriptors are put "
				"by and no more can be\n", s->store.n);
		s->full = s->full || r == -ENOSPC;
	}
}

static void told(struct supervise *s, struct notify_message *m)
{
	if ((m->what & NOTIFY_READY) && s->state == SUPERVISE_STARTING) {
		s->state = SUPERVISE_RUNNING;
		s->was_ready = true;
		s->ready_ms = now_ms();
		fed(s);
	}
	/* Not when it was found wanting before. */
	if (s->state == SUPERVISE_RUNNING && !s->n_kills) {
		if (m->what & NOTIFY_WATCHDOG)
			fed(s);
		if (m->what & NOTIFY_TRIGGER)
			overdue(s);
	}
	if (s->state == SUPERVISE_RUNNING && (m->what & NOTIFY_STOPPING)) {
		s->state = SUPERVISE_STOPPING;
		s->deadline_ms = now_ms() + STOP_MS;
	}
	if (m->what & NOTIFY_REMOVE) {
		if (m->fdname)
			store_remove(&s->store, m->fdname);
	} else if (m->what & NOTIFY_STORE) {
		put_by(s, m);
	}
	if (m->status)
		snprintf(s->status, sizeof(s->status), "%s", m->status);
	if (m->status || (m->what & (NOTIFY_READY | NOTIFY_STOPPING)))
		show(s);
}

static void listen_to(struct supervise *s)
{
	struct notify_message m;

	while (notify_receive(s->notify_fd, s->daemon.pid, &m)) {
		told(s, &m);
		notify_done(&m); /* that is the answer to a barrier */
	}
	if (s->store.epoll_fd >= 0)
		store_drop_hung(&s->store);
	daemon_hear(&s->daemon);
}

/* its end */

/* It may have been killed by somebody; else it is not fit. */
static bool died_early(const struct supervise *s, bool killed)
{
	return s->state == SUPERVISE_STARTING ||
	       (s->state == SUPERVISE_RUNNING && !killed && !s->n_kills &&
		now_ms() - s->ready_ms < PROVEN_MS);
}

static int64_t delay(const struct supervise *s)
{
	int64_t ms = DELAY_MS;

	for (unsigned i = 1; i < s->n_failed && ms < DELAY_MAX_MS; i++)
		ms *= 4;
	return ms;
}

static void died(struct supervise *s, int status)
{
	bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	bool early = died_early(s, killed);

	s->n_failed = early ? s->n_failed + 1 : 0;
	if ((!s->was_ready && !killed) || !s->options->restarts ||
	    s->n_failed > s->options->restarts) {
		daemon_tell(&s->daemon, status, s->n_failed > 1 ?
			    " once more; giving up" : "", true);
		give_up(s);
		return;
	}
	daemon_tell(&s->daemon, status, "; starting it again", !killed);
	s->state = SUPERVISE_WAITING;
	s->deadline_ms = now_ms();
	if (early && !killed)
		s->deadline_ms += delay(s);
	show(s);
}

void supervise_reaped(struct supervise *s, pid_t pid, int status)
{
	if (pid != s->daemon.pid)
		return;
	listen_to(s); /* it sent before it died */
	s->daemon.pid = 0;
	died(s, status);
}

void supervise_turn(struct supervise *s)
{
	listen_to(s);
	if (!s->deadline_ms || now_ms() < s->deadline_ms)
		return;
	if (s->daemon.pid)
		overdue(s);
	else if (s->state == SUPERVISE_WAITING && start(s) < 0)
		give_up(s);
}

int supervise_pollfds(const struct supervise *s,
		      struct pollfd p[SUPERVISE_N_POLLFDS])
{
	const int fds[SUPERVISE_N_POLLFDS] = {
		s->notify_fd, s->store.epoll_fd, s->daemon.log_fd,
	};
	int64_t left = s->deadline_ms - now_ms();

	for (int i = 0; i < SUPERVISE_N_POLLFDS; i++)
		p[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
	if (!s->deadline_ms)
		return -1;
	return left < 0 ? 0 : (int)left;
}

/* Until @s's daemon has ended. Return: its status of waitpid(). */
static int await_end(struct supervise *s, int signal_fd, bool *ret_forced)
{
	int status;

	s->state = SUPERVISE_ENDING;
	s->deadline_ms = now_ms() + GRACE_MS;
	*ret_forced = false;
	while (waitpid(s->daemon.pid, &status, WNOHANG) == 0) {
		struct pollfd p[1 + SUPERVISE_N_POLLFDS] = {
			{ .fd = signal_fd, .events = POLLIN },
		};
		struct signalfd_siginfo info;

		if (now_ms() >= s->deadline_ms) {
			fputs("tarn-run: tarnd does not end; killing it\n",
			      stderr);
			kill(s->daemon.pid, SIGKILL);
			*ret_forced = true;
			s->deadline_ms += GRACE_MS;
		}
		poll(p, 1 + SUPERVISE_N_POLLFDS, supervise_pollfds(s, p + 1));
		if (p[0].revents && read(signal_fd, &info, sizeof(info)) < 0)
			continue;
		listen_to(s);
	}
	return status;
}

static void end(struct supervise *s, int signal_fd)
{
	bool forced, well;
	int status;

	daemon_signal(&s->daemon, SIGTERM);
	status = await_end(s, signal_fd, &forced);
	s->daemon.pid = 0;
	/* SIGTERM may come before it has got ready to be told so. */
	well = WIFSIGNALED(status) ? WTERMSIG(status) == SIGTERM :
				     !WEXITSTATUS(status);
	if (!well && !forced)
		daemon_tell(&s->daemon, status, "", true);
}

void supervise_close(struct supervise *s, int signal_fd)
{
	if (s->daemon.pid)
		end(s, signal_fd);
	daemon_fini(&s->daemon);
	store_fini(&s->store);
	if (s->notify_fd >= 0)
		close(s->notify_fd);
	s->notify_fd = -1;
	free(s->tarnd);
	s->tarnd = NULL;
}
