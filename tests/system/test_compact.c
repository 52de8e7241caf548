/* SPDX-License-Identifier: BSD-2-Clause */
/* Handles and compaction, over a real tarnd and the public interface. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tarn/admin.h"
#include "tarn/handle.h"
#include "tarn/stats.h"
#include "tests/lib/tn_sound.h"
#include "tests/lib/tn_test.h"

#define MIB ((uint64_t)1 << 20)
#define N 60000

static struct tn_test_daemon tarnd;
static struct tarn *tarn;
static struct tarn_pool *pool;
static tarn_ref h[N];

static int begin(void **state, bool supervised)
{
	int r = tn_test_setup(state);

	tn_test_daemon_init(&tarnd);
	if (supervised)
		tn_test_daemon_supervise(&tarnd, NULL);
	else
		tn_test_daemon_start(&tarnd, NULL);
	assert_int_equal(tarn_connect(NULL, &tarn), 0);
	assert_int_equal(tarn_pool_create(tarn, "p", TARN_POOL_OPTS(
				.bytes = 64 * MIB, .mode = 0444)), 0);
	assert_int_equal(tarn_pool_open(tarn, "p", TARN_PRODUCER, &pool), 0);
	return r;
}

static int setup(void **state)
{
	return begin(state, false);
}

static int setup_supervised(void **state)
{
	return begin(state, true);
}

static int teardown(void **state)
{ return tn_sound_end(state, &tarnd, tarn, pool); }

static size_t size_of(unsigned i)
{
	return 100 + i % 7 * 60;
}

static void make(unsigned i)
{
	uint8_t *p;

	h[i] = tarn_halloc(pool, size_of(i));
	assert_int_not_equal(h[i], 0);
	p = tarn_pin(pool, h[i]);
	assert_non_null(p);
	memset(p, (int)i, size_of(i));
	assert_int_equal(tarn_unpin(pool, h[i]), 0);
}

static bool whole(struct tarn_pool *in, unsigned i)
{
	const uint8_t *p = tarn_pin_read(in, h[i]);
	bool same = p;

	for (size_t k = 0; same && k < size_of(i); k++)
		same = p[k] == (uint8_t)i;
	return same && tarn_unpin(in, h[i]) == 0;
}

/* One in five of what was there is left. */
static void make_holes(void)
{
	for (unsigned i = 0; i < N; i++)
		make(i);
	for (unsigned i = 0; i < N; i++)
		if (i % 5) {
			assert_int_equal(tarn_hfree(pool, h[i]), 0);
			h[i] = 0;
		}
}

static uint64_t data_bytes(void)
{
	struct tarn_pool_info info;

	assert_int_equal(tarn_pool_stat(tarn, "p", &info), 0);
	return info.data_resident;
}

static void all_whole(void)
{
	for (unsigned i = 0; i < N; i += 5)
		assert_true(whole(pool, i));
}

static void memory_goes_back_and_nothing_is_lost(void **state)
{
	struct tarn_compaction c = { .sz = sizeof(c) };
	uint64_t before;

	(void)state;
	make_holes();
	before = data_bytes();
	assert_int_equal(tarn_compact(tarn, "p", 100, NULL, NULL, &c), 0);
	if (c.error == -ENOSYS) {
		print_message("no membarrier here\n");
		skip();
	}
	assert_true(c.moved_objects > N / 20);
	assert_true(data_bytes() < before / 3);
	all_whole();
	assert_int_equal(tarn_compact(tarn, "p", 5, NULL, NULL, &c), 0);
	assert_true(c.moved_objects < 100);
}

static void what_is_pinned_stays_where_it_is(void **state)
{
	struct tarn_compaction c = { .sz = sizeof(c) };
	const uint8_t *at[60];

	(void)state;
	make_holes();
	for (unsigned k = 0; k < 60; k++)
		at[k] = tarn_pin_read(pool, h[N - 5 - 50 * 5 * k / 10 * 5]);
	assert_int_equal(tarn_compact(tarn, "p", 100, NULL, NULL, &c), 0);
	for (unsigned k = 0; k < 60; k++) {
		unsigned i = N - 5 - 50 * 5 * k / 10 * 5;

		assert_int_equal(*at[k], (uint8_t)i);
		assert_int_equal(tarn_unpin(pool, h[i]), 0);
	}
	all_whole();
}

