/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Leaving alone what is in use.
 *
 *   pass    1  2  3  4  5  6  7  8  9 10 11 ...
 *   tried   x     x        x              x     one that is pinned for good
 *   left       1     2  2     4  4  4  4        ... 8, 16, 32, 64, 64, 64
 *
 * An object that is pinned, or needed in the middle of its move, stays where it
 * is, and so does its slab. Each try costs a barrier in all clients, and who
 * needs it a compare-and-swap. So a slab, or a run, of which a move was called
 * off is left alone for one pass of compaction, and twice as long after each
 * further try that is, up to 64. One that goes well, and it is as any other.
 *
 * This is the mover's own and private, of fixed size, and may be wrong about
 * anything: a page has one of WAYS entries by its number, and where all are
 * taken the one that is due first gives way. What is forgotten is tried once
 * too often; of a slab that ended meanwhile, and of another that begins at its
 * page, the objects are moved some passes later.
 */
#include "pool/backoff.h"

#include <stddef.h>

#define WAYS 4U
#define DOUBLINGS 6U /* up to 64 passes */

static unsigned first_way(uint64_t page)
{
	return (unsigned)(page * 0x9e3779b97f4a7c15ULL >> 32) %
	       TN_BACKOFF_PAGES / WAYS * WAYS;
}

static struct tn_backoff_page *find(struct tn_backoff *b, uint64_t page)
{
	struct tn_backoff_page *p = &b->pages[first_way(page)];

	for (unsigned i = 0; i < WAYS; i++)
		if (p[i].page == page + 1)
			return &p[i];
	return NULL;
}

/* An entry for a page that has none. */
static struct tn_backoff_page *take(struct tn_backoff *b, uint64_t page)
{
	struct tn_backoff_page *p = &b->pages[first_way(page)], *least = p;

	for (unsigned i = 1; i < WAYS; i++)
		if (least->page && (!p[i].page || p[i].until < least->until))
			least = &p[i];
	*least = (struct tn_backoff_page){ .page = (uint32_t)page + 1 };
	return least;
}

bool tn_backoff_is_due(struct tn_backoff *b, uint64_t page)
{
	const struct tn_backoff_page *p = find(b, page);

	return !p || b->pass >= p->until;
}

void tn_backoff_tried(struct tn_backoff *b, uint64_t page, bool called_off)
{
	struct tn_backoff_page *p = find(b, page);

	if (!called_off) {
		if (p)
			p->page = 0;
		return;
	}
	if (!p)
		p = take(b, page);
	if (p->until > b->pass)
		return; /* of this pass we know already */
	p->until = b->pass + 1 + (1U << p->n);
	p->n += p->n < DOUBLINGS;
}
