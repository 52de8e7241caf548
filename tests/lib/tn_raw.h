/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Speaking to tarnd without libtarn, so also wrongly. */
#include "proto/fdpass.h"
#include "proto/wire.h"

/* A connection without a HELLO; blocks for at most ten seconds a packet. */
int tn_raw_connect(const char *path);

/* The same, of one that may not be there: or -errno. */
int tn_raw_try_connect(const char *path);

/* ... with one. */
int tn_raw_hello(const char *path);

/* ... that is for a session: .session, .known and .secret of @hello name an
 * earlier one, or are 0. *ret_live: the live file; -1: the earlier goes on. */
int tn_raw_session(const char *path, struct tn_hello hello,
		   struct tn_hello_reply *ret, int *ret_live);

/* Fill in @packet: a request, well-formed but for what the caller spoils. */
void tn_raw_request(struct tn_packet *packet, uint16_t op, uint32_t id,
		    const void *body, size_t bytes);

/* Send bytes as they are; a hang-up by the other side is no failure. */
void tn_raw_send(int sock, const void *data, size_t bytes);

/* The next packet: 1; or 0: the other side hung up. */
int tn_raw_recv(int sock, struct tn_packet *packet);

/* Send, receive, and return the reply's status; 1: it hung up instead.
 * Descriptors of the reply are closed. */
int tn_raw_call(int sock, uint16_t op, const void *body, size_t bytes);

/* The same, and the reply stays in @packet. */
int tn_raw_exchange(int sock, struct tn_packet *packet);

/* The same for at most @ms, with whatever comes of it. @sock < 0: 1. */
int tn_raw_ask(int sock, struct tn_packet *packet, int ms);

/* CREATE by name; OPEN, whose descriptors (meta, data, control) are the
 * caller's; LEAVE. */
int tn_raw_create(int sock, const char *name, uint64_t bytes, uint32_t mode);
int tn_raw_destroy(int sock, const char *name);
int tn_raw_open(int sock, const char *name, uint32_t role,
		struct tn_open_reply *ret, int fds[3]);
int tn_raw_stat(int sock, const char *name, struct tn_info *ret);
int tn_raw_leave(int sock, uint32_t attach);

/* Opens a pool and leaves it with a note in the control file that no client
 * writes: tarnd poisons it. */
void tn_raw_poison(int sock, const char *name);
