/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Running a command line and looking at what it said. */
#include "tests/lib/tn_test.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* What the last command printed, on stdout and stderr. */
static char tool_said[1 << 16];

/* Run it in a shell, in which $B is the build directory; its exit status. */
__attribute__((format(printf, 1, 2), unused))
static int tool_run(const char *fmt, ...)
{
	char line[8192], build[4096];
	size_t n = 0, got;
	va_list ap;
	FILE *f;
	int k;

	k = snprintf(line, sizeof(line), "exec 2>&1; B='%s'; ",
		     tn_test_program("", build, sizeof(build)));
	va_start(ap, fmt);
	vsnprintf(line + k, sizeof(line) - (size_t)k, fmt, ap);
	va_end(ap);
	f = popen(line, "re");
	assert_non_null(f);
	while ((got = fread(tool_said + n, 1, sizeof(tool_said) - 1 - n, f)))
		n += got;
	tool_said[n] = '\0';
	k = pclose(f);
	return WIFEXITED(k) ? WEXITSTATUS(k) : 128 + WTERMSIG(k);
}

#define assert_said(text) \
	do { \
		if (!strstr(tool_said, (text))) \
			fail_msg("'%s' is not in:\n%s", (text), tool_said); \
	} while (0)

#define assert_not_said(text) \
	do { \
		if (strstr(tool_said, (text))) \
			fail_msg("'%s' is in:\n%s", (text), tool_said); \
	} while (0)
