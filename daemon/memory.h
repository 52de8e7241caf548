/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* How much memory there is for tarnd to take. See memory.c. */
#include <stdint.h>

/**
 * memory_available() - bytes that can be taken without anybody being killed
 * @root: "", or where /proc and /sys are, for tests
 *
 * A guess, and others may take it first. UINT64_MAX: it cannot be told.
 */
uint64_t memory_available(const char *root);

/** memory_total() - bytes of memory of the machine */
uint64_t memory_total(void);
