/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_test.h"

static struct tn_test_daemon d;

static int setup(void **state)
{
	tn_test_setup(state);
	tn_test_daemon_init(&d);
	return 0;
}

static void write_pool(const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s.pool", d.pools, name);
	tn_test_write_file(path, text);
}

static int stat_pool(const char *name, struct tn_info *ret)
{
	int sock = tn_raw_hello(d.socket), r = tn_raw_stat(sock, name, ret);

	close(sock);
	return r;
}

static void declared_pools_are_there_from_the_start(void **state)
{
	struct tn_info info;

	(void)state;
	write_pool("frames", "[pool]\nbytes = 64M\nkind = buddy\n"
		   "policy = best-fit\nmode = 0664\nowner = 7\ngroup = 8\n");
	tn_test_daemon_start(&d, NULL);
	assert_int_equal(stat_pool("frames", &info), 0);
	assert_int_equal(info.bytes, 64 << 20);
	assert_int_equal(info.kind, TN_KIND_BUDDY);
	assert_int_equal(info.policy, TN_BEST_FIT);
	assert_int_equal(info.mode, 0664);
	assert_int_equal(info.uid, 7);
	assert_int_equal(info.gid, 8);
	tn_test_daemon_stop(&d);
}

static void a_mistake_keeps_it_from_starting(void **state)
{
	static const struct { const char *text, *said; } bad[] = {
		{ "[pool]\nbytes = 64M\nkind = heap\n",
		  "bad.pool:3: [pool] kind = heap" },
		{ "[pool]\nbytes = 64X\n", "bad.pool:2: [pool] bytes = 64X" },
		{ "[pool]\n\nsize = 1\n", "bad.pool:3: [pool] size = 1" },
		{ "[pool]\nkind = slab\n", "bad.pool: [pool] bytes" },
		{ "[pool]\nbytes 64M\n", "bad.pool:2: " },
	};

	(void)state;
	write_pool("good", "[pool]\nbytes = 64M\n");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		write_pool("bad", bad[i].text);
		assert_int_equal(tn_test_daemon_run(&d, NULL), 2);
		assert_true(tn_test_daemon_said(&d, bad[i].said));
		assert_int_not_equal(access(d.socket, F_OK), 0);
	}
	tn_test_daemon_kill(&d);
}

static void hangup_adds_pools_and_takes_none_away(void **state)
{
	struct tn_info info;
	char path[256];

	(void)state;
	write_pool("old", "[pool]\nbytes = 2M\n");
	write_pool("gone", "[pool]\nbytes = 2M\n");
	tn_test_daemon_start(&d, NULL);
	write_pool("old", "[pool]\nbytes = 4M\n");
	write_pool("new", "[pool]\nbytes = 4M\n");
	snprintf(path, sizeof(path), "%s/gone.pool", d.pools);
	unlink(path);
	kill(d.pid, SIGHUP);
	tn_test_eventually(tn_test_daemon_said(&d, "reloaded: 3 pools"));
	assert_int_equal(stat_pool("new", &info), 0);
	assert_int_equal(info.bytes, 4 << 20);
	assert_int_equal(stat_pool("gone", &info), 0);
	assert_int_equal(stat_pool("old", &info), 0);
	assert_int_equal(info.bytes, 2 << 20);
	assert_true(tn_test_daemon_said(&d, "old: is not as its file says"));
	tn_test_daemon_stop(&d);
}

static void hangup_with_a_mistake_changes_nothing(void **state)
{
	struct tn_info info;

	(void)state;
	write_pool("one", "[pool]\nbytes = 2M\n");
	tn_test_daemon_start(&d, NULL);
	write_pool("new", "[pool]\nbytes = 2M\n");
	write_pool("zzz", "[pool]\nbytes = 2M\nmode = 9\n");
	kill(d.pid, SIGHUP);
	tn_test_eventually(tn_test_daemon_said(&d, "not reloaded"));
	assert_true(tn_test_daemon_said(&d, "zzz.pool:3: [pool] mode = 9"));
	assert_int_equal(stat_pool("one", &info), 0);
	assert_int_equal(stat_pool("new", &info), -ENOENT);
	tn_test_daemon_stop(&d);
}

static void a_socket_left_over_is_replaced(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)state;
	strcpy(sa.sun_path, d.socket);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(fd);
	tn_test_daemon_start(&d, NULL);
	tn_test_daemon_stop(&d);
}

static void a_second_one_leaves_the_first_alone(void **state)
{
	struct tn_info info;

	(void)state;
	write_pool("one", "[pool]\nbytes = 2M\n");
	tn_test_daemon_start(&d, NULL);
	assert_int_equal(tn_test_daemon_run(&d, NULL), 1);
	assert_true(tn_test_daemon_said(&d, "another tarnd listens"));
	assert_int_equal(stat_pool("one", &info), 0);
	tn_test_daemon_stop(&d);
}

static void an_end_removes_the_socket(void **state)
{
	int sock;

	(void)state;
	tn_test_daemon_start(&d, NULL);
	sock = tn_raw_hello(d.socket); /* with somebody connected */
	assert_int_equal(tn_raw_create(sock, "p", 1 << 20, 0), 0);
	kill(d.pid, SIGINT);
	assert_int_equal(tn_test_wait(d.pid), 0);
	assert_int_not_equal(access(d.socket, F_OK), 0);
	d.pid = 0;
	close(sock);
	tn_test_daemon_kill(&d);
}

static void it_tells_its_version_and_options(void **state)
{
	const char *const version[] = { "--version", NULL };
	const char *const help[] = { "--help", NULL };
	const char *const wrong[] = { "--wrong", NULL };

	(void)state;
	assert_int_equal(tn_test_daemon_run(&d, version), 0);
	assert_int_equal(tn_test_daemon_run(&d, help), 0);
	assert_int_equal(tn_test_daemon_run(&d, wrong), 2);
	tn_test_daemon_kill(&d);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, setup, tn_test_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(declared_pools_are_there_from_the_start),
		TEST(a_mistake_keeps_it_from_starting),
		TEST(hangup_adds_pools_and_takes_none_away),
		TEST(hangup_with_a_mistake_changes_nothing),
		TEST(a_socket_left_over_is_replaced),
		TEST(a_second_one_leaves_the_first_alone),
		TEST(an_end_removes_the_socket),
		TEST(it_tells_its_version_and_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
