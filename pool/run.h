/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Runs: pages claimed and given back together. */
#include "pool/lane.h"

/**
 * tn_run_take() - claim a run, and keep it in the lane's hands
 * @kind: TN_OP_RUN or TN_OP_SLAB: what is to become of it
 * @n: pages, 1 to half the pool's
 * @where: TN_FIRST_FIT, ...; and TN_AMONG() what it is to lie, if not among
 *         what cannot be moved
 *
 * On success the pages are claimed and the lane's op names them: the caller
 * makes of them what they shall be, and ends with tn_lane_commit(). Whoever
 * dies before that has the pages given back.
 *
 * Return: 0 and the first page; -ENOMEM; -EUCLEAN.
 */
int tn_run_take(struct tn_pool *pool, const struct tn_lane_ref *l,
		unsigned kind, uint64_t n, unsigned where, uint64_t *ret_page);

/** tn_run_take_at() - the same for pages that were seen to be free; they may
 *  be taken by now: then false */
bool tn_run_take_at(struct tn_pool *pool, const struct tn_lane_ref *l,
		    unsigned kind, uint64_t page, uint64_t n);

/** tn_run_untake() - give back what tn_run_take_at() got, and where nothing
 *  has been written. Return: 0 or -EUCLEAN */
int tn_run_untake(struct tn_pool *pool, const struct tn_lane_ref *l,
		  uint64_t page, uint64_t n);

/**
 * tn_run_drop() - give back a run that nobody else can name any more
 * @kind: TN_OP_RUN: @page's tag is still ours; TN_OP_SLAB: the slab is
 *        leased by us and all its tags are 0
 *
 * Wipes the page words, releases the rows. Return: 0 or -EUCLEAN.
 */
int tn_run_drop(struct tn_pool *pool, const struct tn_lane_ref *l,
		unsigned kind, uint64_t page, uint64_t n);

/**
 * tn_run_put() - give back a run, or keep it in the lane's cache
 * @kind: TN_OP_RUN: @page's tag is KEPT; TN_OP_SLAB: as of tn_run_drop()
 *
 * Only what lies among what cannot be moved: there it is taken up again.
 * Return: 0 or -EUCLEAN.
 */
int tn_run_put(struct tn_pool *pool, const struct tn_lane_ref *l,
	       unsigned kind, uint64_t page, uint64_t n);

/** tn_run_make_room() - see to it that the lane may keep @bytes more, by giving
 *  back runs, but for those of @but pages; none if it is no use. Return: may
 *  it? */
bool tn_run_make_room(struct tn_pool *pool, const struct tn_lane_ref *l,
		      uint64_t bytes, uint64_t but);

/** tn_run_flush() - give back all that is in the lane's cache */
void tn_run_flush(struct tn_pool *pool, const struct tn_lane_ref *l);

/** tn_run_want() - note that a run of @n pages found no place: tarnd may move
 *  objects to make one (daemon/housekeeper.c) */
void tn_run_want(struct tn_pool *pool, uint64_t n);

/** tn_run_wanted() - the shortest such run since it was last asked, in pages;
 *  0: none. For tarnd */
uint64_t tn_run_wanted(struct tn_pool *pool);

/** tn_run_is_wanted() - only look whether there is one */
static inline bool tn_run_is_wanted(const struct tn_pool *pool)
{ return tn64_load_relaxed(&pool->header->wanted); }

/**
 * tn_run_resume() - end what a dead lane was doing with a run
 * @l: the dead lane: its own record, its own name
 *
 * The run's pages become free, whichever way the step was going. Idempotent,
 * and may itself be cut short anywhere. Return: 0; -EUCLEAN: the record
 * names what cannot be.
 */
int tn_run_resume(struct tn_pool *pool, const struct tn_lane_ref *l);

/**
 * tn_run_alloc() - a run as an object, held by the lane's client
 *
 * Return: 0 and its first page; -ENOMEM; -EUCLEAN.
 */
int tn_run_alloc(struct tn_pool *pool, const struct tn_lane_ref *l, uint64_t n,
		 unsigned where, uint64_t *ret_page);
