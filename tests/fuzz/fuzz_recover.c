/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libFuzzer: a pool with words changed, then what a client does, recovery,
 * census and audit; and compaction, which leaves in order what the audit has
 * found in order. Built and run by `make fuzz T=recover`.
 *
 *   input   0  1   flags: 1 a client uses the pool before it is recovered
 *           then edits of 12 bytes, 64 at most:
 *           0  1   section (tests/lib/tn_busy.h), modulo their number
 *           1  1   kind: enum tn_scribble; others: the value is stored
 *           2  2   word: of those in use if below 0x8000, else of all
 *           4  8   value, or what is random about it
 */
#include <stdlib.h>
#include <string.h>

#include "tests/lib/tn_busy.h"

#define EDIT_BYTES 12U
#define EDITS_MAX 64U

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t bytes);

static struct tn_busy busy;

static void edit(const uint8_t *in)
{
	struct tn_busy_section *s = &busy.sections[in[0] % TN_BUSY_N_SECTIONS];
	uint64_t value, at;
	uint16_t word;

	memcpy(&word, in + 2, sizeof(word));
	memcpy(&value, in + 4, sizeof(value));
	if (word < 0x8000 && s->n_used)
		at = s->used[word % s->n_used];
	else
		at = (word & 0x7fffU) % s->n_words;
	if (in[1] < TN_SCRIBBLE_N_KINDS)
		tn_busy_scribble(s, at, in[1], value);
	else
		s->words[at] = value;
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t bytes)
{
	enum tn_busy_end end;

	if (!bytes)
		return 0;
	if (!busy.meta.at)
		tn_busy_init(&busy, false);
	tn_busy_reset(&busy);
	for (size_t i = 0; i < EDITS_MAX && (i + 1) * EDIT_BYTES < bytes; i++)
		edit(in + 1 + i * EDIT_BYTES);
	if (in[0] & 1)
		tn_busy_use(&busy);
	tn_busy_protect_data(&busy, true);
	end = tn_busy_recover(&busy);
	tn_busy_protect_data(&busy, false);
	if (end == TN_BUSY_REFUSED || end == TN_BUSY_WAITS)
		return 0;
	if (tn_busy_compact(&busy) != end && end == TN_BUSY_HOLDS)
		abort();
	return 0;
}
