/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/policy.h"

#include "proto/layout.h"
#include "tests/lib/tn_test.h"

#define OWNER 100U
#define GROUP 200U

static gid_t supplementary[] = { 300, GROUP };
static const struct peer owner = { .uid = OWNER, .gid = 1, .pidfd = -1 };
static const struct peer root = { .uid = 0, .gid = 0, .pidfd = -1 };
static const struct peer member = { .uid = 5, .gid = GROUP, .pidfd = -1 };
static const struct peer late_member = {
	.uid = 6, .gid = 1, .groups = supplementary, .n_groups = 2,
	.pidfd = -1,
};
static const struct peer other = { .uid = 7, .gid = 7, .pidfd = -1 };
static const struct peer nobody = {
	.uid = POLICY_NOBODY, .gid = POLICY_NOBODY, .pidfd = -1,
};

/* The roles a peer may open, one bit each. */
static unsigned roles(const struct peer *peer, uint32_t mode)
{
	const struct access access = { OWNER, GROUP, mode };
	unsigned ret = 0;

	for (uint32_t role = 0; role < 8; role++)
		if (policy_may_open(peer, &access, role))
			ret |= 1U << role;
	return ret;
}

#define P (1U << TN_PRODUCER)
#define C (1U << TN_CONSUMER)
#define O (1U << TN_OBSERVER)

static void owner_and_root_have_every_role(void **state)
{
	(void)state;
	assert_int_equal(roles(&owner, 0), P | C | O);
	assert_int_equal(roles(&root, 0), P | C | O);
}

static void the_group_has_what_its_digit_says(void **state)
{
	const struct peer *both[] = { &member, &late_member };

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(roles(both[i], 0000), 0);
		assert_int_equal(roles(both[i], 0040), O);
		assert_int_equal(roles(both[i], 0020), C | O);
		assert_int_equal(roles(both[i], 0060), P | C | O);
		/* as of a file: the group digit, not the better of two */
		assert_int_equal(roles(both[i], 0006), 0);
	}
}

static void others_have_what_their_digit_says(void **state)
{
	(void)state;
	assert_int_equal(roles(&other, 0660), 0);
	assert_int_equal(roles(&other, 0004), O);
	assert_int_equal(roles(&other, 0002), C | O);
	assert_int_equal(roles(&other, 0006), P | C | O);
}

static void only_owner_and_root_destroy_and_audit(void **state)
{
	const struct access access = { OWNER, GROUP, 0666 };

	(void)state;
	assert_true(policy_may_destroy(&owner, &access));
	assert_true(policy_may_destroy(&root, &access));
	assert_false(policy_may_destroy(&member, &access));
	assert_false(policy_may_destroy(&other, &access));
	assert_true(policy_may_audit(&owner, &access));
	assert_true(policy_may_audit(&root, &access));
	assert_false(policy_may_audit(&member, &access));
	assert_false(policy_may_audit(&other, &access));
}

static void a_pool_is_created_for_a_group_one_is_in(void **state)
{
	(void)state;
	assert_true(policy_may_create(&late_member, GROUP));
	assert_true(policy_may_create(&other, 7));
	assert_false(policy_may_create(&other, GROUP));
	assert_true(policy_may_create(&root, GROUP));
}

static void users_that_are_unknown_own_nothing(void **state)
{
	const struct access access = { POLICY_NOBODY, 1, 0004 };

	(void)state;
	assert_false(policy_may_create(&nobody, POLICY_NOBODY));
	assert_false(policy_may_destroy(&nobody, &access));
	assert_false(policy_may_open(&nobody, &access, TN_PRODUCER));
	assert_true(policy_may_open(&nobody, &access, TN_OBSERVER));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(owner_and_root_have_every_role),
		TN_TEST(the_group_has_what_its_digit_says),
		TN_TEST(others_have_what_their_digit_says),
		TN_TEST(only_owner_and_root_destroy_and_audit),
		TN_TEST(a_pool_is_created_for_a_group_one_is_in),
		TN_TEST(users_that_are_unknown_own_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
