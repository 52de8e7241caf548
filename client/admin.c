/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections as the application sees them, and pools as tarnd's objects. */
#include "tarn/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "client/conn.h"
#include "client/pool.h"

static_assert(TARN_POOL_POISONED == TN_INFO_POISONED,
	      "the public constant is the protocol's");

struct tarn {
	struct tn_conn *conn;
};

struct tn_conn *tn_conn_of(struct tarn *t)
{
	return t->conn;
}

int tarn_connect(const char *socket_path, struct tarn **ret)
{
	struct tarn *t = malloc(sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	r = tn_conn_open(&t->conn, socket_path);
	if (r < 0)
		free(t);
	else
		*ret = t;
	return r;
}

void tarn_disconnect(struct tarn *t)
{
	if (!t)
		return;
	tn_conn_unref(t->conn);
	free(t);
}

int tarn_ping(struct tarn *t)
{
	return tn_conn_call(t->conn, TN_MSG_PING, NULL, 0, NULL, NULL, NULL,
			    NULL);
}

/*
 * The caller's options, as long as it knew them to be, into ours. What a
 * newer header added and an older library does not know must be unused.
 */
static int copy_opts(const struct tarn_pool_opts *opts,
		     struct tarn_pool_opts *ret)
{
	const size_t least = offsetof(struct tarn_pool_opts, bytes) +
			     sizeof(opts->bytes);
	const uint8_t *tail = (const uint8_t *)opts;

	*ret = (struct tarn_pool_opts){ .gid = UINT32_MAX };
	if (opts->sz < least || opts->sz > 4096)
		return -EINVAL;
	for (size_t i = sizeof(*opts); i < opts->sz; i++)
		if (tail[i])
			return -E2BIG;
	memcpy(ret, opts, tn_min64(opts->sz, sizeof(*ret)));
	return 0;
}

/* Memory that is to be there at once has to be had and cleared, at half a
 * gigabyte a second at the very least; and others' may come first. */
static int64_t create_deadline(const struct tn_create *create)
{
	int64_t ms = 0;

	if (create->flags & TN_POOL_RESERVE)
		ms = TN_CONN_MS + (int64_t)(create->bytes >> 20) * 2;
	return tn_conn_deadline() + ms;
}

int tarn_pool_create(struct tarn *t, const char *name,
		     const struct tarn_pool_opts *opts)
{
	struct tarn_pool_opts o;
	struct tn_create create;
	int r = copy_opts(opts, &o);

	if (r < 0)
		return r;
	if ((o.compact_percent | o.compact_start | o.compact_stop) > 255)
		return -EINVAL;
	create = (struct tn_create){
		.bytes = o.bytes,
		.kind = o.kind ? o.kind : TN_KIND_SLAB,
		.policy = o.policy ? o.policy : TN_FIRST_FIT,
		.flags = o.flags,
		.mode = o.mode,
		.gid = o.gid,
		.compact = TN_COMPACT_RULE(o.compact_percent, o.compact_start,
					   o.compact_stop),
	};
	r = tn_client_name(name, create.name);
	if (r < 0)
		return r;
	return tn_conn_call_by(t->conn, create_deadline(&create),
			       TN_MSG_CREATE, &create, sizeof(create), NULL,
			       NULL, NULL, NULL);
}

/* No pool has a name that cannot be one. */
static int by_name(const char *name, struct tn_by_name *ret)
{
	return tn_client_name(name, ret->name) < 0 ? -ENOENT : 0;
}

int tarn_pool_destroy(struct tarn *t, const char *name)
{
	struct tn_by_name req;
	int r = by_name(name, &req);

	return r < 0 ? r : tn_conn_call(t->conn, TN_MSG_DESTROY, &req,
					sizeof(req), NULL, NULL, NULL, NULL);
}

int tarn_pool_revoke(struct tarn *t, const char *name)
{
	struct tn_by_name req;
	int r = by_name(name, &req);

	return r < 0 ? r : tn_conn_call(t->conn, TN_MSG_REVOKE, &req,
					sizeof(req), NULL, NULL, NULL, NULL);
}

static void to_public(const struct tn_info *in, struct tarn_pool_info *out)
{
	static_assert(sizeof(in->name) == sizeof(out->name), "one length");

	*out = (struct tarn_pool_info){
		.kind = (enum tarn_kind)in->kind,
		.policy = (enum tarn_policy)in->policy,
		.flags = in->flags,
		.uid = in->uid,
		.gid = in->gid,
		.mode = in->mode,
		.n_clients = in->n_clients,
		.bytes = in->bytes,
		.data_resident = in->data_resident,
		.meta_resident = in->meta_resident,
	};
	memcpy(out->name, in->name, sizeof(out->name));
}

int tarn_pool_stat(struct tarn *t, const char *name,
		   struct tarn_pool_info *ret)
{
	struct tn_by_name req;
	struct tn_info info;
	size_t bytes = sizeof(info);
	int r = by_name(name, &req);

	if (r == 0)
		r = tn_conn_call(t->conn, TN_MSG_STAT, &req, sizeof(req), &info,
				 &bytes, NULL, NULL);
	if (r == 0)
		to_public(&info, ret);
	return r;
}

struct listing {
	struct tarn_pool_info *pools;
	size_t n;
	struct tn_by_name last; /* the next part comes after it */
};

static int add_part(struct listing *l, const struct tn_list_reply *part)
{
	struct tarn_pool_info *pools;

	if (part->n == 0)
		return 0;
	pools = realloc(l->pools, (l->n + part->n) * sizeof(*pools));
	if (!pools)
		return -ENOMEM;
	l->pools = pools;
	for (uint32_t i = 0; i < part->n; i++)
		to_public(&part->info[i], &pools[l->n++]);
	memcpy(l->last.name, part->info[part->n - 1].name,
	       sizeof(l->last.name));
	return 0;
}

/* Return: 1: there is more; 0: that was all */
static int list_part(struct tarn *t, struct listing *l, int64_t deadline)
{
	union {
		struct tn_list_reply reply;
		uint8_t bytes[sizeof(struct tn_list_reply) +
			      TN_LIST_MAX * sizeof(struct tn_info)];
	} part;
	size_t bytes = sizeof(part);
	int r;

	r = tn_conn_call_by(t->conn, deadline, TN_MSG_LIST, &l->last,
			    sizeof(l->last), &part, &bytes, NULL, NULL);
	if (r == 0)
		r = add_part(l, &part.reply);
	return r < 0 ? r : part.reply.more && part.reply.n;
}

int tarn_pool_list(struct tarn *t, struct tarn_pool_info **ret)
{
	int64_t deadline = tn_conn_deadline();
	struct listing l = { 0 };
	int r;

	do
		r = list_part(t, &l, deadline);
	while (r > 0);
	if (r < 0) {
		free(l.pools);
		return r;
	}
	*ret = l.pools;
	return (int)l.n;
}
