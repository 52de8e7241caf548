/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes that nobody meant, in all that recovery, statistics, audit, the mover
 * and a living client read: no crash, no hang, no access outside of the pool.
 *
 * The pool (tests/lib/tn_busy.h) lies between guard pages. tarnd's part runs
 * with data read-only, as tarnd maps it, and another pool beside it is not
 * writable at all. A signal tells which word it was.
 *
 * TARN_CRASH_FULL: every word, eight ways, several times over.
 */
#include "tests/crash/scribble.h"

#include <sys/mman.h>

static struct tn_busy beside;
static uint8_t *beside_was;

static const char *const kind_names[] = {
	"0", "all ones", "one more", "one less", "another's", "a bit",
	"16 bits", "random",
};

static void protect(struct tn_busy *b, int prot)
{
	struct tn_busy_file *files[] = {
		&b->meta, &b->data, &b->control[0], &b->control[1],
		&b->control[2], &b->control[3],
	};

	for (unsigned i = 0; i < TN_ARRAY_LEN(files); i++)
		assert_int_equal(mprotect(files[i]->at, files[i]->bytes, prot),
				 0);
}

static int setup(void **state)
{
	int r = begin(state);

	tn_busy_init(&busy, false);
	tn_busy_init(&beside, false);
	beside_was = malloc(beside.meta.bytes);
	assert_non_null(beside_was);
	memcpy(beside_was, beside.meta.at, beside.meta.bytes);
	protect(&beside, PROT_READ);
	return r;
}

static int teardown(void **state)
{
	assert_memory_equal(beside_was, beside.meta.at, beside.meta.bytes);
	free(beside_was);
	tn_busy_fini(&beside);
	tn_busy_fini(&busy);
	return tn_test_teardown(state);
}

/* So that what follows is about something. */
static void what_nobody_scribbled_on_is_in_order(void **state)
{
	(void)state;
	for (unsigned client = 0; client < 2; client++) {
		tn_busy_reset(&busy);
		if (client)
			tn_busy_use(&busy);
		busy.moved = 0;
		assert_int_equal(tn_busy_recover(&busy), TN_BUSY_HOLDS);
		assert_int_equal(tn_busy_compact(&busy), TN_BUSY_HOLDS);
		assert_true(busy.moved > 10);
	}
}

/* With one word of a section changed. */
static void one_word(struct tn_busy_section *s, uint64_t at,
		     enum tn_scribble kind, bool client, struct tally *t)
{
	snprintf(doing, sizeof(doing), "%s[%llu] %s, random %#llx%s", s->name,
		 (unsigned long long)at, kind_names[kind],
		 (unsigned long long)seed, client ? ", client" : "");
	tn_busy_reset(&busy);
	tn_busy_scribble(s, at, kind, tn_busy_random(&seed));
	if (client)
		tn_busy_use(&busy);
	recover_into(t);
}

static void each_word(bool client)
{
	unsigned step = full() ? 1 : SANITIZED ? 53 : 17, n = 0;
	struct tally all = { 0 };

	for (unsigned i = 0; i < TN_BUSY_N_SECTIONS; i++) {
		struct tn_busy_section *s = &busy.sections[i];
		struct tally t = { 0 };

		for (unsigned w = 0; w < s->n_used; w++)
			for (unsigned k = 0; k < TN_SCRIBBLE_N_KINDS; k++)
				if (n++ % step == 0)
					one_word(s, s->used[w], k, client, &t);
		tell(s->name, &t);
		all.tries += t.tries;
		for (unsigned e = 0; e < TN_BUSY_N_ENDS; e++)
			all.ends[e] += t.ends[e];
	}
	tell("all", &all);
	tell_slices();
}

static void any_word_may_be_wrong_for_recovery(void **state)
{
	(void)state;
	each_word(false);
}

static void any_word_may_be_wrong_for_a_client(void **state)
{
	(void)state;
	each_word(true);
}

/* Several words at once, more often in a few sections than all over. */
static void many_words(unsigned n, bool client, struct tally *t)
{
	uint64_t r = tn_busy_random(&seed);
	unsigned home = (unsigned)(r % TN_BUSY_N_SECTIONS);

	snprintf(doing, sizeof(doing), "%u words, random %#llx%s", n,
		 (unsigned long long)seed, client ? ", client" : "");
	tn_busy_reset(&busy);
	while (n--) {
		struct tn_busy_section *s;

		r = tn_busy_random(&seed);
		s = &busy.sections[r % 2 ? home :
				   (r >> 8) % TN_BUSY_N_SECTIONS];
		tn_busy_scribble(s, tn_busy_word(s, r >> 12),
				 (r >> 4) % TN_SCRIBBLE_N_KINDS,
				 tn_busy_random(&seed));
	}
	if (client)
		tn_busy_use(&busy);
	recover_into(t);
}

static void many_words_may_be_wrong_at_once(void **state)
{
	unsigned tries = full() ? 100000 : SANITIZED ? 200 : 1000;
	struct tally t = { 0 };

	(void)state;
	for (unsigned i = 0; i < tries; i++)
		many_words(2 + i % 30, i % 2, &t);
	tell("many at once", &t);
	tell_slices();
}

#define SCRIBBLE_TEST(name) \
	cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCRIBBLE_TEST(what_nobody_scribbled_on_is_in_order),
		SCRIBBLE_TEST(any_word_may_be_wrong_for_recovery),
		SCRIBBLE_TEST(any_word_may_be_wrong_for_a_client),
		SCRIBBLE_TEST(many_words_may_be_wrong_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
