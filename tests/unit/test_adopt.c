/* SPDX-License-Identifier: BSD-2-Clause */
/* What a tarnd says to a store that is not as the last one left it. */
#include "daemon/adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tarn/admin.h"
#include "tarn/tarn.h"
#include "tests/lib/tn_manager.h"

static struct tn_manager m;
static struct tarn *t;
static struct tarn_pool *p, *q;

/* Has tarnd taken all requests out of our sockets? It does after the reply. */
static bool all_is_read(void)
{
	for (int fd = 3; fd < 256; fd++) {
		int type = 0, n = 0;
		socklen_t bytes = sizeof(type);

		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0 &&
		    type == SOCK_SEQPACKET && ioctl(fd, SIOCOUTQ, &n) == 0 && n)
			return false;
	}
	return true;
}

/* One process, attached to two pools; then tarnd is gone. */
static int setup(void **state)
{
	tn_test_setup(state);
	tn_manager_begin(&m);
	assert_int_equal(tarn_connect(NULL, &t), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tarn_pool_create(t, i ? "q" : "p",
			TARN_POOL_OPTS(.bytes = 1 << 20)), 0);
		assert_int_equal(tarn_pool_open(t, i ? "q" : "p",
						TARN_PRODUCER, i ? &q : &p),
				 0);
	}
	tn_test_eventually(all_is_read());
	tn_manager_end(&m, SIGKILL);
	return 0;
}

static int teardown(void **state)
{
	tarn_pool_close(p);
	tarn_pool_close(q);
	tarn_disconnect(t);
	tn_manager_fini(&m);
	return tn_test_teardown(state);
}

static unsigned n_stored(void)
{
	unsigned n;

	pthread_mutex_lock(&m.lock);
	n = m.n_stored;
	pthread_mutex_unlock(&m.lock);
	return n;
}

static int stat_of(const char *name)
{
	struct tarn_pool_info info;

	return tarn_pool_stat(t, name, &info);
}

static bool poisoned(const char *name)
{
	struct tarn_pool_info info;

	assert_int_equal(tarn_pool_stat(t, name, &info), 0);
	return info.flags & TARN_POOL_POISONED;
}

/* The n'th of what has that kind of name: pools, as they were made. */
static struct tn_stored *nth(const char *prefix, unsigned n)
{
	struct tn_stored *s = tn_manager_find(&m, prefix, NULL);

	while (n--)
		s = tn_manager_find(&m, prefix, s);
	assert_non_null(s);
	return s;
}

