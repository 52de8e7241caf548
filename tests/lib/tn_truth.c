/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_truth.h"

#include <stdio.h>
#include <string.h>

#include "pool/cache.h"

enum tn_fault tn_truth_fault(struct tn_truth *t, enum tn_fault fault,
			     const char *why, uint64_t at, uint64_t value)
{
	if (t->fault)
		return t->fault;
	t->fault = fault;
	snprintf(t->why, sizeof(t->why), "%s: at %#llx, %#llx", why,
		 (unsigned long long)at, (unsigned long long)value);
	return fault;
}

static bool page_claimed(const struct tn_pool *p, uint64_t page)
{
	const struct tn_area *a = &p->areas[page / TN_AREA_PAGES];
	uint64_t row = page % TN_AREA_PAGES / TN_ROW_PAGES;

	return tn64_load_relaxed(&a->row[row].lo) >> page % TN_ROW_PAGES & 1;
}

static uint64_t page_word(const struct tn_pool *p, uint64_t page)
{ return tn64_load_relaxed(&p->pages[page].word); }

static void add(struct tn_truth *t, uint64_t off, uint64_t pages,
		unsigned class, uint16_t tag)
{
	if (t->n == TN_THINGS_MAX) {
		tn_truth_fault(t, TN_DOUBLED, "too many things", off, tag);
		return;
	}
	t->thing[t->n++] = (struct tn_thing){
		.off = off, .pages = (uint32_t)pages, .tag = tag,
		.class = (uint16_t)class,
	};
}

/* A handle and its object say the same of each other. */
static void look_at_handle(struct tn_truth *t, struct tn_pool *p, uint64_t off,
			   uint16_t tag, unsigned odd)
{
	uint64_t idx = (off >> 4) - (p->geo.handle_page << 8);
	uint64_t place = tn64_load_relaxed(&p->handles[idx].place);
	struct tn_object obj;

	if (TN_HANDLE_STATE(place) == TN_HANDLE_FREE) {
		if (TN_TAG_FORM(tag) != TN_TAG_KEPT)
			tn_truth_fault(t, TN_LEAKED, "a free handle is held",
				       off, tag);
		return;
	}
	if ((TN_HANDLE_STATE(place) != TN_HANDLE_LIVE &&
	     !(odd & TN_ODD_MOVES)) ||
	    tn_object_find(p, TN_HANDLE_OFF(place), &obj) < 0 ||
	    tn16_load_relaxed(obj.tag) != TN_TAG_HANDLE ||
	    tn32_load_relaxed(&p->backs[obj.tag - p->tags]) != idx)
		tn_truth_fault(t, TN_DOUBLED, "a handle without its object",
			       off, place);
	t->handles++;
}

/* One that has a handle is told by that alone: it may be anywhere. */
static void look_at_slot(struct tn_truth *t, struct tn_pool *p, uint64_t off,
			 uint64_t pages, unsigned class, uint16_t tag,
			 unsigned odd)
{
	if (tag == TN_TAG_HANDLE) {
		t->moveable++;
		return;
	}
	if (!pages && class == TN_CLASS_HANDLE)
		look_at_handle(t, p, off, tag, odd);
	add(t, off, pages, class, tag);
}

static uint64_t look_at_run(struct tn_truth *t, struct tn_pool *p,
			    uint64_t page, uint64_t n, unsigned odd)
{
	uint16_t tag = tn16_load_relaxed(&p->tags[tn_tag_index(page, 0)]);

	if (!n || n > p->geo.n_pages - page) {
		tn_truth_fault(t, TN_DOUBLED, "a run of no length", page, n);
		return 1;
	}
	for (uint64_t i = 1; i < n; i++) {
		if (!page_claimed(p, page + i))
			tn_truth_fault(t, TN_DOUBLED, "a page of a run is free",
				       page + i, n);
		if (page_word(p, page + i))
			tn_truth_fault(t, TN_DOUBLED, "two runs in one place",
				       page, page + i);
	}
	if (!tag)
		tn_truth_fault(t, TN_LEAKED, "a run that nobody holds", page,
			       n);
	t->pages += n;
	look_at_slot(t, p, page << TN_PAGE_SHIFT, n, 0, tag, odd);
	return n;
}

