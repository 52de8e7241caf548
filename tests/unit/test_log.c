/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/tn_test.h"

static char said[16384];
static int ends[2], saved;

static void begin_catch(void)
{
	saved = dup(2);
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], 2);
	close(ends[1]);
}

static void caught(void)
{
	ssize_t n;

	dup2(saved, 2);
	close(saved);
	n = read(ends[0], said, sizeof(said) - 1);
	close(ends[0]);
	said[n > 0 ? n : 0] = 0;
}

static void a_line_says_what_it_is_about(void **state)
{
	const struct log_about about = {
		.pool = "frames", .has_peer = true, .pid = 12, .uid = 34,
	};

	(void)state;
	begin_catch();
	log_init(false);
	log_line(LOG_WARNING, &about, "%d things", 5);
	log_error("plain");
	caught();
	assert_string_equal(said, "tarnd: pool frames: pid 12, uid 34: "
			    "5 things\ntarnd: plain\n");
}

static void debug_lines_are_for_who_wants_them(void **state)
{
	(void)state;
	begin_catch();
	log_init(false);
	log_debug("hidden");
	log_init(true);
	log_debug("shown");
	caught();
	assert_string_equal(said, "tarnd: shown\n");
}

static void a_long_line_is_cut_and_nothing_else(void **state)
{
	static char longer[5000];

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	begin_catch();
	log_error("%s", longer);
	caught();
	assert_in_range(strlen(said), 1000, 1100);
	assert_int_equal(said[strlen(said) - 1], '\n');
}

static void clients_cannot_fill_the_log(void **state)
{
	const struct log_about about = { .has_peer = true };
	unsigned lines = 0;

	(void)state;
	begin_catch();
	for (int i = 0; i < 10000; i++)
		log_peer(&about, "rude");
	caught();
	for (char *p = said; (p = strchr(p, '\n')); p++)
		lines++;
	assert_in_range(lines, 1, 4 * LOG_PEER_PER_SECOND);
	sleep(1);
	begin_catch();
	log_peer(&about, "again");
	caught();
	assert_non_null(strstr(said, "lines about clients of uid 0 left out"));
	assert_non_null(strstr(said, "again"));
}

static void one_user_leaves_the_lines_of_another(void **state)
{
	const struct log_about rude = { .has_peer = true, .uid = 7 };
	const struct log_about other = { .has_peer = true, .uid = 8 };

	(void)state;
	begin_catch();
	for (int i = 0; i < 10000; i++)
		log_peer(&rude, "rude");
	log_peer(&other, "heard");
	caught();
	assert_non_null(strstr(said, "uid 8: heard"));
}

static void a_stderr_that_is_not_the_journal_is_not_taken_for_it(void **state)
{
	(void)state;
	setenv("JOURNAL_STREAM", "1:1", 1);
	begin_catch();
	log_init(false);
	log_error("to stderr");
	caught();
	assert_string_equal(said, "tarnd: to stderr\n");
	unsetenv("JOURNAL_STREAM");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(a_line_says_what_it_is_about),
		TN_TEST(debug_lines_are_for_who_wants_them),
		TN_TEST(a_long_line_is_cut_and_nothing_else),
		TN_TEST(clients_cannot_fill_the_log),
		TN_TEST(one_user_leaves_the_lines_of_another),
		TN_TEST(a_stderr_that_is_not_the_journal_is_not_taken_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
