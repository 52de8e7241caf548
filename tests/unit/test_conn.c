/* SPDX-License-Identifier: BSD-2-Clause */
/* libtarn's end of a connection, against a tarnd and against impostors. */
#include "client/conn.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_test.h"
#include "tarn/admin.h"

static struct tn_test_daemon d;

static int setup(void **state)
{
	tn_test_setup(state);
	tn_test_daemon_init(&d);
	tn_test_daemon_start(&d, NULL);
	return 0;
}

static int teardown(void **state)
{
	tn_test_daemon_stop(&d);
	return tn_test_teardown(state);
}

static int ping(struct tn_conn *conn)
{
	return tn_conn_call(conn, TN_MSG_PING, NULL, 0, NULL, NULL, NULL, NULL);
}

static void without_a_daemon_it_fails_at_once(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char longer[200], stale[160];
	int64_t begin = tn_test_now_ms();
	struct tn_conn *conn = NULL;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(tn_conn_open(&conn, "/nonexistent/sock"), -ENOENT);
	snprintf(stale, sizeof(stale), "%s/stale", d.dir);
	strcpy(sa.sun_path, stale);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(fd);
	assert_int_equal(tn_conn_open(&conn, stale), -ECONNREFUSED);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	assert_int_equal(tn_conn_open(&conn, longer), -ENAMETOOLONG);
	assert_null(conn);
	assert_in_range(tn_test_now_ms() - begin, 0, 1000);
}

static void the_path_comes_from_the_environment(void **state)
{
	char run[140], sub[160], path[180];
	struct tn_conn *conn;

	(void)state;
	assert_int_equal(tn_conn_open(&conn, NULL), 0); /* TARN_SOCKET */
	tn_conn_unref(conn);
	unsetenv("TARN_SOCKET");
	snprintf(run, sizeof(run), "%s/run", d.dir);
	snprintf(sub, sizeof(sub), "%s/tarn", run);
	snprintf(path, sizeof(path), "%s/tarn.sock", sub);
	assert_int_equal(mkdir(run, 0700) | mkdir(sub, 0700), 0);
	assert_int_equal(symlink(d.socket, path), 0);
	setenv("XDG_RUNTIME_DIR", run, 1);
	assert_int_equal(tn_conn_open(&conn, NULL), 0);
	tn_conn_unref(conn);
	unsetenv("XDG_RUNTIME_DIR");
}

static void a_pool_keeps_the_connection(void **state)
{
	struct tn_conn *conn, *kept;

	(void)state;
	assert_int_equal(tn_conn_open(&conn, d.socket), 0);
	kept = tn_conn_ref(conn);
	tn_conn_unref(conn);
	assert_int_equal(ping(kept), 0);
	tn_conn_unref(kept);
	tn_conn_unref(NULL);
}

static void attaching_brings_three_files(void **state)
{
	struct tn_open_reply reply;
	struct tn_conn *conn;
	struct tarn *t;
	int fds[3];

	(void)state;
	assert_int_equal(tarn_connect(d.socket, &t), 0);
	conn = tn_conn_of(t);
	assert_int_equal(tarn_pool_create(t, "p", TARN_POOL_OPTS(
		.bytes = 1 << 20)), 0);
	assert_int_equal(tn_conn_attach(conn, "p", TN_PRODUCER, &reply, fds),
			 0);
	assert_int_equal(reply.data_bytes, 1 << 20);
	assert_in_range(reply.client, 1, 8191);
	for (int i = 0; i < 3; i++)
		assert_int_equal(close(fds[i]), 0);
	assert_int_equal(tn_conn_leave(conn, reply.attach), 0);
	assert_int_equal(tn_conn_leave(conn, reply.attach), -ENOENT);
	assert_int_equal(tn_conn_attach(conn, "q", TN_PRODUCER, &reply, fds),
			 -ENOENT);
	tarn_disconnect(t);
}

static int use_in_child(void *arg)
{
	struct tn_conn *conn = arg;
	int r = ping(conn);

	tn_conn_unref(conn);
	return r == -ECHILD ? 0 : 1;
}

static void a_forked_child_does_not_speak_on_it(void **state)
{
	struct tn_conn *conn;

	(void)state;
	assert_int_equal(tn_conn_open(&conn, d.socket), 0);
	assert_int_equal(tn_test_wait(tn_test_spawn(use_in_child, conn)), 0);
	assert_int_equal(ping(conn), 0);
	tn_conn_unref(conn);
}

