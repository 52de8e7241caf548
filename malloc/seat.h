/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Where a thread sits in the home heap: its lane, and its rack of magazines.
 *
 * A thread that has none yet, or has none any more, or finds all taken, has
 * the seat that nobody has, whose magazines are empty for ever: so the usual
 * paths need not ask, and leave it to tn_seat_enter().
 */
#include "malloc/home.h"
#include "pool/magazine.h"

struct tn_seat {
	tn_a32 doing;          /* something, for a fork in the middle of it: in
	                        * a child, the last word of the parent's */
	uint32_t freed_pages;  /* since they were last told: malloc/pages.h */
	struct tn_rack rack;
};

extern __thread struct tn_seat *tn_seat_mine
	__attribute__((tls_model("initial-exec")));

/* For all that is not on the usual paths: this thread's seat, or the common
 * one, which is kept until tn_seat_leave(). NULL: there is no home heap, or no
 * memory for a seat. */
struct tn_seat *tn_seat_enter(void);
void tn_seat_leave(struct tn_seat *seat);

/* The thread works in another way from now on: see malloc/named.h. */
void tn_seat_quit(void);

/* In a forked child, before anything else: the one thread there is goes on, and
 * what the others were at is ended. */
void tn_seat_forked(void);

/* Let threads sit down on seats of their own (they may at first); or else let
 * all use the common one. */
void tn_seat_allow(bool yes);
