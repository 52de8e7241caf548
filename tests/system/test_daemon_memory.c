/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory that is there, that is not, and that is taken back. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tarn/admin.h"
#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_test.h"

#define MIB (1ULL << 20)

static struct tn_test_daemon d;
static struct tarn *t;
static int baseline;

static int setup(void **state)
{
	tn_test_setup(state);
	tn_test_daemon_init(&d);
	tn_test_daemon_start(&d, NULL);
	baseline = tn_test_fd_count(d.pid);
	assert_int_equal(tarn_connect(NULL, &t), 0);
	return 0;
}

static int teardown(void **state)
{
	tarn_disconnect(t);
	tn_test_eventually(tn_test_fd_count(d.pid) == baseline);
	tn_test_daemon_stop(&d);
	return tn_test_teardown(state);
}

static int reserve(const char *name, uint64_t bytes)
{
	return tarn_pool_create(t, name, TARN_POOL_OPTS(
		.bytes = bytes, .flags = TARN_POOL_RESERVE));
}

static uint64_t resident(const char *name)
{
	struct tarn_pool_info info;

	assert_int_equal(tarn_pool_stat(t, name, &info), 0);
	return info.data_resident;
}

static uint64_t blocks(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void what_is_reserved_is_there_and_stays(void **state)
{
	struct tarn_pool_info info;
	struct tarn_pool *pool;
	uint64_t bytes = 1;

	(void)state;
	assert_int_equal(reserve("r", 40 * MIB), 0);
	assert_int_equal(reserve("r", 40 * MIB), -EEXIST);
	assert_int_equal(tarn_pool_stat(t, "r", &info), 0);
	assert_int_equal(info.flags, TARN_POOL_RESERVE);
	assert_int_equal(info.data_resident, 40 * MIB);
	assert_true(info.meta_resident > 40 * MIB / 100);
	assert_int_equal(tarn_pool_open(t, "r", TARN_PRODUCER, &pool), 0);
	tarn_free(pool, tarn_alloc(pool, 1000));
	assert_int_equal(tarn_trim(pool, &bytes), 0);
	assert_int_equal(bytes, 0);
	assert_int_equal(resident("r"), 40 * MIB);
	tarn_pool_close(pool);
	assert_int_equal(tarn_pool_destroy(t, "r"), 0);
}

static void what_the_machine_has_not_is_refused_at_once(void **state)
{
	(void)state;
	assert_int_equal(reserve("r", TARN_POOL_MAX), -EDQUOT);
	assert_int_equal(tarn_pool_destroy(t, "r"), -ENOENT);
	assert_int_equal(reserve("r", MIB), 0);
	assert_int_equal(tarn_pool_destroy(t, "r"), 0);
}

static int reserve_too_much(void *arg)
{
	struct tarn *mine;
	int r;

	(void)arg;
	if (tarn_connect(NULL, &mine) < 0)
		return 1;
	r = tarn_pool_create(mine, "r", TARN_POOL_OPTS(
		.bytes = 1024 * MIB, .flags = TARN_POOL_RESERVE));
	if (r != -EDQUOT)
		return 2;
	r = tarn_pool_create(mine, "r", TARN_POOL_OPTS(
		.bytes = 2 * MIB, .flags = TARN_POOL_RESERVE));
	if (r < 0 || tarn_pool_destroy(mine, "r") < 0)
		return 3;
	tarn_disconnect(mine);
	return 0;
}

/* With its metadata it is more than the gigabyte. */
static void each_user_may_reserve_so_much(void **state)
{
	(void)state;
	tn_test_skip_unless_root();
	assert_int_equal(tn_test_wait(tn_test_spawn_as(
		12345, 12345, reserve_too_much, NULL)), 0);
}

static void pool_files_may_reserve(void **state)
{
	char path[256];

	(void)state;
	snprintf(path, sizeof(path), "%s/f.pool", d.pools);
	tn_test_write_file(path, "[pool]\nbytes = 3M\nreserve = yes\n");
	kill(d.pid, SIGHUP);
	tn_test_eventually(tarn_ping(t) == 0 &&
			   tn_test_daemon_said(&d, "reloaded"));
	tn_test_eventually(tarn_pool_destroy(t, "f") == 0);
	tarn_disconnect(t);
	tn_test_daemon_kill(&d);

	tn_test_daemon_init(&d);
	snprintf(path, sizeof(path), "%s/f.pool", d.pools);
	tn_test_write_file(path, "[pool]\nbytes = 3M\nreserve = yes\n");
	tn_test_daemon_start(&d, NULL);
	assert_int_equal(tarn_connect(NULL, &t), 0);
	assert_int_equal(resident("f"), 3 * MIB);
	assert_int_equal(tarn_pool_destroy(t, "f"), 0);
	baseline = tn_test_fd_count(d.pid) - 3;
}

/* Control groups: version 1 or 2, wherever we are in it. */

static char group[512];

static bool group_dir(const char *mount, const char *prefix)
{
	char line[400];
	FILE *f = fopen("/proc/self/cgroup", "re");
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		char *at = strstr(line, prefix);

		line[strcspn(line, "\n")] = '\0';
		if (!at)
			continue;
		snprintf(group, sizeof(group), "%s%s/tarn-test-%d", mount,
			 at + strlen(prefix), (int)getpid());
		found = mkdir(group, 0755) == 0;
	}
	if (f)
		fclose(f);
	return found;
}

