/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Does a process still have its pools mapped? See live.c. */
#include <stdbool.h>

#include "daemon/backing.h"

/** live_init() - a live file; backing_fini() ends it. Return: 0 or -errno */
int live_init(struct backing *live);

/** live_check() - is that a live file? */
bool live_check(int fd);

/**
 * live_gone() - nobody has it mapped for writing, nor ever will
 * @live: as of live_init(); of BACKING_NONE nothing is known
 *
 * Return: true; false: somebody has, or it cannot be told. It is cheap, and
 *         may be asked again.
 */
bool live_gone(const struct backing *live);