static void a_freed_handle_is_stale(void **state)
{
	tarn_ref old;

	(void)state;
	make(0);
	old = h[0];
	assert_int_equal(tarn_hfree(pool, old), 0);
	assert_int_equal(tarn_hfree(pool, old), -ESTALE);
	assert_null(tarn_pin(pool, old));
	assert_int_equal(errno, ESTALE);
	assert_int_equal(tarn_hbytes(pool, old), 0);
	assert_int_equal(tarn_detach(pool, old), -ESTALE);
	make(1);
	assert_int_not_equal(h[1], old);
	assert_null(tarn_pin(pool, old));
}

static void wrong_uses_are_told(void **state)
{
	void *raw = tarn_alloc(pool, 100);
	uint8_t buf[8];

	(void)state;
	make(0);
	assert_int_equal(tarn_unpin(pool, h[0]), -EINVAL);
	assert_int_equal(tarn_unpin_long(pool, h[0]), -EINVAL);
	assert_int_equal(tarn_exit(pool), -EINVAL);
	assert_null(tarn_deref(pool, h[0]));
	assert_int_equal(errno, EPERM);
	assert_null(tarn_pin(pool, tarn_ref_of(pool, raw)));
	assert_int_equal(errno, EINVAL);
	assert_int_equal(tarn_hfree(pool, tarn_ref_of(pool, raw)), -EINVAL);
	assert_int_equal(tarn_hfree(pool, TARN_REF_NONE), 0);
	/* the object has no holder of its own */
	assert_int_equal(tarn_free(pool, tarn_pin(pool, h[0])), -EPERM);
	assert_int_equal(tarn_unpin(pool, h[0]), 0);
	assert_int_equal(tarn_read_copy(pool, h[0], buf, 200, 8), -EINVAL);
	assert_int_equal(tarn_read_copy(pool, h[0], buf, 0, 8), 0);
	for (int i = 0; i < 64; i++)
		assert_non_null(tarn_pin(pool, h[0]));
	assert_null(tarn_pin(pool, h[0]));
	assert_int_equal(errno, ENOSPC);
	for (int i = 0; i < 64; i++)
		assert_int_equal(tarn_unpin(pool, h[0]), 0);
	assert_int_equal(tarn_free(pool, raw), 0);
}

static void roles_are_kept(void **state)
{
	struct tarn_pool *c, *o;
	uint8_t byte;

	(void)state;
	make(1);
	assert_int_equal(tarn_pool_open(tarn, "p", TARN_CONSUMER, &c), 0);
	assert_int_equal(tarn_pool_open(tarn, "p", TARN_OBSERVER, &o), 0);
	assert_int_equal(tarn_halloc(c, 100), 0);
	assert_int_equal(errno, EACCES);
	assert_true(whole(c, 1));
	assert_null(tarn_pin(c, h[1]));
	assert_int_equal(errno, EACCES);
	assert_null(tarn_pin_read(o, h[1]));
	assert_int_equal(errno, EACCES);
	assert_int_equal(tarn_read_copy(o, h[1], &byte, 5, 1), 0);
	assert_int_equal(byte, 1);
	tarn_pool_close(o);
	tarn_pool_close(c);
}

static int die_writing(void *arg)
{
	struct tarn *t;
	struct tarn_pool *p;
	tarn_ref *ref = arg;

	if (tarn_connect(NULL, &t) < 0 ||
	    tarn_pool_open(t, "p", TARN_PRODUCER, &p) < 0 ||
	    !tarn_pin(p, *ref))
		return 1;
	raise(SIGKILL);
	return 2;
}

static void who_comes_after_a_dead_writer_is_told_once(void **state)
{
	struct tarn_pool_info info;

	(void)state;
	make(0);
	assert_int_equal(tn_test_wait(tn_test_spawn(die_writing, &h[0])),
			 128 + SIGKILL);
	tn_test_eventually(tarn_pool_stat(tarn, "p", &info) == 0 &&
			   info.n_clients == 1);
	assert_null(tarn_pin_read(pool, h[0]));
	assert_int_equal(errno, EOWNERDEAD);
	assert_non_null(tarn_pin(pool, h[0]));
	assert_int_equal(tarn_unpin(pool, h[0]), 0);
}

static void a_child_has_no_pins_of_its_parent(void **state)
{
	pid_t pid;

	(void)state;
	make(0);
	assert_non_null(tarn_pin(pool, h[0]));
	assert_int_equal(tarn_enter(pool), 0);
	pid = fork();
	if (!pid)
		_exit(tarn_unpin(pool, h[0]) == -EINVAL &&
		      tarn_exit(pool) == -EINVAL && whole(pool, 0) ? 0 : 1);
	assert_int_equal(tn_test_wait(pid), 0);
	assert_int_equal(tarn_exit(pool), 0);
	assert_int_equal(tarn_unpin(pool, h[0]), 0);
}

