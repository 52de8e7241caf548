/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rounds. The process that the user starts measures nothing: for each
 * figure it runs itself anew,
 *
 *	bench --run CASE PARAM ALLOCATOR N_OPS MODE
 *
 * with the allocator's library preloaded, and reads its figures (measure.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/bench.h"

#define ROUNDS 5
#define CHECK_DIVIDE 500  /* a check does so many times less */
#define MAX_FIGURES 16    /* of one case and parameter */

extern const struct bench_group bench_alloc, bench_runs, bench_handoff,
	bench_scale, bench_latency, bench_life, bench_mem,
	bench_handles, bench_frag, bench_mover;

const struct bench_group *const bench_groups[] = {
	&bench_alloc, &bench_runs, &bench_handoff, &bench_scale,
	&bench_latency, &bench_life, &bench_mem,
	&bench_handles, &bench_frag, &bench_mover,
};
const size_t bench_n_groups = BENCH_N(bench_groups);

struct plan {
	size_t n_rounds;
	const char *word;  /* in the name of what is to run */
	const char *only;  /* this allocator; NULL: all */
	bool check;
	bool missing[BENCH_MAX_ALLOCATORS];
};

/* A case with one of its parameters, and its figures so far. */
struct job {
	const struct bench_case *c;
	uint64_t param;
	char name[36];
	size_t n_figures;
	struct figure figures[MAX_FIGURES];
};

static void become_run(const struct plan *plan, const struct job *job,
		       const struct allocator *a, int out, bool quiet)
{
	uint64_t n = job->c->n_ops / (plan->check ? CHECK_DIVIDE : 1) + 1;
	char ops[32], param[32], buf[4096];
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	snprintf(ops, sizeof(ops), "%llu", (unsigned long long)n);
	snprintf(param, sizeof(param), "%llu", (unsigned long long)job->param);
	dup2(out, 1);
	if (quiet)
		dup2(null, 2);
	if (a->kind == BENCH_PRIVATE)
		setenv("LD_PRELOAD",
		       allocator_library(a, buf, sizeof(buf)), 1);
	else
		unsetenv("LD_PRELOAD");
	execl("/proc/self/exe", "bench", "--run", job->c->name, param, a->name,
	      ops, plan->check ? "2" : "0", (char *)NULL);
	_exit(127);
}

static struct figure *figure_of(struct job *job, const char *sub,
				const char *unit)
{
	struct figure *f = job->figures;
	char name[sizeof(f->name)];

	snprintf(name, sizeof(name), "%s%s%s", job->name,
		 strcmp(sub, "-") == 0 ? "" : "/",
		 strcmp(sub, "-") == 0 ? "" : sub);
	for (; f < job->figures + job->n_figures; f++)
		if (strcmp(f->name, name) == 0)
			return f;
	if (job->n_figures == MAX_FIGURES)
		bench_die("more figures than there is room for", 0);
	job->n_figures++;
	memset(f, 0, sizeof(*f));
	for (size_t i = 0; i < BENCH_MAX_ALLOCATORS; i++)
		for (size_t k = 0; k < BENCH_MAX_ROUNDS; k++)
			f->by[i].v[k] = -1;
	snprintf(f->name, sizeof(f->name), "%s", name);
	snprintf(f->unit, sizeof(f->unit), "%s", unit);
	return f;
}

static void read_figures(struct job *job, FILE *in, size_t allocator,
			 size_t round)
{
	char line[128], sub[24], unit[12];
	double value;

	while (fgets(line, sizeof(line), in)) {
		struct series *s;

		if (sscanf(line, "%23s %11s %lf", sub, unit, &value) != 3)
			bench_die("a line that is no figure", 0);
		s = &figure_of(job, sub, unit)->by[allocator];
		s->v[round] = value;
		s->n = round + 1;
	}
}

/* The status it ended with; the figures of one that failed do not count. */
static int run_apart(const struct plan *plan, struct job *job,
		     size_t allocator, size_t round, bool quiet)
{
	struct job into = *job;
	int fd[2], status;
	pid_t pid;
	FILE *f;

	if (pipe2(fd, O_CLOEXEC) < 0)
		bench_die("pipe", -errno);
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		bench_die("fork", -errno);
	if (pid == 0)
		become_run(plan, job, &bench_allocators[allocator], fd[1],
			   quiet);
	close(fd[1]);
	f = fdopen(fd[0], "r");
	if (!f)
		bench_die("fdopen", -errno);
	read_figures(&into, f, allocator, round);
	fclose(f);
	waitpid(pid, &status, 0);
	status = WIFEXITED(status) ? WEXITSTATUS(status) :
				     128 + WTERMSIG(status);
	if (status == 0)
		*job = into;
	return status;
}

/* Which allocators are here? Asked once, so that a missing one is said once. */
static void probe(struct plan *plan)
{
	static struct job job;

	job.c = &bench_groups[0]->cases[0];
	for (size_t i = 0; i < bench_n_allocators; i++) {
		const struct allocator *a = &bench_allocators[i];
		char buf[4096];

		if (plan->only && strcmp(plan->only, a->name) != 0)
			plan->missing[i] = true;
		if (!a->library || plan->missing[i])
			continue;
		plan->missing[i] = run_apart(plan, &job, i, 0, true) != 0;
		if (plan->missing[i])
			printf("%s: no %s here, so no figures\n", a->name,
			       allocator_library(a, buf, sizeof(buf)));
	}
}

