/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * One operation of one client, instruction by instruction.
 *
 * A child process makes the set-up in a world, acts, and ends; it is traced,
 * and between the two marks on the board each instruction of it is one step.
 * As all begins from the same memory and nothing else runs, every child of
 * the same operation does the same instructions: one can be stepped to see
 * where memory changes, and another killed at just that place.
 *
 * Which pages of the pool the operation writes is found out beforehand, by a
 * child that finds them write-protected. Only these are compared after a
 * step; at the end all is compared once, to see that none was missed.
 */
#include <sys/types.h>

#include "tests/lib/tn_world.h"

#ifndef __has_feature /* clang's way to say what gcc defines */
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
	__has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TN_SANITIZED 1
#else
#define TN_SANITIZED 0
#endif

struct tn_deed;

struct tn_trace {
	struct tn_world *world;
	const struct tn_world *blank; /* what it is at the beginning */
	const struct tn_deed *op;
	pid_t pid;                    /* 0: none now */
	uint64_t n;                   /* instructions done */
	uint8_t *shadow;              /* of the pages written */
	uint64_t word;
	unsigned n_pages;
	uint8_t *page[TN_WATCH_MAX];
};

/* Can a process be traced here? Else why not. */
const char *tn_trace_impossible(void);

void tn_trace_init(struct tn_trace *s, struct tn_world *world,
		  const struct tn_world *blank, const struct tn_deed *op);
void tn_trace_fini(struct tn_trace *s);

/* A child, stopped at the first mark. */
void tn_trace_begin(struct tn_trace *s);

/* One instruction. Return: false: it was past the second mark. */
bool tn_trace_next(struct tn_trace *s);

/* Has the world changed since the last call? */
bool tn_trace_changed(struct tn_trace *s);

/* SIGKILL, and wait. */
void tn_trace_kill(struct tn_trace *s);

/* Let it go on to its end by itself, which must come. */
void tn_trace_finish(struct tn_trace *s);
