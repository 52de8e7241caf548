/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each call of a running tarnd fails, one after the other, while a client goes
 * through all that a client can ask for. Afterwards tarnd is as it was before:
 *
 *	- it lives, and has as many descriptors and allocations as before
 *	- its ledger, too: the limits are such that the same once more is just
 *	  possible if, and only if, nothing is charged that is not there
 *	- another client has kept its connection and its pool, and is served
 *
 * tarnd is the same one all the time, so that what a failure leaves behind
 * meets all that come after it. What the client hears meanwhile is open,
 * but it hears something, or tarnd hangs up.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tarn/tarn.h"
#include "tests/lib/tn_fault.h"
#include "tests/lib/tn_manager.h"
#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_test.h"

#define PATIENCE_MS 250  /* with a daemon that has forgotten a reply */
#define SETTLE_MS 5000   /* LEAVE gives up after one second, HELLO after five */
#define LOST 1           /* no reply came, or a hang-up */

static const char *const args[] = {
	/* what the victim has, and what the scenario needs */
	"--limit", "connections=5", "--limit", "attachments=4",
	"--limit", "pools=2", "--limit", "bytes=2M", NULL,
};

static struct tn_fault_table table;
static struct tn_manager manager;

static struct victim {
	struct tarn *tarn;
	struct tarn_pool *pool;
	uint64_t *object;
	int raw; /* a connection that libtarn would make anew */
} victim;

static struct { int fds; int64_t live; } baseline;

/* A conversation in which anything may be missing. */
struct talk {
	int fd;
	bool must; /* nothing may be missing */
	struct tn_packet packet;
};

static void lose(struct talk *t)
{
	if (t->must)
		fail_msg("tarnd does not answer");
	close(t->fd);
	t->fd = -1;
}

/* Return: the status, or LOST. */
static int ask(struct talk *t, uint16_t op, const void *body, size_t bytes)
{
	int r;

	tn_raw_request(&t->packet, op, 7, body, bytes);
	r = tn_raw_ask(t->fd, &t->packet, t->must ? 10000 : PATIENCE_MS);
	if (r == LOST && t->fd >= 0)
		lose(t);
	return r;
}

static void expect(const struct talk *t, int status, int wanted)
{
	if (t->must)
		assert_int_equal(status, wanted);
}

static const void *body_of(const struct talk *t)
{
	return t->packet.data + sizeof(struct tn_msg);
}

static void ask_expect(struct talk *t, uint16_t op, const void *body,
		       size_t bytes, int wanted)
{
	expect(t, ask(t, op, body, bytes), wanted);
	tn_packet_close(&t->packet);
}

static struct talk talk(bool must)
{
	return (struct talk){
		.fd = tn_raw_connect(manager.d.socket), .must = must,
	};
}

/* Return: the live page, or NULL */
static void *hello(struct talk *t, const struct tn_hello *earlier,
		   struct tn_hello_reply *ret)
{
	struct tn_hello h = *earlier;
	void *page = NULL;

	h.min_version = h.max_version = TN_WIRE_VERSION;
	h.features = TN_FEATURE_SESSION;
	*ret = (struct tn_hello_reply){ .version = 0 };
	if (ask(t, TN_MSG_HELLO, &h, sizeof(h)) == 0) {
		memcpy(ret, body_of(t), sizeof(*ret));
		if (t->packet.n_fds)
			page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				    MAP_SHARED, t->packet.fds[0], 0);
	} else {
		expect(t, LOST, 0);
	}
	tn_packet_close(&t->packet);
	return page == MAP_FAILED ? NULL : page;
}

static int open_pool(struct talk *t, uint32_t role, uint32_t *ret)
{
	struct tn_open open = { .name = "f", .role = role };
	struct tn_open_reply reply;
	int r = ask(t, TN_MSG_OPEN, &open, sizeof(open));

	if (r == 0) {
		memcpy(&reply, body_of(t), sizeof(reply));
		*ret = reply.attach;
	}
	tn_packet_close(&t->packet);
	expect(t, r, 0);
	return r;
}

static void create_and_open(struct talk *t, uint32_t ret_attach[2])
{
	struct tn_create create = {
		.name = "f", .bytes = 1 << 20, .kind = TN_KIND_SLAB,
		.policy = TN_FIRST_FIT, .gid = UINT32_MAX,
	};
	const struct tn_by_name all = { "" }, name = { "f" };
	const struct tn_controls controls = { .name = "f" };

	ask_expect(t, TN_MSG_CREATE, &create, sizeof(create), 0);
	strcpy(create.name, "g"); /* one too many */
	ask_expect(t, TN_MSG_CREATE, &create, sizeof(create), -EDQUOT);
	open_pool(t, TN_PRODUCER, &ret_attach[0]);
	ask_expect(t, TN_MSG_STAT, &name, sizeof(name), 0);
	ask_expect(t, TN_MSG_LIST, &all, sizeof(all), 0);
	ask_expect(t, TN_MSG_CONTROLS, &controls, sizeof(controls), 0);
	open_pool(t, TN_OBSERVER, &ret_attach[1]);
}

