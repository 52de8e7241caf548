/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What fallocate() on a memfd does when memory runs out is not to fail: the
 * kernel kills somebody, chosen by what is mapped, which a file's pages are
 * not; and where it is our control group's limit that was reached, that
 * somebody is tarnd. So we look before we take:
 *
 *	available = least of  /proc/meminfo: MemAvailable
 *	                      of our control group and each one above it:
 *	                      limit - usage + file pages nobody has used lately
 *
 * in version 1 (memory.limit_in_bytes) or 2 (memory.max) of control groups,
 * wherever they are mounted at the usual places.
 */
#include "daemon/memory.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"

#define PATH_BYTES (2 * PATH_MAX)

struct version {
	const char *mount, *limit, *usage, *inactive;
};

static const struct version v1 = {
	"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
	"memory.usage_in_bytes", "total_inactive_file",
};
static const struct version v2 = {
	"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file",
};

/* The number after @word at the beginning of a line; "" is the first line. */
static bool read_number(const char *path, const char *word, uint64_t *ret)
{
	char line[256];
	size_t n = strlen(word);
	bool found = false;
	FILE *f = fopen(path, "re");

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = !strncmp(line, word, n) &&
			sscanf(line + n + strspn(line + n, ": "), "%" SCNu64,
			       ret) == 1;
	fclose(f);
	return found;
}

static uint64_t left_in(const char *dir, const struct version *v)
{
	uint64_t limit, usage, inactive = 0;
	char path[PATH_BYTES + 64];

	snprintf(path, sizeof(path), "%s/%s", dir, v->limit);
	if (!read_number(path, "", &limit)) /* or "max" */
		return UINT64_MAX;
	snprintf(path, sizeof(path), "%s/%s", dir, v->usage);
	if (!read_number(path, "", &usage))
		return UINT64_MAX;
	snprintf(path, sizeof(path), "%s/memory.stat", dir);
	read_number(path, v->inactive, &inactive);
	usage -= tn_min64(usage, inactive);
	return limit > usage ? limit - usage : 0;
}

/* In @group and all above it. */
static uint64_t left_below(const char *root, const struct version *v,
			   const char *group)
{
	uint64_t least = UINT64_MAX;
	char dir[PATH_BYTES], *slash;
	size_t top;

	top = (size_t)snprintf(dir, sizeof(dir), "%s%s", root, v->mount);
	snprintf(dir + top, sizeof(dir) - top, "%s", group);
	for (;;) {
		least = tn_min64(least, left_in(dir, v));
		slash = strrchr(dir, '/');
		if (strlen(dir) <= top || slash < dir + top)
			return least;
		*slash = '\0';
	}
}

/* Lines of /proc/self/cgroup: "4:memory:/a/b", "0::/a/b" */
static uint64_t left_in_groups(const char *root)
{
	char path[PATH_BYTES], line[PATH_MAX + 64];
	uint64_t least = UINT64_MAX;
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	f = fopen(path, "re");
	if (!f)
		return least;
	while (fgets(line, sizeof(line), f)) {
		char *names = strchr(line, ':');
		char *group = names ? strchr(names + 1, ':') : NULL;

		if (!group)
			continue;
		group[strcspn(group, "\n")] = '\0';
		*group++ = '\0';
		if (!names[1])
			least = tn_min64(least, left_below(root, &v2, group));
		else if (strstr(names + 1, "memory"))
			least = tn_min64(least, left_below(root, &v1, group));
	}
	fclose(f);
	return least;
}

uint64_t memory_available(const char *root)
{
	char path[PATH_BYTES];
	uint64_t kib, bytes = UINT64_MAX;

	snprintf(path, sizeof(path), "%s/proc/meminfo", root);
	if (read_number(path, "MemAvailable", &kib))
		bytes = kib * 1024;
	return tn_min64(bytes, left_in_groups(root));
}

uint64_t memory_total(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) *
	       (uint64_t)sysconf(_SC_PAGESIZE);
}
