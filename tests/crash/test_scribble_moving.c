/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes that change while they are looked at: what test_scribble.c does
 * beforehand, another thread does here meanwhile.
 */
#include "tests/crash/scribble.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "pool/row.h"

#define MS (full() ? 10000 : 1000)

/* The other thread. */
struct mover {
	void (*move)(struct mover *m); /* once */
	pthread_t thread;
	atomic_bool stop;
	uint64_t seed, moves;
	volatile uint64_t *word;       /* of hammer() */
};

static void *keep_moving(void *arg)
{
	struct mover *m = arg;

	while (!atomic_load_explicit(&m->stop, memory_order_relaxed)) {
		m->move(m);
		m->moves++;
	}
	return NULL;
}

static void mover_begin(struct mover *m, void (*move)(struct mover *m))
{
	*m = (struct mover){ .move = move, .seed = 99, .word = m->word };
	assert_int_equal(pthread_create(&m->thread, NULL, keep_moving, m), 0);
}

static void mover_end(struct mover *m)
{
	atomic_store(&m->stop, true);
	pthread_join(m->thread, NULL);
}

/* Recover again and again, and use what is there, for some time. */
static void recover_for(int64_t ms, const char *what)
{
	int64_t end = tn_test_now_ms() + ms;
	struct tally t = { 0 };

	for (unsigned i = 0; tn_test_now_ms() < end; i++) {
		snprintf(doing, sizeof(doing), "%s, recovery %u", what, i);
		tn_busy_reset(&busy);
		if (i % 4 == 3)
			tn_busy_use(&busy);
		recover_into(&t);
	}
	tell(what, &t);
}

static void scribble(struct mover *m)
{
	uint64_t r = tn_busy_random(&m->seed);
	struct tn_busy_section *s =
		&busy.sections[r % TN_BUSY_N_SECTIONS];

	tn_busy_scribble(s, tn_busy_word(s, r >> 8),
			 r >> 4 & (TN_SCRIBBLE_N_KINDS - 1),
			 tn_busy_random(&m->seed));
	if (r >> 60 == 0) /* few things go wrong if all do */
		usleep(50);
}

static void words_may_change_under_it(void **state)
{
	struct mover m = { 0 };

	(void)state;
	tn_busy_init(&busy, false);
	mover_begin(&m, scribble);
	recover_for(MS, "ever changing");
	mover_end(&m);
	tell_slices();
	tn_busy_fini(&busy);
}

static void punch(struct mover *m)
{
	struct tn_busy_section *s;
	uint64_t r = tn_busy_random(&m->seed), off;

	s = &busy.sections[r % TN_BUSY_N_META];
	off = (uint64_t)((uint8_t *)(s->words + tn_busy_word(s, r >> 8)) -
			 busy.meta.at);
	fallocate(busy.meta.shared_fd, FALLOC_FL_PUNCH_HOLE |
		  FALLOC_FL_KEEP_SIZE, (off_t)(off & ~4095ULL), 4096);
	if (r >> 62 == 0)
		fallocate(busy.control[TN_BUSY_DEAD].shared_fd,
			  FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  (off_t)(r >> 40 & 7) << 12, 4096);
	usleep(r >> 16 & 2047);
}

static void pages_may_vanish_under_it(void **state)
{
	struct mover m = { 0 };

	(void)state;
	tn_busy_init(&busy, true);
	mover_begin(&m, punch);
	recover_for(MS, "vanishing");
	mover_end(&m);
	tell_slices();
	tn_busy_fini(&busy);
}

/* One word that never stays: what loops until it changes has no luck. */
static TN_BUSY_RACES void hammer(struct mover *m)
{
	uint64_t was = *m->word;

	for (unsigned i = 0; i < 1000; i++)
		*m->word = was ^ (uint64_t)i << 41;
	*m->word = was;
}

static void hammer_on(const char *what, tn_a64 *word)
{
	struct mover m = { .word = (volatile uint64_t *)(void *)word };

	mover_begin(&m, hammer);
	recover_for(MS / 10, what);
	mover_end(&m);
}

static void a_word_may_never_stay_the_same(void **state)
{
	struct tn_pool *pool = &busy.pool;
	uint64_t share = 0;

	(void)state;
	tn_busy_init(&busy, false);
	while (!tn64_load_relaxed(&pool->shares[share].state.lo))
		share++;
	hammer_on("a row's stamp", &tn_row_of(pool, 0)->hi);
	hammer_on("a row's map", &tn_row_of(pool, 8)->lo);
	hammer_on("the next row", &tn_row_of(pool, 9)->hi);
	hammer_on("a slab word", &pool->pages[0].slab);
	hammer_on("a page word", &pool->pages[0].word);
	hammer_on("tags", (tn_a64 *)(void *)pool->tags);
	hammer_on("a share's state", &pool->shares[share].state.hi);
	hammer_on("a share's set", &pool->shares[share].set[0].hi);
	hammer_on("a number done", tn_lane_done(pool, TN_BUSY_DEAD, 3));
	tell_slices();
	tn_busy_fini(&busy);
}

#define MOVING_TEST(name) \
	cmocka_unit_test_setup_teardown(name, begin, tn_test_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MOVING_TEST(words_may_change_under_it),
		MOVING_TEST(pages_may_vanish_under_it),
		MOVING_TEST(a_word_may_never_stay_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
