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
 * Slabs are put by, class by class, until they are enough for a batch: for each
 * batch interrupts all other processors once. If there is no place below all of
 * them, they are moved one by one, the higher into the lower. Put by is but a
 * number; what is there by then, the mover looks at. What more there is then is
 * left to the next pass after a number of batches: a slice ends, whatever
 * clients put there and free meanwhile.
 *
 * Of what is in use a move is called off. In the next passes it is passed by,
 * for longer each time (pool/backoff.c), if the mover has a memory for that.
 *
 * It costs nothing but time when it is cut short: there is no state but what
 * is in struct tn_compact.
 */
#include "pool/compact.h"

#include <errno.h>
#include <string.h>

#include "pool/cache.h"
#include "pool/row.h"

#define BATCH_BYTES (256ULL << 10) /* as a slice of tarnd's */
#define BATCH_COST 8192U /* bytes copied in the time that a barrier takes */

void tn_compact_begin(struct tn_compact *c, struct tn_mover *mover)
{
	memset(c, 0, sizeof(*c));
	c->mover = mover;
	c->n_areas = mover->pool->geo.n_data_areas;
	c->area = c->n_areas;
	c->page = TN_AREA_PAGES;
	if (mover->backoff)
		tn_backoff_pass(mover->backoff);
}

uint64_t tn_compact_done(const struct tn_compact *c)
{ return c->n_areas - c->area; }

/* Once, and again while there is more that goes: clients may see to it that
 * there always is, so no more than @again times. */
static int move(struct tn_mover *m, unsigned class, const uint64_t *pages,
		unsigned n, unsigned *again)
{
	int r = tn_move_slabs(m, class, pages, n);

	for (; r == 1 && *again; --*again)
		r = tn_move_slabs(m, class, pages, n);
	return r == -EBUSY || r == 1 ? 0 : r;
}

/* Was the last batch off because somebody stays in a section? @batches: those
 * that there were before; what is held from then says nothing of now. */
static bool is_off(const struct tn_mover *m, uint64_t batches)
{ return m->batches != batches && m->held.control; }

/* What was put by of a class is moved. If a batch was off because somebody
 * stays in a section, it is still put by. */
static int move_class(struct tn_compact *c, unsigned i)
{
	struct tn_compact_class *k = &c->classes[i], was = *k;
	unsigned class = TN_CLASS_MOVABLE + i, again = TN_MOVE_SLABS;
	struct tn_mover *m = c->mover;
	uint64_t batches = m->batches;
	int r;

	k->n = k->live = 0;
	if (!was.n || k->full)
		return 0;
	r = move(m, class, k->pages, was.n, &again);
	if (was.n == 1)
		k->full = m->no_place;
	else if (m->no_place)
		for (unsigned j = 0; j < was.n && !k->full && r >= 0 &&
				     !is_off(m, batches); j++) {
			r = move(m, class, &k->pages[j], 1, &again);
			k->full = m->no_place;
		}
	if (is_off(m, batches))
		*k = was;
	return r;
}

static bool is_due(const struct tn_compact *c, uint64_t page)
{
	struct tn_backoff *b = c->mover->backoff;

	return !b || tn_backoff_is_due(b, page);
}

static int compact_slab(struct tn_compact *c, uint64_t page, unsigned class)
{
	const struct tn_pool *pool = c->mover->pool;
	const struct tn_shape *s = tn_cache_shape(c->mover->pool, class);
	uint64_t free = TN_SLAB_FREE(tn64_load_relaxed(
					     &pool->pages[page].slab));
	unsigned live = (unsigned)(s->slots - tn_min64(free, s->slots));
	struct tn_compact_class *k = &c->classes[class - TN_CLASS_MOVABLE];
	int r = 0;

	if (k->full || !is_due(c, page))
		return 0;
	if (k->n == TN_MOVE_SLABS || k->live + live > TN_N_MOVES ||
	    (uint64_t)(k->live + live) * s->bytes > BATCH_BYTES)
		r = move_class(c, class - TN_CLASS_MOVABLE);
	if (k->n == TN_MOVE_SLABS || k->live + live > TN_N_MOVES) {
		c->page++; /* it will be looked at again */
		return r;
	}
	k->pages[k->n++] = page;
	k->live += live;
	return r;
}

static int compact_run(struct tn_compact *c, uint64_t page)
{
	uint64_t batches = c->mover->batches;
	int r;

	if (!is_due(c, page))
		return 0;
	r = tn_move_run(c->mover, page);
	if (is_off(c->mover, batches))
		c->page++; /* it will be looked at again */
	return r == -ENOENT ? 0 : r;
}

/* What begins at a page, if it can be moved. */
static int compact_page(struct tn_compact *c, uint64_t page)
{
	uint64_t word = tn64_load_relaxed(&c->mover->pool->pages[page].word);
	unsigned class = TN_PAGE_CLASS(word);

	switch (TN_PAGE_KIND(word)) {
	case TN_PAGE_RUN:
		return compact_run(c, page);
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

/* What the batches have cost that there were since the last look. Return: was
 * the last one off because somebody stays in a section? */
static bool count_batches(const struct tn_mover *m, uint64_t *batches,
			  uint64_t *seen)
{
	bool off = is_off(m, *batches);

	*seen += (m->batches - *batches) * BATCH_COST;
	*batches = m->batches;
	return off;
}

int tn_compact_step(struct tn_compact *c, uint64_t bytes)
{
	struct tn_mover *m = c->mover;
	uint64_t until = m->moved_bytes + bytes, batches = m->batches, page;
	uint64_t seen = 0;
	bool off = false;
	int r = 0;

	while (c->area && m->moved_bytes < until && seen < bytes && r >= 0 &&
	       !off) {
		if (tn8_load_relaxed(&m->pool->fit[c->area - 1]) &&
		    next_page(c, &page)) {
			r = compact_page(c, page);
			seen += 64; /* a look is something, too */
			off = count_batches(m, &batches, &seen);
			continue;
		}
		c->area--;
		c->page = TN_AREA_PAGES;
		seen += 16;
	}
	while (!c->area && c->ended < TN_CLASS_CACHE &&
	       m->moved_bytes < until && seen < bytes && r >= 0 && !off) {
		r = move_class(c, c->ended);
		off = count_batches(m, &batches, &seen);
		c->ended += !c->classes[c->ended].n;
	}
	return r < 0 ? r : c->ended < TN_CLASS_CACHE;
}
