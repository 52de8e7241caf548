/* SPDX-License-Identifier: BSD-2-Clause */
/*
 *	epoll --> on_readable, on_death ...   note what is due: some 100 ns each
 *	  ^                |
 *	  |                v
 *	  |        fair: who is next
 *	  |                |
 *	  `--- on_turn <---'   session_turn(), for TURN_NS at the most
 *
 * Whatever a session's events ask for is only noted when they come, and done
 * in its user's turn. In between, the loop looks for what has become ready, so
 * that who has just come takes part in the very next turn. What makes on_turn
 * run is a timer that is always due: after the events of each look, and never
 * without one. (By priority it would wait for a look that finds no event, and
 * a user who makes enough of them could see to it that there is none.)
 */
#include "daemon/turns.h"

#include <errno.h>
#include <event2/event.h>

#include "daemon/clock.h"
#include "daemon/session.h"

#define TURN_NS 100000 /* twice a user's quantum */

static void arm(struct turns *turns)
{
	static const struct timeval now = { 0 };

	if (!turns->armed)
		turns->armed = evtimer_add(turns->timer, &now) == 0;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct turns *turns = arg;
	int64_t began = clock_ns(), at = began, now;
	struct fair_item *item;

	(void)fd;
	(void)what;
	turns->armed = false;
	while (at - began < TURN_NS) {
		item = fair_next(&turns->fair);
		if (!item)
			return;
		session_turn(tn_list_entry(item, struct session, turn));
		now = clock_ns();
		fair_served(&turns->fair, now - at);
		at = now;
	}
	arm(turns);
}

int turns_init(struct turns *turns, struct event_base *base)
{
	fair_init(&turns->fair);
	turns->armed = false;
	turns->timer = evtimer_new(base, on_turn, turns);
	return turns->timer ? 0 : -ENOMEM;
}

void turns_fini(struct turns *turns)
{
	if (turns->timer)
		event_free(turns->timer);
	turns->timer = NULL;
}

void turns_add(struct turns *turns, struct fair_item *item, uid_t uid)
{
	fair_add(&turns->fair, item, uid);
	arm(turns);
}
