/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/tn_test.h"

static void it_is_sealed_private_and_sparse(void **state)
{
	struct backing b;
	struct stat st;

	(void)state;
	assert_int_equal(backing_init(&b, "test", 1 << 20,
				      PROT_READ | PROT_WRITE), 0);
	assert_int_equal(fcntl(b.fd, F_GET_SEALS) & ~0x20 /* F_SEAL_EXEC */,
			 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	assert_int_equal(fcntl(b.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_int_equal(ftruncate(b.fd, 0), -1);
	assert_int_equal(fstat(b.fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 1 << 20);
	assert_true(fcntl(b.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(backing_resident(&b), 0);
	((char *)b.map)[5000] = 1;
	assert_true(backing_resident(&b) >= 4096);
	backing_fini(&b);
	backing_fini(&b);
}

static void a_reopened_one_has_flags_of_its_own(void **state)
{
	struct backing b;
	int one, two;

	(void)state;
	assert_int_equal(backing_init(&b, "test", 8192, 0), 0);
	assert_null(b.map);
	one = backing_reopen(&b, true);
	two = backing_reopen(&b, true);
	assert_true(one >= 0 && two >= 0);
	assert_int_equal(fcntl(one, F_SETFL, O_APPEND), 0);
	assert_false(fcntl(two, F_GETFL) & O_APPEND);
	assert_false(fcntl(b.fd, F_GETFL) & O_APPEND);
	close(one);
	close(two);
	backing_fini(&b);
}

static void a_read_only_one_can_never_be_written(void **state)
{
	struct backing b;
	void *at;
	int fd;

	(void)state;
	assert_int_equal(backing_init(&b, "test", 8192, 0), 0);
	fd = backing_reopen(&b, false);
	assert_int_equal(write(fd, "x", 1), -1);
	at = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_equal(at, MAP_FAILED);
	assert_int_equal(errno, EACCES);
	at = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	assert_int_equal(mprotect(at, 8192, PROT_READ | PROT_WRITE), -1);
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE |
				       FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
	munmap(at, 8192);
	close(fd);
	backing_fini(&b);
}

static int reopen_for_writing(void *arg)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", *(int *)arg);
	return open(path, O_RDWR) < 0 && errno == EACCES ? 0 : 1;
}

static void another_uid_cannot_reopen_it_for_writing(void **state)
{
	struct backing b;
	int fd;

	(void)state;
	tn_test_skip_unless_root();
	assert_int_equal(backing_init(&b, "test", 8192, 0), 0);
	fd = backing_reopen(&b, false);
	assert_int_equal(tn_test_wait(tn_test_spawn_as(
		54321, 54321, reopen_for_writing, &fd)), 0);
	close(fd);
	backing_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(it_is_sealed_private_and_sparse),
		TN_TEST(a_reopened_one_has_flags_of_its_own),
		TN_TEST(a_read_only_one_can_never_be_written),
		TN_TEST(another_uid_cannot_reopen_it_for_writing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
