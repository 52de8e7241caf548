/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each request that makes or ends something, and tarnd killed at each of the
 * system calls that it makes to serve it: before the n'th, and after it, for
 * n from 1 until the request is answered first. The next tarnd is then
 * started, and the request must have succeeded, once.
 */
#include "tests/lib/tn_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bits.h"
#include "client/conn.h"
#include "tarn/admin.h"
#include "tests/lib/tn_manager.h"
#include "tests/lib/tn_trace.h"

#define CALLS_MAX 400 /* of one request; many more than there are */

struct request {
	const char *name;
	void (*prepare)(void);
	int (*make)(void);   /* in a thread of its own; 0 is wanted */
	void (*check)(void); /* was it done, once? And undo it */
};

static struct tn_manager m;
static struct tarn *t;           /* looks, and cleans up */
static struct tn_conn *conn;     /* asks */
static struct tn_open_reply opened;
static int fds[3];
static int fd_of_t;
static const struct request *now;
static int result;
static bool answered;

static unsigned n_stored(const char *prefix)
{
	unsigned n;

	pthread_mutex_lock(&m.lock);
	n = tn_manager_count(&m, prefix);
	pthread_mutex_unlock(&m.lock);
	return n;
}

static unsigned n_clients(void)
{
	struct tarn_pool_info info;

	assert_int_equal(tarn_pool_stat(t, "p", &info), 0);
	return info.n_clients;
}

static void begin(void)
{
	assert_int_equal(tn_conn_open(&conn, NULL), 0);
}

static void end(void)
{
	tn_conn_unref(conn);
	conn = NULL;
	tn_test_eventually(n_stored("t1s") == 2 && n_stored("t1c") == 1);
}

/* HELLO */

static int make_hello(void)
{
	return tn_conn_open(&conn, NULL);
}

static void check_hello(void)
{
	tn_test_eventually(n_stored("t1c") == 2);
	assert_int_equal(n_stored("t1s"), 4);
	assert_int_equal(tn_conn_call(conn, TN_MSG_PING, NULL, 0, NULL, NULL,
				      NULL, NULL), 0);
	end();
}

/* CREATE, DESTROY */

static int make_create(void)
{
	struct tn_create create = {
		.name = "x", .bytes = 1 << 20, .kind = TN_KIND_SLAB,
		.policy = TN_FIRST_FIT, .gid = UINT32_MAX,
	};

	return tn_conn_call(conn, TN_MSG_CREATE, &create, sizeof(create), NULL,
			    NULL, NULL, NULL);
}

static void check_create(void)
{
	assert_int_equal(n_stored("t1p"), 6);
	assert_int_equal(tarn_pool_destroy(t, "x"), 0);
	tn_test_eventually(n_stored("t1p") == 3);
	end();
}

static void prepare_destroy(void)
{
	begin();
	assert_int_equal(make_create(), 0);
}

static int make_destroy(void)
{
	struct tn_by_name name = { .name = "x" };

	return tn_conn_call(conn, TN_MSG_DESTROY, &name, sizeof(name), NULL,
			    NULL, NULL, NULL);
}

static void check_destroy(void)
{
	tn_test_eventually(n_stored("t1p") == 3);
	assert_int_equal(tarn_pool_destroy(t, "x"), -ENOENT);
	end();
}

/* OPEN, LEAVE */

static int make_open(void)
{
	return tn_conn_attach(conn, "p", TN_PRODUCER, &opened, fds);
}

