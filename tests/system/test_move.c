/* SPDX-License-Identifier: BSD-2-Clause */
/* Objects that are moved one by one: by the request, and by TARN_DEBUG=move. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tarn/admin.h"
#include "tarn/handle.h"
#include "tarn/stats.h"
#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_sound.h"
#include "tests/lib/tn_test.h"

#define MIB ((size_t)1 << 20)
#define POISON 0xa5

static struct tn_test_daemon tarnd;
static struct tarn *tarn;
static struct tarn_pool *pool;
static bool no_barrier; /* no membarrier here: nothing can be moved */

static int begin(void **state, const char *debug)
{
	struct tarn_compaction c = { .sz = sizeof(c) };
	int r = tn_test_setup(state);

	tn_test_daemon_init(&tarnd);
	tn_test_daemon_start(&tarnd, NULL);
	assert_int_equal(tarn_connect(NULL, &tarn), 0);
	assert_int_equal(tarn_pool_create(tarn, "p", TARN_POOL_OPTS(
				.bytes = 64 * MIB, .mode = 0444,
				.compact_percent = TARN_COMPACT_NEVER)), 0);
	setenv("TARN_DEBUG", debug, 1);
	assert_int_equal(tarn_pool_open(tarn, "p", TARN_PRODUCER, &pool), 0);
	unsetenv("TARN_DEBUG");
	assert_int_equal(tarn_compact(tarn, "p", 100, NULL, NULL, &c), 0);
	no_barrier = c.error == -ENOSYS;
	return r;
}

static int setup(void **state)
{ return begin(state, "move"); }

static int setup_without(void **state)
{ return begin(state, ""); }

static int teardown(void **state)
{ return tn_sound_end(state, &tarnd, tarn, pool); }

#define skip_without_barrier() \
	do { \
		if (no_barrier) { \
			print_message("no membarrier here\n"); \
			skip(); \
		} \
	} while (0)

static bool all(const void *at, uint8_t value, size_t bytes)
{
	const volatile uint8_t *p = at; /* as a program would by mistake */
	size_t n = 0;

	while (n < bytes && p[n] == value)
		n++;
	return n == bytes;
}

static tarn_ref make(size_t bytes, uint8_t value)
{
	tarn_ref h = tarn_halloc(pool, bytes);
	void *p = tarn_pin(pool, h);

	assert_non_null(p);
	memset(p, value, bytes);
	assert_int_equal(tarn_unpin(pool, h), 0);
	return h;
}

/* TARN_DEBUG=move */

/* A tarnd that has not answered within a second, on a machine that is busy, is
 * not asked again for five: then an unpin moves nothing. */

static const void *pin_to_write(struct tarn_pool *p, tarn_ref h)
{ return tarn_pin(p, h); }

static const void *pin_long(struct tarn_pool *p, tarn_ref h)
{ return tarn_pin_long(p, h); }

struct way {
	const void *(*pin)(struct tarn_pool *, tarn_ref);
	int (*unpin)(struct tarn_pool *, tarn_ref);
};

static bool whole(tarn_ref h, uint8_t value, size_t bytes)
{
	const void *p = tarn_pin_read(pool, h);
	bool same = p && all(p, value, bytes);

	return same && tarn_unpin(pool, h) == 0;
}

/* Is it elsewhere after the unpin, and the old place filled? */
static bool moves(const struct way *way, tarn_ref h, uint8_t value,
		  size_t bytes)
{
	const void *was = way->pin(pool, h), *p;
	bool filled;

	assert_non_null(was);
	assert_true(all(was, value, bytes));
	assert_int_equal(way->unpin(pool, h), 0);
	filled = all(was, POISON, bytes);
	p = way->pin(pool, h);
	assert_true(all(p, value, bytes));
	/* a long pin may take it back to where it was */
	assert_true(way->unpin == tarn_unpin_long || filled == (p != was));
	assert_int_equal(way->unpin(pool, h), 0);
	return filled;
}

static void each_unpin_moves_and_poisons_the_old_place(void **state)
{
	static const size_t sizes[] = { 1, 16, 240, 4000, 30000, 70000, MIB };
	static const struct way ways[] = {
		{ pin_to_write, tarn_unpin }, { tarn_pin_read, tarn_unpin },
		{ pin_long, tarn_unpin_long },
	};
	tarn_ref h;

	(void)state;
	skip_without_barrier();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		h = make(sizes[i], 7);
		for (unsigned k = 0; k < 30; k++)
			tn_test_eventually(moves(&ways[k % 3], h, 7,
						 sizes[i]));
		assert_int_equal(tarn_hfree(pool, h), 0);
	}
}

