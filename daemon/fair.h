/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Whose turn is it? Users in turn, each with as much time as the others,
 * however many things it has to be done. See fair.c.
 */
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"

/* A prime: users whose uids differ by a multiple of it share a turn, but not
 * those 65536 apart, as containers have them. */
#define FAIR_USERS 1021U

/* Something that may be due. */
struct fair_item {
	struct tn_list link; /* of its user's .due, or of nothing */
};

struct fair_user {
	struct tn_list link; /* of fair->ready, or of nothing */
	struct tn_list due;  /* fair_item.link */
	int64_t credit_ns;
};

struct fair {
	struct tn_list ready; /* fair_user.link */
	struct fair_user *served;
	struct fair_user users[FAIR_USERS];
};

void fair_init(struct fair *fair);

/* In place, for an item that is due for nothing. */
void fair_item_init(struct fair_item *item);

/** fair_add() - @item of @uid is due; nothing happens if it is already */
void fair_add(struct fair *fair, struct fair_item *item, uid_t uid);

/** fair_remove() - it is not; nothing happens if it was not */
void fair_remove(struct fair_item *item);

/** fair_next() - take out what is to be done next; NULL: nothing is due */
struct fair_item *fair_next(struct fair *fair);

/** fair_served() - what fair_next() gave has taken @ns; it may be gone */
void fair_served(struct fair *fair, int64_t ns);