static void *map_ledger(void)
{
	void *at = mmap(NULL, LEDGER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			nth("t1l", 0)->fd, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}

/* It does not start, and leaves the store as it is. */
static void is_refused(const char *says)
{
	ino_t before[64], after[64];
	unsigned n = n_stored();
	struct stat st;

	for (unsigned i = 0; i < n; i++)
		before[i] = fstat(m.stored[i].fd, &st) ? 0 : st.st_ino;
	tn_manager_start(&m);
	assert_int_equal(tn_test_wait(m.d.pid), 1);
	m.d.pid = 0;
	usleep(20000); /* what it might have said is heard */
	if (!tn_test_daemon_said(&m.d, says)) {
		tn_test_daemon_print(&m.d);
		fail_msg("it does not say: %s", says);
	}
	assert_true(tn_test_daemon_said(&m.d, "nothing was touched"));
	assert_int_equal(n_stored(), n);
	for (unsigned i = 0; i < n; i++)
		after[i] = fstat(m.stored[i].fd, &st) ? 0 : st.st_ino;
	assert_memory_equal(before, after, n * sizeof(*before));
}

static void all_goes_on(void)
{
	tn_manager_up(&m);
	assert_int_equal(stat_of("p"), 0);
	assert_int_equal(stat_of("q"), 0);
	assert_false(poisoned("p") || poisoned("q"));
}

static void a_damaged_ledger_is_refused(void **state)
{
	uint8_t *ledger = map_ledger();

	(void)state;
	ledger[LEDGER_PAGE + 9] ^= 1; /* of the first pool's name */
	is_refused("is not whole");
	ledger[LEDGER_PAGE + 9] ^= 1;
	munmap(ledger, LEDGER_BYTES);
	all_goes_on();
}

static void a_ledger_of_a_newer_version_is_refused(void **state)
{
	struct ledger_header *h = map_ledger();

	(void)state;
	tn64_store_relaxed(&h->versions, tn64_load_relaxed(&h->versions) +
			   (1 << 16));
	is_refused("it is of version");
	tn64_store_relaxed(&h->versions, tn64_load_relaxed(&h->versions) -
			   (1 << 16));
	munmap(h, LEDGER_BYTES);
	all_goes_on();
}

static void a_store_of_another_schema_is_refused(void **state)
{
	(void)state;
	strcpy(nth("t1l", 0)->name, "t2l0");
	is_refused("of another version (2");
	strcpy(nth("t2l", 0)->name, "t1l0");
	all_goes_on();
}

static void of_two_ledgers_none_is_believed(void **state)
{
	(void)state;
	tn_manager_put(&m, "t1l0", dup(nth("t1l", 0)->fd));
	is_refused("two ledgers");
	tn_manager_drop(&m, nth("t1l", 1));
	all_goes_on();
}

static void a_mistake_in_the_configuration_is_no_end_of_the_pools(void **state)
{
	(void)state;
	tn_test_write_file(m.d.conf, "nonsense\n");
	tn_manager_start(&m);
	/* 2 would be final */
	assert_int_equal(tn_test_wait(m.d.pid), 1);
	m.d.pid = 0;
	tn_test_write_file(m.d.conf, "");
	all_goes_on();
}

static void what_nobody_knows_is_dropped(void **state)
{
	unsigned n = n_stored();

	(void)state;
	tn_manager_put(&m, "stored", open("/dev/null", O_RDONLY | O_CLOEXEC));
	tn_manager_put(&m, "t1z5", open("/dev/null", O_RDONLY | O_CLOEXEC));
	tn_manager_put(&m, "t1pzz", open("/dev/null", O_RDONLY | O_CLOEXEC));
	all_goes_on();
	tn_test_eventually(n_stored() == n);
	assert_true(tn_test_daemon_said(&m.d, "t1pzz: left over"));
	assert_true(tn_test_daemon_said(&m.d, "3 leftovers dropped"));
}

static void a_lost_file_costs_its_pool_and_no_other(void **state)
{
	(void)state;
	tn_manager_drop(&m, nth("t1p", 1));
	tn_manager_up(&m);
	assert_true(tn_test_daemon_said(&m.d, "pool p: is lost"));
	assert_int_equal(stat_of("p"), -ENOENT);
	assert_int_equal(stat_of("q"), 0);
	/* whoever has it mapped goes on */
	assert_non_null(tarn_alloc(p, 100));
	assert_int_equal(tarn_pool_create(t, "p",
		TARN_POOL_OPTS(.bytes = 1 << 20)), 0);
}

static void a_file_that_is_not_what_its_name_says_is_none(void **state)
{
	struct tn_stored *s = nth("t1p", 0);
	struct stat st;
	int fd;

	(void)state;
	assert_int_equal(fstat(s->fd, &st), 0);
	/* the right name and size, but not sealed: it could be cut short */
	fd = backing_memfd("tarn:p:meta");
	assert_int_equal(ftruncate(fd, st.st_size), 0);
	assert_int_equal(fchmod(fd, 0600), 0);
	close(s->fd);
	s->fd = fd;
	tn_manager_up(&m);
	assert_int_equal(stat_of("p"), -ENOENT);
	assert_int_equal(stat_of("q"), 0);
}

static void a_lost_control_file_poisons_its_pool(void **state)
{
	(void)state;
	tn_manager_drop(&m, nth("t1a", 0));
	tn_manager_up(&m);
	assert_true(poisoned("p"));
	assert_false(poisoned("q"));
	assert_true(tn_test_daemon_said(&m.d, "was not in the store"));
	errno = 0;
	/* and stays so */
	tn_manager_end(&m, SIGKILL);
	tn_manager_up(&m);
	assert_true(poisoned("p"));
}

static void files_of_two_clients_are_not_mixed_up(void **state)
{
	struct tn_stored *a = nth("t1a", 0), *b = nth("t1a", 1);
	int fd = a->fd;

	(void)state;
	a->fd = b->fd;
	b->fd = fd;
	tn_manager_up(&m);
	assert_true(poisoned("p") && poisoned("q"));
}

static int live_for_ever(void *arg)
{
	struct tarn_pool *pool;
	struct tarn *own;

	/* or nobody would see the manager close them */
	for (unsigned i = 0; i < m.n_stored; i++)
		close(m.stored[i].fd);
	if (tarn_connect(NULL, &own) ||
	    tarn_pool_open(own, "p", TARN_PRODUCER, &pool) ||
	    write(*(int *)arg, "x", 1) != 1)
		return 1;
	for (;;)
		pause();
}

/* Another process, attached to p; then tarnd is gone again. */
static pid_t start_another(void)
{
	int fds[2];
	pid_t pid;
	char c;

	tn_manager_up(&m);
	assert_int_equal(pipe(fds), 0);
	pid = tn_test_spawn(live_for_ever, &fds[1]);
	assert_int_equal(read(fds[0], &c, 1), 1);
	close(fds[0]);
	close(fds[1]);
	tn_manager_end(&m, SIGKILL);
	return pid;
}

static unsigned clients_of_p(void)
{
	struct tarn_pool_info info;

	assert_int_equal(tarn_pool_stat(t, "p", &info), 0);
	return info.n_clients;
}

static void a_lost_pidfd_is_found_again(void **state)
{
	pid_t pid;

	(void)state;
	pid = start_another();
	for (struct tn_stored *s; (s = tn_manager_find(&m, "t1s", NULL));)
		tn_manager_drop(&m, s);
	tn_manager_up(&m);
	assert_true(tn_test_daemon_said(&m.d, "its pidfd was not"));
	assert_true(tn_test_daemon_said(&m.d, "its live file was not"));
	assert_int_equal(clients_of_p(), 2);
	kill(pid, SIGKILL);
	tn_test_wait(pid);
	tn_test_eventually(clients_of_p() == 1);
}

static void a_lost_pidfd_of_a_dead_process_is_its_death(void **state)
{
	pid_t pid;

	(void)state;
	pid = start_another();
	kill(pid, SIGKILL);
	tn_test_wait(pid);
	for (struct tn_stored *s; (s = tn_manager_find(&m, "t1s", NULL));)
		tn_manager_drop(&m, s);
	tn_manager_up(&m);
	tn_test_eventually(clients_of_p() == 1);
}

/* As of one in a pid namespace of its own: without a number there is nothing
 * to find it by. Its pool stops, but no other, and tarnd does not. */
static void one_that_cannot_be_found_again_poisons_its_pool(void **state)
{
	uint8_t *at = map_ledger();
	struct ledger ledger = { .file = { .map = at }, .header = (void *)at };

	(void)state;
	ledger_session(&ledger, 0)->pid = 0;
	ledger_commit(&ledger, LEDGER_SESSIONS, 0, LEDGER_THERE);
	for (struct tn_stored *s; (s = tn_manager_find(&m, "t1s", NULL));)
		tn_manager_drop(&m, s);
	tn_manager_up(&m);
	assert_true(tn_test_daemon_said(&m.d, "cannot be told any more"));
	assert_true(poisoned("p") && poisoned("q"));
	assert_int_equal(tarn_pool_create(t, "r",
		TARN_POOL_OPTS(.bytes = 1 << 20)), 0);
	munmap(at, LEDGER_BYTES);
}

static void a_lost_connection_is_made_anew(void **state)
{
	(void)state;
	for (struct tn_stored *s; (s = tn_manager_find(&m, "t1c", NULL));)
		tn_manager_drop(&m, s);
	all_goes_on();
	assert_true(tn_test_daemon_said(&m.d, "its connection was not"));
	assert_true(tn_test_daemon_said(&m.d, "goes on with its session"));
	assert_int_equal(clients_of_p(), 1);
}

/* The kernel says who made it. One that is not whose it should be is lost like
 * any other; nobody speaks for somebody else, and all else goes on. */
static void connections_of_two_processes_are_not_mixed_up(void **state)
{
	struct tn_stored *a, *b;
	pid_t pid;
	int fd;

	(void)state;
	pid = start_another();
	a = nth("t1c", 0);
	b = nth("t1c", 1);
	fd = a->fd;
	a->fd = b->fd;
	b->fd = fd;
	all_goes_on();
	assert_true(tn_test_daemon_said(&m.d, "its connection was not"));
	assert_int_equal(clients_of_p(), 2);
	kill(pid, SIGKILL);
	tn_test_wait(pid);
	tn_test_eventually(clients_of_p() == 1);
}

static void without_a_ledger_all_begins_anew(void **state)
{
	(void)state;
	tn_manager_drop(&m, nth("t1l", 0));
	tn_manager_up(&m);
	assert_true(tn_test_daemon_said(&m.d, "the pools of the last tarnd "
					"are lost"));
	assert_int_equal(stat_of("p"), -ENOENT);
	/* the ledger, and this session */
	tn_test_eventually(n_stored() == 1 + 3);
}

/* Any client can write there. */
static void a_spoilt_header_poisons_the_pool_and_is_no_loss(void **state)
{
	struct tn_header *h = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				   MAP_SHARED, nth("t1p", 0)->fd, 0);

	(void)state;
	assert_ptr_not_equal(h, MAP_FAILED);
	memset(h, 0xff, sizeof(*h));
	tn_manager_up(&m);
	assert_true(poisoned("p"));
	assert_false(poisoned("q"));
	assert_true(h->magic == TN_MAGIC);
	munmap(h, 4096);
	assert_int_equal(tarn_pool_destroy(t, "p"), 0);
}