static bool group_write(const char *file, const char *text)
{
	char path[600];
	FILE *f;
	bool ok;

	snprintf(path, sizeof(path), "%s/%s", group, file);
	f = fopen(path, "we");
	ok = f && fputs(text, f) >= 0;
	return f ? fclose(f) == 0 && ok : false;
}

/* A group with a limit in bytes; false: it cannot be. */
static bool group_make(const char *limit)
{
	if (group_dir("/sys/fs/cgroup/memory", ":memory:") &&
	    group_write("memory.limit_in_bytes", limit))
		return true;
	if (group_dir("/sys/fs/cgroup", "0::") &&
	    group_write("memory.max", limit))
		return true;
	rmdir(group);
	return false;
}

static bool group_enter(pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)pid);
	return group_write("cgroup.procs", text);
}

static void group_remove(void)
{
	tn_test_eventually(rmdir(group) == 0 || errno == ENOENT);
}

#define skip_without_group(limit) \
	do { \
		if (!group_make(limit)) { \
			print_message("no control group can be made\n"); \
			skip(); \
		} \
	} while (0)

static void a_limit_of_the_daemon_is_an_error_of_the_call(void **state)
{
	struct tarn_pool *pool;
	void *p;

	(void)state;
	skip_without_group("268435456");
	assert_true(group_enter(d.pid));
	assert_int_equal(reserve("r", 512 * MIB), -ENOMEM);
	assert_int_equal(reserve("r", 64 * MIB), 0);
	assert_int_equal(reserve("s", 160 * MIB), -ENOMEM);
	assert_int_equal(tarn_pool_open(t, "r", TARN_PRODUCER, &pool), 0);
	p = tarn_alloc(pool, 32 * MIB);
	assert_non_null(p);
	memset(p, 1, 32 * MIB);
	tarn_pool_close(pool);
	assert_int_equal(tarn_pool_destroy(t, "r"), 0);
	assert_int_equal(reserve("s", 64 * MIB), 0);
	assert_int_equal(tarn_pool_destroy(t, "s"), 0);
	tarn_disconnect(t);
	tn_test_daemon_stop(&d);
	group_remove();
	tn_test_daemon_init(&d);
	tn_test_daemon_start(&d, NULL);
	assert_int_equal(tarn_connect(NULL, &t), 0);
}

static int use_more_than_there_is(void *arg)
{
	struct tarn_pool *pool;
	struct tarn *mine;
	char *p;

	(void)arg;
	if (!group_enter(getpid()) || tarn_connect(NULL, &mine) < 0 ||
	    tarn_pool_open(mine, "p", TARN_PRODUCER, &pool) < 0)
		return 1;
	while ((p = tarn_alloc(pool, MIB)))
		memset(p, 1, MIB);
	return 2;
}

/* Its limit is its death, which is one like any other. */
static void a_limit_of_a_client_is_its_death_and_no_loss(void **state)
{
	struct tarn_pool_info info;
	struct tarn_pool *pool;

	(void)state;
	skip_without_group("67108864");
	assert_int_equal(tarn_pool_create(t, "p", TARN_POOL_OPTS(
		.bytes = 256 * MIB)), 0);
	assert_int_equal(tarn_pool_open(t, "p", TARN_PRODUCER, &pool), 0);
	assert_int_equal(tn_test_wait(tn_test_spawn(use_more_than_there_is,
						    NULL)), 128 + SIGKILL);
	tn_test_eventually(tarn_pool_stat(t, "p", &info) == 0 &&
			   info.n_clients == 1);
	/* what it had is free again */
	assert_non_null(tarn_alloc(pool, 100 * MIB));
	tarn_pool_close(pool);
	assert_int_equal(tarn_pool_destroy(t, "p"), 0);
	group_remove();
}

/* Memory taken back */

struct held {
	int sock, fds[3];
	struct tn_open_reply opened;
	char *at;
};

/* A client that fills the pool with ones. It has no object there: unless the
 * pool is reserved, they may go back at any time. */
static struct held hold(const char *name, uint64_t bytes)
{
	struct held h = { .sock = tn_raw_hello(d.socket) };

	assert_int_equal(tn_raw_open(h.sock, name, TN_PRODUCER, &h.opened,
				     h.fds), 0);
	h.at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, h.fds[1],
		    0);
	assert_ptr_not_equal(h.at, MAP_FAILED);
	memset(h.at, 1, bytes);
	return h;
}

static void let_go(struct held *h, uint64_t bytes)
{
	munmap(h->at, bytes);
	for (int i = 0; i < 3; i++)
		close(h->fds[i]);
	close(h->sock);
}

