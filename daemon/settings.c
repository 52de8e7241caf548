/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/settings.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <ini.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "daemon/log.h"
#include "daemon/policy.h"

struct reading {
	const struct setting *table;
	size_t n;
	void *into;
	uint64_t seen;         /* bit i: table[i] was there */
	const char *wrong;     /* the first mistake */
	char where[128];       /* section and key of it */
	char value[64];
};

static int mistake(struct reading *r, const char *section, const char *key,
		   const char *value, const char *wrong)
{
	r->wrong = wrong;
	snprintf(r->where, sizeof(r->where), "[%s] %s", section, key);
	snprintf(r->value, sizeof(r->value), "%s", value);
	return 0;
}

/* Called by the parser for each line; it remembers the line of the first call
 * that returns 0, and calls on. */
static int on_line(void *user, const char *section, const char *key,
		   const char *value)
{
	struct reading *r = user;
	const char *wrong;

	if (r->wrong)
		return 0;
	for (size_t i = 0; i < r->n; i++) {
		if (strcmp(r->table[i].section, section) ||
		    strcmp(r->table[i].key, key))
			continue;
		if (r->seen & 1ULL << i)
			return mistake(r, section, key, value, "given twice");
		r->seen |= 1ULL << i;
		wrong = r->table[i].set(r->into, value);
		if (wrong)
			return mistake(r, section, key, value, wrong);
		return 1;
	}
	return mistake(r, section, key, value, "no such key");
}

int settings_read(const char *path, const struct setting *table, size_t n,
		  void *into)
{
	struct reading reading = { .table = table, .n = n, .into = into };
	FILE *f = fopen(path, "re");
	int line, r;

	tn_assert(n <= 64);
	if (!f) {
		r = tn_neg_errno();
		if (r != -ENOENT)
			log_error("%s: %s", path, strerror(-r));
		return r;
	}
	line = ini_parse_file(f, on_line, &reading);
	fclose(f);
	if (reading.wrong)
		log_error("%s:%d: %s = %s: %s", path, line, reading.where,
			  reading.value, reading.wrong);
	else if (line > 0)
		log_error("%s:%d: neither [section] nor key = value", path,
			  line);
	else if (line < 0)
		log_error("%s: cannot be read", path);
	return reading.wrong || line ? -EINVAL : 0;
}

/* Digits only: no sign, no blanks. */
static const char *digits(const char *value, int base, char **ret_end,
			  uint64_t *ret)
{
	unsigned long long v;

	if (!isdigit((unsigned char)value[0]))
		return "a number is wanted";
	errno = 0;
	v = strtoull(value, ret_end, base);
	if (errno)
		return "too large";
	*ret = v;
	return NULL;
}

const char *settings_number(const char *value, uint64_t *ret)
{
	const char *wrong;
	uint64_t v = 0;
	char *end;

	if (!strcmp(value, "unlimited")) {
		*ret = UINT64_MAX;
		return NULL;
	}
	wrong = digits(value, 10, &end, &v);
	if (wrong)
		return wrong;
	if (*end)
		return "a number is wanted";
	*ret = v;
	return NULL;
}

const char *settings_bytes(const char *value, uint64_t *ret)
{
	static const char suffixes[] = "KMGT";
	const char *wrong, *suffix;
	unsigned shift;
	uint64_t v = 0;
	char *end;

	if (!strcmp(value, "unlimited"))
		return settings_number(value, ret);
	wrong = digits(value, 10, &end, &v);
	if (wrong)
		return wrong;
	if (*end) {
		suffix = strchr(suffixes, *end);
		if (!suffix || end[1])
			return "a size is wanted, such as 4096, 64M or 1G";
		shift = 10 * (unsigned)(suffix - suffixes + 1);
		if (v << shift >> shift != v)
			return "too large";
		v <<= shift;
	}
	*ret = v;
	return NULL;
}

const char *settings_mode(const char *value, uint32_t *ret)
{
	uint64_t v = 0;
	char *end;

	if (digits(value, 8, &end, &v) || *end ||
	    v & ~(uint64_t)ACCESS_MODE_MASK)
		return "an octal mode is wanted, of r and w bits, such as 0640";
	*ret = (uint32_t)v;
	return NULL;
}

static const char *id_number(const char *value, uint32_t *ret)
{
	uint64_t v = 0;
	char *end;

	if (digits(value, 10, &end, &v) || *end || v >= UINT32_MAX)
		return "not a valid id";
	*ret = (uint32_t)v;
	return NULL;
}

const char *settings_user(const char *value, uid_t *ret)
{
	struct passwd *pw;

	if (isdigit((unsigned char)value[0]))
		return id_number(value, ret);
	pw = getpwnam(value);
	if (!pw)
		return "no such user";
	*ret = pw->pw_uid;
	return NULL;
}

const char *settings_group(const char *value, gid_t *ret)
{
	struct group *gr;

	if (isdigit((unsigned char)value[0]))
		return id_number(value, ret);
	gr = getgrnam(value);
	if (!gr)
		return "no such group";
	*ret = gr->gr_gid;
	return NULL;
}

const char *settings_choice(const char *value, const char *const words[],
			    size_t n, uint32_t *ret)
{
	for (size_t i = 0; i < n; i++) {
		if (words[i] && !strcmp(words[i], value)) {
			*ret = (uint32_t)i;
			return NULL;
		}
	}
	return "no such choice";
}
