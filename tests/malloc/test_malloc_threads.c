/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads that come and go, and processes that fork in the middle of it. */
#include "tests/malloc/probe.h"

#include <pthread.h>
#include <sys/wait.h>
#include <time.h>

#define SECONDS 3

static _Atomic bool stop;

static unsigned next(unsigned *x)
{
	*x = *x * 1103515245 + 12345;
	return *x >> 8;
}

/* Blocks of all kinds, each filled with its own byte. */
#define N_BLOCKS 300
struct blocks {
	unsigned seed;
	struct { void *p; size_t bytes; unsigned fill; } at[N_BLOCKS];
};

static size_t some_size(unsigned *seed)
{
	unsigned r = next(seed) % 1000;

	return r < 900 ? next(seed) % 500 + 1 :
	       r < 998 ? next(seed) % 40000 + 1 : next(seed) % 300000 + 1;
}

/* Only the ends of what is large: it would be slow, else. */
static bool right(const void *p, size_t n, unsigned seed)
{
	size_t edge = n < 600 ? n : 300;

	return filled(p, edge, seed) &&
	       filled((const char *)p + n - edge, edge, seed);
}

static void churn(struct blocks *b, unsigned steps)
{
	while (steps--) {
		unsigned i = next(&b->seed) % N_BLOCKS;

		if (b->at[i].p) {
			check(right(b->at[i].p, b->at[i].bytes, b->at[i].fill));
			if (next(&b->seed) % 4 == 0) {
				size_t n = some_size(&b->seed);

				b->at[i].p = realloc(b->at[i].p, n);
				check(b->at[i].p);
				if (n < b->at[i].bytes)
					check(filled(b->at[i].p, 1,
						     b->at[i].fill));
			} else {
				free(b->at[i].p);
				b->at[i].p = NULL;
				continue;
			}
		}
		b->at[i].bytes = some_size(&b->seed);
		b->at[i].fill = next(&b->seed);
		free(b->at[i].p);
		b->at[i].p = malloc(b->at[i].bytes);
		check(b->at[i].p);
		fill(b->at[i].p, b->at[i].bytes, b->at[i].fill);
	}
}

static void all_right(const struct blocks *b)
{
	for (unsigned i = 0; i < N_BLOCKS; i++)
		if (b->at[i].p)
			check(right(b->at[i].p, b->at[i].bytes,
				    b->at[i].fill));
}

static void free_all(struct blocks *b)
{
	for (unsigned i = 0; i < N_BLOCKS; i++) {
		free(b->at[i].p);
		b->at[i].p = NULL;
	}
}

static struct blocks *blocks_new(unsigned seed)
{
	struct blocks *b = calloc(1, sizeof(*b));

	check(b);
	b->seed = seed;
	return b;
}

