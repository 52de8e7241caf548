/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Objects that know what must be in them, for tests that pass them around. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An object may come back to a process by way of others, and ThreadSanitizer
 * does not see what orders that; so it is told not to look at contents. */
#ifdef __SANITIZE_THREAD__
#define UNSEEN __attribute__((__no_sanitize_thread__, __noipa__, \
			      __unused__))
#else
#define UNSEEN inline
#endif

/* How every object begins; the rest is a pattern that follows from it. */
struct object {
	uint32_t size;     /* all of it, 16 or more */
	uint32_t seed;
	uint64_t mark;
};

static UNSEEN uint64_t object_mark(uint32_t size, uint32_t seed)
{
	return ((uint64_t)seed << 32 | size) * 0x9e3779b97f4a7c15u;
}

static UNSEEN uint64_t object_word(uint32_t seed, size_t i)
{
	uint64_t x = (seed + i) * 0xbf58476d1ce4e5b9u;

	return x ^ x >> 31;
}

static UNSEEN void object_fill(struct object *o, uint32_t size, uint32_t seed)
{
	uint64_t *word = (uint64_t *)(o + 1);
	size_t i, n = (size - sizeof(*o)) / 8;

	o->size = size;
	o->seed = seed;
	o->mark = object_mark(size, seed);
	for (i = 0; i < n; i++)
		word[i] = object_word(seed, i);
	for (i = 0; i < size % 8; i++)
		((uint8_t *)&word[n])[i] = (uint8_t)(seed + i);
}

/* Is every byte as object_fill() left it? @room is what it lies in. */
static UNSEEN bool object_is_right(const struct object *o, size_t room)
{
	const uint64_t *word = (const uint64_t *)(o + 1);
	uint64_t wrong = 0;
	size_t i, n;

	if (room < sizeof(*o) || o->size > room || o->size < sizeof(*o) ||
	    o->mark != object_mark(o->size, o->seed))
		return false;
	n = (o->size - sizeof(*o)) / 8;
	for (i = 0; i < n; i++)
		wrong |= word[i] ^ object_word(o->seed, i);
	for (i = 0; i < o->size % 8; i++)
		wrong |= ((const uint8_t *)&word[n])[i] ^
			 (uint8_t)(o->seed + i);
	return !wrong;
}

/* Is the beginning, as far as a smaller size goes, as it was? */
static UNSEEN bool object_begins_right(const struct object *o, uint32_t size)
{
	const uint64_t *word = (const uint64_t *)(o + 1);
	uint64_t wrong = o->mark ^ object_mark(o->size, o->seed);

	for (size_t i = 0; i < (size - sizeof(*o)) / 8; i++)
		if (sizeof(*o) + i * 8 + 8 <= o->size)
			wrong |= word[i] ^ object_word(o->seed, i);
	return !wrong;
}

static UNSEEN uint32_t object_size(const struct object *o)
{
	return o->size;
}

/* Who still believes in it shall see that it is gone. */
static UNSEEN void object_spoil(struct object *o)
{
	o->mark = 0;
	o->size = 0;
}

/* xorshift; @state is not 0 */
static inline uint32_t random_below(uint64_t *state, uint32_t n)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 33) % n;
}
