/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * tarn: heaps that unrelated processes share.
 *
 * What to know before the first call:
 *
 * - A *pool* is one heap, known by name to every process that may open it.
 *   tarnd makes it; tarn_pool_open() maps it; from then on allocation and
 *   free happen in this process, lock-free, without a system call on the
 *   usual path, whatever other processes or tarnd are doing.
 * - Each process maps a pool where it likes. Pass a tarn_ref from process to
 *   process, never a pointer, and store only refs in pool memory.
 * - Every object has a *holder*: the client (a process attached to the pool)
 *   that allocated or took it, or the pool itself. Only the holder may free
 *   it; anybody may free what the pool holds. When a client dies, by whatever
 *   cause and at whatever instruction, what it holds becomes free, and
 *   nothing else does.
 * - A pool opened for writing is one trust domain: who may write to it may
 *   spoil all of it. Other pools and tarnd do not care.
 *
 * Conventions of every call, unless it says otherwise:
 *
 *   Errors   int: 0 or more is success, below 0 is a negated errno value
 *            (errno itself is not part of it). Pointers: NULL with errno set.
 *   Threads  any number, at the same time.
 *   Signals  not async-signal-safe.
 *   Fork     the child keeps the mappings and may read what it finds there.
 *            It is not the client that its parent is: at its first call that
 *            leaves the usual path it becomes a client of its own, which
 *            holds nothing yet, and which needs tarnd to answer. If that
 *            fails, the call gives what tarn_pool_open() would.
 *   Crash    dying inside a call is as dying before it or after it.
 *   Blocks   only the calls under "Connecting" and "Pools" talk to tarnd;
 *            they give up after five seconds with -ETIMEDOUT.
 */
#include <stddef.h>
#include <stdint.h>

#include <tarn/version.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TARN_API __attribute__((__visibility__("default")))

/* Longest name of a pool, cache or root, in bytes without the final NUL.
 * A name is 1 to 39 of A-Z a-z 0-9 . _ - and does not begin with a dot. */
#define TARN_NAME_MAX 39

/* Sizes of a pool, in bytes, and of the objects that size classes serve. */
#define TARN_POOL_MIN ((uint64_t)1 << 20)
#define TARN_POOL_MAX ((uint64_t)1 << 40)
#define TARN_CLASS_MAX ((size_t)32768)
#define TARN_PAGE ((size_t)4096)

struct tarn;       /* a connection to tarnd */
struct tarn_pool;  /* a pool mapped into this process */
struct tarn_cache; /* a slab cache for objects of one size */

/* A position-independent name of an object; 0 names nothing. It is valid in
 * every process that has the pool open, and carries a mark of its pool. */
typedef uint64_t tarn_ref;
#define TARN_REF_NONE ((tarn_ref)0)

enum tarn_kind {
	TARN_KIND_SLAB = 1,  /* slabs for small objects, runs for large ones */
	TARN_KIND_BUDDY = 2, /* page runs only */
};

/* Where a run of pages goes among the holes that could take it. */
enum tarn_policy {
	TARN_FIRST_FIT = 1, /* the lowest address */
	TARN_BEST_FIT = 2,  /* the tightest hole */
	TARN_WORST_FIT = 3, /* the largest hole */
};

/* What a process may do; the kernel enforces it by how the files are open. */
enum tarn_role {
	TARN_PRODUCER = 1, /* objects and metadata writable */
	TARN_CONSUMER = 2, /* objects read-only; may take, hold and free */
	TARN_OBSERVER = 3, /* everything read-only */
};

/*
 * Connecting
 */

/**
 * tarn_connect() - connect to tarnd
 * @socket_path: the socket; NULL takes $TARN_SOCKET, else the user's own
 *               $XDG_RUNTIME_DIR/tarn/tarn.sock if it exists, else
 *               /run/tarn/tarn.sock
 * @ret: the connection; close it with tarn_disconnect()
 *
 * Return: 0; -ENOENT or -ECONNREFUSED (no daemon there), -EACCES,
 *         -EPROTONOSUPPORT (versions have nothing in common),
 *         -EDQUOT (too many connections of this user), -ENAMETOOLONG,
 *         -ENOMEM, -EMFILE, -ETIMEDOUT.
 */
