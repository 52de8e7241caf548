/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * What is in a pool, and who holds it. The figures come from a walk over the
 * pool's metadata in the calling process; others go on meanwhile, so each
 * figure was true at some moment of the call, not all at the same one.
 */
#include <tarn/tarn.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tarn_class_stat {
	uint32_t object_bytes;   /* size of one slot */
	char name[TARN_NAME_MAX + 1]; /* of a named cache; "" for a class */
	uint32_t movable;        /* 1: what is in it has handles */
	uint64_t slabs;
	uint64_t slots;          /* in those slabs */
	uint64_t live;           /* slots that hold an object */
	uint64_t cached;         /* slots that threads keep for themselves */
};

struct tarn_client_stat {
	uint32_t id;             /* tarn_client_id(); 0: the pool itself */
	int32_t pid;             /* as tarnd sees it; 0: unknown */
	uint32_t uid;
	uint64_t objects;        /* slots and runs it holds */
	uint64_t bytes;          /* of those */
	uint64_t cached_bytes;   /* free slots that its threads keep */
};

struct tarn_stats {
	size_t sz;               /* sizeof(struct tarn_stats), by the caller */
	enum tarn_kind kind;
	enum tarn_policy policy;
	uint64_t bytes;          /* size of the pool */
	uint64_t live_bytes;     /* of slots and runs that are held */
	uint64_t live_objects;
	uint64_t run_bytes;      /* of that, in runs */
	uint64_t cached_bytes;   /* free slots that threads keep */
	uint64_t free_pages;     /* in no slab and no run */
	uint64_t largest_run;    /* pages of the largest that would fit now */
	uint64_t handles;        /* that are held; each is of one object */
	uint64_t movable_bytes;  /* of .live_bytes, in objects of handles */
	uint64_t data_resident;  /* bytes of memory behind objects */
	uint64_t meta_resident;  /* bytes of memory behind the allocator */
	uint32_t n_classes;      /* entries in .classes: those with slabs */
	uint32_t n_clients;      /* entries in .clients: attached or holding */
	struct tarn_class_stat *classes;
	struct tarn_client_stat *clients;
};

/**
 * tarn_stats() - walk a pool
 * @pool: opened in any role
 * @ret: .sz set; the arrays are freed by tarn_stats_free()
 *
 * An object that has a handle counts as held by the handle's holder.
 *
 * Takes about 50 us for each MiB that is in use.
 *
 * Return: 0; -EINVAL (.sz), -ENOMEM.
 */
TARN_API int tarn_stats(struct tarn_pool *pool, struct tarn_stats *ret);

/* An area: 2 MiB of a pool, or what the last one has. */
struct tarn_area {
	uint32_t pages;
	uint32_t free_pages;     /* in no slab and no run */
	uint64_t live_bytes;     /* of slots and runs that are held */
	uint64_t movable_bytes;  /* of these, of objects that have handles */
};

/**
 * tarn_areas() - where a pool is full, and where not
 * @pool: opened in any role
 * @ret: an array, to be freed by free()
 *
 * Return: how many areas the pool has; -ENOMEM, -EBADF.
 */
TARN_API int tarn_areas(struct tarn_pool *pool, struct tarn_area **ret);

/** tarn_stats_free() - free the arrays; fine on a zeroed struct */
TARN_API void tarn_stats_free(struct tarn_stats *stats);

#ifdef __cplusplus
}
#endif
