/* SPDX-License-Identifier: BSD-2-Clause */
/* One user attacks; another gets what it asks for, and its share. How long it
 * waits is measured elsewhere: tests/fairness. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tarn/admin.h"
#include "tests/lib/tn_attack.h"
#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_test.h"

#define ATTACKER 12345
#define VICTIM 12346

static struct tn_test_daemon d;
static int baseline;

static void start(void)
{
	tn_test_daemon_init(&d);
	tn_test_daemon_start(&d, NULL);
	baseline = tn_test_fd_count(d.pid);
}

static int setup(void **state)
{
	tn_test_setup(state);
	start();
	return 0;
}

/* Its clean end proves that every charge was refunded. */
static int teardown(void **state)
{
	tn_test_eventually(tn_test_fd_count(d.pid) == baseline);
	tn_test_daemon_stop(&d);
	return tn_test_teardown(state);
}

static int session(void)
{
	const struct tn_hello hello = {
		.min_version = 1, .max_version = 1,
		.features = TN_FEATURE_SESSION,
	};
	int sock = tn_raw_connect(d.socket);
	struct tn_packet p;

	tn_raw_request(&p, TN_MSG_HELLO, 1, &hello, sizeof(hello));
	tn_raw_send(sock, p.data, p.bytes);
	return sock; /* the reply, with a descriptor, lies unread */
}

static void unread_descriptors_count_until_they_are_read(void **state)
{
	struct tn_packet p;
	int sock = session();

	(void)state;
	tn_test_eventually(tn_test_fd_count(d.pid) == baseline + 3);
	tn_raw_send(sock, "rubbish", 7);
	/* pidfd and live file go; the socket stays */
	tn_test_eventually(tn_test_fd_count(d.pid) == baseline + 1);
	usleep(1500000);
	assert_int_equal(tn_test_fd_count(d.pid), baseline + 1);
	assert_int_equal(tn_raw_recv(sock, &p), 1);
	assert_int_equal(p.n_fds, 1);
	tn_packet_close(&p);
	assert_int_equal(tn_raw_recv(sock, &p), 0); /* hung up all the same */
	tn_test_eventually(tn_test_fd_count(d.pid) == baseline);
	close(sock);
}

static int connect_in_vain(void *arg)
{
	int socks[200], n = 0;
	struct tn_packet p;

	(void)arg;
	for (int i = 0; i < 200; i++) {
		socks[i] = session();
		tn_raw_send(socks[i], "rubbish", 7);
	}
	usleep(300000);
	for (int i = 0; i < 200; i++)
		while (tn_raw_recv(socks[i], &p)) {
			n += p.n_fds != 0;
			tn_packet_close(&p);
		}
	return n;
}

static void nobody_has_more_of_them_under_way_than_connections(void **state)
{
	int n;

	(void)state;
	tn_test_skip_unless_root();
	tn_test_write_file(d.conf, "[limits]\nconnections = 20\n");
	kill(d.pid, SIGHUP);
	tn_test_eventually(tn_test_daemon_said(&d, "reloaded"));
	n = tn_test_wait(tn_test_spawn_as(ATTACKER, ATTACKER, connect_in_vain,
					  NULL));
	assert_int_equal(n, 20);
}

static int take_all(void *arg)
{
	int n = 0;

	(void)arg;
	while (n < 100) {
		const struct tn_hello hello = { .min_version = 1,
						.max_version = 1 };
		int sock = tn_raw_connect(d.socket);

		if (tn_raw_call(sock, TN_MSG_HELLO, &hello, sizeof(hello)))
			break;
		n++;
	}
	if (n < 100)
		pause();
	return n;
}

static int take_little(void *arg)
{
	int sock = tn_raw_hello(d.socket);

	(void)arg;
	close(sock);
	return 0;
}

/* 0.9 * 512 - 24 = 437 descriptors: 218 for those who have more than 13. Here
 * the limit is not raised again: it may be that even root cannot. */
