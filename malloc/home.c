/* SPDX-License-Identifier: BSD-2-Clause */
#include "malloc/home.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "malloc/map.h"

struct tn_home tn_home;

/* Refs are made by nobody here; a pool must have a mark all the same. */
#define HOME_MARK 1

/* Picked, not tuned: twice the memory there is leaves room for holes. */
#define HOME_BYTES_MIN ((uint64_t)64 << 20)
#define HOME_BYTES_MAX ((uint64_t)1 << 40)

static uint64_t wanted_bytes(void)
{
	uint64_t pages = (uint64_t)sysconf(_SC_PHYS_PAGES);
	uint64_t bytes = 2ULL << tn_log2_ceil(pages << TN_PAGE_SHIFT);

	return tn_max64(tn_min64(bytes, HOME_BYTES_MAX), HOME_BYTES_MIN);
}

/*
 * All sections are laid out for the whole size, but at first the pool is said
 * to end early, and then later: so what walks over areas has few to walk over.
 * It may grow while others are at work, who see the old end or the new; the
 * number of areas last, for it is what makes them look further. Page space ends
 * with data: what lies behind that, in other pools, is handles.
 */
#define HOME_FIRST_AREAS 128U /* 256 MiB; picked, not tuned */

static void end_at(uint64_t n_areas)
{
	struct tn_geo *geo = &tn_home.pool.geo;

	__atomic_store_n(&geo->data_bytes, n_areas * TN_AREA_BYTES,
			 __ATOMIC_RELAXED);
	__atomic_store_n(&geo->n_pages, n_areas * TN_AREA_PAGES,
			 __ATOMIC_RELEASE);
	__atomic_store_n(&geo->n_areas, n_areas, __ATOMIC_RELEASE);
	__atomic_store_n(&geo->n_data_areas, n_areas, __ATOMIC_RELEASE);
}

bool tn_home_grow(uint64_t was)
{
	uint64_t now = __atomic_load_n(&tn_home.pool.geo.n_areas,
				       __ATOMIC_RELAXED);

	if (now > was)
		return true;
	if (was >= tn_home.n_areas)
		return false;
	end_at(tn_min64(was * 2, tn_home.n_areas));
	return true;
}

struct maps {
	uint8_t *data, *meta, *control, *used, *cold;
	uint64_t bits_bytes;
};

static void unmap_all(struct maps *m, const struct tn_geo *geo)
{
	tn_map_end(m->data, geo->data_bytes);
	tn_map_end(m->meta, geo->meta_bytes);
	tn_map_end(m->control, geo->control_bytes);
	tn_map_end(m->used, m->bits_bytes);
	tn_map_end(m->cold, m->bits_bytes);
}

static bool map_all(struct maps *m, const struct tn_geo *geo)
{
	m->bits_bytes = geo->n_data_areas * TN_AREA_PAGES / 8;
	m->data = tn_map_aligned(geo->data_bytes, TN_AREA_BYTES);
	m->meta = tn_map(geo->meta_bytes);
	m->control = tn_map(geo->control_bytes);
	m->used = tn_map(m->bits_bytes);
	m->cold = tn_map(m->bits_bytes);
	return m->data && m->meta && m->control && m->used && m->cold;
}

static bool make(uint64_t data_bytes)
{
	struct maps m = { 0 };
	struct tn_geo geo;

	if (tn_geo_init(&geo, data_bytes) < 0)
		return false;
	if (!map_all(&m, &geo)) {
		unmap_all(&m, &geo);
		return false;
	}
	tn_pool_format(m.meta, &geo, "home", TN_KIND_SLAB, TN_FIRST_FIT, 0,
		       HOME_MARK);
	tn_home.control = m.control;
	tn_home.used = (tn_a64 *)(void *)m.used;
	tn_home.cold = (tn_a64 *)(void *)m.cold;
	tn_home.pool.shapes = tn_home.shapes;
	tn_home.n_areas = geo.n_data_areas;
	if (tn_pool_attach(&tn_home.pool, m.meta, m.data, &geo,
			   TN_PRODUCER) < 0)
		return false;
	end_at(tn_min64(geo.n_data_areas, HOME_FIRST_AREAS));
	return true;
}

static void make_once(void)
{
	uint64_t bytes = wanted_bytes();

	while (bytes >= HOME_BYTES_MIN && !make(bytes))
		bytes /= 2;
}

bool tn_home_make(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_once);
	return tn_home.pool.geo.data_bytes;
}
