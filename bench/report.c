/* SPDX-License-Identifier: BSD-2-Clause */
/* Medians, ratios, the table and its file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench/bench.h"

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

bool summarize(const struct series *s, struct summary *ret)
{
	double v[BENCH_MAX_ROUNDS];
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		if (s->ns[i] >= 0)
			v[n++] = s->ns[i];
	if (n == 0)
		return false;
	qsort(v, n, sizeof(v[0]), by_value);
	ret->median = n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
	ret->min = v[0];
	ret->max = v[n - 1];
	return true;
}

void ratios(const struct series *s, const struct series *base,
	    struct series *ret)
{
	ret->n = s->n < base->n ? s->n : base->n;
	for (size_t i = 0; i < ret->n; i++)
		ret->ns[i] = s->ns[i] >= 0 && base->ns[i] > 0 ?
			     s->ns[i] / base->ns[i] : -1;
}

static void print_cpu(void)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) || !colon)
			continue;
		printf("%.*s, ", (int)strcspn(colon + 2, "\n"), colon + 2);
		break;
	}
	if (f)
		fclose(f);
}

void print_machine(void)
{
	struct utsname u;

	uname(&u);
	printf("machine: ");
	print_cpu();
	printf("%ld processors, %s %s %s\n", sysconf(_SC_NPROCESSORS_ONLN),
	       u.sysname, u.release, u.machine);
}

void print_head(void)
{
	printf("%-16s %-9s %9s %19s  %6s %15s\n", "case", "allocator",
	       "ns/op", "(min      max)", "ratio", "(min    max)");
}

void print_row(const char *case_name, const char *allocator,
	       const struct series *s, const struct series *base, FILE *tsv)
{
	struct summary ns, ratio;
	struct series r;

	printf("%-16s %-9s ", case_name, allocator);
	if (!summarize(s, &ns)) {
		printf("%9s\n", "-"); /* nothing measured, nothing said */
		fprintf(tsv, "%s\t%s\tns\t\t\t\n", case_name, allocator);
		return;
	}
	printf("%9.2f (%8.2f %8.2f)", ns.median, ns.min, ns.max);
	fprintf(tsv, "%s\t%s\tns\t%.3f\t%.3f\t%.3f\n", case_name, allocator,
		ns.median, ns.min, ns.max);
	ratios(s, base, &r);
	if (summarize(&r, &ratio))
		printf("  %6.2f (%6.2f %6.2f)", ratio.median, ratio.min,
		       ratio.max);
	printf("\n");
	fflush(stdout);
}

FILE *open_tsv(const char *name)
{
	const char *out = getenv("TARN_BENCH_OUT");
	const char *build = getenv("TARN_BUILD");
	char dir[3800], path[4096];
	FILE *f;

	if (out)
		snprintf(dir, sizeof(dir), "%s", out);
	else
		snprintf(dir, sizeof(dir), "%s/bench", build ? build : "build");
	mkdir(dir, 0777);
	snprintf(path, sizeof(path), "%s/%s.tsv", dir, name);
	f = fopen(path, "we");
	if (!f)
		bench_die(path, -errno);
	fprintf(f, "case\tallocator\tunit\tmedian\tmin\tmax\n");
	return f;
}