/* Bits that hints should have for an open slab with free slots (I3). */
static bool hinted(const struct tn_pool *p, uint64_t page, unsigned class)
{
	uint64_t area = page / TN_AREA_PAGES, in = page % TN_AREA_PAGES;

	return tn64_load_relaxed(&p->areas[area].partial[in / 64]) >> in % 64 &
	       tn64_load_relaxed(&p->hints[class * p->geo.hint_words +
					   area / 64]) >> area % 64 & 1;
}

/* Whose own it is, if he lives. */
static bool is_owned(const struct tn_pool *p, uint64_t w)
{
	uint32_t owner = TN_SLAB_CLIENT(w);

	return TN_SLAB_STATE(w) == TN_SLAB_OPEN && owner &&
	       tn64_load_relaxed(&p->clients[TN_CLIENT_SLOT(owner)].state) ==
	       (TN_CLIENT_ALIVE | owner);
}

static void look_at_slots(struct tn_truth *t, struct tn_pool *p,
			  uint64_t page, unsigned class,
			  const struct tn_shape *s, unsigned odd)
{
	uint64_t w = tn64_load_relaxed(&p->pages[page].slab);
	unsigned f = 0, bytes = s->bytes;

	for (unsigned i = 0; i < s->slots; i++) {
		uint16_t tag = tn16_load_relaxed(
			&p->tags[tn_tag_index(page, i)]);

		if (tag)
			look_at_slot(t, p, (page << TN_PAGE_SHIFT) +
				     (uint64_t)i * bytes, 0, class, tag, odd);
		f += !tag;
	}
	t->classes[class] = true;
	t->free_slots += class == TN_CLASS_HANDLE ? 0 : f;
	if (TN_SLAB_STATE(w) != TN_SLAB_OPEN && !(odd & TN_ODD_LEASES))
		tn_truth_fault(t, TN_BLOCKED, "a slab is leased", page, w);
	if (TN_SLAB_STATE(w) == TN_SLAB_NONE || TN_SLAB_CLASS(w) != class)
		tn_truth_fault(t, TN_BLOCKED, "a slab has no word", page, w);
	if (odd & TN_ODD_LEASES)
		return;
	if (TN_SLAB_FREE(w) < f)
		tn_truth_fault(t, TN_LEAKED, "a slab's count is too low", page,
			       w);
	if (TN_SLAB_FREE(w) > f && !(odd & TN_ODD_COUNTS))
		tn_truth_fault(t, TN_DOUBLED, "a slab's count is too high",
			       page, w);
	if (f && !(odd & TN_ODD_HINTS) && !hinted(p, page, class) &&
	    !is_owned(p, w))
		tn_truth_fault(t, TN_LEAKED, "no hint names an open slab", page,
			       w);
	if (f == s->slots && !(odd & TN_ODD_EMPTY))
		tn_truth_fault(t, TN_LEAKED, "an empty slab is left", page, w);
}

static uint64_t look_at_slab(struct tn_truth *t, struct tn_pool *p,
			     uint64_t page, unsigned class, unsigned odd)
{
	const struct tn_shape *s = class < TN_N_CLASSES ?
				   tn_cache_shape(p, class) : NULL;
	uint64_t n;

	if (!s || page & ((1ULL << s->order) - 1)) {
		tn_truth_fault(t, TN_LEAKED, "a slab of no shape", page, class);
		return 1;
	}
	n = 1ULL << s->order;
	for (uint64_t i = 0; i < n; i++)
		if (!page_claimed(p, page + i) ||
		    page_word(p, page + i) != TN_PAGE_SLAB_WORD(class, i))
			tn_truth_fault(t, TN_DOUBLED, "a slab lacks a page",
				       page + i, page_word(p, page + i));
	t->pages += class == TN_CLASS_HANDLE ? 0 : n;
	look_at_slots(t, p, page, class, s, odd);
	return n;
}

/* Every tag belongs to a thing that was found. */
static void count_tags(struct tn_truth *t, const struct tn_pool *p,
		       unsigned odd)
{
	uint64_t n = p->geo.n_areas << TN_AREA_TAGS_SHIFT, seen = 0;
	typedef uint64_t __attribute__((may_alias)) four;
	const four *tags = (const void *)p->tags;

	for (uint64_t i = 0; i < n / 4; i++)
		for (uint64_t x = tags[i]; x; x >>= 16)
			seen += (x & 0xffff) != 0;
	if (seen > t->n + t->moveable)
		tn_truth_fault(t, TN_LEAKED, "tags where nothing is", seen,
			       t->n);
	if (t->handles != t->moveable && !(odd & TN_ODD_MOVES))
		tn_truth_fault(t, TN_LEAKED, "objects without a handle",
			       t->moveable, t->handles);
}

