/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * examples/wordcount over real text of this machine, against what
 * tr | sort | uniq -c counts in the same files.
 */
#include "tests/lib/tn_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tarn/stats.h>
#include <tarn/tarn.h>

#define MIN_BYTES 20000000 /* of text; the files are repeated up to it */
#define MAX_ARGS 4096

static struct tn_test_daemon daemon_;

/* Texts that Debian has on any machine, a few MB at most. */
static const char list_files[] =
	"find /usr/share/common-licenses /usr/share/doc -type f -size -400k "
	"\\( -path '*/common-licenses/*' -o -name copyright "
	"-o -name '*.txt' -o -name 'README*' -o -name '*.html' \\) "
	"! -name '*.gz' | LC_ALL=C sort | head -n 700 >list";

/* A file's last word does not run into the next file's first. */
static const char count_by_tools[] =
	"while IFS= read -r f; do cat \"$f\"; echo; done <list | "
	"LC_ALL=C tr -cs A-Za-z '\\n' | LC_ALL=C tr A-Z a-z | grep . | "
	"LC_ALL=C sort | uniq -c | "
	"awk -v n=$REPEAT '{ printf \"%7d %s\\n\", $1 * n, $2 }' >want";

static void sh(const char *command)
{
	char line[2048];

	snprintf(line, sizeof(line), "cd %s && %s", daemon_.dir, command);
	assert_int_equal(system(line), 0);
}

