/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* A connection's sessions with tarnd, the present one first. See session.c. */
#include <stdbool.h>

#include "proto/wire.h"

struct tn_session {
	struct tn_session *earlier;
	uint32_t id;             /* 0: it ends with the connection */
	uint64_t secret;
	void *live;              /* a page that nobody touches, or NULL */
	uint32_t base;           /* its attachments are above it, for us */
	uint32_t known;          /* the last of them, by tarnd's count */
	unsigned n;              /* not left yet */
};

/**
 * tn_session_begin() - a new one becomes the present one
 * @present: NULL before the first
 * @live_fd: stays the caller's; -1: tarnd knows no sessions
 *
 * Return: 0, -ENOMEM, and what mmap() gives.
 */
int tn_session_begin(struct tn_session **present,
		     const struct tn_hello_reply *reply, int live_fd);

/**
 * tn_session_end_all() - nothing of any of them is in use any more
 * @forked: they are another process's; where its live pages are mapped, other
 *          things may be here
 */
void tn_session_end_all(struct tn_session **present, bool forked);

/** tn_session_name() - ask to go on with it; NULL: with none */
void tn_session_name(const struct tn_session *s, struct tn_hello *hello);

/** tn_session_of() - by which we got attachment @attach, of our count */
struct tn_session *tn_session_of(struct tn_session *present, uint32_t attach);

/** tn_session_opened() - attached as number @number of tarnd's count to the
 *  present one. Return: the same of ours */
uint32_t tn_session_opened(struct tn_session *present, uint32_t number);

/** tn_session_left() - not attached any more */
void tn_session_left(struct tn_session **present, uint32_t attach);
