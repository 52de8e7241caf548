/* SPDX-License-Identifier: BSD-2-Clause */
/* tarnd dies and comes again, and nobody notices. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tarn/admin.h>
#include <tarn/tarn.h>

#include "tests/lib/tn_manager.h"
#include "tests/lib/tn_raw.h"

static struct tn_manager m;

static int setup(void **state)
{
	tn_test_setup(state);
	tn_manager_begin(&m);
	return 0;
}

static int teardown(void **state)
{
	tn_manager_fini(&m);
	return tn_test_teardown(state);
}

static void restart(int sig)
{
	int status = tn_manager_end(&m, sig);

	assert_int_equal(status, sig == SIGKILL ? 128 + SIGKILL : 0);
	tn_manager_up(&m);
}

static struct tarn *begin(const char *name, struct tarn_pool **ret)
{
	struct tarn *t;

	assert_int_equal(tarn_connect(NULL, &t), 0);
	assert_int_equal(tarn_pool_create(t, name,
					  TARN_POOL_OPTS(.bytes = 4 << 20)),
			 0);
	assert_int_equal(tarn_pool_open(t, name, TARN_PRODUCER, ret), 0);
	return t;
}

static void a_client_goes_on_with_what_it_has(void **state)
{
	static const int signals[] = { SIGKILL, SIGTERM, SIGINT };
	struct tarn_pool *pool, *other;
	struct tarn_pool_info info;
	struct tarn *t = begin("p", &pool);
	char *p = tarn_alloc(pool, 100);

	(void)state;
	strcpy(p, "still here");
	for (size_t i = 0; i < 3; i++) {
		restart(signals[i]);
		assert_int_equal(tarn_pool_stat(t, "p", &info), 0);
		assert_int_equal(info.n_clients, 1);
		assert_string_equal(p, "still here");
		assert_int_equal(tarn_pool_open(t, "p", TARN_PRODUCER, &other),
				 0);
		tarn_pool_close(other);
	}
	tarn_free(pool, p);
	tarn_pool_close(pool);
	assert_int_equal(tarn_pool_destroy(t, "p"), 0);
	tarn_disconnect(t);
}

static unsigned n_stored(void)
{
	unsigned n;

	pthread_mutex_lock(&m.lock);
	n = m.n_stored;
	pthread_mutex_unlock(&m.lock);
	return n;
}

static unsigned n_clients(struct tarn *t, const char *name)
{
	struct tarn_pool_info info;

	assert_int_equal(tarn_pool_stat(t, name, &info), 0);
	return info.n_clients;
}

static void what_ends_leaves_the_store(void **state)
{
	struct tarn_pool *pool;
	struct tarn *t;

	(void)state;
	tn_test_eventually(n_stored() == 1); /* the ledger */
	t = begin("p", &pool);
	/* pool 3, session 2, connection 1, control file 1 */
	tn_test_eventually(n_stored() == 1 + 7);
	restart(SIGKILL);
	assert_int_equal(n_stored(), 1 + 7);
	tarn_pool_close(pool);
	tn_test_eventually(n_stored() == 1 + 6);
	assert_int_equal(tarn_pool_destroy(t, "p"), 0);
	tn_test_eventually(n_stored() == 1 + 3);
	tarn_disconnect(t);
	tn_test_eventually(n_stored() == 1);
}

static int hold_and_wait(void *arg)
{
	struct tarn_pool *pool;
	struct tarn *t;

	if (tarn_connect(NULL, &t) ||
	    tarn_pool_open(t, "p", TARN_PRODUCER, &pool) ||
	    !tarn_alloc(pool, 5000))
		return 1;
	if (write(*(int *)arg, "x", 1) != 1)
		return 2;
	for (;;)
		pause();
}

static pid_t spawn_holder(void)
{
	int fds[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(fds), 0);
	pid = tn_test_spawn(hold_and_wait, &fds[1]);
	close(fds[1]);
	assert_int_equal(read(fds[0], &c, 1), 1);
	close(fds[0]);
	return pid;
}

static void who_dies_meanwhile_is_recovered(void **state)
{
	struct tarn_pool *pool;
	struct tarn *t = begin("p", &pool);
	pid_t early = spawn_holder(), late = spawn_holder();

	(void)state;
	assert_int_equal(n_clients(t, "p"), 3);
	/* just before, so that it is being recovered; and meanwhile */
	kill(early, SIGKILL);
	tn_manager_end(&m, SIGKILL);
	kill(late, SIGKILL);
	tn_test_wait(early);
	tn_test_wait(late);
	tn_manager_up(&m);
	tn_test_eventually(n_clients(t, "p") == 1);
	tn_test_eventually(n_stored() == 1 + 7);
	tarn_pool_close(pool);
	tarn_disconnect(t);
}

