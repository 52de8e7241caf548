/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/attachment.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/lib/tn_test.h"

static struct quota quota;
static struct quota_limits limits;
static struct reaper *reaper;
static struct pool *pool;
static struct peer peer = { .pid = 4711, .uid = 54321, .pidfd = -1 };
static int n_gone;

static int setup(void **state)
{
	const struct pool_spec spec = {
		.name = "p", .bytes = 4 << 20, .kind = TN_KIND_SLAB,
		.policy = TN_FIRST_FIT,
	};

	tn_test_setup(state);
	for (int k = 0; k < QUOTA_N; k++)
		limits.own[k] = limits.others[k] = QUOTA_UNLIMITED;
	quota_init(&quota, &limits);
	n_gone = 0;
	return reaper_new(&reaper) ||
	       pool_new(&pool, &spec, 0x1234, &quota, false);
}

static int teardown(void **state)
{
	reaper_free(reaper);
	pool = pool_unref(pool);
	quota_fini(&quota);
	return tn_test_teardown(state);
}

static void on_gone(void *owner, uint32_t number)
{
	(void)owner;
	(void)number;
	n_gone++;
}

static struct attachment *attach(uint32_t role, int fds[3])
{
	struct attachment *a;

	assert_int_equal(attachment_new(&a, pool, &peer, &quota, role, fds), 0);
	a->gone = on_gone;
	return a;
}

