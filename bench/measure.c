/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In the process that measures one case with one allocator. What it prints on
 * its standard output is read by the one that started it: a line a figure,
 *
 *	SUB UNIT VALUE
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"

#define RUN_SECONDS 120  /* a measurement that takes longer is lost */
#define WANTED_NS 2e8    /* about so long is timed; picked, not tuned */
#define STAMP_MAX ((uint64_t)1 << 31) /* bytes of an object */

void bench_die(const char *what, int err)
{
	fprintf(stderr, "bench: %s%s%s\n", what, err < 0 ? ": " : "",
		err < 0 ? strerror(-err) : "");
	_exit(1);
}

void bench_cannot(void)
{
	_exit(EXIT_MISSING);
}

void *bench_memory(size_t n_bytes)
{
	void *p = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		bench_die("memory", -errno);
	return p;
}

double bench_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* Without a stream: its memory would be of the heap that is measured. */
double bench_private_bytes(void)
{
	char text[4096], *at;
	int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n <= 0)
		bench_die("smaps_rollup", -errno);
	close(fd);
	text[n] = '\0';
	at = strstr(text, "\nAnonymous:");
	if (!at)
		bench_die("smaps_rollup", 0);
	return strtod(at + strlen("\nAnonymous:"), NULL) * 1024;
}

void bench_emit(const char *sub, const char *unit, double value)
{
	printf("%s %s %.6f\n", sub ? sub : "-", unit, value);
}

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

/*
 * Stamps: value | size, mixed with the value | bytes that follow from it
 */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 29;
	return x;
}

void bench_stamp(void *p, size_t size, uint64_t value)
{
	uint64_t head[2] = { value, size ^ mix(value) };

	if (size < sizeof(head))
		bench_die("an object too small for its stamp", 0);
	if ((uintptr_t)p % 8)
		bench_die("an object that is not aligned", 0);
	memcpy(p, head, sizeof(head));
	memset((char *)p + sizeof(head), (int)(mix(value) & 0xff),
	       size - sizeof(head));
}

uint64_t bench_verify(const void *p)
{
	const unsigned char *bytes = p;
	uint64_t head[2], size;

	memcpy(head, p, sizeof(head));
	size = head[1] ^ mix(head[0]);
	if (size < sizeof(head) || size > STAMP_MAX)
		bench_die("an object's stamp is spoilt", 0);
	for (uint64_t i = sizeof(head); i < size; i++)
		if (bytes[i] != (mix(head[0]) & 0xff))
			bench_die("an object's bytes are spoilt", 0);
	return head[0];
}

/*
 * One measurement
 */

/* Of a case that is alone what the processor did for it, whoever else wanted
 * the processor meanwhile; of one that waits for others what the clock says. */
static double clock_of(const struct bench_case *c)
{
	struct timespec ts;

	clock_gettime(c->is_alone ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC,
		      &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static double time_of(const struct bench_case *c, struct bench_run *r,
		      uint64_t n)
{
	double begin = clock_of(c);

	c->run[r->mode](r, n);
	return clock_of(c) - begin;
}

/* Does at least what the case says before it can be measured; then warms up
 * for a tenth of the time or the operations, whichever is less, which tells
 * how many are timed. */
static void time_case(const struct bench_case *c, struct bench_run *r,
		      uint64_t n)
{
	uint64_t warm = n / 1000 + 1, timed;
	double ns;

	c->run[r->mode](r, c->n_warm && !(r->mode & BENCH_CHECK) ? c->n_warm :
								   warm);
	ns = time_of(c, r, warm);
	while (ns < WANTED_NS / 10 && warm < n / 10) {
		warm *= 2;
		ns = time_of(c, r, warm);
	}
	timed = (uint64_t)(WANTED_NS / ns * (double)warm) + 1;
	if (timed > n)
		timed = n;
	bench_emit(NULL, "ns", time_of(c, r, timed) / (double)timed);
}

static void check_counts(const struct bench_run *r)
{
	if (!(r->mode & BENCH_CHECK))
		return;
	if (r->n_taken == 0 || r->n_taken != r->n_put) {
		fprintf(stderr, "bench: %llu taken, %llu put back\n",
			(unsigned long long)r->n_taken,
			(unsigned long long)r->n_put);
		_exit(1);
	}
	if (r->heap.peer && r->heap.peer->live(r->heap.pool))
		bench_die("the pool is not empty at the end", 0);
}

static int measure(const struct bench_case *c, const struct allocator *a,
		   struct bench_run *r, uint64_t n)
{
	alarm(RUN_SECONDS);
	if (!heap_open(&r->heap, a, c->bytes_are_param ? r->param :
			       c->pool_bytes ? c->pool_bytes :
					       BENCH_POOL_BYTES))
		return EXIT_MISSING;
	if (r->heap.peer)
		r->mode |= BENCH_SHARED;
	if (c->setup)
		c->setup(r);
	if (c->measure)
		c->measure(r, n);
	else
		time_case(c, r, n);
	if (c->teardown)
		c->teardown(r);
	check_counts(r);
	heap_close(&r->heap);
	return fflush(stdout) ? 1 : 0;
}

static const struct bench_case *find_case(const char *name)
{
	for (size_t g = 0; g < bench_n_groups; g++)
		for (size_t i = 0; i < bench_groups[g]->n_cases; i++)
			if (strcmp(bench_groups[g]->cases[i].name, name) == 0)
				return &bench_groups[g]->cases[i];
	bench_die("no such case", 0);
}

static const struct allocator *find_allocator(const char *name)
{
	for (size_t i = 0; i < bench_n_allocators; i++)
		if (strcmp(bench_allocators[i].name, name) == 0)
			return &bench_allocators[i];
	bench_die("no such allocator", 0);
}

int bench_measure(char **argv)
{
	struct bench_run r = { 0 };

	r.name = argv[0];
	r.param = strtoull(argv[1], NULL, 10);
	r.mode = (unsigned)strtoul(argv[4], NULL, 10);
	return measure(find_case(argv[0]), find_allocator(argv[2]), &r,
		       strtoull(argv[3], NULL, 10));
}
