/* SPDX-License-Identifier: BSD-2-Clause */
/* Who holds an object: the arguments are checked here, the work is done in
 * pool/hold.c and pool/share.c. */
#include <errno.h>

#include "base/list.h"
#include "client/lane.h"
#include "pool/hold.h"
#include "pool/share.h"

/* The lane for a hold operation on @ref, and where that leads. */
static int enter(struct tarn_pool *pool, tarn_ref ref, enum tarn_role role,
		 struct tn_lane_ref **ret, uint64_t *ret_off)
{
	struct tarn_lane *lane = tn_thread.lane;
	int r;

	/* the usual path: this thread's pool, and not a forked process */
	if (tn_likely(tn_thread.key == pool->key && lane->started &&
		      pool->p.role <= (uint32_t)role &&
		      !tn64_load_relaxed(&pool->p.header->poison) &&
		      tn_ref_place(&pool->p, ref, ret_off))) {
		*ret = &lane->rack.ref;
		return 0;
	}

	r = tn_client_check(pool, role);
	if (r < 0)
		return r;
	if (!tn_ref_place(&pool->p, ref, ret_off))
		return tn_ref_is_handle(ref) ? -ESTALE : -EINVAL;
	lane = tn_lane_slow(pool);
	if (!lane)
		return -errno;
	*ret = &lane->rack.ref;
	return 0;
}

/* The same, for operations that are often on what was popped last: looks the
 * object up as free does. Return: 1: found; 0: that is to be done; or < 0. */
static int enter_find(struct tarn_pool *pool, tarn_ref ref,
		      struct tn_lane_ref **ret, uint64_t *ret_off,
		      uint64_t *ret_page, tn_a16 **ret_tag)
{
	int r = enter(pool, ref, TARN_CONSUMER, ret, ret_off);

	return r < 0 ? r :
	       tn_rack_find(tn_list_entry(*ret, struct tn_rack, ref), &pool->p,
			    *ret_off, ret_page, ret_tag);
}

/* The operations that want nothing but the ref. */
static inline int apply(struct tarn_pool *pool, tarn_ref ref,
			int (*op)(struct tn_pool *pool,
				  const struct tn_lane_ref *l, uint64_t off))
{
	struct tn_lane_ref *l = NULL;
	uint64_t off = 0;
	int r = enter(pool, ref, TARN_CONSUMER, &l, &off);

	return r < 0 ? r : op(&pool->p, l, off);
}

TARN_API int tarn_give(struct tarn_pool *pool, tarn_ref ref, uint32_t client)
{
	struct tn_lane_ref *l = NULL;
	uint64_t off = 0, page;
	tn_a16 *tag;
	int r = enter_find(pool, ref, &l, &off, &page, &tag);

	return r < 0 ? r : r ?
	       tn_hold_give_found(&pool->p, l, off, page, tag, client) :
	       tn_hold_give(&pool->p, l, off, client);
}

TARN_API int tarn_take(struct tarn_pool *pool, tarn_ref ref)
{
	struct tn_lane_ref *l = NULL;
	uint64_t off = 0, page;
	tn_a16 *tag;
	int r = enter_find(pool, ref, &l, &off, &page, &tag);

	return r < 0 ? r : r ? tn_hold_take_found(&pool->p, l, off, tag) :
			       tn_hold_take(&pool->p, l, off);
}

TARN_API int tarn_detach(struct tarn_pool *pool, tarn_ref ref)
{ return apply(pool, ref, tn_hold_detach); }

TARN_API int tarn_adopt(struct tarn_pool *pool, tarn_ref ref)
{ return apply(pool, ref, tn_hold_adopt); }

/* The offset of a word of shared memory. Return: false: it is none. */
static bool word_off(const struct tarn_pool *pool, const uint64_t *word,
		     uint64_t *ret)
{
	*ret = tn_pool_off(&pool->p, word);
	return *ret % 8 == 0 && *ret < pool->p.geo.data_bytes;
}

TARN_API int tarn_share(struct tarn_pool *pool, tarn_ref ref)
{ return apply(pool, ref, tn_share_make); }

TARN_API int tarn_hold(struct tarn_pool *pool, tarn_ref ref)
{ return apply(pool, ref, tn_share_hold); }

TARN_API int tarn_release(struct tarn_pool *pool, tarn_ref ref)
{
	struct tn_lane_ref *l = NULL;
	uint64_t off = 0;
	int r = enter(pool, ref, TARN_CONSUMER, &l, &off);

	if (r < 0)
		return r;
	r = tn_share_release(&pool->p, l, off, TN_CLIENT_SLOT(l->client));
	return r == 1 ? tn_lane_dispose(tn_thread.lane, off) : r;
}

TARN_API int tarn_publish(struct tarn_pool *pool, uint64_t *word, tarn_ref ref)
{
	struct tn_lane_ref *l = NULL;
	uint64_t at, off = 0;
	int r = enter(pool, ref, TARN_PRODUCER, &l, &off);

	if (r < 0)
		return r;
	if (!word_off(pool, word, &at))
		return -EINVAL;
	return tn_hold_publish(&pool->p, l, at, off);
}

TARN_API tarn_ref tarn_claim(struct tarn_pool *pool, uint64_t *word)
{
	struct tn_lane_ref *l = NULL;
	uint64_t at;

	if (tn_client_check(pool, TARN_PRODUCER) < 0 ||
	    !word_off(pool, word, &at) ||
	    enter(pool, tn_ref_make(&pool->p, at), TARN_PRODUCER, &l, &at) < 0)
		return TARN_REF_NONE;
	return tn_hold_claim(&pool->p, l, at);
}
