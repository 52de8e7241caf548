/* SPDX-License-Identifier: BSD-2-Clause */
/* A tarnd that is killed is back at once, for whoever asks it next. */
#include <signal.h>
#include <unistd.h>

#include "tarn/tarn.h"
#include "tests/lib/tn_test.h"

static void a_new_client_finds_one_whenever_it_comes(void **state)
{
	struct tn_test_daemon d;
	struct tarn *t;

	(void)state;
	tn_test_daemon_init(&d);
	tn_test_daemon_supervise(&d, NULL);
	for (int i = 0; i < 20; i++) {
		pid_t pid = d.pid;

		tn_test_daemon_crash(&d);
		/* it waits in the queue of the socket, not for the status */
		assert_int_equal(tarn_connect(NULL, &t), 0);
		tarn_disconnect(t);
		tn_test_daemon_await(&d);
		assert_int_not_equal(d.pid, pid);
	}
	tn_test_daemon_stop(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(a_new_client_finds_one_whenever_it_comes),
	};

	return cmocka_run_group_tests_name("system: tarnd supervised", tests,
					   NULL, NULL);
}
