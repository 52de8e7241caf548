/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fork at each instruction of what another thread does with the heap. The
 * other thread goes by single steps, of its own making: a trap after each
 * instruction, in whose handler it waits while this one forks. The child then
 * has a new thread, which comes to sit where the stopped one sat.
 */
#include "tests/malloc/probe.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <ucontext.h>

#if defined(__x86_64__)
#define CAN_STEP true
static void set_trap(void *context, bool on)
{
	greg_t *flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];

	*flags = on ? *flags | 0x100 : *flags & ~(greg_t)0x100;
}
#else
#define CAN_STEP false
static void set_trap(void *context, bool on)
{
	(void)context;
	(void)on;
}
#endif

/* What comes first is looked at step by step; later ones are alike. */
#define FIRST 200U
#define EVERY 13U
#define FORKS_MOST 300U

static _Atomic bool stepping;
static _Atomic unsigned steps, forks;
static __thread bool stepped; /* this thread is the one */

/* What the two threads say to each other: 's' stopped, 'g' go, 'e' end. */
static int to_us[2], to_it[2];

static void say(int *to, char c)
{ check(write(to[1], &c, 1) == 1); }

static char hear(int *from)
{
	char c;

	check(read(from[0], &c, 1) == 1);
	return c;
}

static bool wanted(unsigned n)
{
	return forks < FORKS_MOST && (n <= FIRST || n % EVERY == 0);
}

static void on_trap(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)info;
	set_trap(context, stepped && stepping);
	if (!stepped || !stepping || !wanted(++steps))
		return;
	say(to_us, 's');
	hear(to_it);
}

/* Blocks */

#define N_BLOCKS 4U
#define EDGE 64U     /* what of a block is looked at */
#define N_SIZES 5U
static const size_t sizes[N_SIZES] = { 100, 2670, 100000, 6879, 400 };

static void *blocks[N_SIZES][N_BLOCKS]; /* the first thread's */

static void blocks_new(void *b[][N_BLOCKS])
{
	for (unsigned k = 0; k < N_SIZES * N_BLOCKS; k++) {
		void **p = &b[k % N_SIZES][k / N_SIZES];

		*p = malloc(sizes[k % N_SIZES]);
		check(*p);
		fill(*p, EDGE, k);
	}
}

static void blocks_free(void *b[][N_BLOCKS])
{
	for (unsigned k = 0; k < N_SIZES * N_BLOCKS; k++) {
		void **p = &b[k % N_SIZES][k / N_SIZES];

		check(!*p || filled(*p, EDGE, k));
		free(*p);
		*p = NULL;
	}
}

static void *in_its_place(void *arg)
{
	void *mine[N_SIZES][N_BLOCKS];

	for (unsigned round = 0; round < 2; round++) {
		blocks_new(mine);
		blocks_free(mine);
	}
	return arg;
}

static void be_a_child(void)
{
	void *mine[N_SIZES][N_BLOCKS];
	pthread_t t;

	alarm(30); /* it may hang */
	blocks_new(mine);
	check(!pthread_create(&t, NULL, in_its_place, NULL));
	check(!pthread_join(t, NULL));
	blocks_free(blocks);
	blocks_free(mine);
	_exit(0);
}

static void fork_here(void)
{
	int status;
	pid_t pid = fork();

	check(pid >= 0);
	if (pid == 0)
		be_a_child();
	check(waitpid(pid, &status, 0) == pid);
	if (status)
		dprintf(2, "step %u: a child's status is %#x\n",
			(unsigned)steps, (unsigned)status);
	check(status == 0);
	forks++;
}

/* What is gone through */

static void *volatile seen; /* or the compiler leaves both calls out */

static void sit_down(void)
{
	seen = malloc(100);
	free(seen);
}

static void use_a_new_class(void)
{
	seen = malloc(2670);
	free(seen);
}

static void free_to_a_new_class(void)
{
	seen = blocks[3][0];
	blocks[3][0] = NULL;
	free(seen);
}

static void fill_and_overflow(void)
{
	void *p[200];

	for (unsigned i = 0; i < 200; i++)
		p[i] = malloc(400);
	for (unsigned i = 0; i < 200; i++)
		free(p[i]);
}

