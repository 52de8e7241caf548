/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/peer.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bits.h"
#include "tests/lib/tn_test.h"

static char dir[128];
static struct sockaddr_un sa = { .sun_family = AF_UNIX };
static int listener;

static int setup(void **state)
{
	tn_test_setup(state);
	tn_test_mkdtemp(dir, sizeof(dir));
	strcpy(sa.sun_path, dir);
	strcat(sa.sun_path, "/s");
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	return bind(listener, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	       chmod(sa.sun_path, 0666) < 0 || listen(listener, 5) < 0;
}

static int teardown(void **state)
{
	close(listener);
	tn_test_rmtree(dir);
	return tn_test_teardown(state);
}

static int connect_and_wait(void *arg)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	char c;

	(void)arg;
	close(listener);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return 1;
	return (int)read(fd, &c, 1);
}

static bool readable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, 0) == 1;
}

/* The end of a process is seen, and nothing else is taken for it. */
static void watch(bool by_pid)
{
	pid_t pid = tn_test_spawn(connect_and_wait, NULL);
	int sock = accept(listener, NULL, NULL);
	struct peer peer;

	assert_true(sock >= 0);
	assert_int_equal(peer_init(&peer, sock, by_pid), 0);
	assert_int_equal(peer.pid, pid);
	assert_int_equal(peer.uid, geteuid());
	assert_false(readable(peer.pidfd));
	kill(pid, SIGKILL);
	tn_test_eventually(readable(peer.pidfd));
	assert_int_equal(tn_test_wait(pid), 128 + SIGKILL);
	peer_fini(&peer);
	assert_int_equal(peer.pidfd, -1);
	close(sock);
}

static void the_death_of_a_peer_is_seen(void **state)
{
	(void)state;
	watch(false);
}

static void an_older_kernel_is_served_by_pid(void **state)
{
	(void)state;
	watch(true);
}

static void a_peer_that_died_before_is_gone(void **state)
{
	pid_t pid = tn_test_spawn(connect_and_wait, NULL);
	int sock = accept(listener, NULL, NULL);
	struct peer peer;

	(void)state;
	kill(pid, SIGKILL);
	tn_test_wait(pid);
	assert_int_equal(peer_init(&peer, sock, true), PEER_GONE);
	peer_fini(&peer);
	/* newer kernels still know it; then it is dead at once */
	if (peer_init(&peer, sock, false) == 0)
		assert_true(readable(peer.pidfd));
	peer_fini(&peer);
	close(sock);
}

/* 1001 and so on, @arg of them. */
static int connect_in_groups(void *arg)
{
	gid_t groups[100];
	size_t n = *(const size_t *)arg;

	for (size_t i = 0; i < n; i++)
		groups[i] = 1001 + (gid_t)i;
	if (setgroups(n, groups) < 0)
		return 1;
	return connect_and_wait(NULL);
}

static void supplementary_groups_are_known(void **state)
{
	const size_t sizes[] = { 0, 1, 3, 31, 32, 33, 100 };
	struct peer peer;

	(void)state;
	tn_test_skip_unless_root();
	for (size_t i = 0; i < TN_ARRAY_LEN(sizes); i++) {
		size_t n = sizes[i];
		pid_t pid = tn_test_spawn(connect_in_groups, &n);
		int sock = accept(listener, NULL, NULL);

		assert_int_equal(peer_init(&peer, sock, false), 0);
		assert_int_equal(peer.n_groups, n);
		assert_true(peer_in_group(&peer, getegid()));
		for (gid_t g = 1001; g < 1001 + n; g++)
			assert_true(peer_in_group(&peer, g));
		assert_false(peer_in_group(&peer, 1001 + (gid_t)n));
		peer_fini(&peer);
		close(sock);
		assert_int_equal(tn_test_wait(pid), 0);
	}
}

static void is_same(const struct peer *a, const struct peer *b, bool same)
{
	assert_int_equal(peer_same(a, b), same);
}

/* Two connections of one child, one of ours. */
static void a_process_is_the_same_as_long_as_it_lives(void **state)
{
	pid_t pid = tn_test_spawn(connect_and_wait, NULL);
	struct peer child[2], us;
	int sock[2], ours = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	(void)state;
	sock[0] = accept(listener, NULL, NULL);
	assert_int_equal(connect(ours, (struct sockaddr *)&sa, sizeof(sa)), 0);
	sock[1] = accept(listener, NULL, NULL);
	assert_int_equal(peer_init(&child[0], sock[0], false), 0);
	assert_int_equal(peer_init(&child[1], sock[0], true), 0);
	assert_int_equal(peer_init(&us, sock[1], false), 0);
	is_same(&child[0], &child[1], true);
	is_same(&child[0], &us, false);
	us.pid = pid; /* a number proves nothing where pidfds do */
	is_same(&child[0], &us, false);
	child[1].uid++;
	is_same(&child[0], &child[1], false);
	child[1].uid--;
	kill(pid, SIGKILL);
	tn_test_eventually(readable(child[0].pidfd));
	is_same(&child[0], &child[1], false);
	tn_test_wait(pid);
	peer_fini(&child[0]);
	peer_fini(&child[1]);
	peer_fini(&us);
	close(sock[0]);
	close(sock[1]);
	close(ours);
}

/* A descriptor from the store: of that process, or of one that is dead. */
static void only_a_pidfd_of_its_own_will_do(void **state)
{
	pid_t pid = tn_test_spawn(connect_and_wait, NULL);
	int sock = accept(listener, NULL, NULL), again;
	struct peer peer, other = PEER_NONE;
	char path[64];

	(void)state;
	other.pid = getpid();
	assert_int_equal(peer_init(&peer, sock, false), 0);
	assert_true(peer_is_pidfd(&peer, peer.pidfd));
	assert_false(peer_is_pidfd(&other, peer.pidfd));
	assert_false(peer_is_pidfd(&peer, sock));
	assert_false(peer_is_pidfd(&peer, -1));
	/* it has the name of one, and never becomes readable */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", peer.pidfd);
	again = open(path, O_PATH | O_CLOEXEC);
	if (again >= 0)
		assert_false(peer_is_pidfd(&peer, again));
	kill(pid, SIGKILL);
	tn_test_wait(pid);
	assert_true(peer_is_pidfd(&peer, peer.pidfd));
	assert_true(peer_is_pidfd(&other, peer.pidfd));
	close(again);
	peer_fini(&peer);
	close(sock);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_death_of_a_peer_is_seen),
		TEST(an_older_kernel_is_served_by_pid),
		TEST(a_peer_that_died_before_is_gone),
		TEST(supplementary_groups_are_known),
		TEST(a_process_is_the_same_as_long_as_it_lives),
		TEST(only_a_pidfd_of_its_own_will_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
