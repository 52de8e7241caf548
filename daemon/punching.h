/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Giving back the memory of what is free in a pool. See punching.c. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct pool;

struct punching {
	struct pool *pool;
	uint64_t keep;     /* free bytes that are not punched */
	uint64_t kept;     /* + 1, their last run; 0: it was punched */
	uint64_t from, to; /* pages in memory that are looked at */
	off_t at;          /* where it goes on in the file */
	bool handles;      /* ... which is meta; else data */
};

/** punching_begin() - from the lowest page up, of which so many free bytes are
 *  kept */
void punching_begin(struct punching *p, struct pool *pool, uint64_t keep);

/** punching_step() - a slice of it, on the reaper's thread. Return: 1: there is
 *  more; 0: done; -EUCLEAN */
int punching_step(struct punching *p);