/* What is at a page. Return: the next one to look at. */
static uint64_t look_at_page(struct tn_truth *t, struct tn_pool *p,
			     uint64_t page, unsigned odd)
{
	uint64_t word = page_word(p, page);

	if (!page_claimed(p, page)) {
		if (word || tn64_load_relaxed(&p->pages[page].slab))
			tn_truth_fault(t, TN_DOUBLED, "a free page has words",
				       page, word);
		return page + 1;
	}
	/* 0 in an area means: nothing is claimed there (pool/fit.c) */
	if (!tn8_load_relaxed(&p->fit[page / TN_AREA_PAGES]))
		tn_truth_fault(t, TN_DOUBLED, "fit says all free", page, word);
	if (TN_PAGE_KIND(word) == TN_PAGE_RUN)
		return page + look_at_run(t, p, page, TN_PAGE_PAGES(word),
					  odd);
	if (TN_PAGE_KIND(word) == TN_PAGE_SLAB)
		return page + look_at_slab(t, p, page, TN_PAGE_CLASS(word),
					   odd);
	if (!(odd & TN_ODD_LEASES))
		tn_truth_fault(t, TN_LEAKED, "a claimed page is nothing", page,
			       word);
	return page + 1;
}

enum tn_fault tn_truth_look(struct tn_truth *t, struct tn_world *w,
			    unsigned odd)
{
	struct tn_pool *p = &w->heap.pool;
	uint64_t page;

	memset(t, 0, offsetof(struct tn_truth, thing));
	for (page = 0; page < p->geo.n_pages;)
		page = look_at_page(t, p, page, odd);
	for (page = p->geo.handle_page; page < p->geo.n_areas * TN_AREA_PAGES;)
		page = look_at_page(t, p, page, odd);
	count_tags(t, p, odd);
	return t->fault;
}

const struct tn_thing *tn_truth_find(const struct tn_truth *t, uint64_t off)
{
	unsigned from = 0, to = t->n;

	while (from < to) {
		unsigned mid = (from + to) / 2;

		if (t->thing[mid].off == off)
			return &t->thing[mid];
		if (t->thing[mid].off < off)
			from = mid + 1;
		else
			to = mid;
	}
	return NULL;
}

static uint64_t fill_class(struct tn_world *w, const struct tn_lane_ref *l,
			   unsigned class)
{
	struct tn_slab_cursor cursor = { 0 };
	struct tn_slot out[TN_CLAIM_MAX];
	uint64_t n = 0;
	unsigned got;

	do {
		got = tn_slab_claim(&w->heap.pool, l, class, &cursor, out,
				    TN_CLAIM_MAX);
		n += got;
	} while (got);
	return n;
}

enum tn_fault tn_truth_fill(struct tn_truth *t, struct tn_world *w,
			    const struct tn_lane_ref *l)
{
	uint64_t pages = w->heap.pool.geo.n_pages - t->pages, page, n = 0;
	uint64_t slots = t->free_slots, things = t->n + pages + slots;

	while (tn_run_alloc(&w->heap.pool, l, 1, TN_FIRST_FIT, &page) == 0)
		n++;
	if (n != pages)
		return tn_truth_fault(t, n < pages ? TN_LEAKED : TN_DOUBLED,
				      "not all free pages were got", n, pages);
	n = 0;
	/* handles would fill the other end, and nothing is to be seen there */
	for (unsigned class = 0; class < TN_CLASS_HANDLE; class++)
		if (t->classes[class])
			n += fill_class(w, l, class);
	if (n != slots)
		return tn_truth_fault(t, n < slots ? TN_LEAKED : TN_DOUBLED,
				      "not all free slots were got", n, slots);
	if (tn_truth_look(t, w, TN_ODD_COUNTS))
		return t->fault;
	if (t->n != things)
		return tn_truth_fault(t, TN_DOUBLED, "some were got twice",
				      t->n, things);
	return TN_FAULT_NONE;
}