static int attach_and_die(void *arg)
{
	const struct tn_hello none = { 0 };
	struct talk t = talk(false);
	struct tn_hello_reply reply;
	uint32_t attach;

	(void)arg;
	hello(&t, &none, &reply);
	open_pool(&t, TN_PRODUCER, &attach);
	raise(SIGKILL);
	return 0;
}

/* The last connections that the limit has room for, and one more. */
static void connect_too_often(bool must)
{
	const struct tn_hello plain = { 1, 1, 0, 0, 0, 0 };
	struct talk more[3];

	for (int i = 0; i < 3; i++) {
		more[i] = talk(must);
		ask_expect(&more[i], TN_MSG_HELLO, &plain, sizeof(plain),
			   i < 2 ? 0 : -EDQUOT);
	}
	for (int i = 0; i < 3; i++)
		if (more[i].fd >= 0)
			close(more[i].fd);
}

/* Until tarnd says that it is ready again. */
static void reload(bool must)
{
	int64_t end = tn_test_now_ms() + (must ? 10000 : PATIENCE_MS);
	unsigned before = manager.n_ready;

	kill(manager.d.pid, SIGHUP);
	while (__atomic_load_n(&manager.n_ready, __ATOMIC_RELAXED) == before) {
		if (tn_test_now_ms() > end) {
			if (must)
				fail_msg("no word of a reload");
			return;
		}
		usleep(200);
	}
}

static void scenario(bool must)
{
	const struct tn_by_name name = { "f" };
	struct tn_hello earlier = { 0 };
	struct talk first = talk(must), second;
	struct tn_hello_reply reply;
	uint32_t attach[2] = { 0, 0 };
	struct tn_leave leave;
	void *page = hello(&first, &earlier, &reply), *other;

	create_and_open(&first, attach);
	leave = (struct tn_leave){ .attach = attach[1] };
	ask_expect(&first, TN_MSG_LEAVE, &leave, sizeof(leave), 0);
	tn_test_wait(tn_test_spawn(attach_and_die, NULL));

	/* the process goes on over another connection */
	earlier.session = reply.session;
	earlier.secret = reply.secret;
	earlier.known = reply.session ? attach[1] : 0;
	if (first.fd >= 0)
		shutdown(first.fd, SHUT_RDWR);
	second = talk(must);
	other = hello(&second, &earlier, &reply);
	if (must)
		assert_int_equal(reply.flags, TN_HELLO_REJOINED);
	if (first.fd >= 0)
		close(first.fd);
	connect_too_often(must);
	ask_expect(&second, TN_MSG_PING, NULL, 0, 0);
	ask_expect(&second, TN_MSG_DESTROY, &name, sizeof(name), 0);
	reload(must);
	if (page)
		munmap(page, 4096);
	if (other)
		munmap(other, 4096);
	if (second.fd >= 0)
		close(second.fd);
}

/* tarnd may still have to notice that the others are gone. */
static void tidy(void)
{
	const struct tn_hello hello = { 1, 1, 0, 0, 0, 0 };
	int64_t end = tn_test_now_ms() + SETTLE_MS;
	struct talk t = talk(false);
	int r;

	while ((r = ask(&t, TN_MSG_HELLO, &hello, sizeof(hello))) != 0 &&
	       tn_test_now_ms() < end) {
		if (t.fd >= 0)
			close(t.fd);
		usleep(1000);
		t = talk(false);
	}
	/* the second is there if the first could not be made */
	r = tn_raw_destroy(t.fd, "f");
	assert_true(r == 0 || r == -ENOENT);
	r = tn_raw_destroy(t.fd, "g");
	assert_true(r == 0 || r == -ENOENT);
	close(t.fd);
}

static bool settles(void)
{
	int64_t end = tn_test_now_ms() + SETTLE_MS + 2000;

	while (tn_test_fd_count(manager.d.pid) != baseline.fds) {
		if (tn_test_now_ms() > end)
			return false;
		usleep(200);
	}
	return true;
}

/* Some memory is kept for the next time (libevent has a table by descriptor),
 * so growing once is no leak. */
static bool grows(void)
{
	int64_t before = baseline.live, end = tn_test_now_ms() + 200;

	while (table.page->live > before && tn_test_now_ms() < end)
		usleep(200);
	baseline.live = table.page->live;
	return baseline.live > before;
}

static bool is_served(void)
{
	struct talk t = { .fd = victim.raw, .must = false };
	void *p = tarn_alloc(victim.pool, 100);
	bool ok;

	ok = p && tarn_free(victim.pool, p) == 0 &&
	     victim.object[0] == 0x600d && ask(&t, TN_MSG_PING, NULL, 0) == 0;
	victim.raw = t.fd;
	return ok;
}

static void victim_start(void)
{
	assert_int_equal(tarn_connect(manager.d.socket, &victim.tarn), 0);
	assert_int_equal(tarn_pool_create(victim.tarn, "victim",
				TARN_POOL_OPTS(.bytes = 1 << 20)), 0);
	assert_int_equal(tarn_pool_open(victim.tarn, "victim", TARN_PRODUCER,
					&victim.pool), 0);
	victim.object = tarn_alloc(victim.pool, 64);
	assert_non_null(victim.object);
	victim.object[0] = 0x600d;
	victim.raw = tn_raw_hello(manager.d.socket);
}

