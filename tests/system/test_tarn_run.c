/* SPDX-License-Identifier: BSD-2-Clause */
/* tarn-run: the command's status, a tarnd that answers, nothing left behind. */
#include "tests/system/tool.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define RUN "$B/tools/tarn-run "

/* In a command of tarn-run: the pid of its tarnd, the other child. */
#define TARND_PID "$(tr \" \" \"\\n\" </proc/$PPID/task/$PPID/children | " \
		  "grep -vx $$ | head -n 1)"

static bool runs(pid_t pid)
{
	char path[64], state = 'X';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (fscanf(f, "%*d %*s %c", &state) != 1)
		state = 'X';
	fclose(f);
	return state != 'Z' && state != 'X'; /* dead, though not yet reaped */
}

static void the_status_is_the_commands(void **state)
{
	(void)state;
	assert_int_equal(tool_run(RUN "true"), 0);
	assert_string_equal(tool_said, "");
	assert_int_equal(tool_run(RUN "sh -c 'exit 7'"), 7);
	assert_int_equal(tool_run(RUN "sh -c 'kill -9 $$'"), 137);
	assert_int_equal(tool_run(RUN "no-such-command"), 127);
	assert_said("tarn-run: no-such-command: ");
	assert_int_equal(tool_run(RUN "/etc/passwd"), 126);
}

static void its_own_failures_give_125(void **state)
{
	(void)state;
	assert_int_equal(tool_run(RUN), 125);
	assert_int_equal(tool_run(RUN "--nonsense true"), 125);
	assert_int_equal(tool_run(RUN "--tarnd /none true"), 125);
	assert_said("tarn-run: /none: ");
	assert_int_equal(tool_run(RUN "--tarnd /bin/false --pool p=1M true"),
			 125);
	assert_said("tarnd ended with status 1");
	assert_int_equal(tool_run("TMPDIR=/none " RUN "true"), 125);
	assert_said("/none/tarn-run.");
	assert_int_equal(tool_run(RUN "--pool p true"), 125);
	assert_int_equal(tool_run(RUN "--pool =1M true"), 125);
	assert_int_equal(tool_run(RUN "--pool p=1M,slob true"), 125);
	assert_int_equal(tool_run(RUN "--pool p=1M --pool p=1M true"), 125);
	assert_said("tarn-run: cannot make pool 'p': ");
}

static void options_after_the_command_are_the_commands(void **state)
{
	(void)state;
	assert_int_equal(tool_run(RUN "echo --version --pool"), 0);
	assert_string_equal(tool_said, "--version --pool\n");
	assert_int_equal(tool_run(RUN "--version"), 0);
	assert_said("tarn-run 0.");
	assert_int_equal(tool_run(RUN "--help"), 0);
	assert_said("Usage: tarn-run");
}

static void the_command_has_a_daemon_that_answers(void **state)
{
	(void)state;
	assert_int_equal(tool_run(RUN "$B/tools/tarnctl list"), 0);
	assert_string_equal(tool_said, "");
	assert_int_equal(tool_run(RUN "sh -c 'ls -ld ${TARN_SOCKET%%/*}'"), 0);
	assert_said("drwx------");
}

static void pools_are_there_before_the_command(void **state)
{
	(void)state;
	assert_int_equal(tool_run(RUN "--pool a=2M --pool b=1G,buddy,worst "
				  "--pool c=64M,best $B/tools/tarnctl list"),
			 0);
	assert_said("NAME");
	assert_said("a    slab  first   2M");
	assert_said("b    buddy worst   1G");
	assert_said("c    slab  best   64M");
}

static void verbose_lets_tarnd_speak(void **state)
{
	size_t quiet;

	(void)state;
	assert_int_equal(tool_run(RUN "--pool p=1M true"), 0);
	quiet = strlen(tool_said);
	assert_int_equal(quiet, 0);
	assert_int_equal(tool_run(RUN "--verbose --pool p=1M true"), 0);
	assert_true(strlen(tool_said) > quiet);
}

static void nothing_is_left_behind(void **state)
{
	char dir[256];
	int pid;

	(void)state;
	assert_int_equal(tool_run(RUN "sh -c 'echo " TARND_PID
				  " ${TARN_SOCKET%%/*}; exit 3'"), 3);
	assert_int_equal(sscanf(tool_said, "%d %255s", &pid, dir), 2);
	assert_true(pid > 1);
	assert_false(runs(pid));
	assert_int_equal(access(dir, F_OK), -1);
}

