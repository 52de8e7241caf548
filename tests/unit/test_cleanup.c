/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/cleanup.h"

#include <fcntl.h>
#include <string.h>

#include "tests/lib/tn_test.h"

static int open_null(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static int leave_scope(bool keep, int *ret_number)
{
	tn_cleanup(tn_closep) int fd = open_null();

	*ret_number = fd;
	return keep ? tn_steal_fd(fd) : -1;
}

static void a_descriptor_leaves_with_its_scope(void **state)
{
	int number;

	(void)state;
	assert_int_equal(leave_scope(false, &number), -1);
	assert_false(is_open(number));
}

static void a_stolen_descriptor_stays(void **state)
{
	int number, fd = leave_scope(true, &number);

	(void)state;
	assert_int_equal(fd, number);
	assert_true(is_open(fd));
	tn_closep(&fd);
	assert_int_equal(fd, -1);
}

static void cleanup_leaves_errno_alone(void **state)
{
	int fd = 1000000;
	char *p = strdup("x");

	(void)state;
	errno = ENOSPC;
	tn_closep(&fd);
	tn_freep(&p);
	assert_int_equal(errno, ENOSPC);
	assert_null(p);
}

static void a_stolen_pointer_is_nobody_elses(void **state)
{
	char *p = strdup("x"), *q = tn_steal_ptr(p);

	(void)state;
	assert_null(p);
	free(q);
}

static void the_negated_errno_is_never_success(void **state)
{
	(void)state;
	errno = ENOENT;
	assert_int_equal(tn_neg_errno(), -ENOENT);
	errno = 0;
	assert_true(tn_neg_errno() < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(a_descriptor_leaves_with_its_scope),
		TN_TEST(a_stolen_descriptor_stays),
		TN_TEST(cleanup_leaves_errno_alone),
		TN_TEST(a_stolen_pointer_is_nobody_elses),
		TN_TEST(the_negated_errno_is_never_success),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
