/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rounds. The process that the user starts measures nothing: for each
 * figure it runs itself anew,
 *
 *	bench_x --run CASE ALLOCATOR N_OPS
 *
 * with the allocator's library preloaded, and reads one number from it.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"

#define ROUNDS 5
#define QUICK 200          /* a smoke test does so many times less */
#define RUN_SECONDS 120    /* a measurement that takes longer is lost */
#define EXIT_MISSING 77    /* the allocator is not on this machine */
#define PIN_ENV "TARN_BENCH_PIN" /* -p, for the processes that measure */

struct plan {
	const struct bench_case *cases;
	size_t n_cases;
	size_t n_rounds;
	uint64_t divide;   /* n_ops by this */
	const char *only_case;
	bool *missing;     /* by allocator */
};

void bench_die(const char *what, int err)
{
	fprintf(stderr, "bench: %s%s%s\n", what, err < 0 ? ": " : "",
		err < 0 ? strerror(-err) : "");
	exit(1);
}

void *bench_memory(size_t n_bytes)
{
	void *p = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		bench_die("memory", -errno);
	return p;
}

/*
 * In the measuring process
 */

void bench_pin(unsigned n)
{
	cpu_set_t mine, one;

	if (!getenv(PIN_ENV) || sched_getaffinity(0, sizeof(mine), &mine) < 0)
		return;
	n %= (unsigned)CPU_COUNT(&mine);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &mine) || n--)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
		return;
	}
}

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static const struct allocator *find_allocator(const char *name)
{
	for (size_t i = 0; i < bench_n_allocators; i++)
		if (strcmp(bench_allocators[i].name, name) == 0)
			return &bench_allocators[i];
	bench_die("no such allocator", 0);
}

static int measure(const struct bench_case *c, const struct allocator *a,
		   uint64_t n)
{
	bool tarn = !a->library;
	void (*run)(struct bench_run *, uint64_t) =
		tarn ? c->run_tarn : c->run_private;
	struct bench_run r = { 0 };
	double begin, end;

	alarm(RUN_SECONDS);
	if (!run || !heap_open(&r.heap, a) ||
	    (c->setup && !c->setup(&r, tarn)))
		return EXIT_MISSING;
	run(&r, n / 10 + 1);
	begin = now_ns();
	run(&r, n);
	end = now_ns();
	if (c->teardown)
		c->teardown(&r, tarn);
	heap_close(&r.heap);
	printf("%.4f\n", (end - begin) / (double)n);
	return 0;
}

static int run_one(const struct plan *plan, char **argv)
{
	uint64_t n = strtoull(argv[2], NULL, 10);

	for (size_t i = 0; i < plan->n_cases; i++)
		if (strcmp(plan->cases[i].name, argv[0]) == 0 && n > 0)
			return measure(&plan->cases[i],
				       find_allocator(argv[1]), n);
	bench_die("no such case", 0);
}

/*
 * In the process that the user started
 */

static void become_run(const struct bench_case *c, const struct allocator *a,
		       uint64_t n, int out, bool quiet)
{
	char ops[32];
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	snprintf(ops, sizeof(ops), "%llu", (unsigned long long)n);
	dup2(out, 1);
	if (quiet)
		dup2(null, 2);
	if (a->library)
		setenv("LD_PRELOAD", a->library, 1);
	else
		unsetenv("LD_PRELOAD");
	execl("/proc/self/exe", "bench", "--run", c->name, a->name, ops,
	      (char *)NULL);
	_exit(127);
}

/* One figure, in ns; below 0 if there is none, and then why in *ret_status. */
static double run_apart(const struct bench_case *c, const struct allocator *a,
			uint64_t n, bool quiet, int *ret_status)
{
	char line[64] = "";
	double ns = -1;
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
		become_run(c, a, n, fd[1], quiet);
	close(fd[1]);
	f = fdopen(fd[0], "r");
	if (f && fgets(line, sizeof(line), f))
		ns = strtod(line, NULL);
	if (f)
		fclose(f);
	waitpid(pid, &status, 0);
	*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) :
					  128 + WTERMSIG(status);
	return *ret_status == 0 && ns > 0 ? ns : -1;
}

