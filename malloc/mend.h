/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * In a forked child: what threads that are not there had out of the slabs when
 * they were in the middle of something. There is one thread, so nothing here
 * needs an order.
 */
#include "malloc/seat.h"

/* Was a seat in the middle of something? Then all that it keeps may be in
 * disorder, and is forgotten. Its lane's op is ended already. */
bool tn_mend_forget(struct tn_seat *seat);

/* Makes what a seat keeps look HELD; or undoes it. */
void tn_mend_hide(struct tn_seat *seat, bool hide);

/* Frees what is KEPT still, and ends all leases. @l: of a lane that nobody
 * has. */
void tn_mend_pages(const struct tn_lane_ref *l);
