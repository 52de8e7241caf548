/* SPDX-License-Identifier: BSD-2-Clause */
/* What each call of the malloc family gives, at its edges. */
#include "tests/malloc/probe.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* So that the compiler does not know what is wrong here on purpose. */
static void *(*volatile do_malloc)(size_t) = malloc;
static void *(*volatile do_calloc)(size_t, size_t) = calloc;
static void *(*volatile do_realloc)(void *, size_t) = realloc;
static void *(*volatile do_reallocarray)(void *, size_t, size_t) =
	reallocarray;
static void *(*volatile do_aligned)(size_t, size_t) = aligned_alloc;
static void *(*volatile do_memalign)(size_t, size_t) = memalign;
static void *(*volatile do_pvalloc)(size_t) = pvalloc;
static void (*volatile do_free)(void *) = free;

static const size_t sizes[] = {
	0, 1, 8, 15, 16, 17, 100, 128, 129, 1000, 4095, 4096, 4097, 32767,
	32768, 32769, 65536, 100000, 262144, 262145, 1 << 20, (1 << 20) + 1,
	3 << 20, 32 << 20, (32 << 20) + 1, 40 << 20,
};

static void sizes_hold_what_they_say(void)
{
	void *p[TN_ARRAY_LEN(sizes)];

	for (size_t i = 0; i < TN_ARRAY_LEN(sizes); i++) {
		p[i] = do_malloc(sizes[i]);
		check(p[i] && (uintptr_t)p[i] % 16 == 0);
		check(malloc_usable_size(p[i]) >= sizes[i]);
		check(malloc_usable_size(p[i]) >= 1);
		fill(p[i], malloc_usable_size(p[i]), (unsigned)i);
	}
	for (size_t i = 0; i < TN_ARRAY_LEN(sizes); i++) {
		check(filled(p[i], malloc_usable_size(p[i]), (unsigned)i));
		do_free(p[i]);
	}
	check(malloc_usable_size(NULL) == 0);
	do_free(NULL);
}

static void too_much_is_enomem(void)
{
	void *p = do_malloc(10);

	fill(p, 10, 1);
	errno = 0;
	check(!do_malloc((size_t)PTRDIFF_MAX + 1) && errno == ENOMEM);
	errno = 0;
	check(!do_malloc(SIZE_MAX) && errno == ENOMEM);
	errno = 0;
	check(!do_malloc(PTRDIFF_MAX) && errno == ENOMEM);
	errno = 0;
	check(!do_calloc(SIZE_MAX / 2, 3) && errno == ENOMEM);
	errno = 0;
	check(!do_calloc(1ULL << 32, 1ULL << 32) && errno == ENOMEM);
	errno = 0;
	check(!do_realloc(p, SIZE_MAX - 100) && errno == ENOMEM);
	errno = 0;
	check(!do_reallocarray(p, SIZE_MAX / 2, 3) && errno == ENOMEM);
	errno = 0;
	check(!do_pvalloc(SIZE_MAX) && errno == ENOMEM);
	errno = 0;
	check(!do_aligned(64, SIZE_MAX) && errno == ENOMEM);
	errno = 0;
	check(!do_aligned(1ULL << 62, 1ULL << 62) && errno == ENOMEM);
	check(filled(p, 10, 1));
}

static void calloc_gives_zeroes(void)
{
	for (unsigned round = 0; round < 4; round++)
		for (size_t i = 0; i < TN_ARRAY_LEN(sizes); i++) {
			void *p = do_calloc(1, sizes[i]);

			check(p && all_zero(p, sizes[i]));
			fill(p, malloc_usable_size(p), 7);
			do_free(p);
		}
}

static void realloc_keeps_what_fits(void)
{
	void *p = NULL;
	size_t had = 0;

	for (unsigned step = 0; step < 300; step++) {
		size_t n = sizes[step * 7 % TN_ARRAY_LEN(sizes)];

		n = n ? n : 1;
		p = do_realloc(p, n);
		check(p && malloc_usable_size(p) >= n);
		check(!had || filled(p, had < n ? had : n, step - 1));
		fill(p, n, step);
		had = n;
	}
	check(!do_realloc(p, 0));
	p = do_reallocarray(NULL, 10, 10);
	check(p && malloc_usable_size(p) >= 100);
	do_free(p);
}