static void who_left_keeps_nothing_by_keeping_it_mapped(void **state)
{
	struct held h;

	(void)state;
	assert_int_equal(reserve("p", 32 * MIB), 0);
	h = hold("p", 32 * MIB);
	assert_int_equal(tarn_pool_destroy(t, "p"), 0);
	assert_int_equal(h.at[5 * MIB], 1);
	assert_int_equal(tn_raw_leave(h.sock, h.opened.attach), 0);
	tn_test_eventually(blocks(h.fds[1]) == 0);
	assert_int_equal(h.at[5 * MIB], 0);
	let_go(&h, 32 * MIB);
}

static void destroy_answers_when_the_memory_is_back(void **state)
{
	struct held h;

	(void)state;
	assert_int_equal(reserve("p", 64 * MIB), 0);
	h = hold("p", 64 * MIB);
	assert_int_equal(tn_raw_leave(h.sock, h.opened.attach), 0);
	assert_int_equal(blocks(h.fds[1]), 64 * MIB);
	assert_int_equal(tarn_pool_destroy(t, "p"), 0);
	assert_int_equal(blocks(h.fds[1]), 0);
	let_go(&h, 64 * MIB);
}

static void what_was_reserved_and_never_written_goes_back(void **state)
{
	struct tn_open_reply opened;
	int sock = tn_raw_hello(d.socket), fds[3];

	(void)state;
	assert_int_equal(reserve("r", 40 * MIB), 0);
	assert_int_equal(tn_raw_open(sock, "r", TN_PRODUCER, &opened, fds), 0);
	assert_int_equal(tn_raw_leave(sock, opened.attach), 0);
	assert_int_equal(blocks(fds[1]), 40 * MIB);
	assert_int_equal(tarn_pool_destroy(t, "r"), 0);
	assert_int_equal(blocks(fds[1]), 0);
	assert_int_equal(blocks(fds[0]), 4096);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	close(sock);
}

static void what_is_revoked_is_gone_whoever_has_it(void **state)
{
	struct tarn_pool *pool;
	struct held h;
	int r = 0;

	(void)state;
	assert_int_equal(tarn_pool_create(t, "p", TARN_POOL_OPTS(
		.bytes = 32 * MIB)), 0);
	assert_int_equal(tarn_pool_open(t, "p", TARN_PRODUCER, &pool), 0);
	assert_non_null(tarn_alloc(pool, 100));
	h = hold("p", 32 * MIB);
	assert_int_equal(tarn_pool_revoke(t, "p"), 0);
	assert_int_equal(blocks(h.fds[1]), 0);
	assert_int_equal(blocks(h.fds[0]), 4096);
	assert_int_equal(h.at[5 * MIB], 0);
	/* a careful client is told, at the latest when its thread runs dry */
	for (int i = 0; i < 1000 && r == 0; i++)
		r = tarn_alloc(pool, 100) ? 0 : errno;
	assert_int_equal(r, EIDRM);
	assert_int_equal(tarn_root_set(pool, "x", 0), -EIDRM);
	tarn_pool_close(pool);
	assert_int_equal(tn_raw_leave(h.sock, h.opened.attach), -ENOENT);
	/* the name is free, and another pool is another pool */
	assert_int_equal(tarn_pool_create(t, "p", TARN_POOL_OPTS(
		.bytes = MIB)), 0);
	assert_int_equal(tarn_pool_revoke(t, "p"), 0);
	assert_int_equal(tarn_pool_revoke(t, "p"), -ENOENT);
	let_go(&h, 32 * MIB);
}

static int go_on_writing(void *at)
{
	do {
		*(volatile char *)at = 1;
	} while (at);
	return 0;
}

static void who_goes_on_writing_does_not_keep_a_revoked_pool(void **state)
{
	struct held h;
	pid_t pid;

	(void)state;
	assert_int_equal(tarn_pool_create(t, "p", TARN_POOL_OPTS(
		.bytes = 32 * MIB)), 0);
	h = hold("p", 32 * MIB);
	pid = tn_test_spawn(go_on_writing, h.at);
	assert_int_equal(tarn_pool_revoke(t, "p"), 0);
	assert_true(blocks(h.fds[1]) <= 4096);
	kill(pid, SIGKILL);
	tn_test_wait(pid);
	let_go(&h, 32 * MIB);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_reserved_is_there_and_stays),
		TEST(what_the_machine_has_not_is_refused_at_once),
		TEST(each_user_may_reserve_so_much),
		TEST(pool_files_may_reserve),
		TEST(a_limit_of_the_daemon_is_an_error_of_the_call),
		TEST(a_limit_of_a_client_is_its_death_and_no_loss),
		TEST(who_left_keeps_nothing_by_keeping_it_mapped),
		TEST(destroy_answers_when_the_memory_is_back),
		TEST(what_was_reserved_and_never_written_goes_back),
		TEST(what_is_revoked_is_gone_whoever_has_it),
		TEST(who_goes_on_writing_does_not_keep_a_revoked_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
