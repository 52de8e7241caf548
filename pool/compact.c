/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pass of compaction.
 *
 *   | dense | dense | holes ... | sparse | sparse | free | free |
 *               ^ places are claimed          ^ objects are taken
 *                 from the lowest up            from the highest down
 *
 * Two fingers, as of old (Saunders 1974), that meet for each class by itself:
 * when there is no lower place for a slab's objects any more, there is none
 * for lower slabs of the class either. At the end a class has one slab that is
 * not full, but for what was pinned or kept in magazines; and what lies high
 * has gone low, so that whole areas at the top are free.
 *
 * For the size of a pool that has holes everywhere that is nearly as little
 * copying as can be: with a share f of slots in use it moves f (1 - f) of all
 * bytes, and frees 1 - f.
 *
 * It costs nothing but time when it is cut short: there is no state but what
 * is in struct tn_compact.
 */
#include "pool/compact.h"

#include <errno.h>
#include <string.h>

#include "pool/cache.h"
#include "pool/row.h"

#define BATCH_COST 8192U /* bytes copied in the time that a barrier takes */

void tn_compact_begin(struct tn_compact *c, struct tn_mover *mover)
{
	memset(c, 0, sizeof(*c));
	c->mover = mover;
	c->n_areas = mover->pool->geo.n_data_areas;
	c->area = c->n_areas;
	c->page = TN_AREA_PAGES;
}

uint64_t tn_compact_done(const struct tn_compact *c)
{ return c->n_areas - c->area; }

static bool class_full(const struct tn_compact *c, unsigned class)
{
	unsigned i = class - TN_CLASS_MOVABLE;

	return c->full[i / 64] >> i % 64 & 1;
}

static int compact_slab(struct tn_compact *c, uint64_t page, unsigned class)
{
	struct tn_mover *m = c->mover;
	unsigned i = class - TN_CLASS_MOVABLE;
	int r = 1;

	if (class_full(c, class))
		return 0;
	while (r == 1)
		r = tn_move_slab(m, page, class);
	if (r == -EBUSY) {
		c->busy++;
		return 0;
	}
	if (m->no_place)
		c->full[i / 64] |= 1ULL << i % 64;
	return r;
}

/* What begins at a page, if it can be moved. */
static int compact_page(struct tn_compact *c, uint64_t page)
{
	uint64_t word = tn64_load_relaxed(&c->mover->pool->pages[page].word);
	unsigned class = TN_PAGE_CLASS(word);
	int r;

	switch (TN_PAGE_KIND(word)) {
	case TN_PAGE_RUN:
		r = tn_move_run(c->mover, page);
		return r == -ENOENT ? 0 : r;
	case TN_PAGE_SLAB:
		if (class < TN_CLASS_MOVABLE || class >= TN_CLASS_HANDLE ||
		    TN_PAGE_BACK(word))
			return 0;
		return compact_slab(c, page, class);
	default:
		return 0;
	}
}

/* The next lower page that is claimed. Return: false: none in the area. */
static bool next_page(struct tn_compact *c, uint64_t *ret)
{
	const struct tn_pool *pool = c->mover->pool;
	uint64_t row, map;

	while (c->page) {
		row = (c->page - 1) / TN_ROW_PAGES;
		map = tn_row_map(pool, (c->area - 1) * TN_AREA_ROWS + row) &
		      tn_mask(0, (unsigned)((c->page - 1) % TN_ROW_PAGES + 1));
		if (!map) {
			c->page = row * TN_ROW_PAGES;
			continue;
		}
		c->page = row * TN_ROW_PAGES + tn_log2_floor(map);
		*ret = (c->area - 1) * TN_AREA_PAGES + c->page;
		if (*ret < pool->geo.n_pages)
			return true;
	}
	return false;
}

int tn_compact_step(struct tn_compact *c, uint64_t bytes)
{
	struct tn_mover *m = c->mover;
	uint64_t until = m->moved_bytes + bytes, batches = m->batches, page;
	uint64_t seen = 0;
	int r = 0;

	while (c->area && m->moved_bytes < until && seen < bytes && r >= 0) {
		if (tn8_load_relaxed(&m->pool->fit[c->area - 1]) &&
		    next_page(c, &page)) {
			r = compact_page(c, page);
			seen += 64; /* a look is something, too */
			if (m->batches == batches)
				continue;
			seen += (m->batches - batches) * BATCH_COST;
			batches = m->batches;
			if (m->held.control)
				break;
			continue;
		}
		c->area--;
		c->page = TN_AREA_PAGES;
		seen += 16;
	}
	return r < 0 ? r : c->area != 0;
}
