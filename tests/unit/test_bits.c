/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/bits.h"

#include "tests/lib/tn_test.h"

static void powers_of_two_are_recognized(void **state)
{
	(void)state;
	assert_false(tn_is_pow2(0));
	for (unsigned i = 0; i < 64; i++)
		assert_true(tn_is_pow2(1ULL << i));
	for (unsigned i = 2; i < 64; i++)
		assert_false(tn_is_pow2((1ULL << i) + 1));
	assert_false(tn_is_pow2(UINT64_MAX));
}

static void rounding_and_division_go_up(void **state)
{
	(void)state;
	assert_int_equal(tn_round_up(0, 4096), 0);
	assert_int_equal(tn_round_up(1, 4096), 4096);
	assert_int_equal(tn_round_up(4096, 4096), 4096);
	assert_int_equal(tn_round_up(4097, 4096), 8192);
	assert_int_equal(tn_div_up(0, 3), 0);
	assert_int_equal(tn_div_up(1, 3), 1);
	assert_int_equal(tn_div_up(3, 3), 1);
	assert_true(tn_div_up(UINT64_MAX, 2) == 1ULL << 63);
}

static void logarithms_bound_their_argument(void **state)
{
	(void)state;
	for (uint64_t x = 1; x < 5000; x++) {
		assert_true(1ULL << tn_log2_floor(x) <= x);
		assert_true(2ULL << tn_log2_floor(x) > x);
		assert_true(1ULL << tn_log2_ceil(x) >= x);
		assert_true(x == 1 || 1ULL << (tn_log2_ceil(x) - 1) < x);
	}
	assert_int_equal(tn_log2_floor(UINT64_MAX), 63);
	assert_int_equal(tn_log2_ceil(0), 0);
}

static void a_mask_has_just_its_bits(void **state)
{
	(void)state;
	for (unsigned from = 0; from < 64; from++) {
		for (unsigned n = 1; n <= 64 - from; n++) {
			uint64_t m = tn_mask(from, n);

			assert_int_equal(__builtin_popcountll(m), n);
			assert_int_equal(__builtin_ctzll(m), from);
		}
	}
}

static void names_hash_to_other_than_zero_and_apart(void **state)
{
	(void)state;
	/* the published value of FNV-1a for "a" */
	assert_true(tn_hash_name("a") == 0xaf63dc4c8601ec8cULL);
	assert_true(tn_hash_name("") != 0);
	assert_true(tn_hash_name("ab") != tn_hash_name("ba"));
}

static void min_and_max_are_of_the_whole_range(void **state)
{
	(void)state;
	assert_true(tn_min64(UINT64_MAX, 1) == 1);
	assert_true(tn_max64(UINT64_MAX, 1) == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(powers_of_two_are_recognized),
		TN_TEST(rounding_and_division_go_up),
		TN_TEST(logarithms_bound_their_argument),
		TN_TEST(a_mask_has_just_its_bits),
		TN_TEST(names_hash_to_other_than_zero_and_apart),
		TN_TEST(min_and_max_are_of_the_whole_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
