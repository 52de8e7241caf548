/* SPDX-License-Identifier: BSD-2-Clause */
#include "malloc/say.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool ignore_misuse;

struct line {
	char text[256];
	size_t n;
};

static void add(struct line *l, const char *text)
{
	while (*text && l->n < sizeof(l->text) - 1)
		l->text[l->n++] = *text++;
}

static void add_pointer(struct line *l, const void *p)
{
	char digits[] = "0x0000000000000000";
	uintptr_t v = (uintptr_t)p;

	for (unsigned i = 0; i < 16; i++, v >>= 4)
		digits[17 - i] = "0123456789abcdef"[v & 15];
	add(l, digits);
}

static void end(struct line *l)
{
	ssize_t written;

	l->text[l->n++] = '\n';
	written = write(STDERR_FILENO, l->text, l->n);
	(void)written; /* there is nobody else to tell */
}

void tn_say(const char *what, const char *why)
{
	struct line l = { .n = 0 };

	add(&l, "tarn-malloc: ");
	add(&l, what);
	if (why) {
		add(&l, ": ");
		add(&l, why);
	}
	end(&l);
}

void tn_misuse(const char *call, const void *p, const char *why)
{
	struct line l = { .n = 0 };

	if (ignore_misuse)
		return;
	add(&l, "tarn-malloc: ");
	add(&l, call);
	add(&l, "(");
	add_pointer(&l, p);
	add(&l, "): ");
	add(&l, why);
	end(&l);
	abort();
}

bool tn_misuse_configure(const char *value)
{
	if (!value || !strcmp(value, "abort"))
		return true;
	ignore_misuse = !strcmp(value, "ignore");
	if (!ignore_misuse)
		tn_say("TARN_MALLOC_MISUSE is neither abort nor ignore", value);
	return ignore_misuse;
}
