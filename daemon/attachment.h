/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* One client: a process attached to a pool. See attachment.c. */
#include <stdint.h>

#include "base/list.h"
#include "daemon/peer.h"
#include "daemon/pool.h"
#include "daemon/reaper.h"

struct attachment {
	struct tn_list link;    /* the owner's */
	struct tn_list of_pool; /* pool->attachments */
	struct pool *pool;      /* a reference */
	struct backing control; /* mapped */
	struct quota_charge charge, fd_charge;
	struct reaper_job job;
	uint32_t client;        /* id */
	uint32_t number;        /* the owner's */
	uint32_t role;
	struct kept kept;
	bool ending;
	void (*gone)(void *owner, uint32_t number); /* it is freed by then */
	void *owner;
};

enum { ATTACHMENT_NO_QUOTA = 1, ATTACHMENT_FULL = 2 };

/**
 * attachment_new() - make a process a client of a pool
 * @role: decides how the descriptors are open; permitted already
 * @ret_fds: meta, data, control: the caller's
 *
 * Return: 0; ATTACHMENT_NO_QUOTA; ATTACHMENT_FULL (too many clients); -errno.
 */
int attachment_new(struct attachment **ret, struct pool *pool,
		   const struct peer *peer, struct quota *quota, uint32_t role,
		   int ret_fds[3]);

/**
 * attachment_end() - the process is dead, or has left: recover what it held
 * @a: .owner and .gone are set
 *
 * Frees it and calls .gone later, from reaper_dispatch(). Nothing happens if
 * it is under way already.
 */
void attachment_end(struct attachment *a, struct reaper *reaper);

/**
 * attachment_restore() - have one again that an earlier tarnd made
 * @client, @role: from the ledger; the client's slot is free
 * @uid: who is charged for it
 * @control: of the right name and size; taken over if 0 is returned
 *
 * Return: 0 or -errno.
 */
int attachment_restore(struct attachment **ret, struct pool *pool,
		       struct quota *quota, uid_t uid, uint32_t client,
		       uint32_t role, int control);

/** attachment_control_ok() - is that the control file of client @client? */
bool attachment_control_ok(const struct pool *pool, uint32_t client, int fd);

/** attachment_fds() - meta, data, control for the process, once more */
int attachment_fds(const struct attachment *a, int ret_fds[3]);

/** attachment_after() - the one with the next higher client id, or NULL */
struct attachment *attachment_after(const struct pool *pool, uint32_t client);

/** attachment_free() - drop it without recovery: tarnd ends, or it never was */
void attachment_free(struct attachment *a);
