/* SPDX-License-Identifier: BSD-2-Clause */
/* What a call does when the connection is gone, or goes in its middle. Against
 * a tarnd, and against impostors that hang up at a word. */
#include "client/conn.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/link.h"
#include "pool/lane.h"
#include "pool/pool.h"
#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_test.h"

static struct tn_test_daemon d;
static struct tn_conn *conn;

static int setup(void **state)
{
	tn_test_setup(state);
	tn_test_daemon_init(&d);
	tn_test_daemon_start(&d, NULL);
	return tn_conn_open(&conn, d.socket);
}

static int teardown(void **state)
{
	tn_conn_unref(conn);
	tn_test_daemon_stop(&d);
	return tn_test_teardown(state);
}

static int ping(struct tn_conn *c)
{
	return tn_conn_call(c, TN_MSG_PING, NULL, 0, NULL, NULL, NULL, NULL);
}

static int create(struct tn_conn *c, const char *name)
{
	struct tn_create req = {
		.bytes = 1 << 20, .kind = TN_KIND_SLAB,
		.policy = TN_FIRST_FIT, .gid = UINT32_MAX,
	};

	strncpy(req.name, name, sizeof(req.name) - 1);
	return tn_conn_call(c, TN_MSG_CREATE, &req, sizeof(req), NULL, NULL,
			    NULL, NULL);
}

static unsigned n_clients(const char *name)
{
	int sock = tn_raw_hello(d.socket);
	struct tn_info info;

	assert_int_equal(tn_raw_stat(sock, name, &info), 0);
	close(sock);
	return info.n_clients;
}

static uint32_t attach(struct tn_conn *c, const char *name)
{
	struct tn_open_reply reply;
	int fds[3];

	assert_int_equal(tn_conn_attach(c, name, TN_PRODUCER, &reply, fds), 0);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	return reply.attach;
}

/* The connection's socket, which is the last of its kind that was made. */
static int socket_of_conn(void)
{
	int ret = -1, type;
	socklen_t bytes = sizeof(type);

	for (int fd = 3; fd < 64; fd++)
		if (!getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) &&
		    type == SOCK_SEQPACKET)
			ret = fd;
	assert_true(ret >= 0);
	return ret;
}

static void a_lost_connection_is_made_anew(void **state)
{
	uint32_t first, second;

	(void)state;
	assert_int_equal(create(conn, "p"), 0);
	first = attach(conn, "p");
	for (int i = 0; i < 10; i++) {
		/* closed behind its back, or shut down */
		if (i % 2)
			close(socket_of_conn());
		else
			shutdown(socket_of_conn(), SHUT_RDWR);
		assert_int_equal(ping(conn), 0);
		assert_int_equal(n_clients("p"), 1);
	}
	shutdown(socket_of_conn(), SHUT_RDWR);
	assert_int_equal(create(conn, "q"), 0); /* nothing of it was sent */
	second = attach(conn, "q");
	assert_true(second > first);
	shutdown(socket_of_conn(), SHUT_RDWR);
	assert_int_equal(tn_conn_leave(conn, first), 0);
	assert_int_equal(n_clients("p"), 0);
	assert_int_equal(n_clients("q"), 1);
	assert_int_equal(tn_conn_leave(conn, first), -ENOENT);
	assert_int_equal(tn_conn_leave(conn, second), 0);
}

static void what_a_lost_daemon_gave_is_not_the_next_ones(void **state)
{
	uint32_t old, now;

	(void)state;
	assert_int_equal(create(conn, "p"), 0);
	old = attach(conn, "p");
	kill(d.pid, SIGKILL);
	tn_test_wait(d.pid);
	assert_int_equal(ping(conn), -ECONNRESET);
	tn_test_daemon_start(&d, NULL);
	assert_int_equal(create(conn, "p"), 0);
	now = attach(conn, "p");
	assert_int_not_equal(old, now);
	assert_int_equal(tn_conn_leave(conn, old), -ENOENT);
	assert_int_equal(n_clients("p"), 1);
	assert_int_equal(tn_conn_leave(conn, now), 0);
	assert_int_equal(n_clients("p"), 0);
}

static int fork_its_own(void *arg)
{
	struct tn_conn *mine, *old = arg;
	int fds = tn_test_fd_count(0);
	uint32_t number;

	if (tn_conn_fork(old, &mine))
		return 1;
	if (tn_test_fd_count(0) != fds) /* one closed, one made */
		return 2;
	if (ping(mine) || ping(old) != -ECHILD)
		return 3;
	number = attach(mine, "p");
	if (n_clients("p") != 2 || tn_conn_leave(mine, number))
		return 4;
	tn_conn_unref(old);
	if (ping(mine))
		return 5;
	attach(mine, "p");
	return 0;
}

