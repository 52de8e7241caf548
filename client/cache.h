/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
#include "client/pool.h"

struct tarn_cache {
	struct tarn_pool *pool;
	unsigned class;
};
