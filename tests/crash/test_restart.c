/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tarnd is killed again and again under clients who do all that there is to
 * do, and must not notice: no call fails, allocation does not pause, nothing is
 * lost, and the ledger says in the end what an audit of the pool says.
 *
 *	calm      without a kill, to compare with
 *	random    killed at some moment between two starts
 *	calls     stopped at each of its system calls, and killed at the n'th:
 *	          in loading, adoption, and while it serves. Between two of
 *	          these one lives long enough for everybody to be served
 *
 * TARN_RESTART_KILLS (40) is how many there are, half of each kind. With
 * TARN_RESTART_STRICT the figures must be good, too: of a machine that has
 * nothing else to do, or the times are another's.
 */
#include "tests/lib/tn_test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tarn/admin.h>
#include <tarn/tarn.h>

#include "daemon/ledger.h"
#include "tests/lib/tn_load.h"
#include "tests/lib/tn_manager.h"
#include "tests/lib/tn_trace.h"

#define CALM_MS 3000
#define LIVE_MS 30 /* served in between */

static struct tn_manager m;
static struct tn_load *load;
static unsigned kills = 40;
static uint64_t calm_gap_us, seed = 4711;

static unsigned any(unsigned below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(seed >> 33) % below;
}

static void turn(void)
{
	tn_manager_turn(&m, 1);
}

static void live(int ms)
{
	for (int64_t end = tn_test_now_ms() + ms; tn_test_now_ms() < end;)
		turn();
}

static uint64_t longest_gap(void)
{
	uint64_t gap = 0;

	for (int i = 0; i < TN_LOAD_CLIENTS; i++)
		if (load->client[i].gap_us > gap)
			gap = load->client[i].gap_us;
	return gap;
}

/* Under a sanitizer tarnd takes a second to start, and is killed again before
 * it has answered: then the library's five seconds may pass. */
static bool too_slow(int error)
{ return TN_SANITIZED && error == -ETIMEDOUT; }

static unsigned n_errors(void)
{
	unsigned n = 0;

	for (int i = 0; i < TN_LOAD_CLIENTS; i++) {
		if (!load->client[i].error || too_slow(load->client[i].error))
			continue;
		n++;
		print_error("client %d: %s: %s\n", i, load->client[i].where,
			    strerror(-load->client[i].error));
	}
	return n;
}

static void report(const char *what, unsigned n_kills, bool traced)
{
	uint64_t n, allocs = 0, passed = 0;
	uint32_t p50 = tn_load_request_us(load, 0.5, &n);
	uint32_t p999 = tn_load_request_us(load, 0.999, &n);

	for (int i = 0; i < TN_LOAD_CLIENTS; i++) {
		allocs += load->client[i].n_allocs;
		passed += load->client[i].n_passed;
	}
	printf("# %-7s kills %5u  errors %u  allocations %9llu  passed on "
	       "%8llu  longest gap %6.1f ms  requests %7llu, p50 %6.2f ms, "
	       "p99.9 %6.1f ms\n", what, n_kills, n_errors(),
	       (unsigned long long)allocs, (unsigned long long)passed,
	       (double)longest_gap() / 1000, (unsigned long long)n,
	       p50 / 1000.0, p999 / 1000.0);
	assert_int_equal(n_errors(), 0);
	assert_true(n > 0 || TN_SANITIZED);
	if (!getenv("TARN_RESTART_STRICT") || !n_kills)
		return;
	/* a tarnd that is traced is as slow as its tracer */
	assert_true(traced || p999 < 250000);
	assert_true(longest_gap() <= 2 * calm_gap_us);
}

/* the end: who says what */

static void count_ledger(uint32_t n[LEDGER_CONNECTIONS])
{
	struct tn_stored *stored = tn_manager_find(&m, "t1l", NULL);
	struct ledger ledger;
	char why[LEDGER_WHY_BYTES] = "";

	assert_non_null(stored);
	if (ledger_open(&ledger, dup(stored->fd), why) < 0)
		fail_msg("%s", why);
	for (int t = 0; t < LEDGER_CONNECTIONS; t++) {
		n[t] = 0;
		for (uint32_t i = 0; i < ledger_n(&ledger, t); i++)
			n[t] += ledger_state(&ledger, t, i) != 0;
	}
	ledger_fini(&ledger);
}

/* None was lost, and none was made twice. */
static void only_the_pool(struct tarn *t)
{
	struct tarn_pool_info *list;
	int n = tarn_pool_list(t, &list);

	for (int i = 0; i < n; i++)
		if (strcmp(list[i].name, "load"))
			print_error("pool %s is there\n", list[i].name);
	free(list);
	assert_int_equal(n, 1);
}

