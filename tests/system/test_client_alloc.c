/* SPDX-License-Identifier: BSD-2-Clause */
/* libtarn over a real tarnd: allocation, and what is no proper use of it. */
#include "tests/lib/tn_test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tarn/stats.h"
#include "tests/lib/tn_view.h"

#define MIB ((uint64_t)1 << 20)

static struct tn_test_daemon daemon_;
static struct tarn *t;
static struct tarn_pool *pool;

static int start(void **state)
{
	int r = tn_test_setup(state);

	tn_test_daemon_init(&daemon_);
	tn_test_daemon_start(&daemon_, NULL);
	assert_int_equal(tarn_connect(NULL, &t), 0);
	assert_int_equal(tarn_pool_create(t, "p",
				TARN_POOL_OPTS(.bytes = 8 * MIB)), 0);
	assert_int_equal(tarn_pool_open(t, "p", TARN_PRODUCER, &pool), 0);
	return r;
}

static int stop(void **state)
{
	tarn_pool_close(pool);
	tarn_disconnect(t);
	tn_test_daemon_stop(&daemon_);
	return tn_test_teardown(state);
}

static struct tarn_pool *open_as(enum tarn_role role)
{
	struct tarn_pool *p = NULL;

	assert_int_equal(tarn_pool_open(t, "p", role, &p), 0);
	return p;
}

static uint64_t live_bytes(void)
{
	struct tarn_stats st = { .sz = sizeof(st) };

	assert_int_equal(tarn_stats(pool, &st), 0);
	tarn_stats_free(&st);
	return st.live_bytes;
}

#define assert_errno(e, call) \
	do { \
		errno = 0; \
		assert_null(call); \
		assert_int_equal(errno, e); \
	} while (0)

static void every_size_is_served_and_may_be_filled(void **state)
{
	unsigned char *p;

	(void)state;
	for (size_t size = 1; size < 4 * MIB; size += 1 + size / 3) {
		p = tarn_alloc(pool, size);
		assert_non_null(p);
		assert_true((uintptr_t)p % 16 == 0);
		assert_true(tarn_usable_bytes(pool, p) >= size);
		memset(p, 0xa5, size);
		assert_int_equal(tarn_free(pool, p), 0);
		assert_int_equal(tarn_usable_bytes(pool, NULL), 0);
	}
}

static void sizes_that_cannot_be_are_refused(void **state)
{
	volatile size_t huge = SIZE_MAX; /* the compiler would warn of it */

	(void)state;
	assert_errno(EINVAL, tarn_alloc(pool, 0));
	assert_errno(EINVAL, tarn_alloc(pool, huge));
	assert_errno(EINVAL, tarn_alloc(pool, huge - 4095));
	assert_errno(EINVAL, tarn_alloc(pool, 4 * MIB + 1));
	assert_errno(EINVAL, tarn_alloc(pool, 8 * MIB));
	assert_errno(EINVAL, tarn_zalloc(pool, 0));
	assert_errno(EINVAL, tarn_realloc(pool, NULL, 0));
	assert_errno(EINVAL, tarn_run_alloc(pool, 0, 0));
	assert_errno(EINVAL, tarn_run_alloc(pool, SIZE_MAX, 0));
	assert_errno(EINVAL, tarn_run_alloc(pool, 1025, 0));
	assert_errno(EINVAL, tarn_run_alloc(pool, 1, 4));
	assert_non_null(tarn_run_alloc(pool, 1024, TARN_WORST_FIT));
}

static void alignments_are_kept_or_refused(void **state)
{
	(void)state;
	assert_errno(EINVAL, tarn_alloc_aligned(pool, 0, 8));
	assert_errno(EINVAL, tarn_alloc_aligned(pool, 3, 8));
	assert_errno(EINVAL, tarn_alloc_aligned(pool, 48, 8));
	assert_errno(EINVAL, tarn_alloc_aligned(pool, 4 * MIB, 8));
	assert_errno(EINVAL, tarn_alloc_aligned(pool, 64, 0));
	assert_errno(EINVAL, tarn_alloc_aligned(pool, 8192, 0));
	for (size_t align = 1; align <= 2 * MIB; align *= 2)
		for (size_t size = 1; size <= 65536; size *= 3) {
			void *p = tarn_alloc_aligned(pool, align, size);

			assert_non_null(p);
			assert_int_equal((uintptr_t)p % align, 0);
			assert_true(tarn_usable_bytes(pool, p) >= size);
			assert_int_equal(tarn_free(pool, p), 0);
		}
}

