/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/slots.h"

#include "base/assert.h"

static uint16_t next_slot(unsigned slot)
{
	return (uint16_t)(slot + 1 < TN_DAEMON_SLOT ? slot + 1 : 1);
}

/* Slot 0 is nobody, and the last one is tarnd itself. */
void slots_init(struct slots *slots, struct ledger_slots *kept)
{
	unsigned last = kept ? tn16_load_relaxed(&kept->last) : 0;

	*slots = (struct slots){ .kept = kept };
	/* what another wrote is not believed to be a slot */
	last = last < TN_DAEMON_SLOT ? last : 0;
	for (unsigned s = 1; s < TN_DAEMON_SLOT; s++) {
		last = next_slot(last);
		slots->ring[slots->n_free++] = (uint16_t)last;
		if (kept)
			slots->round[s] = tn8_load_relaxed(&kept->round[s]) %
					  SLOTS_ROUNDS;
	}
}

/* In the ledger first: an id that is given out there, and then is not, is
 * passed by; the other way round it would be given out twice. */
static void note(struct slots *slots, unsigned slot)
{
	struct ledger_slots *kept = slots->kept;

	if (!kept)
		return;
	tn8_store_relaxed(&kept->round[slot], slots->round[slot]);
	tn16_store_relaxed(&kept->last, (uint16_t)slot);
	tn_fence_compiler();
}

int slots_take(struct slots *slots, uint32_t *ret_id)
{
	unsigned slot, round;

	if (slots->n_used >= SLOTS_CLIENTS_MAX)
		return SLOTS_NONE_FREE;
	slot = slots->ring[slots->head];
	round = slots->round[slot];
	slots->head = (slots->head + 1) % TN_N_CLIENTS;
	slots->n_free--;
	slots->n_used++;
	slots->used[slot / 64] |= 1ULL << slot % 64;
	slots->round[slot] = (uint8_t)((round + 1) % SLOTS_ROUNDS);
	note(slots, slot);
	*ret_id = slot + TN_N_CLIENTS * round;
	return 0;
}

void slots_reserve(struct slots *slots, uint32_t id)
{
	unsigned slot = TN_CLIENT_SLOT(id), kept = 0;

	for (unsigned i = 0; i < slots->n_free; i++) {
		unsigned at = (slots->head + i) % TN_N_CLIENTS;
		uint16_t other = slots->ring[at];

		if (other != slot)
			slots->ring[(slots->head + kept++) % TN_N_CLIENTS] =
				other;
	}
	tn_assert(kept + 1 == slots->n_free);
	slots->used[slot / 64] |= 1ULL << slot % 64;
	slots->n_free--;
	slots->n_used++;
}

bool slots_is_used(const struct slots *slots, unsigned slot)
{
	return slots->used[slot / 64] >> slot % 64 & 1;
}

void slots_give(struct slots *slots, uint32_t id)
{
	unsigned slot = TN_CLIENT_SLOT(id);

	tn_assert(slot && slot < TN_DAEMON_SLOT && slots_is_used(slots, slot));
	slots->used[slot / 64] &= ~(1ULL << slot % 64);
	slots->ring[(slots->head + slots->n_free) % TN_N_CLIENTS] =
		(uint16_t)slot;
	slots->n_free++;
	slots->n_used--;
}
