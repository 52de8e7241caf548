/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/slots.h"

#include <string.h>

#include "tests/lib/tn_test.h"

static struct slots slots;

static void ids_at_once_have_slots_of_their_own(void **state)
{
	static uint8_t seen[TN_N_CLIENTS];
	uint32_t id;

	(void)state;
	slots_init(&slots, NULL);
	for (unsigned i = 0; i < SLOTS_CLIENTS_MAX; i++) {
		assert_int_equal(slots_take(&slots, &id), 0);
		assert_in_range(TN_CLIENT_SLOT(id), 1, TN_DAEMON_SLOT - 1);
		assert_int_equal(seen[TN_CLIENT_SLOT(id)]++, 0);
	}
	assert_int_equal(slots_take(&slots, &id), SLOTS_NONE_FREE);
}

static void a_freed_slot_makes_room_again(void **state)
{
	uint32_t id;

	(void)state;
	slots_give(&slots, 500);
	assert_int_equal(slots_take(&slots, &id), 0);
	assert_int_not_equal(id, 500);
	assert_int_equal(slots_take(&slots, &id), SLOTS_NONE_FREE);
}

static void an_id_comes_again_after_all_others(void **state)
{
	static uint32_t last[1 << TN_CLIENT_ID_BITS];
	uint32_t id, shortest = UINT32_MAX;

	(void)state;
	slots_init(&slots, NULL);
	memset(last, 0, sizeof(last));
	for (uint32_t n = 1; n < 50000; n++) {
		assert_int_equal(slots_take(&slots, &id), 0);
		assert_in_range(id, 1, 8191);
		if (last[id] && n - last[id] < shortest)
			shortest = n - last[id];
		last[id] = n;
		slots_give(&slots, id);
	}
	assert_int_equal(shortest, (TN_DAEMON_SLOT - 1) * SLOTS_ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(ids_at_once_have_slots_of_their_own),
		TN_TEST(a_freed_slot_makes_room_again),
		TN_TEST(an_id_comes_again_after_all_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