static struct tarn_pool *make_crowded(void)
{
	struct tarn_pool *p;

	assert_int_equal(tarn_pool_create(tarn, "q", TARN_POOL_OPTS(
				.bytes = 8 * MIB,
				.compact_percent = TARN_COMPACT_NEVER)), 0);
	assert_int_equal(tarn_pool_open(tarn, "q", TARN_PRODUCER, &p), 0);
	return p;
}

static void a_section_is_left_after_another_pool_was_used(void **state)
{
	struct tarn_compaction c = { .sz = sizeof(c) };
	struct tarn_pool *other = make_crowded();

	(void)state;
	make(0);
	assert_int_equal(tarn_enter(pool), 0);
	assert_non_null(tarn_alloc(other, 100));
	assert_non_null(tarn_deref(pool, h[0]));
	assert_int_equal(tarn_enter(other), 0);
	assert_int_equal(tarn_exit(pool), 0);
	assert_int_equal(tarn_exit(pool), -EINVAL);
	assert_null(tarn_deref(pool, h[0]));
	assert_int_equal(errno, EPERM);
	assert_int_equal(tarn_exit(other), 0);
	assert_int_equal(tarn_exit(other), -EINVAL);
	assert_int_equal(tarn_compact(tarn, "p", 100, NULL, NULL, &c), 0);
	assert_true(c.error == 0 || c.error == -ENOSYS);
	tarn_pool_close(other);
	assert_int_equal(tarn_pool_destroy(tarn, "q"), 0);
}

static void compacting_what_cannot_be_is_answered(void **state)
{
	struct tarn_compaction c = { .sz = sizeof(c) };

	(void)state;
	assert_int_equal(tarn_compact(tarn, "q", 100, NULL, NULL, &c), -ENOENT);
	assert_int_equal(tarn_compact(tarn, "p", 101, NULL, NULL, &c),
			 -EINVAL);
	/* empty; then full */
	assert_int_equal(tarn_compact(tarn, "p", 100, NULL, NULL, &c), 0);
	assert_int_equal(c.moved_objects, 0);
	while (tarn_halloc(pool, 30000))
		;
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(tarn_compact(tarn, "p", 100, NULL, NULL, &c), 0);
	assert_int_equal(tarn_pool_create(tarn, "r", TARN_POOL_OPTS(
				.bytes = 4 * MIB, .kind = TARN_KIND_BUDDY)), 0);
	assert_int_equal(tarn_compact(tarn, "r", 100, NULL, NULL, &c), 0);
}

/* A pool in which no whole page is free, and four of five slots are. Return:
 * how many handles there are. */
static unsigned crowd(struct tarn_pool *p)
{
	unsigned n = 0, left = 0;

	while (n < N && (h[n] = tarn_halloc(p, 200)))
		n++;
	assert_true(n < N && errno == ENOMEM);
	for (unsigned i = 0; i < n; i++) {
		h[left] = h[i];
		if (i % 5)
			assert_int_equal(tarn_hfree(p, h[i]), 0);
		else
			left++;
	}
	return left;
}

static void who_finds_no_room_may_have_it_made(void **state)
{
	struct tarn_pool *p = make_crowded();
	unsigned n = crowd(p);

	(void)state;
	assert_null(tarn_alloc_with(p, MIB, 0));
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(tarn_halloc_with(p, MIB, 0), 0);
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(tarn_enter(p), 0);
	assert_null(tarn_alloc_with(p, MIB, TARN_COMPACT));
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(tarn_exit(p), 0);
	assert_non_null(tarn_alloc_with(p, MIB, TARN_COMPACT));
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(tarn_hfree(p, h[i]), 0);
	crowd(p);
	assert_int_equal(tarn_halloc(p, MIB), 0);
	assert_int_not_equal(tarn_halloc_with(p, MIB, TARN_COMPACT), 0);
	/* more than there can be */
	assert_null(tarn_alloc_with(p, 4 * MIB, TARN_COMPACT));
	assert_int_equal(errno, ENOMEM);
	assert_null(tarn_alloc_with(p, 9 * MIB, TARN_COMPACT));
	assert_int_equal(errno, EINVAL);
	assert_null(tarn_alloc_with(p, 9, 2));
	assert_int_equal(errno, EINVAL);
	tarn_pool_close(p);
	memset(h, 0, sizeof(h));
}