static void have_runs(void)
{
	void *p = malloc(100000);

	p = realloc(p, 50000);
	p = realloc(p, 150000);
	free(p);
}

static void give_back(void)
{ malloc_trim(0); }

static void nothing(void)
{ }

/* Destructors: the heap's has its say in the second round, and this after it.
 * With the last of them the thread blocks all signals. (A child's thread on the
 * stopped one's stack may find that one's values, and call this, too.) */
static pthread_key_t end_key;

static void after_the_heap(void *round)
{
	if (!stepped)
		return;
	if ((uintptr_t)round < 2) {
		pthread_setspecific(end_key, (char *)round + 1);
		return;
	}
	stepping = false;
	say(to_us, 'e');
}

/* What a thread does unwatched first, and what it is watched at. */
struct stage {
	void (*before)(void);
	void (*fn)(void);
	bool to_its_end; /* of the thread */
};

static void *go_through(void *arg)
{
	const struct stage *stage = arg;

	stage->before();
	if (stage->to_its_end)
		pthread_setspecific(end_key, (void *)1);
	stepped = true;
	stepping = true;
	raise(SIGTRAP);
	stage->fn();
	if (stage->to_its_end)
		return NULL;
	stepping = false;
	say(to_us, 'e');
	return NULL;
}

static void watch(const struct stage *stage)
{
	struct sigaction act = {
		.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO,
	};
	pthread_t t;

	check(!sigaction(SIGTRAP, &act, NULL));
	check(!pthread_key_create(&end_key, after_the_heap));
	check(!pipe(to_us) && !pipe(to_it));
	blocks_new(blocks);
	check(!pthread_create(&t, NULL, go_through, (void *)stage));
	while (hear(to_us) == 's') {
		fork_here();
		say(to_it, 'g');
	}
	check(!pthread_join(t, NULL));
	blocks_free(blocks);
	dprintf(2, "%u steps, %u forks\n", (unsigned)steps, (unsigned)forks);
	check(forks > 10);
}

#define STAGE(name, ...) \
	static void name(void) \
	{ watch(&(const struct stage){ __VA_ARGS__ }); }

STAGE(first_use, nothing, sit_down, false)
STAGE(new_class, sit_down, use_a_new_class, false)
STAGE(first_free, sit_down, free_to_a_new_class, false)
STAGE(overflow, sit_down, fill_and_overflow, false)
STAGE(runs, sit_down, have_runs, false)
STAGE(trim, fill_and_overflow, give_back, false)
STAGE(end, fill_and_overflow, nothing, true)

static const struct probe probes[] = {
	{ "first-use", first_use },
	{ "new-class", new_class },
	{ "first-free", first_free },
	{ "overflow", overflow },
	{ "runs", runs },
	{ "trim", trim },
	{ "end", end },
};

PROBE_TEST(a_child_is_sound_if_another_thread_sits_down, "", "first-use")
PROBE_TEST(a_child_is_sound_if_another_uses_a_new_class, "", "new-class")
PROBE_TEST(a_child_is_sound_if_another_frees_to_one, "", "first-free")
PROBE_TEST(a_child_is_sound_if_another_fills_and_overflows, "", "overflow")
PROBE_TEST(a_child_is_sound_if_another_has_runs, "", "runs")
PROBE_TEST(a_child_is_sound_if_another_trims, "", "trim")
PROBE_TEST(a_child_is_sound_if_another_ends, "", "end")

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(a_child_is_sound_if_another_thread_sits_down),
		TN_TEST(a_child_is_sound_if_another_uses_a_new_class),
		TN_TEST(a_child_is_sound_if_another_frees_to_one),
		TN_TEST(a_child_is_sound_if_another_fills_and_overflows),
		TN_TEST(a_child_is_sound_if_another_has_runs),
		TN_TEST(a_child_is_sound_if_another_trims),
		TN_TEST(a_child_is_sound_if_another_ends),
	};

	if (!CAN_STEP) {
		puts("single steps are for x86-64 here");
		return 77;
	}
	probe_main(argc, argv, probes, TN_ARRAY_LEN(probes));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
