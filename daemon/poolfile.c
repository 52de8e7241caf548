/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/poolfile.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "daemon/log.h"
#include "daemon/settings.h"

#define SUFFIX ".pool"

static const char *set_bytes(void *into, const char *value)
{
	struct pool_spec *spec = into;

	return settings_bytes(value, &spec->bytes);
}

static const char *set_kind(void *into, const char *value)
{
	static const char *const words[] = {
		[TN_KIND_SLAB] = "slab", [TN_KIND_BUDDY] = "buddy",
	};
	struct pool_spec *spec = into;

	return settings_choice(value, words, TN_ARRAY_LEN(words), &spec->kind) ?
		"slab or buddy is wanted" : NULL;
}

static const char *set_policy(void *into, const char *value)
{
	static const char *const words[] = {
		[TN_FIRST_FIT] = "first-fit", [TN_BEST_FIT] = "best-fit",
		[TN_WORST_FIT] = "worst-fit",
	};
	struct pool_spec *spec = into;

	return settings_choice(value, words, TN_ARRAY_LEN(words),
			       &spec->policy) ?
		"first-fit, best-fit or worst-fit is wanted" : NULL;
}

static const char *set_flags(void *into, const char *value)
{
	static const char *const words[] = { "", "abort-on-misuse" };
	struct pool_spec *spec = into;
	uint32_t flags;

	if (settings_choice(value, words, TN_ARRAY_LEN(words), &flags))
		return "abort-on-misuse or nothing is wanted";
	spec->flags |= flags;
	return NULL;
}

static const char *set_reserve(void *into, const char *value)
{
	static const char *const words[] = { "no", "yes" };
	struct pool_spec *spec = into;
	uint32_t yes;

	if (settings_choice(value, words, TN_ARRAY_LEN(words), &yes))
		return "yes or no is wanted";
	if (yes)
		spec->flags |= TN_POOL_RESERVE;
	return NULL;
}

static const char *set_mode(void *into, const char *value)
{
	struct pool_spec *spec = into;

	return settings_mode(value, &spec->access.mode);
}

static const char *set_owner(void *into, const char *value)
{
	struct pool_spec *spec = into;

	return settings_user(value, &spec->access.uid);
}

static const char *set_group(void *into, const char *value)
{
	struct pool_spec *spec = into;

	return settings_group(value, &spec->access.gid);
}

#define FILE_RULE(name) \
	static const char *set_compact_##name(void *into, const char *value) \
	{ \
		struct pool_spec *spec = into; \
		return compact_rule_##name(&spec->compact, value); \
	}
FILE_RULE(percent)
FILE_RULE(start)
FILE_RULE(stop)

static const struct setting table[] = {
	{ "pool", "bytes", set_bytes },
	{ "pool", "kind", set_kind },
	{ "pool", "policy", set_policy },
	{ "pool", "flags", set_flags },
	{ "pool", "reserve", set_reserve },
	{ "pool", "mode", set_mode },
	{ "pool", "owner", set_owner },
	{ "pool", "group", set_group },
	{ "compaction", "percent", set_compact_percent },
	{ "compaction", "start", set_compact_start },
	{ "compaction", "stop", set_compact_stop },
};
static_assert(TN_POOL_ABORT_ON_MISUSE == 1, "set_flags() counts on it");

/* @file is NAME.pool, as the directory says. */
static int read_one(const char *dir, const char *file, struct pool_spec *spec)
{
	size_t n = strlen(file) - strlen(SUFFIX);
	char path[PATH_MAX + NAME_MAX + 2];
	const char *wrong;
	int r;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	*spec = (struct pool_spec){
		.kind = TN_KIND_SLAB,
		.policy = TN_FIRST_FIT,
		.access = { .uid = geteuid(), .gid = getegid() },
	};
	if (n >= sizeof(spec->name)) {
		log_error("%s: the name is longer than %zu bytes", path,
			  sizeof(spec->name) - 1);
		return -EINVAL;
	}
	memcpy(spec->name, file, n);
	r = settings_read(path, table, TN_ARRAY_LEN(table), spec);
	if (r < 0) {
		if (r == -ENOENT) /* a dangling link, or it went just now */
			log_error("%s: %s", path, strerror(ENOENT));
		return r;
	}
	wrong = spec->bytes ? pool_spec_check(spec) : "bytes: is missing";
	if (wrong)
		log_error("%s: [pool] %s", path, wrong);
	return wrong ? -EINVAL : 0;
}

static int is_pool_file(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name), suffix = strlen(SUFFIX);

	return entry->d_name[0] != '.' && n > suffix &&
	       !strcmp(entry->d_name + n - suffix, SUFFIX);
}

static void free_entries(struct dirent **entries, int n)
{
	while (n > 0)
		free(entries[--n]);
	free(entries);
}

int poolfile_read_all(const char *dir, bool must_exist,
		      struct pool_spec **ret, size_t *ret_n)
{
	tn_cleanup(tn_freep) struct pool_spec *specs = NULL;
	struct dirent **entries = NULL;
	int n, r = 0;

	n = scandir(dir, &entries, is_pool_file, alphasort);
	if (n < 0 && errno == ENOENT && !must_exist)
		n = 0;
	if (n < 0) {
		r = tn_neg_errno();
		log_error("%s: %s", dir, strerror(-r));
		return r;
	}
	specs = calloc((size_t)n + 1, sizeof(*specs));
	if (!specs) {
		r = -ENOMEM;
		log_error("%s: %s", dir, strerror(-r));
	}
	/* all of them, so that all mistakes are told at once */
	for (int i = 0; specs && i < n; i++) {
		int one = read_one(dir, entries[i]->d_name, &specs[i]);

		r = r ? r : one;
	}
	free_entries(entries, n);
	if (r < 0)
		return r;
	*ret = tn_steal_ptr(specs);
	*ret_n = (size_t)n;
	return 0;
}