static void zalloc_clears_what_was_used_before(void **state)
{
	unsigned char *p = tarn_alloc(pool, 1000), *q;

	(void)state;
	memset(p, 0xff, 1000);
	assert_int_equal(tarn_free(pool, p), 0);
	q = tarn_zalloc(pool, 1000);
	assert_ptr_equal(p, q);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(q[i], 0);
}

static void realloc_keeps_the_contents(void **state)
{
	unsigned char *p = NULL;
	size_t size = 1;

	(void)state;
	for (; size < 3 * MIB; size = size * 5 / 3 + 1) {
		p = tarn_realloc(pool, p, size);
		assert_non_null(p);
		for (size_t i = 0; i < size / 2; i++)
			assert_int_equal(p[i], i % 251);
		for (size_t i = 0; i < size; i++)
			p[i] = (unsigned char)(i % 251);
	}
	for (; size > 1; size /= 2) {
		p = tarn_realloc(pool, p, size / 2 + 1);
		assert_non_null(p);
		assert_int_equal(p[size / 4], size / 4 % 251);
	}
	assert_errno(EINVAL, tarn_realloc(pool, p + 1, 100));
	assert_int_equal(tarn_free(pool, p), 0);
	assert_errno(EALREADY, tarn_realloc(pool, p, 100));
}

static void wrong_frees_are_told_apart(void **state)
{
	struct tarn_pool *other = open_as(TARN_PRODUCER);
	char *p = tarn_alloc(pool, 100), *run = tarn_alloc(pool, 100000), here;
	struct tarn_cache *cache;
	char *obj;

	(void)state;
	assert_int_equal(tarn_free(pool, NULL), 0);
	assert_int_equal(tarn_free(pool, p + 1), -EINVAL);
	assert_int_equal(tarn_free(pool, p + 16), -EINVAL);
	assert_int_equal(tarn_free(pool, run + 1), -EINVAL);
	assert_int_equal(tarn_free(pool, run + 4096), -EINVAL);
	assert_int_equal(tarn_free(pool, &here), -EINVAL);
	assert_int_equal(tarn_free(pool, (char *)tarn_ptr(pool,
			tarn_ref_of(pool, p)) + 4 * MIB), -EINVAL);
	/* `other` is another client: what we hold is not its to free */
	assert_int_equal(tarn_free(other, tarn_ptr(other,
			tarn_ref_of(pool, p))), -EPERM);
	assert_int_equal(tarn_free(other, p), -EINVAL);
	assert_int_equal(tarn_run_free(pool, p), -EINVAL);
	assert_int_equal(tarn_cache_open(pool, "c", 100, 0, &cache), 0);
	assert_int_equal(tarn_cache_free(cache, p), -EINVAL);
	obj = tarn_cache_alloc(cache);
	assert_non_null(obj);
	assert_int_equal(tarn_cache_free(cache, obj), 0);
	assert_int_equal(tarn_cache_free(cache, obj), -EALREADY);
	tarn_cache_close(cache);
	assert_int_equal(tarn_free(pool, p), 0);
	assert_int_equal(tarn_free(pool, p), -EALREADY);
	assert_int_equal(tarn_free(pool, run), 0);
	assert_int_equal(tarn_free(pool, run), -EINVAL);
	tarn_pool_close(other);
}

static int free_twice(void *arg)
{
	struct tarn_pool *p;
	void *obj;

	(void)arg;
	if (tarn_connect(NULL, &t) ||
	    tarn_pool_open(t, "strict", TARN_PRODUCER, &p))
		return 1;
	obj = tarn_alloc(p, 64);
	tarn_free(p, obj);
	tarn_free(p, obj);
	return 2;
}

static void misuse_aborts_where_the_pool_says_so(void **state)
{
	(void)state;
	assert_int_equal(tarn_pool_create(t, "strict",
		TARN_POOL_OPTS(.bytes = MIB,
			       .flags = TARN_POOL_ABORT_ON_MISUSE)), 0);
	assert_int_equal(tn_test_wait(tn_test_spawn(free_twice, NULL)),
			 128 + SIGABRT);
}

