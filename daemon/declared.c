/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pools that are declared in files.
 *
 * All files are read before the first pool is made, and a mistake in any of
 * them is the end of the start, or of the reload, which changes nothing then.
 * A reload adds pools and sets limits; pools that are there stay as they are,
 * whatever their files say now.
 *
 * A pool for which the service manager has no room (or, at a reload, the
 * system no memory) is missing. That is logged by name and counted in the
 * status, but others may be at work in what was taken over, so it is no reason
 * not to serve. A reload tries again.
 */
#include "daemon/declared.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "daemon/log.h"
#include "daemon/pages.h"
#include "daemon/poolfile.h"

static bool same_spec(const struct pool_spec *a, const struct pool_spec *b)
{
	return a->bytes == b->bytes && a->kind == b->kind &&
	       a->policy == b->policy && a->flags == b->flags &&
	       a->access.uid == b->access.uid &&
	       a->access.gid == b->access.gid &&
	       a->access.mode == b->access.mode &&
	       compact_rule_pack(&a->compact) == compact_rule_pack(&b->compact);
}

static int reserve_now(struct server *server, struct pool *pool)
{
	int r = pages_reserve_now(pool);

	if (r < 0)
		registry_remove(&server->registry, pool);
	return r;
}

static int add_pool(struct server *server, const struct pool_spec *spec)
{
	const struct log_about about = { .pool = spec->name };
	struct pool *there = registry_find(&server->registry, spec->name);
	int r;

	if (there) {
		if (!same_spec(&there->spec, spec))
			log_line(LOG_WARNING, &about, "is not as its file "
				 "says, and stays as it is");
		return 0;
	}
	r = registry_add(&server->registry, spec, &server->quota, true, &there);
	if (r == 0 && spec->flags & TN_POOL_RESERVE && server->accept) {
		/* clients are not kept waiting; failure is logged */
		registry_reserve(&server->registry, there);
		return 0;
	}
	if (r == 0 && spec->flags & TN_POOL_RESERVE)
		r = reserve_now(server, there);
	if (r < 0) {
		log_line(LOG_ERR, &about, "cannot be made: %s", strerror(-r));
		server->n_missing++;
	}
	if (r) /* one of that name is just being made */
		return r < 0 ? r : 0;
	return registry_show_when_kept(&server->registry, there);
}

static int add_pools(struct server *server, const struct pool_spec *specs,
		     size_t n)
{
	size_t i;
	int r = 0;

	server->n_missing = 0;
	for (i = 0; i < n && r == 0; i++)
		r = add_pool(server, &specs[i]);
	server->n_missing += (unsigned)(n - i); /* not tried any more */
	return r;
}

void declared_lost(struct registry *registry)
{
	struct server *server = tn_list_entry(registry, struct server,
					      registry);

	server->n_missing++;
	server_changed(server);
}

static int read_pools(const struct config *config, struct pool_spec **ret,
		      size_t *ret_n)
{
	return poolfile_read_all(config->pools, config->pools_given, ret,
				 ret_n);
}

int declared_make(struct server *server)
{
	tn_cleanup(tn_freep) struct pool_spec *specs = NULL;
	size_t n;
	int r = read_pools(&server->config, &specs, &n);

	return r < 0 ? r : add_pools(server, specs, n);
}

int declared_reload(struct server *server)
{
	tn_cleanup(tn_freep) struct pool_spec *specs = NULL;
	tn_cleanup(tn_freep) struct config *config = malloc(sizeof(*config));
	size_t n;
	int r;

	if (!config)
		return -ENOMEM;
	r = config_init(config, server->argc, server->argv);
	if (r == 0)
		r = read_pools(config, &specs, &n);
	if (r)
		return r;
	server->quota.limits = config->limits;
	server->config.compact = config->compact;
	return add_pools(server, specs, n);
}
