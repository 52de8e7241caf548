/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* The pools that have a name, by name. */
#include <stddef.h>

#include "daemon/pool.h"

struct registry {
	struct keeper *keeper; /* of the pools that are made; may be NULL */
	struct reaper *reaper; /* for its pools' memory; NULL: there is none */
	struct housekeeper *housekeeper; /* hears who attaches; may be NULL */
	void (*lost)(struct registry *registry); /* a declared pool is, after
						  * all; logged. May be NULL */
	struct pool **pools; /* sorted by name */
	size_t n, room;
	uint64_t marks[65536 / 64]; /* bit m: a named pool carries mark m */
};

enum { REGISTRY_EXISTS = 1, REGISTRY_NO_QUOTA = 2, REGISTRY_ABSENT = 3 };

void registry_init(struct registry *registry, struct keeper *keeper);
void registry_fini(struct registry *registry);

/**
 * registry_add() - make a pool and name it
 * @spec, @quota, @force: as of pool_new()
 * @ret: borrowed
 *
 * It is .pending, and not to be found, until registry_show().
 *
 * Return: 0; REGISTRY_EXISTS; REGISTRY_NO_QUOTA; -errno.
 */
int registry_add(struct registry *registry, const struct pool_spec *spec,
		 struct quota *quota, bool force, struct pool **ret);

/** registry_show() - the pool is surely in the store: all may see it */
void registry_show(struct pool *pool);

/** registry_show_when_kept() - the same as soon as it is, or remove it and log
 *  why. Return: 0; -errno: it is removed already */
int registry_show_when_kept(struct registry *registry, struct pool *pool);

/** registry_restore() - a pool that was in an earlier tarnd's; it takes the
 *  reference. Return: 0 or -ENOMEM */
int registry_restore(struct registry *registry, struct pool *pool);

/**
 * registry_reserve() - have the memory of a pool that was just added
 *
 * Then pool->told hears of it, or if it is nobody's, the pool is shown when
 * kept. If the memory cannot be had, or who was to be told is gone, the pool
 * goes.
 */
void registry_reserve(struct registry *registry, struct pool *pool);

/** registry_find() - borrowed; NULL: there is none */
struct pool *registry_find(const struct registry *registry, const char *name);

/** registry_after() - the first whose name comes after @name, or NULL */
struct pool *registry_after(const struct registry *registry, const char *name);

/** registry_remove() - its name goes; it goes with its last attachment, and
 *  then its memory, whoever has that mapped */
void registry_remove(struct registry *registry, struct pool *pool);
