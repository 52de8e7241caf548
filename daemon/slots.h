/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * The client ids of one pool. An id is slot + 1024 * round; a slot given back
 * comes again after all others that are free, in its next round, so that an
 * id is not seen again for as long as can be.
 */
#include <stdint.h>

#include "daemon/ledger.h"

#define SLOTS_CLIENTS_MAX 1000U /* at once; the slots left over rest longer */
#define SLOTS_ROUNDS (1U << (TN_CLIENT_ID_BITS - 10))
static_assert(TN_N_CLIENTS == 1U << 10, "a slot is 10 bits of an id");

struct slots {
	uint16_t ring[TN_N_CLIENTS]; /* free slots, the longest free first */
	uint8_t round[TN_N_CLIENTS]; /* of each slot's next id */
	uint64_t used[TN_N_CLIENTS / 64]; /* a bit a slot */
	unsigned head, n_free, n_used;
	struct ledger_slots *kept;   /* the same, for the next tarnd */
};

enum { SLOTS_NONE_FREE = 1 };

/** slots_init() - all are free
 *  @kept: where it is noted what was given out, and may have been before;
 *         NULL: nowhere */
void slots_init(struct slots *slots, struct ledger_slots *kept);

/** slots_reserve() - that one was given out before; not twice */
void slots_reserve(struct slots *slots, uint32_t id);

int slots_take(struct slots *slots, uint32_t *ret_id);
bool slots_is_used(const struct slots *slots, unsigned slot);
void slots_give(struct slots *slots, uint32_t id);