/* Which allocators are here? Asked once, so that a missing one is said once. */
static void probe(struct plan *plan)
{
	plan->missing = calloc(bench_n_allocators, sizeof(*plan->missing));
	if (!plan->missing)
		bench_die("memory", -ENOMEM);
	for (size_t i = 0; i < bench_n_allocators; i++) {
		const struct allocator *a = &bench_allocators[i];
		int status;

		if (!a->library)
			continue;
		run_apart(&plan->cases[0], a, 1, true, &status);
		plan->missing[i] = status != 0;
		if (plan->missing[i])
			printf("%s: no %s on this machine, so no figures\n",
			       a->name, a->library);
	}
}

static bool run_case(const struct plan *plan, const struct bench_case *c,
		     FILE *tsv)
{
	struct series *all = calloc(bench_n_allocators, sizeof(*all));
	uint64_t n = c->n_ops / plan->divide + 1;
	bool ok = true;

	if (!all)
		bench_die("memory", -ENOMEM);
	for (size_t round = 0; round < plan->n_rounds; round++) {
		for (size_t i = 0; i < bench_n_allocators; i++) {
			struct series *s = &all[i];
			int status = 0;

			s->ns[s->n++] = plan->missing[i] ? -1 :
				run_apart(c, &bench_allocators[i], n, false,
					  &status);
			if (status == 0 || status == EXIT_MISSING)
				continue;
			fprintf(stderr, "bench: %s %s failed, status %d\n",
				c->name, bench_allocators[i].name, status);
			ok = false;
		}
	}
	for (size_t i = 0; i < bench_n_allocators; i++)
		print_row(c->name, bench_allocators[i].name, &all[i],
			  &all[BENCH_BASE], tsv);
	free(all);
	return ok;
}

static int run_all(struct plan *plan, const char *name)
{
	FILE *tsv = open_tsv(name);
	bool ok = true;

	print_machine();
	probe(plan);
	for (size_t i = 0; i < plan->n_cases; i++)
		if (strstr(plan->cases[i].name, plan->only_case))
			printf("%-16s %s\n", plan->cases[i].name,
			       plan->cases[i].what);
	printf("%zu rounds, all allocators in each; median of the rounds, and "
	       "of their ratios to %s%s\n\n", plan->n_rounds,
	       bench_allocators[BENCH_BASE].name,
	       getenv(PIN_ENV) ? "; pinned" : "");
	print_head();
	for (size_t i = 0; i < plan->n_cases; i++)
		if (strstr(plan->cases[i].name, plan->only_case))
			ok = run_case(plan, &plan->cases[i], tsv) && ok;
	fclose(tsv);
	free(plan->missing);
	return ok ? 0 : 1;
}

static void usage(void)
{
	fputs("usage: bench [-r ROUNDS] [-c CASE] [-p] [-q]\n"
	      "  -c  cases with this in their name\n"
	      "  -p  pin the two sides of a hand-off to two processors\n"
	      "  -q  one short round: does it run, not how fast\n", stderr);
	exit(2);
}

int bench_main(int argc, char **argv, const char *name,
	       const struct bench_case *cases, size_t n_cases)
{
	struct plan plan = {
		.cases = cases,
		.n_cases = n_cases,
		.n_rounds = ROUNDS,
		.divide = 1,
		.only_case = "",
	};
	int c;

	if (argc == 5 && strcmp(argv[1], "--run") == 0)
		return run_one(&plan, argv + 2);
	while ((c = getopt(argc, argv, "r:c:pq")) != -1) {
		if (c == 'r')
			plan.n_rounds = strtoul(optarg, NULL, 10);
		else if (c == 'c')
			plan.only_case = optarg;
		else if (c == 'p')
			setenv(PIN_ENV, "1", 1);
		else if (c == 'q')
			plan.n_rounds = 1, plan.divide = QUICK;
		else
			usage();
	}
	if (optind != argc || plan.n_rounds < 1 ||
	    plan.n_rounds > BENCH_MAX_ROUNDS)
		usage();
	return run_all(&plan, name);
}
