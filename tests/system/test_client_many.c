/* SPDX-License-Identifier: BSD-2-Clause */
/* As many clients as a pool takes, all of this one process. */
#include "tests/lib/tn_test.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>

#include "tarn/stats.h"
#include "tests/lib/tn_view.h"

#define MIB ((uint64_t)1 << 20)
#define N 1000

static struct tarn_pool *pool[N + 1];

static void allow_descriptors(void)
{
	struct rlimit l;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &l), 0);
	l.rlim_cur = l.rlim_max < 8192 ? l.rlim_max : 8192;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &l), 0);
	if (l.rlim_cur < 4096) {
		print_message("too few descriptors allowed\n");
		skip();
	}
}

/* All hold one object, and leave it one by one; the last one frees it. */
static void hold_and_release(struct tarn_pool **p)
{
	tarn_ref ref = tarn_ref_of(p[0], tarn_alloc(p[0], 64));

	assert_int_equal(tarn_share(p[0], ref), 0);
	for (unsigned i = 1; i < N; i++)
		assert_int_equal(tarn_hold(p[i], ref), 0);
	for (unsigned i = 0; i < N / 2; i++)
		assert_int_equal(tarn_release(p[i], ref), 0);
	/* the other half leaves without a word */
	for (unsigned i = N / 2; i < N; i++) {
		assert_int_equal(tarn_usable_bytes(p[0], tarn_ptr(p[0], ref)),
				 64);
		tarn_pool_close(p[i]);
	}
	assert_int_equal(tarn_usable_bytes(p[0], tarn_ptr(p[0], ref)), 0);
}

static void a_thousand_clients_share_an_object(void **state)
{
	struct tn_test_daemon d;
	struct tarn *t;
	void *p;

	(void)state;
	allow_descriptors();
	tn_test_daemon_init(&d);
	tn_test_daemon_start(&d, NULL);
	assert_int_equal(tarn_connect(NULL, &t), 0);
	assert_int_equal(tarn_pool_create(t, "p",
				TARN_POOL_OPTS(.bytes = 8 * MIB)), 0);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(tarn_pool_open(t, "p", TARN_PRODUCER,
						&pool[i]), 0);
	assert_int_equal(tarn_pool_open(t, "p", TARN_PRODUCER, &pool[N]),
			 -EUSERS);
	for (unsigned i = 0; i < N; i++) {
		p = tarn_alloc(pool[i], 100);
		assert_non_null(p);
		assert_int_equal(tarn_free(pool[i], p), 0);
	}
	hold_and_release(pool);
	/* and now there is room again */
	assert_int_equal(tarn_pool_open(t, "p", TARN_PRODUCER, &pool[N]), 0);
	for (unsigned i = 0; i < N / 2; i++)
		tarn_pool_close(pool[i]);
	assert_null(tn_view_not_pristine(pool[N]));
	tarn_pool_close(pool[N]);
	tarn_disconnect(t);
	tn_test_daemon_stop(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(a_thousand_clients_share_an_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
