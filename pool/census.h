/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Counting what is in a pool, without stopping it. */
#include "pool/pool.h"

struct tn_class_count {
	uint64_t slabs, slots, live, kept;
};

struct tn_client_count {
	uint64_t objects, bytes, kept_bytes;
	uint32_t id; /* seen in a tag, or in the client's entry */
};

struct tn_census {
	uint64_t free_pages, run_bytes;
	uint64_t handles;       /* that somebody holds */
	uint64_t movable_bytes; /* of their objects */
	struct tn_class_count classes[TN_N_CLASSES];
	struct tn_client_count clients[TN_N_CLIENTS]; /* [slot]; 0: the pool */
};

/**
 * tn_census_take() - walk all areas that are in use
 * @ret: zeroed by the caller
 *
 * What a handle leads to counts as the handle's holder's, and only at the place
 * that the handle says; the handle is no object. Reads only; each figure was
 * true at some moment of the walk.
 */
void tn_census_take(struct tn_pool *pool, struct tn_census *ret);

/** tn_census_clients() - whom the entries [@from, @to) of the table of clients
 *  name, if they hold nothing, too */
void tn_census_clients(const struct tn_pool *pool, struct tn_census *ret,
		       unsigned from, unsigned to);
