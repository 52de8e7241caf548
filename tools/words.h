/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* The words in which a pool is described on a command line. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <tarn/tarn.h>

static const char *const kind_words[] = {
	[TARN_KIND_SLAB] = "slab",
	[TARN_KIND_BUDDY] = "buddy",
};

static const char *const policy_words[] = {
	[TARN_FIRST_FIT] = "first",
	[TARN_BEST_FIT] = "best",
	[TARN_WORST_FIT] = "worst",
};

/* The index of the @n bytes at @s among @words, or 0, which is none of them. */
static inline unsigned word_find(const char *const words[], size_t n_words,
				 const char *s, size_t n)
{
	for (unsigned i = 1; i < n_words; i++)
		if (strlen(words[i]) == n && !memcmp(words[i], s, n))
			return i;
	return 0;
}
#define WORD_FIND(words, s, n) \
	word_find(words, sizeof(words) / sizeof((words)[0]), s, n)

/* The word for a value that came from somewhere else. */
static inline const char *word_of(const char *const words[], size_t n_words,
				  unsigned i)
{
	return i < n_words && words[i] ? words[i] : "?";
}
#define WORD_OF(words, i) \
	word_of(words, sizeof(words) / sizeof((words)[0]), i)

/*
 * "4096", "64M", "1G", "64MiB": powers of 1024. The number ends the text or,
 * if @ret_end is given, stands before what that points to afterwards.
 */
static inline bool words_bytes(const char *s, uint64_t *ret,
			       const char **ret_end)
{
	static const char units[] = "KMGT";
	const char *unit;
	unsigned shift = 0;
	uint64_t n;
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	n = strtoull(s, &end, 10);
	if (errno)
		return false;
	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
		if (end[0] == 'i' && end[1] == 'B')
			end += 2;
	} else if (*end == 'B') {
		end++;
	}
	if (n > UINT64_MAX >> shift || (!ret_end && *end))
		return false;
	*ret = n << shift;
	if (ret_end)
		*ret_end = end;
	return true;
}
