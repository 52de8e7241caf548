/* SPDX-License-Identifier: BSD-2-Clause */
/* Bad use and bad luck around handles and compaction, over a real tarnd. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tarn/admin.h"
#include "tarn/handle.h"
#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_sound.h"
#include "tests/lib/tn_test.h"
#include "tests/lib/tn_view.h"

#define MIB ((uint64_t)1 << 20)
#define N 20000
#define SIZE 240
#define LEFT 5 /* one in so many */

static struct tn_test_daemon tarnd;
static struct tarn *tarn;
static struct tarn_pool *pool;
static tarn_ref h[N];
static struct {
	int ready; /* a child tells that it is where it should be */
} *shared;

static struct tarn_pool *make_pool(const char *name)
{
	struct tarn_pool *p;

	assert_int_equal(tarn_pool_create(tarn, name, TARN_POOL_OPTS(
				.bytes = 16 * MIB, .mode = 0004,
				.compact_percent = TARN_COMPACT_NEVER)), 0);
	assert_int_equal(tarn_pool_open(tarn, name, TARN_PRODUCER, &p), 0);
	return p;
}

static int setup(void **state)
{
	int r = tn_test_setup(state);

	tn_test_daemon_init(&tarnd);
	tn_test_daemon_start(&tarnd, NULL);
	assert_int_equal(tarn_connect(NULL, &tarn), 0);
	pool = make_pool("p");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(shared, MAP_FAILED);
	return r;
}

static int teardown(void **state)
{
	munmap(shared, sizeof(*shared));
	tarn_pool_close(pool);
	tarn_disconnect(tarn);
	tn_test_daemon_stop(&tarnd);
	return tn_test_teardown(state);
}

static void make(struct tarn_pool *p, unsigned i)
{
	h[i] = tarn_halloc(p, SIZE);
	assert_int_not_equal(h[i], 0);
	memset(tarn_pin(p, h[i]), (int)i, SIZE);
	assert_int_equal(tarn_unpin(p, h[i]), 0);
}

static void make_holes(struct tarn_pool *p)
{
	for (unsigned i = 0; i < N; i++)
		make(p, i);
	for (unsigned i = 0; i < N; i++)
		if (i % LEFT)
			assert_int_equal(tarn_hfree(p, h[i]), 0);
}

static void all_whole(void)
{
	for (unsigned i = 0; i < N; i += LEFT) {
		const uint8_t *p = tarn_pin_read(pool, h[i]);

		assert_non_null(p);
		for (unsigned k = 0; k < SIZE; k++)
			assert_int_equal(p[k], (uint8_t)i);
		assert_int_equal(tarn_unpin(pool, h[i]), 0);
	}
}

static struct tarn_compaction compact(void)
{
	struct tarn_compaction c = { .sz = sizeof(c) };

	assert_int_equal(tarn_compact(tarn, "p", 100, NULL, NULL, &c), 0);
	return c;
}

/* A client of its own, in a child. */
static struct tarn_pool *attach(void)
{
	struct tarn_pool *p;
	struct tarn *t;

	if (tarn_connect(NULL, &t) < 0 ||
	    tarn_pool_open(t, "p", TARN_PRODUCER, &p) < 0)
		_exit(1);
	return p;
}

static void be_ready(void)
{
	__atomic_store_n(&shared->ready, 1, __ATOMIC_RELEASE);
	pause();
	_exit(2);
}

static void await_ready(void)
{
	tn_test_eventually(__atomic_load_n(&shared->ready,
					       __ATOMIC_ACQUIRE));
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(tn_test_wait(pid), 128 + SIGKILL);
}

/* The dead are recovered: we are the only client of the pool. */
static void await_recovery(void)
{
	struct tarn_pool_info info;

	tn_test_eventually(tarn_pool_stat(tarn, "p", &info) == 0 &&
			   info.n_clients == 1);
}

static int stay_in_a_section(void *arg)
{
	struct tarn_pool *p = attach();

	(void)arg;
	if (tarn_enter(p) || !tarn_deref(p, h[0]))
		return 1;
	be_ready();
	return 2;
}

