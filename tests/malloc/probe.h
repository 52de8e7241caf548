/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * A test of the preloaded library runs itself again with it, and the name of a
 * case as its argument. There the case uses malloc() like any program, and
 * tells by its exit status how it went: 0, or PROBE_FAILED and a line that
 * says where.
 */
#include "tests/system/tool.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bits.h"

#define PROBE_FAILED 3

#define check(cond) \
	do { \
		if (!(cond)) { \
			dprintf(2, "%s:%d: not so: %s (errno %d)\n", \
				__FILE__, __LINE__, #cond, errno); \
			_exit(PROBE_FAILED); \
		} \
	} while (0)

struct probe {
	const char *name;
	void (*fn)(void);
};

/* Runs a case of this very program, with the library and @env before it. */
#define PRELOAD "LD_PRELOAD=$B/libtarn-malloc.so "
static const char *probe_self;
__attribute__((unused))
static int probe_run(const char *env, const char *name)
{ return tool_run("%s " PRELOAD "'%s' %s", env, probe_self, name); }

#define assert_probe(env, name) \
	do { \
		int rc_ = probe_run(env, name); \
		if (rc_) \
			fail_msg("%s: status %d\n%s", name, rc_, tool_said); \
	} while (0)

/* What a sanitizer puts in the place of malloc cannot be replaced again. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
	defined(TN_TSAN)
#define PROBE_CANNOT true
#else
#define PROBE_CANNOT false
#endif

#define probe_skip_if_sanitized() \
	do { \
		if (PROBE_CANNOT) { \
			print_message("a sanitizer has malloc for itself\n"); \
			skip(); \
		} \
	} while (0)

/* A test that is one case, and prints what it says. */
#define PROBE_TEST(sentence, env, name) \
	static void sentence(void **state) \
	{ \
		(void)state; \
		probe_skip_if_sanitized(); \
		assert_probe(env, name); \
		if (tool_said[0]) \
			print_message("# %s", tool_said); \
	}

/* In main(): runs the case that is asked for, and does not come back. */
__attribute__((unused))
static void probe_main(int argc, char **argv, const struct probe *probes,
		       size_t n)
{
	static char self[4096];

	for (size_t i = 0; argc == 2 && i < n; i++) {
		if (strcmp(argv[1], probes[i].name))
			continue;
		probes[i].fn();
		_exit(0);
	}
	probe_self = realpath(argv[0], self);
}

/* A byte that says whose block it is. */
__attribute__((unused))
static void fill(void *p, size_t n, unsigned seed)
{ memset(p, (int)(seed % 251 + 1), n); }

__attribute__((unused))
static bool filled(const void *p, size_t n, unsigned seed)
{
	const unsigned char *b = p;

	for (size_t i = 0; i < n; i++)
		if (b[i] != seed % 251 + 1)
			return false;
	return true;
}

__attribute__((unused))
static bool all_zero(const void *p, size_t n)
{
	const unsigned char *b = p;

	for (size_t i = 0; i < n; i++)
		if (b[i])
			return false;
	return true;
}

/* Memory of this process, in KiB: its VmRSS or VmHWM line. */
__attribute__((unused))
static long memory_kib(const char *line)
{
	FILE *f = fopen("/proc/self/status", "re");
	char text[256];
	long kib = -1;

	while (f && fgets(text, sizeof(text), f))
		if (!strncmp(text, line, strlen(line)))
			kib = atol(text + strlen(line));
	if (f)
		fclose(f);
	return kib;
}