TARN_API int tarn_connect(const char *socket_path, struct tarn **ret);

/**
 * tarn_disconnect() - close a connection
 * @t: may be NULL
 *
 * Pools opened over it stay open and usable: a pool keeps what it needs of
 * the connection until tarn_pool_close().
 *
 * A connection that is lost, say because the process closed all its
 * descriptors, costs no pool. The next call makes it anew, at the same path,
 * and goes on; only tarn_pool_create(), _destroy() and _open() may then give
 * -ECONNRESET once, and may have been carried out or not.
 */
TARN_API void tarn_disconnect(struct tarn *t);

/*
 * Pools
 */

/* Options of a pool; make one with TARN_POOL_OPTS(.bytes = ...). */
struct tarn_pool_opts {
	size_t sz;            /* sizeof(struct tarn_pool_opts) */
	uint64_t bytes;       /* size, rounded up to pages; sparse until used */
	enum tarn_kind kind;  /* 0: TARN_KIND_SLAB */
	enum tarn_policy policy; /* 0: TARN_FIRST_FIT */
	uint32_t flags;       /* TARN_POOL_* */
	uint32_t mode;        /* who else may open it: permission bits as of a
	                       * file, group and other digits; r observer, w
	                       * consumer, r+w producer; 0: its owner only */
	uint32_t gid;         /* group that the group digit is for;
	                       * (uint32_t)-1: the caller's */
	/* When tarnd compacts it (tarn/admin.h) without being asked; 0: as
	 * tarnd is configured. Of a pool that needs 100 bytes of memory: */
	uint16_t compact_percent; /* of a processor's time that it may take, 1
	                       * to 100; or TARN_COMPACT_NEVER */
	uint16_t compact_start; /* if it has so many more: 1 to 255 */
	uint16_t compact_stop; /* until it has no more than that too many;
	                       * less than .compact_start */
};
#define TARN_COMPACT_NEVER 255

#define TARN_POOL_OPTS(...) \
	(&(struct tarn_pool_opts){ .sz = sizeof(struct tarn_pool_opts), \
				   .gid = (uint32_t)-1, __VA_ARGS__ })

/* A wrong free (twice, inside an object, foreign) aborts the process. */
#define TARN_POOL_ABORT_ON_MISUSE (1U << 0)

/* All memory that the pool can ever use is there from the start: if there is
 * too little, it is not made. Later nobody can be short of it, nor killed by
 * SIGBUS for a page that cannot be had. It stays: tarn_trim() returns none. */
#define TARN_POOL_RESERVE (1U << 1)

/**
 * tarn_pool_create() - have tarnd make a pool
 * @t: a connection
 * @name: see TARN_NAME_MAX
 * @opts: from TARN_POOL_OPTS(); .bytes must be given
 *
 * The pool lives until tarn_pool_destroy(), or the end of tarnd and of the
 * service manager's descriptor store. With TARN_POOL_RESERVE the call takes as
 * long as the memory takes to be had, up to ten seconds and two for each
 * gigabyte.
 *
 * Return: 0; -EEXIST, -EINVAL (name, size, kind, policy, flags or mode),
 *         -E2BIG (@opts is from a newer header and uses what this library
 *         does not know), -EDQUOT (quota of the user), -EACCES, -ENOMEM
 *         or -ENOSPC (there is not enough memory, or no room in the store),
 *         and what a lost tarnd gives: -ECONNRESET, -ETIMEDOUT.
 */
TARN_API int tarn_pool_create(struct tarn *t, const char *name,
			      const struct tarn_pool_opts *opts);

/**
 * tarn_pool_destroy() - remove a pool's name
 * @t: a connection of the pool's owner or of root
 * @name: of the pool
 *
 * Nobody can open it any more. Processes that have it open keep it until
 * they close it; then its memory is gone, even if one of them has it mapped
 * still. tarn_pool_revoke() does not wait for them.
 *
 * Return: 0; -ENOENT, -EPERM, -ECONNRESET, -ETIMEDOUT.
 */
