/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs of the home heap, and giving memory back.
 *
 *   page map   1 1 1 1 0 0 0 0 0 0      claimed (pool/run.c)
 *   used       1 1 1 1 1 1 1 0 0 0      may have memory behind it
 *                      '---'            idle: free, but not the system's yet
 *   cold       0 0 0 0 0 1 1 0 0 0      idle since the last look at least
 *
 * Idle pages are good for the next who wants some, for they cost no page fault.
 * But there shall not be many of them for long. Where they are more than a
 * quarter of those at work, and some, those go back that have not been claimed
 * for a second, so that a program keeps what it frees and allocates again and
 * again; and of four times as many, any. Those with the highest addresses go
 * first, because the lowest are claimed first, until half as many are left.
 * They are looked at when as much as could make a difference has been freed
 * since the last look.
 *
 * To give pages back is to claim them like a run, have the system drop what is
 * behind them, mark them as not used, and release them. So nobody writes to
 * them meanwhile.
 *
 * I1  Whoever hands out a page has marked it before. A page that is not marked
 *     reads as zero.
 * I2  Who claims an idle page takes its cold mark away. It says which go back
 *     first, and no more: who takes it away too late loses nothing.
 *
 * Who writes: a mark is set by whoever has the page, or a slot of its slab, and
 * cleared by whoever has claimed the page to give it back. A cold mark is set
 * by who looks. Marks of other pages stand in the same word: read-modify-write.
 *
 * A fork in the middle: a page that was claimed to be given back is released
 * (malloc/seat.c), and is marked, or is not and zero.
 *
 * What it does not do: run in the background. A process that frees all it has
 * and then never frees anything again keeps what is idle.
 */
#include "malloc/pages.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "pool/row.h"
#include "pool/run.h"

/* Picked, not tuned: idle pages that nobody minds, 4 MiB. */
#define IDLE_PAGES_LEAST 1024U
#define IDLE_PART 4U
#define MANY 4U /* times that are too many at once */
#define COLD_MS 1000

/* Pages freed since the last look, and how many make for another. */
static tn_a64 freed;
static tn_a64 next_look;
static tn_a32 looking;
static int64_t cold_since; /* when cold marks were set last, ms; who looks */

/* Marks */

static uint64_t row_mask(uint64_t row, uint64_t page, uint64_t n)
{
	uint64_t from = tn_max64(page, row * TN_ROW_PAGES);
	uint64_t to = tn_min64(page + n, (row + 1) * TN_ROW_PAGES);

	return tn_mask(from % TN_ROW_PAGES, (unsigned)(to - from));
}

static void raise_high(uint64_t page)
{
	uint64_t high = tn64_load_relaxed(&tn_home.high);

	while (high < page && !tn64_cas_relaxed(&tn_home.high, &high, page))
		;
}

static void clear(uint64_t row, uint64_t pages)
{
	uint8_t *at = tn_home.pool.data;

	for (; pages; pages &= pages - 1)
		memset(at + ((row * TN_ROW_PAGES +
			      (unsigned)__builtin_ctzll(pages))
			     << TN_PAGE_SHIFT), 0, TN_PAGE_BYTES);
}

static void mark(uint64_t page, uint64_t n, bool zero)
{
	uint64_t row = page / TN_ROW_PAGES, mask, was;

	for (; row * TN_ROW_PAGES < page + n; row++) {
		mask = row_mask(row, page, n);
		was = tn64_load_relaxed(&tn_home.used[row]) & mask;
		if (was != mask)
			tn64_or_relaxed(&tn_home.used[row], mask);
		if (tn64_load_relaxed(&tn_home.cold[row]) & mask)
			tn64_and_relaxed(&tn_home.cold[row], ~mask);
		if (zero)
			clear(row, was);
	}
	if (tn64_load_relaxed(&tn_home.high) < page + n)
		raise_high(page + n);
}

/* Runs */

void *tn_pages_alloc(struct tn_seat *seat, uint64_t n, uint64_t align,
		     bool zero)
{
	struct tn_rack *rack = &seat->rack;
	uint64_t page, least = align >> TN_PAGE_SHIFT, areas;
	int r;

	/* a run starts at a multiple of its length, rounded up */
	n = tn_max64(n, least);
	if (n > TN_HOME_RUN_PAGES || align > TN_AREA_BYTES)
		return NULL;
	do {
		areas = rack->pool->geo.n_areas;
		r = tn_run_alloc(rack->pool, &rack->ref, n, TN_FIRST_FIT,
				 &page);
	} while (r == -ENOMEM && tn_home_grow(areas));
	if (r == -ENOMEM) {
		tn_rack_flush(rack);
		r = tn_run_alloc(rack->pool, &rack->ref, n, TN_FIRST_FIT,
				 &page);
	}
	if (r < 0)
		return NULL;
	mark(page, n, zero);
	return rack->pool->data + (page << TN_PAGE_SHIFT);
}

/* The tail changes hands by a run of its own. A fork between its step and the
 * word's change finds a tail that is nobody's; the object's thread is not
 * there either. */
bool tn_pages_resize(struct tn_seat *seat, uint64_t page, uint64_t was,
		     uint64_t n)
{
	struct tn_pool *pool = seat->rack.pool;
	tn_a64 *word = &pool->pages[page].word;

	if (n < was) {
		tn64_store_relaxed(word, TN_PAGE_RUN | n << 8);
		return tn_run_drop(pool, &seat->rack.ref, TN_OP_RUN, page + n,
				   was - n) == 0;
	}
	if (page + n > pool->geo.n_pages || n > TN_HOME_RUN_PAGES ||
	    !tn_run_take_at(pool, &seat->rack.ref, TN_OP_RUN, page + was,
			    n - was))
		return false;
	tn_lane_commit(&seat->rack.ref);
	tn64_store_relaxed(word, TN_PAGE_RUN | n << 8);
	mark(page + was, n - was, false);
	return true;
}

