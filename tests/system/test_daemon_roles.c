/* SPDX-License-Identifier: BSD-2-Clause */
/* Who may do what, by uid and group; and that the kernel holds a role to it. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_test.h"

#define OWNER 50001U
#define OTHER 50002U
#define GROUP 50010U

static struct tn_test_daemon d;

static int setup(void **state)
{
	tn_test_setup(state);
	tn_test_daemon_init(&d);
	tn_test_daemon_start(&d, NULL);
	return 0;
}

static int teardown(void **state)
{
	tn_test_daemon_stop(&d);
	return tn_test_teardown(state);
}

/* The roles that can be opened, as three letters. */
static void roles_of(int sock, const char *pool, char ret[4])
{
	struct tn_open_reply opened;
	int fds[3], n = 0;

	for (uint32_t role = TN_PRODUCER; role <= TN_OBSERVER; role++) {
		int r = tn_raw_open(sock, pool, role, &opened, fds);

		if (r == 0) {
			ret[n++] = "?pco"[role];
			for (int i = 0; i < 3; i++)
				close(fds[i]);
			assert_int_equal(tn_raw_leave(sock, opened.attach), 0);
		} else {
			assert_int_equal(r, -EACCES);
		}
	}
	ret[n] = 0;
}

static int create_all(void *arg)
{
	const gid_t groups[] = { GROUP };
	char name[16];
	int sock;

	(void)arg;
	if (setgroups(1, groups) < 0 || setresgid(OWNER, OWNER, OWNER) < 0 ||
	    setresuid(OWNER, OWNER, OWNER) < 0)
		return 1;
	sock = tn_raw_hello(d.socket);
	for (uint32_t mode = 0; mode < 0100; mode++) {
		struct tn_create create = {
			.bytes = 1 << 20, .kind = 1, .policy = 1, .mode = mode,
			.gid = GROUP,
		};

		if (mode & 011)
			continue;
		snprintf(name, sizeof(name), "m%02o", mode);
		strcpy(create.name, name);
		if (tn_raw_call(sock, TN_MSG_CREATE, &create, sizeof(create)))
			return 2;
	}
	return 0;
}

static const char *expected(uint32_t digit)
{
	switch (digit) {
	case 6: return "pco";
	case 4: return "o";
	case 2: return "co";
	default: return "";
	}
}

struct who { uid_t uid; gid_t gid; int shift; };

/* Each pool is open to that peer as its digit says, listed accordingly, and
 * not its to destroy. */
static int try_all(void *arg)
{
	const struct who *who = arg;
	static const struct tn_by_name all;
	int sock = tn_raw_hello(d.socket);
	struct tn_list_reply list;
	struct tn_packet p;
	char name[16], got[4];
	unsigned seen = 0;

	for (uint32_t mode = 0; mode < 0100; mode++) {
		const char *want = expected(mode >> who->shift & 07);
		struct tn_info info;

		if (mode & 011)
			continue;
		snprintf(name, sizeof(name), "m%02o", mode);
		roles_of(sock, name, got);
		if (strcmp(got, want) ||
		    tn_raw_destroy(sock, name) != -EPERM ||
		    tn_raw_stat(sock, name, &info) != (*want ? 0 : -EACCES))
			return 1;
		seen += *want != 0;
	}
	tn_raw_request(&p, TN_MSG_LIST, 1, &all, sizeof(all));
	if (tn_raw_exchange(sock, &p))
		return 2;
	memcpy(&list, p.data + sizeof(struct tn_msg), sizeof(list));
	return list.n == seen && !list.more ? 0 : 3;
}

static void modes_are_kept_to(void **state)
{
	struct who member = { OTHER, GROUP, 3 }, other = { OTHER, OTHER, 0 };

	(void)state;
	tn_test_skip_unless_root();
	assert_int_equal(tn_test_wait(tn_test_spawn(create_all, NULL)), 0);
	assert_int_equal(tn_test_wait(tn_test_spawn_as(
		member.uid, member.gid, try_all, &member)), 0);
	assert_int_equal(tn_test_wait(tn_test_spawn_as(
		other.uid, other.gid, try_all, &other)), 0);
}

static int owner_destroys(void *arg)
{
	int sock = tn_raw_hello(d.socket);
	char got[4];

	(void)arg;
	roles_of(sock, "m00", got);
	return strcmp(got, "pco") || tn_raw_destroy(sock, "m00");
}

