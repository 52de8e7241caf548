/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* A process, its connection, and what it is attached to. See session.c. */
#include "base/list.h"
#include "daemon/attachment.h"
#include "daemon/fair.h"
#include "daemon/keeper.h"
#include "daemon/log.h"
#include "daemon/peer.h"
#include "daemon/server.h"
#include "proto/fdpass.h"

enum session_state {
	SESSION_NEW,      /* nothing but HELLO is welcome */
	SESSION_OPEN,
	SESSION_DETACHED, /* no connection, but the process is attached */
	SESSION_DEAD,     /* the process is dead, or has unmapped it all; its
	                   * attachments are going */
};

/* What the request under way has made, and nobody is told of before it is
 * surely kept. See making.c. */
struct making {
	struct store_wait wait;
	bool waiting;
	uint16_t op;
	uint32_t id;                /* of the request */
	struct pool *pool;          /* CREATE */
	bool rejoin;                /* HELLO: to go on with a session ... */
	struct tn_hello hello;      /* ... which this one names */
};

/* What an event asked for, to be done in the user's turn, in this order. */
enum session_due {
	SESSION_DUE_OPEN = 1,  /* it was just accepted */
	SESSION_DUE_DEATH = 2,
	SESSION_DUE_TIMER = 4,
	SESSION_DUE_WRITE = 8, /* there may be room for .unsent */
	SESSION_DUE_READ = 16, /* there may be something to read */
};

struct session {
	struct tn_list link;        /* of server->sessions */
	struct server *server;
	enum session_state state;
	struct peer peer;
	int fd;
	uint32_t id;                /* 0: for this one connection only */
	uint64_t secret;            /* to go on with over another one */
	struct backing live;        /* BACKING_NONE if .id is 0 */
	struct event *readable, *writable, *death, *timer;
	struct fair_item turn;
	unsigned due;               /* enum session_due */
	/* of the connection; and what stays without one */
	struct quota_charge charge, fds_charge, own_fds_charge;
	struct tn_list attachments; /* attachment.link */
	uint32_t last_number;       /* of an attachment */
	struct attachment *fresh;   /* the process does not know of it yet */
	struct tn_packet *unsent;   /* the reply that had no room */
	bool refused;               /* there is no room; it is not charged */
	bool fds_unread;            /* a reply with descriptors may be */
	uint32_t leaving;           /* number of the attachment, or 0 */
	uint32_t leave_id;          /* id of that request */
	struct pool *awaited;       /* the reply to CREATE, DESTROY or REVOKE */
	uint16_t awaited_op;        /* is due when its pages are; or NULL, 0 */
	uint32_t awaited_id;
	struct move *move;          /* MOVE: under way; or NULL */
	unsigned probes;            /* of .live, since the connection's end */
	struct making making;
	struct kept kept, kept_connection;
	uint64_t again;             /* of an earlier tarnd: what it had done and
	                             * not been seen to; LEDGER_NOTE, or 0 */
};

/** session_turn() - do one thing that is due; @session may be gone then */
void session_turn(struct session *session);

/** session_due() - @what (enum session_due) is */
void session_due(struct session *session, unsigned what);

/** session_not_due() - @what is not, any more */
void session_not_due(struct session *session, unsigned what);

/** session_start_timer() - SESSION_DUE_TIMER in so long, and not before */
void session_start_timer(struct session *session, time_t seconds);

/** session_restored() - with all its attachments: it goes on */
void session_restored(struct session *session);

/** session_free() - with its attachments, at once; for the end of tarnd */
void session_free(struct session *session);

/**
 * session_begin() - be one that outlives the connection
 * @ret_fd: the live file for the client; the caller's
 *
 * Return: 0 or -errno.
 */
int session_begin(struct session *session, int *ret_fd);

/** session_probe() - without a connection: is anything mapped still? Else it
 *  ends what is attached. Frees nothing at once. */
void session_probe(struct session *session);

/** session_leave() - reply to LEAVE @id when @a is gone, or after a second */
void session_leave(struct session *session, struct attachment *a, uint32_t id);

/** session_await() - reply to @op @id when told by @pool, or if it is not
 *  CREATE, after a second; ->told of @pool is set */
void session_await(struct session *session, struct pool *pool, uint16_t op,
		   uint32_t id);
void session_tell(void *session, int result);

/** session_forget_awaited() - nobody is there to be told */
void session_forget_awaited(struct session *session);

/** session_lose() - the pool of its attachment @a was revoked */
void session_lose(struct session *session, struct attachment *a);

/** session_adopt() - @a is the process's; ->fresh until the reply is sent */
void session_adopt(struct session *session, struct attachment *a);

/** session_adopt_restored() - the same for one that had number @number */
void session_adopt_restored(struct session *session, struct attachment *a,
			    uint32_t number);

/** session_attachment() - by number, it may be ending; or NULL */
struct attachment *session_attachment(struct session *session,
				      uint32_t number);

/** session_opened() - HELLO was answered */
void session_opened(struct session *session);

/** session_hang_up() - close the connection; frees the session if nothing is
 *  attached */
void session_hang_up(struct session *session);

/** session_about() - for log lines */
struct log_about session_about(const struct session *session);

/** session_complain() - a log line that its process can cause at will */
#define session_complain(session, ...) \
	do { \
		struct log_about about_ = session_about(session); \
		log_peer(&about_, __VA_ARGS__); \
	} while (0)
