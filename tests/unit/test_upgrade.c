/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A newer tarnd comes after an older one.
 *
 * What one of ledger 1.0 and layout 1.0 left stands in ledger_1_0.h, word by
 * word as it wrote it: a pool with an object in it. Its layout is of another
 * major version, so it is refused, and stays as it is for the tarnd that it is
 * of. A ledger that is one minor version older is taken over.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/ledger.h"
#include "tarn/admin.h"
#include "tarn/tarn.h"
#include "tests/lib/tn_manager.h"

/* A word of one of the files: ledger, meta, data, self. */
struct recorded {
	char file;
	uint64_t off, word;
};

#include "tests/unit/ledger_1_0.h"

#define TEXT "written by an older one"

static struct tn_manager m;

static int setup(void **state)
{
	tn_test_setup(state);
	tn_manager_init(&m, TN_STORED_MAX);
	tn_manager_run(&m);
	return 0;
}

static int teardown(void **state)
{
	tn_manager_fini(&m);
	return tn_test_teardown(state);
}

static uint64_t bytes_of(char file)
{
	for (size_t i = 0; i < sizeof(ledger_1_0) / sizeof(*ledger_1_0); i++)
		if (ledger_1_0[i].file == file)
			return ledger_1_0[i].off;
	return 0;
}

static void restore(char file, const char *memfd, const char *name)
{
	struct backing b;
	bool size = true;

	assert_int_equal(backing_init(&b, memfd, bytes_of(file),
				      PROT_READ | PROT_WRITE), 0);
	for (size_t i = 0; i < sizeof(ledger_1_0) / sizeof(*ledger_1_0); i++) {
		const struct recorded *r = &ledger_1_0[i];

		if (r->file != file)
			continue;
		if (!size)
			((uint64_t *)b.map)[r->off / 8] = r->word;
		size = false;
	}
	tn_manager_put(&m, name, dup(b.fd));
	backing_fini(&b);
}

static void restore_all(void)
{
	restore('l', "tarn:ledger", "t1l0");
	restore('m', "tarn:old:meta", "t1p0");
	restore('d', "tarn:old:data", "t1p0");
	restore('s', "tarn:old:tarnd", "t1p0");
}

static void what_is_of_another_layout_is_refused_and_stays(void **state)
{
	unsigned n;

	(void)state;
	restore_all();
	n = m.n_stored;
	tn_manager_start(&m);
	assert_int_equal(tn_test_wait(m.d.pid), 1);
	m.d.pid = 0;
	usleep(20000); /* what it might have said is heard */
	assert_true(tn_test_daemon_said(&m.d, "layout 1.0"));
	assert_true(tn_test_daemon_said(&m.d, "nothing was touched"));
	assert_int_equal(m.n_stored, n);
}

/* As if it were of the version before. */
static void make_older(void)
{
	struct ledger_header *h;

	h = mmap(NULL, LEDGER_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
		 tn_manager_find(&m, "t1l", NULL)->fd, 0);
	assert_ptr_not_equal(h, MAP_FAILED);
	tn64_store_relaxed(&h->versions, tn64_load_relaxed(&h->versions) -
			   (1 << 16));
	munmap(h, LEDGER_PAGE);
}

static void what_is_one_minor_older_is_taken_over(void **state)
{
	struct tarn_pool_info info;
	struct tarn_pool *pool;
	struct tarn *t;
	char *p;

	(void)state;
	tn_manager_up(&m);
	assert_int_equal(tarn_connect(NULL, &t), 0);
	assert_int_equal(tarn_pool_create(t, "old", TARN_POOL_OPTS(
		.bytes = 1 << 20, .mode = 0644)), 0);
	assert_int_equal(tarn_pool_open(t, "old", TARN_PRODUCER, &pool), 0);
	p = tarn_alloc(pool, 100);
	strcpy(p, TEXT);
	tn_manager_end(&m, SIGKILL);
	make_older();
	tn_manager_up(&m);
	assert_true(tn_test_daemon_said(&m.d, "by a tarnd of version 1.0"));
	assert_int_equal(tarn_pool_stat(t, "old", &info), 0);
	assert_int_equal(info.n_clients, 1);
	assert_string_equal(p, TEXT);
	assert_int_equal(tarn_free(pool, p), 0);
	tarn_pool_close(pool);
	tarn_disconnect(t);
	/* and is ours from then on */
	tn_manager_end(&m, SIGKILL);
	tn_test_write_file(m.d.log, "");
	tn_manager_up(&m);
	assert_false(tn_test_daemon_said(&m.d, "of version 1.0"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_of_another_layout_is_refused_and_stays),
		TEST(what_is_one_minor_older_is_taken_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
