/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * The heap that a process has for itself: a pool like any other (pool/), in
 * memory that nobody else maps.
 *
 *   data, meta, control   private anonymous mappings, reserved whole and backed
 *                         page by page as they are touched
 *   clients               one: the process. Its lanes are its threads' (seat.h)
 *
 * fork() copies all of it at one moment, and each thread's stores up to it in
 * their order: the kernel holds up whoever writes to a page that it has copied
 * already. So what a child finds is what a killed process leaves, with one
 * thread alive; seat.c ends what the others had under way.
 */
#include "pool/pool.h"

#define TN_HOME_CLIENT 1U

struct tn_home {
	struct tn_pool pool;   /* .geo.data_bytes is 0 if there is none, and
	                        * what there is of it so far, else */
	uint64_t n_areas;      /* that .pool.geo may grow to */
	uint8_t *control;
	tn_a64 *used, *cold;   /* a bit a page each: see malloc/pages.c */
	tn_a64 high;           /* no page from here on was ever used */
	struct tn_shape shapes[TN_N_CLASSES];
};
extern struct tn_home tn_home;

/* Makes it, once. Return: is there one? The process may be short of address
 * space (RLIMIT_AS); then everything is malloc/large.h's. */
bool tn_home_make(void);

/* Makes it larger than @was areas, which are full. Return: is it now, by
 * whomever? */
bool tn_home_grow(uint64_t was);