static void a_pool_without_a_name_stays_with_its_clients(void **state)
{
	struct tarn_pool *pool, *other;
	struct tarn *t = begin("p", &pool);
	void *p = tarn_alloc(pool, 64);

	(void)state;
	assert_int_equal(tarn_pool_destroy(t, "p"), 0);
	restart(SIGKILL);
	assert_int_equal(tarn_pool_open(t, "p", TARN_PRODUCER, &other),
			 -ENOENT);
	assert_int_equal(tarn_pool_create(t, "p",
					  TARN_POOL_OPTS(.bytes = 1 << 20)),
			 0);
	tarn_free(pool, p);
	tarn_pool_close(pool);
	restart(SIGKILL);
	tn_test_eventually(n_stored() == 1 + 6);
	tarn_disconnect(t);
}

static void client_ids_go_on(void **state)
{
	int sock = tn_raw_hello(m.d.socket), fds[3];
	struct tn_open_reply reply;
	uint32_t last = 0;

	(void)state;
	assert_int_equal(tn_raw_create(sock, "p", 1 << 20, 0), 0);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(tn_raw_open(sock, "p", TN_OBSERVER, &reply,
					     fds), 0);
		for (int f = 0; f < 3; f++)
			close(fds[f]);
		assert_int_equal(reply.client, last + 1);
		assert_int_equal(reply.attach, last + 1);
		last++;
		assert_int_equal(tn_raw_leave(sock, reply.attach), 0);
		restart(i % 2 ? SIGKILL : SIGTERM);
	}
	close(sock);
}

static void a_full_store_is_an_error_and_no_loss(void **state)
{
	struct tarn_pool *pool;
	struct tarn *t = begin("p", &pool);
	unsigned before;

	(void)state;
	tn_test_eventually(n_stored() == 1 + 7);
	before = n_stored();
	m.max = before + 2; /* a canary alone would have room */
	assert_int_equal(tarn_pool_create(t, "q",
					  TARN_POOL_OPTS(.bytes = 1 << 20)),
			 -ENOSPC);
	tn_test_eventually(n_stored() == before);
	m.max = TN_STORED_MAX;
	assert_int_equal(tarn_pool_create(t, "q",
					  TARN_POOL_OPTS(.bytes = 1 << 20)),
			 0);
	restart(SIGKILL);
	assert_int_equal(n_clients(t, "p"), 1);
	assert_int_equal(n_clients(t, "q"), 0);
	tarn_pool_close(pool);
	tarn_disconnect(t);
}

static int create_slowly(void *arg)
{
	const int *fds = arg; /* when to go on, and that we are there */
	struct tarn *t;
	char c;
	int r;

	if (tarn_connect(NULL, &t))
		return 100;
	if (write(fds[1], "x", 1) != 1 || read(fds[0], &c, 1) != 1)
		return 101;
	r = tarn_pool_create(t, "slow", TARN_POOL_OPTS(.bytes = 1 << 20));
	tarn_disconnect(t);
	return -r;
}

static void a_slow_manager_holds_up_nobody_else(void **state)
{
	struct tarn_pool *pool;
	struct tarn *t = begin("p", &pool);
	int to[2], from[2];
	pid_t pid;
	char c;

	(void)state;
	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	pid = tn_test_spawn(create_slowly, (int[]){ to[0], from[1] });
	assert_int_equal(read(from[0], &c, 1), 1);
	m.deaf = true;
	usleep(50000); /* until it has turned a deaf ear */
	assert_int_equal(write(to[1], "x", 1), 1);
	for (int i = 0; i < 2; i++) {
		close(to[i]);
		close(from[i]);
	}
	for (int64_t end = tn_test_now_ms() + 5000; tn_test_now_ms() < end;) {
		int64_t began = tn_test_now_ms();

		assert_int_equal(n_clients(t, "p"), 1);
		assert_true(tn_test_now_ms() - began < 3000);
		usleep(20000);
	}
	m.deaf = false;
	assert_int_equal(tn_test_wait(pid), ETIMEDOUT);
	assert_true(tn_test_daemon_said(&m.d, "has not stored"));
	/* and it was not made after all */
	tn_test_eventually(n_stored() == 1 + 7);
	assert_int_equal(tarn_pool_create(t, "slow",
					  TARN_POOL_OPTS(.bytes = 1 << 20)),
			 0);
	tarn_pool_close(pool);
	tarn_disconnect(t);
}

