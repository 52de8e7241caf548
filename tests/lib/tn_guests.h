/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * A tarnd in this process, and who comes to it. Sockets, files, pools and
 * recovery are real. Who is at the other end is not: peer_init() is answered
 * here (the linker's --wrap), so that there are processes of any user, which
 * die when they are told to; and what tarnd logs is dropped.
 *
 * What must hold is checked by tn_must(), which aborts:
 *
 *	F1  a reply is well-formed, and the one to the oldest request
 *	F2  a bystander is answered
 *	F3  when all have hung up and died, and all pools are destroyed, no
 *	    session, pool, charge or descriptor is left
 */
#include "daemon/server.h"
#include "proto/fdpass.h"
#include "proto/wire.h"
#include "tests/lib/tn_must.h"

#define TN_GUEST_LINKS 8U
#define TN_GUEST_PROCESSES 4U
#define TN_GUEST_AWAITED 64U /* requests of a link that are not answered yet */

struct tn_guest {
	uid_t uid;
	pid_t pid;
	int death; /* an eventfd, readable once it is dead */
};

struct tn_guest_link {
	int fd; /* -1: none */
	struct tn_guest *by;
	struct tn_hello_reply hello; /* what it was told last */
	uint32_t attach;             /* of its last OPEN */
	void *live;
	struct { uint16_t op; uint32_t id; } awaited[TN_GUEST_AWAITED];
	unsigned n_awaited;
};

extern struct server tn_guest_server;
extern struct tn_guest tn_guests[TN_GUEST_PROCESSES];
extern struct tn_guest_link tn_guest_links[TN_GUEST_LINKS];

/* Before each round; the first time it starts tarnd. */
void tn_guests_begin(void);

/* F2; then everybody hangs up and dies; F3. */
void tn_guests_end(void);

/* One turn of tarnd's loop. */
void tn_guests_turn(void);

/* It dies, and another of its user takes its place. */
void tn_guest_die(struct tn_guest *guest);

/* A new connection; with a HELLO that is answered. */
void tn_guest_connect(struct tn_guest_link *link, struct tn_guest *by);
void tn_guest_hello(struct tn_guest_link *link);
void tn_guest_close(struct tn_guest_link *link);

/* The live page goes, as in an exec. */
void tn_guest_unmap(struct tn_guest_link *link);

/* Send, with @n times descriptor @fd; nothing if there is no room. */
void tn_guest_send(struct tn_guest_link *link, const void *data, size_t bytes,
		   int fd, unsigned n);

/* Take a reply, if there is one. F1. Return: was there? */
bool tn_guest_recv(struct tn_guest_link *link);
