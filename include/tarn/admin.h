/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* All that tarnctl needs beyond tarn.h and stats.h. */
#include <tarn/tarn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of tarn_pool_info.flags, beside those that the pool was made with: recovery
 * found it contradicting itself. Only observers can open it. */
#define TARN_POOL_POISONED (1U << 31)

struct tarn_pool_info {
	char name[TARN_NAME_MAX + 1];
	enum tarn_kind kind;
	enum tarn_policy policy;
	uint32_t flags;          /* TARN_POOL_* */
	uint32_t uid, gid;       /* owner, and the group of the mode */
	uint32_t mode;
	uint32_t n_clients;
	uint64_t bytes;
	uint64_t data_resident;  /* bytes of memory, of both files */
	uint64_t meta_resident;
};

/**
 * tarn_pool_list() - the pools that the caller may open in some role
 * @ret: an array, free() it; NULL if there are none
 *
 * Return: how many; -ENOMEM, -ECONNRESET, -ETIMEDOUT.
 */
TARN_API int tarn_pool_list(struct tarn *t, struct tarn_pool_info **ret);

/** tarn_pool_stat() - one pool; -ENOENT, -EACCES, -ECONNRESET, -ETIMEDOUT */
TARN_API int tarn_pool_stat(struct tarn *t, const char *name,
			    struct tarn_pool_info *ret);

/**
 * tarn_pool_revoke() - destroy a pool, and take it from those who have it open
 * @t: a connection of the pool's owner or of root
 * @name: of the pool
 *
 * As tarn_pool_destroy(), and none of its memory stays: processes that have it
 * open, and do not even answer, find zeros in place of their objects, and what
 * they still write is lost and not the owner's any more. Their calls give
 * -EIDRM (errno EIDRM), but for allocations and frees that a thread can do from
 * what it has at hand, which do no harm; they should close the pool. So it is
 * for pools whose users do not let go.
 *
 * Return: 0: its memory is free, or will be soon; as tarn_pool_destroy();
 *         -ENOSYS: tarnd is too old.
 */
TARN_API int tarn_pool_revoke(struct tarn *t, const char *name);

/*
 * Audit
 */

/* Nothing uses the pool meanwhile, so that more can be said of it. */
#define TARN_AUDIT_QUIESCENT (1U << 0)

#define TARN_AUDIT_NOWHERE UINT64_MAX

/* A sentence about a pool that does not hold, and where. */
struct tarn_audit_finding {
	char sentence[24];       /* its name, as SHARE_COUNT; "": none */
	char text[232];          /* for people: what, where, the words */
	uint64_t page;           /* a slab's first; or TARN_AUDIT_NOWHERE */
	uint64_t slot;           /* in the slab; or the number of a lane, record
	                          * or entry; or TARN_AUDIT_NOWHERE */
	uint64_t seen[2];        /* the words that do not fit */
	uint32_t client;         /* id; 0: it is about none */
};

struct tarn_audit {
	size_t sz;               /* sizeof(struct tarn_audit), by the caller */
	struct tarn_audit_finding finding; /* the first; it ends the audit */
	struct tarn_audit_finding weak; /* the first of those that only cost
	                          * time, or come right by themselves */
	uint64_t n_weak;
	uint64_t n_busy;         /* parts that changed too fast for a verdict */
	uint64_t n_controls;     /* clients whose steps were looked at */

	uint64_t pages;          /* of the pool; those that were looked at: */
	uint64_t pages_free;
	uint64_t pages_run;      /* in runs */
	uint64_t pages_slab;     /* in slabs */
	uint64_t pages_hand;     /* in the hands of a step under way */
	uint64_t pages_handle;   /* in slabs of handles, which lie beside it */
	uint64_t runs;
	uint64_t runs_pool;      /* of those, held by the pool */
	uint64_t runs_shared;
	uint64_t runs_handle;    /* objects of handles */
	uint64_t slabs;
	uint64_t slots;          /* in the slabs; each is one of these: */
	uint64_t slots_free;
	uint64_t slots_held;     /* by a client */
	uint64_t slots_kept;     /* free to a thread alone */
	uint64_t slots_given;    /* to a client that has not taken it */
	uint64_t slots_link;     /* on the way into a word, or out of one */
	uint64_t slots_pool;     /* held by the pool */
	uint64_t slots_shared;
	uint64_t slots_handle;   /* objects of handles; these are slots, too */
	uint64_t handles;        /* that have an object */
	uint64_t holds;          /* of clients on shared runs and slots */
};

