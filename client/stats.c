/* SPDX-License-Identifier: BSD-2-Clause */
#include "tarn/stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "client/pool.h"
#include "pool/cache.h"
#include "pool/census.h"
#include "pool/fit.h"

static void add_class(const struct tarn_pool *pool, struct tarn_stats *st,
		      const struct tn_class_count *n, unsigned class)
{
	struct tarn_class_stat *c = &st->classes[st->n_classes++];

	c->object_bytes = pool->shapes[class].bytes;
	c->movable = class >= TN_CLASS_MOVABLE;
	if (class >= TN_CLASS_CACHE && !c->movable)
		memcpy(c->name, pool->p.caches[class - TN_CLASS_CACHE].name,
		       sizeof(c->name) - 1);
	c->slabs = n->slabs;
	c->slots = n->slots;
	c->live = n->live;
	c->cached = n->kept;
}

static void add_client(const struct tarn_pool *pool, struct tarn_stats *st,
		       const struct tn_client_count *n)
{
	struct tarn_client_stat *c = &st->clients[st->n_clients++];
	uint64_t pid_uid;

	c->id = n->id;
	c->objects = n->objects;
	c->bytes = n->bytes;
	c->cached_bytes = n->kept_bytes;
	if (!n->id)
		return;
	pid_uid = tn64_load_relaxed(
		&pool->p.clients[TN_CLIENT_SLOT(n->id)].pid_uid);
	c->pid = (int32_t)(pid_uid >> 32);
	c->uid = (uint32_t)pid_uid;
}

/* 0 if the process has closed the file behind our back. */
static uint64_t resident(const struct tn_file *file)
{
	uint64_t bytes = 0;

	tn_client_fd(file, &bytes);
	return bytes;
}

static void fill(struct tarn_pool *pool, const struct tn_census *census,
		 struct tarn_stats *st)
{
	st->kind = pool->p.kind;
	st->policy = pool->p.policy;
	st->bytes = pool->p.geo.data_bytes;
	st->run_bytes = census->run_bytes;
	st->free_pages = census->free_pages;
	st->largest_run = tn_fit_largest(&pool->p);
	st->data_resident = resident(&pool->data_file);
	st->meta_resident = resident(&pool->meta_file);
	st->handles = census->handles;
	st->movable_bytes = census->movable_bytes;
	/* handles are no objects, and lie in meta */
	for (unsigned c = 0; c < TN_CLASS_HANDLE; c++)
		if (census->classes[c].slabs)
			add_class(pool, st, &census->classes[c], c);
	for (unsigned i = 0; i < TN_N_CLIENTS; i++) {
		const struct tn_client_count *n = &census->clients[i];

		st->live_objects += n->objects;
		st->live_bytes += n->bytes;
		st->cached_bytes += n->kept_bytes;
		if (n->id || n->objects)
			add_client(pool, st, n);
	}
}

/* The table of clients is long, and mostly nobody has ever written there: such
 * a page, if it were read, would be given memory. */
static void find_clients(const struct tarn_pool *pool, struct tn_census *census)
{
	const unsigned a_page = TN_PAGE_BYTES / sizeof(struct tn_client);
	uint64_t begin = pool->p.geo.clients, at = begin;
	uint64_t end = begin + TN_N_CLIENTS * sizeof(struct tn_client);
	int fd = tn_client_fd(&pool->meta_file, NULL);

	while (at < end) {
		off_t data = fd < 0 ? -1 : lseek(fd, (off_t)at, SEEK_DATA);
		unsigned i;

		if (data >= 0)
			at = (uint64_t)data & ~(TN_PAGE_BYTES - 1);
		else if (fd >= 0 && errno == ENXIO)
			break;
		i = (unsigned)((at - begin) / sizeof(struct tn_client));
		if (at < end)
			tn_census_clients(&pool->p, census, i, i + a_page);
		at += TN_PAGE_BYTES;
	}
}

TARN_API int tarn_stats(struct tarn_pool *pool, struct tarn_stats *ret)
{
	tn_cleanup(tn_freep) struct tn_census *census = NULL;
	struct tarn_stats st = { .sz = sizeof(st) };
	int r;

	if (ret->sz != sizeof(st))
		return -EINVAL;
	r = tn_client_check(pool, TARN_OBSERVER);
	if (r < 0 && r != -EUCLEAN)
		return r;
	census = calloc(1, sizeof(*census));
	st.classes = calloc(TN_N_CLASSES, sizeof(*st.classes));
	st.clients = calloc(TN_N_CLIENTS, sizeof(*st.clients));
	if (!census || !st.classes || !st.clients) {
		tarn_stats_free(&st);
		return -ENOMEM;
	}
	tn_census_take(&pool->p, census);
	find_clients(pool, census);
	fill(pool, census, &st);
	*ret = st;
	return 0;
}

TARN_API void tarn_stats_free(struct tarn_stats *stats)
{
	free(stats->classes);
	free(stats->clients);
	stats->classes = NULL;
	stats->clients = NULL;
	stats->n_classes = 0;
	stats->n_clients = 0;
}
