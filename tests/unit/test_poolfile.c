/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/poolfile.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/lib/tn_test.h"

static char dir[128];

static void write_pool(const char *file, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	tn_test_write_file(path, text);
}

static int read_all(bool must_exist, struct pool_spec **ret, size_t *ret_n)
{
	int saved = dup(2), null = open("/dev/null", O_WRONLY), r;

	dup2(null, 2);
	r = poolfile_read_all(dir, must_exist, ret, ret_n);
	dup2(saved, 2);
	close(saved);
	close(null);
	return r;
}

static int setup(void **state)
{
	tn_test_setup(state);
	tn_test_mkdtemp(dir, sizeof(dir));
	return 0;
}

static int teardown(void **state)
{
	tn_test_rmtree(dir);
	return tn_test_teardown(state);
}

static void each_key_is_understood(void **state)
{
	struct pool_spec *specs;
	size_t n;

	(void)state;
	write_pool("b.pool", "[pool]\nbytes = 64M\n");
	write_pool("a.pool", "[pool]\nbytes = 5000001\nkind = buddy\n"
		   "policy = worst-fit\nmode = 0640\nowner = 12\ngroup = 34\n"
		   "flags = abort-on-misuse\n"
		   "[compaction]\npercent = 50\nstart = 60\nstop = 30\n");
	write_pool("README", "not for us");
	write_pool(".hidden.pool", "not for us");
	write_pool(".pool", "not for us");
	assert_int_equal(read_all(true, &specs, &n), 0);
	assert_int_equal(n, 2);
	assert_string_equal(specs[0].name, "a");
	assert_int_equal(specs[0].bytes, 5001216); /* whole pages */
	assert_int_equal(specs[0].kind, TN_KIND_BUDDY);
	assert_int_equal(specs[0].policy, TN_WORST_FIT);
	assert_int_equal(specs[0].access.mode, 0640);
	assert_int_equal(specs[0].access.uid, 12);
	assert_int_equal(specs[0].access.gid, 34);
	assert_int_equal(specs[0].flags, TN_POOL_ABORT_ON_MISUSE);
	assert_int_equal(specs[0].compact.percent, 50);
	assert_int_equal(specs[0].compact.start, 60);
	assert_int_equal(specs[0].compact.stop, 30);
	assert_string_equal(specs[1].name, "b");
	assert_int_equal(specs[1].compact.percent, 0); /* as tarnd.conf says */
	assert_int_equal(specs[1].kind, TN_KIND_SLAB);
	assert_int_equal(specs[1].policy, TN_FIRST_FIT);
	assert_int_equal(specs[1].access.uid, geteuid());
	free(specs);
}

static void one_mistake_spoils_all(void **state)
{
	static const char *const bad[] = {
		"", "[pool]\n", "[pool]\nkind = slab\n", "[pool]\nbytes = 1K\n",
		"[pool]\nbytes = 2T\n", "[pool]\nbytes = unlimited\n",
		"[pool]\nbytes = 1G\nkind = heap\n",
		"[pool]\nbytes = 1G\npolicy = next-fit\n",
		"[pool]\nbytes = 1G\nmode = 0777\n",
		"[pool]\nbytes = 1G\nflags = fast\n",
		"[pool]\nbytes = 1G\nowner = nobody at all\n",
		"[pool]\nbytes = 1G\nsize = 1G\n",
		"[pool]\nbytes = 1G\n[compaction]\nstart = 5\nstop = 6\n",
	};
	struct pool_spec *specs = NULL;
	size_t n;

	(void)state;
	write_pool("good.pool", "[pool]\nbytes = 64M\n");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		write_pool("bad.pool", bad[i]);
		assert_true(read_all(true, &specs, &n) < 0);
		assert_null(specs);
	}
}

static void a_file_must_have_a_name_for_a_pool(void **state)
{
	struct pool_spec *specs;
	size_t n;

	(void)state;
	write_pool("a name.pool", "[pool]\nbytes = 64M\n");
	assert_true(read_all(true, &specs, &n) < 0);
}

static void a_missing_directory_is_fine_unless_it_was_given(void **state)
{
	struct pool_spec *specs = NULL;
	size_t n = 9;

	(void)state;
	tn_test_rmtree(dir);
	assert_true(read_all(true, &specs, &n) < 0);
	assert_int_equal(read_all(false, &specs, &n), 0);
	assert_int_equal(n, 0);
	free(specs);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_key_is_understood),
		TEST(one_mistake_spoils_all),
		TEST(a_file_must_have_a_name_for_a_pool),
		TEST(a_missing_directory_is_fine_unless_it_was_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