/**
 * tarn_audit() - does what a pool promises of itself hold?
 * @t: a connection of the pool's owner or of root, who alone may see what
 *     other clients have under way
 * @name: of the pool; it need not be open here
 * @flags: TARN_AUDIT_QUIESCENT or 0
 * @ret: .sz set; stored unless an error is returned
 *
 * Walks over all of the pool's metadata, with code that shares nothing with
 * the allocator: every page and slot is free, or has a holder who is there, or
 * is named by one step under way; none is in two places; counts and share
 * records are what they count; a handle and its object name each other, or the
 * mover's journal names both; tables and words are well-formed. It says
 * nothing about the bytes of objects, or what refs in them mean.
 *
 * Attaches to the pool as an observer for the time of the call. Others go on
 * meanwhile and do not notice: what is found is found several times over, in
 * words that stood still, so it is no accident of reading. What could not be
 * read at rest is counted in .n_busy; what a client that attached meanwhile
 * may be about is believed. A pool that is poisoned can be audited.
 *
 * Takes about 0.4 ms for each 2 MiB that are full of small objects, less for
 * others. Blocks on tarnd as the calls under "Pools" do, once for each client
 * of the pool.
 *
 * Return: 0: every sentence holds; 1: one does not, see .finding; -EINVAL (.sz
 *         or @flags), -ENOENT, -EPERM (neither owner nor root), -EACCES,
 *         -EUSERS, -EDQUOT, -EBUSY, -EMFILE, -ENOMEM, -EUCLEAN (the files are
 *         not of the size that tarnd says), -ECHILD (@t is of the process that
 *         this one was forked from), -ECONNRESET, -ETIMEDOUT.
 */
TARN_API int tarn_audit(struct tarn *t, const char *name, uint32_t flags,
			struct tarn_audit *ret);

/* How a compaction goes, or went. */
struct tarn_compaction {
	size_t sz;               /* of this struct, by the caller */
	int error;               /* 0; -ENOSYS: nothing was moved: there is no
				  * membarrier here; -EBUSY: a client stays in
				  * a section, and so the rest was not */
	uint32_t passes;
	uint32_t done, of;       /* areas of 2 MiB, in this pass */
	uint64_t moved_objects, moved_bytes;
	uint64_t pinned;         /* objects that stayed, as they were pinned */
	uint64_t undone;         /* ... being needed in the middle */
	uint64_t before, after;  /* bytes of memory: the pool had, and has */
	uint32_t runs;           /* since tarnd began; one may be under way */
	uint32_t unasked;        /* of these, begun by tarnd itself */
	uint32_t running;        /* 1: one is under way */
	/* What holds for the pool: see struct tarn_pool_opts */
	uint32_t compact_percent, compact_start, compact_stop;
};

/**
 * tarn_compact() - have tarnd make a pool small while it is in use
 * @t: a connection of somebody who may open the pool as a producer
 * @name: of the pool; it need not be open here
 * @percent: of a processor's time that it may take, 1 to 100; or 0: begin
 *           nothing, wait for nothing, and only tell; then an observer's right
 *           is enough
 * @progress: called some 20 times a second meanwhile; NULL: is not
 * @arg: for it
 * @ret: .sz set; may be NULL
 *
 * Moves objects that have handles (tarn/handle.h) to lower places, ends what
 * slabs that empties, and gives free memory back to the system. Clients go on
 * meanwhile and wait for nothing. What is under way already is gone along
 * with, and only one is for each pool. Blocks until it is done.
 *
 * tarnd does so by itself when a pool has much more memory than it needs; see
 * struct tarn_pool_opts, and tarnd(8). Then it leaves the pool a part of it.
 *
 * Return: 0; -EINVAL, -ENOENT, -EACCES, -EUCLEAN (the pool is poisoned),
 *         -ENOMEM, -ECHILD, -ECONNRESET, -ETIMEDOUT.
 */
TARN_API int tarn_compact(struct tarn *t, const char *name, unsigned percent,
			  void (*progress)(void *arg,
					   const struct tarn_compaction *c),
			  void *arg, struct tarn_compaction *ret);

/** tarn_ping() - 0 if tarnd answers; else what a lost tarnd gives */
TARN_API int tarn_ping(struct tarn *t);

#ifdef __cplusplus
}
#endif
