/* SPDX-License-Identifier: BSD-2-Clause */
/* Compaction is tarnd's work: this asks for it, and how it goes; for its own
 * sake, or because there was no room. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "client/conn.h"
#include "client/lane.h"
#include "client/link.h"
#include "proto/wire.h"
#include "tarn/admin.h"
#include "tarn/handle.h"

#define ASK_US_MIN 1000
#define ASK_US_MAX 50000

static void to_public(const struct tn_compaction *in,
		      struct tarn_compaction *out)
{
	*out = (struct tarn_compaction){
		.sz = sizeof(*out),
		.error = in->error,
		.passes = in->passes,
		.done = in->done,
		.of = in->of,
		.moved_objects = in->moved_objects,
		.moved_bytes = in->moved_bytes,
		.pinned = in->pinned,
		.undone = in->undone,
		.before = in->before,
		.after = in->after,
		.runs = in->runs,
		.unasked = in->unasked,
		.running = in->state == TN_COMPACTION_MOVES ||
			   in->state == TN_COMPACTION_PUNCHES,
		.compact_percent = TN_COMPACT_PERCENT(in->rule),
		.compact_start = TN_COMPACT_START(in->rule),
		.compact_stop = TN_COMPACT_STOP(in->rule),
	};
}

static int ask(struct tn_conn *conn, const struct tn_compact_request *req,
	       struct tn_compaction *ret)
{
	size_t bytes = sizeof(*ret);

	return tn_conn_call(conn, TN_MSG_COMPACT, req, sizeof(*req), ret,
			    &bytes, NULL, NULL);
}

/* Until it is done, if the request is for one. */
static int compact(struct tn_conn *conn, struct tn_compact_request *req,
		   void (*progress)(void *arg, const struct tarn_compaction *c),
		   void *arg, struct tn_compaction *ret)
{
	unsigned pause = ASK_US_MIN, wait = req->percent;
	struct tarn_compaction public;
	int r = ask(conn, req, ret);

	req->percent = 0;
	while (r == 0 && wait && ret->state != TN_COMPACTION_DONE &&
	       ret->state != TN_COMPACTION_NONE) {
		to_public(ret, &public);
		if (progress)
			progress(arg, &public);
		usleep(pause);
		pause = pause * 2 > ASK_US_MAX ? ASK_US_MAX : pause * 2;
		r = ask(conn, req, ret);
	}
	return r;
}

TARN_API int tarn_compact(struct tarn *t, const char *name, unsigned percent,
			  void (*progress)(void *arg,
					   const struct tarn_compaction *c),
			  void *arg, struct tarn_compaction *ret)
{
	struct tn_compact_request req = { .percent = percent };
	struct tn_compaction c;
	int r;

	if (percent > 100 || (ret && ret->sz != sizeof(*ret)))
		return -EINVAL;
	if (tn_client_name(name, req.name) < 0)
		return -ENOENT;
	r = compact(tn_conn_of(t), &req, progress, arg, &c);
	if (r < 0)
		return r;
	if (ret)
		to_public(&c, ret);
	return percent && c.error == -EUCLEAN ? -EUCLEAN : 0;
}

/* For who found no room. Return: may there be some now? */
static bool make_room(struct tarn_pool *pool, uint32_t flags)
{
	struct tn_compact_request req = { .percent = 100 };
	const struct tarn_lane *lane = tn_lane_mine(pool);
	struct tn_compaction c;

	if (errno != ENOMEM || !(flags & TARN_COMPACT))
		return false;
	/* our own section would be in the way of any move */
	if (lane && lane->sections)
		return false;
	memcpy(req.name, pool->name, sizeof(req.name));
	if (compact(pool->conn, &req, NULL, NULL, &c) == 0)
		return true;
	errno = ENOMEM;
	return false;
}

TARN_API void *tarn_alloc_with(struct tarn_pool *pool, size_t size,
			       uint32_t flags)
{
	void *p;

	if (flags & ~TARN_COMPACT)
		return tn_null_errno(-EINVAL);
	p = tarn_alloc(pool, size);
	return p || !make_room(pool, flags) ? p : tarn_alloc(pool, size);
}

TARN_API tarn_ref tarn_halloc_with(struct tarn_pool *pool, size_t size,
				   uint32_t flags)
{
	tarn_ref h;

	if (flags & ~TARN_COMPACT) {
		errno = EINVAL;
		return TARN_REF_NONE;
	}
	h = tarn_halloc(pool, size);
	return h || !make_room(pool, flags) ? h : tarn_halloc(pool, size);
}
