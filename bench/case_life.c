/* SPDX-License-Identifier: BSD-2-Clause */
/* The beginning and the end of a client, as its daemon and others see them. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/crew.h"

#define NEWCOMERS 50
#define SIZE 64

/*
 * attach: a process that has done nothing yet joins, and takes an object
 */

struct newcomer {
	double join_us, first_us;
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void come(struct bench_run *r, struct newcomer *me)
{
	const struct bench_peer *peer = r->heap.peer;
	double begin = bench_now_ns(), joined;

	r->heap.pool = peer->join(r->heap.name);
	joined = bench_now_ns();
	put(r, r->mode, take(r, r->mode, SIZE, 1));
	me->first_us = (bench_now_ns() - joined) / 1e3;
	me->join_us = (joined - begin) / 1e3;
	peer->leave(r->heap.pool);
	_exit(0);
}

static double median_at(const struct newcomer *all, unsigned n, bool is_first)
{
	double v[NEWCOMERS];

	for (unsigned i = 0; i < n; i++)
		v[i] = is_first ? all[i].first_us : all[i].join_us;
	qsort(v, n, sizeof(v[0]), by_value);
	return v[n / 2];
}

static void attach(struct bench_run *r, uint64_t n)
{
	struct newcomer *all = bench_memory(NEWCOMERS * sizeof(*all));
	unsigned n_runs = n > NEWCOMERS ? NEWCOMERS : (unsigned)n;

	if (!r->heap.peer->join)
		bench_cannot();
	for (unsigned i = 0; i < n_runs; i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0)
			come(r, &all[i]);
		if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
			bench_die("a newcomer failed", 0);
	}
	bench_emit("join", "us", median_at(all, n_runs, false));
	bench_emit("first", "us", median_at(all, n_runs, true));
	put(r, r->mode, take(r, r->mode, SIZE, 1)); /* it still works */
}

/*
 * recovery: from the SIGKILL of a client that holds so many objects until
 * there is no such client, and with that nothing that it held
 */

static _Atomic bool *is_full;

static void hold(struct worker *w)
{
	for (uint64_t i = 0; i < w->run.param; i++)
		take(&w->run, BENCH_SHARED, SIZE, i);
	*is_full = true;
	for (;;)
		pause();
}

static void recovery(struct bench_run *r, uint64_t n)
{
	const struct bench_peer *peer = r->heap.peer;
	unsigned n_spins = 0;
	struct crew *crew;
	double begin;

	(void)n;
	is_full = bench_memory(sizeof(*is_full));
	crew = crew_start(r, CREW_SHARES, 1, hold, NULL);
	while (!*is_full)
		wait_a_little(&n_spins);
	begin = bench_now_ns();
	kill(crew_pid(crew, 0), SIGKILL);
	while (peer->clients(r->heap.pool) > 1)
		usleep(20);
	bench_emit(NULL, "us", (bench_now_ns() - begin) / 1e3);
	waitpid(crew_pid(crew, 0), NULL, 0);
	put(r, r->mode, take(r, r->mode, SIZE, 1)); /* it still works */
}

static const uint64_t n_held[] = { 1, 1000, 10000, 100000, 1000000, 0 };

static const struct bench_case cases[] = {
	{ .name = "attach", .unit = "us", .measure = attach,
	  .n_ops = NEWCOMERS, .kinds = BENCH_TARN | BENCH_PEER,
	  .what = "a process joins; then its first alloc and free" },
	{ .name = "recovery", .unit = "us", .measure = recovery,
	  .params = n_held, .kinds = BENCH_TARN,
	  .what = "from SIGKILL until what it held is free: so many of 64 B" },
};

const struct bench_group bench_life = { "life", cases, BENCH_N(cases) };