static void close_files(void)
{
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void check_open(void)
{
	assert_int_equal(n_clients(), 1);
	assert_int_equal(n_stored("t1a"), 1);
	close_files();
	assert_int_equal(tn_conn_leave(conn, opened.attach), 0);
	assert_int_equal(n_clients(), 0);
	end();
}

static void prepare_leave(void)
{
	begin();
	assert_int_equal(make_open(), 0);
	close_files();
}

static int make_leave(void)
{
	return tn_conn_leave(conn, opened.attach);
}

static void check_leave(void)
{
	assert_int_equal(n_clients(), 0);
	tn_test_eventually(n_stored("t1a") == 0);
	end();
}

/* HELLO that goes on with a session, and a PING */

/* The client's end of a connection, but not @not. (The other ends are here,
 * too, in the store, but these are connected to nobody with a name.) */
static int connection_fd(int not)
{
	struct sockaddr_un sa;

	for (int fd = 3; fd < 256; fd++) {
		socklen_t bytes = sizeof(sa);

		if (fd != not &&
		    !getpeername(fd, (struct sockaddr *)&sa, &bytes) &&
		    bytes > sizeof(sa.sun_family))
			return fd;
	}
	fail_msg("there is no connection");
	return -1;
}

/* As closefrom() would; the library notices by the socket's cookie. */
static void lose_connection(void)
{
	close(connection_fd(fd_of_t));
}

static void prepare_rejoin(void)
{
	prepare_leave();
	lose_connection();
	tn_test_eventually(n_stored("t1c") == 1);
}

static int make_rejoin(void)
{
	return tn_conn_call(conn, TN_MSG_PING, NULL, 0, NULL, NULL, NULL,
			    NULL);
}

static void check_rejoin(void)
{
	assert_int_equal(n_stored("t1c"), 2);
	assert_int_equal(n_clients(), 1);
	assert_int_equal(tn_conn_leave(conn, opened.attach), 0);
	end();
}

static const struct request requests[] = {
	{ "HELLO", NULL, make_hello, check_hello },
	{ "CREATE", begin, make_create, check_create },
	{ "DESTROY", prepare_destroy, make_destroy, check_destroy },
	{ "OPEN", begin, make_open, check_open },
	{ "LEAVE", prepare_leave, make_leave, check_leave },
	{ "HELLO again", prepare_rejoin, make_rejoin, check_rejoin },
};

/* stopping tarnd */

static void *make(void *arg)
{
	(void)arg;
	result = now->make();
	__atomic_store_n(&answered, true, __ATOMIC_RELEASE);
	return NULL;
}

/* All its threads, on their way from call to call. */
static void seize(pid_t pid)
{
	char path[64];
	struct dirent *e;
	int status;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	assert_non_null(dir);
	while ((e = readdir(dir))) {
		pid_t tid = (pid_t)atoi(e->d_name);

		if (tid <= 0)
			continue;
		assert_int_equal(ptrace(PTRACE_SEIZE, tid, NULL,
					PTRACE_O_TRACESYSGOOD), 0);
		assert_int_equal(ptrace(PTRACE_INTERRUPT, tid, NULL, NULL), 0);
		assert_int_equal(waitpid(tid, &status, __WALL), tid);
		assert_int_equal(ptrace(PTRACE_SYSCALL, tid, NULL, NULL), 0);
	}
	closedir(dir);
}

/* Return: did it make as many, before the request was answered? */
static bool let_go_on(unsigned n)
{
	unsigned calls = 0;
	int status;
	pid_t tid;

	while (calls < n && !__atomic_load_n(&answered, __ATOMIC_ACQUIRE)) {
		tid = waitpid(-1, &status, __WALL | WNOHANG);
		if (tid <= 0) {
			usleep(20);
			continue;
		}
		assert_true(WIFSTOPPED(status));
		calls += WSTOPSIG(status) == (SIGTRAP | 0x80);
		if (calls < n)
			ptrace(PTRACE_SYSCALL, tid, NULL, NULL);
	}
	return calls == n;
}

static void kill_traced(void)
{
	int status;

	kill(m.d.pid, SIGKILL);
	while (waitpid(-1, &status, __WALL) != m.d.pid || WIFSTOPPED(status))
		;
	m.d.pid = 0;
	while (tn_manager_turn(&m, 0))
		; /* what it had said is heard before the next begins */
}

/* Return: is there an n'th call? */
static bool kill_at(unsigned n)
{
	pthread_t thread;
	bool more;

	if (now->prepare)
		now->prepare();
	answered = false;
	seize(m.d.pid);
	assert_int_equal(pthread_create(&thread, NULL, make, NULL), 0);
	more = let_go_on(n);
	kill_traced();
	tn_manager_up(&m);
	pthread_join(thread, NULL);
	if (result)
		fail_msg("%s, call %u: %s", now->name, n, strerror(-result));
	now->check();
	return more;
}

static void each_counts_once(void **state)
{
	const char *why = tn_trace_impossible();

	(void)state;
	if (why) {
		print_message("%s\n", why);
		skip();
	}
	tn_manager_begin(&m);
	assert_int_equal(tarn_connect(NULL, &t), 0);
	fd_of_t = connection_fd(-1);
	assert_int_equal(tarn_pool_create(t, "p", TARN_POOL_OPTS(
		.bytes = 1 << 20)), 0);
	for (size_t i = 0; i < TN_ARRAY_LEN(requests); i++) {
		unsigned n = 1;

		now = &requests[i];
		alarm(TN_TEST_SECONDS);
		while (n < CALLS_MAX && kill_at(n))
			n++;
		assert_true(n > 5 && n < CALLS_MAX);
		print_message("# %-12s killed at each of %u boundaries of "
			      "calls, done once\n", now->name, n - 1);
	}
	tarn_disconnect(t);
	tn_manager_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(each_counts_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
