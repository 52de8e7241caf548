/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * A heap that becomes full of holes: objects of handles in a pool, or of a
 * malloc; what memory they take, and what is left of that after compaction.
 */
#include "bench/harness.h"

struct frag_object {
	uint64_t name;           /* a handle, or a pointer */
	uint32_t size, age;
};

/* What one worker has; the array is there before anything is measured. */
struct frag {
	struct bench_run *r;
	struct frag_object *objects;
	uint64_t n, room;
	uint64_t live;           /* bytes asked for */
	uint32_t age;
	uint64_t x;              /* of next_random() */
};

/** frag_init() - room for so many objects at once */
void frag_init(struct frag *f, struct bench_run *r, uint64_t room);

/** frag_add() - one more object, all its bytes written */
void frag_add(struct frag *f, size_t size);

/** frag_remove() - free the object at @at; the last one takes its place */
void frag_remove(struct frag *f, uint64_t at);

/** frag_place() - an object's address, as of now */
uintptr_t frag_place(const struct frag *f, uint64_t at);

uint64_t frag_usable(const struct frag *f);

/** frag_verify() - with BENCH_CHECK: all bytes of all objects are as they
 *  were written */
void frag_verify(const struct frag *f);

void frag_free_all(struct frag *f);

/* What is measured of all workers' objects together. */
struct frag_sum {
	uint64_t live, usable, objects;
};

/** frag_begin() - what memory there is now does not count; and from now on it
 *  is written down over time, in a file for the plots */
void frag_begin(struct bench_run *r);

/** frag_report() - compact, or have the malloc give back what it can; then
 *  emit the figures, and end what frag_begin() began */
void frag_report(struct bench_run *r, const struct frag_sum *sum);

/** frag_compact() - by tarnd, with so much of a processor. Return: seconds. */
struct tarn_compaction;
double frag_compact(struct bench_run *r, unsigned percent,
		    struct tarn_compaction *ret);
