/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A note of a request, as the next tarnd reads it (ledger.h):
 *
 *	0           nothing was under way
 *	begun       and by what stands in the ledger it was done, or was not
 *	begun DONE  it was
 *
 * If it was, the session answers the same request, which still lies in its
 * socket, without doing it again.
 */
#include "daemon/note.h"

static bool is_attached(const struct session *s, uint32_t index)
{
	tn_list_for_each(link, &s->attachments)
		if (tn_list_entry(link, struct attachment, link)->kept.index ==
		    index)
			return true;
	return false;
}

/* Noted as begun: was it done? That was the last thing tarnd did at all. */
static bool was_done(const struct ledger *ledger, const struct session *s,
		     uint64_t note)
{
	uint32_t thing = LEDGER_NOTE_THING(note);
	unsigned state = 0;

	if (note & LEDGER_NOTE_DONE)
		return true;
	if (thing < ledger_n(ledger, LEDGER_POOLS))
		state = ledger_state(ledger, LEDGER_POOLS, thing);
	switch (LEDGER_NOTE_OP(note)) {
	case TN_MSG_CREATE:
		return state;
	case TN_MSG_DESTROY:
	case TN_MSG_REVOKE:
		return !state || state & LEDGER_UNLINKED;
	case TN_MSG_OPEN:
		return is_attached(s, thing);
	default:
		return true; /* LEAVE finds out by itself */
	}
}

/* The answer is put down at once: if we die before that request has its turn,
 * the record may be another's by then. */
void note_settle(const struct ledger *ledger, struct session *s)
{
	tn_a64 *word = &ledger_session(ledger, s->kept.index)->note;
	uint64_t note = tn64_load_relaxed(word);

	s->again = note && was_done(ledger, s, note) ? note | LEDGER_NOTE_DONE
						     : 0;
	tn64_store_relaxed(word, s->again);
	tn_fence_compiler();
}
