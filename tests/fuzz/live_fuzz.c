/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * live_fuzz [SECONDS [SEED]]: traffic that nobody would send, from several
 * processes of several users, at a real tarnd; and a victim of another user
 * that must not notice: its connection stays, its requests are answered, its
 * objects stay as they are. Built and run by `make fuzz T=live`.
 *
 * Each attacker takes a new seed for each connection and says which; so a
 * crash can be run again, if not with the same timing.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tarn/tarn.h"
#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_test.h"

#define ATTACKERS 4
#define FIRST_UID 40000U
#define PACKETS_MAX 2000 /* by one connection, then it makes another */

static struct tn_test_daemon d;
static struct { _Atomic uint64_t packets, connections, replies; } *sum;

static uint64_t rng;

/* xorshift64; any of its bits will do */
static uint32_t any(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 33) % below;
}

static void put_name(void *name)
{
	static const char *const names[] = { "a", "b", "c", "victim", "" };

	memset(name, 0, TN_NAME_BYTES);
	strcpy(name, names[any(5)]);
}

/* Likely to be right, for the wrong ones to get far. Return: bytes of it */
static size_t put_body(uint16_t op, uint8_t *body)
{
	struct tn_create create = {
		.bytes = 1 << 20, .kind = 1 + any(2), .policy = 1 + any(3),
		.mode = any(2) ? 0666 : 0, .gid = UINT32_MAX,
	};
	struct tn_hello hello = { 1, 1, any(2), 0, 0, 0 };
	struct tn_leave leave = { .attach = any(8) };
	struct tn_move_request move = {
		.attach = any(8), .flags = any(4),
		.handle = TN_HANDLE_REF | any(64),
	};

	memset(body, 0, sizeof(create));
	switch (op) {
	case TN_MSG_HELLO:
		memcpy(body, &hello, sizeof(hello));
		return sizeof(hello);
	case TN_MSG_CREATE:
		put_name(create.name);
		memcpy(body, &create, sizeof(create));
		return sizeof(create);
	case TN_MSG_LEAVE:
		memcpy(body, &leave, sizeof(leave));
		return sizeof(leave);
	case TN_MSG_OPEN:
	case TN_MSG_CONTROLS:
	case TN_MSG_COMPACT:
		put_name(body);
		body[TN_NAME_BYTES] = (uint8_t)any(4);
		return sizeof(struct tn_open);
	case TN_MSG_MOVE:
		memcpy(body, &move, sizeof(move));
		return sizeof(move);
	case TN_MSG_PING:
		return 0;
	default:
		put_name(body);
		return TN_NAME_BYTES;
	}
}

static void spoil(struct tn_packet *p)
{
	for (uint32_t n = any(4); n > 0 && p->bytes; n--)
		p->data[any((uint32_t)p->bytes)] ^= (uint8_t)(1 << any(8));
	if (!any(8))
		p->bytes = any(TN_MSG_MAX + 1);
}

/* Return: is there a connection still? */
static bool send_one(int sock)
{
	uint16_t op = (uint16_t)any(TN_MSG_N_OPS + 1);
	struct tn_packet p;
	uint8_t body[128];
	int fds[TN_MSG_FDS_MAX] = { sock, 0, 1 };

	tn_raw_request(&p, op, any(4), body, put_body(op, body));
	if (!any(3))
		spoil(&p);
	sum->packets++;
	return tn_packet_send(sock, p.data, p.bytes, fds,
			      any(64) ? 0 : 1 + any(TN_MSG_FDS_MAX)) == 0 ||
	       errno == EAGAIN;
}

/* Reads, too, but not always. */
static bool recv_some(int sock)
{
	struct pollfd pfd = { .fd = sock, .events = POLLIN };
	struct tn_packet p;
	int r = 1;

	/* so that tarnd is not always behind, and hangs up unheard */
	poll(&pfd, 1, any(2) ? 2 : 0);
	for (uint32_t n = any(4); n > 0 && r > 0; n--) {
		r = tn_packet_recv(sock, &p, any(2) ? TN_MSG_FDS_MAX : 0);
		if (r > 0) {
			sum->replies++;
			tn_packet_close(&p);
		}
	}
	return r > 0 || r == -EAGAIN;
}

