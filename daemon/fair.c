/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deficit round robin over users.
 *
 *	ready:  [ user 7 ] -> [ user 3 ] -> [ user 12 ]   in turn
 *	            |             |
 *	            due: items    due: items              of a user: in turn
 *
 * A user has a credit of time. What is done for it is taken from that, after
 * the fact, since nobody knows before; when it is used up the user goes to the
 * end and has a new one. So a user that comes with one thing waits for a
 * quantum of each of the others, and for the longest thing that any of them
 * has to be done, but not for the number of their connections.
 *
 *   I1  a user is in .ready if it has items due; it may be there without any
 *       for as long as its turn has not come
 *   I2  credit <= QUANTUM. Nothing is saved up: who comes anew has a quantum,
 *       less what it still owes
 *   I3  a debt is at most DEBT_MAX, so that fair_next() ends soon, and that
 *       one long deed is not atoned for a second
 *
 * There is no struct for each uid, which could not be had when memory is
 * short: uids are put into FAIR_USERS places.
 */
#include "daemon/fair.h"

#include <stddef.h>

#include "base/assert.h"

#define QUANTUM_NS 50000      /* one to five requests */
#define DEBT_MAX_NS 10000000  /* picked, not tuned */

void fair_init(struct fair *fair)
{
	tn_list_init(&fair->ready);
	fair->served = NULL;
	for (unsigned i = 0; i < FAIR_USERS; i++) {
		tn_list_init(&fair->users[i].link);
		tn_list_init(&fair->users[i].due);
		fair->users[i].credit_ns = 0;
	}
}

void fair_item_init(struct fair_item *item)
{
	tn_list_init(&item->link);
}

void fair_add(struct fair *fair, struct fair_item *item, uid_t uid)
{
	struct fair_user *user = &fair->users[uid % FAIR_USERS];

	if (!tn_list_empty(&item->link))
		return;
	tn_list_append(&user->due, &item->link);
	if (!tn_list_empty(&user->link))
		return;
	tn_list_append(&fair->ready, &user->link);
	user->credit_ns = (user->credit_ns < 0 ? user->credit_ns : 0) +
			  QUANTUM_NS;
}

void fair_remove(struct fair_item *item)
{
	tn_list_remove(&item->link);
}

/* The first user who has credit and something due. */
static struct fair_user *next_user(struct fair *fair)
{
	while (!tn_list_empty(&fair->ready)) {
		struct fair_user *user = tn_list_entry(
			fair->ready.next, struct fair_user, link);

		if (tn_list_empty(&user->due)) {
			tn_list_remove(&user->link);
		} else if (user->credit_ns > 0) {
			return user;
		} else {
			user->credit_ns += QUANTUM_NS;
			tn_list_remove(&user->link);
			tn_list_append(&fair->ready, &user->link);
		}
	}
	return NULL;
}

struct fair_item *fair_next(struct fair *fair)
{
	struct fair_user *user = next_user(fair);
	struct tn_list *link;

	tn_assert(!fair->served);
	fair->served = user;
	if (!user)
		return NULL;
	link = user->due.next;
	tn_list_remove(link);
	return tn_list_entry(link, struct fair_item, link);
}

void fair_served(struct fair *fair, int64_t ns)
{
	struct fair_user *user = fair->served;

	tn_assert(user);
	fair->served = NULL;
	user->credit_ns -= ns;
	if (user->credit_ns < -DEBT_MAX_NS)
		user->credit_ns = -DEBT_MAX_NS;
}
