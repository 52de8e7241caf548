/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_view.h"

#include "client/pool.h"
#include "tests/lib/tn_heap.h"

struct tn_view tn_view_of(const struct tarn_pool *pool)
{
	return (struct tn_view){
		.data = pool->p.data,
		.meta = pool->p.meta,
		.data_fd = pool->data_file.fd,
		.meta_fd = pool->meta_file.fd,
	};
}

const char *tn_view_not_pristine(const struct tarn_pool *pool)
{ return tn_heap_not_pristine(&pool->p); }

uint16_t *tn_view_tag(struct tarn_pool *pool, const void *p)
{
	struct tn_object obj;

	if (tn_object_find(&pool->p, tn_pool_off(&pool->p, p), &obj) < 0)
		return NULL;
	return (uint16_t *)(void *)obj.tag;
}
