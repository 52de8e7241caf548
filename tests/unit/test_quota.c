/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/quota.h"

#include <unistd.h>

#include "tests/lib/tn_test.h"

#define SOMEBODY ((uid_t)54321)

static const struct quota_limits limits = {
	.own = { QUOTA_UNLIMITED, QUOTA_UNLIMITED, QUOTA_UNLIMITED,
		 QUOTA_UNLIMITED, QUOTA_UNLIMITED, QUOTA_UNLIMITED },
	.others = { [QUOTA_BYTES] = 1000, [QUOTA_POOLS] = 2,
		    [QUOTA_CONNECTIONS] = 3, [QUOTA_ATTACHMENTS] = 4,
		    [QUOTA_DESCRIPTORS] = QUOTA_UNLIMITED },
};

static void what_is_charged_is_refunded_once(void **state)
{
	struct quota_charge charge = QUOTA_CHARGE_NONE;
	struct quota quota;

	(void)state;
	quota_init(&quota, &limits);
	assert_int_equal(quota_charge(&quota, &charge, SOMEBODY, QUOTA_BYTES,
				      600, false), 0);
	assert_int_equal(quota_used(&quota, SOMEBODY, QUOTA_BYTES), 600);
	quota_refund(&charge);
	quota_refund(&charge);
	assert_int_equal(quota_used(&quota, SOMEBODY, QUOTA_BYTES), 0);
	quota_fini(&quota);
}

static void the_limit_may_be_reached_but_not_passed(void **state)
{
	struct quota_charge a = QUOTA_CHARGE_NONE, b = QUOTA_CHARGE_NONE;
	struct quota quota;

	(void)state;
	quota_init(&quota, &limits);
	assert_int_equal(quota_charge(&quota, &a, SOMEBODY, QUOTA_BYTES, 400,
				      false), 0);
	assert_int_equal(quota_charge(&quota, &b, SOMEBODY, QUOTA_BYTES, 601,
				      false), QUOTA_EXCEEDED);
	assert_int_equal(quota_charge(&quota, &b, SOMEBODY, QUOTA_BYTES,
				      UINT64_MAX, false), QUOTA_EXCEEDED);
	assert_int_equal(quota_charge(&quota, &b, SOMEBODY, QUOTA_BYTES, 600,
				      false), 0);
	quota_refund(&a);
	quota_refund(&b);
	quota_fini(&quota);
}

static void users_and_kinds_do_not_share(void **state)
{
	struct quota_charge c[4] = { 0 };
	struct quota quota;

	(void)state;
	quota_init(&quota, &limits);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(quota_charge(&quota, &c[i], SOMEBODY + i / 2,
					      QUOTA_POOLS, 1, false), 0);
	for (unsigned i = 0; i < 4; i++) {
		struct quota_charge more = QUOTA_CHARGE_NONE;

		assert_int_equal(quota_charge(&quota, &more, SOMEBODY + i / 2,
					      QUOTA_POOLS, 1, false),
				 QUOTA_EXCEEDED);
	}
	for (unsigned i = 0; i < 4; i++)
		quota_refund(&c[i]);
	quota_fini(&quota);
}

static void root_and_tarnd_itself_have_limits_of_their_own(void **state)
{
	struct quota_charge a = QUOTA_CHARGE_NONE, b = QUOTA_CHARGE_NONE;
	struct quota quota;

	(void)state;
	quota_init(&quota, &limits);
	assert_int_equal(quota_charge(&quota, &a, 0, QUOTA_BYTES, 1ULL << 50,
				      false), 0);
	assert_int_equal(quota_charge(&quota, &b, geteuid(), QUOTA_BYTES,
				      1ULL << 50, false), 0);
	quota_refund(&a);
	quota_refund(&b);
	quota_fini(&quota);
}

