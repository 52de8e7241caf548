/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tarn-run as a service manager: a service that dies is started again with all
 * that it has put by. The service is this program, see service.h.
 */
#include "tests/system/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/un.h>

#include "tests/system/service.h"

static char dir[128], sock[160], manager_log[160];
static pid_t manager;

static int exec_manager(void *arg)
{
	char run[4096], self[4096], line[8192];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int log = open(manager_log, O_WRONLY | O_CREAT | O_APPEND, 0644);

	self[n > 0 ? n : 0] = '\0';
	if (log < 0 || dup2(log, 2) < 0)
		return 120;
	close(log);
	alarm(0);
	snprintf(line, sizeof(line), "exec %s --tarnd %s --dir %s %s",
		 tn_test_program("tools/tarn-run", run, sizeof(run)), self, dir,
		 (const char *)arg);
	execl("/bin/sh", "sh", "-c", line, (char *)NULL);
	return 127;
}

static int connection(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strcpy(sa.sun_path, sock);
	if (!connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
		return fd;
	close(fd);
	return -1;
}

static bool listens(void)
{
	int fd = connection();

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* With those options, and a command. */
static void start(const char *options)
{
	tn_test_mkdtemp(dir, sizeof(dir));
	snprintf(sock, sizeof(sock), "%s/tarn.sock", dir);
	snprintf(manager_log, sizeof(manager_log), "%s/log", dir);
	manager = tn_test_spawn(exec_manager, (void *)options);
	tn_test_eventually(listens());
}

static void stop(int status)
{
	kill(manager, SIGTERM);
	assert_int_equal(tn_test_wait(manager), status);
	assert_int_equal(access(sock, F_OK), -1);
	tn_test_rmtree(dir);
}

/* The service's answer to a request; "" if it dies of it. */
__attribute__((format(printf, 1, 2)))
static const char *ask(const char *fmt, ...)
{
	static char reply[65000], request[4096];
	int fd = connection();
	va_list ap;
	ssize_t n;

	assert_true(fd >= 0);
	va_start(ap, fmt);
	vsnprintf(request, sizeof(request), fmt, ap);
	va_end(ap);
	send(fd, request, strlen(request), MSG_NOSIGNAL);
	n = recv(fd, reply, sizeof(reply) - 1, 0);
	reply[n > 0 ? n : 0] = '\0';
	close(fd);
	return reply;
}

static void crash(void)
{
	assert_string_equal(ask("kill 9"), "");
}

/* What the manager's status file says of a word, or 0. */
static int status_of(const char *word)
{
	char path[200], line[512];
	int value = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/status", dir);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, word, strlen(word)) && !value)
			value = line[strlen(word)] == ' ' ?
				atoi(line + strlen(word)) : 1;
	if (f)
		fclose(f);
	return value;
}

static bool manager_said(const char *text)
{
	struct tn_test_daemon d;

	strcpy(d.log, manager_log);
	return tn_test_daemon_said(&d, text);
}

#define FIRST "tarnd.socket=? "

static void what_was_put_by_comes_back(void **state)
{
	(void)state;
	start("sleep 100");
	assert_string_equal(ask("list"), FIRST);
	ask("put a hello");
	ask("put b.1 world");
	ask("two pair");
	for (int i = 0; i < 3; i++) {
		crash();
		assert_string_equal(ask("list"), FIRST "pair=two pair=one "
				    "b.1=world a=hello ");
	}
	tn_test_eventually(status_of("stored") == 4);
	tn_test_eventually(status_of("starts") == 4);
	stop(143);
}

static void a_thousand_come_back_each_under_its_name(void **state)
{
	char want[32];

	(void)state;
	start("sleep 100");
	ask("many 1000");
	for (int i = 0; i < 3; i++) {
		const char *all;

		crash();
		all = ask("list");
		for (int k = 0; k < 1000; k++) {
			snprintf(want, sizeof(want), " n%d=n%d ", k, k);
			if (!strstr(all, want))
				fail_msg("%s is not in %s", want, all);
		}
	}
	tn_test_eventually(status_of("stored") == 1000);
	stop(143);
}

static void a_file_is_kept_once(void **state)
{
	(void)state;
	start("sleep 100");
	ask("put a one");
	ask("again b");
	ask("put c one");
	crash();
	assert_string_equal(ask("list"), FIRST "c=one a=one ");
	stop(143);
}

static void all_of_a_name_are_removed(void **state)
{
	(void)state;
	start("sleep 100");
	ask("two x");
	ask("put y why");
	ask("put x more");
	ask("remove x");
	ask("remove none");
	crash();
	assert_string_equal(ask("list"), FIRST "y=why ");
	stop(143);
}

static void names_are_looked_at(void **state)
{
	char name[300];

	(void)state;
	start("sleep 100");
	memset(name, 'n', sizeof(name));
	name[256] = '\0';
	ask("put %s long", name);
	ask("put a:b colon");
	ask("put %s plain", "");
	ask("remove a:b");
	crash();
	assert_string_equal(ask("list"), FIRST "stored=plain stored=colon "
			    "stored=long ");
	stop(143);
}

static void what_hangs_up_leaves_unless_told_to_stay(void **state)
{
	(void)state;
	start("sleep 100");
	ask("put file f");
	ask("pair goes");
	ask("pair stays stay");
	assert_string_equal(ask("barrier"), "1");
	ask("say STATUS=up");
	tn_test_eventually(status_of("stored") == 3);
	ask("hang");
	crash();
	assert_string_equal(ask("list"), FIRST "stays=? file=f ");
	stop(143);
}

static void a_barrier_returns_when_all_before_it_is_done(void **state)
{
	(void)state;
	start("sleep 100");
	for (int i = 1; i <= 50; i++) {
		ask("put b%d text", i);
		ask("say STATUS=%d", i);
		assert_string_equal(ask("barrier"), "1");
		/* no waiting: it is done */
		assert_int_equal(status_of("stored"), i);
	}
	stop(143);
}

static void only_so_many_are_kept(void **state)
{
	(void)state;
	start("--store 3 sleep 100");
	ask("many 5");
	crash();
	assert_string_equal(ask("list"), FIRST "n2=n2 n1=n1 n0=n0 ");
	assert_true(manager_said("3 descriptors are put by and no more"));
	ask("remove n1");
	ask("put x y");
	crash();
	assert_string_equal(ask("list"), FIRST "x=y n2=n2 n0=n0 ");
	stop(143);
}

static void others_are_not_listened_to(void **state)
{
	int fd = memfd_create("foreign", MFD_CLOEXEC);
	char notify[160];

	(void)state;
	start("sleep 100");
	ask("list");
	snprintf(notify, sizeof(notify), "%s/notify", dir);
	setenv("NOTIFY_SOCKET", notify, 1);
	assert_true(sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDNAME=foreign\n"
					   "STATUS=foreign", &fd, 1) > 0);
	/* of our own barrier nothing is heard, but for its end */
	assert_true(sd_notify_barrier(0, 10000000) > 0);
	unsetenv("NOTIFY_SOCKET");
	close(fd);
	assert_int_equal(status_of("foreign"), 0);
	crash();
	assert_string_equal(ask("list"), FIRST);
	stop(143);
}

static void it_is_told_where_it_is(void **state)
{
	char path[200];
	int pid;

	(void)state;
	start("--watchdog 30 sleep 100");
	assert_string_equal(ask("env WATCHDOG_USEC"), "30000000");
	pid = atoi(ask("env WATCHDOG_PID"));
	assert_int_equal(pid, atoi(ask("env LISTEN_PID")));
	tn_test_eventually(status_of("pid") == pid);
	tn_test_eventually(status_of("ready") == 1);
	snprintf(path, sizeof(path), "%s/notify", dir);
	assert_string_equal(ask("env NOTIFY_SOCKET"), path);
	stop(143);
}

static char state_of(int pid)
{
	char path[64], state = '?';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (f && fscanf(f, "%*d %*s %c", &state) != 1)
		state = '?';
	if (f)
		fclose(f);
	return state;
}

static void one_that_stands_still_is_killed(void **state)
{
	int pid;

	(void)state;
	start("--watchdog 1 sleep 100");
	ask("put a b");
	pid = status_of("pid");
	usleep(2000000); /* it is fed, and nothing happens */
	assert_int_equal(status_of("pid"), pid);
	kill(pid, SIGSTOP);
	tn_test_eventually(state_of(pid) == 'T');
	/* that waits for the next */
	assert_string_equal(ask("list"), FIRST "a=b ");
	assert_true(manager_said("tarnd has not fed the watchdog"));
	assert_true(manager_said("killed by signal 6"));
	tn_test_eventually(status_of("pid") != pid);
	ask("quiet");
	tn_test_eventually(status_of("starts") == 3);
	ask("say WATCHDOG=trigger");
	tn_test_eventually(status_of("starts") == 4);
	stop(143);
}

static void one_that_ends_by_itself_is_started_again(void **state)
{
	(void)state;
	start("sleep 100");
	ask("put a b");
	ask("say STOPPING=1|STATUS=bye");
	tn_test_eventually(status_of("stopping") == 1);
	ask("exit 0");
	assert_string_equal(ask("list"), FIRST "a=b ");
	ask("exit 9");
	assert_string_equal(ask("list"), FIRST "a=b ");
	assert_true(manager_said("ended with status 9; starting it again"));
	stop(143);
}

static void one_that_cannot_start_is_given_up(void **state)
{
	(void)state;
	start("--restarts 3 sh -c 'sleep 3; exit 0'");
	ask("put die now");
	ask("exit 1");
	tn_test_eventually(status_of("gone") == 1);
	assert_true(manager_said("ended with status 3 once more; giving up"));
	/* the one that put it by, and the first try, and three more */
	tn_test_eventually(status_of("starts") == 4);
	assert_false(listens());
	assert_int_equal(tn_test_wait(manager), 125);
	tn_test_rmtree(dir);
}

static void nothing_of_it_reaches_the_command(void **state)
{
	char path[200], text[8192] = "";
	FILE *f;

	(void)state;
	start("sh -c 'sleep 1; cd ${TARN_SOCKET%/*}; "
	      "(ls -l /proc/self/fd; env) >see; sleep 100'");
	ask("many 100");
	snprintf(path, sizeof(path), "%s/see", dir);
	tn_test_eventually(access(path, F_OK) == 0);
	usleep(300000);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
	fclose(f);
	assert_non_null(strstr(text, " 2 -> "));
	assert_null(strstr(text, "memfd:"));
	assert_null(strstr(text, "socket:"));
	assert_null(strstr(text, "anon_inode:"));
	assert_null(strstr(text, "NOTIFY_SOCKET"));
	assert_null(strstr(text, "LISTEN_"));
	stop(143);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		TN_TEST(what_was_put_by_comes_back),
		TN_TEST(a_thousand_come_back_each_under_its_name),
		TN_TEST(a_file_is_kept_once),
		TN_TEST(all_of_a_name_are_removed),
		TN_TEST(names_are_looked_at),
		TN_TEST(what_hangs_up_leaves_unless_told_to_stay),
		TN_TEST(a_barrier_returns_when_all_before_it_is_done),
		TN_TEST(only_so_many_are_kept),
		TN_TEST(others_are_not_listened_to),
		TN_TEST(it_is_told_where_it_is),
		TN_TEST(one_that_stands_still_is_killed),
		TN_TEST(one_that_ends_by_itself_is_started_again),
		TN_TEST(one_that_cannot_start_is_given_up),
		TN_TEST(nothing_of_it_reaches_the_command),
	};

	if (argc > 1 && !strcmp(argv[1], "--socket"))
		return service_main();
	return cmocka_run_group_tests_name("system: tarn-run restarts", tests,
					   NULL, NULL);
}