void tn_pages_note_slab(struct tn_seat *seat, unsigned class)
{
	uint64_t page = seat->rack.mags[class].cursor.page_plus_1 - 1ULL;

	mark(page, 1ULL << tn_home.shapes[class].order, false);
}

/* Giving back */

static uint64_t idle_in_row(uint64_t row)
{
	return tn64_load_relaxed(&tn_home.used[row]) &
	       ~tn_row_map(&tn_home.pool, row);
}

/* Return: how many pages went back. */
static uint64_t give_back(const struct tn_lane_ref *l, uint64_t row,
			  uint64_t mask)
{
	uint64_t page = row * TN_ROW_PAGES + (unsigned)__builtin_ctzll(mask);
	uint64_t n = (unsigned)__builtin_popcountll(mask);
	bool gone;

	if (!tn_run_take_at(&tn_home.pool, l, TN_OP_RUN, page, n))
		return 0;
	gone = madvise(tn_home.pool.data + (page << TN_PAGE_SHIFT),
		       n << TN_PAGE_SHIFT, MADV_DONTNEED) == 0;
	if (gone)
		tn64_and_relaxed(&tn_home.used[row], ~mask);
	tn_run_drop(&tn_home.pool, l, TN_OP_RUN, page, n);
	return gone ? n : 0;
}

/* The highest stretch of set bits. */
static uint64_t top_stretch(uint64_t bits)
{
	unsigned end = 64 - (unsigned)__builtin_clzll(bits), n;
	uint64_t below = ~bits & (end == 64 ? ~0ULL : (1ULL << end) - 1);

	n = below ? end - (64 - (unsigned)__builtin_clzll(below)) : end;
	return tn_mask(end - n, n);
}

/* At least @want of the idle pages, or of those that are cold, from the highest
 * down. */
static uint64_t give_back_from_top(const struct tn_lane_ref *l, uint64_t want,
				   bool cold)
{
	uint64_t row = tn_div_up(tn64_load_relaxed(&tn_home.high),
				 TN_ROW_PAGES);
	uint64_t n = 0, idle, mask;

	while (row-- && n < want)
		for (idle = idle_in_row(row) &
			    (cold ? tn64_load_relaxed(&tn_home.cold[row])
				  : ~0ULL);
		     idle && n < want; idle &= ~mask) {
			mask = top_stretch(idle);
			n += give_back(l, row, mask);
		}
	return n;
}

/* What is idle now is cold if it still is at the next look. */
static void cool(void)
{
	uint64_t row = tn_div_up(tn64_load_relaxed(&tn_home.high),
				 TN_ROW_PAGES), idle;

	while (row--) {
		idle = idle_in_row(row);
		if (idle != tn64_load_relaxed(&tn_home.cold[row]))
			tn64_store_relaxed(&tn_home.cold[row], idle);
	}
}

struct pages_count { uint64_t used, idle; };

static struct pages_count count(void)
{
	uint64_t rows = tn_div_up(tn64_load_relaxed(&tn_home.high),
				  TN_ROW_PAGES);
	struct pages_count c = { 0, 0 };
	uint64_t used;

	for (uint64_t row = 0; row < rows; row++) {
		used = tn64_load_relaxed(&tn_home.used[row]);
		if (!used)
			continue;
		c.used += (unsigned)__builtin_popcountll(used);
		c.idle += (unsigned)__builtin_popcountll(idle_in_row(row));
	}
	return c;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void look(struct tn_seat *seat)
{
	const struct tn_lane_ref *l = &seat->rack.ref;
	struct pages_count c = count();
	uint64_t bound = IDLE_PAGES_LEAST + (c.used - c.idle) / IDLE_PART;
	uint64_t next;
	int64_t now = now_ms();

	if (c.idle > bound * MANY)
		c.idle -= give_back_from_top(l, c.idle - bound * MANY / 2,
					     false);
	if (c.idle > bound && now - cold_since >= COLD_MS) {
		c.idle -= give_back_from_top(l, c.idle - bound / 2, true);
		cool();
		cold_since = now;
	}
	tn64_store_relaxed(&freed, 0);
	/* what the idle would have to grow by; and no more looks at rows than
	 * pages are freed */
	next = c.idle < bound ? bound - c.idle : c.used / TN_ROW_PAGES;
	tn64_store_relaxed(&next_look, tn_max64(IDLE_PAGES_LEAST / 4, next));
}

void tn_pages_freed(struct tn_seat *seat, uint64_t n)
{
	uint32_t free = 0;

	seat->freed_pages += (uint32_t)n;
	if (seat->freed_pages < IDLE_PAGES_LEAST / 4)
		return;
	atomic_fetch_add_explicit(&freed.v, seat->freed_pages,
				  memory_order_relaxed);
	seat->freed_pages = 0;
	if (tn64_load_relaxed(&freed) < tn64_load_relaxed(&next_look))
		return;
	/* HB< pages.look */
	if (!tn32_cas_acquire(&looking, &free, 1))
		return;
	look(seat);
	/* HB> pages.look: one at a time */
	tn32_store_release(&looking, 0);
}

uint64_t tn_pages_trim(struct tn_seat *seat)
{
	tn_rack_flush(&seat->rack);
	return give_back_from_top(&seat->rack.ref, UINT64_MAX, false);
}

void tn_pages_forked(void)
{ tn32_store_relaxed(&looking, 0); }
