/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* May this peer do that? Pure: looks at its arguments alone. */
#include <stdbool.h>
#include <stdint.h>

#include "daemon/peer.h"

/* Who may open a pool: an owner, a group, and permission bits as of a file. */
struct access {
	uid_t uid;
	gid_t gid;
	uint32_t mode;
};
#define ACCESS_MODE_MASK 0666U

/* What the kernel shows for users that this user namespace does not know.
 * Many may be behind it, so it owns nothing. */
#define POLICY_NOBODY ((uid_t)65534)

/**
 * policy_may_open() - in @role (enum tn_role)?
 *
 * Owner and root: any role. Else the group digit, if the peer is in the
 * group, or the other digit: r observer; w consumer and observer; rw
 * producer, consumer and observer.
 */
bool policy_may_open(const struct peer *peer, const struct access *access,
		     uint32_t role);

/** policy_may_see() - in any role? */
bool policy_may_see(const struct peer *peer, const struct access *access);

/** policy_may_destroy() - owner and root */
bool policy_may_destroy(const struct peer *peer, const struct access *access);

/** policy_may_audit() - see every client's control file? owner and root */
bool policy_may_audit(const struct peer *peer, const struct access *access);

/** policy_may_create() - a pool of its own for group @gid; root: any group */
bool policy_may_create(const struct peer *peer, gid_t gid);