static void without_it_an_object_stays(void **state)
{
	tarn_ref h = make(100, 7);
	const void *was;

	(void)state;
	for (int i = 0; i < 10; i++) {
		was = tarn_pin_read(pool, h);
		assert_int_equal(tarn_unpin(pool, h), 0);
		assert_true(all(was, 7, 100));
		assert_ptr_equal(tarn_pin_read(pool, h), was);
		assert_int_equal(tarn_unpin(pool, h), 0);
	}
	assert_int_equal(tarn_enter(pool), 0);
	was = tarn_deref(pool, h);
	assert_int_equal(tarn_exit(pool), 0);
	assert_true(all(was, 7, 100));
}

#define LOOKED_AT 64

static bool section_moves(const tarn_ref *h)
{
	const void *was[LOOKED_AT];
	unsigned moved = 0;

	assert_int_equal(tarn_enter(pool), 0);
	assert_int_equal(tarn_enter(pool), 0);
	for (unsigned i = 0; i < LOOKED_AT; i++) {
		was[i] = tarn_deref(pool, h[i]);
		assert_ptr_equal(tarn_deref(pool, h[i]), was[i]);
	}
	assert_int_equal(tarn_exit(pool), 0);
	for (unsigned i = 0; i < LOOKED_AT; i++)
		assert_true(all(was[i], (uint8_t)i, 50 + i));
	assert_int_equal(tarn_exit(pool), 0);
	assert_int_equal(tarn_exit(pool), -EINVAL);
	/* not a look for poison: another may have come there since */
	assert_int_equal(tarn_enter(pool), 0);
	for (unsigned i = 0; i < LOOKED_AT; i++)
		moved += tarn_deref(pool, h[i]) != was[i];
	assert_int_equal(tarn_exit(pool), 0);
	return moved == LOOKED_AT;
}

static void a_section_that_ends_moves_what_it_looked_at(void **state)
{
	tarn_ref h[LOOKED_AT];

	(void)state;
	skip_without_barrier();
	for (unsigned i = 0; i < LOOKED_AT; i++)
		h[i] = make(50 + i, (uint8_t)i);
	tn_test_eventually(section_moves(h));
	for (unsigned i = 0; i < LOOKED_AT; i++)
		assert_true(whole(h[i], (uint8_t)i, 50 + i));
}

static void what_is_still_in_use_stays(void **state)
{
	tarn_ref h = make(100, 7), other = make(100, 8);
	const void *p = tarn_pin_read(pool, h), *q;

	(void)state;
	assert_ptr_equal(tarn_pin(pool, h), p);
	assert_int_equal(tarn_unpin(pool, h), 0);
	assert_true(all(p, 7, 100));
	/* in a section of this very thread, nothing can be moved */
	assert_int_equal(tarn_enter(pool), 0);
	q = tarn_pin_read(pool, other);
	assert_int_equal(tarn_unpin(pool, other), 0);
	assert_true(all(q, 8, 100));
	assert_int_equal(tarn_exit(pool), 0);
	assert_int_equal(tarn_unpin(pool, h), 0);
	assert_int_equal(tarn_unpin(pool, h), -EINVAL);
}

static void results_are_what_they_were(void **state)
{
	tarn_ref h = make(100, 7);

	(void)state;
	errno = EDOM;
	assert_non_null(tarn_pin(pool, h));
	assert_int_equal(tarn_unpin(pool, h), 0);
	assert_int_equal(tarn_unpin(pool, h), -EINVAL);
	assert_int_equal(tarn_enter(pool), 0);
	assert_non_null(tarn_deref(pool, h));
	assert_int_equal(tarn_hfree(pool, h), 0);
	assert_int_equal(tarn_exit(pool), 0);
	assert_int_equal(errno, EDOM);
	assert_null(tarn_pin(pool, h));
	assert_int_equal(errno, ESTALE);
}

static int use_as_child(void *arg)
{
	const struct way way = { tarn_pin_read, tarn_unpin };
	const tarn_ref *h = arg;

	tn_test_eventually(moves(&way, *h, 7, 100));
	return 0;
}

