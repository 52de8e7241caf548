/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * What is in a pool at rest, object by object, and whether that can be so.
 * Written from the byte tables of proto/layout.h; what the essays of pool/
 * call I1, I2, I3 is looked at here.
 */
#include "tests/lib/tn_world.h"

/* What is wrong, as the tables of the crash tests count it. */
enum tn_fault {
	TN_FAULT_NONE,
	TN_LEAKED,  /* nobody's and not free, or somebody's who is gone */
	TN_DOUBLED, /* two own it, or somebody has lost what he holds */
	TN_BLOCKED, /* a lease or a recovery in the way of the living */
};

struct tn_thing {
	uint64_t off;
	uint32_t pages; /* of a run; 0: a slot */
	uint16_t tag;
	uint16_t class;
};

#define TN_THINGS_MAX 70000
struct tn_truth {
	unsigned n;
	uint64_t pages;        /* of data, claimed */
	uint64_t free_slots;   /* in slabs of data */
	bool classes[TN_N_CLASSES]; /* that have slabs */
	uint64_t handles;      /* that have objects; they are things */
	uint64_t moveable;     /* objects that have handles; they are not */
	enum tn_fault fault;
	char why[160];
	struct tn_thing thing[TN_THINGS_MAX];
};

/* How much may be odd without being a fault. */
#define TN_ODD_LEASES (1U << 0) /* somebody is at work, or stopped in it */
#define TN_ODD_COUNTS (1U << 1) /* free counts too high (I1 of slab.c) */
#define TN_ODD_EMPTY (1U << 2)  /* slabs without objects */
#define TN_ODD_MOVES (1U << 4) /* the mover is in the middle of something */
#define TN_ODD_HINTS (1U << 3)  /* hints that do not name all open slabs */

/* Return: the first fault. */
enum tn_fault tn_truth_look(struct tn_truth *t, struct tn_world *w,
			    unsigned odd);

/* The thing that starts at an offset, or NULL. */
const struct tn_thing *tn_truth_find(const struct tn_truth *t, uint64_t off);

/* Does a client's death free it? */
static inline bool tn_thing_of(uint16_t tag, uint32_t client)
{
	return tag && TN_TAG_FORM(tag) <= TN_TAG_LINK &&
	       TN_TAG_CLIENT(tag) == client;
}

/* Note a fault, if it is the first. Return: it. */
enum tn_fault tn_truth_fault(struct tn_truth *t, enum tn_fault fault,
			     const char *why, uint64_t at, uint64_t value);

/**
 * tn_truth_fill() - allocate all that is free, to the last page and slot
 * @t: what tn_truth_look() has found there; a new look afterwards
 * @l: who allocates
 *
 * Return: the first fault: not all, or more than that, could be allocated.
 */
enum tn_fault tn_truth_fill(struct tn_truth *t, struct tn_world *w,
			    const struct tn_lane_ref *l);
