/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * What the cases need of a shared heap. tarn has one of these in heap_tarn.c;
 * those of other makers are in C++ and come in a shared object each, which
 * exports its table as `bench_peer`.
 */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bench_peer {
	/* NULL: does not work here */
	void *(*create)(const char *name, uint64_t bytes);
	/* in a process forked from the creator's, which calls leave(); NULL:
	 * what it inherits will do */
	void *(*join)(const char *name);
	void (*leave)(void *pool);
	void (*destroy)(void *pool); /* by the creator, who leaves as well */

	void *(*alloc)(void *pool, size_t size);
	int (*free)(void *pool, void *p); /* below 0: refused */
	uint64_t (*ref_of)(void *pool, const void *p);
	void *(*ptr)(void *pool, uint64_t ref);

	uint64_t (*live)(void *pool);     /* 0: all has been freed */
	uint64_t (*resident)(void *pool); /* bytes of memory; NULL: unknown */
	size_t max_bytes;                 /* of an object; 0: no matter */

	/* Of heaps that have them; else NULL: whole pages, the part of
	 * resident() that is no object's, processes that have joined, */
	void *(*alloc_run)(void *pool, size_t size);
	int (*free_run)(void *pool, void *p);
	uint64_t (*meta)(void *pool);
	unsigned (*clients)(void *pool);

	/* and who holds an object. */
	uint32_t (*client)(void *pool);
	int (*give)(void *pool, uint64_t ref, uint32_t client);
	int (*take)(void *pool, uint64_t ref);
};

#ifdef __cplusplus
}
#endif
