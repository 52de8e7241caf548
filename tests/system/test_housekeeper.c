/* SPDX-License-Identifier: BSD-2-Clause */
/* Compaction that nobody asked for, by a real tarnd. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/layout.h"
#include "tarn/admin.h"
#include "tarn/handle.h"
#include "tests/lib/tn_sound.h"
#include "tests/lib/tn_test.h"
#include "tests/lib/tn_view.h"

#define MIB ((uint64_t)1 << 20)
#define N 60000
#define SIZE 240
#define LARGE 3000

static struct tn_test_daemon tarnd;
static struct tarn *tarn;
static struct tarn_pool *pool;
static tarn_ref h[N];
static unsigned size; /* of those */

static int setup(void **state)
{
	int r = tn_test_setup(state);

	tn_test_daemon_init(&tarnd);
	return r;
}

/* The pool is made with these options; of 64 MiB if they do not say. */
static void begin(const struct tarn_pool_opts *opts)
{
	struct tarn_pool_opts o = *opts;

	size = SIZE;
	if (!o.bytes)
		o.bytes = 64 * MIB;
	if (!tarnd.pid)
		tn_test_daemon_start(&tarnd, NULL);
	assert_int_equal(tarn_connect(NULL, &tarn), 0);
	assert_int_equal(tarn_pool_create(tarn, "p", &o), 0);
	assert_int_equal(tarn_pool_open(tarn, "p", TARN_PRODUCER, &pool), 0);
}

static int teardown(void **state)
{ return tn_sound_end(state, &tarnd, tarn, pool); }

static void make_all(void)
{
	for (unsigned i = 0; i < N; i++) {
		h[i] = tarn_halloc(pool, SIZE);
		assert_int_not_equal(h[i], 0);
		memset(tarn_pin(pool, h[i]), (int)i, SIZE);
		tarn_unpin(pool, h[i]);
	}
}

/* Of each @of there are left @left. */
static void make_holes(unsigned left, unsigned of)
{
	for (unsigned i = 0; i < N; i++)
		if (i % of >= left && h[i]) {
			assert_int_equal(tarn_hfree(pool, h[i]), 0);
			h[i] = 0;
		}
}

static void all_whole(void)
{
	for (unsigned i = 0; i < N; i++) {
		const uint8_t *p = h[i] ? tarn_pin_read(pool, h[i]) : NULL;

		for (unsigned k = 0; p && k < size; k++)
			assert_int_equal(p[k], (uint8_t)i);
		assert_true(!h[i] || (p && tarn_unpin(pool, h[i]) == 0));
	}
}

static uint64_t data_bytes(void)
{
	struct tarn_pool_info info;

	assert_int_equal(tarn_pool_stat(tarn, "p", &info), 0);
	return info.data_resident;
}

static struct tarn_compaction now(void)
{
	struct tarn_compaction c = { .sz = sizeof(c) };

	assert_int_equal(tarn_compact(tarn, "p", 0, NULL, NULL, &c), 0);
	return c;
}

static bool is_over(struct tarn_compaction c)
{
	return c.unasked && !c.running;
}

/* By more than 5 %: of that a sanitizer on a busy machine leaves too little. */
static void a_pool_with_holes_is_compacted_unasked(void **state)
{
	struct tarn_compaction c;

	(void)state;
	begin(TARN_POOL_OPTS(.compact_percent = 50));
	make_all();
	make_holes(1, 5);
	tn_test_eventually(is_over(c = now()));
	if (c.error == -ENOSYS) {
		print_message("no membarrier here\n");
		skip();
	}
	/* to be left: 5 % more than needed, and what magazines keep; perhaps
	 * by a second one, if holes were made during the first */
	tn_test_eventually(data_bytes() < N / 5 * 256 * 3 / 2);
	assert_true(data_bytes() > N / 5 * 256);
	assert_true(tn_test_daemon_said(&tarnd, "is compacted, unasked"));
	assert_true(tn_test_daemon_said(&tarnd, "p: compacted: "));
	all_whole();
}

