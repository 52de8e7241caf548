/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * What sessions have to be done, done in turn: uid by uid (fair.c), between
 * one look at what has become ready and the next.
 */
#include <stdbool.h>
#include <sys/types.h>

#include "daemon/fair.h"

struct event;
struct event_base;

struct turns {
	struct fair fair;
	struct event *timer;
	bool armed;
};

/** turns_init() - 0 or -ENOMEM */
int turns_init(struct turns *turns, struct event_base *base);
void turns_fini(struct turns *turns);

/** turns_add() - session_turn() is due for the session with @item */
void turns_add(struct turns *turns, struct fair_item *item, uid_t uid);
