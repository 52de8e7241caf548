/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * In a forked child: what threads that are not there had out of the slabs when
 * they were in the middle of something. There is one thread, so nothing here
 * needs an order.
 */
#include "malloc/seat.h"

struct tn_mend {
	const struct tn_lane_ref *lane; /* of a seat like that; NULL: none */
	bool runs;
	uint64_t classes[2];   /* a bit a class */
};

/* Notes what a seat was doing, and empties the magazines that this may have
 * left in disorder. Its lane's op is ended already. */
void tn_mend_note(struct tn_mend *mend, struct tn_seat *seat);

/* Makes what is in a seat's magazines of those classes look HELD; or undoes
 * it. */
void tn_mend_hide(const struct tn_mend *mend, struct tn_seat *seat, bool hide);

/* Frees what is KEPT still, and ends the leases. */
void tn_mend_pages(const struct tn_mend *mend);