static void the_ledger_is_what_an_audit_says(void)
{
	struct tarn_audit audit = { .sz = sizeof(audit) };
	struct tarn_pool_info info;
	uint32_t n[LEDGER_CONNECTIONS];
	struct tarn *t;

	tn_manager_run(&m);
	assert_int_equal(tarn_connect(NULL, &t), 0);
	tn_test_eventually(tarn_pool_stat(t, "load", &info) == 0 &&
			   info.n_clients == 0);
	only_the_pool(t);
	assert_int_equal(tarn_audit(t, "load", TARN_AUDIT_QUIESCENT, &audit),
			 0);
	if (*audit.finding.sentence)
		fail_msg("%s: %s", audit.finding.sentence, audit.finding.text);
	assert_int_equal(audit.slots_held + audit.slots_kept +
			 audit.slots_given + audit.slots_link, 0);
	assert_int_equal(audit.n_controls, 2); /* tarnd and the auditor */
	tarn_disconnect(t);
	/* and without this connection there is the pool, and nothing else */
	tn_test_eventually((count_ledger(n), n[LEDGER_SESSIONS] == 0));
	assert_int_equal(n[LEDGER_POOLS], 1);
	assert_int_equal(n[LEDGER_ATTACHMENTS], 0);
	tn_test_eventually(tn_manager_count(&m, "t1") == 1 + 3);
	tn_manager_rest(&m);
}

/* the kills */

/* Return: how many */
static unsigned kill_at_random(void)
{
	unsigned n = 0;

	while (n < kills / 2) {
		tn_manager_start(&m);
		live((int)any(n % 2 ? 20 : 80));
		tn_manager_end(&m, SIGKILL);
		n++;
		if (n % 4)
			continue;
		tn_manager_up(&m);
		live(LIVE_MS);
		tn_manager_end(&m, SIGKILL);
		n++;
	}
	tn_manager_up(&m);
	live(LIVE_MS);
	return n;
}

static int exec_traced(void *arg)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		return 122;
	raise(SIGSTOP);
	return tn_manager_exec(arg);
}

/* Lets it go on to the next stop of any of its threads; which one that is, or
 * 0 if there is none for now. */
static pid_t next_stop(pid_t *stopped, int *status)
{
	if (*stopped)
		ptrace(PTRACE_SYSCALL, *stopped, NULL, NULL);
	for (int64_t end = tn_test_now_ms() + 200; tn_test_now_ms() < end;) {
		*stopped = waitpid(-1, status, __WALL | WNOHANG);
		if (*stopped > 0)
			return *stopped;
		if (!tn_manager_turn(&m, 0))
			usleep(20);
	}
	return *stopped = 0;
}

/* Return: did it come so far? */
static bool kill_at_call(unsigned n)
{
	unsigned calls = 0;
	pid_t stopped, pid;
	int status;

	pid = m.d.pid = tn_test_spawn(exec_traced, &m);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD |
	       PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
	stopped = pid;
	while (calls < n && next_stop(&stopped, &status)) {
		if (WIFSTOPPED(status) &&
		    WSTOPSIG(status) == (SIGTRAP | 0x80))
			calls++;
		else if (!WIFSTOPPED(status) && stopped == pid)
			fail_msg("tarnd ended by itself: %x", status);
	}
	kill(pid, SIGKILL);
	/* its other threads come first, and are children, too, while traced */
	while (waitpid(-1, &status, __WALL) != pid || WIFSTOPPED(status))
		;
	m.d.pid = 0;
	while (tn_manager_turn(&m, 0))
		;
	return calls == n;
}

/* How many calls it makes until it serves, about. */
#define CALLS_MAX 3000

static unsigned kill_at_calls(void)
{
	unsigned n = kills / 4, n_full = 0;

	tn_manager_end(&m, SIGKILL);
	for (unsigned i = 0; i < n; i++) {
		n_full += kill_at_call(1 + (unsigned)((uint64_t)i * CALLS_MAX /
						      n));
		tn_manager_up(&m);
		live(LIVE_MS);
		tn_manager_end(&m, SIGKILL);
	}
	assert_true(n_full > n / 2);
	tn_manager_up(&m);
	live(LIVE_MS);
	return 1 + 2 * n;
}

static void nobody_notices(void **state)
{
	(void)state;
	alarm(TN_TEST_SECONDS + kills / 2);
	if (TN_SANITIZED)
		kills /= 4;
	tn_manager_init(&m, TN_STORED_MAX);
	tn_manager_run(&m);
	tn_manager_up(&m);
	assert_int_equal(tn_load_pool(), 0);
	tn_manager_rest(&m);
	load = tn_load_start(turn);
	live(CALM_MS / 4);
	tn_load_clear(load);
	live(CALM_MS);
	calm_gap_us = longest_gap();
	report("calm", 0, false);
	tn_load_clear(load);
	tn_manager_end(&m, SIGKILL);
	report("random", 1 + kill_at_random(), false);
	tn_load_clear(load);
	report("calls", kill_at_calls(), true);
	assert_int_equal(tn_load_stop(load, turn), 0);
	tn_load_free(load);
	the_ledger_is_what_an_audit_says();
	tn_manager_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(nobody_notices),
	};
	const char *s = getenv("TARN_RESTART_KILLS");

	if (s && atoi(s) > 0)
		kills = (unsigned)atoi(s);
	setvbuf(stdout, NULL, _IOLBF, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