TARN_API int tarn_pool_destroy(struct tarn *t, const char *name);

/**
 * tarn_pool_open() - attach this process to a pool
 * @t: a connection
 * @name: of the pool
 * @role: what this process wants to be allowed
 * @ret: the pool; leave it with tarn_pool_close()
 *
 * Opening the same pool twice gives two clients, which do not share holds.
 *
 * Return: 0; -ENOENT, -EACCES (no right to that role), -EINVAL, -EUSERS (1000
 *         clients), -EDQUOT (attachments of the user), -EBUSY (tarnd thinks
 *         that descriptors which it sent before are not read yet; try again),
 *         -EMFILE, -ENOMEM (no address space), -EUCLEAN (the pool is poisoned,
 *         or not what tarnd says it is), -ECONNRESET, -ETIMEDOUT.
 */
TARN_API int tarn_pool_open(struct tarn *t, const char *name,
			    enum tarn_role role, struct tarn_pool **ret);

/**
 * tarn_pool_close() - leave a pool
 * @pool: may be NULL; no other thread may be inside a call on it
 *
 * What this client still holds becomes free, as if the process had died.
 * All pointers into the pool die with the mapping.
 */
TARN_API void tarn_pool_close(struct tarn_pool *pool);

/**
 * tarn_client_id() - this process's number among the pool's clients
 *
 * For tarn_give() by others. 1 to 8191. A number is not used again before
 * several thousand other clients have come and gone.
 */
TARN_API uint32_t tarn_client_id(const struct tarn_pool *pool);

/*
 * Objects
 */

/**
 * tarn_alloc() - take an object from a pool
 * @pool: opened as TARN_PRODUCER
 * @size: bytes, 1 to half the pool
 *
 * Up to TARN_CLASS_MAX bytes come from slabs (about 12.5 % apart); larger
 * ones, and all of a buddy pool, are whole pages. Lock-free: no call waits
 * for another thread, process or tarnd.
 *
 * Crash: a process that dies before it stored the result loses nothing;
 * tarnd takes the object back.
 *
 * Return: 16-byte aligned, NOT zeroed. NULL with errno ENOMEM (pool full;
 *         it still works), EINVAL (@size 0 or too large), EACCES (role),
 *         EUCLEAN (pool poisoned), EAGAIN (more than 1024 threads).
 */
TARN_API void *tarn_alloc(struct tarn_pool *pool, size_t size)
	__attribute__((__warn_unused_result__, __alloc_size__(2)));

/**
 * tarn_alloc_aligned() - the same, at a multiple of @align
 * @align: bytes, a power of two up to 2 MiB, else EINVAL
 */
TARN_API void *tarn_alloc_aligned(struct tarn_pool *pool, size_t align,
				  size_t size)
	__attribute__((__warn_unused_result__, __alloc_size__(3)));

/* If the pool has no room: have tarnd compact it (tarn/handle.h), wait for
 * that, and try once more. */
#define TARN_COMPACT (1U << 0)

/**
 * tarn_alloc_with() - the same as tarn_alloc(), with flags
 * @flags: 0 or TARN_COMPACT
 *
 * Blocks: with TARN_COMPACT, and only if there is no room, as long as a
 * compaction takes; not if this thread is in a section, which would be in its
 * way. If tarnd cannot be asked, that is ENOMEM as well.
 *
 * Return: as tarn_alloc(); EINVAL too for unknown flags.
 */
TARN_API void *tarn_alloc_with(struct tarn_pool *pool, size_t size,
			       uint32_t flags)
	__attribute__((__warn_unused_result__, __alloc_size__(2)));

/** tarn_zalloc() - the same as tarn_alloc(), filled with zero bytes */
TARN_API void *tarn_zalloc(struct tarn_pool *pool, size_t size)
	__attribute__((__warn_unused_result__, __alloc_size__(2)));

/**
 * tarn_realloc() - change an object's size, moving it if it must
 * @p: an object this client holds, or NULL (then as tarn_alloc())
 * @size: bytes, at least 1
 *
 * Return: as tarn_alloc(); also EINVAL or EPERM as of tarn_free(). On error
 *         @p is as it was.
 */
