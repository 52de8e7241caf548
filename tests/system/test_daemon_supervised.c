/* SPDX-License-Identifier: BSD-2-Clause */
/* A tarnd that is killed is back at once, and nothing is lost. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tarn/admin.h"
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

/* One of each kind, about a pool that is there. */
static void ask(struct tarn *t, int i)
{
	struct tarn_pool_info info;
	struct tarn_pool *again;

	switch (i % 4) {
	case 0:
		assert_int_equal(tarn_ping(t), 0);
		break;
	case 1:
		assert_int_equal(tarn_pool_stat(t, "p", &info), 0);
		assert_int_equal(info.n_clients, 1);
		break;
	case 2:
		assert_int_equal(tarn_pool_open(t, "p", TARN_PRODUCER, &again),
				 0);
		tarn_pool_close(again);
		break;
	default:
		assert_int_equal(tarn_pool_create(t, "q", TARN_POOL_OPTS(
					.bytes = 1 << 20)), 0);
		assert_int_equal(tarn_pool_destroy(t, "q"), 0);
	}
}

static int n_kills(void)
{
	const char *n = getenv("TARN_SUPERVISED_KILLS");

	return n ? atoi(n) : 40;
}

/* The next request comes at once, when no tarnd is there yet. */
static void a_client_notices_nothing(void **state)
{
	static unsigned char *object[64];
	struct tarn_audit audit = { .sz = sizeof(audit) };
	struct tn_test_daemon d;
	struct tarn_pool *pool;
	int kills = n_kills();
	struct tarn *t;

	(void)state;
	alarm((unsigned)(TN_TEST_SECONDS + kills / 4));
	tn_test_daemon_init(&d);
	tn_test_daemon_supervise(&d, NULL);
	assert_int_equal(tarn_connect(NULL, &t), 0);
	assert_int_equal(tarn_pool_create(t, "p", TARN_POOL_OPTS(
				.bytes = 4 << 20)), 0);
	assert_int_equal(tarn_pool_open(t, "p", TARN_PRODUCER, &pool), 0);
	for (int i = 0; i < kills; i++) {
		unsigned char **o = &object[i % 64];

		tn_test_daemon_crash(&d);
		if (*o) {
			assert_int_equal(**o, (i - 64) % 256);
			assert_int_equal(tarn_free(pool, *o), 0);
		}
		*o = tarn_alloc(pool, 100);
		assert_non_null(*o);
		memset(*o, i % 256, 100);
		ask(t, i);
		tn_test_daemon_await(&d);
	}
	assert_int_equal(tarn_audit(t, "p", 0, &audit), 0);
	tarn_pool_close(pool);
	tarn_disconnect(t);
	print_message("# %d kills\n", kills);
	tn_test_daemon_stop(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(a_new_client_finds_one_whenever_it_comes),
		TN_TEST(a_client_notices_nothing),
	};

	return cmocka_run_group_tests_name("system: tarnd supervised", tests,
					   NULL, NULL);
}