static void *churn_until_stopped(void *arg)
{
	while (!stop)
		churn(arg, 1000);
	return NULL;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

#define N_THREADS 4

static void start(pthread_t *threads, struct blocks **b)
{
	for (unsigned i = 0; i < N_THREADS; i++) {
		b[i] = blocks_new(i + 1);
		check(!pthread_create(&threads[i], NULL, churn_until_stopped,
				      b[i]));
	}
}

static void end(pthread_t *threads, struct blocks **b)
{
	stop = true;
	for (unsigned i = 0; i < N_THREADS; i++) {
		check(!pthread_join(threads[i], NULL));
		all_right(b[i]);
		free_all(b[i]);
		free(b[i]);
	}
}

static void threads_do_not_meet(void)
{
	struct blocks *b[N_THREADS];
	pthread_t threads[N_THREADS];

	start(threads, b);
	sleep(SECONDS);
	end(threads, b);
}

/* What one thread allocated, another frees. */
static void *pass_on(void *arg)
{
	struct blocks *b = arg;

	free_all(b);
	churn(b, 2000);
	return b;
}

static void many_short_threads(void)
{
	struct blocks *b = blocks_new(99);
	long early = 0, late;
	pthread_t t;

	for (unsigned i = 0; i < 1500; i++) {
		check(!pthread_create(&t, NULL, pass_on, b));
		check(!pthread_join(t, NULL));
		if (i == 500)
			early = memory_kib("VmRSS:");
	}
	late = memory_kib("VmRSS:");
	dprintf(2, "after 500 threads %ld KiB, after 1500 %ld KiB\n", early,
		late);
	check(late < early + early / 2);
}

/* More of them at once than there are lanes. */
#define N_CROWD 1100
static pthread_barrier_t all_here;

static void *one_of_many(void *arg)
{
	void *p = malloc(100), *q;

	check(p);
	fill(p, 100, (unsigned)(uintptr_t)arg);
	pthread_barrier_wait(&all_here);
	for (unsigned i = 0; i < 50; i++) {
		q = realloc(malloc(i * 40), 4000);
		check(q);
		free(q);
	}
	check(filled(p, 100, (unsigned)(uintptr_t)arg));
	pthread_barrier_wait(&all_here);
	return p;
}

static void more_threads_than_lanes(void)
{
	static pthread_t threads[N_CROWD];
	pthread_attr_t attr;
	void *p;

	check(!pthread_attr_init(&attr));
	check(!pthread_attr_setstacksize(&attr, 65536));
	check(!pthread_barrier_init(&all_here, NULL, N_CROWD));
	for (unsigned i = 0; i < N_CROWD; i++)
		check(!pthread_create(&threads[i], &attr, one_of_many,
				      (void *)(uintptr_t)i));
	for (unsigned i = 0; i < N_CROWD; i++) {
		check(!pthread_join(threads[i], &p));
		check(filled(p, 100, i));
		free(p);
	}
}

/* Destructors that allocate, in every round that there is. */
static pthread_key_t keys[2];
static _Atomic unsigned rounds;

static void again(void *arg)
{
	free(arg);
	rounds++;
	for (unsigned i = 0; i < 2; i++)
		pthread_setspecific(keys[i], malloc(50));
}

static void *with_destructors(void *arg)
{
	pthread_setspecific(keys[0], malloc(10));
	return arg;
}

static void destructors_may_allocate(void)
{
	pthread_t t;

	for (unsigned i = 0; i < 2; i++)
		check(!pthread_key_create(&keys[i], again));
	for (unsigned i = 0; i < 2000; i++) {
		check(!pthread_create(&t, NULL, with_destructors, NULL));
		check(!pthread_join(t, NULL));
	}
	check(rounds >= 2 * 2000);
}

/* Fork */

/* In the child: nothing of what was inherited has changed, all of it can be
 * freed, and new objects lie on none of it. */
static void child_of(struct blocks *mine)
{
	struct blocks *fresh = blocks_new(mine->seed + 7);

	churn(fresh, 500);
	all_right(mine);
	free_all(mine);
	churn(fresh, 500);
	all_right(fresh);
}

static void in_a_child_threads_start_anew(void)
{
	struct blocks *b[N_THREADS];
	pthread_t threads[N_THREADS];

	stop = true; /* one turn each */
	for (unsigned i = 0; i < N_THREADS; i++) {
		b[i] = blocks_new(i + 50);
		check(!pthread_create(&threads[i], NULL, pass_on, b[i]));
	}
	for (unsigned i = 0; i < N_THREADS; i++) {
		check(!pthread_join(threads[i], NULL));
		all_right(b[i]);
	}
}

static void reap(pid_t pid)
{
	int status;

	check(pid > 0);
	check(waitpid(pid, &status, 0) == pid);
	if (WIFSIGNALED(status))
		dprintf(2, "child killed by signal %d\n", WTERMSIG(status));
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static unsigned fork_one(struct blocks *mine, unsigned kind)
{
	pid_t pid = fork();

	if (pid)
		return reap(pid), 1;
	child_of(mine);
	if (kind % 3 == 1)
		in_a_child_threads_start_anew();
	if (kind % 3 == 2) {
		pid = fork();
		if (pid == 0) {
			free_all(mine);
			execl("/bin/true", "true", (char *)NULL);
			_exit(9);
		}
		reap(pid);
	}
	_exit(0);
}

static void fork_while_others_allocate(void)
{
	struct blocks *b[N_THREADS], *mine = blocks_new(1000);
	int64_t until = now_ms() + 3 * SECONDS * 1000;
	pthread_t threads[N_THREADS];
	unsigned n = 0;

	start(threads, b);
	while (now_ms() < until) {
		churn(mine, 200);
		n += fork_one(mine, n);
	}
	end(threads, b);
	dprintf(2, "%u forks\n", n);
	check(n > 3);
}

/* Has magazines full of all sizes, and hardly an object. */
static void *hoard(void *arg)
{
	void *p[40];

	for (size_t size = 16; size < 4096; size += size / 8 + 1) {
		for (unsigned i = 0; i < 40; i++) {
			p[i] = malloc(size);
			check(p[i]);
			fill(p[i], size, i);
		}
		for (unsigned i = 0; i < 40; i++)
			free(p[i]);
	}
	pthread_barrier_wait(&all_here);
	for (unsigned i = 0; !stop; i++)
		free(malloc(i % 4096));
	return arg;
}

/* Return: the exit status of the generations that follow; -1: this is one. */
static int next_generation(void)
{
	pthread_t threads[2];
	int status;
	pid_t pid;

	stop = false;
	check(!pthread_barrier_init(&all_here, NULL, 3));
	for (unsigned i = 0; i < 2; i++)
		check(!pthread_create(&threads[i], NULL, hoard, NULL));
	pthread_barrier_wait(&all_here);
	pid = fork();
	if (pid == 0)
		return -1;
	stop = true;
	check(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 9;
}

/* Each generation's threads are gone in the next, and what their magazines
 * held is of use again: it does not add up. */
static void generations_do_not_add_up(void)
{
	long early = 0, late;
	int status;

	for (unsigned generation = 0; generation < 16; generation++) {
		if (generation == 2)
			early = memory_kib("RssAnon:");
		status = next_generation();
		if (status >= 0)
			_exit(status);
	}
	late = memory_kib("RssAnon:");
	dprintf(2, "generation 2: %ld KiB, 16: %ld KiB\n", early, late);
	check(late < early + 6000);
}

static const struct probe probes[] = {
	{ "threads", threads_do_not_meet },
	{ "short", many_short_threads },
	{ "crowd", more_threads_than_lanes },
	{ "destructors", destructors_may_allocate },
	{ "fork", fork_while_others_allocate },
	{ "generations", generations_do_not_add_up },
};

PROBE_TEST(threads_never_get_the_same_memory, "", "threads")
PROBE_TEST(short_threads_leave_nothing_behind, "", "short")
PROBE_TEST(a_thread_without_a_lane_allocates_all_the_same, "", "crowd")
PROBE_TEST(destructors_of_threads_may_allocate, "", "destructors")
PROBE_TEST(a_child_forked_from_threads_has_a_sound_heap, "", "fork")
PROBE_TEST(what_dead_threads_had_does_not_add_up, "", "generations")

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(threads_never_get_the_same_memory),
		TN_TEST(short_threads_leave_nothing_behind),
		TN_TEST(a_thread_without_a_lane_allocates_all_the_same),
		TN_TEST(destructors_of_threads_may_allocate),
		TN_TEST(a_child_forked_from_threads_has_a_sound_heap),
		TN_TEST(what_dead_threads_had_does_not_add_up),
	};

	probe_main(argc, argv, probes, TN_ARRAY_LEN(probes));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