static void a_section_never_left_is_named_and_hurts_nobody(void **state)
{
	char text[64];
	pid_t pid;

	(void)state;
	make_holes(pool);
	pid = tn_test_spawn(stay_in_a_section, NULL);
	await_ready();
	assert_int_equal(compact().error, -EBUSY);
	assert_int_equal(compact().moved_objects, 0);
	/* others go on */
	all_whole();
	for (unsigned i = 1; i < N; i += LEFT)
		make(pool, i);
	for (unsigned i = 1; i < N; i += LEFT)
		assert_int_equal(tarn_hfree(pool, h[i]), 0);
	assert_false(tn_test_daemon_said(&tarnd, "has not left its section"));
	sleep(10);
	assert_int_equal(compact().error, -EBUSY);
	snprintf(text, sizeof(text), "process %d, has not left its section",
		 (int)pid);
	assert_true(tn_test_daemon_said(&tarnd, text));
	end(pid);
	tn_test_eventually(compact().error == 0);
	assert_true(compact().passes > 0);
	all_whole();
	tn_sound(tarn);
}

static void *pin_and_stay(void *arg)
{
	struct tarn_pool *p = arg;
	static unsigned next;

	for (unsigned n = 0; n < 64; n++) {
		unsigned i = __atomic_fetch_add(&next, LEFT, __ATOMIC_RELAXED);

		if (i < N && !tarn_pin(p, h[i]))
			_exit(3);
	}
	if (__atomic_load_n(&next, __ATOMIC_RELAXED) >= N)
		__atomic_store_n(&shared->ready, 1, __ATOMIC_RELEASE);
	pause();
	return NULL;
}

static int pin_everything(void *arg)
{
	struct tarn_pool *p = attach();
	pthread_t thread;

	(void)arg;
	for (unsigned n = 0; n < N / LEFT / 64 + 1; n++)
		if (pthread_create(&thread, NULL, pin_and_stay, p))
			return 1;
	pause();
	return 2;
}

static void who_pins_everything_keeps_it_where_it_is(void **state)
{
	struct tarn_compaction c;
	pid_t pid;

	(void)state;
	make_holes(pool);
	pid = tn_test_spawn(pin_everything, NULL);
	await_ready();
	c = compact();
	assert_int_equal(c.error, 0);
	assert_int_equal(c.moved_objects, 0);
	assert_true(c.pinned > 0);
	all_whole();
	end(pid);
	await_recovery();
	/* what it wrote, or not, is told once each */
	for (unsigned i = 0; i < N; i += LEFT) {
		assert_null(tarn_pin(pool, h[i]));
		assert_int_equal(errno, EOWNERDEAD);
	}
	all_whole();
	assert_true(compact().moved_objects > 0);
	all_whole();
	tn_sound(tarn);
}

static void handles_of_another_pool_or_of_nothing_are_refused(void **state)
{
	struct tarn_pool *other = make_pool("q");
	tarn_ref wrong[8];
	uint8_t byte;

	(void)state;
	make(other, 1);
	make(pool, 0);
	wrong[0] = h[1];
	wrong[1] = h[0] + 1;                 /* no such one was ever made */
	wrong[2] = h[0] | ((1ULL << 30) - 1);
	wrong[3] = h[0] ^ 1ULL << 47;
	wrong[4] = h[0] + (1ULL << 30);      /* of a later life */
	wrong[5] = h[0] + (1ULL << 48);
	wrong[6] = ~0ULL;
	wrong[7] = TARN_REF_NONE;
	for (unsigned i = 0; i < 8; i++) {
		assert_null(tarn_pin(pool, wrong[i]));
		assert_true(errno == ESTALE || errno == EINVAL);
		assert_null(tarn_pin_read(pool, wrong[i]));
		assert_null(tarn_pin_long(pool, wrong[i]));
		assert_true(errno == ESTALE || errno == EINVAL);
		assert_int_equal(tarn_unpin(pool, wrong[i]), -EINVAL);
		assert_int_equal(tarn_unpin_long(pool, wrong[i]), -EINVAL);
		assert_true(tarn_read_copy(pool, wrong[i], &byte, 0, 1) < 0);
		assert_int_equal(tarn_hbytes(pool, wrong[i]), 0);
		if (wrong[i])
			assert_true(tarn_hfree(pool, wrong[i]) < 0);
		assert_int_equal(tarn_enter(pool), 0);
		assert_null(tarn_deref(pool, wrong[i]));
		assert_int_equal(tarn_exit(pool), 0);
	}
	/* once more than it was pinned */
	assert_non_null(tarn_pin(pool, h[0]));
	assert_int_equal(tarn_unpin(pool, h[0]), 0);
	assert_int_equal(tarn_unpin(pool, h[0]), -EINVAL);
	tarn_pool_close(other);
	tn_sound(tarn);
}