static void a_full_pool_says_enomem_and_works_afterwards(void **state)
{
	static void *p[200000];
	unsigned n = 0, size = 16;

	(void)state;
	while ((p[n] = tarn_alloc(pool, size))) {
		n++;
		size = size % 5000 + 61;
	}
	assert_int_equal(errno, ENOMEM);
	assert_true(n > 1000);
	assert_errno(ENOMEM, tarn_alloc(pool, 4 * MIB));
	for (unsigned i = 0; i < n; i += 2)
		assert_int_equal(tarn_free(pool, p[i]), 0);
	for (unsigned i = 0; i < n; i += 2) {
		p[i] = tarn_alloc(pool, 32);
		assert_non_null(p[i]);
	}
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(tarn_free(pool, p[i]), 0);
	p[0] = tarn_alloc(pool, 4 * MIB);
	assert_non_null(p[0]);
	assert_int_equal(tarn_free(pool, p[0]), 0);
	assert_int_equal(live_bytes(), 0);
}

static void a_closed_pool_is_told(void **state)
{
	struct tarn_pool *p = open_as(TARN_PRODUCER);
	void *obj = tarn_alloc(p, 64);
	struct tarn_stats st = { .sz = sizeof(st) };

	(void)state;
	tarn_pool_close(p);
	assert_errno(EBADF, tarn_alloc(p, 64));
	assert_errno(EBADF, tarn_alloc(p, 100000));
	assert_errno(EBADF, tarn_run_alloc(p, 1, 0));
	assert_errno(EBADF, tarn_realloc(p, obj, 10));
	assert_int_equal(tarn_free(p, obj), -EBADF);
	assert_int_equal(tarn_trim(p, NULL), -EBADF);
	assert_int_equal(tarn_stats(p, &st), -EBADF);
	assert_int_equal(tarn_give(p, 1, 1), -EBADF);
	assert_int_equal(tarn_root_set(p, "x", 0), -EBADF);
	assert_int_equal(tarn_ref_of(p, obj), TARN_REF_NONE);
	assert_int_equal(tarn_usable_bytes(p, obj), 0);
	tarn_pool_close(p);
	tarn_pool_close(NULL);
}

static void trim_gives_memory_back_to_the_system(void **state)
{
	struct tarn_stats st = { .sz = sizeof(st) };
	char *p = tarn_alloc(pool, 4 * MIB), *small[100];
	uint64_t bytes;

	(void)state;
	memset(p, 1, 4 * MIB);
	for (unsigned i = 0; i < 100; i++)
		memset(small[i] = tarn_alloc(pool, 5000), 2, 5000);
	assert_int_equal(tarn_stats(pool, &st), 0);
	tarn_stats_free(&st);
	assert_true(st.data_resident >= 4 * MIB + 500000);
	assert_int_equal(tarn_free(pool, p), 0);
	assert_int_equal(tarn_trim(pool, &bytes), 0);
	assert_true(bytes >= 4 * MIB);
	assert_int_equal(tarn_stats(pool, &st), 0);
	tarn_stats_free(&st);
	assert_true(st.data_resident < MIB);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(small[i][4999], 2);
		assert_int_equal(tarn_free(pool, small[i]), 0);
	}
	assert_int_equal(tarn_trim(pool, &bytes), 0);
	assert_int_equal(tarn_stats(pool, &st), 0);
	tarn_stats_free(&st);
	assert_int_equal(st.data_resident, 0);
	assert_null(tn_view_not_pristine(pool));
}

static void *some_work(void *arg)
{
	void *p[300];

	(void)arg;
	for (unsigned i = 0; i < 300; i++)
		p[i] = tarn_alloc(pool, 16 + i * 7);
	for (unsigned i = 0; i < 300; i++)
		tarn_free(pool, p[i]);
	return NULL;
}

/* Of the 16 pages of the table of clients, one has been written to. */
static void looking_at_a_pool_gives_it_no_memory(void **state)
{
	struct tarn_stats st = { .sz = sizeof(st) };
	void *p = tarn_alloc(pool, 64);

	(void)state;
	assert_non_null(p);
	assert_int_equal(tarn_stats(pool, &st), 0);
	assert_int_equal(st.n_clients, 1);
	assert_int_equal(st.clients[0].id, tarn_client_id(pool));
	assert_in_range(st.meta_resident, 4096, 24 * 4096);
	tarn_stats_free(&st);
	assert_int_equal(tarn_free(pool, p), 0);
}