static void close_fds(int fds[3])
{
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

/* What the main loop does, until @n are gone. */
static void reap(int n)
{
	struct pollfd pfd = { .fd = reaper_fd(reaper), .events = POLLIN };

	while (n_gone < n) {
		assert_int_equal(poll(&pfd, 1, 10000), 1);
		reaper_dispatch(reaper);
	}
}

static bool writable(int fd)
{
	return (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR;
}

static void a_role_is_how_the_files_are_open(void **state)
{
	static const struct { uint32_t role; bool meta, data; } table[] = {
		{ TN_PRODUCER, true, true },
		{ TN_CONSUMER, true, false },
		{ TN_OBSERVER, false, false },
	};
	int fds[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct attachment *a = attach(table[i].role, fds);

		assert_int_equal(writable(fds[0]), table[i].meta);
		assert_int_equal(writable(fds[1]), table[i].data);
		assert_true(writable(fds[2]));
		close_fds(fds);
		attachment_free(a);
	}
}

static void the_control_file_names_the_client(void **state)
{
	const struct tn_control *c;
	struct attachment *a;
	int fds[3];

	(void)state;
	a = attach(TN_OBSERVER, fds);
	c = mmap(NULL, pool->geo.control_bytes, PROT_READ, MAP_SHARED, fds[2],
		 0);
	assert_ptr_not_equal(c, MAP_FAILED);
	assert_true(c->magic == TN_CONTROL_MAGIC);
	assert_int_equal(c->client, a->client);
	assert_int_equal(c->data_bytes, pool->geo.data_bytes);
	assert_int_equal(c->mark, 0x1234);
	munmap((void *)c, pool->geo.control_bytes);
	close_fds(fds);
	attachment_free(a);
}

static void its_slot_is_alive_while_it_is(void **state)
{
	struct attachment *a;
	struct tn_client *slot;
	int fds[3];

	(void)state;
	a = attach(TN_PRODUCER, fds);
	close_fds(fds);
	slot = &pool->view.clients[TN_CLIENT_SLOT(a->client)];
	assert_true(tn64_load_relaxed(&slot->state) ==
		    (TN_CLIENT_ALIVE | a->client));
	assert_true(tn64_load_relaxed(&slot->pid_uid) ==
		    ((uint64_t)4711 << 32 | 54321));
	attachment_end(a, reaper);
	assert_true(tn64_load_relaxed(&slot->state) ==
		    (TN_CLIENT_DEAD | a->client));
	reap(1);
	assert_true(tn64_load_relaxed(&slot->state) == 0);
	assert_true(tn64_load_relaxed(&slot->pid_uid) == 0);
}

static void ending_twice_is_ending_once(void **state)
{
	struct attachment *a;
	int fds[3];

	(void)state;
	a = attach(TN_PRODUCER, fds);
	close_fds(fds);
	attachment_end(a, reaper);
	attachment_end(a, reaper);
	reap(1);
	assert_int_equal(pool_n_clients(pool), 0);
	assert_int_equal(quota_used(&quota, 54321, QUOTA_ATTACHMENTS), 0);
}

static void many_end_at_once(void **state)
{
	struct attachment *all[100];
	int fds[3];

	(void)state;
	for (int i = 0; i < 100; i++) {
		all[i] = attach(TN_PRODUCER, fds);
		close_fds(fds);
	}
	assert_int_equal(pool_n_clients(pool), 100);
	assert_int_equal(quota_used(&quota, 54321, QUOTA_ATTACHMENTS), 100);
	for (int i = 0; i < 100; i++)
		attachment_end(all[i], reaper);
	reap(100);
	assert_int_equal(pool_n_clients(pool), 0);
	assert_true(reaper_healthy(reaper));
}

static void a_pool_has_a_thousand_clients_and_no_more(void **state)
{
	static struct attachment *all[SLOTS_CLIENTS_MAX];
	struct attachment *a;
	int fds[3];

	(void)state;
	for (unsigned i = 0; i < SLOTS_CLIENTS_MAX; i++) {
		all[i] = attach(TN_OBSERVER, fds);
		close_fds(fds);
	}
	assert_int_equal(attachment_new(&a, pool, &peer, &quota, TN_OBSERVER,
					fds), ATTACHMENT_FULL);
	for (unsigned i = 0; i < SLOTS_CLIENTS_MAX; i++)
		attachment_free(all[i]);
}

static void over_quota_nothing_is_left_behind(void **state)
{
	int before = tn_test_fd_count(0), fds[3];
	struct attachment *a;

	(void)state;
	quota.limits.others[QUOTA_ATTACHMENTS] = 0;
	assert_int_equal(attachment_new(&a, pool, &peer, &quota, TN_PRODUCER,
					fds), ATTACHMENT_NO_QUOTA);
	assert_int_equal(tn_test_fd_count(0), before);
	assert_int_equal(pool_n_clients(pool), 0);
}

/* Notes of a lane that no client could have written. */
static void a_pool_that_contradicts_itself_is_poisoned(void **state)
{
	struct tn_control *c;
	struct attachment *a;
	uint8_t *control;
	int fds[3];

	(void)state;
	a = attach(TN_PRODUCER, fds);
	control = mmap(NULL, pool->geo.control_bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED, fds[2], 0);
	assert_ptr_not_equal(control, MAP_FAILED);
	c = (struct tn_control *)(void *)control;
	tn64_store_relaxed(&c->lanes, 1);
	tn64_store_relaxed(&tn_lane_rec(&pool->geo, control, 0)->op,
			   TN_OP(77, 0, 0));
	munmap(control, pool->geo.control_bytes);
	close_fds(fds);
	attachment_end(a, reaper);
	reap(1);
	assert_true(pool->poisoned);
	assert_true(tn64_load_relaxed(&pool->view.header->poison) != 0);
	assert_int_equal(pool_n_clients(pool), 0);
}

static void a_pool_outlives_its_name_while_it_has_clients(void **state)
{
	struct attachment *a;
	struct pool *kept;
	int fds[3];

	(void)state;
	a = attach(TN_PRODUCER, fds);
	close_fds(fds);
	kept = pool;
	pool = pool_unref(pool);
	assert_int_equal(quota_used(&quota, 0, QUOTA_POOLS), 1);
	assert_int_equal(pool_n_clients(kept), 1);
	attachment_end(a, reaper);
	reap(1);
	assert_int_equal(quota_used(&quota, 0, QUOTA_POOLS), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_role_is_how_the_files_are_open),
		TEST(the_control_file_names_the_client),
		TEST(its_slot_is_alive_while_it_is),
		TEST(ending_twice_is_ending_once),
		TEST(many_end_at_once),
		TEST(a_pool_has_a_thousand_clients_and_no_more),
		TEST(over_quota_nothing_is_left_behind),
		TEST(a_pool_that_contradicts_itself_is_poisoned),
		TEST(a_pool_outlives_its_name_while_it_has_clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
