/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * What a hostile or careless user does to tarnd, each in processes of its own
 * and without end. None of them knows libtarn.
 */
#include <sys/types.h>

struct tn_attack {
	const char *name;
	const char *what;
	int processes;
	/* never returns; @n: which of the processes */
	void (*run)(const char *socket, int n);
};

extern const struct tn_attack tn_attacks[]; /* ends with .name = NULL */

/* One that is under way. Its processes, and theirs, are one group each. */
struct tn_attack_run {
	pid_t pids[8];
	int n;
};

/* Begin it, as user and group @uid, at a nice value of 5. */
void tn_attack_begin(struct tn_attack_run *run, const struct tn_attack *attack,
		     const char *socket, uid_t uid);

/* Kill all of them, and wait until they are gone. */
void tn_attack_end(struct tn_attack_run *run);