static void a_child_has_a_connection_of_its_own(void **state)
{
	struct tn_conn *none = NULL;
	uint32_t number;

	(void)state;
	assert_int_equal(create(conn, "p"), 0);
	number = attach(conn, "p");
	assert_int_equal(tn_conn_fork(conn, &none), -EINVAL);
	assert_null(none);
	assert_int_equal(tn_test_wait(tn_test_spawn(fork_its_own, conn)), 0);
	assert_int_equal(ping(conn), 0);
	tn_test_eventually(n_clients("p") == 1);
	assert_int_equal(tn_conn_leave(conn, number), 0);
}

static void *ping_once(void *arg)
{
	int64_t begin = tn_test_now_ms(), *took = arg;

	if (ping(conn) == -ETIMEDOUT)
		*took = tn_test_now_ms() - begin;
	return NULL;
}

static void who_waits_for_others_waits_no_longer(void **state)
{
	int64_t took[4] = { 0 };
	pthread_t threads[4];

	(void)state;
	kill(d.pid, SIGSTOP);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ping_once,
						&took[i]), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 4; i++)
		assert_in_range(took[i], 4900, 6000);
	kill(d.pid, SIGCONT);
	assert_int_equal(ping(conn), 0);
}

static void *ping_until_cancelled(void *arg)
{
	for (;;) {
		ping(arg);
		pthread_testcancel();
	}
	return NULL;
}

static void a_thread_is_not_cancelled_in_its_turn(void **state)
{
	pthread_t thread;

	(void)state;
	for (int i = 0; i < 50; i++) {
		assert_int_equal(pthread_create(&thread, NULL,
						ping_until_cancelled, conn), 0);
		usleep((useconds_t)(i * 37));
		pthread_cancel(thread);
		pthread_join(thread, NULL);
		assert_int_equal(ping(conn), 0);
	}
}

/* A slab that a living client's lane seems to have leased: recovery waits. */
static struct tn_page *leased_page(const struct tn_open_reply *o, int fds[3],
				   uint32_t client, uint32_t lessee)
{
	static struct tn_shape shapes[TN_N_CLASSES];
	static struct tn_pool p;
	uint8_t *meta, *data;
	int rw = PROT_READ | PROT_WRITE;

	p.shapes = shapes;
	assert_int_equal(tn_geo_init(&p.geo, o->data_bytes), 0);
	meta = mmap(NULL, o->meta_bytes, rw, MAP_SHARED, fds[0], 0);
	data = mmap(NULL, o->data_bytes, rw, MAP_SHARED, fds[1], 0);
	assert_int_equal(tn_pool_attach(&p, meta, data, &p.geo, TN_PRODUCER),
			 0);
	tn64_store_relaxed(&p.pages[0].word, TN_PAGE_SLAB_WORD(0, 0));
	tn64_store_relaxed(&p.pages[0].slab, TN_SLAB_WORD(
		TN_SLAB_LEASED, 0, lessee, 0, 0));
	tn16_store_relaxed(&p.tags[0], (uint16_t)(TN_TAG_HELD | client));
	tn64_store_relaxed(tn_touched_areas(&p, TN_CLIENT_SLOT(client)), 1);
	tn64_store_relaxed(tn_touched_pages(&p, TN_CLIENT_SLOT(client), 0), 1);
	return p.pages;
}

static void leaving_takes_a_second_though_recovery_takes_longer(void **state)
{
	struct tn_open_reply one, two;
	struct tn_page *pages;
	int fds[3], more[3];
	int64_t begin;

	(void)state;
	assert_int_equal(create(conn, "p"), 0);
	assert_int_equal(tn_conn_attach(conn, "p", TN_PRODUCER, &one, fds), 0);
	assert_int_equal(tn_conn_attach(conn, "p", TN_PRODUCER, &two, more), 0);
	pages = leased_page(&one, fds, one.client, two.client);
	for (int i = 0; i < 2; i++) { /* asked again, it is the same */
		begin = tn_test_now_ms();
		assert_int_equal(tn_conn_leave(conn, one.attach), 0);
		assert_in_range(tn_test_now_ms() - begin, 900, 1500);
		assert_int_equal(n_clients("p"), 2);
	}
	assert_int_equal(ping(conn), 0);
	/* the lease ends, and recovery goes on */
	tn64_store_relaxed(&pages[0].slab, TN_SLAB_WORD(TN_SLAB_OPEN, 0, 0, 0,
							0));
	tn_test_eventually(n_clients("p") == 1);
	assert_int_equal(tn_conn_leave(conn, two.attach), 0);
	for (int i = 0; i < 3; i++) {
		close(fds[i]);
		close(more[i]);
	}
}

