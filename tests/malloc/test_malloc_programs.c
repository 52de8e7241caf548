/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Other people's programs, with the library preloaded and without: they say the
 * same. What they do is in programs.sh.
 */
#include "tests/malloc/probe.h"

static int64_t checksum(const char *text)
{
	return (int64_t)tn_hash_name(text);
}

static void says_the_same(const char *name)
{
	int64_t plain;
	int rc;

	probe_skip_if_sanitized();
	rc = tool_run("tests/malloc/programs.sh %s", name);
	if (rc == 77) {
		print_message("%s", tool_said);
		skip();
	}
	if (rc)
		fail_msg("%s alone: status %d\n%s", name, rc, tool_said);
	plain = checksum(tool_said);
	rc = tool_run("export " PRELOAD "; tests/malloc/programs.sh %s", name);
	if (rc || checksum(tool_said) != plain)
		fail_msg("%s preloaded: status %d\n%s", name, rc, tool_said);
}

#define PROGRAM_TEST(sentence, name) \
	static void sentence(void **state) \
	{ \
		(void)state; \
		says_the_same(name); \
	}

PROGRAM_TEST(pythons_own_tests_pass, "python")
PROGRAM_TEST(perl_computes_the_same_with_threads_and_forks, "perl")
PROGRAM_TEST(git_makes_the_same_repository, "git")
PROGRAM_TEST(sqlite_answers_the_same, "sqlite")
PROGRAM_TEST(gcc_makes_the_same_code, "gcc")
PROGRAM_TEST(redis_keeps_the_same_and_saves_it_from_a_child, "redis")
PROGRAM_TEST(memcached_serves_the_same, "memcached")

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(pythons_own_tests_pass),
		TN_TEST(perl_computes_the_same_with_threads_and_forks),
		TN_TEST(git_makes_the_same_repository),
		TN_TEST(sqlite_answers_the_same),
		TN_TEST(gcc_makes_the_same_code),
		TN_TEST(redis_keeps_the_same_and_saves_it_from_a_child),
		TN_TEST(memcached_serves_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