TARN_API void *tarn_realloc(struct tarn_pool *pool, void *p, size_t size)
	__attribute__((__warn_unused_result__, __alloc_size__(3)));

/**
 * tarn_free() - give an object back
 * @p: an object of any kind that this client or the pool holds; NULL is fine
 *
 * Wrong frees are always detected, because the pool knows of every place
 * whether an object starts there and who holds it. (All but one: two threads
 * of the holder that free the same slot at the very same moment.)
 *
 * Return: 0; -EINVAL (not of this pool, or not the start of an object),
 *         -EALREADY (it is free already), -EPERM (another client holds
 *         it), -EACCES (role). With TARN_POOL_ABORT_ON_MISUSE: abort().
 */
TARN_API int tarn_free(struct tarn_pool *pool, void *p);

/** tarn_usable_bytes() - how much room an object has; 0 if @p is none */
TARN_API size_t tarn_usable_bytes(const struct tarn_pool *pool, const void *p);

/*
 * Caches: the class look-up saved, and no rounding to a class
 */

/**
 * tarn_cache_open() - find or make the cache of that name in the pool
 * @pool: a slab pool, opened as TARN_PRODUCER
 * @name: see TARN_NAME_MAX
 * @size: bytes, 1 to TARN_CLASS_MAX; 0 opens one that must exist
 * @align: bytes, a power of two up to 4096; 0 means 16
 * @ret: the cache; close it with tarn_cache_close()
 *
 * Return: 0; -EINVAL, -ENOENT (@size 0 and no such cache), -EEXIST (it
 *         exists with another size or alignment), -ENOSPC (256 caches),
 *         -EOPNOTSUPP (buddy pool), -EACCES, -ENOMEM.
 */
TARN_API int tarn_cache_open(struct tarn_pool *pool, const char *name,
			     size_t size, size_t align,
			     struct tarn_cache **ret);

/** tarn_cache_close() - forget a cache here; its objects stay */
TARN_API void tarn_cache_close(struct tarn_cache *cache);

/** tarn_cache_alloc() - take an object; errors as of tarn_alloc() */
TARN_API void *tarn_cache_alloc(struct tarn_cache *cache)
	__attribute__((__warn_unused_result__));

/** tarn_cache_free() - give one back; -EINVAL too if of another cache */
TARN_API int tarn_cache_free(struct tarn_cache *cache, void *p);

/*
 * Runs of pages
 */

/**
 * tarn_run_alloc() - take a run of pages
 * @pages: how many, 1 to half the pool's pages
 * @policy: TARN_FIRST_FIT, ..., or 0 for the pool's own
 *
 * A run starts at a multiple of the power of two that @pages rounds up to
 * (2 MiB at most) and is exact: what remains of that power of two stays free.
 *
 * Return: the first page, NOT zeroed; NULL with errno as of tarn_alloc().
 */
TARN_API void *tarn_run_alloc(struct tarn_pool *pool, size_t pages,
			      enum tarn_policy policy)
	__attribute__((__warn_unused_result__));

/** tarn_run_free() - give one back; -EINVAL too if @p is no run. If it is
 *  short this thread may keep it for its next one: see tarn_trim() */
TARN_API int tarn_run_free(struct tarn_pool *pool, void *p);

/*
 * Refs and named roots
 */

/** tarn_ref_of() - the ref of a place in the pool; 0 if @p is outside it */
TARN_API tarn_ref tarn_ref_of(const struct tarn_pool *pool, const void *p);

/** tarn_ptr() - where a ref's place is mapped here; NULL if not of @pool */
TARN_API void *tarn_ptr(const struct tarn_pool *pool, tarn_ref ref);

/**
 * tarn_root_set() - store a ref under a name, for newcomers to find
 * @name: see TARN_NAME_MAX
 * @ref: TARN_REF_NONE unsets it
 *
 * The holder does not change: a root that should outlive its maker wants
 * tarn_detach() first. One store makes it visible.
 *
 * Return: 0; -EINVAL (name, or a ref of another pool), -ENOSPC (512 names),
 *         -EACCES (role).
 */