static void a_forked_child_has_it_too(void **state)
{
	tarn_ref h = make(100, 7);

	(void)state;
	skip_without_barrier();
	assert_int_equal(tn_test_wait(tn_test_spawn(use_as_child, &h)), 0);
	assert_true(whole(h, 7, 100));
}

/* The first unpin waits for a second, and those after it do not. */
static void a_tarnd_that_is_stopped_is_waited_for_once(void **state)
{
	tarn_ref h = make(100, 7);
	int64_t begun;
	const void *p;

	(void)state;
	kill(tarnd.pid, SIGSTOP);
	begun = tn_test_now_ms();
	for (int i = 0; i < 100; i++) {
		p = tarn_pin_read(pool, h);
		assert_true(all(p, 7, 100));
		assert_int_equal(tarn_unpin(pool, h), 0);
	}
	/* a hundred seconds, if it were for each */
	assert_in_range(tn_test_now_ms() - begun, 900, 55000);
	kill(tarnd.pid, SIGCONT);
}

static void a_pool_without_a_name_is_used_as_ever(void **state)
{
	tarn_ref h = make(100, 7);
	const void *p;

	(void)state;
	assert_int_equal(tarn_pool_destroy(tarn, "p"), 0);
	p = tarn_pin_read(pool, h);
	assert_int_equal(tarn_unpin(pool, h), 0);
	assert_true(all(p, 7, 100));
	assert_int_equal(tarn_pool_create(tarn, "p", TARN_POOL_OPTS(
				.bytes = MIB)), 0);
	p = tarn_pin_read(pool, h);
	assert_int_equal(tarn_unpin(pool, h), 0);
	assert_true(all(p, 7, 100));
}

#define THREADS 4
#define MINE 50

static void *work(void *arg)
{
	const uint8_t me = (uint8_t)(uintptr_t)arg;
	tarn_ref mine[MINE];
	const void *p;
	uint8_t *w;

	for (unsigned i = 0; i < MINE; i++) {
		mine[i] = tarn_halloc(pool, 20 + i);
		w = tarn_pin(pool, mine[i]);
		if (!w)
			return "no pin";
		memset(w, me, 20 + i);
		tarn_unpin(pool, mine[i]);
	}
	for (unsigned i = 0; i < 10 * MINE; i++) {
		p = tarn_pin_read(pool, mine[i % MINE]);
		if (!p || !all(p, me, 20 + i % MINE))
			return "not what was there";
		if (tarn_unpin(pool, mine[i % MINE]) < 0)
			return "no unpin";
	}
	for (unsigned i = 0; i < MINE; i++)
		if (tarn_hfree(pool, mine[i]) < 0)
			return "no free";
	return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
	pthread_t t[THREADS];
	void *wrong;

	(void)state;
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, work,
						(void *)(i + 1)), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(t[i], &wrong);
		if (wrong)
			fail_msg("%s", (const char *)wrong);
	}
}

/* Long pins */

#define PINNED 1000
#define ALL (100 * PINNED)
#define SIZE 300

static tarn_ref crowd[ALL];

/* How many areas are free. */
static unsigned free_areas(void)
{
	void *runs[32];
	unsigned n = 0;

	while (n < 32 && (runs[n] = tarn_run_alloc(pool, 512, 0)))
		n++;
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(tarn_run_free(pool, runs[i]), 0);
	return n;
}

/* One in a hundred of what fills most of a pool is pinned long, and the others
 * are freed. */
static void what_is_pinned_long_keeps_no_areas(void **state)
{
	struct tarn_compaction c = { .sz = sizeof(c) };
	const uint8_t *at[PINNED];
	unsigned before, after;

	(void)state;
	skip_without_barrier();
	before = free_areas();
	for (unsigned i = 0; i < ALL; i++)
		crowd[i] = make(SIZE, (uint8_t)i);
	for (unsigned i = 0; i < PINNED; i++) {
		at[i] = tarn_pin_long(pool, crowd[100 * i]);
		assert_true(all(at[i], (uint8_t)(100 * i), SIZE));
	}
	for (unsigned i = 0; i < ALL; i++)
		if (i % 100)
			assert_int_equal(tarn_hfree(pool, crowd[i]), 0);
	assert_int_equal(tarn_compact(tarn, "p", 100, NULL, NULL, &c), 0);
	after = free_areas();
	print_message("# %u areas are free, %u before\n", after, before);
	assert_true(after + 2 >= before);
	for (unsigned i = 0; i < PINNED; i++) {
		assert_true(all(at[i], (uint8_t)(100 * i), SIZE));
		assert_int_equal(tarn_unpin_long(pool, crowd[100 * i]), 0);
		assert_true(whole(crowd[100 * i], (uint8_t)(100 * i), SIZE));
		assert_int_equal(tarn_hfree(pool, crowd[100 * i]), 0);
	}
}

