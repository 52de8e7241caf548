/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/memory.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/lib/tn_test.h"

static char root[128];

static int setup(void **state)
{
	tn_test_setup(state);
	tn_test_mkdtemp(root, sizeof(root));
	return 0;
}

static int teardown(void **state)
{
	tn_test_rmtree(root);
	return tn_test_teardown(state);
}

/* With the directories above it. */
static void put(const char *path, const char *text)
{
	char full[512];

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(full, 0755);
		*p = '/';
	}
	tn_test_write_file(full, text);
}

static void nothing_to_be_read_is_no_limit(void **state)
{
	(void)state;
	assert_true(memory_available(root) == UINT64_MAX);
}

static void the_machine_counts(void **state)
{
	(void)state;
	put("/proc/meminfo", "MemTotal:  900 kB\nMemAvailable:   123 kB\n");
	assert_int_equal(memory_available(root), 123 * 1024);
}

static void the_tightest_group_counts(void **state)
{
	(void)state;
	put("/proc/meminfo", "MemAvailable:   100000000 kB\n");
	put("/proc/self/cgroup", "3:cpu:/x\n0::/a/b\n");
	put("/sys/fs/cgroup/a/b/memory.max", "max\n");
	put("/sys/fs/cgroup/a/memory.max", "1000000\n");
	put("/sys/fs/cgroup/a/memory.current", "600000\n");
	assert_int_equal(memory_available(root), 400000);
	put("/sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 50000\n");
	assert_int_equal(memory_available(root), 450000);
	put("/sys/fs/cgroup/a/b/memory.max", "7000\n");
	put("/sys/fs/cgroup/a/b/memory.current", "9000\n");
	assert_int_equal(memory_available(root), 0);
}

static void groups_of_version_1_count(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "3:cpu:/x\n4:memory:/a\n0::/\n");
	put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "5000\n");
	put("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "2000\n");
	put("/sys/fs/cgroup/memory/a/memory.stat",
	    "inactive_file 7\ntotal_inactive_file 300\n");
	assert_int_equal(memory_available(root), 3300);
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "4000\n");
	put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "4000\n");
	assert_int_equal(memory_available(root), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_to_be_read_is_no_limit),
		TEST(the_machine_counts),
		TEST(the_tightest_group_counts),
		TEST(groups_of_version_1_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
