/* SPDX-License-Identifier: BSD-2-Clause */
/* Compaction is tarnd's work: this asks for it, and how it goes. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "client/conn.h"
#include "client/link.h"
#include "client/pool.h"
#include "proto/wire.h"
#include "tarn/admin.h"

#define ASK_US 50000

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
		.compact_percent = in->rule & 255,
		.compact_start = in->rule >> 8 & 255,
		.compact_stop = in->rule >> 16 & 255,
	};
}

static int ask(struct tarn *t, const struct tn_compact_request *req,
	       struct tn_compaction *ret)
{
	size_t bytes = sizeof(*ret);

	return tn_conn_call(tn_conn_of(t), TN_MSG_COMPACT, req, sizeof(*req),
			    ret, &bytes, NULL, NULL);
}

TARN_API int tarn_compact(struct tarn *t, const char *name, unsigned percent,
			  void (*progress)(void *arg,
					   const struct tarn_compaction *c),
			  void *arg, struct tarn_compaction *ret)
{
	struct tn_compact_request req = { .percent = percent };
	struct tarn_compaction public;
	struct tn_compaction c;
	int r;

	if (percent > 100 || (ret && ret->sz != sizeof(*ret)))
		return -EINVAL;
	if (tn_client_name(name, req.name) < 0)
		return -ENOENT;
	r = ask(t, &req, &c);
	req.percent = 0;
	while (r == 0 && percent && c.state != TN_COMPACTION_DONE &&
	       c.state != TN_COMPACTION_NONE) {
		to_public(&c, &public);
		if (progress)
			progress(arg, &public);
		usleep(ASK_US);
		r = ask(t, &req, &c);
	}
	if (r < 0)
		return r;
	if (ret)
		to_public(&c, ret);
	return percent && c.error == -EUCLEAN ? -EUCLEAN : 0;
}
