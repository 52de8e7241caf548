/* SPDX-License-Identifier: BSD-2-Clause */
/* Death is what the kernel says, and nothing else is. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_test.h"

static struct tn_test_daemon d;
static int baseline, admin;

static int setup(void **state)
{
	tn_test_setup(state);
	tn_test_daemon_init(&d);
	tn_test_daemon_start(&d, NULL);
	baseline = tn_test_fd_count(d.pid);
	admin = tn_raw_hello(d.socket);
	return tn_raw_create(admin, "p", 4 << 20, 0);
}

static int teardown(void **state)
{
	tn_raw_destroy(admin, "p");
	close(admin);
	tn_test_eventually(tn_test_fd_count(d.pid) == baseline);
	tn_test_daemon_stop(&d);
	return tn_test_teardown(state);
}

static unsigned n_clients(void)
{
	struct tn_info info;

	assert_int_equal(tn_raw_stat(admin, "p", &info), 0);
	return info.n_clients;
}

static int open_p(int sock, uint32_t role, struct tn_open_reply *ret)
{
	int fds[3], r = tn_raw_open(sock, "p", role, ret, fds);

	for (int i = 0; r == 0 && i < 3; i++)
		close(fds[i]);
	return r;
}

enum how { STAY, CLOSE_SOCKET, FORK };
static int report[2]; /* the pid of who is where it should be */

static int attach_and(void *arg)
{
	int sock = tn_raw_hello(d.socket);
	struct tn_open_reply opened;
	enum how how = *(enum how *)arg;
	pid_t me;

	if (open_p(sock, TN_PRODUCER, &opened))
		return 1;
	if (how == CLOSE_SOCKET)
		close(sock);
	if (how == FORK && fork() == 0)
		how = STAY; /* and keeps the socket */
	me = getpid();
	if (write(report[1], &me, sizeof(me)) != sizeof(me))
		return 1;
	for (;;)
		pause();
}

static pid_t reported(void)
{
	pid_t pid;

	assert_int_equal(read(report[0], &pid, sizeof(pid)), sizeof(pid));
	return pid;
}

static pid_t attached_child(enum how how, pid_t *ret_fork)
{
	pid_t pid, first;

	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	pid = tn_test_spawn(attach_and, &how);
	first = reported();
	if (ret_fork)
		*ret_fork = first ^ reported() ^ pid;
	close(report[0]);
	close(report[1]);
	return pid;
}

static void a_killed_client_is_gone(void **state)
{
	pid_t pid = attached_child(STAY, NULL);

	(void)state;
	assert_int_equal(n_clients(), 1);
	kill(pid, SIGKILL);
	tn_test_eventually(n_clients() == 0);
	tn_test_wait(pid);
}

static void a_stopped_client_is_not(void **state)
{
	pid_t pid = attached_child(STAY, NULL);

	(void)state;
	kill(pid, SIGSTOP);
	usleep(300000);
	assert_int_equal(n_clients(), 1);
	kill(pid, SIGKILL);
	tn_test_eventually(n_clients() == 0);
	tn_test_wait(pid);
}

static void the_end_of_its_connection_is_not_its_death(void **state)
{
	pid_t pid = attached_child(CLOSE_SOCKET, NULL);

	(void)state;
	usleep(300000);
	assert_int_equal(n_clients(), 1);
	kill(pid, SIGKILL);
	tn_test_eventually(n_clients() == 0);
	tn_test_wait(pid);
}

static void a_fork_that_keeps_the_connection_keeps_nobody_alive(void **state)
{
	pid_t pid, child;

	(void)state;
	pid = attached_child(FORK, &child);
	kill(pid, SIGKILL);
	tn_test_eventually(n_clients() == 0);
	tn_test_wait(pid);
	assert_int_equal(kill(child, SIGKILL), 0); /* it was there all along */
}

static void fifty_that_die_at_once_are_gone(void **state)
{
	pid_t pids[50];

	(void)state;
	for (int i = 0; i < 50; i++)
		pids[i] = attached_child(i % 2 ? STAY : CLOSE_SOCKET, NULL);
	assert_int_equal(n_clients(), 50);
	for (int i = 0; i < 50; i++)
		kill(pids[i], SIGKILL);
	tn_test_eventually(n_clients() == 0);
	for (int i = 0; i < 50; i++)
		tn_test_wait(pids[i]);
}

