/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every case of the benchmark, short, with every allocator that is here: each
 * object still has the bytes it was given when it is freed, as many come back
 * as went out, and the pool is empty in the end. How fast is no matter here.
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

static void whole_pages_are_taken_and_freed(void **state)
{
	(void)state;
	check("runs");
}

static void windows_of_objects_go_round_among_workers(void **state)
{
	(void)state;
	check("scale");
}

static void clients_and_pools_of_any_number_and_size(void **state)
{
	(void)state;
	check("latency");
}

static void clients_come_and_are_killed(void **state)
{
	(void)state;
	check("life");
}

static void memory_is_filled_and_counted(void **state)
{
	(void)state;
	check("memory");
}

static void objects_are_pinned_and_freed(void **state)
{
	(void)state;
	check("handles");
}

/* `make bench-frag`: before compaction, during it and after it */
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
		TN_TEST(one_thread_allocates_and_frees),
		TN_TEST(objects_are_handed_to_another_process),
		TN_TEST(whole_pages_are_taken_and_freed),
		TN_TEST(windows_of_objects_go_round_among_workers),
		TN_TEST(clients_and_pools_of_any_number_and_size),
		TN_TEST(clients_come_and_are_killed),
		TN_TEST(memory_is_filled_and_counted),
		TN_TEST(objects_are_pinned_and_freed),
		TN_TEST(what_lives_is_intact_after_compaction),
		TN_TEST(objects_move_while_they_are_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