/* A vector that grows to 100 MB by a little at a time. */
static void realloc_grows_in_steps(void)
{
	unsigned *p = NULL;
	size_t n = 0;

	while (n < 25 * 1000 * 1000) {
		size_t more = n / 8 + 100;

		p = do_realloc(p, (n + more) * sizeof(*p));
		check(p);
		for (size_t i = n; i < n + more; i++)
			p[i] = (unsigned)i * 3;
		n += more;
	}
	for (size_t i = 0; i < n; i++)
		check(p[i] == (unsigned)i * 3);
	p = do_realloc(p, 1000);
	for (size_t i = 0; i < 250; i++)
		check(p[i] == (unsigned)i * 3);
	do_free(p);
}

static void alignments_are_kept(void)
{
	void *p[24][3];

	for (unsigned shift = 0; shift < 24; shift++)
		for (unsigned i = 0; i < 3; i++) {
			size_t align = 1ULL << shift;
			size_t size = i == 0 ? 1 : i == 1 ? 40 : 50000;

			p[shift][i] = do_aligned(align, size);
			check(p[shift][i] && !((uintptr_t)p[shift][i] % align));
			check(malloc_usable_size(p[shift][i]) >= size);
			fill(p[shift][i], size, shift * 3 + i);
		}
	for (unsigned shift = 0; shift < 24; shift++)
		for (unsigned i = 0; i < 3; i++) {
			size_t size = i == 0 ? 1 : i == 1 ? 40 : 50000;

			check(filled(p[shift][i], size, shift * 3 + i));
			do_free(p[shift][i]);
		}
}

static void alignments_that_are_none(void)
{
	void *p = &p, *was = p;

	errno = 0;
	check(!do_aligned(0, 8) && errno == EINVAL);
	errno = 0;
	check(!do_aligned(24, 48) && errno == EINVAL);
	errno = 5;
	check(posix_memalign(&p, 0, 8) == EINVAL && p == was);
	check(posix_memalign(&p, 4, 8) == EINVAL && p == was);
	check(posix_memalign(&p, 24, 8) == EINVAL && p == was);
	check(posix_memalign(&p, 64, SIZE_MAX / 2) == ENOMEM && p == was);
	check(posix_memalign(&p, 8, 0) == 0 && p && errno == 5);
	do_free(p);
	p = do_memalign(24, 10); /* as glibc: 32 */
	check(p && (uintptr_t)p % 32 == 0);
	do_free(p);
	p = valloc(10);
	check(p && (uintptr_t)p % 4096 == 0);
	do_free(p);
	p = pvalloc(5000);
	check(p && (uintptr_t)p % 4096 == 0 && malloc_usable_size(p) >= 8192);
	do_free(p);
}

static void free_keeps_errno(void)
{
	static void *many[5000];
	void *p;

	for (size_t i = 0; i < TN_ARRAY_LEN(sizes); i++) {
		p = do_malloc(sizes[i]);
		errno = 77;
		do_free(p);
		check(errno == 77);
	}
	for (size_t i = 0; i < TN_ARRAY_LEN(many); i++)
		many[i] = do_malloc(8192);
	errno = 78;
	for (size_t i = 0; i < TN_ARRAY_LEN(many); i++)
		do_free(many[i]);
	check(errno == 78);
	p = do_malloc(100);
	check(p && errno == 78);
}

/* Before any constructor, even the library's. */
static void *first;
static void before_all(void)
{
	first = malloc(100);
	memset(first, 0x5a, 100);
}
__attribute__((section(".preinit_array"), used))
static void (*const before_all_entry)(void) = before_all;

