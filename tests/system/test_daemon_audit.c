/* SPDX-License-Identifier: BSD-2-Clause */
/* What a pool's owner may look at: every client's control file; and what is
 * said of a pool that contradicts itself. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tarn/tarn.h"
#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_test.h"

static struct tn_test_daemon d;
static int baseline, owner;

static int setup(void **state)
{
	tn_test_setup(state);
	tn_test_daemon_init(&d);
	tn_test_daemon_start(&d, NULL);
	baseline = tn_test_fd_count(d.pid);
	owner = tn_raw_hello(d.socket);
	return tn_raw_create(owner, "p", 4 << 20, 0666);
}

static int teardown(void **state)
{
	tn_raw_destroy(owner, "p");
	close(owner);
	tn_test_eventually(tn_test_fd_count(d.pid) == baseline);
	tn_test_daemon_stop(&d);
	return tn_test_teardown(state);
}

static int controls(int sock, const char *name, uint32_t after,
		    struct tn_controls_reply *ret, int *ret_fd)
{
	struct tn_controls req = { .after = after };
	struct tn_packet p;
	int r;

	strncpy(req.name, name, sizeof(req.name) - 1);
	tn_raw_request(&p, TN_MSG_CONTROLS, 3, &req, sizeof(req));
	r = tn_raw_exchange(sock, &p);
	if (r)
		return r;
	assert_int_equal(p.n_fds, 1);
	memcpy(ret, p.data + sizeof(struct tn_msg), sizeof(*ret));
	*ret_fd = p.fds[0];
	return 0;
}

static struct tn_open_reply open_p(int sock, int fds[3])
{
	struct tn_open_reply o;

	assert_int_equal(tn_raw_open(sock, "p", TN_PRODUCER, &o, fds), 0);
	return o;
}

static void close_fds(int fds[3])
{
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

/* That file names that client, and can be read only. */
static void check_control(const struct tn_controls_reply *c, int fd)
{
	const struct tn_control *header;

	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_ptr_equal(mmap(NULL, c->control_bytes, PROT_READ | PROT_WRITE,
			      MAP_SHARED, fd, 0), MAP_FAILED);
	header = mmap(NULL, c->control_bytes, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(header, MAP_FAILED);
	assert_true(header->magic == TN_CONTROL_MAGIC);
	assert_int_equal(header->client, c->client);
	munmap((void *)header, c->control_bytes);
	close(fd);
}

static void the_owner_sees_every_control_file_once(void **state)
{
	uint32_t want[6], after = 0, number[6];
	struct tn_controls_reply c;
	struct tn_open_reply o;
	int fds[3], fd, n = 0;

	(void)state;
	for (int i = 0; i < 1100; i++) { /* ids on both sides of tarnd's */
		o = open_p(owner, fds);
		close_fds(fds);
		if (i == 1 || i == 2 || i > 1096) {
			want[n] = o.client;
			number[n++] = o.attach;
		} else {
			assert_int_equal(tn_raw_leave(owner, o.attach), 0);
		}
	}
	assert_true(want[1] < TN_DAEMON_SLOT && want[2] > TN_DAEMON_SLOT);
	for (int i = 0; i <= n; i++) {
		uint32_t id = i < 2 ? want[i] : i == 2 ? TN_DAEMON_SLOT :
			      want[i - 1];

		assert_int_equal(controls(owner, "p", after, &c, &fd), 0);
		assert_int_equal(c.client, id);
		assert_int_equal(c.state, TN_CONTROLS_ALIVE);
		assert_int_equal(c.more, i < n);
		check_control(&c, fd);
		after = c.client;
	}
	assert_int_equal(controls(owner, "p", after, &c, &fd), -ESRCH);
	assert_int_equal(controls(owner, "p", UINT32_MAX, &c, &fd), -ESRCH);
	assert_int_equal(controls(owner, "q", 0, &c, &fd), -ENOENT);
	for (int i = 0; i < n; i++)
		assert_int_equal(tn_raw_leave(owner, number[i]), 0);
	assert_int_equal(controls(owner, "p", 0, &c, &fd), 0);
	assert_int_equal(c.client, TN_DAEMON_SLOT);
	assert_int_equal(c.more, 0);
	check_control(&c, fd);
}

static int hold_much(void *arg)
{
	struct tarn_pool *pool;
	struct tarn *t;
	void *p;

	(void)arg;
	if (tarn_connect(d.socket, &t) < 0 ||
	    tarn_pool_open(t, "p", TARN_PRODUCER, &pool) < 0)
		return 1;
	do
		p = tarn_alloc(pool, 16);
	while (p);
	kill(getpid(), SIGKILL);
	return 2;
}

/* Its recovery takes some slices; between two of them we look. */
static bool is_seen_dying(void)
{
	pid_t pid = tn_test_spawn(hold_much, NULL);
	struct tn_controls_reply c;
	bool seen = false;
	int fd;

	assert_int_equal(tn_test_wait(pid), 128 + SIGKILL);
	do {
		assert_int_equal(controls(owner, "p", 0, &c, &fd), 0);
		close(fd);
		seen = seen || c.state == TN_CONTROLS_DEAD;
	} while (c.client != TN_DAEMON_SLOT && c.more);
	return seen;
}

static void who_is_dead_is_told_apart(void **state)
{
	(void)state;
	tn_test_eventually(is_seen_dying());
}

static int look_as_another(void *arg)
{
	struct tn_controls_reply c;
	int fds[3], fd, sock = tn_raw_hello(d.socket);

	(void)arg;
	open_p(sock, fds); /* the mode lets everybody in */
	return controls(sock, "p", 0, &c, &fd) != -EPERM;
}

static void nobody_else_sees_any(void **state)
{
	(void)state;
	tn_test_skip_unless_root();
	assert_int_equal(tn_test_wait(tn_test_spawn_as(50001, 50001,
						       look_as_another, NULL)),
			 0);
}

static void it_is_one_descriptor_at_a_time(void **state)
{
	struct tn_controls req = { .name = "p" };
	struct tn_packet p;
	struct tn_msg msg;

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		tn_raw_request(&p, TN_MSG_CONTROLS, i, &req, sizeof(req));
		tn_raw_send(owner, p.data, p.bytes);
	}
	usleep(100000);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tn_raw_recv(owner, &p), 1);
		memcpy(&msg, p.data, sizeof(msg));
		assert_int_equal(msg.status, i ? -EBUSY : 0);
		tn_packet_close(&p);
	}
}

