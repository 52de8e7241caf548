/* SPDX-License-Identifier: BSD-2-Clause */
#include "pool/backoff.h"

#include "tests/lib/tn_test.h"

static struct tn_backoff b;

static int setup(void **state)
{
	b = (struct tn_backoff){ .pass = 0 };
	return tn_test_setup(state);
}

/* How many passes a page is left alone for, from the next one on. */
static unsigned left_alone(uint64_t page)
{
	unsigned n = 0;

	for (tn_backoff_pass(&b); !tn_backoff_is_due(&b, page); n++)
		tn_backoff_pass(&b);
	return n;
}

static void a_page_is_left_alone_for_twice_as_long_each_time(void **state)
{
	(void)state;
	tn_backoff_pass(&b);
	assert_true(tn_backoff_is_due(&b, 7));
	for (unsigned n = 1; n < 64; n *= 2) {
		tn_backoff_tried(&b, 7, true);
		assert_false(tn_backoff_is_due(&b, 7));
		assert_int_equal(left_alone(7), n);
	}
	for (unsigned i = 0; i < 3; i++) {
		tn_backoff_tried(&b, 7, true);
		assert_int_equal(left_alone(7), 64);
	}
}

static void one_that_went_well_begins_anew(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		tn_backoff_tried(&b, 0, true);
		left_alone(0);
	}
	tn_backoff_tried(&b, 0, false);
	assert_true(tn_backoff_is_due(&b, 0));
	tn_backoff_tried(&b, 0, true);
	assert_int_equal(left_alone(0), 1);
	/* of one that was never called off nothing is noted */
	tn_backoff_tried(&b, 1, false);
	for (unsigned i = 0; i < TN_BACKOFF_PAGES; i++)
		assert_true(!b.pages[i].page || b.pages[i].page == 1);
}

static void several_tries_in_a_pass_are_one(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 10; i++)
		tn_backoff_tried(&b, 5, true);
	assert_int_equal(left_alone(5), 1);
}

/* Of more than it has room for, some are forgotten, and nothing else. */
static void what_is_forgotten_is_due(void **state)
{
	const uint64_t far = (1ULL << 28) - 1;
	unsigned alone = 0;

	(void)state;
	for (uint64_t i = 0; i < 10 * TN_BACKOFF_PAGES; i++)
		tn_backoff_tried(&b, far - i * 8, true);
	for (uint64_t i = 0; i < 10 * TN_BACKOFF_PAGES; i++)
		alone += !tn_backoff_is_due(&b, far - i * 8);
	assert_in_range(alone, TN_BACKOFF_PAGES / 2, TN_BACKOFF_PAGES);
	tn_backoff_pass(&b);
	tn_backoff_pass(&b);
	for (uint64_t i = 0; i < 10 * TN_BACKOFF_PAGES; i++)
		assert_true(tn_backoff_is_due(&b, far - i * 8));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, \
						   tn_test_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_page_is_left_alone_for_twice_as_long_each_time),
		TEST(one_that_went_well_begins_anew),
		TEST(several_tries_in_a_pass_are_one),
		TEST(what_is_forgotten_is_due),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