static void the_owner_and_root_may_do_all(void **state)
{
	int sock;
	char got[4];

	(void)state;
	tn_test_skip_unless_root();
	assert_int_equal(tn_test_wait(tn_test_spawn(create_all, NULL)), 0);
	assert_int_equal(tn_test_wait(tn_test_spawn_as(OWNER, 1, owner_destroys,
						       NULL)), 0);
	sock = tn_raw_hello(d.socket);
	roles_of(sock, "m02", got);
	assert_string_equal(got, "pco");
	assert_int_equal(tn_raw_destroy(sock, "m02"), 0);
	close(sock);
}

static int create_for_strangers(void *arg)
{
	struct tn_create create = {
		.name = "x", .bytes = 1 << 20, .kind = 1, .policy = 1,
		.gid = GROUP,
	};

	(void)arg;
	return tn_raw_call(tn_raw_hello(d.socket), TN_MSG_CREATE, &create,
			   sizeof(create)) != -EACCES;
}

static void a_pool_is_not_made_for_a_group_of_others(void **state)
{
	(void)state;
	tn_test_skip_unless_root();
	assert_int_equal(tn_test_wait(tn_test_spawn_as(
		OTHER, OTHER, create_for_strangers, NULL)), 0);
}

static bool can_map(int fd, uint64_t bytes, int prot)
{
	void *at = mmap(NULL, bytes, prot, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		return false;
	munmap(at, bytes);
	return true;
}

static bool can_reopen(int fd)
{
	char path[32];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_CLOEXEC);
	if (again >= 0)
		close(again);
	return again >= 0;
}

/* Another uid than the daemon's: what it was given is all it can have. */
static int try_to_write(void *arg)
{
	struct tn_open_reply o;
	int sock = tn_raw_hello(d.socket), fds[3], rw = PROT_READ | PROT_WRITE;

	(void)arg;
	if (tn_raw_open(sock, "shared", TN_CONSUMER, &o, fds))
		return 1;
	if (!can_map(fds[0], o.meta_bytes, rw) ||
	    !can_map(fds[1], o.data_bytes, PROT_READ) ||
	    can_map(fds[1], o.data_bytes, rw) || can_reopen(fds[1]) ||
	    !can_map(fds[2], o.control_bytes, rw))
		return 2;
	usleep(1000);
	if (tn_raw_open(sock, "shared", TN_OBSERVER, &o, fds))
		return 3;
	if (!can_map(fds[0], o.meta_bytes, PROT_READ) ||
	    can_map(fds[0], o.meta_bytes, rw) || can_reopen(fds[0]) ||
	    can_map(fds[1], o.data_bytes, rw) || can_reopen(fds[1]) ||
	    ftruncate(fds[2], 0) == 0 || fchmod(fds[1], 0666) == 0 ||
	    fcntl(fds[2], F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0)
		return 4;
	return 0;
}

static void the_kernel_enforces_a_role(void **state)
{
	int sock;

	(void)state;
	tn_test_skip_unless_root();
	sock = tn_raw_hello(d.socket);
	assert_int_equal(tn_raw_create(sock, "shared", 1 << 20, 0006), 0);
	assert_int_equal(tn_test_wait(tn_test_spawn_as(OTHER, OTHER,
						       try_to_write, NULL)), 0);
	close(sock);
}

static void a_long_list_comes_in_parts(void **state)
{
	int sock = tn_raw_hello(d.socket), n = 0;
	struct tn_by_name after = { 0 };
	struct tn_list_reply list;
	struct tn_info info;
	struct tn_packet p;
	char name[16];

	(void)state;
	for (int i = 0; i < 70; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		assert_int_equal(tn_raw_create(sock, name, 1 << 20, 0), 0);
	}
	do {
		tn_raw_request(&p, TN_MSG_LIST, 1, &after, sizeof(after));
		assert_int_equal(tn_raw_exchange(sock, &p), 0);
		memcpy(&list, p.data + sizeof(struct tn_msg), sizeof(list));
		for (uint32_t i = 0; i < list.n; i++, n++) {
			memcpy(&info, p.data + sizeof(struct tn_msg) +
			       sizeof(list) + i * sizeof(info), sizeof(info));
			assert_true(strcmp(after.name, info.name) < 0);
			memcpy(after.name, info.name, sizeof(info.name));
		}
	} while (list.more);
	assert_int_equal(n, 70);
	close(sock);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(modes_are_kept_to),
		TEST(the_owner_and_root_may_do_all),
		TEST(a_pool_is_not_made_for_a_group_of_others),
		TEST(the_kernel_enforces_a_role),
		TEST(a_long_list_comes_in_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