static void *ping_often(void *arg)
{
	for (int i = 0; i < 300; i++)
		if (ping(arg))
			return arg;
	return NULL;
}

static void threads_take_turns(void **state)
{
	struct tn_conn *conn;
	pthread_t threads[4];
	void *failed;

	(void)state;
	assert_int_equal(tn_conn_open(&conn, d.socket), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ping_often,
						conn), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	tn_conn_unref(conn);
}

static void a_daemon_that_is_stopped_is_given_up(void **state)
{
	struct tn_conn *conn;
	int64_t begin;

	(void)state;
	assert_int_equal(tn_conn_open(&conn, d.socket), 0);
	kill(d.pid, SIGSTOP);
	begin = tn_test_now_ms();
	assert_int_equal(ping(conn), -ETIMEDOUT);
	assert_in_range(tn_test_now_ms() - begin, 4900, 6000);
	/* the next call connects, into the backlog, and waits in vain */
	begin = tn_test_now_ms();
	assert_int_equal(ping(conn), -ETIMEDOUT);
	assert_in_range(tn_test_now_ms() - begin, 4900, 6000);
	kill(d.pid, SIGCONT);
	assert_int_equal(ping(conn), 0);
	tn_conn_unref(conn);
}

static void a_daemon_that_dies_is_noticed(void **state)
{
	struct tn_conn *conn;

	(void)state;
	assert_int_equal(tn_conn_open(&conn, d.socket), 0);
	kill(d.pid, SIGKILL);
	tn_test_wait(d.pid);
	assert_int_equal(ping(conn), -ECONNRESET);
	assert_int_equal(ping(conn), -ECONNRESET);
	tn_conn_unref(conn);
	unlink(d.socket);
	tn_test_daemon_start(&d, NULL);
}

