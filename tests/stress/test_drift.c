/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nothing grows in tarnd: its descriptors are as many as before, and its
 * memory, after very many connections and very many turns of attach, allocate,
 * free and leave. TARN_DRIFT_CONNECTS, TARN_DRIFT_ATTACHES: how many, in all;
 * TARN_DRIFT_ALLOCS: how many for each attachment.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tarn/admin.h"
#include "tests/lib/tn_test.h"
#include "tests/lib/tn_trace.h"

#define WORKERS 2

static struct tn_test_daemon d;

static long setting(const char *name, long otherwise)
{
	const char *s = getenv(name);

	return s ? atol(s) : otherwise;
}

static long status_kib(pid_t pid, const char *field)
{
	char path[64], line[256];
	long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (!kib && fgets(line, sizeof(line), f))
		if (!strncmp(line, field, strlen(field)))
			kib = atol(line + strlen(field));
	fclose(f);
	return kib;
}

static int connect_often(void *arg)
{
	long n = *(long *)arg;
	struct tarn *t;

	alarm(0);
	for (long i = 0; i < n; i++) {
		if (tarn_connect(d.socket, &t) < 0)
			return 1;
		tarn_disconnect(t);
	}
	return 0;
}

static int attach_often(void *arg)
{
	long n = *(long *)arg, allocs = setting("TARN_DRIFT_ALLOCS", 10);
	struct tarn_pool *pool;
	struct tarn *t;
	void *p;

	alarm(0);
	if (tarn_connect(d.socket, &t) < 0)
		return 1;
	for (long i = 0; i < n; i++) {
		if (tarn_pool_open(t, "drift", TARN_PRODUCER, &pool) < 0)
			return 2;
		for (long k = 0; k < allocs; k++) {
			p = tarn_alloc(pool, 16 + (size_t)(k * 40 % 4000));
			if (!p || tarn_free(pool, p) < 0)
				return 3;
		}
		tarn_pool_close(pool);
	}
	tarn_disconnect(t);
	return 0;
}

static void run(int (*fn)(void *), long n)
{
	pid_t pids[WORKERS];
	long each = n / WORKERS;

	for (int i = 0; i < WORKERS; i++)
		pids[i] = tn_test_spawn(fn, &each);
	for (int i = 0; i < WORKERS; i++)
		assert_int_equal(tn_test_wait(pids[i]), 0);
}

/* What it has looked at of a pool's metadata is resident in it, too, and the
 * pool's memory. What counts is its own. */
static void daemon_is_as_it_was(const char *what, int (*fn)(void *), long n)
{
	long before, after, all;
	int fds;

	run(fn, 1000); /* what it takes once */
	usleep(100000);
	fds = tn_test_fd_count(d.pid);
	before = status_kib(d.pid, "RssAnon:");
	all = status_kib(d.pid, "VmRSS:");
	run(fn, n);
	tn_test_eventually(tn_test_fd_count(d.pid) == fds);
	after = status_kib(d.pid, "RssAnon:");
	printf("# %ld %s: %d descriptors before and after, "
	       "%ld KiB of its own before, %ld after; resident %ld, %ld\n", n,
	       what, fds, before, after, all, status_kib(d.pid, "VmRSS:"));
	/* a sanitizer keeps what was freed */
	assert_true(TN_SANITIZED || after - before < 1024);
}

static int setup(void **state)
{
	struct tarn *t;

	tn_test_setup(state);
	alarm(0); /* the caller's limit counts */
	tn_test_daemon_init(&d);
	tn_test_daemon_start(&d, NULL);
	assert_int_equal(tarn_connect(NULL, &t), 0);
	assert_int_equal(tarn_pool_create(t, "drift", TARN_POOL_OPTS(
		.bytes = 16 << 20)), 0);
	tarn_disconnect(t);
	return 0;
}

static int teardown(void **state)
{
	tn_test_daemon_stop(&d);
	return tn_test_teardown(state);
}

static void connections_leave_nothing(void **state)
{
	(void)state;
	daemon_is_as_it_was("connections", connect_often,
			    setting("TARN_DRIFT_CONNECTS", 5000));
}

static void attachments_leave_nothing(void **state)
{
	(void)state;
	daemon_is_as_it_was("attachments", attach_often,
			    setting("TARN_DRIFT_ATTACHES", 2000));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(connections_leave_nothing),
		TEST(attachments_leave_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