static void free_memory_goes_back_unasked(void **state)
{
	void *p;

	(void)state;
	begin(TARN_POOL_OPTS(.mode = 0));
	p = tarn_run_alloc(pool, 4000, 0);
	memset(p, 1, 4000 * TARN_PAGE);
	assert_true(data_bytes() >= 4000 * TARN_PAGE);
	assert_int_equal(tarn_free(pool, p), 0);
	tn_test_eventually(is_over(now()));
	assert_true(data_bytes() < MIB);
}

/* It is free areas of which every second page is in memory: 8 MiB, and 10 are
 * in use. */
static void a_part_of_what_is_free_is_left(void **state)
{
	uint8_t *used, *p;

	(void)state;
	begin(TARN_POOL_OPTS(.compact_start = 50, .compact_stop = 40));
	used = tarn_run_alloc(pool, 5 * 512, 0);
	memset(used, 1, 10 * MIB);
	p = tarn_run_alloc(pool, 8 * 512, 0);
	for (uint64_t i = 0; i < 8 * 512; i += 2)
		p[i * TARN_PAGE] = 1;
	if (data_bytes() > 19 * MIB) {
		print_message("the system has larger pages here\n");
		skip();
	}
	assert_int_equal(tarn_free(pool, p), 0);
	tn_test_eventually(is_over(now()));
	/* 40 % of 10 MiB, and an area at most */
	assert_in_range(data_bytes(), 13 * MIB, 16 * MIB);
	assert_int_equal(tarn_free(pool, used), 0);
}

static void a_full_pool_is_left_alone(void **state)
{
	uint64_t before;

	(void)state;
	begin(TARN_POOL_OPTS(.mode = 0));
	make_all();
	make_holes(9, 10);
	before = data_bytes();
	sleep(5);
	assert_int_equal(now().runs, 0);
	assert_true(data_bytes() >= before);
}

/* As ever, what is in it is half of what it has. */
static void a_pool_that_is_never_to_be_is_left_alone(void **state)
{
	(void)state;
	begin(TARN_POOL_OPTS(.compact_percent = TARN_COMPACT_NEVER));
	make_all();
	make_holes(1, 2);
	sleep(5);
	assert_int_equal(now().compact_percent, TARN_COMPACT_NEVER);
	assert_int_equal(now().runs, 0);
	/* but when it is asked */
	assert_int_equal(tarn_compact(tarn, "p", 100, NULL, NULL, NULL), 0);
	assert_int_equal(now().runs, 1);
	assert_int_equal(now().unasked, 0);
	assert_true(now().moved_objects > 0);
}

static void a_reload_changes_what_holds_for_all_pools(void **state)
{
	(void)state;
	tn_test_write_file(tarnd.conf, "[compaction]\npercent = never\n"
			   "start = 50\nstop = 40\n");
	begin(TARN_POOL_OPTS(.compact_stop = 3));
	make_all();
	make_holes(1, 5);
	sleep(3);
	assert_int_equal(now().runs, 0);
	assert_int_equal(now().compact_percent, TARN_COMPACT_NEVER);
	assert_int_equal(now().compact_start, 50);
	assert_int_equal(now().compact_stop, 3);
	tn_test_write_file(tarnd.conf, "[compaction]\npercent = 99\n"
			   "start = 2\nstop = 1\n");
	kill(tarnd.pid, SIGHUP);
	tn_test_eventually(is_over(now()));
	assert_int_equal(now().compact_percent, 99);
	assert_int_equal(now().compact_start, 2);
	/* the pool's own, as far as it fits */
	assert_int_equal(now().compact_stop, 1);
	all_whole();
}

static void what_holds_for_a_pool_outlives_tarnd(void **state)
{
	(void)state;
	tn_test_daemon_supervise(&tarnd, NULL);
	begin(TARN_POOL_OPTS(.compact_percent = 42, .compact_start = 77,
			     .compact_stop = 33));
	tn_test_daemon_crash(&tarnd);
	tn_test_daemon_await(&tarnd);
	assert_int_equal(now().compact_percent, 42);
	assert_int_equal(now().compact_start, 77);
	assert_int_equal(now().compact_stop, 33);
}

