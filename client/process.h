/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * What belongs to this process and not to a child forked from it: a lock, and
 * a number. They lie in a page that a fork wipes (MADV_WIPEONFORK, which is
 * the kernel's doing and so holds for a bare clone() as well). The child finds
 * the lock free, whoever held it, and the number 0; the first call there that
 * looks gives it a number that its parent never had.
 */
#include <pthread.h>
#include <stdint.h>

struct tn_process {
	pthread_mutex_t lock; /* all zero is an unlocked one */
	_Atomic uint64_t number; /* of this process; 0: not looked yet */
};

/* The page, or NULL: no memory. Made by the first call. */
struct tn_process *tn_process(void);

/* This process's number; tn_process() has been called before. */
uint64_t tn_process_number(void);

void tn_process_lock(void);
void tn_process_unlock(void);