static void one_connection(void)
{
	static const int hows[] = { SHUT_RD, SHUT_WR };
	int sock = tn_raw_connect(d.socket);
	struct tn_packet p;
	uint8_t body[128];
	bool on = true;

	sum->connections++;
	tn_raw_request(&p, TN_MSG_HELLO, 1, body, put_body(TN_MSG_HELLO, body));
	if (any(16))
		tn_raw_send(sock, p.data, p.bytes);
	for (uint32_t n = any(PACKETS_MAX); n > 0 && on; n--) {
		on = send_one(sock) && recv_some(sock);
		if (!any(500))
			shutdown(sock, hows[any(2)]);
	}
	close(sock);
}

static int attack(void *arg)
{
	const uint64_t *seed = arg;

	rng = *seed | 1;
	alarm(0);
	for (;;) {
		one_connection();
		if (!any(50)) /* like one who dies */
			return 0;
	}
}

static pid_t start_attack(unsigned i)
{
	uint64_t seed = ((uint64_t)random() << 16) + i;

	return tn_test_spawn_as(FIRST_UID + i, FIRST_UID + i, attack, &seed);
}

/* A round of what a victim may rely on. */
static void be_served(struct tarn_pool *pool, uint64_t *kept, int raw)
{
	uint64_t *obj = tarn_alloc(pool, 200);

	assert_non_null(obj);
	*obj = *kept;
	assert_int_equal(*kept, 0x5afe);
	assert_int_equal(tarn_free(pool, obj), 0);
	/* on one connection, from the beginning to the end */
	assert_int_equal(tn_raw_call(raw, TN_MSG_PING, NULL, 0), 0);
}

static void restart_who_died(pid_t pids[ATTACKERS])
{
	int status;

	for (unsigned i = 0; i < ATTACKERS; i++) {
		if (waitpid(pids[i], &status, WNOHANG) != pids[i])
			continue;
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		pids[i] = start_attack(i);
	}
}

static unsigned seconds = 5, seed = 1;

static void a_victim_does_not_notice(void **state)
{
	static const char *const args[] = {
		"--limit", "connections=8", "--limit", "attachments=16",
		"--limit", "pools=4", "--limit", "bytes=8M", NULL,
	};
	int64_t end, worst = 0, began;
	struct tarn_pool *pool;
	pid_t pids[ATTACKERS];
	uint64_t *kept, n = 0;
	struct tarn *t;
	int raw, fds;

	(void)state;
	tn_test_skip_unless_root();
	tn_test_daemon_init(&d);
	assert_int_equal(chmod(d.dir, 0755), 0);
	tn_test_daemon_start(&d, args);
	fds = tn_test_fd_count(d.pid);
	assert_int_equal(tarn_connect(d.socket, &t), 0);
	assert_int_equal(tarn_pool_create(t, "victim",
				TARN_POOL_OPTS(.bytes = 1 << 20)), 0);
	assert_int_equal(tarn_pool_open(t, "victim", TARN_PRODUCER, &pool), 0);
	kept = tarn_alloc(pool, 64);
	assert_non_null(kept);
	*kept = 0x5afe;
	raw = tn_raw_hello(d.socket);
	srandom(seed);
	for (unsigned i = 0; i < ATTACKERS; i++)
		pids[i] = start_attack(i);
	end = tn_test_now_ms() + seconds * 1000LL;
	while ((began = tn_test_now_ms()) < end) {
		alarm(TN_TEST_SECONDS);
		be_served(pool, kept, raw);
		n++;
		if (tn_test_now_ms() - began > worst)
			worst = tn_test_now_ms() - began;
		restart_who_died(pids);
		usleep(500);
	}
	for (unsigned i = 0; i < ATTACKERS; i++) {
		kill(pids[i], SIGKILL);
		tn_test_wait(pids[i]);
	}
	be_served(pool, kept, raw);
	close(raw);
	tarn_pool_close(pool);
	tarn_pool_destroy(t, "victim");
	tarn_disconnect(t);
	/* all but the attackers' pools are gone, three files each */
	tn_test_eventually(tn_test_fd_count(d.pid) <=
			   fds + ATTACKERS * 4 * 3);
	printf("# %u s, seed %u: %llu packets over %llu connections, %llu "
	       "replies; victim served %llu times, %lld ms at worst\n",
	       seconds, seed, (unsigned long long)sum->packets,
	       (unsigned long long)sum->connections,
	       (unsigned long long)sum->replies, (unsigned long long)n,
	       (long long)worst);
	tn_test_daemon_stop(&d);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		TN_TEST(a_victim_does_not_notice),
	};

	if (argc > 1)
		seconds = (unsigned)atoi(argv[1]);
	if (argc > 2)
		seed = (unsigned)atoi(argv[2]);
	sum = mmap(NULL, sizeof(*sum), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sum == MAP_FAILED)
		return perror("mmap"), 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