static int ask_as_an_observer(void *arg)
{
	struct tarn_compaction c = { .sz = sizeof(c) };
	struct tarn *t;

	(void)arg;
	if (tarn_connect(NULL, &t) < 0)
		return 1;
	if (tarn_compact(t, "p", 100, NULL, NULL, &c) != -EACCES)
		return 2;
	return tarn_compact(t, "p", 0, NULL, NULL, &c) ? 3 : 0;
}

static void who_may_only_read_may_only_ask_how_it_went(void **state)
{
	(void)state;
	tn_test_skip_unless_root();
	assert_int_equal(tn_test_wait(tn_test_spawn_as(
			 12345, 12345, ask_as_an_observer, NULL)), 0);
}

static void a_destroyed_pool_cannot_be_compacted(void **state)
{
	struct tarn_pool *other = make_pool("q");

	(void)state;
	assert_int_equal(tarn_pool_destroy(tarn, "q"), 0);
	assert_int_equal(tarn_compact(tarn, "q", 100, NULL, NULL, NULL),
			 -ENOENT);
	assert_null(tarn_alloc_with(other, 15 * MIB, TARN_COMPACT));
	tarn_pool_close(other);
}

static void a_poisoned_pool_is_not_compacted(void **state)
{
	int sock = tn_raw_hello(tarnd.socket);
	struct tarn_compaction c = { .sz = sizeof(c) };

	(void)state;
	make_holes(pool);
	tn_raw_poison(sock, "p");
	close(sock);
	assert_int_equal(tarn_compact(tarn, "p", 100, NULL, NULL, NULL),
			 -EUCLEAN);
	assert_int_equal(tarn_compact(tarn, "p", 0, NULL, NULL, &c), 0);
	assert_int_equal(c.runs, 0);
	assert_null(tarn_alloc_with(pool, 15 * MIB, TARN_COMPACT));
	assert_int_equal(errno, EUCLEAN);
}

static int keep_scribbling(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg;
	struct tarn_pool *p = attach();

	while (seed)
		tn_view_scribble(p, &seed, 10);
	return 0;
}

/* Whatever it makes of it, tarnd is there afterwards. */
static void a_scribbled_pool_is_compacted_or_poisoned(void **state)
{
	struct tarn_compaction c = { .sz = sizeof(c) };
	unsigned poisoned = 0;
	uint64_t moved = 0;

	(void)state;
	for (unsigned round = 0; round < 30; round++) {
		uint64_t seed = 77 + round;
		pid_t pid = 0;
		int r = 0;

		make_holes(pool);
		if (round % 2)
			pid = tn_test_spawn(keep_scribbling,
					    (void *)(uintptr_t)seed);
		else
			tn_view_scribble(pool, &seed, 1U << round / 2 % 10);
		for (unsigned i = 0; i < 5 && r == 0; i++) {
			r = tarn_compact(tarn, "p", 100, NULL, NULL, &c);
			moved += r == 0 ? c.moved_objects : 0;
		}
		assert_true(r == 0 || r == -EUCLEAN);
		poisoned += r == -EUCLEAN;
		assert_int_equal(tarn_ping(tarn), 0);
		if (pid)
			end(pid);
		tarn_pool_close(pool);
		assert_int_equal(tarn_pool_destroy(tarn, "p"), 0);
		pool = make_pool("p");
	}
	print_message("# scribbled: %u of 30 pools poisoned, %u objects "
		      "moved\n", poisoned, (unsigned)moved);
	assert_true(moved > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_section_never_left_is_named_and_hurts_nobody),
		TEST(who_pins_everything_keeps_it_where_it_is),
		TEST(handles_of_another_pool_or_of_nothing_are_refused),
		TEST(who_may_only_read_may_only_ask_how_it_went),
		TEST(a_destroyed_pool_cannot_be_compacted),
		TEST(a_poisoned_pool_is_not_compacted),
		TEST(a_scribbled_pool_is_compacted_or_poisoned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
