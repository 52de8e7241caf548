/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* One connection, and the process that made it. See session.c. */
#include "base/list.h"
#include "daemon/attachment.h"
#include "daemon/log.h"
#include "daemon/peer.h"
#include "daemon/server.h"
#include "proto/fdpass.h"

enum session_state {
	SESSION_NEW,      /* nothing but HELLO is welcome */
	SESSION_OPEN,
	SESSION_DETACHED, /* no connection, but the process is attached */
	SESSION_DEAD,     /* the process is dead; its attachments are going */
};

struct session {
	struct tn_list link;        /* of server->sessions */
	struct server *server;
	enum session_state state;
	struct peer peer;
	int fd;
	struct event *readable, *writable, *death, *deadline;
	struct quota_charge charge; /* of the connection */
	struct tn_list attachments; /* attachment.link */
	uint32_t last_number;       /* of an attachment */
	struct attachment *fresh;   /* the process does not know of it yet */
	struct tn_packet *unsent;   /* the reply that had no room */
	bool fds_unread;            /* a reply with descriptors may be */
	uint32_t leaving;           /* number of the attachment, or 0 */
	uint32_t leave_id;          /* id of that request */
};

/**
 * session_new() - take over an accepted connection
 * @fd: non-blocking; closed in any case
 */
void session_new(struct server *server, int fd);

/** session_free() - with its attachments, at once; for the end of tarnd */
void session_free(struct session *session);

/** session_adopt() - @a is the process's; ->fresh until the reply is sent */
void session_adopt(struct session *session, struct attachment *a);

/** session_attachment() - by number; NULL: none, or it is ending */
struct attachment *session_attachment(struct session *session,
				      uint32_t number);

/** session_about() - for log lines */
struct log_about session_about(const struct session *session);
