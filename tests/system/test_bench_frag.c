/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cases of `make bench-frag` and of handles, short: every byte of every
 * object is as it was written, before compaction, during it and after it, and
 * the pool is empty in the end. What it all takes is no matter here.
 */
#include "tests/system/tool.h"

static void check(const char *group)
{
#ifdef __SANITIZE_THREAD__
	print_message("ThreadSanitizer does not bear heaps that are loaded "
		      "into its processes\n");
	skip();
#endif
	if (tool_run("TARN_BUILD=$B $B/tools/tarn-run $B/bench/bench -q "
		     "-c %s", group) != 0)
		fail_msg("%s", tool_said);
	assert_said("ok ");
	assert_not_said("not ok");
}

static void objects_are_pinned_and_freed(void **state)
{
	(void)state;
	check("handles");
}

static void what_lives_is_intact_after_compaction(void **state)
{
	(void)state;
	check("frag");
}

static void objects_move_while_they_are_used(void **state)
{
	(void)state;
	check("mover");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(objects_are_pinned_and_freed),
		TN_TEST(what_lives_is_intact_after_compaction),
		TN_TEST(objects_move_while_they_are_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