static void wrong_numbers_are_refused(void **state)
{
	const struct tarn_pool_opts bad[] = {
		*TARN_POOL_OPTS(.bytes = MIB, .compact_percent = 101),
		*TARN_POOL_OPTS(.bytes = MIB, .compact_percent = 256 + 5),
		*TARN_POOL_OPTS(.bytes = MIB, .compact_start = 256),
		*TARN_POOL_OPTS(.bytes = MIB, .compact_start = 9,
				.compact_stop = 9),
	};

	(void)state;
	begin(TARN_POOL_OPTS(.mode = 0));
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(tarn_pool_create(tarn, "q", &bad[i]), -EINVAL);
}

/* How often tarnd's loop has gone to sleep. */
static unsigned long n_sleeps(void)
{
	char path[64], line[128];
	unsigned long n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tarnd.pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		sscanf(line, "voluntary_ctxt_switches: %lu", &n);
	fclose(f);
	assert_true(n > 0);
	return n;
}

static bool sleeps_on(void)
{
	unsigned long was = n_sleeps();

	sleep(3);
	return n_sleeps() == was;
}

/* Until who attaches wakes it. */
static void without_pools_in_use_tarnd_sleeps(void **state)
{
	void *p;

	(void)state;
	tn_test_daemon_start(&tarnd, NULL);
	tn_test_eventually(sleeps_on()); /* there is one look at first */
	begin(TARN_POOL_OPTS(.mode = 0));
	p = tarn_run_alloc(pool, 4000, 0);
	memset(p, 1, 4000 * TARN_PAGE);
	assert_int_equal(tarn_free(pool, p), 0);
	tn_test_eventually(is_over(now()));
	assert_true(data_bytes() < MIB);
}

/* What cannot be moved is not tried over and over. */
static void what_was_in_vain_is_tried_less_and_less(void **state)
{
	(void)state;
	begin(TARN_POOL_OPTS(.mode = 0));
	make_all();
	assert_int_equal(tarn_enter(pool), 0);
	make_holes(1, 5);
	tn_test_eventually(is_over(now()));
	sleep(8);
	/* after 2, 4 and 8 s, and what looks and runs take */
	assert_in_range(now().unasked, 1, 4);
	assert_int_equal(tarn_exit(pool), 0);
	all_whole();
}

#define ROOM_PAGES 512 /* 2 MiB */

/* A pool that is full but for holes, everywhere: 4 MiB of 12, and more than
 * memory's sake is a cause. */
static void begin_full(unsigned percent)
{
	unsigned n = 0;

	memset(h, 0, sizeof(h));
	begin(TARN_POOL_OPTS(.bytes = 12 * MIB, .compact_percent = percent,
			     .compact_start = 255));
	size = LARGE;
	while (n < N && (h[n] = tarn_halloc(pool, size))) {
		memset(tarn_pin(pool, h[n]), (int)n, size);
		tarn_unpin(pool, h[n++]);
	}
	assert_int_equal(errno, ENOMEM);
	make_holes(2, 3);
	assert_null(tarn_run_alloc(pool, ROOM_PAGES, 0));
	assert_int_equal(errno, ENOMEM);
}

static bool has_membarrier(void)
{
	if (now().error != -ENOSYS)
		return true;
	print_message("no membarrier here\n");
	skip();
	return false;
}

/* One who found none goes on, and later there is one. */
static void room_is_made_for_a_run_that_had_none(void **state)
{
	void *p;

	(void)state;
	begin_full(0);
	tn_test_eventually(is_over(now()));
	if (!has_membarrier())
		return;
	assert_int_equal(now().unasked, 1);
	assert_true(now().moved_objects > 0);
	assert_true(tn_test_daemon_said(&tarnd, "unasked: a run of 512 pages"));
	p = tarn_run_alloc(pool, ROOM_PAGES, 0);
	assert_non_null(p);
	all_whole();
	assert_int_equal(tarn_free(pool, p), 0);
}