static void it_is_there_before_constructors(void)
{
	void *lib;

	for (unsigned i = 0; i < 100; i++)
		check(((unsigned char *)first)[i] == 0x5a);
	do_free(first);
	lib = dlopen("libcmocka.so.0", RTLD_NOW | RTLD_LOCAL);
	check(lib && dlsym(lib, "_run_test"));
	dlclose(lib);
	check(getenv("LD_PRELOAD"));
	/* that it is that library which all of this is about */
	lib = dlsym(RTLD_DEFAULT, "malloc");
	Dl_info info;
	check(dladdr(lib, &info) && strstr(info.dli_fname, "libtarn-malloc"));
}

/* Memory */

/* Fills up, to the last byte there is; then all of it goes back. */
static void exhaustion_is_enomem_and_passes(void)
{
	struct block { struct block *next; } *all = NULL, *b;
	size_t bytes[2] = { 0, 0 };

	for (unsigned round = 0; round < 2; round++) {
		size_t size = 1000;

		errno = 0;
		while (size >= 16) {
			b = do_malloc(size);
			if (!b) {
				check(errno == ENOMEM);
				size /= 2;
				continue;
			}
			memset(b, 1, size);
			b->next = all;
			all = b;
			bytes[round] += size;
		}
		for (; all; all = b) {
			b = all->next;
			do_free(all);
		}
	}
	check(bytes[0] > 40 << 20);
	check(bytes[1] > bytes[0] / 10 * 9);
}

static void freed_memory_goes_back(void)
{
	enum { N = 2000000 };
	static void *p[N];
	long before, peak, after, trimmed;

	before = memory_kib("VmRSS:");
	for (unsigned i = 0; i < N; i++) {
		p[i] = do_malloc(100);
		memset(p[i], 1, 100);
	}
	peak = memory_kib("VmRSS:");
	for (unsigned i = 0; i < N; i++)
		do_free(p[i]);
	after = memory_kib("VmRSS:");
	malloc_trim(0);
	trimmed = memory_kib("VmRSS:");
	dprintf(2, "before %ld peak %ld after %ld trimmed %ld KiB\n", before,
		peak, after, trimmed);
	check(peak - before > 190000);
	check(after - before < 190000 / 4);
	check(trimmed <= after && trimmed - before < 190000 / 8);
}

/* 10 MB, again and again: after the first time they cost no page faults. */
static void memory_in_use_again_stays(void)
{
	enum { N = 100000, ROUNDS = 20 };
	static void *p[N];
	struct rusage once, all;

	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < N; i++) {
			p[i] = do_malloc(100);
			memset(p[i], 1, 100);
		}
		for (unsigned i = 0; i < N; i++)
			do_free(p[i]);
		if (!round)
			getrusage(RUSAGE_SELF, &once);
	}
	getrusage(RUSAGE_SELF, &all);
	dprintf(2, "%ld faults, then %ld\n", once.ru_minflt,
		all.ru_minflt - once.ru_minflt);
	/* a second may pass now and then, on a busy machine */
	check(all.ru_minflt - once.ru_minflt < 2 * once.ru_minflt);
}

/* Misuse */

static void twice(void)
{
	void *p = do_malloc(100);

	do_free(p);
	do_free(p);
}

static void twice_later(void)
{
	void *p[1000];

	for (unsigned i = 0; i < 1000; i++)
		p[i] = do_malloc(100);
	for (unsigned i = 0; i < 1000; i++)
		do_free(p[i]);
	do_free(p[3]);
}

static void twice_run(void)
{
	void *p = do_malloc(100000);

	do_free(p);
	do_free(p);
}

static void twice_long_run(void)
{
	void *p = do_malloc(1000000);

	do_free(p);
	do_free(p);
}

static void twice_large(void)
{
	void *p = do_malloc(64 << 20);

	do_free(p);
	do_free(p);
}

static void inside(void)
{ do_free((char *)do_malloc(100) + 16); }

static void foreign(void)
{
	static _Alignas(16) char here[64];

	do_free(here + 16);
}

static void realloc_of_freed(void)
{
	void *p = do_malloc(100);

	do_free(p);
	p = do_realloc(p, 200);
}