/* OPEN waits for the manager; meanwhile the pool's owner takes it away. */
static void a_pool_revoked_while_it_is_opened_is_not_there(void **state)
{
	const struct tn_open open = { .name = "p", .role = TN_PRODUCER };
	struct tarn_pool *pool;
	struct tarn *t = begin("p", &pool);
	int sock = tn_raw_hello(m.d.socket);
	struct tn_packet p;

	(void)state;
	tn_test_eventually(n_stored() == 1 + 7 + 2);
	m.deaf = true;
	usleep(50000); /* until it has turned a deaf ear */
	tn_raw_request(&p, TN_MSG_OPEN, 1, &open, sizeof(open));
	tn_raw_send(sock, p.data, p.bytes);
	tn_test_eventually(n_clients(t, "p") == 2);
	assert_int_equal(tarn_pool_revoke(t, "p"), 0);
	m.deaf = false;
	assert_int_equal(tn_raw_recv(sock, &p), 1);
	assert_int_equal(p.n_fds, 0);
	assert_int_equal(tn_wire_check_reply(p.data, p.bytes, TN_MSG_OPEN, 1,
					     0), 0);
	assert_int_equal(((const struct tn_msg *)(const void *)p.data)->status,
			 -ENOENT);
	/* and it goes on with its connection */
	assert_int_equal(tn_raw_destroy(sock, "p"), -ENOENT);
	close(sock);
	tarn_pool_close(pool);
	tarn_disconnect(t);
}

static void without_a_store_it_serves_and_says_so(void **state)
{
	struct tarn_pool *pool;
	struct tarn *t;
	void *p;

	(void)state;
	tn_manager_end(&m, SIGTERM);
	while (m.n_stored)
		tn_manager_drop(&m, m.stored);
	m.max = 0;
	tn_manager_up(&m);
	assert_true(tn_test_daemon_said(&m.d, "keeps no descriptors"));
	t = begin("p", &pool);
	p = tarn_alloc(pool, 100);
	assert_int_equal(tn_manager_end(&m, SIGTERM), 0);
	assert_int_equal(n_stored(), 0);
	tarn_free(pool, p);
	tarn_pool_close(pool);
	tarn_disconnect(t);
}

static void declared_pools_are_made_once(void **state)
{
	char path[400];
	struct tarn *t;

	(void)state;
	snprintf(path, sizeof(path), "%s/p.pool", m.d.pools);
	tn_test_write_file(path, "[pool]\nbytes = 1M\n");
	restart(SIGTERM);
	assert_int_equal(n_stored(), 1 + 3);
	restart(SIGKILL);
	restart(SIGKILL);
	assert_int_equal(n_stored(), 1 + 3);
	assert_int_equal(tarn_connect(NULL, &t), 0);
	assert_int_equal(n_clients(t, "p"), 0);
	tarn_disconnect(t);
}

static void a_process_that_hung_up_is_known_again(void **state)
{
	struct tn_hello hello = { .session = 0 };
	struct tn_hello_reply first, second;
	struct tn_open_reply reply;
	int sock, live, live2, fds[3];
	void *at;

	(void)state;
	sock = tn_raw_session(m.d.socket, hello, &first, &live);
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, live, 0);
	close(live);
	assert_int_equal(tn_raw_create(sock, "p", 1 << 20, 0), 0);
	assert_int_equal(tn_raw_open(sock, "p", TN_OBSERVER, &reply, fds), 0);
	for (int f = 0; f < 3; f++)
		close(fds[f]);
	close(sock);
	tn_test_eventually(n_stored() == 1 + 6);
	restart(SIGKILL);
	hello.session = first.session;
	hello.secret = first.secret;
	hello.known = reply.attach;
	sock = tn_raw_session(m.d.socket, hello, &second, &live2);
	assert_int_equal(second.flags, TN_HELLO_REJOINED);
	restart(SIGKILL);
	assert_int_equal(tn_raw_leave(sock, reply.attach), 0);
	munmap(at, 4096);
	close(sock);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_client_goes_on_with_what_it_has),
		TEST(what_ends_leaves_the_store),
		TEST(who_dies_meanwhile_is_recovered),
		TEST(a_pool_without_a_name_stays_with_its_clients),
		TEST(client_ids_go_on),
		TEST(a_process_that_hung_up_is_known_again),
		TEST(a_full_store_is_an_error_and_no_loss),
		TEST(a_slow_manager_holds_up_nobody_else),
		TEST(a_pool_revoked_while_it_is_opened_is_not_there),
		TEST(without_a_store_it_serves_and_says_so),
		TEST(declared_pools_are_made_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
