/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sections, in their order, each on pages of its own:
 *
 *   header         one page
 *   roots          64 bytes each
 *   caches         64 bytes each
 *   clients        64 bytes each
 *   done           8 bytes a lane of every client slot
 *   fit            a byte an area
 *   groups         a byte an area
 *   hints          for each class a bit an area
 *   areas          256 bytes each
 *   pages          16 bytes each, 512 an area
 *   tags           2 bytes each, 256 a page: 32 bands an area, 8 in each
 *   touched areas  for each client slot a bit an area
 *   touched pages  for each client slot 64 bytes an area
 *   shares         320 bytes each; as many as pages, rounded up to a power
 *                  of two
 *   backs          4 bytes each, as tags
 *   handles        16 bytes each, 256 a page
 *
 * Areas are those of data, the last of which may be cut short, and then those
 * of handles: one for each four or less, as long as there are no more than
 * 2^30 handles. Only of data's pages there are share records.
 *
 * Where there is a bit an area, a class or client has whole cache lines.
 *
 * Slots of the size classes: multiples of 16 up to 128, and from there eight
 * steps to the double, up to 32 KiB: 72 classes; the last classes are these
 * once more, and handles. Slots of a cache: the object rounded up to its
 * alignment, 16 at least. A slab is the smallest of 4, 8, 16
 * pages that has 32 slots; if none has, the smallest of 16, 32, 64 that has 8.
 */
#include "audit/geometry.h"

/* An area of handles has 2^17. */
#define MOST_HANDLE_AREAS (1U << (TN_HANDLE_IDX_BITS - 17))

/* The one that n rounds up to, at most @most. */
static uint64_t power_of_two(uint64_t n, uint64_t most)
{
	uint64_t p = 1;

	while (p < n && p < most)
		p *= 2;
	return p;
}

bool tn_audit_geo_init(struct tn_audit_geo *geo, uint64_t data_bytes)
{
	uint64_t data = (data_bytes + TN_AREA_BYTES - 1) / TN_AREA_BYTES;
	uint64_t handles = data <= 4 * MOST_HANDLE_AREAS ? (data + 3) / 4 :
							   MOST_HANDLE_AREAS;
	uint64_t areas = data + handles;
	uint64_t words = (areas + 511) / 512 * 8;
	uint64_t shares = power_of_two(data_bytes / 4096, UINT64_MAX / 2);
	const uint64_t bytes[TN_AUDIT_AT_END] = {
		[TN_AUDIT_AT_HEADER] = 4096,
		[TN_AUDIT_AT_ROOTS] = TN_N_ROOTS * 64,
		[TN_AUDIT_AT_CACHES] = TN_N_CACHES * 64,
		[TN_AUDIT_AT_CLIENTS] = TN_N_CLIENTS * 64,
		[TN_AUDIT_AT_DONE] = TN_N_CLIENTS * TN_N_LANES * 8,
		[TN_AUDIT_AT_FIT] = areas,
		[TN_AUDIT_AT_GROUPS] = areas,
		[TN_AUDIT_AT_HINTS] = TN_N_CLASSES * words * 8,
		[TN_AUDIT_AT_AREAS] = areas * 256,
		[TN_AUDIT_AT_PAGES] = areas * 512 * 16,
		[TN_AUDIT_AT_TAGS] = areas * 512 * 256 * 2,
		[TN_AUDIT_AT_TOUCHED_AREAS] = TN_N_CLIENTS * words * 8,
		[TN_AUDIT_AT_TOUCHED_PAGES] = TN_N_CLIENTS * areas * 64,
		[TN_AUDIT_AT_SHARES] = shares * 320,
		[TN_AUDIT_AT_BACKS] = areas * 512 * 256 * 4,
		[TN_AUDIT_AT_HANDLES] = handles * 512 * 4096,
	};

	if (data_bytes % 4096 || data_bytes < TN_POOL_BYTES_MIN ||
	    data_bytes > TN_POOL_BYTES_MAX)
		return false;
	geo->n_pages = data_bytes / 4096;
	geo->handle_page = data * 512;
	geo->end_page = areas * 512;
	geo->n_areas = areas;
	geo->n_handles = handles * 512 * TN_AUDIT_PAGE_HANDLES;
	geo->area_words = words;
	geo->n_shares = shares;
	geo->at[0] = 0;
	for (unsigned i = 0; i < TN_AUDIT_AT_END; i++)
		geo->at[i + 1] = geo->at[i] + (bytes[i] + 4095) / 4096 * 4096;
	return true;
}

static struct tn_audit_cut cut(uint32_t bytes)
{
	struct tn_audit_cut c = { .bytes = bytes, .pages = 4 };

	while (c.pages * 4096 / bytes < (c.pages < 16 ? 32 : 8))
		c.pages *= 2;
	c.slots = c.pages * 4096 / bytes;
	return c;
}

struct tn_audit_cut tn_audit_cut_class(unsigned class)
{
	uint32_t octave;

	if (class == TN_CLASS_HANDLE)
		return cut(16);
	if (class >= TN_CLASS_MOVABLE)
		class -= TN_CLASS_MOVABLE;
	if (class < 8)
		return cut(16 * (class + 1));
	octave = 128U << (class - 8) / 8;
	return cut(octave + octave / 8 * ((class - 8) % 8 + 1));
}

bool tn_audit_cut_cache(uint64_t shape, struct tn_audit_cut *ret)
{
	uint32_t bytes = (uint32_t)shape;
	uint32_t align = (uint32_t)(shape >> 32);

	if (!bytes || bytes > 32768 || !align || align > 4096 ||
	    (align & (align - 1)))
		return false;
	if (align < 16)
		align = 16;
	*ret = cut((bytes + align - 1) / align * align);
	return true;
}

uint64_t tn_audit_run_align(uint64_t pages)
{
	return power_of_two(pages, TN_AREA_PAGES);
}
