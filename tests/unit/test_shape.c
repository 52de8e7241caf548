/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_test.h"

#include <errno.h>
#include <string.h>

#include "pool/geometry.h"
#include "pool/shape.h"

static struct tn_shape shapes[TN_N_CLASSES];

static void every_size_gets_the_smallest_class_that_holds_it(void **state)
{
	(void)state;
	tn_shapes_init(shapes);
	for (unsigned bytes = 1; bytes <= TN_CLASS_BYTES_MAX; bytes++) {
		unsigned c = tn_class_of(bytes);

		assert_true(c < TN_CLASS_CACHE);
		assert_true(shapes[c].bytes >= bytes);
		assert_true(c == 0 || shapes[c - 1].bytes < bytes);
	}
}

static void classes_are_at_most_an_eighth_apart_above_128_bytes(void **state)
{
	(void)state;
	for (unsigned c = 8; c < TN_CLASS_CACHE; c++) {
		unsigned low = shapes[c - 1].bytes;

		assert_true(shapes[c].bytes - low <= low / 8);
	}
}

static void a_slab_loses_less_than_an_eighth_at_its_tail(void **state)
{
	struct tn_shape s;

	(void)state;
	for (unsigned bytes = 16; bytes <= TN_CLASS_BYTES_MAX; bytes += 16) {
		uint64_t slab;

		tn_shape_init(&s, bytes);
		slab = TN_PAGE_BYTES << s.order;
		assert_true(s.slots >= 8);
		assert_true(s.order <= TN_SLAB_ORDER_MAX);
		assert_true((slab - (uint64_t)s.slots * bytes) * 8 < slab);
	}
}

static void a_slot_is_found_at_its_start_and_nowhere_else(void **state)
{
	struct tn_shape s;
	uint64_t slot;

	(void)state;
	for (unsigned bytes = 16; bytes <= TN_CLASS_BYTES_MAX; bytes += 16) {
		tn_shape_init(&s, bytes);
		for (uint64_t i = 0; i < s.slots; i++) {
			assert_true(tn_shape_slot(&s, i * bytes, &slot));
			assert_int_equal(slot, i);
			assert_false(tn_shape_slot(&s, i * bytes + 1, &slot));
			assert_false(tn_shape_slot(&s, i * bytes + bytes - 1,
						   &slot));
		}
		assert_false(tn_shape_slot(&s, (uint64_t)s.slots * bytes,
					   &slot));
	}
}

static void no_two_slots_share_a_tag(void **state)
{
	static uint8_t seen[1 << TN_AREA_TAGS_SHIFT];
	unsigned sizes[] = { 16, 48, 64, 512, 2048, 32768 };
	struct tn_shape s;
	uint64_t page = 0;

	(void)state;
	memset(seen, 0, sizeof(seen));
	for (unsigned i = 0; page + 64 <= TN_AREA_PAGES; i++) {
		tn_shape_init(&s, sizes[i % TN_ARRAY_LEN(sizes)]);
		page = tn_round_up(page, 1ULL << s.order);
		for (uint64_t slot = 0; slot < s.slots; slot++) {
			uint64_t t = tn_tag_index(page, slot);

			assert_true(t < TN_ARRAY_LEN(seen));
			assert_int_equal(seen[t]++, 0);
		}
		page += 1ULL << s.order;
	}
}

static void geometry_refuses_what_is_no_pool_size(void **state)
{
	struct tn_geo geo;

	(void)state;
	assert_int_equal(tn_geo_init(&geo, 0), -EINVAL);
	assert_int_equal(tn_geo_init(&geo, TN_POOL_BYTES_MIN - 4096), -EINVAL);
	assert_int_equal(tn_geo_init(&geo, TN_POOL_BYTES_MIN + 1), -EINVAL);
	assert_int_equal(tn_geo_init(&geo, TN_POOL_BYTES_MAX + 4096), -EINVAL);
	assert_int_equal(tn_geo_init(&geo, TN_POOL_BYTES_MIN), 0);
	assert_int_equal(tn_geo_init(&geo, TN_POOL_BYTES_MAX), 0);
	assert_int_equal(geo.n_data_areas, 1 << 19);
	/* handles for no more than refs can tell apart */
	assert_int_equal(geo.n_handles, 1 << 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(every_size_gets_the_smallest_class_that_holds_it),
		TN_TEST(classes_are_at_most_an_eighth_apart_above_128_bytes),
		TN_TEST(a_slab_loses_less_than_an_eighth_at_its_tail),
		TN_TEST(a_slot_is_found_at_its_start_and_nowhere_else),
		TN_TEST(no_two_slots_share_a_tag),
		TN_TEST(geometry_refuses_what_is_no_pool_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
