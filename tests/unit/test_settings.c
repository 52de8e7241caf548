/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/tn_test.h"

struct values {
	uint64_t size;
	uint32_t mode;
};

static const char *set_size(void *into, const char *value)
{
	return settings_bytes(value, &((struct values *)into)->size);
}

static const char *set_mode(void *into, const char *value)
{
	return settings_mode(value, &((struct values *)into)->mode);
}

static const struct setting table[] = {
	{ "one", "size", set_size },
	{ "one", "mode", set_mode },
};

static char dir[128], path[160], said[1024];

/* Read @text as a file, with what is logged caught in said[]. */
static int read_text(const char *text, struct values *values)
{
	int saved = dup(2), ends[2], r;
	ssize_t n;

	tn_test_write_file(path, text);
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], 2);
	r = settings_read(path, table, 2, values);
	dup2(saved, 2);
	close(saved);
	close(ends[1]);
	n = read(ends[0], said, sizeof(said) - 1);
	close(ends[0]);
	said[n > 0 ? n : 0] = 0;
	return r;
}

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

static void good_files_are_read(void **state)
{
	struct values v = { 0 };

	(void)state;
	assert_int_equal(read_text("# c\n[one]\nsize = 3M ; c\nmode=0640\n",
				   &v), 0);
	assert_int_equal(v.size, 3 << 20);
	assert_int_equal(v.mode, 0640);
	assert_string_equal(said, "");
	assert_int_equal(read_text("", &v), 0);
}

static void a_mistake_is_named_by_file_line_and_key(void **state)
{
	static const struct { const char *text, *line, *key; } bad[] = {
		{ "[one]\nsize = 1M\nmode = 9\n", ":3:", "[one] mode = 9" },
		{ "[one]\nsize = many\n", ":2:", "[one] size" },
		{ "[one]\n\ncolour = red\n", ":3:", "[one] colour" },
		{ "[two]\nsize = 1\n", ":2:", "[two] size" },
		{ "size = 1\n", ":1:", "size" },
		{ "[one]\nsize = 1\nsize = 2\n", ":3:", "given twice" },
		{ "[one]\njust words\n", ":2:", "key = value" },
		{ "[one\n", ":1:", "[section]" },
	};
	struct values v;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(read_text(bad[i].text, &v), -EINVAL);
		assert_non_null(strstr(said, path));
		assert_non_null(strstr(said, bad[i].line));
		assert_non_null(strstr(said, bad[i].key));
	}
}

static void a_missing_file_is_left_to_the_caller(void **state)
{
	struct values v;

	(void)state;
	assert_int_equal(settings_read("/nonexistent/f", table, 2, &v),
			 -ENOENT);
}

static void sizes_have_suffixes(void **state)
{
	static const char *const bad[] = {
		"", "M", "-1", "+1", " 1", "1.5G", "1MB", "1m", "0x10",
		"18446744073709551616", "16777216T",
	};
	uint64_t v = 0;

	(void)state;
	assert_null(settings_bytes("4096", &v));
	assert_int_equal(v, 4096);
	assert_null(settings_bytes("2K", &v));
	assert_int_equal(v, 2048);
	assert_null(settings_bytes("1T", &v));
	assert_true(v == 1ULL << 40);
	assert_null(settings_bytes("unlimited", &v));
	assert_true(v == UINT64_MAX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_non_null(settings_bytes(bad[i], &v));
}

static void modes_are_octal_and_of_r_and_w(void **state)
{
	static const char *const bad[] = {
		"", "rw", "0755", "1666", "08", "-6",
	};
	uint32_t v = 0;

	(void)state;
	assert_null(settings_mode("0664", &v));
	assert_int_equal(v, 0664);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_non_null(settings_mode(bad[i], &v));
}

static void users_and_groups_are_names_or_numbers(void **state)
{
	uid_t uid = 9;
	gid_t gid = 9;

	(void)state;
	assert_null(settings_user("root", &uid));
	assert_int_equal(uid, 0);
	assert_null(settings_user("1234", &uid));
	assert_int_equal(uid, 1234);
	assert_null(settings_group("77", &gid));
	assert_int_equal(gid, 77);
	assert_non_null(settings_user("no such user", &uid));
	assert_non_null(settings_group("no such group", &gid));
	assert_non_null(settings_user("4294967295", &uid));
	assert_non_null(settings_user("12x", &uid));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(good_files_are_read),
		TEST(a_mistake_is_named_by_file_line_and_key),
		TEST(a_missing_file_is_left_to_the_caller),
		TEST(sizes_have_suffixes),
		TEST(modes_are_octal_and_of_r_and_w),
		TEST(users_and_groups_are_names_or_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