static void without_descriptors_it_is_not_attached(void **state)
{
	struct rlimit before, low;
	struct tn_open_reply reply;
	struct tarn_pool_info info;
	struct tarn *t;
	int fds[3];

	(void)state;
	assert_int_equal(tarn_connect(d.socket, &t), 0);
	assert_int_equal(tarn_pool_create(t, "p", TARN_POOL_OPTS(
		.bytes = 1 << 20)), 0);
	getrlimit(RLIMIT_NOFILE, &before);
	low = before;
	low.rlim_cur = (rlim_t)dup(0); /* the lowest that is free */
	close((int)low.rlim_cur);
	low.rlim_cur += 1;
	setrlimit(RLIMIT_NOFILE, &low);
	assert_int_equal(tn_conn_attach(tn_conn_of(t), "p", TN_PRODUCER, &reply,
					fds), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(tarn_pool_stat(t, "p", &info), 0);
	assert_int_equal(info.n_clients, 0);
	tarn_disconnect(t);
}

static void options_may_be_of_another_version(void **state)
{
	struct { struct tarn_pool_opts now; uint64_t later; } newer = {
		.now = { .sz = sizeof(newer), .bytes = 1 << 20, .gid = ~0U },
	};
	struct tarn *t;

	(void)state;
	assert_int_equal(tarn_connect(d.socket, &t), 0);
	assert_int_equal(tarn_pool_create(t, "new", &newer.now), 0);
	newer.later = 1;
	assert_int_equal(tarn_pool_create(t, "new2", &newer.now), -E2BIG);
	newer.now.sz = 16; /* .bytes was all there was */
	assert_int_equal(tarn_pool_create(t, "old", &newer.now), 0);
	newer.now.sz = 8;
	assert_int_equal(tarn_pool_create(t, "older", &newer.now), -EINVAL);
	tarn_disconnect(t);
}

static void bad_names_and_sizes_are_told_from_missing_pools(void **state)
{
	struct tarn_pool_info info, *list = NULL;
	struct tarn *t;

	(void)state;
	assert_int_equal(tarn_connect(d.socket, &t), 0);
	assert_int_equal(tarn_pool_create(t, "a/b", TARN_POOL_OPTS(
		.bytes = 1 << 20)), -EINVAL);
	assert_int_equal(tarn_pool_create(t, "p", TARN_POOL_OPTS(
		.bytes = 4096)), -EINVAL);
	assert_int_equal(tarn_pool_create(t, "p", TARN_POOL_OPTS(
		.bytes = 1 << 20, .kind = (enum tarn_kind)9)), -EINVAL);
	assert_int_equal(tarn_pool_stat(t, "a/b", &info), -ENOENT);
	assert_int_equal(tarn_pool_destroy(t, ""), -ENOENT);
	assert_int_equal(tarn_pool_list(t, &list), 0);
	assert_null(list);
	assert_int_equal(tarn_ping(t), 0);
	tarn_disconnect(t);
}

/* impostors */

struct impostor { int listener; const void *reply; size_t bytes; };

static int listen_at(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	unlink(sa->sun_path);
	assert_int_equal(bind(fd, (const struct sockaddr *)sa, sizeof(*sa)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static int answer_wrongly(void *arg)
{
	const struct impostor *im = arg;
	int sock = accept(im->listener, NULL, NULL);
	struct tn_packet p;

	if (!tn_raw_recv(sock, &p))
		return 1;
	tn_raw_send(sock, im->reply, im->bytes);
	tn_raw_recv(sock, &p);
	return 0;
}

static void a_reply_that_is_none_ends_the_connection(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct tn_packet p;
	struct tn_conn *conn = NULL;

	(void)state;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%.90s/impostor", d.dir);
	for (int i = 0; i < 5; i++) {
		struct impostor im = { .reply = p.data };
		pid_t pid;

		tn_raw_request(&p, TN_MSG_HELLO, 0, NULL, 0);
		im.bytes = p.bytes; /* no body, though it says success */
		if (i == 1)
			im.bytes = 3;
		else if (i == 2)
			p.data[0] ^= 1;
		else if (i == 3)
			tn_raw_request(&p, TN_MSG_HELLO, 99, NULL, 0);
		else if (i == 4)
			tn_raw_request(&p, TN_MSG_PING, 0, NULL, 0);
		im.listener = listen_at(&sa);
		pid = tn_test_spawn(answer_wrongly, &im);
		assert_int_equal(tn_conn_open(&conn, sa.sun_path), -ECONNRESET);
		assert_null(conn);
		assert_int_equal(tn_test_wait(pid), 0);
		close(im.listener);
	}
}

/* Of the version before MOVE. Return: 0: it was asked for nothing else. */
static int be_older(void *arg)
{
	const struct impostor *im = arg;
	int sock = accept(im->listener, NULL, NULL);
	struct tn_hello_reply reply = {
		.version = 1, .layout_major = TN_LAYOUT_MAJOR,
	};
	struct tn_packet p;

	if (!tn_raw_recv(sock, &p))
		return 1;
	tn_raw_request(&p, TN_MSG_HELLO, 0, &reply, sizeof(reply));
	tn_raw_send(sock, p.data, p.bytes);
	return tn_raw_recv(sock, &p) ? 2 : 0;
}

static void an_older_tarnd_is_not_asked_to_move(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct tn_conn *conn = NULL;
	struct impostor im;
	pid_t pid;

	(void)state;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%.90s/older", d.dir);
	im.listener = listen_at(&sa);
	pid = tn_test_spawn(be_older, &im);
	assert_int_equal(tn_conn_open(&conn, sa.sun_path), 0);
	assert_int_equal(tn_conn_move(conn, 1, TN_HANDLE_REF, 0,
				      tn_conn_deadline()), -ENOSYS);
	tn_conn_unref(conn);
	assert_int_equal(tn_test_wait(pid), 0);
	close(im.listener);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(without_a_daemon_it_fails_at_once),
		TEST(the_path_comes_from_the_environment),
		TEST(a_pool_keeps_the_connection),
		TEST(attaching_brings_three_files),
		TEST(a_forked_child_does_not_speak_on_it),
		TEST(threads_take_turns),
		TEST(a_daemon_that_is_stopped_is_given_up),
		TEST(a_daemon_that_dies_is_noticed),
		TEST(without_descriptors_it_is_not_attached),
		TEST(options_may_be_of_another_version),
		TEST(bad_names_and_sizes_are_told_from_missing_pools),
		TEST(a_reply_that_is_none_ends_the_connection),
		TEST(an_older_tarnd_is_not_asked_to_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