TARN_API int tarn_root_set(struct tarn_pool *pool, const char *name,
			   tarn_ref ref);

/** tarn_root_get() - the ref under a name, or TARN_REF_NONE */
TARN_API tarn_ref tarn_root_get(const struct tarn_pool *pool, const char *name);

/*
 * Who holds an object
 *
 * All return 0, or -EINVAL (no object there), -EPERM (held by another, or
 * already gone), -EACCES (role), and what each says.
 */

/**
 * tarn_give() - hand an object this client holds to another client
 * @client: its tarn_client_id()
 *
 * From this call on the receiver answers for it, taken or not: should it die,
 * the object is freed. Also -ESRCH: no such client; the object is still ours.
 *
 * Threads: it looks at who holds the object and then stores, as tarn_free()
 * does. Two threads of the holder that give or free the same object at the
 * very same moment may both be told 0.
 */
TARN_API int tarn_give(struct tarn_pool *pool, tarn_ref ref, uint32_t client);

/**
 * tarn_take() - accept what was given to this client, or the pool holds
 *
 * Exactly one taker succeeds. A ref that has been reclaimed or taken by
 * another gives -EPERM or -EINVAL, never somebody else's object that is in use.
 */
TARN_API int tarn_take(struct tarn_pool *pool, tarn_ref ref);

/** tarn_detach() - make the pool the holder: it stays whoever dies */
TARN_API int tarn_detach(struct tarn_pool *pool, tarn_ref ref);

/** tarn_adopt() - become the holder of what the pool holds */
TARN_API int tarn_adopt(struct tarn_pool *pool, tarn_ref ref);

/**
 * tarn_share() - make an object that this client holds a shared one
 *
 * Its holders are then a set of clients, at first this one alone. A client
 * holds it or does not, however often it asks; its death ends its hold. When
 * the last hold ends, the object is free.
 *
 * Return: also -ENOSPC (too many shared objects), -EAGAIN (the place was
 *         shared before, and a death there is not quite cleaned up).
 */
TARN_API int tarn_share(struct tarn_pool *pool, tarn_ref ref);

/**
 * tarn_hold() - become a holder of a shared object
 *
 * 0 as well if this client is one. -EPERM: nobody shares it, any more or yet.
 */
TARN_API int tarn_hold(struct tarn_pool *pool, tarn_ref ref);

/** tarn_release() - be a holder no more; the last one frees the object.
 *  -EPERM: this client is none. tarn_free() of a shared object is -EPERM. */
TARN_API int tarn_release(struct tarn_pool *pool, tarn_ref ref);

/**
 * tarn_publish() - link an object into a word of shared memory
 * @word: 8-byte aligned, in an object of the pool; holds 0 if empty
 * @ref: held by this client
 *
 * The word holds the ref and the pool holds the object, both or neither,
 * wherever this process may die. Also -EBUSY: the word is taken.
 */
TARN_API int tarn_publish(struct tarn_pool *pool, uint64_t *word, tarn_ref ref);

/**
 * tarn_claim() - take an object out of a word of shared memory
 * @word: as of tarn_publish()
 *
 * The word is 0 and this client holds the object, both or neither. Exactly
 * one claimer gets it.
 *
 * Return: the ref; TARN_REF_NONE if the word is empty or another was faster.
 */
TARN_API tarn_ref tarn_claim(struct tarn_pool *pool, uint64_t *word);

/*
 * Giving memory back
 */

/**
 * tarn_trim() - return free pages to the system
 * @ret_bytes: how much that was; may be NULL
 *
 * First gives back what this thread keeps in its own caches, then punches
 * every free page out of the pool's file, for all processes. Needs
 * TARN_PRODUCER. Makes system calls; lock-free against other allocation.
 *
 * Return: 0; -EACCES, -ENOSYS (no hole punching), -EBADF (this process has
 *         closed the file: closefrom).
 */
TARN_API int tarn_trim(struct tarn_pool *pool, uint64_t *ret_bytes);

#ifdef __cplusplus
}
#endif