/* impostors: each character of the script is what becomes of a connection's
 * first request after HELLO; '-': no more connections */

struct impostor {
	int listener;
	const char *script;
	volatile int *seen; /* requests; then connections hung up */
};

static void say_ok(int sock, const struct tn_packet *req)
{
	struct tn_hello_reply hello = { .version = TN_WIRE_VERSION,
					.layout_major = TN_LAYOUT_MAJOR };
	struct tn_packet p;
	struct tn_msg msg;

	memcpy(&msg, req->data, sizeof(msg));
	if (msg.op == TN_MSG_HELLO)
		tn_raw_request(&p, msg.op, msg.id, &hello, sizeof(hello));
	else
		tn_raw_request(&p, msg.op, msg.id, NULL, 0);
	tn_raw_send(sock, p.data, p.bytes);
}

static int hang_up_by_script(void *arg)
{
	struct impostor *im = arg;
	struct tn_packet p;

	for (const char *c = im->script; *c; c++) {
		int sock = accept(im->listener, NULL, NULL);

		if (!tn_raw_recv(sock, &p))
			return 1;
		say_ok(sock, &p);
		while (*c != 'e' && tn_raw_recv(sock, &p)) {
			++*im->seen;
			if (*c == 'l')
				break; /* lost: read, and no reply */
			say_ok(sock, &p);
		}
		close(sock);
		im->seen[1]++;
	}
	return 0;
}

/* What a call gives that meets the script; and how often it was made. */
static int call_impostor(const char *script, uint16_t op, int *ret_seen)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct impostor im = { .script = script };
	struct tn_conn *c;
	pid_t pid;
	int r;

	im.seen = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%.90s/impostor", d.dir);
	unlink(sa.sun_path);
	im.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(im.listener, (struct sockaddr *)&sa, sizeof(sa)),
			 0);
	assert_int_equal(listen(im.listener, 5), 0);
	pid = tn_test_spawn(hang_up_by_script, &im);
	assert_int_equal(tn_conn_open(&c, sa.sun_path), 0);
	if (*script == 'e')
		tn_test_eventually(im.seen[1]); /* it has hung up */
	r = op == TN_MSG_CREATE ? create(c, "p") : ping(c);
	*ret_seen = *im.seen;
	if (strchr(script, 'o'))
		assert_int_equal(ping(c), 0); /* good again, whatever it was */
	tn_conn_unref(c);
	close(im.listener);
	kill(pid, SIGKILL);
	tn_test_wait(pid);
	munmap((void *)im.seen, 4096);
	return r;
}

static void what_may_be_repeated_is_repeated_once(void **state)
{
	static const struct {
		const char *script; /* e: hung up at once, l: lost, o: well */
		uint16_t op;
		int r, seen;
	} table[] = {
		{ "o", TN_MSG_PING, 0, 1 },
		{ "o", TN_MSG_CREATE, 0, 1 },
		{ "eo", TN_MSG_PING, 0, 1 },
		{ "eo", TN_MSG_CREATE, 0, 1 },
		{ "lo", TN_MSG_PING, 0, 2 },
		{ "lo", TN_MSG_CREATE, -ECONNRESET, 1 },
		{ "llo", TN_MSG_PING, -ECONNRESET, 2 },
		{ "elo", TN_MSG_CREATE, -ECONNRESET, 1 },
	};
	int seen;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		assert_int_equal(call_impostor(table[i].script, table[i].op,
					       &seen), table[i].r);
		assert_int_equal(seen, table[i].seen);
	}
}

static void a_relative_path_is_where_it_was(void **state)
{
	struct sockaddr_un sa;
	char cwd[256];

	(void)state;
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_int_equal(chdir(d.dir), 0);
	assert_int_equal(tn_link_path("tarn.sock", &sa), 0);
	assert_int_equal(chdir(cwd), 0);
	assert_string_equal(sa.sun_path, d.socket);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_lost_connection_is_made_anew),
		TEST(what_a_lost_daemon_gave_is_not_the_next_ones),
		TEST(a_child_has_a_connection_of_its_own),
		TEST(who_waits_for_others_waits_no_longer),
		TEST(a_thread_is_not_cancelled_in_its_turn),
		TEST(leaving_takes_a_second_though_recovery_takes_longer),
		TEST(what_may_be_repeated_is_repeated_once),
		TEST(a_relative_path_is_where_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
