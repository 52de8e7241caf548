/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * What a tarnd leaves behind, made to order: a store with a ledger, pools,
 * sessions of this process and what they are attached to, all written by the
 * daemon's own code; and a tarnd in this process that takes it over. The
 * linker's --wrap hands it the store, and listens to its log.
 *
 *	make --> spoil as you like --> adopt --> keep ... end --> adopt ...
 *	                                         what is kept, the next finds
 *
 * The store is that of a tn_manager, which hears what tarnd has to say all
 * the time. Descriptors of the test's own lie above those of a tarnd, which
 * finds its inheritance from 3 on, as always.
 */
#include "daemon/server.h"
#include "tests/lib/tn_manager.h"

#define TN_ESTATE_POOLS 3U
#define TN_ESTATE_SESSIONS 3U
#define TN_ESTATE_ATTACHMENTS 4U

/* Of pool i and session i, a bit each. */
struct tn_estate_plan {
	unsigned n_pools, n_sessions, n_attachments;
	unsigned buddy;       /* pools: else slab */
	unsigned plain;       /* sessions: without an id and a live file */
	unsigned dead;        /* their process is */
	unsigned unconnected; /* they have no connection */
	unsigned mapped;      /* they have their live file mapped */
};

struct tn_estate {
	struct tn_manager m;
	struct server server;
	struct ledger ledger; /* as it was made, mapped: to be spoilt */
	int clients[TN_ESTATE_SESSIONS]; /* their ends; -1: none */
	/* what tarnd has said since tn_estate_adopt() */
	unsigned n_errors;
	bool untouched;       /* nothing was, it says */
};
extern struct tn_estate tn_estate;

/* Once. */
void tn_estate_init(void);

/* From the one to the other low descriptors are tarnd's. */
void tn_estate_make(const struct tn_estate_plan *plan);
void tn_estate_drop(void);

/* Into the store; @fd is its. */
void tn_estate_put(const char *name, int fd);

/* Out of reach of a tarnd. */
int tn_estate_high(int fd);

/* Of a record: right again. */
void tn_estate_sum(enum ledger_table table, uint32_t index);

/**
 * tn_estate_adopt() - a tarnd starts
 *
 * What it had to tell the manager is done when this returns. Return: as of
 * server_init(); tn_estate_end() is due either way.
 */
int tn_estate_adopt(void);

/* One turn of its loop. */
void tn_estate_turn(void);

/* Until nothing is being recovered, for some time at most. Return: so? */
bool tn_estate_settle(int ms);

/* What another tarnd would find if this one were killed now. */
void tn_estate_keep(void);

/* It is gone, and what was kept is in the store. */
void tn_estate_end(void);
