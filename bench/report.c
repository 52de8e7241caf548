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
		if (s->v[i] >= 0)
			v[n++] = s->v[i];
	if (n == 0)
		return false;
	qsort(v, n, sizeof(v[0]), by_value);
	ret->median = n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
	ret->min = v[0];
	ret->max = v[n - 1];
	return true;
}

/* Of two series, round by round. */
static struct series ratios(const struct series *s, const struct series *base)
{
	struct series r = { .n = s->n < base->n ? s->n : base->n };

	for (size_t i = 0; i < r.n; i++)
		r.v[i] = s->v[i] >= 0 && base->v[i] > 0 ?
			 s->v[i] / base->v[i] : -1;
	return r;
}

static size_t index_of(const char *allocator)
{
	for (size_t i = 0; i < bench_n_allocators; i++)
		if (strcmp(bench_allocators[i].name, allocator) == 0)
			return i;
	bench_die("no such allocator", 0);
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
	printf("%-22s %-11s %-4s %10s %23s  %6s %15s\n", "case", "allocator",
	       "unit", "median", "(min        max)", "ratio",
	       "(min    max)");
}

/*
 * Verdicts: tarn's ratio to the fastest private heap that others made, and to
 * each other shared one.
 */

struct verdict {
	char name[64];
	const char *than;
	struct summary ratio;
};
static struct verdict *verdicts;
static size_t n_verdicts;

static void note(const struct figure *f, const char *than)
{
	struct series r = ratios(&f->by[index_of("tarn")],
				 &f->by[index_of(than)]);
	struct verdict v = { .than = than };

	if (!summarize(&r, &v.ratio))
		return;
	snprintf(v.name, sizeof(v.name), "%s", f->name);
	verdicts = realloc(verdicts, (n_verdicts + 1) * sizeof(v));
	if (!verdicts)
		bench_die("memory", -ENOMEM);
	verdicts[n_verdicts++] = v;
}

static void note_verdicts(const struct figure *f)
{
	static const char *const rivals[] = { "jemalloc", "mimalloc",
					      "tcmalloc" };
	const char *best = NULL;
	struct summary s, least = { 0 };

	if (strstr(f->name, "/clock")) /* is what measuring costs */
		return;
	for (size_t i = 0; i < BENCH_N(rivals); i++) {
		if (!summarize(&f->by[index_of(rivals[i])], &s) ||
		    (best && s.median >= least.median))
			continue;
		best = rivals[i];
		least = s;
	}
	if (best)
		note(f, best);
	note(f, "boost");
	note(f, "iceoryx");
}

void print_verdicts(void)
{
	printf("\ntarn beside the fastest of jemalloc, mimalloc and tcmalloc, "
	       "and beside each\nother shared heap: medians of the rounds' "
	       "ratios\n");
	for (size_t i = 0; i < n_verdicts; i++) {
		const struct verdict *v = &verdicts[i];

		printf("%-22s %7.3f of %-9s (%.3f %.3f)\n", v->name,
		       v->ratio.median, v->than, v->ratio.min, v->ratio.max);
	}
	free(verdicts);
	verdicts = NULL;
	n_verdicts = 0;
}

static void print_row(const struct figure *f, size_t allocator, FILE *tsv)
{
	const struct series *s = &f->by[allocator];
	const char *name = bench_allocators[allocator].name;
	struct summary own, ratio;
	struct series r;

	printf("%-22s %-11s %-4s ", f->name, name, f->unit);
	if (!summarize(s, &own)) {
		printf("%10s\n", "-"); /* nothing measured, nothing said */
		fprintf(tsv, "%s\t%s\t%s\t\t\t\n", f->name, name, f->unit);
		return;
	}
	printf("%10.2f (%10.2f %10.2f)", own.median, own.min, own.max);
	fprintf(tsv, "%s\t%s\t%s\t%.3f\t%.3f\t%.3f\n", f->name, name, f->unit,
		own.median, own.min, own.max);
	r = ratios(s, &f->by[index_of("jemalloc")]);
	if (summarize(&r, &ratio))
		printf("  %6.2f (%6.2f %6.2f)", ratio.median, ratio.min,
		       ratio.max);
	printf("\n");
}

void print_figure(const struct figure *f, const struct bench_case *c,
		  bool is_first, FILE *tsv)
{
	struct summary s;

	/* That there is no figure is said once, of a case's first. */
	for (size_t i = 0; i < bench_n_allocators; i++)
		if (bench_can(c, &bench_allocators[i]) &&
		    (is_first || summarize(&f->by[i], &s)))
			print_row(f, i, tsv);
	note_verdicts(f);
	fflush(stdout);
}

FILE *open_tsv(const char *name)
{
	const char *out = getenv("TARN_BENCH_OUT");
	char path[4096];
	FILE *f;

	out = out ? out : "bench/out";
	if (mkdir(out, 0777) < 0 && errno != EEXIST)
		bench_die(out, -errno);
	snprintf(path, sizeof(path), "%s/%s.tsv", out, name);
	f = fopen(path, "we");
	if (!f)
		bench_die(path, -errno);
	fprintf(f, "case\tallocator\tunit\tmedian\tmin\tmax\n");
	return f;
}
