/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench/crew.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/bench.h"

#define SPINS 200 /* looks before letting another process run */

struct crew {
	unsigned n;
	void (*work)(struct worker *w);
	struct hand {
		struct worker worker;
		struct crew *crew;
		pthread_t thread;
		pid_t pid;      /* 0: a thread */
	} hands[];              /* in memory that all of them see */
};

void wait_a_little(unsigned *n_spins)
{
	if (++*n_spins % SPINS == 0)
		sched_yield();
	else
#if defined(__x86_64__) || defined(__i386__)
		__builtin_ia32_pause();
#elif defined(__aarch64__)
		__asm__ volatile("yield");
#endif
}

static void *in_thread(void *arg)
{
	struct hand *hand = arg;

	hand->crew->work(&hand->worker);
	return NULL;
}

static void in_process(struct hand *hand)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	heap_join(&hand->worker.run.heap);
	hand->crew->work(&hand->worker);
	heap_leave(&hand->worker.run.heap);
	_exit(0);
}

static void start(struct hand *hand, enum crew_kind kind)
{
	pid_t pid;

	if (!hand->worker.run.heap.peer && kind == CREW_SHARES) {
		if (pthread_create(&hand->thread, NULL, in_thread, hand))
			bench_die("thread", 0);
		return;
	}
	pid = fork();
	if (pid < 0)
		bench_die("fork", -errno);
	if (pid == 0)
		in_process(hand);
	hand->pid = pid; /* here alone: the worker sees it, too */
}

struct crew *crew_start(struct bench_run *r, enum crew_kind kind, unsigned n,
			void (*work)(struct worker *w), void *arg)
{
	struct crew *crew = bench_memory(sizeof(*crew) +
					 n * sizeof(crew->hands[0]));

	crew->n = n;
	crew->work = work;
	for (unsigned i = 0; i < n; i++) {
		struct hand *hand = &crew->hands[i];

		hand->crew = crew;
		hand->worker.run = *r;
		hand->worker.run.n_taken = hand->worker.run.n_put = 0;
		hand->worker.n = i;
		hand->worker.arg = arg;
		start(hand, kind);
	}
	return crew;
}

void crew_finish(struct crew *crew, struct bench_run *r)
{
	for (unsigned i = 0; i < crew->n; i++) {
		struct hand *hand = &crew->hands[i];
		int status = 0;

		if (hand->pid)
			waitpid(hand->pid, &status, 0);
		else
			pthread_join(hand->thread, NULL);
		if (status != 0)
			bench_die("a worker failed", 0);
		r->n_taken += hand->worker.run.n_taken;
		r->n_put += hand->worker.run.n_put;
	}
}

pid_t crew_pid(const struct crew *crew, unsigned n)
{
	return crew->hands[n].pid;
}
