/* SPDX-License-Identifier: BSD-2-Clause */
#include "pool/geometry.h"

#include <errno.h>

/* The next section: @bytes long, on pages of its own. */
static uint64_t place(uint64_t *at, uint64_t bytes)
{
	uint64_t here = *at;

	*at = tn_round_up(here + bytes, TN_PAGE_BYTES);
	return here;
}

int tn_geo_init(struct tn_geo *geo, uint64_t data_bytes)
{
	uint64_t at = 0;

	if (data_bytes < TN_POOL_BYTES_MIN || data_bytes > TN_POOL_BYTES_MAX ||
	    data_bytes % TN_PAGE_BYTES)
		return -EINVAL;
	geo->data_bytes = data_bytes;
	geo->n_pages = data_bytes >> TN_PAGE_SHIFT;
	geo->n_areas = tn_div_up(geo->n_pages, TN_AREA_PAGES);
	/* a cache line at least, so that two classes never share one */
	geo->hint_words = tn_round_up(tn_div_up(geo->n_areas, 64), 8);
	geo->touched_words = geo->hint_words;

	place(&at, sizeof(struct tn_header));
	geo->roots = place(&at, TN_N_ROOTS * sizeof(struct tn_root));
	geo->caches = place(&at, TN_N_CACHES * sizeof(struct tn_cache_entry));
	geo->clients = place(&at, TN_N_CLIENTS * sizeof(struct tn_client));
	geo->done = place(&at, (uint64_t)TN_N_CLIENTS * TN_N_LANES * 8);
	geo->fit = place(&at, geo->n_areas);
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
	geo->meta_bytes = at;

	at = 0;
	place(&at, sizeof(struct tn_control));
	geo->lanes = place(&at, TN_N_LANES * sizeof(struct tn_lane));
	geo->control_bytes = at;
	return 0;
}
