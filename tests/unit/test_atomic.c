/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/atomic.h"

#include <pthread.h>

#include "tests/lib/tn_test.h"

#define ROUNDS 100000U

static void a_cas_that_fails_tells_what_is_there(void **state)
{
	tn_a64 w = { 5 };
	uint64_t old = 4;

	(void)state;
	assert_false(tn64_cas_acq_rel(&w, &old, 6));
	assert_int_equal(old, 5);
	assert_true(tn64_cas_acq_rel(&w, &old, 6));
	assert_int_equal(tn64_load_relaxed(&w), 6);
}

static void a_pair_changes_only_as_a_whole(void **state)
{
	tn_a128 p = { { 1 }, { 2 } };

	(void)state;
	assert_false(tn128_cas_full(&p, (struct tn_pair){ 1, 3 },
				    (struct tn_pair){ 9, 9 }));
	assert_false(tn128_cas_full(&p, (struct tn_pair){ 3, 2 },
				    (struct tn_pair){ 9, 9 }));
	assert_int_equal(tn64_load_relaxed(&p.lo), 1);
	assert_true(tn128_cas_full(&p, (struct tn_pair){ 1, 2 },
				   (struct tn_pair){ 7, 8 }));
	assert_int_equal(tn64_load_relaxed(&p.lo), 7);
	assert_int_equal(tn64_load_relaxed(&p.hi), 8);
}

static tn_a64 counter;
static tn_a128 pair;

static void *count(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct tn_pair old;

		tn64_add_acq_rel(&counter, 1);
		do {
			old.lo = tn64_load_relaxed(&pair.lo);
			old.hi = tn64_load_relaxed(&pair.hi);
		} while (!tn128_cas_full(&pair, old, (struct tn_pair){
				old.lo + 1, old.hi + 2 }));
	}
	return arg;
}

static void no_update_is_lost_between_two_threads(void **state)
{
	pthread_t other;

	(void)state;
	assert_int_equal(pthread_create(&other, NULL, count, NULL), 0);
	count(NULL);
	assert_int_equal(pthread_join(other, NULL), 0);
	assert_int_equal(tn64_load_relaxed(&counter), 2 * ROUNDS);
	assert_int_equal(tn64_load_relaxed(&pair.lo), 2 * ROUNDS);
	assert_int_equal(tn64_load_relaxed(&pair.hi), 4 * ROUNDS);
}

static void bits_are_set_and_cleared_one_by_one(void **state)
{
	tn_a64 w = { 0 };

	(void)state;
	assert_int_equal(tn64_or_relaxed(&w, 6), 0);
	assert_int_equal(tn64_or_acq_rel(&w, 1), 6);
	assert_int_equal(tn64_and_acq_rel(&w, ~2ULL), 7);
	assert_int_equal(tn64_load_acquire(&w), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(a_cas_that_fails_tells_what_is_there),
		TN_TEST(a_pair_changes_only_as_a_whole),
		TN_TEST(no_update_is_lost_between_two_threads),
		TN_TEST(bits_are_set_and_cleared_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
