/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A newer tarnd comes after an older one. What an older one left stands in
 * ledger_1_0.h, word by word as it wrote it: a pool with an object in it. It
 * was printed by this program, with TARN_RECORD set, when that was the
 * version; it is never to be made anew, but to be joined by the next.
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

/* recording */

static void print_file(char file, int fd)
{
	off_t bytes = lseek(fd, 0, SEEK_END);
	uint64_t *at = mmap(NULL, (size_t)bytes, PROT_READ, MAP_SHARED, fd, 0);

	printf("\t{ '%c', 0x%llx, 0 }, /* its size */\n", file,
	       (unsigned long long)bytes);
	for (off_t i = 0; i < bytes / 8; i++)
		if (at[i])
			printf("\t{ '%c', 0x%llx, 0x%llxULL },\n", file,
			       (unsigned long long)i * 8,
			       (unsigned long long)at[i]);
	munmap(at, (size_t)bytes);
}

static void record(void **state)
{
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
	assert_int_equal(tarn_detach(pool, tarn_ref_of(pool, p)), 0);
	assert_int_equal(tarn_root_set(pool, "it", tarn_ref_of(pool, p)), 0);
	tarn_pool_close(pool);
	tarn_disconnect(t);
	tn_test_eventually(5, m.n_stored == 1 + 3);
	tn_manager_end(&m, SIGKILL);
	for (unsigned i = 0; i < 4; i++)
		print_file("lmds"[i], m.stored[i].fd);
}

/* and having it again */

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

static void what_an_older_one_left_is_taken_over(void **state)
{
	struct tarn_pool *pool;
	struct tarn *t;
	char *p;

	(void)state;
	restore_all();
	tn_manager_up(&m);
	assert_true(tn_test_daemon_said(&m.d, "adopted 1 pools"));
	assert_true(tn_test_daemon_said(&m.d, "by a tarnd of version 1.0"));
	assert_int_equal(tarn_connect(NULL, &t), 0);
	assert_int_equal(tarn_pool_open(t, "old", TARN_PRODUCER, &pool), 0);
	p = tarn_ptr(pool, tarn_root_get(pool, "it"));
	assert_string_equal(p, TEXT);
	assert_int_equal(tarn_adopt(pool, tarn_ref_of(pool, p)), 0);
	assert_int_equal(tarn_free(pool, p), 0);
	tarn_pool_close(pool);
	tarn_disconnect(t);
	/* and is ours from then on */
	tn_manager_end(&m, SIGKILL);
	tn_test_write_file(m.d.log, "");
	tn_manager_up(&m);
	assert_false(tn_test_daemon_said(&m.d, "of version 1.0"));
}

static void its_clients_are_taken_over(void **state)
{
	struct ledger_header *h;
	struct tarn_pool *pool;
	struct tarn_pool_info info;
	struct tarn *t;

	(void)state;
	restore_all();
	tn_manager_up(&m);
	assert_int_equal(tarn_connect(NULL, &t), 0);
	assert_int_equal(tarn_pool_open(t, "old", TARN_PRODUCER, &pool), 0);
	tn_manager_end(&m, SIGKILL);
	h = mmap(NULL, LEDGER_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
		 tn_manager_find(&m, "t1l", NULL)->fd, 0);
	assert_ptr_not_equal(h, MAP_FAILED);
	tn64_store_relaxed(&h->versions, tn64_load_relaxed(&h->versions) -
			   (1 << 16));
	munmap(h, LEDGER_PAGE);
	tn_manager_up(&m);
	assert_int_equal(tarn_pool_stat(t, "old", &info), 0);
	assert_int_equal(info.n_clients, 1);
	tarn_pool_close(pool);
	tarn_disconnect(t);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest recorder[] = { TEST(record) };
	const struct CMUnitTest tests[] = {
		TEST(what_an_older_one_left_is_taken_over),
		TEST(its_clients_are_taken_over),
	};

	if (getenv("TARN_RECORD"))
		return cmocka_run_group_tests(recorder, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