static void without_tarnd_there_is_no_room_to_be_made(void **state)
{
	struct tarn_pool *p = make_crowded();

	(void)state;
	crowd(p);
	assert_int_equal(kill(tarnd.pid, SIGSTOP), 0);
	assert_null(tarn_alloc_with(p, MIB, TARN_COMPACT));
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(kill(tarnd.pid, SIGCONT), 0);
	assert_non_null(tarn_alloc_with(p, MIB, TARN_COMPACT));
	tarn_pool_close(p);
	memset(h, 0, sizeof(h));
}

static int compact_again_and_again(void *arg)
{
	struct tarn_compaction c = { .sz = sizeof(c) };
	struct tarn *t;

	(void)arg;
	if (tarn_connect(NULL, &t) < 0)
		return 1;
	for (;;)
		if (tarn_compact(t, "p", 100, NULL, NULL, &c) < 0)
			return 2;
}

/* Everything is written, read and replaced while it is moved. */
static void use_all(unsigned turns)
{
	for (unsigned n = 0; n < turns; n++)
		for (unsigned i = n % 5; i < N; i += 5) {
			if (!h[i]) {
				make(i);
			} else if (n % 3 == 2) {
				assert_int_equal(tarn_hfree(pool, h[i]), 0);
				h[i] = 0;
			} else {
				assert_true(whole(pool, i));
			}
		}
}

static void two_compactions_at_once_disturb_nobody(void **state)
{
	pid_t pid[2];

	(void)state;
	make_holes();
	for (int i = 0; i < 2; i++)
		pid[i] = tn_test_spawn(compact_again_and_again, NULL);
	use_all(20);
	for (int i = 0; i < 2; i++) {
		kill(pid[i], SIGKILL);
		assert_int_equal(tn_test_wait(pid[i]), 128 + SIGKILL);
	}
}

static void a_pool_may_go_while_it_is_compacted(void **state)
{
	struct tarn_compaction c = { .sz = sizeof(c) };

	(void)state;
	for (int i = 0; i < 20; i++) {
		struct tarn_pool *p;
		pid_t pid;

		assert_int_equal(tarn_pool_create(tarn, "q", TARN_POOL_OPTS(
					.bytes = 16 * MIB)), 0);
		assert_int_equal(tarn_pool_open(tarn, "q", TARN_PRODUCER, &p),
				 0);
		for (int k = 0; k < 2000; k++)
			assert_int_not_equal(tarn_halloc(p, 3000), 0);
		pid = fork();
		if (!pid)
			_exit(tarn_compact(tarn, "q", 1, NULL, NULL, &c) ==
			      -ECHILD ? 0 : 1);
		assert_int_equal(tn_test_wait(pid), 0);
		assert_int_equal(tarn_pool_destroy(tarn, "q"), 0);
		tarn_pool_close(p);
	}
}

/* tarnd dies in the middle, over and over: nothing is lost, and the auditor,
 * at the end of each test, finds nothing. */
static void tarnd_may_die_while_it_moves(void **state)
{
	pid_t pid;

	(void)state;
	alarm(2 * TN_TEST_SECONDS);
	make_holes();
	for (int i = 0; i < 20; i++) {
		pid = tn_test_spawn(compact_again_and_again, NULL);
		usleep((useconds_t)(1000 * (7 + i * 3)));
		tn_test_daemon_crash(&tarnd);
		use_all(3);
		tn_test_daemon_await(&tarnd);
		kill(pid, SIGKILL);
		tn_test_wait(pid);
	}
	for (unsigned i = 0; i < N; i++)
		if (h[i])
			assert_true(whole(pool, i));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(memory_goes_back_and_nothing_is_lost),
		TEST(what_is_pinned_stays_where_it_is),
		TEST(a_freed_handle_is_stale),
		TEST(wrong_uses_are_told),
		TEST(roles_are_kept),
		TEST(who_comes_after_a_dead_writer_is_told_once),
		TEST(a_child_has_no_pins_of_its_parent),
		TEST(a_section_is_left_after_another_pool_was_used),
		TEST(compacting_what_cannot_be_is_answered),
		TEST(who_finds_no_room_may_have_it_made),
		TEST(without_tarnd_there_is_no_room_to_be_made),
		TEST(two_compactions_at_once_disturb_nobody),
		TEST(a_pool_may_go_while_it_is_compacted),
		cmocka_unit_test_setup_teardown(tarnd_may_die_while_it_moves,
						setup_supervised, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