static struct ledger_session *map_session(void)
{
	return (void *)((uint8_t *)map_ledger() + LEDGER_PAGE +
			LEDGER_POOLS_MAX * LEDGER_RECORD_BYTES);
}

static void unmap_session(struct ledger_session *s)
{
	munmap((uint8_t *)s - LEDGER_PAGE -
	       LEDGER_POOLS_MAX * LEDGER_RECORD_BYTES, LEDGER_BYTES);
}

/* What the next tarnd makes of a note. */
static uint64_t becomes(struct ledger_session *s, uint64_t note)
{
	tn64_store_relaxed(&s->note, note);
	tn_manager_up(&m);
	tn_manager_end(&m, SIGKILL);
	return tn64_load_relaxed(&s->note);
}

/* Begun by one that died, and read by one that died before the request had its
 * turn again: by then the record may be somebody else's. */
static void what_was_done_is_put_down_at_once(void **state)
{
	struct ledger_session *s = map_session();
	uint64_t gone = LEDGER_NOTE(TN_MSG_DESTROY, 77, 500);

	(void)state;
	assert_true(becomes(s, gone) == (gone | LEDGER_NOTE_DONE));
	assert_true(becomes(s, LEDGER_NOTE(TN_MSG_CREATE, 77, 500)) == 0);
	unmap_session(s);
}

