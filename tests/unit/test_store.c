/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/store.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/tn_manager.h"

static struct tn_manager m;
static struct event_base *base;
static struct store store;

struct asked {
	struct store_wait wait;
	int r;
	bool told;
};

static void on_told(struct store_wait *wait, int r)
{
	struct asked *a = (struct asked *)wait;

	assert_false(a->told);
	a->r = r;
	a->told = true;
}

static int setup_with(void **state, unsigned max)
{
	tn_test_setup(state);
	tn_manager_init(&m, max);
	setenv("NOTIFY_SOCKET", m.notify, 1);
	base = event_base_new();
	tn_manager_run(&m);
	return store_init(&store, base, false);
}

static int setup(void **state)
{
	return setup_with(state, 100);
}

static int setup_without(void **state)
{
	return setup_with(state, 0);
}

static int teardown(void **state)
{
	store_fini(&store);
	event_base_free(base);
	tn_manager_fini(&m);
	unsetenv("NOTIFY_SOCKET");
	return tn_test_teardown(state);
}

static void ask(struct asked *a)
{
	*a = (struct asked){ .wait.done = on_told };
	tn_list_init(&a->wait.link);
	assert_int_equal(store_confirm(&store, &a->wait), 1);
}

static int answer(struct asked *a)
{
	while (!a->told)
		event_base_loop(base, EVLOOP_ONCE);
	return a->r;
}

static void put(const char *name)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_equal(store_put(&store, name, &fd, 1), 0);
	close(fd);
}

static void what_is_confirmed_is_there(void **state)
{
	struct asked a;

	(void)state;
	assert_true(store.active);
	put("t1p1");
	put("t1p2");
	ask(&a);
	assert_false(a.told);
	assert_int_equal(answer(&a), 0);
	assert_int_equal(tn_manager_count(&m, "t1p"), 2);
	store_drop(&store, "t1p1");
	ask(&a);
	assert_int_equal(answer(&a), 0);
	assert_int_equal(tn_manager_count(&m, "t1p"), 1);
	tn_test_eventually(m.n_stored == 1); /* no canary stays */
}

static void one_that_has_no_room_is_told_from_one_that_has(void **state)
{
	struct asked a;

	(void)state;
	m.max = 2;
	put("t1p1");
	put("t1p2");
	put("t1p3");
	ask(&a);
	assert_int_equal(answer(&a), -ENOSPC);
	store_drop(&store, "t1p2");
	ask(&a);
	assert_int_equal(answer(&a), 0);
}

static void many_who_ask_are_told_by_few_barriers(void **state)
{
	unsigned before = m.n_barriers;
	struct asked a[50];

	(void)state;
	for (int i = 0; i < 50; i++)
		ask(&a[i]);
	for (int i = 0; i < 50; i++)
		assert_int_equal(answer(&a[i]), 0);
	assert_int_equal(m.n_barriers - before, 1);
}

static void who_does_not_want_to_know_is_not_told(void **state)
{
	struct asked a, b;

	(void)state;
	ask(&a);
	ask(&b);
	store_forget(&a.wait);
	assert_int_equal(answer(&b), 0);
	assert_false(a.told);
	/* while it is under way, too */
	m.deaf = true;
	usleep(20000);
	ask(&a);
	event_base_loop(base, EVLOOP_ONCE);
	store_forget(&a.wait);
	m.deaf = false;
	ask(&b);
	assert_int_equal(answer(&b), 0);
	assert_false(a.told);
}

/* Far more than the manager's socket takes: all arrive, in order. */
static void what_has_no_room_waits_in_order(void **state)
{
	char name[STORE_NAME_BYTES];
	int before = tn_test_fd_count(0);
	struct asked a;

	(void)state;
	m.deaf = true;
	usleep(20000);
	for (unsigned i = 0; i < 2000; i++) {
		store_name(name, 'p', i);
		put(name);
		store_drop(&store, name);
	}
	put("t1q");
	assert_true(tn_test_fd_count(0) > before + 1000);
	m.deaf = false;
	ask(&a);
	assert_int_equal(answer(&a), 0);
	assert_int_equal(tn_manager_count(&m, "t1p"), 0);
	assert_int_equal(tn_manager_count(&m, "t1q"), 1);
	tn_test_eventually(tn_test_fd_count(0) <= before + 1);
}

static void a_manager_that_keeps_nothing_is_found_out(void **state)
{
	struct store_wait wait;

	(void)state;
	assert_false(store.active);
	assert_int_equal(store_put(&store, "t1p1", (int[]){ 0 }, 1), 0);
	assert_int_equal(store_confirm(&store, &wait), 0);
	assert_int_equal(m.n_stored, 0);
}

static void names_are_read_as_they_are_written(void **state)
{
	static const uint32_t some[] = { 0, 1, 61, 62, 3843, 3844, 65535,
					 UINT32_MAX };
	static const char *const bad[] = {
		"", "t", "t1", "t0p1", "t1p", "t1p-", "t1p01", "p1", "stored",
		"t1pZZZZZZZZZ", "tarnd.socket", "t1p1 ",
	};
	char name[STORE_NAME_BYTES], kind;
	unsigned schema;
	uint32_t index;

	(void)state;
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
		store_name(name, 'p', some[i]);
		assert_true(store_parse(name, &schema, &kind, &index));
		assert_int_equal(kind, 'p');
		assert_int_equal(index, some[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(store_parse(bad[i], &schema, &kind, &index));
	assert_false(store_parse("t7p1", &schema, &kind, &index));
	assert_int_equal(schema, 7);
}

/* A full store (FileDescriptorStoreMax=16384) of the longest names. */
static void all_names_fit_into_one_string_of_the_environment(void **state)
{
	char name[STORE_NAME_BYTES];

	(void)state;
	store_name(name, 'a', 65535);
	assert_true(16384 * (strlen(name) + 1) + sizeof("LISTEN_FDNAMES=") <
		    131072);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_confirmed_is_there),
		TEST(one_that_has_no_room_is_told_from_one_that_has),
		TEST(many_who_ask_are_told_by_few_barriers),
		TEST(who_does_not_want_to_know_is_not_told),
		TEST(what_has_no_room_waits_in_order),
		cmocka_unit_test_setup_teardown(
			a_manager_that_keeps_nothing_is_found_out,
			setup_without, teardown),
		TN_TEST(names_are_read_as_they_are_written),
		TN_TEST(all_names_fit_into_one_string_of_the_environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
