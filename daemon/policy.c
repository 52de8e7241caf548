/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/policy.h"

#include "proto/layout.h"

static bool is_owner(const struct peer *peer, const struct access *access)
{
	return peer->uid == 0 ||
	       (peer->uid == access->uid && peer->uid != POLICY_NOBODY);
}

bool policy_may_open(const struct peer *peer, const struct access *access,
		     uint32_t role)
{
	uint32_t digit;

	if (role < TN_PRODUCER || role > TN_OBSERVER)
		return false;
	if (is_owner(peer, access))
		return true;
	digit = access->mode & 07;
	if (peer_in_group(peer, access->gid))
		digit = access->mode >> 3 & 07;
	switch (role) {
	case TN_PRODUCER:
		return (digit & 06) == 06;
	case TN_CONSUMER:
		return digit & 02;
	default:
		return digit & 06;
	}
}

bool policy_may_see(const struct peer *peer, const struct access *access)
{
	/* whoever may do more may observe */
	return policy_may_open(peer, access, TN_OBSERVER);
}

bool policy_may_destroy(const struct peer *peer, const struct access *access)
{
	return is_owner(peer, access);
}

bool policy_may_audit(const struct peer *peer, const struct access *access)
{
	return is_owner(peer, access);
}

bool policy_may_create(const struct peer *peer, gid_t gid)
{
	return peer->uid == 0 ||
	       (peer->uid != POLICY_NOBODY && peer_in_group(peer, gid));
}
