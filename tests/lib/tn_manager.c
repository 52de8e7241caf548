/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_manager.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"

static int bound(int type, const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_true(strlen(path) < sizeof(sa.sun_path));
	strcpy(sa.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(chmod(path, 0666), 0);
	return fd;
}

/* A test looks at what the manager's thread has done so far without asking it
 * to wait; ThreadSanitizer is not to mind. */
__attribute__((visibility("default")))
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{ return "race:tn_manager_turn\n"; }


void tn_manager_init(struct tn_manager *m, unsigned max)
{
	memset(m, 0, sizeof(*m));
	tn_test_daemon_init(&m->d);
	m->max = max;
	snprintf(m->notify, sizeof(m->notify), "%s/notify", m->d.dir);
	m->notify_fd = bound(SOCK_DGRAM, m->notify);
	m->listen_fd = bound(SOCK_SEQPACKET, m->d.socket);
	assert_int_equal(listen(m->listen_fd, 4096), 0);
	m->stored = calloc(TN_STORED_MAX, sizeof(*m->stored));
	assert_non_null(m->stored);
	pthread_mutex_init(&m->lock, NULL);
}

void tn_manager_fini(struct tn_manager *m)
{
	if (m->d.pid)
		tn_manager_end(m, SIGKILL);
	if (m->running)
		tn_manager_rest(m);
	while (m->n_stored)
		tn_manager_drop(m, m->stored);
	free(m->stored);
	close(m->notify_fd);
	close(m->listen_fd);
	pthread_mutex_destroy(&m->lock);
	unsetenv("TARN_SOCKET");
	tn_test_rmtree(m->d.dir);
}

/* the store */

struct tn_stored *tn_manager_find(struct tn_manager *m, const char *prefix,
				  const struct tn_stored *after)
{
	struct tn_stored *s = after ? m->stored + (after - m->stored) + 1 :
			      m->stored;

	for (; s < m->stored + m->n_stored; s++)
		if (!strncmp(s->name, prefix, strlen(prefix)))
			return s;
	return NULL;
}

unsigned tn_manager_count(struct tn_manager *m, const char *prefix)
{
	unsigned n = 0;

	for (struct tn_stored *s = NULL; (s = tn_manager_find(m, prefix, s));)
		n++;
	return n;
}

void tn_manager_drop(struct tn_manager *m, struct tn_stored *s)
{
	close(s->fd);
	m->n_stored--;
	memmove(s, s + 1, (size_t)(m->stored + m->n_stored - s) * sizeof(*s));
}

void tn_manager_put(struct tn_manager *m, const char *name, int fd)
{
	struct tn_stored *s = &m->stored[m->n_stored];

	if (m->n_stored >= m->max || m->n_stored >= TN_STORED_MAX) {
		close(fd); /* without a word, as systemd */
		return;
	}
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->fd = fd;
	m->n_stored++;
}

static void remove_all(struct tn_manager *m, const char *name)
{
	for (unsigned i = m->n_stored; i > 0; i--)
		if (!strcmp(m->stored[i - 1].name, name))
			tn_manager_drop(m, &m->stored[i - 1]);
}

/* messages */

struct message {
	char text[1024];
	int fds[8];
	unsigned n_fds;
};

static bool receive(struct tn_manager *m, struct message *msg)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(msg->fds))];
	} control;
	struct iovec iov = { msg->text, sizeof(msg->text) - 1 };
	struct msghdr hdr = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	ssize_t n = recvmsg(m->notify_fd, &hdr, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c;

	if (n < 0)
		return false;
	msg->text[n] = '\0';
	msg->n_fds = 0;
	for (c = CMSG_FIRSTHDR(&hdr); c; c = CMSG_NXTHDR(&hdr, c)) {
		if (c->cmsg_type != SCM_RIGHTS)
			continue;
		msg->n_fds = (unsigned)((c->cmsg_len - CMSG_LEN(0)) /
					sizeof(int));
		memcpy(msg->fds, CMSG_DATA(c), msg->n_fds * sizeof(int));
	}
	return true;
}

static bool has_line(const struct message *msg, const char *line)
{
	const char *at = strstr(msg->text, line);
	size_t n = strlen(line);

	return at && (at == msg->text || at[-1] == '\n') &&
	       (at[n] == '\n' || !at[n]);
}

static void value_of(const struct message *msg, const char *key, char *ret,
		     size_t bytes)
{
	const char *at = strstr(msg->text, key);

	if (!at)
		return;
	at += strlen(key);
	snprintf(ret, bytes, "%.*s", (int)strcspn(at, "\n"), at);
}