static void descriptors_are_kept_for_those_who_have_few(void **state)
{
	const struct rlimit low = { 512, 512 };
	pid_t greedy[3];

	(void)state;
	tn_test_skip_unless_root();
	tn_test_daemon_stop(&d);
	setrlimit(RLIMIT_NOFILE, &low);
	start();
	for (uid_t i = 0; i < 3; i++)
		greedy[i] = tn_test_spawn_as(ATTACKER + 10 + i, ATTACKER,
					     take_all, NULL);
	tn_test_eventually(tn_test_daemon_said(&d, "uid 12357: refused"));
	/* 36 connections and two each for those who came too late, each two
	 * of six: no live file, nothing under way */
	assert_in_range(tn_test_fd_count(d.pid), baseline + 68, baseline + 80);
	for (uid_t i = 0; i < 16; i++)
		assert_int_equal(tn_test_wait(tn_test_spawn_as(
			VICTIM + 100 + i, VICTIM, take_little, NULL)), 0);
	for (int i = 0; i < 3; i++) {
		kill(greedy[i], SIGKILL);
		tn_test_wait(greedy[i]);
	}
}

static int live_on(void *arg)
{
	const char *name = arg;
	struct tarn_pool *pool;
	struct tarn *t, *other;

	if (tarn_connect(d.socket, &t) < 0)
		return 1;
	if (tarn_pool_create(t, name, TARN_POOL_OPTS(.bytes = 1 << 20)) < 0)
		return 2;
	for (int i = 0; i < 10; i++) {
		if (tarn_ping(t) < 0)
			return 3;
		if (tarn_pool_open(t, name, TARN_PRODUCER, &pool) < 0)
			return 4;
		tarn_free(pool, tarn_alloc(pool, 100));
		tarn_pool_close(pool);
		if (tarn_connect(d.socket, &other) < 0)
			return 5;
		tarn_disconnect(other);
	}
	if (tarn_pool_destroy(t, name) < 0)
		return 6;
	tarn_disconnect(t);
	return 0;
}

/* What the attackers have left. */
static bool destroy_pools(void)
{
	struct tn_by_name first = { .name = "" };
	struct tn_list_reply list;
	struct tn_packet p;
	struct tn_info info;
	int sock = tn_raw_hello(d.socket);

	for (;;) {
		tn_raw_request(&p, TN_MSG_LIST, 1, &first, sizeof(first));
		assert_int_equal(tn_raw_exchange(sock, &p), 0);
		memcpy(&list, p.data + sizeof(struct tn_msg), sizeof(list));
		if (!list.n)
			break;
		memcpy(&info, p.data + sizeof(struct tn_msg) + sizeof(list),
		       sizeof(info));
		assert_int_equal(tn_raw_destroy(sock, info.name), 0);
	}
	close(sock);
	return true;
}

static void another_is_served_under_every_attack(void **state)
{
	struct tn_attack_run run;

	(void)state;
	tn_test_skip_unless_root();
	for (const struct tn_attack *a = tn_attacks; a->name; a++) {
		int r;

		alarm(TN_TEST_SECONDS); /* for each of them */
		tn_attack_begin(&run, a, d.socket, ATTACKER);
		usleep(200000);
		r = tn_test_wait(tn_test_spawn_as(VICTIM, VICTIM, live_on,
						  "victim"));
		tn_attack_end(&run);
		if (r)
			fail_msg("not while it '%s': %d", a->name, r);
		/* one that was just being reserved comes later */
		tn_test_eventually(destroy_pools() &&
				   tn_test_fd_count(d.pid) == baseline);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(unread_descriptors_count_until_they_are_read),
		TEST(nobody_has_more_of_them_under_way_than_connections),
		TEST(another_is_served_under_every_attack),
		TEST(descriptors_are_kept_for_those_who_have_few),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
