/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every case of the benchmark, short, with every allocator that is here: each
 * object still has the bytes it was given when it is freed, as many come back
 * as went out, and the pool is empty in the end. How fast is no matter here.
 */
#include "tests/system/tool.h"

static void check(const char *group)
{
	if (tool_run("TARN_BUILD=$B $B/tools/tarn-run $B/bench/bench -q "
		     "-c %s", group) != 0)
		fail_msg("%s", tool_said);
	assert_said("ok ");
	assert_not_said("not ok");
}

static void one_thread_allocates_and_frees(void **state)
{
	(void)state;
	check("alloc");
}

static void objects_are_handed_to_another_process(void **state)
{
	(void)state;
	check("handoff");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(one_thread_allocates_and_frees),
		TN_TEST(objects_are_handed_to_another_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