static void a_thread_that_ends_gives_its_lane_back(void **state)
{
	pthread_t thread;
	struct tarn_stats st = { .sz = sizeof(st) };

	(void)state;
	for (unsigned i = 0; i < 1024 + 200; i++) {
		assert_int_equal(pthread_create(&thread, NULL, some_work,
						NULL), 0);
		pthread_join(thread, NULL);
	}
	assert_int_equal(tarn_stats(pool, &st), 0);
	tarn_stats_free(&st);
	assert_int_equal(st.cached_bytes, 0);
	assert_null(tn_view_not_pristine(pool));
}

static int use_after_fork(void *arg)
{
	char *p = arg, *mine;
	uint32_t parent = tarn_client_id(pool);

	if (memcmp(p, "hello", 6))
		return 1; /* reading is fine */
	mine = tarn_alloc(pool, 64);
	if (!mine || tarn_client_id(pool) == parent)
		return 2;
	if (mine == p || tarn_free(pool, p) != -EPERM)
		return 3; /* the parent holds it */
	if (!tarn_alloc(pool, 100000) || tarn_free(pool, mine))
		return 4;
	if (tarn_detach(pool, tarn_ref_of(pool, tarn_alloc(pool, 64))))
		return 5;
	tarn_pool_close(pool);
	tarn_disconnect(t);
	return 0;
}

static void a_forked_child_becomes_a_client_of_its_own(void **state)
{
	char *p = strcpy(tarn_alloc(pool, 64), "hello");
	uint64_t before = live_bytes();

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(tn_test_wait(tn_test_spawn(use_after_fork,
							    p)), 0);
		/* what it detached is all that it left */
		assert_int_equal(live_bytes(), before + 64 * (i + 1));
	}
	assert_string_equal(p, "hello");
	assert_int_equal(tarn_free(pool, p), 0);
}

/* Forks while other threads are inside of tarn_alloc and tarn_free. */
static _Atomic int forking;

static void *busy(void *arg)
{
	void *p[64] = { NULL };

	for (unsigned i = 0; forking; i++) {
		if (tarn_free(pool, p[i % 64]))
			abort();
		p[i % 64] = tarn_alloc(pool, 16 + i * 13 % 5000);
	}
	for (unsigned i = 0; i < 64; i++)
		tarn_free(pool, p[i]);
	return arg;
}

static int fork_amid(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 200; i++) {
		void *p = tarn_alloc(pool, 16 + i * 31);

		if (!p || tarn_free(pool, p))
			return 1;
	}
	return 0; /* without a word to tarnd: as good as killed */
}

static void a_fork_amid_other_threads_calls_is_harmless(void **state)
{
	struct tarn_stats st = { .sz = sizeof(st) };
	pthread_t thread[2];

	(void)state;
	forking = 1;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, busy, NULL),
				 0);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(tn_test_wait(tn_test_spawn(fork_amid, NULL)),
				 0);
	forking = 0;
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(tarn_trim(pool, NULL), 0);
	tn_test_eventually(!tn_view_not_pristine(pool));
	assert_int_equal(tarn_stats(pool, &st), 0);
	tarn_stats_free(&st);
	assert_int_equal(st.live_objects, 0);
}

#define CLIENT_TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLIENT_TEST(every_size_is_served_and_may_be_filled),
		CLIENT_TEST(sizes_that_cannot_be_are_refused),
		CLIENT_TEST(alignments_are_kept_or_refused),
		CLIENT_TEST(zalloc_clears_what_was_used_before),
		CLIENT_TEST(realloc_keeps_the_contents),
		CLIENT_TEST(wrong_frees_are_told_apart),
		CLIENT_TEST(misuse_aborts_where_the_pool_says_so),
		CLIENT_TEST(a_full_pool_says_enomem_and_works_afterwards),
		CLIENT_TEST(a_closed_pool_is_told),
		CLIENT_TEST(trim_gives_memory_back_to_the_system),
		CLIENT_TEST(looking_at_a_pool_gives_it_no_memory),
		CLIENT_TEST(a_thread_that_ends_gives_its_lane_back),
		CLIENT_TEST(a_forked_child_becomes_a_client_of_its_own),
		CLIENT_TEST(a_fork_amid_other_threads_calls_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
