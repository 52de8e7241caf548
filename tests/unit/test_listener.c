/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_test.h"

static char dir[128], path[200];

static int setup(void **state)
{
	tn_test_setup(state);
	tn_test_mkdtemp(dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/tarn/tarn.sock", dir);
	return 0;
}

static int teardown(void **state)
{
	tn_test_rmtree(dir);
	return tn_test_teardown(state);
}

/* Without its log lines. */
static int open_quietly(const char *where, int private)
{
	int saved = dup(2), null = open("/dev/null", O_WRONLY), fd;

	dup2(null, 2);
	fd = listener_open(where, private);
	dup2(saved, 2);
	close(saved);
	close(null);
	return fd;
}

static unsigned mode_of(const char *what)
{
	struct stat st;

	assert_int_equal(stat(what, &st), 0);
	return st.st_mode & 0777;
}

static void it_is_for_everybody_or_for_one_user(void **state)
{
	char sub[180];
	int fd;

	(void)state;
	snprintf(sub, sizeof(sub), "%s/tarn", dir);
	fd = open_quietly(path, 0);
	assert_true(fd >= 0);
	assert_int_equal(mode_of(path), 0666);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	close(fd);
	tn_test_rmtree(sub);
	fd = open_quietly(path, 1);
	assert_int_equal(mode_of(path), 0600);
	assert_int_equal(mode_of(sub), 0700);
	close(fd);
}

static void one_that_lives_is_left_alone(void **state)
{
	int fd = open_quietly(path, 0), sock;

	(void)state;
	assert_int_equal(open_quietly(path, 0), -EADDRINUSE);
	sock = tn_raw_connect(path);
	close(sock);
	close(fd);
	/* dead now: it is replaced */
	fd = open_quietly(path, 0);
	assert_true(fd >= 0);
	close(fd);
}

static void what_is_no_socket_is_not_removed(void **state)
{
	char sub[180];

	(void)state;
	snprintf(sub, sizeof(sub), "%s/file", dir);
	tn_test_write_file(sub, "precious");
	assert_true(open_quietly(sub, 0) < 0);
	assert_int_equal(access(sub, F_OK), 0);
}

static void a_path_that_cannot_be_is_refused(void **state)
{
	char longer[300];

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	assert_int_equal(open_quietly(longer, 0), -ENAMETOOLONG);
	assert_int_equal(open_quietly("/nonexistent/two/deep", 0), -ENOENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_is_for_everybody_or_for_one_user),
		TEST(one_that_lives_is_left_alone),
		TEST(what_is_no_socket_is_not_removed),
		TEST(a_path_that_cannot_be_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
