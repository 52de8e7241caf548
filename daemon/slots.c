/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/slots.h"

#include "base/assert.h"

/* Slot 0 is nobody, and the last one is tarnd itself. */
void slots_init(struct slots *slots)
{
	*slots = (struct slots){ 0 };
	for (unsigned s = 1; s < TN_DAEMON_SLOT; s++)
		slots->ring[slots->n_free++] = (uint16_t)s;
}

int slots_take(struct slots *slots, uint32_t *ret_id)
{
	unsigned slot;

	if (slots->n_used >= SLOTS_CLIENTS_MAX)
		return SLOTS_NONE_FREE;
	slot = slots->ring[slots->head];
	slots->head = (slots->head + 1) % TN_N_CLIENTS;
	slots->n_free--;
	slots->n_used++;
	*ret_id = slot + TN_N_CLIENTS * slots->round[slot];
	return 0;
}

void slots_give(struct slots *slots, uint32_t id)
{
	unsigned slot = TN_CLIENT_SLOT(id);

	tn_assert(slots->n_used && slot && slot < TN_DAEMON_SLOT);
	tn_assert(id == slot + TN_N_CLIENTS * slots->round[slot]);
	slots->round[slot] = (uint8_t)((slots->round[slot] + 1) % SLOTS_ROUNDS);
	slots->ring[(slots->head + slots->n_free) % TN_N_CLIENTS] =
		(uint16_t)slot;
	slots->n_free++;
	slots->n_used--;
}
