/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each object begins at a multiple of 2 MiB, so a table of one word for each
 * such place of the address space says how long it is, and that it is one:
 *
 *   address   | 17 unused | top : 13 | leaf : 13 | 0 : 21 |
 *   top[]     leaves, made when first needed and never unmade
 *   leaf[]    bytes of the object that begins there; 0: none does
 *
 * A wrong pointer is not looked at, only looked up. An entry is set once its
 * object is mapped, and taken out, by compare-and-swap, before it is unmapped:
 * of two frees one has it.
 *
 * Who writes: entries, whoever maps or has taken out the object.
 * A fork in the middle: the mapping stays in the child, and nobody has it.
 *
 * What it does not do: keep mappings for later. What comes here is so large
 * that the system's work of zeroing it is the smaller part.
 */
#include "malloc/large.h"

#include "base/bits.h"
#include "malloc/map.h"
#include "proto/layout.h"

#define PLACE_SHIFT 21
#define LEAF_BITS 13
#define N_PLACES (1ULL << LEAF_BITS)

static tn_a64 top[N_PLACES];

static tn_a64 *entry_of(const void *p, bool make)
{
	uint64_t place = (uintptr_t)p >> PLACE_SHIFT, leaf, none = 0;
	uint64_t i = place >> LEAF_BITS;
	uint8_t *fresh;

	if ((uintptr_t)p & ((1ULL << PLACE_SHIFT) - 1) || i >= N_PLACES)
		return NULL;
	/* HB< large.leaf */
	leaf = tn64_load_acquire(&top[i]);
	if (!leaf && make) {
		fresh = tn_map(N_PLACES * sizeof(tn_a64));
		/* HB> large.leaf: it is mapped; HB< large.leaf */
		if (fresh && tn64_cas_acq_rel(&top[i], &none,
					      (uintptr_t)fresh))
			leaf = (uintptr_t)fresh;
		else if (fresh)
			tn_map_end(fresh, N_PLACES * sizeof(tn_a64));
		leaf = leaf ? leaf : none;
	}
	return leaf ? (tn_a64 *)leaf + place % N_PLACES : NULL;
}

/* Whole pages; 0: more than there can be. */
static uint64_t pages_of(size_t bytes)
{
	return bytes && bytes <= PTRDIFF_MAX - TN_PAGE_BYTES ?
	       tn_round_up(bytes, TN_PAGE_BYTES) : 0;
}

void *tn_large_alloc(size_t bytes, size_t align)
{
	uint64_t whole = pages_of(bytes);
	tn_a64 *entry;
	uint8_t *p;

	if (!whole || align > PTRDIFF_MAX)
		return NULL;
	p = tn_map_aligned(whole, tn_max64(align, 1ULL << PLACE_SHIFT));
	if (!p)
		return NULL;
	entry = entry_of(p, true);
	if (!entry) {
		tn_map_end(p, whole);
		return NULL;
	}
	tn64_store_relaxed(entry, whole);
	return p;
}

size_t tn_large_bytes(const void *p)
{
	tn_a64 *entry = entry_of(p, false);

	return entry ? tn64_load_relaxed(entry) : 0;
}

bool tn_large_free(void *p)
{
	tn_a64 *entry = entry_of(p, false);
	uint64_t bytes = entry ? tn64_load_relaxed(entry) : 0;

	if (!bytes || !tn64_cas_relaxed(entry, &bytes, 0))
		return false;
	tn_map_end(p, bytes);
	return true;
}

/* Moves the pages to another place. The old place may be another's as soon
 * as it is empty, so its entry goes first. */
static void *move(void *p, uint64_t bytes, uint64_t whole)
{
	uint8_t *to = tn_map_aligned(whole, 1ULL << PLACE_SHIFT);
	tn_a64 *entry = to ? entry_of(to, true) : NULL, *old;
	void *moved = MAP_FAILED;

	old = entry_of(p, false);
	tn64_store_relaxed(old, 0);
	if (entry)
		moved = mremap(p, bytes, whole, MREMAP_MAYMOVE | MREMAP_FIXED,
			       to);
	if (moved == MAP_FAILED) {
		tn64_store_relaxed(old, bytes);
		tn_map_end(to, whole);
		return NULL;
	}
	tn64_store_relaxed(entry, whole);
	return to;
}

void *tn_large_resize(void *p, size_t bytes)
{
	uint64_t was = tn_large_bytes(p), whole = pages_of(bytes);

	if (!was || !whole)
		return NULL;
	if (whole == was)
		return p;
	if (mremap(p, was, whole, 0) == MAP_FAILED)
		return move(p, was, whole);
	tn64_store_relaxed(entry_of(p, false), whole);
	return p;
}
