/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One pid, a thousand processes. In a pid namespace of the test's own, whose
 * next pid can be said (ns_last_pid), one client after another is born with
 * the very number that the last one died with, and dies in one of these ways:
 *
 *   AT_WORK   attached, and tarnd is at work
 *   UNSEEN    while tarnd is stopped: when that goes on, the number is there
 *             and somebody else
 *   HEIR      attached, and a forked child holds on to its socket and maps
 *   QUEUED    as UNSEEN; but first it connects a second time and asks for the
 *             pool, and a forked child holds on to that, so that what tarnd
 *             accepts is a connection of one who is dead
 *
 * A wrong reclaim would take objects from the one that lives: it frees them
 * all, and each free says whether it was its own. A missed one would leave
 * the dead one's: then the pool holds more than what the living one has.
 */
#include "tests/lib/tn_test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tarn/stats.h>
#include <tarn/tarn.h>

#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_trace.h"

#define REUSES (TN_SANITIZED ? 200 : 1000)
#define PID 1000     /* nobody else comes as far */
#define N_OBJECTS 20

enum how { AT_WORK, UNSEEN, HEIR, QUEUED, N_HOWS };

static struct tn_test_daemon d;
static const char *cannot; /* make such a namespace; why */
static struct tarn_pool *pool;
static int ask[2], answer[2];

/*
 * Clients
 */

static void say(char what)
{
	if (write(answer[1], &what, 1) != 1)
		_exit(9);
}

static char asked(void)
{
	char what;

	return read(ask[0], &what, 1) == 1 ? what : 0;
}

static void *object[N_OBJECTS];

/* From slots and, the last, a run. */
static bool fill(struct tarn_pool *p)
{
	for (unsigned i = 0; i < N_OBJECTS; i++) {
		size_t bytes = i == N_OBJECTS - 1 ? 100000 : 16U << i % 8;

		object[i] = tarn_alloc(p, bytes);
		if (!object[i])
			return false;
		memset(object[i], (int)i + 1, bytes);
	}
	return true;
}

static bool drop(struct tarn_pool *p)
{
	for (unsigned i = 0; i < N_OBJECTS; i++)
		if (*(uint8_t *)object[i] != i + 1 ||
		    tarn_free(p, object[i]) != 0)
			return false;
	return true;
}

/* A second connection, with all that it takes to open the pool in it. */
static void queue(void)
{
	const struct tn_open want = { .name = "p", .role = TN_PRODUCER };
	const struct tn_hello hello = {
		.min_version = TN_WIRE_MIN_VERSION,
		.max_version = TN_WIRE_VERSION,
	};
	struct tn_packet packet;
	int fd = tn_raw_connect(d.socket);

	tn_raw_request(&packet, TN_MSG_HELLO, 1, &hello, sizeof(hello));
	tn_raw_send(fd, packet.data, packet.bytes);
	tn_raw_request(&packet, TN_MSG_OPEN, 2, &want, sizeof(want));
	tn_raw_send(fd, packet.data, packet.bytes);
}

static void leave_heir(void)
{
	if (fork() == 0)
		for (;;)
			pause();
}

static int live(void *arg)
{
	struct tarn_pool *p;
	struct tarn *t;
	char what;

	(void)arg;
	if (tarn_connect(NULL, &t) ||
	    tarn_pool_open(t, "p", TARN_PRODUCER, &p) || !fill(p))
		return 1;
	say('b');
	while ((what = asked())) {
		if (what == 'c' && !(drop(p) && fill(p)))
			return 2;
		if (what == 'q')
			queue();
		if (what == 'q' || what == 'h')
			leave_heir();
		say(what);
	}
	return 0;
}

/*
 * The parent of them all
 */

static void tell(char what)
{
	char said;

	if (what)
		assert_int_equal(write(ask[1], &what, 1), 1);
	assert_int_equal(read(answer[0], &said, 1), 1);
	assert_int_equal(said, what ? what : 'b');
}

static void born(void)
{
	char last[16];

	snprintf(last, sizeof(last), "%d", PID - 1);
	tn_test_write_file("/proc/sys/kernel/ns_last_pid", last);
	assert_int_equal(tn_test_spawn(live, NULL), PID);
}

/* This process looks, one client lives, and has all there is. */
static bool nothing_is_of_the_dead(void)
{
	struct tarn_stats s = { .sz = sizeof(s) };
	bool so;

	assert_int_equal(tarn_stats(pool, &s), 0);
	so = s.n_clients == 2 && s.live_objects == N_OBJECTS;
	tarn_stats_free(&s);
	return so;
}

