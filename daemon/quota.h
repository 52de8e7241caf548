/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * How much each uid holds, and may hold. What is charged is a handle in the
 * object that costs it, and is refunded from there, exactly once.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum quota_kind {
	QUOTA_BYTES,        /* of pools, as declared, until they are freed */
	QUOTA_POOLS,
	QUOTA_CONNECTIONS,
	QUOTA_ATTACHMENTS,  /* of processes to pools */
	QUOTA_DESCRIPTORS,  /* of tarnd's, open or under way to a client */
	QUOTA_RESERVED,     /* bytes of memory that pools have from the start */
	QUOTA_N
};
#define QUOTA_UNLIMITED UINT64_MAX

/* The name of a kind, as in tarnd.conf. */
extern const char *const quota_names[QUOTA_N];

/* For each uid: .own of root and of the uid that tarnd runs as. */
struct quota_limits {
	uint64_t own[QUOTA_N];
	uint64_t others[QUOTA_N];
};

/*
 * What there is of a kind for all users together. Half of it is for those who
 * have no more than a QUOTA_SHARES-th of it each, so that nobody can take that
 * from another; but the uid that tarnd runs as may have all.
 */
#define QUOTA_SHARES 32U /* picked: the half serves 16 users at once */

struct quota_user;
struct quota {
	uid_t own;                  /* that tarnd runs as */
	struct quota_limits limits; /* may be changed at any time */
	uint64_t capacity[QUOTA_N]; /* the same; QUOTA_UNLIMITED by default */
	uint64_t used[QUOTA_N];     /* by all users */
	struct quota_user *users;
};

struct quota_charge {
	struct quota *quota;      /* NULL: nothing is charged */
	struct quota_user *user;
	enum quota_kind kind;
	uint64_t amount;
};
#define QUOTA_CHARGE_NONE { 0 }

enum { QUOTA_EXCEEDED = 1 };

/** quota_init() - nobody holds anything; @limits are copied */
void quota_init(struct quota *quota, const struct quota_limits *limits);

/** quota_fini() - asserts that all was refunded */
void quota_fini(struct quota *quota);

/**
 * quota_charge() - charge @amount of @kind to @uid
 * @charge: filled in; must be empty
 * @force: count it, whatever the limit and the capacity
 *
 * Return: 0; QUOTA_EXCEEDED: nothing was charged; -ENOMEM.
 */
int quota_charge(struct quota *quota, struct quota_charge *charge, uid_t uid,
		 enum quota_kind kind, uint64_t amount, bool force);

/** quota_refund() - give it back; nothing happens if it is empty */
void quota_refund(struct quota_charge *charge);

/** quota_used() - what @uid holds of @kind */
uint64_t quota_used(const struct quota *quota, uid_t uid,
		    enum quota_kind kind);
