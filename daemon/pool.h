/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * A pool as tarnd has it: its files, its rules, and the truth about who is
 * attached. Lives while it has a name or somebody is attached.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "daemon/backing.h"
#include "daemon/compactor.h"
#include "daemon/compactrule.h"
#include "daemon/housekeeper.h"
#include "daemon/keeper.h"
#include "daemon/policy.h"
#include "daemon/quota.h"
#include "daemon/reaper.h"
#include "daemon/slots.h"
#include "pool/pool.h"
#include "proto/wire.h"


struct pool_spec {
	char name[TN_NAME_BYTES];
	uint64_t bytes;         /* rounded up to pages by pool_spec_check() */
	uint32_t kind;          /* enum tn_kind */
	uint32_t policy;        /* enum tn_policy */
	uint32_t flags;         /* TN_POOL_* */
	struct access access;
	struct compact_rule compact; /* what is not said: as tarnd.conf says */
};

struct pool;
struct registry;

/* Work on all its pages (pages.c). */
struct pool_pages {
	struct reaper_task task;
	unsigned file;          /* where it goes on */
	uint64_t off;
	uint64_t seen;          /* bytes that there was memory for */
	void (*done)(struct pool *pool, int result);
};

/* Who is told how that ended. */
struct pool_told {
	void (*tell)(void *who, int result);
	void *who;              /* NULL: nobody */
};

struct pool {
	struct pool_spec spec;
	struct tn_geo geo;
	struct backing meta;    /* mapped here, writable: for recovery */
	struct backing data;    /* mapped, for the mover; nobody else
	                         * here writes there */
	struct backing self;    /* tarnd's own control file */
	struct tn_pool view;    /* for pool/ */
	struct slots slots;
	struct compactor compactor;
	struct upkeep upkeep;
	struct tn_list attachments; /* attachment.of_pool */
	struct reaper_queue queue; /* clients of it to be recovered */
	struct quota_charge bytes_charge, pool_charge, fds_charge;
	struct quota_charge reserved_charge;
	struct pool_pages pages;
	struct pool_told told;
	uint64_t mark;
	bool poisoned;          /* tarnd's word; the header's is a copy */
	bool unlinked;          /* it has no name any more */
	bool pending;           /* not surely in the store: nobody may see it */
	struct kept kept;
	struct store_wait wait;     /* while it is pending, if it is declared */
	struct registry *registry;  /* that has it, or had; or NULL */
	struct reaper_job self_job; /* to recover tarnd, after its own death */
	int64_t self_began_ns;      /* then */
	unsigned refs;          /* one for the name, one for each attachment */
};

/**
 * pool_spec_check() - is it a pool that can be? Rounds .bytes up.
 *
 * Return: NULL, or what is wrong with it.
 */
const char *pool_spec_check(struct pool_spec *spec);

enum { POOL_NO_QUOTA = 1 };

/**
 * pool_new() - make a pool; the caller has the one reference
 * @spec: checked
 * @mark: 16 bits, not 0
 * @force: count it in the owner's quota without asking
 *
 * Return: 0; POOL_NO_QUOTA; -EMFILE, -ENOMEM, ...
 */
int pool_new(struct pool **ret, const struct pool_spec *spec, uint64_t mark,
	     struct quota *quota, bool force);

/** pool_file_of() - which file of the pool is @fd: 0 meta, 1 data, 2 self;
 *  -1: it is not one of this pool's */
int pool_file_of(const struct pool_spec *spec, const struct tn_geo *geo,
		 int fd);

/**
 * pool_restore() - have a pool again that an earlier tarnd made
 * @spec, @mark: from the ledger; checked
 * @fds: meta, data, self, as of pool_file_of(); taken over, if 0 is returned
 *
 * It is as it was; what is wrong with its header poisons it. Return: 0, -errno.
 */
int pool_restore(struct pool **ret, const struct pool_spec *spec, uint64_t mark,
		 struct quota *quota, int fds[3]);

/** pool_restore_self() - end what the earlier tarnd had under way in it, before
 *  anybody is recovered */
void pool_restore_self(struct pool *pool, struct reaper *reaper);

struct pool *pool_ref(struct pool *pool);
/* NULL, always. The last one gives back a destroyed pool's memory, off the main
 * loop if it is much, and then tells. */
struct pool *pool_unref(struct pool *pool);

/** pool_make_control() - a control file for a client of it, mapped here */
int pool_make_control(const struct pool *pool, const char *name,
		      uint32_t client, struct backing *ret);

/* How many processes are attached, those being recovered included. */
unsigned pool_n_clients(const struct pool *pool);

/** pool_tell() - ->told hears of @result, once */
void pool_tell(struct pool *pool, int result);

/** pool_revoke() - tell all clients that it is gone */
void pool_revoke(struct pool *pool);

/** pool_poison() - tell all clients to stop using it, for good */
void pool_poison(struct pool *pool);

/** pool_info() - what STAT and LIST tell */
void pool_info(const struct pool *pool, struct tn_info *ret);
