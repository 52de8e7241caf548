/* SPDX-License-Identifier: BSD-2-Clause */
#include <event2/event.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/linger.h"
#include "proto/fdpass.h"
#include "tests/lib/tn_test.h"

static struct event_base *base;
static struct lingerers lingerers;
static int ends[2]; /* tarnd's, the client's */

static int setup(void **state)
{
	tn_test_setup(state);
	base = event_base_new();
	assert_non_null(base);
	tn_list_init(&lingerers.list);
	assert_int_equal(lingerers_init(&lingerers, base), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
				    ends), 0);
	return 0;
}

static int teardown(void **state)
{
	lingerers_fini(&lingerers);
	event_base_free(base);
	return tn_test_teardown(state);
}

static void hang_up(void)
{
	struct quota_charge none = QUOTA_CHARGE_NONE, fds = QUOTA_CHARGE_NONE;

	linger_add(&lingerers, &ends[0], &none, &fds);
	assert_int_equal(ends[0], -1);
}

/* A descriptor from one end to the other. */
static void pass(int from, int fd)
{
	assert_int_equal(tn_packet_send(from, "x", 1, &fd, 1), 0);
}

static bool is_over_within(int seconds)
{
	int64_t end = tn_test_now_ms() + seconds * 1000;

	while (!tn_list_empty(&lingerers.list) && tn_test_now_ms() < end) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(1000);
	}
	return tn_list_empty(&lingerers.list);
}

static void it_lasts_until_all_is_read(void **state)
{
	struct tn_packet p;

	(void)state;
	pass(ends[0], STDIN_FILENO);
	hang_up();
	assert_false(is_over_within(2));
	assert_int_equal(tn_packet_recv(ends[1], &p, 1), 1);
	tn_packet_close(&p);
	assert_true(is_over_within(5));
	close(ends[1]);
}

static void it_ends_with_the_client(void **state)
{
	(void)state;
	pass(ends[0], STDIN_FILENO);
	hang_up();
	close(ends[1]);
	assert_true(is_over_within(5));
}

static void no_client_can_keep_its_own_end_there(void **state)
{
	(void)state;
	pass(ends[0], STDIN_FILENO);
	assert_int_equal(send(ends[1], "", 0, 0), 0);
	pass(ends[1], ends[1]);
	close(ends[1]);
	hang_up();
	assert_true(is_over_within(5));
}

static void nor_behind_any_number_of_packets(void **state)
{
	const int bytes = 16 << 20;

	(void)state;
	tn_test_skip_unless_root(); /* to have room for so many */
	assert_int_equal(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUFFORCE, &bytes,
				    sizeof(bytes)), 0);
	pass(ends[0], STDIN_FILENO);
	for (int i = 0; i < 5000; i++)
		assert_int_equal(send(ends[1], "", 0, MSG_DONTWAIT), 0);
	pass(ends[1], ends[1]);
	close(ends[1]);
	hang_up();
	assert_true(is_over_within(5));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_lasts_until_all_is_read),
		TEST(it_ends_with_the_client),
		TEST(no_client_can_keep_its_own_end_there),
		TEST(nor_behind_any_number_of_packets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
