/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* All that tarnctl needs beyond tarn.h and stats.h. */
#include <tarn/tarn.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tarn_pool_info {
	char name[TARN_NAME_MAX + 1];
	enum tarn_kind kind;
	enum tarn_policy policy;
	uint32_t flags;
	uint32_t uid, gid;       /* owner, and the group of the mode */
	uint32_t mode;
	uint32_t n_clients;
	uint64_t bytes;
	uint64_t data_resident;  /* bytes of memory, of both files */
	uint64_t meta_resident;
};

/**
 * tarn_pool_list() - the pools that the caller may open in some role
 * @ret: an array, free() it; NULL if there are none
 *
 * Return: how many; -ENOMEM, -ECONNRESET, -ETIMEDOUT.
 */
TARN_API int tarn_pool_list(struct tarn *t, struct tarn_pool_info **ret);

/** tarn_pool_stat() - one pool; -ENOENT, -EACCES, -ECONNRESET, -ETIMEDOUT */
TARN_API int tarn_pool_stat(struct tarn *t, const char *name,
			    struct tarn_pool_info *ret);

/** tarn_ping() - 0 if tarnd answers; else what a lost tarnd gives */
TARN_API int tarn_ping(struct tarn *t);

#ifdef __cplusplus
}
#endif
