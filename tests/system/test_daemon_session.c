/* SPDX-License-Identifier: BSD-2-Clause */
/* A session outlives its connection: who may go on with it, and what ends it.
 * After each test tarnd has as many descriptors as before. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_test.h"

static struct tn_test_daemon d;
static int baseline, admin;

/* Of the session under test. */
static struct tn_hello_reply mine;
static struct tn_open_reply opened;
static void *page;

static int setup(void **state)
{
	tn_test_setup(state);
	tn_test_daemon_init(&d);
	tn_test_daemon_start(&d, NULL);
	baseline = tn_test_fd_count(d.pid);
	admin = tn_raw_hello(d.socket);
	return tn_raw_create(admin, "p", 4 << 20, 0666);
}

static int teardown(void **state)
{
	tn_raw_destroy(admin, "p");
	close(admin);
	if (page)
		munmap(page, 4096);
	page = NULL;
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

static uint32_t open_p(int sock)
{
	int fds[3];

	assert_int_equal(tn_raw_open(sock, "p", TN_PRODUCER, &opened, fds), 0);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	return opened.attach;
}

/* A session with its live page mapped, attached to the pool. */
static int attached_session(void)
{
	int live, sock = tn_raw_session(d.socket, (struct tn_hello){ 0 }, &mine,
					&live);

	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, live, 0);
	assert_ptr_not_equal(page, MAP_FAILED);
	assert_int_equal(madvise(page, 4096, MADV_DONTFORK), 0);
	close(live);
	open_p(sock);
	return sock;
}

static struct tn_hello naming_mine(void)
{
	return (struct tn_hello){
		.session = mine.session, .secret = mine.secret,
		.known = opened.attach,
	};
}

/* Is it? The connection, if asked for. */
static bool rejoins(struct tn_hello hello, int *ret_sock)
{
	struct tn_hello_reply reply;
	int live, sock = tn_raw_session(d.socket, hello, &reply, &live);
	bool same = reply.session == mine.session &&
		    reply.secret == mine.secret;

	assert_int_equal(same, live < 0);
	if (live >= 0)
		close(live);
	if (ret_sock)
		*ret_sock = sock;
	else
		close(sock);
	return same;
}

static void it_goes_on_over_another_connection(void **state)
{
	int sock = attached_session();

	(void)state;
	for (int i = 0; i < 20; i++) {
		close(sock);
		if (i % 2)
			usleep(2000); /* tarnd has seen it, or not yet */
		assert_true(rejoins(naming_mine(), &sock));
		assert_int_equal(tn_raw_call(sock, TN_MSG_PING, NULL, 0), 0);
		assert_int_equal(n_clients(), 1);
	}
	assert_int_equal(tn_raw_leave(sock, opened.attach), 0);
	assert_int_equal(n_clients(), 0);
	close(sock);
}

static void it_goes_on_while_the_old_socket_is_open(void **state)
{
	int old = attached_session(), sock;
	struct tn_packet p;

	(void)state;
	assert_true(rejoins(naming_mine(), &sock));
	assert_int_equal(tn_raw_recv(old, &p), 0);
	assert_int_equal(n_clients(), 1);
	assert_int_equal(tn_raw_leave(sock, opened.attach), 0);
	close(old);
	close(sock);
}

static int rejoin_as_another_process(void *arg)
{
	(void)arg;
	return rejoins(naming_mine(), NULL);
}

static void all_of_it_must_be_right(void **state)
{
	struct tn_hello hello = naming_mine();
	int sock = attached_session();

	(void)state;
	for (int i = 0; i < 64; i++) {
		hello = naming_mine();
		hello.secret ^= 1ULL << i;
		assert_false(rejoins(hello, NULL));
	}
	hello = naming_mine();
	hello.session++;
	assert_false(rejoins(hello, NULL));
	/* a child knows all that its parent did */
	assert_int_equal(tn_test_wait(tn_test_spawn(rejoin_as_another_process,
						    NULL)), 0);
	/* nothing of that has touched it */
	assert_int_equal(tn_raw_call(sock, TN_MSG_PING, NULL, 0), 0);
	assert_int_equal(n_clients(), 1);
	assert_true(rejoins(naming_mine(), NULL));
	assert_int_equal(n_clients(), 1);
	close(sock);
}

static void another_user_of_the_same_process_is_another(void **state)
{
	int sock;

	(void)state;
	tn_test_skip_unless_root();
	sock = attached_session();
	assert_int_equal(seteuid(50001), 0);
	assert_false(rejoins(naming_mine(), NULL));
	assert_int_equal(seteuid(0), 0);
	assert_true(rejoins(naming_mine(), NULL));
	close(sock);
}

/* There, its first process has number 1, whoever else has. */
static int rejoin_from_a_namespace(void *arg)
{
	pid_t pid;

	(void)arg;
	if (unshare(CLONE_NEWPID) < 0)
		return 77;
	pid = fork();
	if (pid)
		return tn_test_wait(pid);
	alarm(TN_TEST_SECONDS);
	close(attached_session());
	_exit(!rejoins(naming_mine(), NULL) || rejoins((struct tn_hello){
		.session = mine.session, .secret = mine.secret + 1 }, NULL));
}

static void a_pid_namespace_confuses_nobody(void **state)
{
	int r;

	(void)state;
	tn_test_skip_unless_root();
	r = tn_test_wait(tn_test_spawn(rejoin_from_a_namespace, NULL));
	if (r == 77)
		skip();
	assert_int_equal(r, 0);
	tn_test_eventually(n_clients() == 0);
}