static const struct probe probes[] = {
	{ "sizes", sizes_hold_what_they_say },
	{ "too_much", too_much_is_enomem },
	{ "calloc", calloc_gives_zeroes },
	{ "realloc", realloc_keeps_what_fits },
	{ "realloc_steps", realloc_grows_in_steps },
	{ "alignments", alignments_are_kept },
	{ "no_alignments", alignments_that_are_none },
	{ "errno", free_keeps_errno },
	{ "early", it_is_there_before_constructors },
	{ "exhaustion", exhaustion_is_enomem_and_passes },
	{ "goes_back", freed_memory_goes_back },
	{ "stays", memory_in_use_again_stays },
	{ "twice", twice }, { "twice_later", twice_later },
	{ "twice_run", twice_run }, { "twice_long_run", twice_long_run },
	{ "twice_large", twice_large },
	{ "inside", inside }, { "foreign", foreign },
	{ "realloc_of_freed", realloc_of_freed },
};

PROBE_TEST(every_size_holds_what_it_says, "", "sizes")
PROBE_TEST(what_cannot_be_is_enomem, "", "too_much")
PROBE_TEST(calloc_clears_what_was_used, "", "calloc")
PROBE_TEST(realloc_keeps_the_contents, "", "realloc")
PROBE_TEST(realloc_grows_a_vector, "", "realloc_steps")
PROBE_TEST(aligned_objects_are, "", "alignments")
PROBE_TEST(no_power_of_two_is_einval, "", "no_alignments")
PROBE_TEST(success_leaves_errno_alone, "", "errno")
PROBE_TEST(it_works_before_constructors_and_in_dlopen, "", "early")
PROBE_TEST(a_full_address_space_is_enomem, "ulimit -v 200000;", "exhaustion")
PROBE_TEST(a_tiny_address_space_does_without_a_heap, "ulimit -v 100000;",
	   "too_much")
PROBE_TEST(memory_goes_back_to_the_system, "", "goes_back")
PROBE_TEST(memory_that_is_used_again_stays, "", "stays")

static void misuse_is_told_and_aborts(void **state)
{
	static const struct { const char *name, *says; } wrong[] = {
		{ "twice", "): it is free already\n" },
		{ "twice_later", "): it is free already\n" },
		{ "twice_run", "): it is free already\n" },
		{ "twice_long_run", "): no object begins there\n" },
		{ "twice_large", "): no object begins there\n" },
		{ "inside", "): no object begins there\n" },
		{ "foreign", "): no object begins there\n" },
		{ "realloc_of_freed", "tarn-malloc: realloc(0x" },
	};

	(void)state;
	probe_skip_if_sanitized();
	for (size_t i = 0; i < TN_ARRAY_LEN(wrong); i++) {
		assert_int_equal(probe_run("ulimit -c 0;", wrong[i].name),
				 128 + SIGABRT);
		assert_said("tarn-malloc: ");
		assert_said(wrong[i].says);
		assert_int_equal(probe_run("TARN_MALLOC_MISUSE=ignore",
					   wrong[i].name), 0);
		assert_string_equal(tool_said, "");
	}
	assert_int_equal(probe_run("TARN_MALLOC_MISUSE=maybe", "sizes"), 127);
	assert_string_equal(tool_said, "tarn-malloc: TARN_MALLOC_MISUSE is "
			    "neither abort nor ignore: maybe\n");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(every_size_holds_what_it_says),
		TN_TEST(what_cannot_be_is_enomem),
		TN_TEST(calloc_clears_what_was_used),
		TN_TEST(realloc_keeps_the_contents),
		TN_TEST(realloc_grows_a_vector),
		TN_TEST(aligned_objects_are),
		TN_TEST(no_power_of_two_is_einval),
		TN_TEST(success_leaves_errno_alone),
		TN_TEST(it_works_before_constructors_and_in_dlopen),
		TN_TEST(a_full_address_space_is_enomem),
		TN_TEST(a_tiny_address_space_does_without_a_heap),
		TN_TEST(memory_goes_back_to_the_system),
		TN_TEST(memory_that_is_used_again_stays),
		TN_TEST(misuse_is_told_and_aborts),
	};

	probe_main(argc, argv, probes, TN_ARRAY_LEN(probes));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
