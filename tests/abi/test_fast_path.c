/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an allocation and a free cost, as the machine has it: nothing in the
 * usual path is locked, is a fence, or calls anything. The compiler puts what
 * is unusual into functions of its own (NAME.cold and others), so all that
 * stands under the function's name is looked at.
 */
#include "tests/lib/tn_test.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"

#if !defined(__x86_64__)
#define OTHERWISE "another machine than x86-64"
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OTHERWISE "a sanitizer's code is in between"
#elif defined(TN_DEBUG) || !defined(__OPTIMIZE__)
#define OTHERWISE "a build for debugging"
#else
#define OTHERWISE NULL
#endif

#define PATH_MAX_INSTRUCTIONS 100

struct listing {
	const char *function;
	unsigned n;        /* instructions */
	unsigned to_ret;   /* ... up to the first return; 0: none yet */
	char forbidden[160];
};

/* Is it one of @words, as a whole word? */
static bool is_any(const char *mnemonic, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(words[i]);

		if (!strncmp(mnemonic, words[i], len) &&
		    !isalnum((unsigned char)mnemonic[len]))
			return true;
	}
	return false;
}

static bool forbidden(const char *instruction)
{
	static const char *const never[] = {
		"lock", "mfence", "lfence", "sfence", "call", "callq",
		"syscall", "serialize", "cpuid",
	};
	/* with memory, it is locked whether it says so or not */
	static const char *const xchg[] = {
		"xchg", "xchgb", "xchgw", "xchgl", "xchgq",
	};

	if (is_any(instruction, never, TN_ARRAY_LEN(never)))
		return true;
	return is_any(instruction, xchg, TN_ARRAY_LEN(xchg)) &&
	       strchr(instruction, '(');
}

/* A line of objdump's: "  address:<tab>instruction", or something else. */
static void look_at(struct listing *l, const char *line)
{
	static const char *const rets[] = { "ret", "retq" };
	const char *instruction = strstr(line, ":\t");

	if (line[0] != ' ' || !instruction)
		return;
	instruction += 2;
	l->n++;
	if (!l->to_ret && is_any(instruction, rets, TN_ARRAY_LEN(rets)))
		l->to_ret = l->n;
	if (forbidden(instruction) && !l->forbidden[0])
		snprintf(l->forbidden, sizeof(l->forbidden), "%s", instruction);
}

static void disassemble(struct listing *l)
{
	char library[4096], command[4300], line[512];
	FILE *f;

	tn_test_program("libtarn.so", library, sizeof(library));
	snprintf(command, sizeof(command), "objdump -d --no-show-raw-insn "
		 "--disassemble=%s '%s'", l->function, library);
	f = popen(command, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		look_at(l, line);
	assert_int_equal(pclose(f), 0);
}

static void usual_path_is_bare(const char *function)
{
	struct listing l = { .function = function };
	const char *why = OTHERWISE;

	if (why) {
		print_message("%s\n", why);
		skip();
	}
	disassemble(&l);
	if (!l.to_ret)
		fail_msg("%s: no return in %u instructions", function, l.n);
	if (l.forbidden[0])
		fail_msg("%s: %s", function, l.forbidden);
	print_message("# %s: %u instructions to its return, of %u\n", function,
		      l.to_ret, l.n);
	assert_true(l.to_ret < PATH_MAX_INSTRUCTIONS);
}

static void an_allocation_locks_fences_and_calls_nothing(void **state)
{
	(void)state;
	usual_path_is_bare("tarn_alloc");
}

static void a_free_locks_fences_and_calls_nothing(void **state)
{
	(void)state;
	usual_path_is_bare("tarn_free");
}

/* What tarn_free() and tarn_cache_free() go on with, in another slab. */
static void a_free_to_any_other_slab_is_as_bare(void **state)
{
	(void)state;
	usual_path_is_bare("free_far");
}

static void an_allocation_from_a_cache_is_as_bare(void **state)
{
	(void)state;
	usual_path_is_bare("tarn_cache_alloc");
}

static void a_free_to_a_cache_is_as_bare(void **state)
{
	(void)state;
	usual_path_is_bare("tarn_cache_free");
}

/* That what is looked for would be found. */
static void what_is_forbidden_is_known_when_it_is_seen(void **state)
{
	(void)state;
	assert_true(forbidden("lock cmpxchg16b (%rdi)"));
	assert_true(forbidden("xchg   %rax,(%rdi)"));
	assert_true(forbidden("mfence"));
	assert_true(forbidden("call   35bd <tarn_free.cold>"));
	assert_false(forbidden("xchg   %ax,%ax"));
	assert_false(forbidden("cmpxchg %rax,(%rdi)"));
	assert_false(forbidden("mov    %dx,(%rax)"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(an_allocation_locks_fences_and_calls_nothing),
		TN_TEST(a_free_locks_fences_and_calls_nothing),
		TN_TEST(a_free_to_any_other_slab_is_as_bare),
		TN_TEST(an_allocation_from_a_cache_is_as_bare),
		TN_TEST(a_free_to_a_cache_is_as_bare),
		TN_TEST(what_is_forbidden_is_known_when_it_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
