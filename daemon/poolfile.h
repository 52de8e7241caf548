/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Pools that the administrator declares: DIR/NAME.pool. See tarn.pool(5). */
#include "daemon/pool.h"

/**
 * poolfile_read_all() - read all of a directory's pool files
 * @dir: none there is as an empty one, unless @must_exist
 * @ret, @ret_n: checked specs, in the order of their names; free() them
 *
 * Return: 0; -errno: a mistake in any of them, logged.
 */
int poolfile_read_all(const char *dir, bool must_exist,
		      struct pool_spec **ret, size_t *ret_n);
