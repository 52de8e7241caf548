/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Whole pages of the home heap: runs, and which pages have memory behind them.
 *
 * A page is *used* from when it was first handed out, in a run or a slab, until
 * the system has taken its memory back. What is not used is zero.
 */
#include "malloc/seat.h"

/* The largest run of the home heap; beyond, see malloc/large.h. Picked, not
 * tuned: the system zeroes 32 MiB in about the time of a thousand calls. */
#define TN_HOME_RUN_PAGES 8192U

/* What a magazine gives back at a time, about. */
#define TN_MAG_ROOM_PAGES 8U

/* A run of @n pages; @align a power of two, of bytes; @zero: clear it if it was
 * used. Return: NULL: there is no room. */
void *tn_pages_alloc(struct tn_seat *seat, uint64_t n, uint64_t align,
		     bool zero);

/* Makes a run of ours longer or shorter where it is. Return: was it done? */
bool tn_pages_resize(struct tn_seat *seat, uint64_t page, uint64_t was,
		     uint64_t n);

/* The slab that a magazine was filled from is in use. */
void tn_pages_note_slab(struct tn_seat *seat, unsigned class);

/* About so many pages have become free: now and then some go back to the
 * system. */
void tn_pages_freed(struct tn_seat *seat, uint64_t n);

/* Gives all free pages back to the system. Return: how many. */
uint64_t tn_pages_trim(struct tn_seat *seat);

/* In a forked child, after tn_seat_forked(). */
void tn_pages_forked(void);
