/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "client/process.h"

#define N_EXTENTS 128

/* Part of meta; the rest is not written by anybody in a world. */
struct extent { uint64_t from, bytes; };

static void *map(uint64_t bytes, int kind)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       kind | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

void tn_world_init(struct tn_world *w, uint64_t bytes, unsigned policy)
{
	memset(w, 0, sizeof(*w));
	tn_heap_init(&w->heap, bytes, policy);
	w->board = map(sizeof(*w->board), MAP_SHARED);
	for (unsigned c = 0; c <= TN_HEAP_CLIENTS; c++) {
		struct tn_control *h = (void *)w->heap.control[c];

		h->magic = TN_CONTROL_MAGIC;
		h->major = TN_LAYOUT_MAJOR;
		h->client = c ? c : TN_DAEMON_SLOT;
		h->data_bytes = bytes;
		h->mark = w->heap.pool.mark;
	}
	w->living = tn_heap_lane(&w->heap, TN_LIVING, 0);
	w->owner = tn_heap_lane(&w->heap, TN_OWNER, 0);
}

void tn_world_fini(struct tn_world *w)
{
	munmap(w->board, sizeof(*w->board));
	tn_heap_fini(&w->heap);
}

/* Which client slots have rows of their own in meta. */
static const unsigned slots_used[] = { 0, 1, 2, 3, 4, TN_DAEMON_SLOT };

static unsigned extents(const struct tn_world *w, struct extent *e)
{
	const struct tn_geo *g = &w->heap.pool.geo;
	const uint64_t touched = g->touched_words * 8;
	const uint64_t rows = g->n_areas * TN_AREA_ROWS * 8;
	const uint64_t tags = g->n_data_areas << TN_AREA_TAGS_SHIFT << 1;
	const uint64_t band = 2 << TN_BAND_SHIFT;
	unsigned n = 0;

	e[n++] = (struct extent){ 0, g->done };
	e[n++] = (struct extent){ g->fit, g->pages - g->fit };
	e[n++] = (struct extent){ g->pages, g->tags - g->pages };
	e[n++] = (struct extent){ g->tags, tags };
	e[n++] = (struct extent){ g->shares, g->backs - g->shares };
	for (unsigned i = 0; i < TN_ARRAY_LEN(slots_used); i++) {
		unsigned s = slots_used[i];

		/* lanes below 512 are all that is ever used here */
		e[n++] = (struct extent){ g->done + s * TN_N_LANES * 8ULL,
					  TN_PAGE_BYTES };
		e[n++] = (struct extent){ g->touched_areas + s * touched,
					  touched };
		e[n++] = (struct extent){ g->touched_pages + s * rows, rows };
	}
	if (!w->handles)
		return n;
	/* of handles, their first slabs are all that is ever used */
	e[n++] = (struct extent){ g->backs, 2 * tags };
	e[n++] = (struct extent){ g->handles, 64 * TN_PAGE_BYTES };
	for (uint64_t i = 0; i < 1ULL << TN_BAND_SLOTS_SHIFT; i++)
		e[n++] = (struct extent){ g->tags + tags + i * band,
					  TN_PAGE_BYTES };
	return n;
}

bool tn_world_copies(const struct tn_world *w, const void *at)
{
	const struct tn_geo *g = &w->heap.pool.geo;
	uint64_t off = (uint64_t)((const uint8_t *)at - w->heap.pool.meta);
	struct extent e[N_EXTENTS];
	unsigned n = extents(w, e);

	if (off >= g->meta_bytes)
		return true; /* of control: see below */
	for (unsigned i = 0; i < n; i++)
		if (off + TN_PAGE_BYTES > e[i].from &&
		    off < e[i].from + e[i].bytes)
			return true;
	return false;
}

/* The header, the first 64 lanes, the pins of the first 8, the first long pins,
 * and the first moves of the journal. */
static unsigned control_extents(const struct tn_geo *g, struct extent e[4])
{
	e[0] = (struct extent){ 0, g->lanes + 64 * sizeof(struct tn_lane) };
	e[1] = (struct extent){ g->pins, TN_PAGE_BYTES };
	e[2] = (struct extent){ g->long_pins, TN_PAGE_BYTES };
	e[3] = (struct extent){ g->journal, TN_PAGE_BYTES };
	return 4;
}

static void copy_control(const struct tn_geo *g, uint8_t *to,
			 const uint8_t *from)
{
	struct extent e[4];

	for (unsigned i = control_extents(g, e); i--;)
		memcpy(to + e[i].from, from + e[i].from, e[i].bytes);
}

static bool same_control(const struct tn_geo *g, const uint8_t *a,
			 const uint8_t *b)
{
	struct extent e[4];

	for (unsigned i = control_extents(g, e); i--;)
		if (memcmp(a + e[i].from, b + e[i].from, e[i].bytes) != 0)
			return false;
	return true;
}

void tn_world_copy(struct tn_world *to, const struct tn_world *from)
{
	const struct tn_pool *p = &from->heap.pool;
	struct extent e[N_EXTENTS];
	unsigned n = extents(from, e);

	to->handles = from->handles;
	for (unsigned i = 0; i < n; i++)
		memcpy(to->heap.pool.meta + e[i].from, p->meta + e[i].from,
		       e[i].bytes);
	for (unsigned c = 0; c <= TN_HEAP_CLIENTS; c++)
		copy_control(&p->geo, to->heap.control[c],
			     from->heap.control[c]);
	memcpy(to->board, from->board, offsetof(struct tn_board, n_written));
	if (from->board->word)
		memcpy(to->heap.pool.data + from->board->word,
		       p->data + from->board->word, 8);
	/* what is known of caches is private, and of the world before */
	memset(to->heap.shapes + TN_CLASS_CACHE, 0,
	       TN_N_CACHES * sizeof(*to->heap.shapes));
}

