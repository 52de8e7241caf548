/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_busy.h"

/* xorshift64* (Marsaglia 2003, Vigna 2016); the seed is never 0 */
uint64_t tn_busy_random(uint64_t *seed)
{
	uint64_t x = *seed;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*seed = x;
	return x * 0x2545f4914f6cdd1dULL;
}

uint64_t tn_busy_word(const struct tn_busy_section *s, uint64_t random)
{
	uint64_t at = random >> 8;

	if (s->n_used && random % 8)
		return s->used[at % s->n_used];
	return at % s->n_words;
}

/* Values of 16 bits that mean something: tags, mostly. */
static uint16_t field(uint64_t random)
{
	static const uint16_t likely[] = {
		0, 1, 2, 3, 0xffff, TN_TAG_POOL, TN_TAG_SHARED,
		TN_TAG_KEPT | 1, TN_TAG_KEPT | 2, TN_TAG_GIVEN | 1,
		TN_TAG_GIVEN | 2, TN_TAG_LINK | 1, TN_TAG_LINK | 2,
		TN_TAG_HELD | 4, TN_DAEMON_SLOT, 0x1fff, 0x8000,
	};

	if (random % 4 == 0)
		return (uint16_t)(random >> 16);
	return likely[(random >> 16) % TN_ARRAY_LEN(likely)];
}

TN_BUSY_RACES
static uint64_t value(const struct tn_busy_section *s, uint64_t old,
		      enum tn_scribble kind, uint64_t random)
{
	unsigned shift = random >> 60 << 4 & 63;

	switch (kind) {
	case TN_SCRIBBLE_ZERO:
		return 0;
	case TN_SCRIBBLE_ONES:
		return ~0ULL;
	case TN_SCRIBBLE_MORE:
		return old + 1;
	case TN_SCRIBBLE_LESS:
		return old - 1;
	case TN_SCRIBBLE_OTHER:
		return ((const volatile uint64_t *)s->words)
				[tn_busy_word(s, random | 1)];
	case TN_SCRIBBLE_BIT:
		return old ^ 1ULL << random % 64;
	case TN_SCRIBBLE_FIELD:
		return (old & ~(0xffffULL << shift)) |
		       (uint64_t)field(random) << shift;
	default:
		return random >> random % 64;
	}
}

TN_BUSY_RACES
void tn_busy_scribble(struct tn_busy_section *s, uint64_t index,
		      enum tn_scribble kind, uint64_t random)
{
	volatile uint64_t *word = &s->words[index];

	*word = value(s, *word, kind, random);
}
