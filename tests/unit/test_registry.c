/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/registry.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/tn_test.h"

static struct registry registry;
static struct quota quota;
static struct quota_limits limits;

static int setup(void **state)
{
	tn_test_setup(state);
	for (int k = 0; k < QUOTA_N; k++)
		limits.own[k] = limits.others[k] = QUOTA_UNLIMITED;
	quota_init(&quota, &limits);
	registry_init(&registry, NULL);
	return 0;
}

static int teardown(void **state)
{
	registry_fini(&registry);
	quota_fini(&quota);
	return tn_test_teardown(state);
}

static int add(const char *name)
{
	struct pool_spec spec = {
		.bytes = TN_POOL_BYTES_MIN, .kind = TN_KIND_SLAB,
		.policy = TN_FIRST_FIT, .access.uid = 54321,
	};

	struct pool *pool;
	int r;

	snprintf(spec.name, sizeof(spec.name), "%s", name);
	r = registry_add(&registry, &spec, &quota, false, &pool);
	if (r == 0)
		registry_show(pool);
	return r;
}

static void pools_are_found_by_name_and_in_order(void **state)
{
	static const char *const names[] = { "m", "a", "z", "m.1", "m-1" };
	const char *last = "";
	int n = 0;

	(void)state;
	for (int i = 0; i < 5; i++)
		assert_int_equal(add(names[i]), 0);
	for (int i = 0; i < 5; i++) {
		struct pool *p = registry_find(&registry, names[i]);

		assert_string_equal(p->spec.name, names[i]);
	}
	assert_null(registry_find(&registry, "m."));
	for (struct pool *p; (p = registry_after(&registry, last)); n++) {
		assert_true(strcmp(last, p->spec.name) < 0);
		last = p->spec.name;
	}
	assert_int_equal(n, 5);
	assert_string_equal(registry_after(&registry, "b")->spec.name, "m");
}

static void a_name_is_used_once(void **state)
{
	(void)state;
	assert_int_equal(add("p"), 0);
	assert_int_equal(add("p"), REGISTRY_EXISTS);
	registry_remove(&registry, registry_find(&registry, "p"));
	assert_null(registry_find(&registry, "p"));
	assert_int_equal(add("p"), 0);
}

static void marks_differ_and_are_never_zero(void **state)
{
	char name[16];

	(void)state;
	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		assert_int_equal(add(name), 0);
	}
	for (size_t i = 0; i < registry.n; i++) {
		assert_in_range(registry.pools[i]->mark, 1, 65535);
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(registry.pools[i]->mark,
					     registry.pools[k]->mark);
	}
}

static void quota_is_refunded_when_the_memory_goes(void **state)
{
	struct pool *pool;

	(void)state;
	quota.limits.others[QUOTA_POOLS] = 2;
	assert_int_equal(add("a"), 0);
	assert_int_equal(add("b"), 0);
	assert_int_equal(add("c"), REGISTRY_NO_QUOTA);
	pool = pool_ref(registry_find(&registry, "a"));
	registry_remove(&registry, pool);
	/* somebody still has it */
	assert_int_equal(add("c"), REGISTRY_NO_QUOTA);
	pool_unref(pool);
	assert_int_equal(add("c"), 0);
	assert_int_equal(quota_used(&quota, 54321, QUOTA_BYTES),
			 2 * TN_POOL_BYTES_MIN);
}

static void without_quota_nothing_is_left_behind(void **state)
{
	int before = tn_test_fd_count(0);

	(void)state;
	quota.limits.others[QUOTA_BYTES] = TN_POOL_BYTES_MIN - 1;
	assert_int_equal(add("a"), REGISTRY_NO_QUOTA);
	assert_int_equal(quota_used(&quota, 54321, QUOTA_POOLS), 0);
	assert_int_equal(tn_test_fd_count(0), before);
}

static void a_spec_is_checked_in_full(void **state)
{
	const struct pool_spec good = {
		.name = "p", .bytes = TN_POOL_BYTES_MIN + 1,
		.kind = TN_KIND_BUDDY, .policy = TN_BEST_FIT,
	};
	struct pool_spec spec;

	(void)state;
#define SPOILED(field, value) \
	(spec = good, spec.field = (value), pool_spec_check(&spec))
	spec = good;
	assert_null(pool_spec_check(&spec));
	assert_int_equal(spec.bytes, TN_POOL_BYTES_MIN + TN_PAGE_BYTES);
	assert_null(SPOILED(bytes, TN_POOL_BYTES_MAX));
	assert_non_null(SPOILED(bytes, TN_POOL_BYTES_MAX + 1));
	assert_non_null(SPOILED(bytes, TN_POOL_BYTES_MIN - TN_PAGE_BYTES));
	assert_non_null(SPOILED(bytes, 0));
	assert_non_null(SPOILED(bytes, UINT64_MAX));
	assert_non_null(SPOILED(bytes, 1ULL << 63));
	assert_non_null(SPOILED(kind, 0));
	assert_non_null(SPOILED(kind, 3));
	assert_non_null(SPOILED(policy, 0));
	assert_non_null(SPOILED(policy, 4));
	assert_non_null(SPOILED(flags, 4));
	assert_non_null(SPOILED(access.mode, 0100));
	assert_non_null(SPOILED(access.mode, 01666));
	assert_non_null(SPOILED(name[0], '.'));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pools_are_found_by_name_and_in_order),
		TEST(a_name_is_used_once),
		TEST(marks_differ_and_are_never_zero),
		TEST(quota_is_refunded_when_the_memory_goes),
		TEST(without_quota_nothing_is_left_behind),
		TEST(a_spec_is_checked_in_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
