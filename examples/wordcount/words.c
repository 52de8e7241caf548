/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hash table of words. A word in the making is written behind the text of
 * those already known, in lower case; if it turns out to be one of them, that
 * place is simply used again for the next.
 *
 * Packed, as results lie in the pool (all little words of this machine):
 *
 *   off size
 *     0    8 entries that follow
 *     8    8 bytes of all this
 *    16      entries: u32 count, u32 length, the letters, 0 to 3 bytes of gap
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/wordcount/wordcount.h"

struct packed {
	uint64_t n;
	uint64_t n_bytes;
};

struct entry {
	uint32_t count;
	uint32_t len;
	char text[];
};

void words_fini(struct words *w)
{
	free(w->slot);
	free(w->text);
	*w = (struct words){ 0 };
}

void words_clear(struct words *w)
{
	if (w->slot)
		memset(w->slot, 0, w->n_slots * sizeof(*w->slot));
	w->n = 0;
	w->n_text = 0;
	w->total = 0;
}

static void reserve_text(struct words *w, size_t more)
{
	if (w->cap_text - w->n_text >= more)
		return;
	w->cap_text = (w->n_text + more) * 2;
	w->text = realloc(w->text, w->cap_text);
	if (!w->text)
		wc_die("table of words", -ENOMEM);
}

static void grow(struct words *w)
{
	size_t n_old = w->n_slots;
	struct word *old = w->slot;

	w->n_slots = n_old ? n_old * 2 : 4096;
	w->slot = calloc(w->n_slots, sizeof(*w->slot));
	if (!w->slot)
		wc_die("table of words", -ENOMEM);
	for (size_t i = 0; i < n_old; i++) {
		size_t at = old[i].hash & (w->n_slots - 1);

		if (!old[i].count)
			continue;
		while (w->slot[at].count)
			at = (at + 1) & (w->n_slots - 1);
		w->slot[at] = old[i];
	}
	free(old);
}

static inline uint32_t hash_step(uint32_t hash, char c)
{
	return (hash ^ (unsigned char)c) * 16777619u; /* FNV-1a */
}

/* Counts the word that lies at the end of .text, not yet part of it. */
static void commit(struct words *w, uint32_t hash, uint32_t len,
		   uint64_t count)
{
	const char *text = w->text + w->n_text;
	struct word *s;

	if (w->n * 2 >= w->n_slots)
		grow(w);
	hash ^= hash >> 15;
	for (size_t i = hash;; i++) {
		s = &w->slot[i & (w->n_slots - 1)];
		if (!s->count)
			break;
		if (s->hash == hash && s->len == len &&
		    memcmp(w->text + s->at, text, len) == 0)
			break;
	}
	if (!s->count) {
		*s = (struct word){ .at = w->n_text, .len = len,
				    .hash = hash };
		w->n_text += len;
		w->n++;
	}
	s->count += count;
	w->total += count;
}

void words_count(struct words *w, const char *text, size_t n_bytes)
{
	const char *end = text + n_bytes;

	reserve_text(w, n_bytes); /* even if every word is new */
	while (text < end) {
		uint32_t hash = 2166136261u, len = 0;

		while (text < end && !is_letter(*text))
			text++;
		for (; text < end && is_letter(*text); text++) {
			char c = *text | 0x20;

			w->text[w->n_text + len++] = c;
			hash = hash_step(hash, c);
		}
		if (len)
			commit(w, hash, len, 1);
	}
}

static size_t entry_bytes(uint32_t len)
{
	return (sizeof(struct entry) + len + 3) & ~(size_t)3;
}

size_t words_packed_bytes(const struct words *w)
{
	size_t n_bytes = sizeof(struct packed);

	for (size_t i = 0; i < w->n_slots; i++)
		if (w->slot[i].count)
			n_bytes += entry_bytes(w->slot[i].len);
	return n_bytes;
}

void words_pack(const struct words *w, void *dst)
{
	struct packed *p = dst;
	char *at = (char *)(p + 1);

	for (size_t i = 0; i < w->n_slots; i++) {
		const struct word *s = &w->slot[i];
		struct entry e = { .count = (uint32_t)s->count,
				   .len = s->len };

		if (!s->count)
			continue;
		memcpy(at, &e, sizeof(e));
		memcpy(at + sizeof(e), w->text + s->at, s->len);
		at += entry_bytes(s->len);
	}
	p->n = w->n;
	p->n_bytes = (uint64_t)(at - (char *)dst);
}

int words_merge(struct words *w, const void *packed, size_t n_bytes)
{
	const char *at = packed, *end;
	struct packed p;

	/* Another process wrote this: sizes are checked before use. */
	if (n_bytes < sizeof(p))
		return -EBADMSG;
	memcpy(&p, packed, sizeof(p));
	if (p.n_bytes > n_bytes || p.n_bytes < sizeof(p))
		return -EBADMSG;
	end = at + p.n_bytes;
	at += sizeof(p);
	reserve_text(w, p.n_bytes);
	for (uint64_t n = 0; n < p.n; n++) {
		uint32_t hash = 2166136261u;
		struct entry e;

		if ((size_t)(end - at) < sizeof(e))
			return -EBADMSG;
		memcpy(&e, at, sizeof(e));
		if ((size_t)(end - at) < entry_bytes(e.len) || !e.count)
			return -EBADMSG;
		memcpy(w->text + w->n_text, at + sizeof(e), e.len);
		for (uint32_t i = 0; i < e.len; i++)
			hash = hash_step(hash, w->text[w->n_text + i]);
		commit(w, hash, e.len, e.count);
		at += entry_bytes(e.len);
	}
	return 0;
}

/* For qsort_r(): the text that all words of an array are in. */
static int by_text(const void *va, const void *vb, void *text)
{
	const struct word *a = va, *b = vb;
	uint32_t len = a->len < b->len ? a->len : b->len;
	int r = memcmp((char *)text + a->at, (char *)text + b->at, len);

	return r ? r : (a->len > b->len) - (a->len < b->len);
}

static int by_count(const void *va, const void *vb, void *text)
{
	const struct word *a = va, *b = vb;

	if (a->count != b->count)
		return a->count < b->count ? 1 : -1;
	return by_text(va, vb, text);
}

static struct word *sorted(const struct words *w,
			   int (*cmp)(const void *, const void *, void *))
{
	struct word *all = calloc(w->n + 1, sizeof(*all));
	size_t n = 0;

	if (!all)
		wc_die("sort", -ENOMEM);
	for (size_t i = 0; i < w->n_slots; i++)
		if (w->slot[i].count)
			all[n++] = w->slot[i];
	qsort_r(all, n, sizeof(*all), cmp, w->text);
	return all;
}

static void print(const struct words *w, const struct word *s, FILE *f)
{
	fprintf(f, "%7llu %.*s\n", (unsigned long long)s->count, (int)s->len,
		w->text + s->at);
}

int words_dump(const struct words *w, const char *path)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "we") : stdout;
	struct word *all;
	int r = 0;

	if (!f)
		return -errno;
	all = sorted(w, by_text);
	for (size_t i = 0; i < w->n; i++)
		print(w, &all[i], f);
	free(all);
	if (fflush(f) != 0 || ferror(f))
		r = -EIO;
	if (f != stdout)
		fclose(f);
	return r;
}

void words_top(const struct words *w, size_t n)
{
	struct word *all = sorted(w, by_count);

	for (size_t i = 0; i < n && i < w->n; i++)
		print(w, &all[i], stdout);
	free(all);
}
