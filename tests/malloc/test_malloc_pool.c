/* SPDX-License-Identifier: BSD-2-Clause */
/* TARN_MALLOC_POOL: a program whose heap is a pool of tarnd's. */
#include "tests/malloc/probe.h"

#include <pthread.h>
#include <sys/wait.h>

/* Is it in a shared mapping of a memfd? */
static bool in_pool(const void *p)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long from, to;
	char line[512], mode[8];
	bool yes = false;

	check(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) == 3 &&
		    (uintptr_t)p >= from && (uintptr_t)p < to)
			yes = mode[3] == 's' && strstr(line, "memfd:");
	fclose(f);
	return yes;
}

static void *use_it(void *arg)
{
	static const size_t sizes[] = { 0, 1, 100, 5000, 40000, 1 << 20 };

	for (unsigned i = 0; i < TN_ARRAY_LEN(sizes); i++) {
		unsigned char *p = malloc(sizes[i]);

		check(p && in_pool(p) && malloc_usable_size(p) >= sizes[i]);
		fill(p, sizes[i], i);
		p = realloc(p, sizes[i] * 2 + 1);
		check(p && in_pool(p) && filled(p, sizes[i], i));
		free(p);
		p = calloc(1, sizes[i]);
		check(p && in_pool(p) && all_zero(p, sizes[i]));
		free(p);
		p = aligned_alloc(4096, sizes[i]);
		check(p && in_pool(p) && !((uintptr_t)p % 4096));
		free(p);
	}
	return arg;
}

static void the_heap_is_the_pool(void)
{
	pthread_t t[4];

	use_it(NULL);
	for (unsigned i = 0; i < 4; i++)
		check(!pthread_create(&t[i], NULL, use_it, NULL));
	for (unsigned i = 0; i < 4; i++)
		check(!pthread_join(t[i], NULL));
}

/* The pool is 64 MiB. */
static void a_full_pool_is_not_the_end(void)
{
	void *all[120];
	unsigned n = 0;

	for (unsigned i = 0; i < TN_ARRAY_LEN(all); i++) {
		all[i] = malloc(1 << 20);
		check(all[i]);
		fill(all[i], 1 << 20, i);
		n += in_pool(all[i]);
	}
	check(n > 40 && n <= 64);
	for (unsigned i = 0; i < TN_ARRAY_LEN(all); i++) {
		check(filled(all[i], 1 << 20, i));
		free(all[i]);
	}
	all[0] = malloc(1 << 20);
	check(in_pool(all[0]));
}

static void a_child_has_a_heap_of_its_own(void)
{
	void (*volatile do_free)(void *) = free;
	char *inherited = malloc(100), *own;
	int status;
	pid_t pid;

	fill(inherited, 100, 5);
	pid = fork();
	if (pid == 0) {
		check(filled(inherited, 100, 5));
		check(malloc_usable_size(inherited) >= 100);
		own = malloc(100);
		check(own && !in_pool(own));
		free(own);
		do_free(inherited); /* does nothing, it is the parent's */
		check(filled(inherited, 100, 5));
		own = realloc(inherited, 1000);
		check(own && !in_pool(own) && filled(own, 100, 5));
		_exit(0);
	}
	check(waitpid(pid, &status, 0) == pid);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	check(filled(inherited, 100, 5));
	own = malloc(100);
	check(own != inherited && in_pool(own));
	free(own);
	free(inherited);
}

static void free_it_twice(void)
{
	void *(*volatile do_malloc)(size_t) = malloc;
	void (*volatile do_free)(void *) = free;
	void *p = do_malloc(100);

	do_free(p);
	do_free(p);
}

static const struct probe probes[] = {
	{ "use", the_heap_is_the_pool },
	{ "full", a_full_pool_is_not_the_end },
	{ "child", a_child_has_a_heap_of_its_own },
	{ "twice", free_it_twice },
};

#define RUN "$B/tools/tarn-run --pool heap=64M "
#define IN_POOL "env TARN_MALLOC_POOL=heap " PRELOAD

static int pool_run(const char *name)
{ return tool_run(RUN IN_POOL "'%s' %s", probe_self, name); }

#define POOL_TEST(sentence, name, status) \
	static void sentence(void **state) \
	{ \
		int rc; \
		(void)state; \
		probe_skip_if_sanitized(); \
		rc = pool_run(name); \
		if (rc != (status)) \
			fail_msg("status %d\n%s", rc, tool_said); \
	}

POOL_TEST(every_object_of_every_thread_is_in_the_pool, "use", 0)
POOL_TEST(what_the_pool_has_no_room_for_is_elsewhere, "full", 0)
POOL_TEST(a_forked_child_leaves_the_pool_alone, "child", 0)

static void misuse_of_a_pool_is_told(void **state)
{
	(void)state;
	probe_skip_if_sanitized();
	assert_int_equal(tool_run(RUN "sh -c \"ulimit -c 0; exec " IN_POOL
				  "'%s' twice\"", probe_self), 134);
	assert_said("tarn-malloc: free(0x");
	assert_said("): it is free already\n");
}

static void others_see_what_is_in_it(void **state)
{
	(void)state;
	probe_skip_if_sanitized();
	assert_int_equal(tool_run(RUN "sh -c \"" IN_POOL "sleep 30 & "
				  "sleep 1; $B/tools/tarnctl stat heap; "
				  "kill \\$!\""), 0);
	assert_said("heap");
	assert_said("sleep");
}

static void a_bad_pool_ends_the_program_before_main(void **state)
{
	(void)state;
	probe_skip_if_sanitized();
	assert_int_equal(tool_run("TARN_SOCKET=/none/sock "
				  "TARN_MALLOC_POOL=heap " PRELOAD
				  "/bin/echo main"), 127);
	assert_string_equal(tool_said, "tarn-malloc: TARN_MALLOC_POOL=heap: "
			    "No such file or directory\n");
	assert_int_equal(tool_run(RUN "env TARN_MALLOC_POOL=other " PRELOAD
				  "echo main"), 127);
	assert_string_equal(tool_said, "tarn-malloc: TARN_MALLOC_POOL=other: "
			    "No such file or directory\n");
	assert_int_equal(tool_run(RUN "env TARN_MALLOC_POOL= " PRELOAD
				  "echo main"), 127);
	assert_string_equal(tool_said, "tarn-malloc: TARN_MALLOC_POOL=: "
			    "Invalid argument\n");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(every_object_of_every_thread_is_in_the_pool),
		TN_TEST(what_the_pool_has_no_room_for_is_elsewhere),
		TN_TEST(a_forked_child_leaves_the_pool_alone),
		TN_TEST(misuse_of_a_pool_is_told),
		TN_TEST(others_see_what_is_in_it),
		TN_TEST(a_bad_pool_ends_the_program_before_main),
	};

	probe_main(argc, argv, probes, TN_ARRAY_LEN(probes));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
