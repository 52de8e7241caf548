/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * The operations that a client may be killed in, each in its edge states.
 *
 * .setup runs in the acting process before the first mark: it makes the
 * state, as clients TN_DEAD, TN_LIVING and TN_OWNER. .act is what is stepped.
 * Without .setup it is tarnd that acts.
 * What the death of client TN_DEAD may leave follows from the state before:
 * what it held is gone, all else is as it was. Only the object that the
 * operation passes on (board->subject) may end in one of several ways.
 */
#include "tests/lib/tn_truth.h"

/* How the subject and the word may be after the death. */
enum tn_word_state { TN_WORD_ANY, TN_WORD_HOLDS_IT, TN_WORD_EMPTY };

struct tn_outcome {
	bool allowed;
	uint16_t tag; /* 0: it is free */
	enum tn_word_state word;
};

struct tn_deed {
	const char *name, *edge;
	void (*setup)(struct tn_world *w, const struct tn_deed *op);
	void (*act)(struct tn_world *w, const struct tn_deed *op);
	/* what the two make of these is theirs */
	unsigned class, n, policy;
	uint64_t pages;
	uint64_t mib;              /* of the pool; 0: 1 */
	unsigned odd;              /* TN_ODD_*: from the beginning */
	struct tn_outcome may[3];
	/* a last look at the recovered world; NULL: right, else what is not */
	const char *(*after)(struct tn_world *w, const struct tn_deed *op);
};

/* All of them; ends with .name = NULL. */
extern const struct tn_deed tn_ops_slab[], tn_ops_run[], tn_ops_hold[],
	tn_ops_share[], tn_ops_client[], tn_ops_handle[];
#define TN_OPS_TABLES 6
extern const struct tn_deed *const tn_ops[TN_OPS_TABLES];

/* Set-up: an object of the class, of a client; a run. Its offset. */
uint64_t tn_ops_object(struct tn_world *w, uint32_t client, unsigned class,
		       uint16_t tag);
uint64_t tn_ops_run_of(struct tn_world *w, uint32_t client, uint64_t pages);

/* Set-up: a lane, started, of one of the clients; not the acting one. */
struct tn_lane_ref tn_ops_lane(struct tn_world *w, uint32_t client);

/* Set-up: claim pages for TN_OWNER until no more than @left are free. */
void tn_ops_leave_pages(struct tn_world *w, uint64_t left);

/* Set-up: @n slots of the class for a client, KEPT, into w->slots. */
void tn_ops_claim(struct tn_world *w, const struct tn_lane_ref *l,
		  unsigned class, unsigned n);

/* Set-up: from now on the acting client keeps runs, @room bytes at most. */
void tn_ops_keep_runs(struct tn_world *w, uint64_t room);

/* What went wrong in a set-up ends the child: the test then fails. */
#define tn_ops_need(cond) \
	do { \
		if (!(cond)) \
			tn_ops_failed(#cond, __FILE__, __LINE__); \
	} while (0)
__attribute__((noreturn))
void tn_ops_failed(const char *what, const char *file, int line);