/* Pool 0 is there, and not to be called destroyed. */
static void what_was_only_begun_is_not_done(void **state)
{
	struct ledger_session *s = map_session();

	(void)state;
	assert_true(becomes(s, LEDGER_NOTE(TN_MSG_DESTROY, 77, 0)) == 0);
	assert_true(becomes(s, LEDGER_NOTE(TN_MSG_REVOKE, 77, 0)) == 0);
	assert_int_equal(becomes(s, LEDGER_NOTE(TN_MSG_OPEN, 77, 500)), 0);
	unmap_session(s);
	all_goes_on();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_damaged_ledger_is_refused),
		TEST(a_ledger_of_a_newer_version_is_refused),
		TEST(a_store_of_another_schema_is_refused),
		TEST(of_two_ledgers_none_is_believed),
		TEST(a_mistake_in_the_configuration_is_no_end_of_the_pools),
		TEST(what_nobody_knows_is_dropped),
		TEST(a_lost_file_costs_its_pool_and_no_other),
		TEST(a_file_that_is_not_what_its_name_says_is_none),
		TEST(a_lost_control_file_poisons_its_pool),
		TEST(files_of_two_clients_are_not_mixed_up),
		TEST(a_lost_pidfd_is_found_again),
		TEST(a_lost_pidfd_of_a_dead_process_is_its_death),
		TEST(one_that_cannot_be_found_again_poisons_its_pool),
		TEST(a_lost_connection_is_made_anew),
		TEST(connections_of_two_processes_are_not_mixed_up),
		TEST(without_a_ledger_all_begins_anew),
		TEST(a_spoilt_header_poisons_the_pool_and_is_no_loss),
		TEST(what_was_done_is_put_down_at_once),
		TEST(what_was_only_begun_is_not_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