/* It dies, the next is born, and until that is attached nothing is told. */
static void reuse(enum how how)
{
	bool stopped = how == UNSEEN || how == QUEUED;

	if (how == HEIR)
		tell('h');
	if (stopped)
		kill(d.pid, SIGSTOP);
	if (how == QUEUED)
		tell('q');
	kill(PID, SIGKILL);
	assert_int_equal(tn_test_wait(PID), 128 + SIGKILL);
	born();
	if (stopped)
		usleep(1000); /* it is waiting for its answer by now */
	if (stopped)
		kill(d.pid, SIGCONT);
	tell(0);
}

/* Children of the dead are this process's, and have no more to do. */
static void end_heirs(void)
{
	char path[64], list[256] = "";
	int fd, pid;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", getpid(),
		 getpid());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	n = read(fd, list, sizeof(list) - 1);
	close(fd);
	assert_true(n > 0);
	for (char *at = list; sscanf(at, "%d", &pid) == 1;
	     at = strchr(at, ' ') + 1) {
		if (pid == PID || pid == d.pid)
			continue;
		kill(pid, SIGKILL);
		assert_int_equal(tn_test_wait(pid), 128 + SIGKILL);
	}
}

static void the_same_pid_is_not_the_same_client(void **state)
{
	unsigned n[N_HOWS] = { 0 };

	(void)state;
	if (cannot) {
		print_message("%s\n", cannot);
		skip();
	}
	alarm(150);
	born();
	tell(0);
	for (unsigned i = 0; i < REUSES; i++) {
		reuse(i % N_HOWS);
		/* missed: the dead one's objects, or its place */
		tn_test_eventually(nothing_is_of_the_dead());
		/* wrong: what the living one has is not its own any more */
		tell('c');
		if (i % N_HOWS == HEIR || i % N_HOWS == QUEUED)
			end_heirs();
		n[i % N_HOWS]++;
	}
	kill(PID, SIGKILL);
	assert_int_equal(tn_test_wait(PID), 128 + SIGKILL);
	printf("# pid %d had by %u clients, one after another: %u died at "
	       "work, %u unseen, %u with an heir, %u queued; 0 wrong "
	       "reclaims, 0 missed\n", PID, REUSES + 1, n[AT_WORK], n[UNSEEN],
	       n[HEIR], n[QUEUED]);
}

static int setup(void **state)
{
	struct tarn *t;

	tn_test_setup(state);
	if (cannot)
		return 0;
	if (pipe2(ask, O_CLOEXEC) || pipe2(answer, O_CLOEXEC))
		return -1;
	tn_test_daemon_init(&d);
	tn_test_daemon_start(&d, NULL);
	if (tarn_connect(NULL, &t) ||
	    tarn_pool_create(t, "p", TARN_POOL_OPTS(.bytes = 16 << 20)) ||
	    tarn_pool_open(t, "p", TARN_OBSERVER, &pool))
		return -1;
	tarn_disconnect(t);
	return 0;
}

static int teardown(void **state)
{
	if (!cannot) {
		tarn_pool_close(pool);
		tn_test_daemon_stop(&d);
		for (unsigned i = 0; i < 2; i++) {
			close(ask[i]);
			close(answer[i]);
		}
	}
	return tn_test_teardown(state);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			the_same_pid_is_not_the_same_client, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The namespace's first process: it goes, and all go with it. */
static int init(void)
{
	int status = 0;
	pid_t pid;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("proc", "/proc", "proc", 0, NULL) < 0)
		cannot = "no /proc can be mounted for a pid namespace";
	else if (access("/proc/sys/kernel/ns_last_pid", W_OK) < 0)
		cannot = "no ns_last_pid to write to: the kernel lacks "
			 "CHECKPOINT_RESTORE, or /proc/sys is read-only";
	pid = fork();
	if (pid == 0) {
		/* who lost its parent is this one's, to be waited for */
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		status = run();
		fflush(NULL);
		_exit(status);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* The leak checker stops the process's threads by their numbers, and in here
 * these are not what it reads in /proc. */
__attribute__((visibility("default")))
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{ return "detect_leaks=0"; }

int main(void)
{
	int status = 0;
	pid_t pid;

#ifdef __SANITIZE_THREAD__
	cannot = "ThreadSanitizer's own thread takes the number that is wanted";
	return run();
#endif
	if (unshare(CLONE_NEWPID | CLONE_NEWNS) < 0) {
		cannot = "no pid namespace can be made: needs root";
		return run();
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(init());
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