static const char *in_dir(const char *name)
{
	static char path[4][256];
	static int n;
	char *p = path[n++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", daemon_.dir, name);
	return p;
}

static int start(void **state)
{
	int r = tn_test_setup(state);

	tn_test_daemon_init(&daemon_);
	tn_test_daemon_start(&daemon_, NULL);
	return r;
}

static int stop(void **state)
{
	tn_test_daemon_stop(&daemon_);
	return tn_test_teardown(state);
}

/*
 * Running wordcount
 */

struct command {
	const char *argv[MAX_ARGS];
	int argc;
};

static void arg(struct command *c, const char *word)
{
	assert_true(c->argc < MAX_ARGS - 1);
	c->argv[c->argc++] = word;
}

/* wordcount with these arguments (NULL ends them), then the files of list. */
static void command_init(struct command *c, char **list,
			 const char *const args[])
{
	memset(c, 0, sizeof(*c));
	arg(c, "wordcount");
	for (; *args; args++)
		arg(c, *args);
	for (; list && *list; list++)
		arg(c, *list);
}

static int exec_wordcount(void *p)
{
	struct command *c = p;
	char path[4096];
	int out = open(in_dir("out"), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (out < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		return 124;
	execv(tn_test_program("examples/wordcount", path, sizeof(path)),
	      (char *const *)c->argv);
	return 127;
}

static void run(char **list, const char *const args[])
{
	static struct command c;
	int status;

	command_init(&c, list, args);
	status = tn_test_wait(tn_test_spawn(exec_wordcount, &c));
	if (status != 0)
		sh("cat out >&2");
	assert_int_equal(status, 0);
}

static bool said(const char *text)
{
	static char out[65536];
	FILE *f = fopen(in_dir("out"), "re");
	size_t n;

	assert_non_null(f);
	n = fread(out, 1, sizeof(out) - 1, f);
	out[n] = 0;
	fclose(f);
	return strstr(out, text) != NULL;
}

/*
 * The texts
 */

static char *list[MAX_ARGS];

static uint64_t read_list(void)
{
	FILE *f = fopen(in_dir("list"), "re");
	char line[4096];
	uint64_t n_bytes = 0;
	int n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) && n < MAX_ARGS - 32) {
		struct stat st;

		line[strcspn(line, "\n")] = 0;
		assert_int_equal(stat(line, &st), 0);
		n_bytes += (uint64_t)st.st_size;
		list[n] = strdup(line);
		assert_non_null(list[n++]);
	}
	fclose(f);
	list[n] = NULL;
	return n_bytes;
}

static void free_list(void)
{
	for (char **p = list; *p; p++)
		free(*p);
	list[0] = NULL;
}

/* Makes list and want; returns how often to repeat, as text. */
static const char *collect_text(void)
{
	static char repeat[32];
	uint64_t n_bytes;

	sh(list_files);
	n_bytes = read_list();
	assert_true(n_bytes > 0);
	snprintf(repeat, sizeof(repeat), "%llu",
		 (unsigned long long)((MIN_BYTES + n_bytes - 1) / n_bytes));
	setenv("REPEAT", repeat, 1);
	sh(count_by_tools);
	return repeat;
}

static void assert_counts_are_right(void)
{
	sh("cmp want got || { diff want got | head -n 10; exit 1; } >&2");
}

static void assert_pool_is_empty(const char *name)
{
	struct tarn_stats stats = { .sz = sizeof(stats) };
	struct tarn_pool *pool;
	struct tarn *t;

	assert_int_equal(tarn_connect(NULL, &t), 0);
	assert_int_equal(tarn_pool_open(t, name, TARN_PRODUCER, &pool), 0);
	assert_int_equal(tarn_stats(pool, &stats), 0);
	assert_int_equal(stats.live_bytes, 0);
	assert_int_equal(stats.live_objects, 0);
	tarn_stats_free(&stats);
	tarn_pool_close(pool);
	tarn_disconnect(t);
}

static void counts_are_those_of_tr_sort_and_uniq(void **state)
{
	const char *repeat = collect_text();

	(void)state;
	run(list, (const char *[]){ "-r", repeat, "-p", "words", "-d",
				    in_dir("got"), NULL });
	assert_counts_are_right();
	assert_true(said("workers killed: 0; chunks dealt again: 0"));
	assert_pool_is_empty("words");
	free_list();
}

static void counts_are_exact_though_workers_are_killed(void **state)
{
	const char *repeat = collect_text();

	(void)state;
	run(list, (const char *[]){ "-r", repeat, "-p", "words", "-d",
				    in_dir("got"), "-k", "40", "-n", "6",
				    NULL });
	assert_counts_are_right();
	assert_true(said("workers killed: 6;"));
	assert_true(said("0 before, 0 after: nothing is lost"));
	assert_pool_is_empty("words");
	free_list();
}

static void words_longer_than_a_chunk_are_not_cut(void **state)
{
	(void)state;
	sh("{ head -c 150000 /dev/zero | tr '\\0' x; printf ' end '; "
	   "head -c 65530 /dev/zero | tr '\\0' ' '; printf Boundary; } >text");
	sh("echo $PWD/text >list");
	setenv("REPEAT", "3", 1);
	sh(count_by_tools);
	run(NULL, (const char *[]){ "-r", "3", "-w", "2", "-d", in_dir("got"),
				    in_dir("text"), NULL });
	assert_counts_are_right();
}

static void a_pool_smaller_than_the_text_suffices(void **state)
{
	(void)state;
	run(NULL, (const char *[]){ "-m", "8", "-w", "8", "-r", "60", "-k",
				    "30", "-n", "3",
				    "/usr/share/common-licenses", NULL });
	assert_true(said("nothing is lost"));
}

static uint64_t live_bytes_of(const char *name)
{
	struct tarn_stats stats = { .sz = sizeof(stats) };
	struct tarn_pool *pool;
	struct tarn *t;
	uint64_t live = 0;

	assert_int_equal(tarn_connect(NULL, &t), 0);
	if (tarn_pool_open(t, name, TARN_OBSERVER, &pool) == 0) {
		assert_int_equal(tarn_stats(pool, &stats), 0);
		live = stats.live_bytes;
		tarn_stats_free(&stats);
		tarn_pool_close(pool);
	}
	tarn_disconnect(t);
	return live;
}

static void what_a_killed_dispatcher_left_the_next_one_frees(void **state)
{
	static struct command c;
	pid_t pid;

	(void)state;
	command_init(&c, NULL, (const char *[]){
		"-p", "words", "-r", "100000", "/usr/share/common-licenses",
		NULL });
	pid = tn_test_spawn(exec_wordcount, &c);
	/* more than the job table: it is at work */
	tn_test_eventually(live_bytes_of("words") > 100000);
	kill(pid, SIGKILL);
	assert_int_equal(tn_test_wait(pid), 128 + SIGKILL);
	run(NULL, (const char *[]){ "-p", "words",
				    "/usr/share/common-licenses", NULL });
	assert_true(said("0 before, 0 after: nothing is lost"));
	assert_pool_is_empty("words");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(counts_are_those_of_tr_sort_and_uniq),
		TEST(counts_are_exact_though_workers_are_killed),
		TEST(words_longer_than_a_chunk_are_not_cut),
		TEST(a_pool_smaller_than_the_text_suffices),
		TEST(what_a_killed_dispatcher_left_the_next_one_frees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
