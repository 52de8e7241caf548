/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Connections that are over, with descriptors in them that nobody has read.
 *
 * The kernel counts what is under way against the sender's uid until it is
 * read, or the receiving socket is gone, and refuses to send any more beyond
 * the sender's limit of open files: to whomever. If we closed our end we could
 * not see it any more, nor would it count for the user, who could have ever
 * more of them. So our end stays open, and charged, until they are read.
 */
#include "base/list.h"
#include "daemon/quota.h"

struct event;
struct event_base;

struct lingerers {
	struct tn_list list;
	struct event *timer;
};

int lingerers_init(struct lingerers *l, struct event_base *base);
void lingerers_fini(struct lingerers *l);

/** linger_unread() - may something that was sent over @fd lie unread? */
bool linger_unread(int fd);

/**
 * linger_add() - hang up, and close when all is read
 * @fd, @charge, @fds_charge: taken over; *fd = -1, and the charges are empty
 */
void linger_add(struct lingerers *l, int *fd, struct quota_charge *charge,
		struct quota_charge *fds_charge);
