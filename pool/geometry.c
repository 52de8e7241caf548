/* SPDX-License-Identifier: BSD-2-Clause */
#include "pool/geometry.h"

#include <errno.h>

#define HANDLES_SHIFT (TN_AREA_SHIFT + TN_PAGE_SHIFT - 4) /* of an area */

/* The next section: @bytes long, on pages of its own. */
static uint64_t place(uint64_t *at, uint64_t bytes)
{
	uint64_t here = *at;

	*at = tn_round_up(here + bytes, TN_PAGE_BYTES);
	return here;
}

int tn_geo_init(struct tn_geo *geo, uint64_t data_bytes)
{
	uint64_t at = 0, handle_areas;

	if (data_bytes < TN_POOL_BYTES_MIN || data_bytes > TN_POOL_BYTES_MAX ||
	    data_bytes % TN_PAGE_BYTES)
		return -EINVAL;
	geo->data_bytes = data_bytes;
	geo->n_pages = data_bytes >> TN_PAGE_SHIFT;
	geo->n_data_areas = tn_div_up(geo->n_pages, TN_AREA_PAGES);
	geo->handle_page = geo->n_data_areas << TN_AREA_SHIFT;
	/* one for each 64 bytes of data, as far as refs can tell them apart */
	handle_areas = tn_min64(tn_div_up(geo->n_data_areas, 4),
				1ULL << TN_HANDLE_IDX_BITS >> HANDLES_SHIFT);
	geo->n_handles = handle_areas << HANDLES_SHIFT;
	geo->n_areas = geo->n_data_areas + handle_areas;
	/* a cache line at least, so that two classes never share one */
	geo->hint_words = tn_round_up(tn_div_up(geo->n_areas, 64), 8);
	geo->touched_words = geo->hint_words;

	place(&at, sizeof(struct tn_header));
	geo->roots = place(&at, TN_N_ROOTS * sizeof(struct tn_root));
	geo->caches = place(&at, TN_N_CACHES * sizeof(struct tn_cache_entry));
	geo->clients = place(&at, TN_N_CLIENTS * sizeof(struct tn_client));
	geo->done = place(&at, (uint64_t)TN_N_CLIENTS * TN_N_LANES * 8);
	geo->fit = place(&at, geo->n_areas);
	geo->groups = place(&at, geo->n_areas);
	geo->hints = place(&at, TN_N_CLASSES * geo->hint_words * 8);
	geo->areas = place(&at, geo->n_areas * sizeof(struct tn_area));
	geo->pages = place(&at, geo->n_areas * TN_AREA_PAGES *
				sizeof(struct tn_page));
	geo->tags = place(&at, geo->n_areas << TN_AREA_TAGS_SHIFT << 1);
	geo->touched_areas = place(&at, TN_N_CLIENTS * geo->touched_words * 8);
	geo->touched_pages = place(&at, TN_N_CLIENTS * geo->n_areas *
					TN_AREA_ROWS * 8);
	geo->n_shares = 1ULL << tn_log2_ceil(geo->n_pages);
	geo->shares = place(&at, geo->n_shares * sizeof(struct tn_share));
	geo->backs = place(&at, geo->n_areas << TN_AREA_TAGS_SHIFT << 2);
	geo->handles = place(&at, geo->n_handles * sizeof(struct tn_handle));
	geo->meta_bytes = at;

	at = 0;
	place(&at, sizeof(struct tn_control));
	geo->lanes = place(&at, TN_N_LANES * sizeof(struct tn_lane));
	geo->pins = place(&at, TN_N_LANES * TN_LANE_PINS * sizeof(tn_a64));
	geo->long_pins = place(&at, TN_N_LONG_PINS *
				    sizeof(struct tn_long_pin));
	geo->journal = place(&at, TN_N_MOVES * sizeof(struct tn_move));
	geo->control_bytes = at;
	return 0;
}