static void who_has_left_is_named_nowhere(void **state)
{
	int sock = tn_raw_hello(d.socket), fds[3];
	struct tn_open_reply opened;
	const uint8_t *meta;
	const struct tn_client *slot;

	(void)state;
	assert_int_equal(tn_raw_open(sock, "p", TN_OBSERVER, &opened, fds), 0);
	meta = mmap(NULL, opened.meta_bytes, PROT_READ, MAP_SHARED, fds[0], 0);
	assert_ptr_not_equal(meta, MAP_FAILED);
	/* the clients are on pages of their own after header, roots, caches */
	slot = (const struct tn_client *)(const void *)(meta + 4096 +
		TN_N_ROOTS * sizeof(struct tn_root) +
		TN_N_CACHES * sizeof(struct tn_cache_entry)) +
		TN_CLIENT_SLOT(opened.client);
	assert_true(tn64_load_relaxed(&slot->state) ==
		    (TN_CLIENT_ALIVE | opened.client));
	assert_int_equal(tn64_load_relaxed(&slot->pid_uid) >> 32, getpid());
	assert_int_equal(tn_raw_leave(sock, opened.attach), 0);
	assert_true(tn64_load_relaxed(&slot->state) == 0);
	assert_int_equal(n_clients(), 0);
	munmap((void *)meta, opened.meta_bytes);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	close(sock);
}

static void ids_are_not_soon_used_again(void **state)
{
	static uint8_t seen[1 << TN_CLIENT_ID_BITS];
	int sock = tn_raw_hello(d.socket);
	struct tn_open_reply opened;

	(void)state;
	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < 3000; i++) {
		assert_int_equal(open_p(sock, TN_OBSERVER, &opened), 0);
		assert_in_range(opened.client, 1, 8191);
		assert_int_equal(seen[opened.client]++, 0);
		assert_int_equal(tn_raw_leave(sock, opened.attach), 0);
	}
	close(sock);
}

static int thousand_clients(void *arg)
{
	int sock = tn_raw_hello(d.socket);
	struct tn_open_reply opened;

	(void)arg;
	for (int i = 0; i < 1000; i++)
		if (open_p(sock, TN_OBSERVER, &opened))
			return 1;
	if (open_p(sock, TN_OBSERVER, &opened) != -EUSERS)
		return 2;
	return n_clients() == 1000 ? 0 : 3;
}

static void a_thousand_clients_and_no_more(void **state)
{
	(void)state;
	assert_int_equal(tn_test_wait(tn_test_spawn(thousand_clients, NULL)),
			 0);
	tn_test_eventually(n_clients() == 0);
}

static void a_destroyed_pool_lives_until_the_last_one_leaves(void **state)
{
	int sock = tn_raw_hello(d.socket), before = tn_test_fd_count(d.pid);
	struct tn_open_reply opened, again;

	(void)state;
	assert_int_equal(tn_raw_create(admin, "q", 1 << 20, 0), 0);
	assert_int_equal(open_p(sock, TN_PRODUCER, &again), 0);
	assert_int_equal(tn_raw_leave(sock, again.attach), 0);
	assert_int_equal(tn_raw_destroy(admin, "q"), 0);
	tn_test_eventually(tn_test_fd_count(d.pid) == before);

	assert_int_equal(open_p(sock, TN_PRODUCER, &opened), 0);
	assert_int_equal(tn_raw_destroy(admin, "p"), 0);
	assert_int_equal(open_p(sock, TN_PRODUCER, &again), -ENOENT);
	/* the name is free for another at once */
	assert_int_equal(tn_raw_create(admin, "p", 2 << 20, 0), 0);
	assert_int_equal(open_p(sock, TN_PRODUCER, &again), 0);
	assert_int_equal(again.data_bytes, 2 << 20);
	/* three files of the new pool, and a control file of each client */
	tn_test_eventually(tn_test_fd_count(d.pid) == before + 5);
	assert_int_equal(tn_raw_leave(sock, opened.attach), 0);
	tn_test_eventually(tn_test_fd_count(d.pid) == before + 1);
	assert_int_equal(tn_raw_leave(sock, again.attach), 0);
	close(sock);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_killed_client_is_gone),
		TEST(a_stopped_client_is_not),
		TEST(the_end_of_its_connection_is_not_its_death),
		TEST(a_fork_that_keeps_the_connection_keeps_nobody_alive),
		TEST(fifty_that_die_at_once_are_gone),
		TEST(who_has_left_is_named_nowhere),
		TEST(ids_are_not_soon_used_again),
		TEST(a_thousand_clients_and_no_more),
		TEST(a_destroyed_pool_lives_until_the_last_one_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
