/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * What outlives tarnd: the ledger and the descriptor store, of pools, sessions
 * and attachments. See keeper.c.
 */
#include "daemon/ledger.h"
#include "daemon/store.h"

struct attachment;
struct pool;
struct pool_spec;
struct session;

struct keeper {
	struct store store;
	struct ledger ledger;
};

/* In a pool, session or attachment: where it stands in the ledger. */
struct kept {
	struct keeper *keeper; /* NULL: it is not kept */
	uint32_t index;
	bool there;            /* its record is: a new tarnd would find it */
};

/* The letters of the store's names. */
#define KEEPER_LEDGER 'l'
#define KEEPER_POOL 'p'       /* meta, data, self */
#define KEEPER_SESSION 's'    /* pidfd, live file */
#define KEEPER_CONNECTION 'c' /* socket */
#define KEEPER_ATTACHMENT 'a' /* control file */

/** keeper_clear() - one that keeps nothing; keeper_fini() does no harm */
void keeper_clear(struct keeper *keeper);

/** keeper_init() - with an empty ledger, in the store if there is one; 0 or
 *  -errno; keeper_fini() is due in both cases */
int keeper_init(struct keeper *keeper, struct event_base *base);
void keeper_fini(struct keeper *keeper);

/** keeper_keeps() - would a new tarnd find it all? */
bool keeper_keeps(const struct keeper *keeper);

/** keeper_drop() - out of the store */
void keeper_drop(struct keeper *keeper, char kind, uint32_t index);

/*
 * A life: keeper_X() takes a place and sends the descriptors; once
 * store_confirm() says so, keeper_X_there() writes the record; keeper_X_gone()
 * undoes both, whichever of them was done. The first returns 0 or -errno,
 * and keeper_X_gone() is due then, too. All do nothing for what is not kept.
 */
int keeper_pool(struct keeper *keeper, struct pool *pool);
void keeper_pool_there(struct pool *pool); /* or its state has changed */
void keeper_pool_gone(struct pool *pool);

/* A session comes with its connection, and a rejoined one gets another. */
int keeper_connection(struct keeper *keeper, struct session *session);
int keeper_session(struct keeper *keeper, struct session *session);
/* @id: of the HELLO */
void keeper_session_there(struct session *session, uint32_t id);
void keeper_session_gone(struct session *session);
/* @session, with a connection and not there, takes the place of @old */
void keeper_rejoined(struct session *session, struct session *old,
		     uint32_t id);
/* The connection is over. */
void keeper_connection_gone(struct session *session);

int keeper_attachment(struct session *session, struct attachment *a);
void keeper_attachment_there(struct session *session, struct attachment *a);
void keeper_attachment_ending(struct attachment *a);
void keeper_attachment_gone(struct attachment *a);

/**
 * keeper_begun() - note what request of @session's is about to be done
 * @thing: the place of what it makes or ends
 *
 * keeper_done() when it is.
 */
void keeper_begun(struct session *session, uint16_t op, uint32_t id,
		  uint32_t thing);
void keeper_done(struct session *session);

/** keeper_spec() - of a record */
struct pool_spec keeper_spec(const struct ledger_pool *record);
