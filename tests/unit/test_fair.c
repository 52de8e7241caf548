/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/fair.h"

#include <string.h>

#include "tests/lib/tn_test.h"

#define N 100

static struct fair fair;
static struct fair_item crowd[N], one, other;

static int setup(void **state)
{
	tn_test_setup(state);
	fair_init(&fair);
	fair_item_init(&one);
	fair_item_init(&other);
	for (int i = 0; i < N; i++)
		fair_item_init(&crowd[i]);
	return 0;
}

static struct fair_item *next(int64_t ns)
{
	struct fair_item *item = fair_next(&fair);

	if (item)
		fair_served(&fair, ns);
	return item;
}

static void items_of_a_user_have_their_turns_in_order(void **state)
{
	(void)state;
	for (int i = 0; i < N; i++)
		fair_add(&fair, &crowd[i], 1);
	for (int i = 0; i < 2 * N; i++) {
		assert_ptr_equal(next(1000), &crowd[i % N]);
		fair_add(&fair, &crowd[i % N], 1);
	}
}

static void an_item_is_due_once_however_often_it_is_added(void **state)
{
	(void)state;
	fair_add(&fair, &one, 1);
	fair_add(&fair, &one, 1);
	assert_ptr_equal(next(1), &one);
	assert_null(next(1));
	fair_add(&fair, &one, 1);
	fair_remove(&one);
	fair_remove(&one);
	assert_null(next(1));
}

/* However many connections the first one has. */
static void who_comes_with_one_thing_waits_for_one_quantum(void **state)
{
	int64_t waited = 0;
	struct fair_item *item;

	(void)state;
	for (int i = 0; i < N; i++)
		fair_add(&fair, &crowd[i], 1);
	assert_ptr_equal(next(10000), &crowd[0]);
	fair_add(&fair, &one, 2);
	while ((item = next(10000)) != &one)
		waited += 10000;
	assert_true(waited <= 50000);
}

/* One thing of the first takes as long as fifty of the second's. */
static void users_have_the_same_time_whatever_a_thing_costs(void **state)
{
	int64_t of_one = 0, of_other = 0;

	(void)state;
	fair_add(&fair, &one, 1);
	fair_add(&fair, &other, 2);
	for (int i = 0; i < 10000; i++) {
		struct fair_item *item = fair_next(&fair);

		if (item == &one) {
			fair_served(&fair, 500000);
			of_one += 500000;
			fair_add(&fair, &one, 1);
		} else {
			assert_ptr_equal(item, &other);
			fair_served(&fair, 10000);
			of_other += 10000;
			fair_add(&fair, &other, 2);
		}
	}
	assert_true(of_one < of_other + 1000000);
	assert_true(of_other < of_one + 1000000);
}

static void nothing_is_saved_up_by_being_idle(void **state)
{
	int of_one = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		fair_add(&fair, &one, 1);
		next(1);
	}
	for (int i = 0; i < N; i++)
		fair_add(&fair, &crowd[i], 1);
	fair_add(&fair, &other, 2);
	while (next(10000) != &other)
		of_one++;
	assert_true(of_one <= 5);
}

static void users_who_share_a_place_are_all_served(void **state)
{
	(void)state;
	fair_add(&fair, &one, 7);
	fair_add(&fair, &other, 7 + FAIR_USERS);
	assert_ptr_equal(next(1), &one);
	assert_ptr_equal(next(1), &other);
	assert_null(next(1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, \
						   tn_test_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(items_of_a_user_have_their_turns_in_order),
		TEST(an_item_is_due_once_however_often_it_is_added),
		TEST(who_comes_with_one_thing_waits_for_one_quantum),
		TEST(users_have_the_same_time_whatever_a_thing_costs),
		TEST(nothing_is_saved_up_by_being_idle),
		TEST(users_who_share_a_place_are_all_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
