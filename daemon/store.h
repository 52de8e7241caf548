/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * The service manager's descriptor store: what is in it outlives tarnd. See
 * store.c, and sd_notify(3): FDSTORE.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/time.h>

#include "base/list.h"
#include "daemon/manager.h"

#define STORE_NAME_BYTES 16

struct store {
	bool active;             /* else all below does nothing */
	struct manager manager;
	struct tn_list waiting;  /* store_wait.link: for the next barrier */
	struct tn_list asked;    /* ... for the one under way */
	int barrier_fd;          /* hangs up when all before was looked at */
	int canary_fd;           /* hangs up if the store did not keep it */
	struct event *barrier, *late, *turn;
};

/* Somebody who wants to know. */
struct store_wait {
	struct tn_list link;
	void (*done)(struct store_wait *wait, int r);
};

/** store_clear() - one that keeps nothing, and needs no store_fini() */
void store_clear(struct store *store);

/**
 * store_init() - is there a service manager that keeps descriptors?
 * @known: it has given us some
 *
 * Asks, and waits for the answer (unless @known, then it does not ask), for
 * some seconds at most. Logs if there is a manager, but no store.
 *
 * Return: 0; -errno, store_fini() is due in both cases.
 */
int store_init(struct store *store, struct event_base *base, bool known);

/** store_fini() - ends the talk; what is in the store stays there. Who waits
 *  is not told */
void store_fini(struct store *store);

/** store_name() - of kind @kind, a letter, number @index */
void store_name(char ret[STORE_NAME_BYTES], char kind, uint32_t index);

/** store_parse() - the reverse. Return: false: it is no such name; @ret_schema
 *  is set if at least it looks like one of another schema */
bool store_parse(const char *name, unsigned *ret_schema, char *ret_kind,
		 uint32_t *ret_index);

/**
 * store_put() - give copies of descriptors to the manager
 * @fds: up to MANAGER_FDS_MAX, they stay the caller's; less than 0: left out
 *
 * Not sure before store_confirm() has said so. Return: 0; -errno: they are
 * not stored.
 */
int store_put(struct store *store, const char *name, const int *fds,
	      unsigned n_fds);

/** store_drop() - the manager closes all that has this name */
void store_drop(struct store *store, const char *name);

/**
 * store_confirm() - is all that was put so far in the store?
 * @wait: ->done() is called once, from the event loop; with 0 if so, or with
 *        -ENOSPC (the store is full), -ETIMEDOUT, or another -errno
 *
 * Return: 0: it is, and done() is not called; 1: wait; -errno: it is not.
 */
int store_confirm(struct store *store, struct store_wait *wait);

/** store_forget() - ->done() is not to be called any more */
void store_forget(struct store_wait *wait);

/** store_sync() - wait here until all who wait were told */
void store_sync(struct store *store);
