/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Handles: objects that tarnd may move, so that a pool in which little is left
 * can be made small again while it is in use.
 *
 *	tarn_ref h = tarn_halloc(pool, 240);
 *	char *p = tarn_pin(pool, h);       nobody moves it now
 *	strcpy(p, "hello");
 *	tarn_unpin(pool, h);               p is no good any more
 *
 * A handle is a ref: it can be given, taken, detached, adopted, shared, held,
 * released, published and claimed, and be a root, and means the same in every
 * process. Its object has no other name: do not pass on what tarn_pin()
 * returned, nor keep it after tarn_unpin().
 *
 * Pins and sections are a thread's own, cost no locked instruction, and wait
 * for nobody; a move that is under way is called off. They do not keep the
 * holder from freeing the object. A process that dies has none any more.
 */
#include <tarn/tarn.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * tarn_halloc() - take an object that may be moved, and its handle
 * @pool: opened as TARN_PRODUCER
 * @size: bytes, 1 to half the pool
 *
 * Sizes are as of tarn_alloc(). Lock-free.
 *
 * Return: the handle, held by this client; TARN_REF_NONE with errno as of
 *         tarn_alloc(), and ENOMEM too when the pool has no handle left (there
 *         is one for each 64 bytes of it).
 */
TARN_API tarn_ref tarn_halloc(struct tarn_pool *pool, size_t size);

/** tarn_halloc_with() - the same, with flags as of tarn_alloc_with() */
TARN_API tarn_ref tarn_halloc_with(struct tarn_pool *pool, size_t size,
				   uint32_t flags);

/**
 * tarn_hfree() - free a handle that this client or the pool holds, and its
 *                object
 *
 * Return: 0; -ESTALE (it has been freed), -EINVAL (no handle), -EPERM (another
 *         client holds it), -EACCES (role). 0 too for TARN_REF_NONE.
 */
TARN_API int tarn_hfree(struct tarn_pool *pool, tarn_ref handle);

/** tarn_hbytes() - how much room its object has; 0 if it is stale or none */
TARN_API size_t tarn_hbytes(const struct tarn_pool *pool, tarn_ref handle);

/**
 * tarn_pin() - keep an object where it is, to read and write it
 *
 * Each pin wants an unpin of the same thread; pins of one handle nest. If a
 * process died while it had the object pinned by this call, the next pin, of
 * whoever and of either kind, is refused once with EOWNERDEAD: what is there
 * may be half written. The one after that goes ahead. tarnd knows of the death
 * a moment later; a pin before that succeeds.
 *
 * Crash: a process that dies lets go of its pins.
 * Fork: pins are the parent's.
 *
 * Return: where it is; NULL with errno ESTALE, EINVAL (no handle), EOWNERDEAD,
 *         ENOSPC (this thread has 64 pins), EACCES (role: not a producer),
 *         EUCLEAN, and what starting a lane gives: ENOMEM, EAGAIN.
 */
TARN_API void *tarn_pin(struct tarn_pool *pool, tarn_ref handle);

/** tarn_pin_read() - the same, only to read; for consumers too */
TARN_API const void *tarn_pin_read(struct tarn_pool *pool, tarn_ref handle);

/** tarn_unpin() - let go of it. Return: 0; -EINVAL: this thread has no pin of
 *  it. */
TARN_API int tarn_unpin(struct tarn_pool *pool, tarn_ref handle);

/**
 * tarn_pin_long() - keep an object where it is for long, or for another thread
 *
 * A pin of the process, not of a thread: any thread may end it, by
 * tarn_unpin_long(). Takes a lock within the process. Up to 4096 objects.
 *
 * First tarnd is asked to move the object to where it keeps nothing else from
 * being moved; if that cannot be had, within a second, it is pinned where it
 * is. So this is for long.
 *
 * Return: as of tarn_pin().
 */
TARN_API void *tarn_pin_long(struct tarn_pool *pool, tarn_ref handle);
TARN_API int tarn_unpin_long(struct tarn_pool *pool, tarn_ref handle);

/**
 * tarn_enter() - begin a section: what tarn_deref() returns in it stays where
 *                it is until its end
 *
 * For going through many objects with less work than pinning each. Sections
 * nest. Leave them soon, and before waiting for anything: as long as a thread
 * is in one, nothing that it could be looking at can be moved.
 *
 * Return: 0; -EACCES (role), -EUCLEAN, -ENOMEM, -EAGAIN.
 */
TARN_API int tarn_enter(struct tarn_pool *pool);

/** tarn_deref() - where an object is, to read it, in a section. Return: as of
 *  tarn_pin_read(); EPERM: this thread is in no section. */
TARN_API const void *tarn_deref(struct tarn_pool *pool, tarn_ref handle);

/** tarn_exit() - end it. Return: 0; -EINVAL: this thread is in none. */
TARN_API int tarn_exit(struct tarn_pool *pool);

/**
 * tarn_read_copy() - copy from an object without pinning it
 * @to: room for @bytes
 * @off: where in the object to begin
 *
 * Stores nothing that others see, so that an observer may do it. The copy is
 * of one place and one object; whether somebody wrote there meanwhile it
 * cannot tell.
 *
 * Return: 0; -ESTALE, -EINVAL (no handle, or beyond its room), -EAGAIN (moved
 *         too often while we looked).
 */
TARN_API int tarn_read_copy(struct tarn_pool *pool, tarn_ref handle, void *to,
			    size_t off, size_t bytes);

#ifdef __cplusplus
}
#endif
