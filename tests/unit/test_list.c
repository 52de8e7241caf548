/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/list.h"

#include "tests/lib/tn_test.h"

struct item {
	int value;
	struct tn_list link;
};

static int digits(struct tn_list *list)
{
	int n = 0;

	tn_list_for_each(pos, list)
		n = n * 10 + tn_list_entry(pos, struct item, link)->value;
	return n;
}

static void items_stay_in_order(void **state)
{
	struct tn_list list = TN_LIST_INIT(list);
	struct item items[3] = { { .value = 1 }, { .value = 2 },
				 { .value = 3 } };

	(void)state;
	assert_true(tn_list_empty(&list));
	for (int i = 0; i < 3; i++)
		tn_list_append(&list, &items[i].link);
	assert_int_equal(digits(&list), 123);
	tn_list_remove(&items[1].link);
	assert_int_equal(digits(&list), 13);
	tn_list_append(&list, &items[1].link);
	assert_int_equal(digits(&list), 132);
}

static void taking_out_twice_is_fine(void **state)
{
	struct tn_list list = TN_LIST_INIT(list);
	struct item item = { .value = 4 };

	(void)state;
	tn_list_append(&list, &item.link);
	tn_list_remove(&item.link);
	tn_list_remove(&item.link);
	assert_true(tn_list_empty(&list));
	assert_true(tn_list_empty(&item.link));
}

static void the_item_at_hand_may_leave_in_a_loop(void **state)
{
	struct tn_list list;
	struct item items[4];
	int n = 0;

	(void)state;
	tn_list_init(&list);
	for (int i = 0; i < 4; i++) {
		items[i].value = i;
		tn_list_append(&list, &items[i].link);
	}
	tn_list_for_each(pos, &list) {
		tn_list_remove(pos);
		n++;
	}
	assert_int_equal(n, 4);
	assert_true(tn_list_empty(&list));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(items_stay_in_order),
		TN_TEST(taking_out_twice_is_fine),
		TN_TEST(the_item_at_hand_may_leave_in_a_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