static void victim_stop(void)
{
	tarn_pool_close(victim.pool);
	tarn_disconnect(victim.tarn);
	if (victim.raw >= 0)
		close(victim.raw);
}

/* What is allocated once and kept is allocated before anything is counted. */
static void take_baseline(void)
{
	int64_t live;

	for (int i = 0; i < 3; i++) {
		scenario(true);
		usleep(50000);
	}
	do {
		live = table.page->live;
		baseline.fds = tn_test_fd_count(manager.d.pid);
		usleep(100000);
	} while (live != table.page->live ||
		 baseline.fds != tn_test_fd_count(manager.d.pid));
	baseline.live = live;
}

static void start(void)
{
	table.page->live = 0;
	tn_test_daemon_start(&manager.d, args);
	victim_start();
	take_baseline();
}

static void restart(void)
{
	victim_stop();
	if (manager.d.pid)
		kill(manager.d.pid, SIGKILL);
	if (manager.d.pid)
		tn_test_wait(manager.d.pid);
	manager.d.pid = 0;
	tn_fault_forget(&manager);
	start();
}

static bool crashed(void)
{
	int status;

	if (waitpid(manager.d.pid, &status, WNOHANG) != manager.d.pid)
		return false;
	manager.d.pid = 0;
	print_error("tarnd ended with status %x\n", (unsigned)status);
	return true;
}

/* Return: what has gone wrong, or NULL */
static const char *try(const struct tn_fault *f, struct tn_fault_row *row,
		       bool *ret_failed)
{
	alarm(TN_TEST_SECONDS);
	tn_fault_arm(&table, f);
	scenario(false);
	*ret_failed = tn_fault_disarm(&table);
	if (crashed()) {
		row->crashes++;
		return "tarnd crashes";
	}
	if (!is_served()) {
		row->refused++;
		return "another client is not served";
	}
	tidy();
	if (!settles()) {
		row->leaks++;
		return "descriptors are left";
	}
	scenario(true);
	return settles() ? NULL : "descriptors are left for good";
}

static bool run(struct tn_fault_table *t, const struct tn_fault *f,
		struct tn_fault_row *row)
{
	bool failed, again;
	const char *wrong = try(f, row, &failed);

	for (int i = 0; !wrong && grows(); i++) {
		wrong = try(f, row, &again);
		if (!wrong && i == 3) {
			row->leaks++;
			wrong = "memory is left";
		}
	}
	if (!wrong)
		return failed;
	tn_fault_say(&table, f, wrong);
	print_error("descriptors %d, %d before; allocations %lld, %lld "
		    "before\n",
		    manager.d.pid ? tn_test_fd_count(manager.d.pid) : 0,
		    baseline.fds, (long long)t->page->live,
		    (long long)baseline.live);
	restart();
	return failed;
}

static void begin(void)
{
	tn_fault_skip_unless_possible();
	tn_fault_manager(&table, &manager, NULL);
	start();
}

static void end(void)
{
	victim_stop();
	assert_int_equal(tn_manager_end(&manager, SIGTERM), 0);
	tn_fault_fini(&table);
	tn_manager_fini(&manager);
}

/* Return: did it fail? */
static bool ping_and_close(const struct tn_fault *f, int wanted)
{
	struct talk t = { .fd = tn_raw_hello(manager.d.socket) };

	tn_fault_arm(&table, f);
	tn_raw_request(&t.packet, TN_MSG_PING, 7, NULL, 0);
	assert_int_equal(tn_raw_ask(t.fd, &t.packet, 10000), wanted);
	close(t.fd);
	assert_true(settles());
	return tn_fault_disarm(&table);
}

/* There is no second event for it. */
static void what_recv_does_not_find_at_once_is_found(void **state)
{
	struct tn_fault f = {
		.kind = TN_FAULT_recvmsg, .at = 1, .error = EAGAIN,
	};

	(void)state;
	begin();
	while (ping_and_close(&f, 0))
		f.at++;
	assert_true(f.at > 2); /* the request, and the end */
	end();
}

static void a_socket_that_never_gives_what_it_has_is_closed(void **state)
{
	const struct tn_fault f = {
		.kind = TN_FAULT_recvmsg, .at = 1, .error = EAGAIN,
		.for_ever = true,
	};

	(void)state;
	begin();
	assert_true(ping_and_close(&f, LOST));
	assert_true(tn_test_daemon_said(&manager.d, "hung up: "));
	assert_true(is_served());
	end();
}

static void every_call_of_a_running_daemon_may_fail(void **state)
{
	(void)state;
	begin();
	tn_fault_all(&table, run);
	assert_int_equal(tn_fault_print(&table, "tarnd at work"), 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(what_recv_does_not_find_at_once_is_found),
		TN_TEST(a_socket_that_never_gives_what_it_has_is_closed),
		TN_TEST(every_call_of_a_running_daemon_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
