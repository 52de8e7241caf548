/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * What the tests share: a real tarnd on a socket of its own, processes, and
 * the count of descriptors. A test file begins with
 *
 *	#include "tests/lib/tn_test.h"
 *
 * which brings cmocka along, and lists its tests as
 *
 *	cmocka_unit_test_setup_teardown(name, tn_test_setup, tn_test_teardown)
 *
 * or TN_TEST(name) for short: an alarm over the test, and its descriptors
 * counted before and after. tn_test_skip_unless_root() and its like skip.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <sys/types.h>

/* A test that takes longer is killed: a minute, or TARN_TEST_TIMEOUT seconds,
 * which are a whole program's when make runs many. */
#define TN_TEST_SECONDS tn_test_seconds()
unsigned tn_test_seconds(void);

int tn_test_setup(void **state);
int tn_test_teardown(void **state);
#define TN_TEST(name) \
	cmocka_unit_test_setup_teardown(name, tn_test_setup, tn_test_teardown)

#define tn_test_skip_unless_root() \
	do { \
		if (geteuid() != 0) { \
			print_message("needs root\n"); \
			skip(); \
		} \
	} while (0)

/* Try @cond every millisecond; it must come true, some time. */
#define TN_TEST_PATIENCE_MS 30000 /* of a busy machine, under a sanitizer */
#define tn_test_eventually(cond) \
	do { \
		int64_t end_ = tn_test_now_ms() + TN_TEST_PATIENCE_MS; \
		while (!(cond)) { \
			if (tn_test_now_ms() > end_) \
				fail_msg("it never came true: %s", #cond); \
			usleep(1000); \
		} \
	} while (0)
int64_t tn_test_now_ms(void);

/* A program of the build: $TARN_BUILD (or "build") and @name. */
const char *tn_test_program(const char *name, char *buf, size_t bytes);

/* Open descriptors of a process, 0 being this one. */
int tn_test_fd_count(pid_t pid);

/* A new directory under $TMPDIR or /tmp, world-searchable; and its removal
 * with all that is in it. */
void tn_test_mkdtemp(char *ret, size_t bytes);
void tn_test_rmtree(const char *dir);

/* Write a file whole; the test fails if that fails. */
void tn_test_write_file(const char *path, const char *text);

/* Run @fn(@arg) in a forked child, whose exit status is what @fn returns.
 * The child dies with its parent. */
pid_t tn_test_spawn(int (*fn)(void *arg), void *arg);

/* The same in a child of another uid and gid without further groups. */
pid_t tn_test_spawn_as(uid_t uid, gid_t gid, int (*fn)(void *arg), void *arg);

/* Wait for a child: its exit status, or 128 + signal. */
int tn_test_wait(pid_t pid);

/*
 * A tarnd. Its files are in a directory of its own:
 *   .dir/tarn.sock   .dir/pools/NAME.pool   .dir/tarnd.conf   .dir/log
 */
struct tn_test_daemon {
	pid_t pid;
	pid_t supervisor; /* 0: none */
	const char *const *env; /* NAME=value and NULL, or NULL */
	char dir[128];
	char socket[160];
	char pools[160];
	char conf[160];
	char log[160];
};

/**
 * tn_test_daemon_init() - make the directory; nothing runs yet, so that pool
 * files and tarnd.conf can be written into it
 */
void tn_test_daemon_init(struct tn_test_daemon *d);

/**
 * tn_test_daemon_start() - start $TARND, or tarnd of the build, and wait
 * until it accepts connections
 * @args: further arguments, NULL at the end; or NULL
 *
 * Sets TARN_SOCKET, so that tarn_connect(NULL) finds it. The test fails with
 * the daemon's log if it does not come up.
 */
void tn_test_daemon_start(struct tn_test_daemon *d, const char *const args[]);

/**
 * tn_test_daemon_supervise() - the same under tarn-run, which starts it again
 * with all that it has put by when it dies, without end; verbose
 *
 * Both write into the log. Waits until it is ready; ended by the calls below.
 */
void tn_test_daemon_supervise(struct tn_test_daemon *d,
			      const char *const args[]);

/* SIGKILL to a supervised one. */
void tn_test_daemon_crash(const struct tn_test_daemon *d);

/* Wait until another than @d->pid is ready, which is then in @d->pid. */
void tn_test_daemon_await(struct tn_test_daemon *d);
/* Start it and do not wait for anything; does it accept by now? */
void tn_test_daemon_spawn(struct tn_test_daemon *d, const char *const args[]);
bool tn_test_daemon_accepts(const struct tn_test_daemon *d);

/* Start it and wait for its end instead: exit status as of tn_test_wait(). */
int tn_test_daemon_run(struct tn_test_daemon *d, const char *const args[]);

/* SIGTERM, wait, remove the directory. Fails the test unless it exits 0. */
void tn_test_daemon_stop(struct tn_test_daemon *d);

/* The same without the wish for a clean end: kill it, remove everything. */
void tn_test_daemon_kill(struct tn_test_daemon *d);

/* The log, into the test's output. */
void tn_test_daemon_print(const struct tn_test_daemon *d);

/* Does the log say that? */
bool tn_test_daemon_said(const struct tn_test_daemon *d, const char *text);