static void a_forced_charge_counts_whatever_the_limit(void **state)
{
	struct quota_charge a = QUOTA_CHARGE_NONE, b = QUOTA_CHARGE_NONE;
	struct quota quota;

	(void)state;
	quota_init(&quota, &limits);
	assert_int_equal(quota_charge(&quota, &a, SOMEBODY, QUOTA_BYTES, 5000,
				      true), 0);
	assert_int_equal(quota_charge(&quota, &b, SOMEBODY, QUOTA_BYTES, 1,
				      false), QUOTA_EXCEEDED);
	quota_refund(&a);
	quota_fini(&quota);
}

/* 6400 for all: 3200 for those who have more than 200 each. */
static void nobody_can_take_the_share_of_another(void **state)
{
	struct quota_charge rich[2] = { 0 }, poor[20] = { 0 };
	struct quota_charge more = QUOTA_CHARGE_NONE;
	struct quota quota;

	(void)state;
	quota_init(&quota, &limits);
	quota.capacity[QUOTA_DESCRIPTORS] = 6400;
	assert_int_equal(quota_charge(&quota, &rich[0], SOMEBODY,
				      QUOTA_DESCRIPTORS, 3201, false),
			 QUOTA_EXCEEDED);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(quota_charge(&quota, &rich[i], SOMEBODY + i,
					      QUOTA_DESCRIPTORS, 1600, false),
				 0);
	assert_int_equal(quota_charge(&quota, &more, SOMEBODY,
				      QUOTA_DESCRIPTORS, 1, false),
			 QUOTA_EXCEEDED);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(quota_charge(&quota, &poor[i], 1 + i,
					      QUOTA_DESCRIPTORS, 200, false),
				 0);
	assert_int_equal(quota_charge(&quota, &more, 1, QUOTA_DESCRIPTORS, 1,
				      false), QUOTA_EXCEEDED);
	assert_int_equal(quota_charge(&quota, &more, 99, QUOTA_DESCRIPTORS, 1,
				      false), QUOTA_EXCEEDED);
	quota_refund(&rich[0]);
	assert_int_equal(quota_charge(&quota, &more, 99, QUOTA_DESCRIPTORS, 1,
				      false), 0);
	quota_refund(&more);
	quota_refund(&rich[1]);
	for (unsigned i = 0; i < 16; i++)
		quota_refund(&poor[i]);
	quota_fini(&quota);
}

static void the_uid_of_tarnd_may_have_all_there_is(void **state)
{
	struct quota_charge c = QUOTA_CHARGE_NONE;
	struct quota quota;

	(void)state;
	quota_init(&quota, &limits);
	quota.capacity[QUOTA_DESCRIPTORS] = 6400;
	assert_int_equal(quota_charge(&quota, &c, geteuid(), QUOTA_DESCRIPTORS,
				      6401, false), QUOTA_EXCEEDED);
	assert_int_equal(quota_charge(&quota, &c, geteuid(), QUOTA_DESCRIPTORS,
				      6400, false), 0);
	quota_refund(&c);
	quota_fini(&quota);
}

static int leak(void *arg)
{
	struct quota_charge a = QUOTA_CHARGE_NONE;
	struct quota quota;

	(void)arg;
	close(2); /* the assertion's words */
	quota_init(&quota, &limits);
	quota_charge(&quota, &a, SOMEBODY, QUOTA_BYTES, 1, false);
	quota_fini(&quota);
	return 0;
}

static void what_is_not_refunded_is_noticed(void **state)
{
	(void)state;
	assert_int_equal(tn_test_wait(tn_test_spawn(leak, NULL)), 128 + 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(what_is_charged_is_refunded_once),
		TN_TEST(the_limit_may_be_reached_but_not_passed),
		TN_TEST(users_and_kinds_do_not_share),
		TN_TEST(root_and_tarnd_itself_have_limits_of_their_own),
		TN_TEST(a_forced_charge_counts_whatever_the_limit),
		TN_TEST(nobody_can_take_the_share_of_another),
		TN_TEST(the_uid_of_tarnd_may_have_all_there_is),
		TN_TEST(what_is_not_refunded_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
