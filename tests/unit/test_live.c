/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/live.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "tests/lib/tn_test.h"

static struct backing live;

static int setup(void **state)
{
	tn_test_setup(state);
	return live_init(&live);
}

static int teardown(void **state)
{
	backing_fini(&live);
	return tn_test_teardown(state);
}

static void *map(int fd, int prot)
{
	return mmap(NULL, 4096, prot, MAP_SHARED, fd, 0);
}

static void a_descriptor_is_no_sign_of_life(void **state)
{
	int fd = backing_reopen(&live, true);

	(void)state;
	assert_true(fd >= 0);
	assert_true(live_gone(&live));
	assert_true(live_gone(&live));
	assert_ptr_equal(map(fd, PROT_READ | PROT_WRITE), MAP_FAILED);
	close(fd);
}

static void a_mapping_is_even_without_a_descriptor(void **state)
{
	int fd = backing_reopen(&live, true);
	void *at = map(fd, PROT_READ | PROT_WRITE);

	(void)state;
	assert_ptr_not_equal(at, MAP_FAILED);
	close(fd);
	for (int i = 0; i < 3; i++)
		assert_false(live_gone(&live));
	munmap(at, 4096);
	assert_true(live_gone(&live));
}

static int child_alone(void *arg)
{
	(void)arg;
	return live_gone(&live) ? 0 : 1;
}

static void a_fork_does_not_inherit_it(void **state)
{
	void *at = map(live.fd, PROT_READ | PROT_WRITE);
	pid_t pid;

	(void)state;
	assert_int_equal(madvise(at, 4096, MADV_DONTFORK), 0);
	pid = fork();
	if (pid == 0) {
		alarm(TN_TEST_SECONDS);
		pause();
	}
	munmap(at, 4096);
	assert_int_equal(tn_test_wait(tn_test_spawn(child_alone, NULL)), 0);
	kill(pid, SIGKILL);
	tn_test_wait(pid);
}

static void nothing_fits_in_it(void **state)
{
	int fd = backing_reopen(&live, true);

	(void)state;
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(ftruncate(fd, 1), -1);
	assert_int_equal(fallocate(fd, 0, 0, 1), -1);
	assert_int_equal(backing_resident(&live), 0);
	close(fd);
}

static void who_seals_it_is_not_believed_to_be_gone(void **state)
{
	(void)state;
	assert_int_equal(fcntl(live.fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
	assert_false(live_gone(&live));
}

static void of_none_nothing_is_known(void **state)
{
	const struct backing none = BACKING_NONE;

	(void)state;
	assert_false(live_gone(&none));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_descriptor_is_no_sign_of_life),
		TEST(a_mapping_is_even_without_a_descriptor),
		TEST(a_fork_does_not_inherit_it),
		TEST(nothing_fits_in_it),
		TEST(who_seals_it_is_not_believed_to_be_gone),
		TEST(of_none_nothing_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
