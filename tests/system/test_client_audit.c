/* SPDX-License-Identifier: BSD-2-Clause */
/* tarn_audit() against a real tarnd; what it finds is in tests/unit/. */
#include "tests/lib/tn_test.h"

#include <errno.h>
#include <string.h>

#include <tarn/admin.h>
#include <tarn/tarn.h>

#include "proto/layout.h"
#include "tests/lib/tn_view.h"

#define MIB ((uint64_t)1 << 20)

static struct tn_test_daemon tarnd;
static struct tarn *tarn;

static int setup(void **state)
{
	int r = tn_test_setup(state);

	tn_test_daemon_init(&tarnd);
	tn_test_daemon_start(&tarnd, NULL);
	assert_int_equal(tarn_connect(NULL, &tarn), 0);
	return r;
}

static int teardown(void **state)
{
	tarn_disconnect(tarn);
	tn_test_daemon_stop(&tarnd);
	return tn_test_teardown(state);
}

static struct tarn_pool *new_pool(const char *name, uint64_t bytes)
{
	struct tarn_pool *pool;

	assert_int_equal(tarn_pool_create(tarn, name,
			 TARN_POOL_OPTS(.bytes = bytes)), 0);
	assert_int_equal(tarn_pool_open(tarn, name, TARN_PRODUCER, &pool), 0);
	return pool;
}

static void wrong_arguments_are_refused(void **state)
{
	struct tarn_audit a = { .sz = sizeof(a) - 8 };

	(void)state;
	tarn_pool_close(new_pool("p", MIB));
	assert_int_equal(tarn_audit(tarn, "p", 0, &a), -EINVAL);
	a.sz = sizeof(a);
	assert_int_equal(tarn_audit(tarn, "p", 1U << 7, &a), -EINVAL);
	assert_int_equal(tarn_audit(tarn, "q", 0, &a), -ENOENT);
	assert_int_equal(tarn_audit(tarn, "", 0, &a), -ENOENT);
	assert_int_equal(a.pages, 0);
	assert_int_equal(tarn_audit(tarn, "p", 0, &a), 0);
	assert_int_equal(a.pages, 256);
}

static void what_is_there_is_counted(void **state)
{
	struct tarn_pool *pool = new_pool("p", 16 * MIB), *other;
	struct tarn_audit a = { .sz = sizeof(a) };
	tarn_ref ref[4];

	(void)state;
	assert_int_equal(tarn_pool_open(tarn, "p", TARN_PRODUCER, &other), 0);
	for (int i = 0; i < 4; i++)
		ref[i] = tarn_ref_of(pool, tarn_alloc(pool, 1000));
	assert_int_equal(tarn_detach(pool, ref[1]), 0);
	assert_int_equal(tarn_share(pool, ref[2]), 0);
	assert_int_equal(tarn_hold(other, ref[2]), 0);
	assert_int_equal(tarn_give(pool, ref[3], tarn_client_id(other)), 0);
	ref[0] = tarn_ref_of(pool, tarn_run_alloc(pool, 7, 0));
	assert_int_equal(tarn_share(pool, ref[0]), 0);
	for (uint32_t flags = 0; flags <= TARN_AUDIT_QUIESCENT; flags++) {
		assert_int_equal(tarn_audit(tarn, "p", flags, &a), 0);
		assert_int_equal(a.slots_held, 1);
		assert_int_equal(a.slots_pool, 1);
		assert_int_equal(a.slots_shared, 1);
		assert_int_equal(a.slots_given, 1);
		assert_int_equal(a.holds, 3);
		assert_int_equal(a.runs, 1);
		assert_int_equal(a.runs_shared, 1);
		assert_int_equal(a.pages_run, 7);
		assert_int_equal(a.pages, a.pages_free + a.pages_run +
					  a.pages_slab + a.pages_hand);
		assert_int_equal(a.slots, 4 + a.slots_free + a.slots_kept);
		/* two clients, the auditor and tarnd */
		assert_int_equal(a.n_controls, 4);
		assert_int_equal(a.n_busy, 0);
	}
	tarn_pool_close(other);
	tarn_pool_close(pool);
	assert_int_equal(tarn_audit(tarn, "p", TARN_AUDIT_QUIESCENT, &a), 0);
	assert_int_equal(a.slots_pool, 1);
	assert_int_equal(a.slots, a.slots_free + 1);
	assert_int_equal(a.holds, 0);
}

static void a_pool_that_cannot_be_opened_can_be_audited(void **state)
{
	struct tarn_pool *pool = new_pool("p", MIB), *none;
	struct tarn_audit a = { .sz = sizeof(a) };
	struct tn_header *h = tn_view_of(pool).meta;

	(void)state;
	h->kind = 77;
	assert_int_equal(tarn_pool_open(tarn, "p", TARN_OBSERVER, &none),
			 -EUCLEAN);
	assert_int_equal(tarn_audit(tarn, "p", 0, &a), 1);
	assert_string_equal(a.finding.sentence, "HEADER");
	assert_non_null(strstr(a.finding.text, "kind"));
	assert_true(a.finding.page == TARN_AUDIT_NOWHERE);
	h->kind = TN_KIND_SLAB;
	tarn_pool_close(pool);
	assert_int_equal(tarn_audit(tarn, "p", 0, &a), 0);
	assert_string_equal(a.finding.sentence, "");
}

/* Nothing that nobody used gets memory by being looked at. */
static void an_audit_of_a_large_pool_is_cheap(void **state)
{
	struct tarn_pool *pool = new_pool("p", 64 * 1024 * MIB);
	struct tarn_audit a = { .sz = sizeof(a) };
	struct tarn_pool_info before, after;
	int64_t begin;

	(void)state;
	assert_int_equal(tarn_share(pool, tarn_ref_of(pool,
				    tarn_alloc(pool, 100))), 0);
	assert_int_equal(tarn_pool_stat(tarn, "p", &before), 0);
	begin = tn_test_now_ms();
	assert_int_equal(tarn_audit(tarn, "p", 0, &a), 0);
	print_message("64 GiB: %d ms\n", (int)(tn_test_now_ms() - begin));
	assert_int_equal(a.holds, 1);
	assert_int_equal(tarn_pool_stat(tarn, "p", &after), 0);
	print_message("memory behind the allocator: %u KiB, then %u\n",
		      (unsigned)(before.meta_resident >> 10),
		      (unsigned)(after.meta_resident >> 10));
	assert_true(after.meta_resident < before.meta_resident + MIB);
	tarn_pool_close(pool);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(wrong_arguments_are_refused),
		CASE(what_is_there_is_counted),
		CASE(a_pool_that_cannot_be_opened_can_be_audited),
		CASE(an_audit_of_a_large_pool_is_cheap),
	};

	return cmocka_run_group_tests_name("system: tarn_audit", tests, NULL,
					   NULL);
}