bool tn_world_same(const struct tn_world *a, const struct tn_world *b)
{
	const struct tn_pool *p = &a->heap.pool;
	struct extent e[N_EXTENTS];
	unsigned n = extents(a, e);

	for (unsigned i = 0; i < n; i++)
		if (memcmp(p->meta + e[i].from,
			   b->heap.pool.meta + e[i].from, e[i].bytes) != 0)
			return false;
	for (unsigned c = 0; c <= TN_HEAP_CLIENTS; c++)
		if (!same_control(&p->geo, a->heap.control[c],
				  b->heap.control[c]))
			return false;
	return tn_world_word(a) == tn_world_word(b);
}

/* Handles say the same, but for how often they were moved and what a free one
 * once had. */
static bool same_handles(const struct tn_world *a, const struct tn_world *b)
{
	const struct tn_handle *x = a->heap.pool.handles;
	const struct tn_handle *y = b->heap.pool.handles;

	for (uint64_t i = 0; i < 64 * TN_PAGE_BYTES / sizeof(*x); i++) {
		uint64_t p = tn64_load_relaxed(&x[i].place);
		uint64_t q = tn64_load_relaxed(&y[i].place);

		if (TN_HANDLE_STATE(p) != TN_HANDLE_STATE(q) ||
		    (TN_HANDLE_STATE(p) &&
		     (TN_HANDLE_OFF(p) != TN_HANDLE_OFF(q) ||
		      (p ^ q) & TN_HANDLE_TORN)))
			return false;
	}
	return true;
}

bool tn_world_same_truth(const struct tn_world *a, const struct tn_world *b)
{
	const struct tn_geo *g = &a->heap.pool.geo;
	struct extent e[N_EXTENTS];
	unsigned n = extents(a, e);

	for (uint64_t i = 0; i < g->n_areas * TN_AREA_ROWS; i++) {
		uint64_t area = i / TN_AREA_ROWS, row = i % TN_AREA_ROWS;

		if (tn64_load_relaxed(&a->heap.pool.areas[area].row[row].lo) !=
		    tn64_load_relaxed(&b->heap.pool.areas[area].row[row].lo))
			return false;
	}
	for (unsigned i = 0; i < n; i++)
		if (e[i].from >= g->pages && e[i].from < g->touched_areas &&
		    memcmp(a->heap.pool.meta + e[i].from,
			   b->heap.pool.meta + e[i].from, e[i].bytes) != 0)
			return false;
	return (!a->handles || same_handles(a, b)) &&
	       tn_world_word(a) == tn_world_word(b);
}

struct tarn_pool *tn_world_client(struct tn_world *w)
{
	struct tarn_pool *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	c->p = w->heap.pool;
	c->p.shapes = c->shapes;
	tn_shapes_init(c->shapes);
	c->class_max = TARN_CLASS_MAX;
	c->control = w->heap.control[TN_DEAD];
	c->client = TN_DEAD;
	c->data_file.fd = c->meta_file.fd = -1;
	if (!tn_process())
		abort();
	c->process = tn_process_number();
	c->key = 77;
	/* there is no tarnd to be asked */
	tn64_store_relaxed(&c->move_rest_ms, ~0ULL);
	w->client = c;
	return c;
}

static int recover(struct tn_world *w, uint32_t client, uint8_t *control,
		   struct tn_lane_ref self)
{
	struct tn_recover r;
	int e = 1;

	tn_recover_begin(&r, &w->heap.pool, control, client, self);
	for (unsigned i = 0; i < 100000 && e == 1; i++)
		e = tn_recover_step(&r, 4096);
	return e == 1 ? -ELOOP : e;
}

int tn_world_recover(struct tn_world *w, uint32_t client)
{
	uint8_t *own = w->heap.control[0];
	struct tn_lane_ref self = {
		.control = own,
		.rec = tn_lane_rec(&w->heap.pool.geo, own, 0),
		.client = TN_DAEMON_SLOT,
	};
	int e;

	/* as of any dead client, by the lane that died, and not from number 1
	 * again: its last steps may still be wanted (pool/row.h) */
	e = recover(w, TN_DAEMON_SLOT, own, self);
	if (e)
		return e;
	return recover(w, client, w->heap.control[client],
		       tn_heap_lane(&w->heap, 0, 0));
}

struct tn_lane_ref tn_world_reborn(struct tn_world *w, uint32_t slot)
{
	uint32_t id = slot + TN_N_CLIENTS;
	struct tn_control *h = (void *)w->heap.control[slot];
	struct tn_lane_ref l = {
		.control = w->heap.control[slot],
		.rec = tn_lane_rec(&w->heap.pool.geo, w->heap.control[slot], 0),
		.client = id,
	};

	memset(w->heap.control[slot], 0, w->heap.pool.geo.control_bytes);
	h->magic = TN_CONTROL_MAGIC;
	h->major = TN_LAYOUT_MAJOR;
	h->client = id;
	h->data_bytes = w->heap.pool.geo.data_bytes;
	h->mark = w->heap.pool.mark;
	tn64_store_relaxed(&w->heap.pool.clients[slot].state,
			   TN_CLIENT_ALIVE | id);
	tn64_store_relaxed(&l.rec->state, TN_LANE_BUSY | 1);
	tn_lane_start(&w->heap.pool, &l);
	return l;
}