/* Nor is memory taken from who is about to use it. */
static void room_that_is_made_is_not_punched(void **state)
{
	uint64_t before;

	(void)state;
	begin_full(0);
	before = data_bytes();
	tn_test_eventually(is_over(now()));
	assert_true(data_bytes() >= before);
}

static void no_room_is_made_where_that_is_never_to_be(void **state)
{
	(void)state;
	begin_full(TARN_COMPACT_NEVER);
	sleep(5);
	assert_int_equal(now().runs, 0);
	assert_null(tarn_run_alloc(pool, ROOM_PAGES, 0));
}

/* However often he asks. */
static void room_that_cannot_be_made_is_tried_less_and_less(void **state)
{
	int64_t end;

	(void)state;
	begin_full(0);
	assert_int_equal(tarn_enter(pool), 0);
	tn_test_eventually(is_over(now()));
	for (end = tn_test_now_ms() + 9000; tn_test_now_ms() < end; )
		if (usleep(1000) || tarn_run_alloc(pool, ROOM_PAGES, 0))
			fail_msg("there is room");
	/* after 2 and 4 s, and what looks and runs take */
	assert_in_range(now().unasked, 1, 3);
	assert_int_equal(tarn_exit(pool), 0);
	all_whole();
}

/* There is enough in sum, but nothing that has a handle. */
static void no_room_is_made_among_what_cannot_be_moved(void **state)
{
	void *p[16], *q[16];
	unsigned n;

	(void)state;
	begin(TARN_POOL_OPTS(.bytes = 16 * MIB, .compact_start = 255));
	for (n = 0; n < 16 && (p[n] = tarn_run_alloc(pool, 256, 0)); n++)
		;
	assert_int_equal(n, 16);
	for (n = 0; n < 16; n += 2)
		assert_int_equal(tarn_free(pool, p[n]), 0);
	assert_null(tarn_run_alloc(pool, ROOM_PAGES, 0));
	for (n = 0; n < 10; n++) {
		assert_null(tarn_run_alloc(pool, ROOM_PAGES, 0));
		usleep(500000);
	}
	assert_int_equal(now().runs, 0);
	for (n = 0; n < 8; n++)
		assert_non_null(q[n] = tarn_run_alloc(pool, 256, 0));
}

/* The word is there for any producer to write. */
static void what_cannot_be_wanted_is_no_cause(void **state)
{
	struct tn_header *header;

	(void)state;
	begin_full(0);
	tn_test_eventually(is_over(now()));
	header = tn_view_of(pool).meta;
	for (unsigned n = 0; n < 20; n++) {
		tn64_store_relaxed(&header->wanted, n % 2 ? ~0ULL : 12 * 256);
		usleep(250000);
	}
	assert_int_equal(now().runs, 1);
	tn_test_eventually(!tn64_load_relaxed(&header->wanted));
	all_whole();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_pool_with_holes_is_compacted_unasked),
		TEST(free_memory_goes_back_unasked),
		TEST(a_part_of_what_is_free_is_left),
		TEST(a_full_pool_is_left_alone),
		TEST(a_pool_that_is_never_to_be_is_left_alone),
		TEST(a_reload_changes_what_holds_for_all_pools),
		TEST(what_holds_for_a_pool_outlives_tarnd),
		TEST(wrong_numbers_are_refused),
		TEST(without_pools_in_use_tarnd_sleeps),
		TEST(what_was_in_vain_is_tried_less_and_less),
		TEST(room_is_made_for_a_run_that_had_none),
		TEST(room_that_is_made_is_not_punched),
		TEST(no_room_is_made_where_that_is_never_to_be),
		TEST(room_that_cannot_be_made_is_tried_less_and_less),
		TEST(no_room_is_made_among_what_cannot_be_moved),
		TEST(what_cannot_be_wanted_is_no_cause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
