/* SPDX-License-Identifier: BSD-2-Clause */
/* Pools that are declared in files, beside a service manager that has not room
 * for all of them. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tarn/admin.h"
#include "tarn/tarn.h"
#include "tests/lib/tn_manager.h"

static struct tn_manager m;

static void declare(const char *name)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s.pool", m.d.pools, name);
	tn_test_write_file(path, "[pool]\nbytes = 1M\n");
}

static void check_there(const char *name, int r)
{
	struct tarn_pool_info info;
	struct tarn *t;

	assert_int_equal(tarn_connect(NULL, &t), 0);
	assert_int_equal(tarn_pool_stat(t, name, &info), r);
	tarn_disconnect(t);
}

static bool status_is(const char *status)
{
	bool is;

	pthread_mutex_lock(&m.lock);
	is = !strcmp(m.status, status);
	pthread_mutex_unlock(&m.lock);
	return is;
}

/* It serves what it can; who looks sees what is not there, and by name. */
static void what_has_no_room_is_missed_and_made_by_a_reload(void **state)
{
	(void)state;
	/* the ledger, a canary, and one file of a pool */
	tn_manager_init(&m, 3);
	tn_manager_run(&m);
	declare("one");
	tn_manager_up(&m);
	assert_true(tn_test_daemon_said(&m.d, "pool one: cannot be kept"));
	assert_true(tn_test_daemon_said(&m.d, "ready: 0 pools, 1 declared "
					"pool missing"));
	assert_true(status_is("0 pools, 0 clients, 1 declared pool missing"));

	/* at a reload, it is found out later than it is told */
	declare("two");
	kill(m.d.pid, SIGHUP);
	tn_test_eventually(status_is("0 pools, 0 clients, 2 declared pools "
					"missing"));

	pthread_mutex_lock(&m.lock);
	m.max = 100;
	pthread_mutex_unlock(&m.lock);
	check_there("one", -ENOENT);
	kill(m.d.pid, SIGHUP);
	tn_test_eventually(status_is("2 pools, 0 clients"));
	check_there("one", 0);
	check_there("two", 0);
	assert_int_equal(tn_manager_end(&m, SIGTERM), 0);
	tn_manager_fini(&m);
}

/* The next tarnd begins with what there is, and makes the rest. */
static void what_was_missed_is_made_at_the_next_start(void **state)
{
	(void)state;
	tn_manager_init(&m, 3);
	tn_manager_run(&m);
	declare("one");
	tn_manager_up(&m);
	assert_true(status_is("0 pools, 0 clients, 1 declared pool missing"));
	tn_manager_end(&m, SIGKILL);
	pthread_mutex_lock(&m.lock);
	m.max = 100;
	pthread_mutex_unlock(&m.lock);
	tn_manager_up(&m);
	assert_true(status_is("1 pools, 0 clients"));
	check_there("one", 0);
	tn_manager_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(what_has_no_room_is_missed_and_made_by_a_reload),
		TN_TEST(what_was_missed_is_made_at_the_next_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