static void who_has_shut_down_takes_nothing(void **state)
{
	int old = attached_session(), late, sock;
	struct tn_hello hello = naming_mine();
	struct tn_packet p;

	(void)state;
	hello.min_version = hello.max_version = 1;
	hello.features = TN_FEATURE_SESSION;
	kill(d.pid, SIGSTOP);
	late = tn_raw_connect(d.socket);
	tn_raw_request(&p, TN_MSG_HELLO, 1, &hello, sizeof(hello));
	tn_raw_send(late, p.data, p.bytes);
	shutdown(late, SHUT_RDWR);
	kill(d.pid, SIGCONT);
	tn_test_eventually(tn_raw_recv(late, &p) == 0);
	assert_int_equal(tn_raw_call(old, TN_MSG_PING, NULL, 0), 0);
	assert_true(rejoins(naming_mine(), &sock));
	assert_int_equal(tn_raw_leave(sock, opened.attach), 0);
	close(late);
	close(old);
	close(sock);
}

static void what_the_client_never_heard_of_is_ended(void **state)
{
	int old = attached_session(), sock;
	struct tn_hello hello = naming_mine();
	uint32_t first = opened.attach, second = open_p(old);

	(void)state;
	assert_int_equal(n_clients(), 2);
	assert_true(rejoins(hello, &sock));
	tn_test_eventually(n_clients() == 1);
	assert_int_equal(tn_raw_leave(sock, second), -ENOENT);
	assert_true(open_p(sock) > second);
	assert_int_equal(tn_raw_leave(sock, first), 0);
	close(old);
	close(sock);
}

static void while_it_is_mapped_it_is_kept(void **state)
{
	int sock = attached_session();

	(void)state;
	close(sock);
	for (int i = 0; i < 20; i++) {
		usleep(10000);
		assert_int_equal(n_clients(), 1);
	}
	/* and who asks, when it is not any more, is told so */
	munmap(page, 4096);
	page = NULL;
	n_clients();
	tn_test_eventually(n_clients() == 0);
	assert_false(rejoins(naming_mine(), NULL));
}

static void nobody_needs_to_ask(void **state)
{
	/* admin's connection, and the pool */
	int sock = attached_session(), others = baseline + 2 + 3;

	(void)state;
	close(sock);
	/* the pidfd, the live file and the control file stay */
	tn_test_eventually(tn_test_fd_count(d.pid) == others + 3);
	munmap(page, 4096);
	page = NULL;
	tn_test_eventually(tn_test_fd_count(d.pid) == others);
}

static void without_a_mapping_its_end_is_the_end(void **state)
{
	int sock = attached_session();

	(void)state;
	munmap(page, 4096);
	page = NULL;
	usleep(100000);
	assert_int_equal(n_clients(), 1); /* the connection is there */
	close(sock);
	tn_test_eventually(n_clients() == 0);
}

static void the_live_file_is_of_no_other_use(void **state)
{
	struct tn_hello_reply reply;
	int live, sock = tn_raw_session(d.socket, (struct tn_hello){ 0 },
					&reply, &live);
	char c = 'x';

	(void)state;
	assert_int_equal(write(live, &c, 1), -1);
	assert_int_equal(ftruncate(live, 4096), -1);
	/* who keeps tarnd from asking is kept, and recovered at its death */
	assert_int_equal(fcntl(live, F_ADD_SEALS, F_SEAL_SEAL), 0);
	close(live);
	mine = reply;
	open_p(sock);
	close(sock);
	usleep(100000);
	assert_int_equal(n_clients(), 1);
	assert_true(rejoins(naming_mine(), &sock));
	assert_int_equal(tn_raw_leave(sock, opened.attach), 0);
	close(sock);
}

static int attach_fork_and_wait(void *arg)
{
	attached_session();

	if (fork() == 0) {
		alarm(TN_TEST_SECONDS);
		n_clients(); /* not on the parent's connection, but alive */
		((volatile int *)arg)[1] = getpid();
		pause();
	}
	((volatile int *)arg)[0] = 1;
	for (;;)
		pause();
	return 0;
}

static void a_child_that_holds_the_socket_delays_nothing(void **state)
{
	volatile int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = tn_test_spawn(attach_fork_and_wait, (void *)shared);
	int64_t begin;

	(void)state;
	tn_test_eventually(shared[0] && shared[1]);
	assert_int_equal(n_clients(), 1);
	begin = tn_test_now_ms();
	kill(pid, SIGKILL);
	tn_test_wait(pid);
	tn_test_eventually(n_clients() == 0);
	assert_in_range(tn_test_now_ms() - begin, 0, 500);
	assert_int_equal(kill(shared[1], SIGKILL), 0);
	munmap((void *)shared, 4096);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_goes_on_over_another_connection),
		TEST(it_goes_on_while_the_old_socket_is_open),
		TEST(all_of_it_must_be_right),
		TEST(another_user_of_the_same_process_is_another),
		TEST(a_pid_namespace_confuses_nobody),
		TEST(who_has_shut_down_takes_nothing),
		TEST(what_the_client_never_heard_of_is_ended),
		TEST(while_it_is_mapped_it_is_kept),
		TEST(nobody_needs_to_ask),
		TEST(without_a_mapping_its_end_is_the_end),
		TEST(the_live_file_is_of_no_other_use),
		TEST(a_child_that_holds_the_socket_delays_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