/* The request */

static int move(int sock, uint32_t attach, tarn_ref h)
{
	const struct tn_move_request move = { .attach = attach, .handle = h };

	return tn_raw_call(sock, TN_MSG_MOVE, &move, sizeof(move));
}

static uint32_t attached(int sock, uint32_t role)
{
	struct tn_open_reply opened;
	int fds[3];

	assert_int_equal(tn_raw_open(sock, "p", role, &opened, fds), 0);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	return opened.attach;
}

static void a_request_moves_what_it_may(void **state)
{
	int sock = tn_raw_hello(tarnd.socket);
	uint32_t writes = attached(sock, TN_PRODUCER);
	uint32_t reads = attached(sock, TN_CONSUMER);
	uint32_t looks = attached(sock, TN_OBSERVER);
	tarn_ref h = make(100, 7), large = make(3 * MIB, 8);
	void *raw = tarn_alloc(pool, 100);
	const void *was;

	(void)state;
	skip_without_barrier();
	was = tarn_pin_read(pool, h);
	assert_int_equal(move(sock, writes, h), -EBUSY);
	assert_int_equal(tarn_unpin(pool, h), 0);
	assert_int_equal(move(sock, writes, h), 0);
	/* nothing says that the old place is to be filled */
	assert_true(all(was, 7, 100));
	assert_ptr_not_equal(tarn_pin_read(pool, h), was);
	assert_int_equal(tarn_unpin(pool, h), 0);
	assert_int_equal(move(sock, reads, h), 0);
	assert_int_equal(move(sock, looks, h), -EACCES);
	assert_int_equal(move(sock, looks + 1, h), -ENOENT);
	assert_int_equal(move(sock, writes, large), -ENOENT);
	assert_int_equal(move(sock, writes, tarn_ref_of(pool, raw)), -ESTALE);
	assert_int_equal(move(sock, writes, 0), -ESTALE);
	assert_int_equal(move(sock, writes, ~0ULL), -ESTALE);
	assert_int_equal(tarn_enter(pool), 0);
	assert_int_equal(move(sock, writes, h), -EBUSY);
	assert_int_equal(tarn_exit(pool), 0);
	assert_int_equal(tarn_hfree(pool, h), 0);
	assert_int_equal(move(sock, writes, h), -ESTALE);
	assert_int_equal(tn_raw_leave(sock, writes), 0);
	assert_int_equal(move(sock, writes, large), -ENOENT);
	close(sock);
}

/* Requests whose connection ends before their answer. */
static void nobody_need_wait_for_the_answer(void **state)
{
	tarn_ref h = make(100, 7);

	(void)state;
	for (int i = 0; i < 100; i++) {
		int sock = tn_raw_hello(tarnd.socket);
		struct tn_move_request req = { .handle = h };
		struct tn_packet p;

		req.attach = attached(sock, TN_CONSUMER);
		tn_raw_request(&p, TN_MSG_MOVE, 9, &req, sizeof(req));
		tn_raw_send(sock, p.data, p.bytes);
		if (i % 2)
			usleep((useconds_t)i);
		close(sock);
	}
	assert_true(whole(h, 7, 100));
	assert_int_equal(tarn_ping(tarn), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_WITHOUT(name) \
	cmocka_unit_test_setup_teardown(name, setup_without, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_unpin_moves_and_poisons_the_old_place),
		TEST_WITHOUT(without_it_an_object_stays),
		TEST(a_section_that_ends_moves_what_it_looked_at),
		TEST(what_is_still_in_use_stays),
		TEST(results_are_what_they_were),
		TEST(a_forked_child_has_it_too),
		TEST(a_tarnd_that_is_stopped_is_waited_for_once),
		TEST(a_pool_without_a_name_is_used_as_ever),
		TEST(threads_do_not_disturb_each_other),
		TEST_WITHOUT(what_is_pinned_long_keeps_no_areas),
		TEST_WITHOUT(a_request_moves_what_it_may),
		TEST_WITHOUT(nobody_need_wait_for_the_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
