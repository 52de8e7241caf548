/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * One socket to tarnd: made, a request and its reply, ended. Nothing waits for
 * longer than a deadline, which is a time of tn_link_now_ms().
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "proto/fdpass.h"
#include "proto/wire.h"

struct tn_link {
	int fd;          /* -1: there is none */
	uint64_t cookie; /* the kernel's name of the socket, not used again */
	uint32_t next_id;   /* of a request on it; they ascend */
};
#define TN_LINK_NONE { .fd = -1 }

int64_t tn_link_now_ms(void);

/**
 * tn_link_path() - where tarnd is
 * @path: as of tarn_connect()
 * @ret: absolute, if there is room, so that chdir() does no harm
 *
 * Return: 0; -ENAMETOOLONG.
 */
int tn_link_path(const char *path, struct sockaddr_un *ret);

/**
 * tn_link_open() - connect
 * @link: has no socket
 *
 * Return: 0; -ETIMEDOUT, and what connect() gives.
 */
int tn_link_open(struct tn_link *link, const struct sockaddr_un *sa,
		 int64_t deadline);

/** tn_link_ours() - is its descriptor still that socket, and not closed, or
 *  another file's, by closefrom() or the like? */
bool tn_link_ours(const struct tn_link *link);

/** tn_link_close() - hang up, so that tarnd sees it even if a forked child has
 *  the socket, too */
void tn_link_close(struct tn_link *link);

/** tn_link_drop() - in a forked child: close it for us alone */
void tn_link_drop(struct tn_link *link);

enum { TN_LINK_UNSENT = 1 };

/**
 * tn_link_exchange() - a request out, its reply in
 * @max_fds: descriptors wanted, at most
 * @packet: for the reply; its descriptors are the caller's
 *
 * Return: 0: .data has passed the check; TN_LINK_UNSENT: the other side has
 *         hung up, and got nothing of it; -ECONNRESET, -EBADMSG (what came is
 *         no reply), -ETIMEDOUT, -ENOMEM: it may have been carried out. Unless
 *         0, the link is of no use.
 */
int tn_link_exchange(struct tn_link *link, uint16_t op, const void *req,
		     size_t req_bytes, unsigned max_fds, int64_t deadline,
		     struct tn_packet *packet);