static void act(struct tn_manager *m, struct message *msg)
{
	char name[64] = "stored";

	value_of(msg, "FDNAME=", name, sizeof(name));
	value_of(msg, "STATUS=", m->status, sizeof(m->status));
	m->n_ready += has_line(msg, "READY=1");
	m->n_barriers += has_line(msg, "BARRIER=1");
	if (has_line(msg, "FDSTORE=1")) {
		/* else a hang-up would have to take it out */
		assert_true(has_line(msg, "FDPOLL=0"));
		for (unsigned i = 0; i < msg->n_fds; i++)
			tn_manager_put(m, name, msg->fds[i]);
		return;
	}
	if (has_line(msg, "FDSTOREREMOVE=1"))
		remove_all(m, name);
	for (unsigned i = 0; i < msg->n_fds; i++)
		close(msg->fds[i]);
}

bool tn_manager_turn(struct tn_manager *m, int ms)
{
	struct pollfd pfd = { .fd = m->notify_fd, .events = POLLIN };
	struct message msg;
	bool heard = false;

	if (m->deaf) {
		usleep((useconds_t)ms * 1000);
		return false;
	}
	poll(&pfd, 1, ms);
	pthread_mutex_lock(&m->lock);
	while (receive(m, &msg)) {
		act(m, &msg);
		heard = true;
	}
	pthread_mutex_unlock(&m->lock);
	return heard;
}

static void *run(void *arg)
{
	struct tn_manager *m = arg;

	while (!__atomic_load_n(&m->stop, __ATOMIC_ACQUIRE))
		tn_manager_turn(m, 2);
	return NULL;
}

void tn_manager_run(struct tn_manager *m)
{
	m->stop = false;
	m->running = true;
	assert_int_equal(pthread_create(&m->thread, NULL, run, m), 0);
}

void tn_manager_rest(struct tn_manager *m)
{
	__atomic_store_n(&m->stop, true, __ATOMIC_RELEASE);
	pthread_join(m->thread, NULL);
	m->running = false;
}

/* tarnd */

/* As systemd does: sockets first, then the store, the last one in first. */
static void pass_fds(const struct tn_manager *m, char *names, size_t bytes)
{
	unsigned n = m->n_stored + 1;
	int *fds = calloc(n, sizeof(*fds));
	size_t len = (size_t)snprintf(names, bytes, "tarnd.socket");

	fds[0] = m->listen_fd;
	for (unsigned i = 1; i < n; i++) {
		const struct tn_stored *s = &m->stored[n - 1 - i];

		fds[i] = s->fd;
		len += (size_t)snprintf(names + len, bytes - len, ":%s",
					s->name);
	}
	/* out of the way of where they go */
	for (unsigned i = 0; i < n; i++) {
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, (int)n + 64);
		if (fds[i] < 0)
			_exit(119);
	}
	for (unsigned i = 0; i < n; i++)
		if (dup2(fds[i], 3 + (int)i) < 0)
			_exit(118);
	free(fds);
}

int tn_manager_exec(void *manager)
{
	struct tn_manager *m = manager;
	char pid[16], n[16], path[4096], *program = getenv("TARND");
	size_t bytes = (m->n_stored + 1ULL) * 72;
	char *names = malloc(bytes);
	int log = open(m->d.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
		       0644);

	dup2(log, 2);
	close(log);
	pass_fds(m, names, bytes);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	snprintf(n, sizeof(n), "%u", m->n_stored + 1);
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", n, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	setenv("NOTIFY_SOCKET", m->notify, 1);
	unsetenv("JOURNAL_STREAM");
	free(names);
	alarm(0);
	if (!program)
		program = (char *)tn_test_program("tarnd", path, sizeof(path));
	execl(program, "tarnd", "--verbose", "--pools", m->d.pools, "--config",
	      m->d.conf, (char *)NULL);
	return 127;
}

void tn_manager_start(struct tn_manager *m)
{
	setenv("TARN_SOCKET", m->d.socket, 1);
	pthread_mutex_lock(&m->lock);
	m->d.pid = tn_test_spawn(tn_manager_exec, m);
	pthread_mutex_unlock(&m->lock);
}

void tn_manager_up(struct tn_manager *m)
{
	unsigned before = m->n_ready;
	int64_t end = tn_test_now_ms() + 20000;

	tn_manager_start(m);
	while (__atomic_load_n(&m->n_ready, __ATOMIC_RELAXED) == before) {
		if (!m->running)
			tn_manager_turn(m, 2);
		else
			usleep(500);
		if (tn_test_now_ms() > end) {
			tn_test_daemon_print(&m->d);
			fail_msg("tarnd does not become ready");
		}
	}
}

void tn_manager_begin(struct tn_manager *m)
{
	tn_manager_init(m, TN_STORED_MAX);
	tn_manager_run(m);
	tn_manager_up(m);
}

int tn_manager_end(struct tn_manager *m, int sig)
{
	int status;

	kill(m->d.pid, sig);
	status = tn_test_wait(m->d.pid);
	m->d.pid = 0;
	while (!m->deaf && tn_manager_turn(m, 0))
		;
	return status;
}