/* A note in the lane's record that no client could have written. */
static void scribble(const struct tn_open_reply *o, int fd)
{
	uint8_t *at = mmap(NULL, o->control_bytes, PROT_READ | PROT_WRITE,
			   MAP_SHARED, fd, 0);
	struct tn_control *header = (struct tn_control *)(void *)at;
	struct tn_lane *lanes = (struct tn_lane *)(void *)(at + TN_PAGE_BYTES);

	assert_ptr_not_equal(at, MAP_FAILED);
	tn64_store_relaxed(&header->lanes, 6);
	tn64_store_relaxed(&lanes[5].op, TN_OP(77, 0, 0));
	munmap(at, o->control_bytes);
}

static void a_poisoned_pool_is_told_with_client_and_place(void **state)
{
	struct tn_open_reply o, other;
	int fds[3], more[3];
	char text[128];
	struct tn_header *header;
	struct tn_info info;

	(void)state;
	o = open_p(owner, fds);
	other = open_p(owner, more);
	header = mmap(NULL, TN_PAGE_BYTES, PROT_READ, MAP_SHARED, more[0], 0);
	assert_ptr_not_equal(header, MAP_FAILED);
	scribble(&o, fds[2]);
	assert_true(tn64_load_relaxed(&header->poison) == 0);
	assert_int_equal(tn_raw_leave(owner, o.attach), 0);
	assert_true(tn64_load_relaxed(&header->poison) != 0);
	assert_int_equal(tn_raw_stat(owner, "p", &info), 0);
	assert_true(info.flags & TN_INFO_POISONED);
	snprintf(text, sizeof(text), "recovery of client %u, phase 1",
		 (unsigned)o.client);
	assert_true(tn_test_daemon_said(&d, text));
assert_true(tn_test_daemon_said(&d, "itself: record of lane "));
	assert_true(tn_test_daemon_said(&d, "pool p: poisoned"));
	assert_int_equal(tn_raw_open(owner, "p", TN_PRODUCER, &o, fds),
			 -EUCLEAN);
	assert_int_equal(tn_raw_leave(owner, other.attach), 0);
	munmap(header, TN_PAGE_BYTES);
	close_fds(fds);
	close_fds(more);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_owner_sees_every_control_file_once),
		TEST(who_is_dead_is_told_apart),
		TEST(nobody_else_sees_any),
		TEST(it_is_one_descriptor_at_a_time),
		TEST(a_poisoned_pool_is_told_with_client_and_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
