/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Who kills clients: a process of its own, which keeps time and does nothing
 * else. A turn that came late is made up for at once. Who is killed is replaced
 * by the process that waits for him.
 */
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/lib/tn_test.h"
#include "tests/stress/object.h"

#define N_VICTIMS 16U
#define KILL_MS 10

/* Between the processes of a test. */
struct victims {
	atomic_int pid[N_VICTIMS]; /* 0: killed, or not there yet */
	atomic_uint n_kills;
	atomic_uint n_alone; /* turns with nobody there to be killed */
};

static inline void kill_one(struct victims *v, uint64_t *random)
{
	unsigned first = random_below(random, N_VICTIMS);

	for (unsigned i = 0; i < N_VICTIMS; i++) {
		pid_t victim = atomic_exchange(
			&v->pid[(first + i) % N_VICTIMS], 0);

		if (!victim)
			continue;
		kill(victim, SIGKILL);
		atomic_fetch_add(&v->n_kills, 1);
		return;
	}
	atomic_fetch_add(&v->n_alone, 1);
}

/* For so long, or until somebody has found a fault. */
static inline void kill_all_the_time(struct victims *v, int seconds,
				     atomic_uint *faults)
{
	uint64_t random = 88172645463325252u;
	int64_t begin = tn_test_now_ms(), now;

	for (int64_t next = begin; next < begin + seconds * 1000;
	     next += KILL_MS) {
		while ((now = tn_test_now_ms()) < next)
			usleep((unsigned)(next - now) * 1000);
		if (atomic_load(faults))
			break;
		kill_one(v, &random);
	}
}