static int run_sleeper(void *arg)
{
	char path[4096];

	tn_test_program("tools/tarn-run", path, sizeof(path));
	execl(path, "tarn-run", "sh", "-c",
	      "trap 'exit 9' TERM INT HUP; "
	      "echo " TARND_PID " $$ ${TARN_SOCKET%/*} >$0.new; "
	      "mv $0.new $0; while :; do sleep 0.05; done",
	      (char *)arg, (char *)NULL);
	return 1;
}

/* Start one that waits for a signal; who is who comes through a file. */
static pid_t start_sleeper(int *tarnd, int *command, char dir[256])
{
	char path[] = "/tmp/tarn-test-run.XXXXXX";
	int fd = mkstemp(path);
	pid_t pid;
	FILE *f;

	assert_true(fd >= 0);
	close(fd);
	unlink(path);
	pid = tn_test_spawn(run_sleeper, path);
	tn_test_eventually(access(path, F_OK) == 0);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d %d %255s", tarnd, command, dir), 3);
	fclose(f);
	unlink(path);
	return pid;
}

static void signals_reach_the_command(void **state)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	int tarnd, command;
	char dir[256];
	pid_t pid;

	(void)state;
	for (int i = 0; i < 3; i++) {
		pid = start_sleeper(&tarnd, &command, dir);
		assert_true(runs(tarnd));
		kill(pid, signals[i]);
		assert_int_equal(tn_test_wait(pid), 9);
		assert_false(runs(tarnd));
		assert_int_equal(access(dir, F_OK), -1);
	}
}

static void tarnd_dies_with_a_killed_tarn_run(void **state)
{
	int tarnd, command;
	char dir[256];
	pid_t pid;

	(void)state;
	pid = start_sleeper(&tarnd, &command, dir);
	kill(pid, SIGKILL);
	assert_int_equal(tn_test_wait(pid), 137);
	tn_test_eventually(!runs(tarnd));
	kill(command, SIGKILL);
	tn_test_rmtree(dir);
}

static void a_stopped_tarnd_is_ended_too(void **state)
{
	(void)state;
	assert_int_equal(tool_run(RUN "sh -c 'kill -STOP " TARND_PID "'"), 0);
	assert_string_equal(tool_said, "");
}

static void a_tarnd_that_died_is_told_and_not_waited_for(void **state)
{
	int64_t begin = tn_test_now_ms();

	(void)state;
	assert_int_equal(tool_run(RUN "--no-restart sh -c 'kill -9 " TARND_PID
				  "; sleep 0.3; exec '$B/tools/tarnctl' list'"),
			 1);
	assert_said("tarn-run: tarnd was killed by signal 9");
	assert_said("there is no tarnd at ");
	assert_true(tn_test_now_ms() - begin < 4000);
}

static void a_tarnd_that_died_is_started_again(void **state)
{
	(void)state;
	assert_int_equal(tool_run(RUN "sh -c 'for i in 1 2 3; do kill -9 "
				  TARND_PID "; sleep 0.3; "
				  "'$B/tools/tarnctl' list || exit; done'"),
			 0);
	assert_said("tarn-run: tarnd was killed by signal 9");
	assert_said("; starting it again");
	assert_not_said("there is no tarnd at ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(the_status_is_the_commands),
		TN_TEST(its_own_failures_give_125),
		TN_TEST(options_after_the_command_are_the_commands),
		TN_TEST(the_command_has_a_daemon_that_answers),
		TN_TEST(pools_are_there_before_the_command),
		TN_TEST(verbose_lets_tarnd_speak),
		TN_TEST(nothing_is_left_behind),
		TN_TEST(signals_reach_the_command),
		TN_TEST(tarnd_dies_with_a_killed_tarn_run),
		TN_TEST(a_stopped_tarnd_is_ended_too),
		TN_TEST(a_tarnd_that_died_is_told_and_not_waited_for),
		TN_TEST(a_tarnd_that_died_is_started_again),
	};

	return cmocka_run_group_tests_name("system: tarn-run", tests, NULL,
					   NULL);
}
