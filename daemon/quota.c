/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ledger.
 *
 *   I1  user->used[k] is the sum of the amounts of all charges of that user
 *       and kind
 *   I2  a user is in the list while, and only while, some used[k] is not 0
 *   I3  used[k] is within the limit, but for charges that were forced (pools
 *       that the administrator declared), and limits lowered later
 *   I4  quota->used[k] is the sum over all users
 *   I5  what those have together who have more than their share each was, when
 *       they last had more, within half of the capacity
 *
 * The list is searched from its head; users that come again move there. There
 * are as many users as uids with connections or pools.
 */
#include "daemon/quota.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"

struct quota_user {
	struct quota_user *next;
	uid_t uid;
	uint64_t used[QUOTA_N];
};

const char *const quota_names[QUOTA_N] = {
	[QUOTA_BYTES] = "bytes",
	[QUOTA_POOLS] = "pools",
	[QUOTA_CONNECTIONS] = "connections",
	[QUOTA_ATTACHMENTS] = "attachments",
	[QUOTA_DESCRIPTORS] = "descriptors",
	[QUOTA_RESERVED] = "reserved",
};

void quota_init(struct quota *quota, const struct quota_limits *limits)
{
	*quota = (struct quota){ .own = geteuid(), .limits = *limits };
	for (int k = 0; k < QUOTA_N; k++)
		quota->capacity[k] = QUOTA_UNLIMITED;
}

void quota_fini(struct quota *quota)
{
	tn_assert(!quota->users);
}

static struct quota_user **find(struct quota *quota, uid_t uid)
{
	struct quota_user **at = &quota->users;

	while (*at && (*at)->uid != uid)
		at = &(*at)->next;
	return at;
}

static struct quota_user *find_or_add(struct quota *quota, uid_t uid)
{
	struct quota_user **at = find(quota, uid), *user = *at;

	if (user)
		*at = user->next;
	else
		user = calloc(1, sizeof(*user));
	if (!user)
		return NULL;
	user->uid = uid;
	user->next = quota->users;
	quota->users = user;
	return user;
}

static void drop_if_idle(struct quota *quota, struct quota_user *user)
{
	struct quota_user **at = find(quota, user->uid);

	for (int k = 0; k < QUOTA_N; k++)
		if (user->used[k])
			return;
	*at = user->next;
	free(user);
}

static uint64_t limit_of(const struct quota *quota, uid_t uid,
			 enum quota_kind kind)
{
	if (uid == 0 || uid == quota->own)
		return quota->limits.own[kind];
	return quota->limits.others[kind];
}

/* A limit, or the capacity, may be below what is used. */
static bool within(uint64_t used, uint64_t amount, uint64_t limit)
{
	return used <= limit && amount <= limit - used;
}

/* Does @user, and do all, stay within what they may have? */
static bool may_have(const struct quota *quota, const struct quota_user *user,
		     enum quota_kind kind, uint64_t amount)
{
	uint64_t all = quota->capacity[kind];

	if (!within(user->used[kind], amount, limit_of(quota, user->uid, kind)))
		return false;
	if (all != QUOTA_UNLIMITED && user->uid != quota->own &&
	    !within(user->used[kind], amount, all / QUOTA_SHARES))
		all /= 2;
	return within(quota->used[kind], amount, all);
}

int quota_charge(struct quota *quota, struct quota_charge *charge, uid_t uid,
		 enum quota_kind kind, uint64_t amount, bool force)
{
	struct quota_user *user = find_or_add(quota, uid);

	tn_assert(!charge->quota);
	if (!user)
		return -ENOMEM;
	if (!force && !may_have(quota, user, kind, amount)) {
		drop_if_idle(quota, user);
		return QUOTA_EXCEEDED;
	}
	user->used[kind] += amount;
	quota->used[kind] += amount;
	*charge = (struct quota_charge){ quota, user, kind, amount };
	return 0;
}

void quota_refund(struct quota_charge *charge)
{
	struct quota *quota = charge->quota;
	struct quota_user *user = charge->user;

	if (!quota)
		return;
	tn_assert(user->used[charge->kind] >= charge->amount);
	user->used[charge->kind] -= charge->amount;
	quota->used[charge->kind] -= charge->amount;
	*charge = (struct quota_charge)QUOTA_CHARGE_NONE;
	drop_if_idle(quota, user);
}

uint64_t quota_used(const struct quota *quota, uid_t uid, enum quota_kind kind)
{
	for (const struct quota_user *u = quota->users; u; u = u->next)
		if (u->uid == uid)
			return u->used[kind];
	return 0;
}
