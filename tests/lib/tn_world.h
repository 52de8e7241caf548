/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * A pool with two clients in it, of which one is going to die.
 *
 * Client 1 does an operation in a process of its own; it is stepped, stopped
 * or killed there. Client 2 is what goes on living: it holds objects that
 * must stay, and afterwards allocates all that must be free. The pool is a
 * tn_heap, so both share it, and so does the test.
 *
 * A world can be copied: the copy is recovered and looked at, and the world
 * itself goes on as if nothing had been.
 */
#include "client/lane.h"
#include "tests/lib/tn_heap.h"

#define TN_DEAD 1U    /* who dies */
#define TN_LIVING 2U  /* who does not */
#define TN_OWNER 3U   /* a third, who never does anything */

#define TN_WATCH_MAX 1024

/* What both processes see besides the pool. */
struct tn_board {
	volatile uint32_t begun, done;  /* the marks around the operation */
	volatile int64_t result;
	uint64_t subject;               /* offset of the object it is about */
	uint64_t word;                  /* offset of the word; 0: none */
	volatile uint32_t n_written;    /* pages that it writes: see watch */
	uint64_t written[TN_WATCH_MAX];
};

struct tn_world {
	struct tn_heap heap;
	bool handles; /* there may be some: more is copied */
	struct tn_board *board;
	struct tn_lane_ref dead, living, owner;

	/* the acting client's private things; each process has its own */
	struct tarn_pool *client;
	struct tn_slab_cursor cursor;
	struct tn_run_cache cache;   /* in use if dead.cache is it */
	unsigned n;
	struct tn_slot slots[4096];
	struct tn_object obj;
	void *p[512];
};

void tn_world_init(struct tn_world *w, uint64_t bytes, unsigned policy);
void tn_world_fini(struct tn_world *w);

/* All of @from that anybody in a world ever writes, but for data: of that
 * only board->word. Both are of one size. */
void tn_world_copy(struct tn_world *to, const struct tn_world *from);

/* Does it reach the page that starts at @at? */
bool tn_world_copies(const struct tn_world *w, const void *at);

/* Are they the same? As far as tn_world_copy() goes. */
bool tn_world_same(const struct tn_world *a, const struct tn_world *b);

/* The same for the truth alone: which pages, words and tags there are. */
bool tn_world_same_truth(const struct tn_world *a, const struct tn_world *b);

/* libtarn's view of the pool, as client TN_DEAD: for tarn_alloc() and the
 * like. The process's own; no daemon behind it. */
struct tarn_pool *tn_world_client(struct tn_world *w);

/**
 * tn_world_recover() - what the next tarnd does after a death
 *
 * First puts in order what a tarnd before it left of its own steps.
 *
 * Return: 0, TN_RECOVER_LATER, -EUCLEAN; -ELOOP: it does not come to an end.
 */
int tn_world_recover(struct tn_world *w, uint32_t client);

/* A new client, of another id, in the slot of a recovered one; its lane. */
struct tn_lane_ref tn_world_reborn(struct tn_world *w, uint32_t slot);

static inline uint64_t tn_world_word(const struct tn_world *w)
{
	uint64_t off = w->board->word;

	return !off ? 0 : tn64_load_relaxed((const tn_a64 *)(const void *)
					    (w->heap.pool.data + off));
}
