/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/tn_test.h"

static char dir[128], path[160];
static struct config config;

/* What main() would make of these arguments; silently. */
static int parse(const char *const args[])
{
	char *argv[16] = { (char *)"tarnd" };
	int argc = 1, saved = dup(2), null = open("/dev/null", O_WRONLY), r;

	for (; *args; args++)
		argv[argc++] = (char *)*args;
	dup2(null, 2);
	r = config_init(&config, argc, argv);
	dup2(saved, 2);
	close(saved);
	close(null);
	return r;
}
#define PARSE(...) parse((const char *const[]){ __VA_ARGS__ NULL })

static int setup(void **state)
{
	tn_test_setup(state);
	tn_test_mkdtemp(dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/f", dir);
	return 0;
}

static int teardown(void **state)
{
	tn_test_rmtree(dir);
	return tn_test_teardown(state);
}

static void the_system_has_its_default_paths(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--verbose",), 0);
	assert_string_equal(config.socket, "/run/tarn/tarn.sock");
	assert_string_equal(config.pools, "/etc/tarn/pools.d");
	assert_string_equal(config.file, "/etc/tarn/tarnd.conf");
	assert_true(config.verbose);
	assert_false(config.user || config.pools_given);
}

static void a_user_has_paths_of_its_own(void **state)
{
	(void)state;
	setenv("XDG_RUNTIME_DIR", "/run/user/77", 1);
	setenv("XDG_CONFIG_HOME", dir, 1);
	assert_int_equal(PARSE("--user",), 0);
	assert_string_equal(config.socket, "/run/user/77/tarn/tarn.sock");
	assert_non_null(strstr(config.pools, "/tarn/pools.d"));
	assert_memory_equal(config.pools, dir, strlen(dir));
	unsetenv("XDG_CONFIG_HOME");
	setenv("HOME", "/home/x", 1);
	assert_int_equal(PARSE("--user",), 0);
	assert_string_equal(config.pools, "/home/x/.config/tarn/pools.d");
	unsetenv("XDG_RUNTIME_DIR");
	assert_true(PARSE("--user",) < 0);
	assert_int_equal(PARSE("--user", "--socket", "/s",), 0);
}

static void limits_come_from_options_before_the_file(void **state)
{
	(void)state;
	tn_test_write_file(path, "[limits]\nbytes = 2G\npools = 5\n");
	assert_int_equal(PARSE("--config", path, "--limit", "pools=7",), 0);
	assert_true(config.limits.others[QUOTA_BYTES] == 2ULL << 30);
	assert_true(config.limits.own[QUOTA_BYTES] == 2ULL << 30);
	assert_int_equal(config.limits.others[QUOTA_POOLS], 7);
	/* not given: a default, that spares root and tarnd's own user */
	assert_true(config.limits.own[QUOTA_CONNECTIONS] == QUOTA_UNLIMITED);
	assert_int_equal(config.limits.others[QUOTA_CONNECTIONS], 1024);
}

static void mistakes_are_refused(void **state)
{
	char longer[200];

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	assert_true(PARSE("--socket", longer,) < 0);
	assert_true(PARSE("--colour",) < 0);
	assert_true(PARSE("word",) < 0);
	assert_true(PARSE("--limit", "pools",) < 0);
	assert_true(PARSE("--limit", "pools=x",) < 0);
	assert_true(PARSE("--limit", "pool=1",) < 0);
	assert_true(PARSE("--config", "/nonexistent/file",) < 0);
	tn_test_write_file(path, "[limits]\nbytes = lots\n");
	assert_true(PARSE("--config", path,) < 0);
}

static void compaction_is_on_unless_the_file_says_else(void **state)
{
	static const char *const bad[] = {
		"percent = 0", "percent = 101", "percent = no", "start = 256",
		"start = 0", "stop = 25", "start = 5", "start = 9\nstop = 9",
		"stop = 1\nstop = 2", "limit = 2",
	};
	char text[100];

	(void)state;
	assert_int_equal(PARSE("--verbose",), 0);
	assert_int_equal(config.compact.percent, 5);
	assert_int_equal(config.compact.start, 25);
	assert_int_equal(config.compact.stop, 5);
	tn_test_write_file(path, "[compaction]\npercent = never\nstop = 7\n");
	assert_int_equal(PARSE("--config", path,), 0);
	assert_int_equal(config.compact.percent, COMPACT_NEVER);
	assert_int_equal(config.compact.start, 25);
	assert_int_equal(config.compact.stop, 7);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(text, sizeof(text), "[compaction]\n%s\n", bad[i]);
		tn_test_write_file(path, text);
		assert_true(PARSE("--config", path,) < 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_system_has_its_default_paths),
		TEST(a_user_has_paths_of_its_own),
		TEST(limits_come_from_options_before_the_file),
		TEST(mistakes_are_refused),
		TEST(compaction_is_on_unless_the_file_says_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