static bool run_job(const struct plan *plan, struct job *job, FILE *tsv)
{
	bool ok = true;

	for (size_t round = 0; round < plan->n_rounds; round++) {
		for (size_t i = 0; i < bench_n_allocators; i++) {
			const struct allocator *a = &bench_allocators[i];
			int status;

			if (plan->missing[i] || !bench_can(job->c, a))
				continue;
			status = run_apart(plan, job, i, round, false);
			if (status == 0 || status == EXIT_MISSING)
				continue;
			fprintf(stderr, "bench: %s %s failed, status %d\n",
				job->name, a->name, status);
			ok = false;
		}
	}
	for (size_t i = 0; i < job->n_figures && !plan->check; i++)
		print_figure(&job->figures[i], job->c, i == 0, tsv);
	if (plan->check)
		printf("%s %s\n", ok ? "ok" : "not ok", job->name);
	return ok;
}

/* 1048576 is 1M */
static void name_job(struct job *job)
{
	const char *suffix[] = { "", "K", "M", "G", "T" };
	uint64_t v = job->param;
	size_t k = 0;

	if (!v) {
		snprintf(job->name, sizeof(job->name), "%s", job->c->name);
		return;
	}
	for (; k < 4 && v % 1024 == 0; k++)
		v /= 1024;
	snprintf(job->name, sizeof(job->name), "%s/%llu%s", job->c->name,
		 (unsigned long long)v, suffix[k]);
}

static bool run_case(const struct plan *plan, const struct bench_case *c,
		     FILE *tsv)
{
	static const uint64_t none[2];
	const uint64_t *params = c->params ? c->params : none;
	struct job *job = malloc(sizeof(*job));
	size_t i = 0;
	bool ok = true;

	if (!job)
		bench_die("memory", -ENOMEM);
	if (!plan->check)
		printf("\n# %s: %s\n", c->name, c->what);
	do {
		memset(job, 0, sizeof(*job));
		job->c = c;
		job->param = params[i++];
		name_job(job);
		ok = run_job(plan, job, tsv) && ok;
	} while (params[i] && !(plan->check && i == 2));
	free(job);
	return ok;
}

static bool is_wanted(const struct plan *plan, const struct bench_group *g,
		      size_t i)
{
	/* these take as long as all the others: only if asked for */
	if (!plan->word[0] && !plan->check &&
	    (g == &bench_frag || g == &bench_mover))
		return false;
	return strstr(g->name, plan->word) ||
	       strstr(g->cases[i].name, plan->word);
}

static bool run_group(const struct plan *plan, const struct bench_group *g)
{
	FILE *tsv = NULL;
	bool ok = true;

	for (size_t i = 0; i < g->n_cases; i++) {
		if (!is_wanted(plan, g, i))
			continue;
		if (!tsv && !plan->check)
			tsv = open_tsv(g->name);
		ok = run_case(plan, &g->cases[i], tsv) && ok;
	}
	if (tsv)
		fclose(tsv);
	return ok;
}

static int run_all(struct plan *plan)
{
	bool ok = true;

	if (!plan->check)
		print_machine();
	probe(plan);
	if (!plan->check) {
		printf("%zu rounds, all allocators in each; median of the "
		       "rounds, and of their ratios to jemalloc%s\n",
		       plan->n_rounds, getenv(PIN_ENV) ? "; pinned" : "");
		print_head();
	}
	for (size_t g = 0; g < bench_n_groups; g++)
		ok = run_group(plan, bench_groups[g]) && ok;
	if (!plan->check)
		print_verdicts();
	return ok ? 0 : 1;
}

static int list_all(void)
{
	for (size_t g = 0; g < bench_n_groups; g++)
		for (size_t i = 0; i < bench_groups[g]->n_cases; i++)
			printf("%-8s %-16s %s\n", bench_groups[g]->name,
			       bench_groups[g]->cases[i].name,
			       bench_groups[g]->cases[i].what);
	return 0;
}

static void usage(void)
{
	fputs("usage: bench [-r ROUNDS] [-c WORD] [-a ALLOCATOR] [-lpq]\n"
	      "  -c  cases with this in their name or their group's\n"
	      "  -a  this allocator alone\n"
	      "  -l  list the cases\n"
	      "  -p  pin the two sides of a hand-off to two processors\n"
	      "  -q  check what the allocators do, in one short round; no "
	      "figures\n", stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	struct plan plan = { .n_rounds = ROUNDS, .word = "" };
	int c;

	if (argc == 7 && strcmp(argv[1], "--run") == 0)
		return bench_measure(argv + 2);
	while ((c = getopt(argc, argv, "r:c:a:lpq")) != -1) {
		if (c == 'r')
			plan.n_rounds = strtoul(optarg, NULL, 10);
		else if (c == 'c')
			plan.word = optarg;
		else if (c == 'a')
			plan.only = optarg;
		else if (c == 'l')
			return list_all();
		else if (c == 'p')
			setenv(PIN_ENV, "1", 1);
		else if (c == 'q')
			plan.check = true, plan.n_rounds = 1;
		else
			usage();
	}
	if (optind != argc || plan.n_rounds < 1 ||
	    plan.n_rounds > BENCH_MAX_ROUNDS)
		usage();
	return run_all(&plan);
}
