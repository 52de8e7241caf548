/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_view.h"

#include "client/pool.h"
#include "tests/lib/tn_busy.h"
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

void tn_view_scribble(struct tarn_pool *in, uint64_t *seed, unsigned n)
{
	struct tn_pool *p = &in->p;

	while (n--) {
		uint64_t r = tn_busy_random(seed), v = tn_busy_random(seed);
		uint64_t page = r % 4096, i = r % 16384;

		switch (r >> 32 & 7) {
		case 0:
			tn64_store_relaxed(&p->handles[i].place, v);
			break;
		case 1:
			tn64_store_relaxed(&p->handles[i].place,
					   TN_HANDLE_PLACE(TN_HANDLE_LIVE,
						   v % (1 << 25)));
			break;
		case 2:
			tn64_store_relaxed(&p->handles[i].ref, v);
			break;
		case 3:
			tn32_store_relaxed(&p->backs[tn_tag_index(page, 0) +
						       v % 32], (uint32_t)v);
			break;
		case 4:
			tn16_store_relaxed(&p->tags[tn_tag_index(page, 0) +
						      v % 32], v & 1 ?
					   TN_TAG_HANDLE : (uint16_t)v);
			break;
		case 5:
			tn64_store_relaxed(&p->pages[page].slab, v);
			break;
		case 6:
			tn64_store_relaxed(&p->pages[page].word, v % 3 |
					   (v & 0xffffff00));
			break;
		default:
			tn8_store_relaxed(&p->fit[page / 512], (uint8_t)v);
		}
	}
}
