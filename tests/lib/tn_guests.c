/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_guests.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon/birth.h"
#include "daemon/log.h"
#include "daemon/peer.h"

#define FDS_MAX 256
#define SECONDS_MAX 10 /* for tarnd to be done with everything */

/* What the linker puts in the place of the daemon's. */
int __wrap_peer_uid(int sock, struct peer *peer);
int __wrap_peer_init(struct peer *peer, int sock, bool by_pid);
void __wrap_log_line(int level, const struct log_about *about,
		     const char *fmt, ...);
void __wrap_log_peer(const struct log_about *about, const char *fmt, ...);

struct server tn_guest_server;
struct tn_guest tn_guests[TN_GUEST_PROCESSES];
struct tn_guest_link tn_guest_links[TN_GUEST_LINKS];

static const struct tn_guest *at_end_of[FDS_MAX]; /* of tarnd's sockets */
static struct tn_guest_link bystander;
static pid_t last_pid = 1000;
static int fds_before;

int __wrap_peer_uid(int sock, struct peer *peer)
{
	const struct tn_guest *guest = at_end_of[sock];

	peer->pid = guest->pid;
	peer->uid = guest->uid;
	peer->gid = guest->uid;
	return 0;
}

int __wrap_peer_init(struct peer *peer, int sock, bool by_pid)
{
	(void)by_pid;
	*peer = (struct peer){ .pidfd = dup(at_end_of[sock]->death) };
	__wrap_peer_uid(sock, peer);
	return peer->pidfd < 0 ? -errno : 0;
}

void __wrap_log_line(int level, const struct log_about *about,
		     const char *fmt, ...)
{
	(void)level;
	(void)about;
	(void)fmt;
}

void __wrap_log_peer(const struct log_about *about, const char *fmt, ...)
{
	(void)about;
	(void)fmt;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void tn_guests_turn(void)
{
	event_base_loop(tn_guest_server.base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
}

#define turn_until(cond) \
	do { \
		int64_t end_ = now_ms() + SECONDS_MAX * 1000; \
		while (tn_guests_turn(), !(cond)) \
			tn_must(now_ms() < end_); \
	} while (0)

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < FDS_MAX; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* tn_guests */

static void be_born(struct tn_guest *p, uid_t uid)
{
	p->uid = uid;
	p->pid = ++last_pid;
	p->death = eventfd(0, EFD_CLOEXEC);
	tn_must(p->death >= 0);
}

void tn_guest_die(struct tn_guest *p)
{
	eventfd_write(p->death, 1);
	close(p->death);
	be_born(p, p->uid);
}

/* links */

void tn_guest_connect(struct tn_guest_link *l, struct tn_guest *by)
{
	int fds[2];

	tn_must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC |
			SOCK_NONBLOCK, 0, fds) == 0);
	*l = (struct tn_guest_link){ .fd = fds[0], .by = by };
	tn_must(fds[1] < FDS_MAX);
	at_end_of[fds[1]] = by;
	birth_accept(&tn_guest_server, fds[1]);
}

void tn_guest_unmap(struct tn_guest_link *l)
{
	if (l->live)
		munmap(l->live, TN_PAGE_BYTES);
	l->live = NULL;
}

void tn_guest_close(struct tn_guest_link *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

/* A request that will be answered, if tarnd does not hang up. */
static void await(struct tn_guest_link *l, const void *data, size_t bytes)
{
	struct tn_msg msg;

	if (bytes < sizeof(msg) || l->n_awaited == TN_GUEST_AWAITED)
		return;
	memcpy(&msg, data, sizeof(msg));
	l->awaited[l->n_awaited].op = msg.op;
	l->awaited[l->n_awaited++].id = msg.id;
}

void tn_guest_send(struct tn_guest_link *l, const void *data, size_t bytes,
		      int fd, unsigned n)
{
	const int fds[TN_MSG_FDS_MAX] = { fd, fd, fd };

	if (l->n_awaited < TN_GUEST_AWAITED &&
	    tn_packet_send(l->fd, data, bytes, fds, n) == 0)
		await(l, data, bytes);
}

/* F1 */
static void check_reply(struct tn_guest_link *l, const struct tn_packet *p)
{
	uint16_t op = l->awaited[0].op;
	uint32_t id = l->awaited[0].id;
	struct tn_msg msg;

	memcpy(&msg, p->data, sizeof(msg));
	/* a user with too many connections hears so before it has spoken */
	if (msg.op == TN_MSG_HELLO && msg.status == -EDQUOT) {
		tn_must(p->bytes == sizeof(msg) && !p->n_fds);
		return;
	}
	tn_must(l->n_awaited);
	tn_must(!p->cut && !p->fds_cut);
	if (op && op < TN_MSG_N_OPS)
		tn_must(tn_wire_check_reply(p->data, p->bytes, op, id,
					 p->n_fds) == 0);
	else
		tn_must(msg.op == op && msg.id == id && msg.status < 0 &&
		     !p->n_fds && p->bytes == sizeof(msg));
	memmove(l->awaited, l->awaited + 1,
		--l->n_awaited * sizeof(l->awaited[0]));
}

static void learn(struct tn_guest_link *l, const struct tn_packet *p)
{
	struct tn_open_reply opened;
	struct tn_msg msg;
	const uint8_t *body = p->data + sizeof(msg);
	void *page;

	memcpy(&msg, p->data, sizeof(msg));
	if (msg.status)
		return;
	if (msg.op == TN_MSG_OPEN) {
		memcpy(&opened, body, sizeof(opened));
		l->attach = opened.attach;
	} else if (msg.op == TN_MSG_HELLO) {
		memcpy(&l->hello, body, sizeof(l->hello));
		if (!p->n_fds)
			return;
		tn_guest_unmap(l);
		page = mmap(NULL, TN_PAGE_BYTES, PROT_READ | PROT_WRITE,
			    MAP_SHARED, p->fds[0], 0);
		l->live = page == MAP_FAILED ? NULL : page;
	}
}

/* Return: was there one? */
bool tn_guest_recv(struct tn_guest_link *l)
{
	struct tn_packet p;
	int r = tn_packet_recv(l->fd, &p, TN_MSG_FDS_MAX);

	if (r > 0) {
		check_reply(l, &p);
		learn(l, &p);
		tn_packet_close(&p);
	} else if (r == 0 || r == -ECONNRESET) {
		tn_guest_close(l);
	}
	return r > 0;
}

void tn_guest_hello(struct tn_guest_link *l)
{
	struct {
		struct tn_msg msg;
		struct tn_hello hello;
	} m = {
		.msg = { TN_WIRE_MAGIC, TN_MSG_HELLO, 0, sizeof(m), 1, 0, 0 },
		.hello = { 1, 1, TN_FEATURE_SESSION, 0, 0, 0 },
	};

	tn_guest_send(l, &m, sizeof(m), -1, 0);
	turn_until(tn_guest_recv(l) || l->fd < 0);
}

/* F2 */
static void ask_bystander(void)
{
	const struct tn_msg ping = {
		TN_WIRE_MAGIC, TN_MSG_PING, 0, sizeof(ping), 7, 0, 0,
	};

	tn_guest_send(&bystander, &ping, sizeof(ping), -1, 0);
	turn_until(tn_guest_recv(&bystander) || bystander.fd < 0);
	tn_must(bystander.fd >= 0);
}

static void destroy_all(void)
{
	struct {
		struct tn_msg msg;
		struct tn_by_name by_name;
	} m = {
		.msg = { TN_WIRE_MAGIC, TN_MSG_DESTROY, 0, sizeof(m), 9, 0, 0 },
	};

	while (tn_guest_server.registry.n) {
		memcpy(m.by_name.name,
		       tn_guest_server.registry.pools[0]->spec.name,
		       TN_NAME_BYTES);
		tn_guest_send(&bystander, &m, sizeof(m), -1, 0);
		turn_until(tn_guest_recv(&bystander));
	}
}

/* F3, but for the bystander's own. Recovery and punching take their time. */
static bool nothing_is_left(void)
{
	/* it would be in a second anyway */
	event_active(tn_guest_server.lingerers.timer, EV_TIMEOUT, 0);
	for (unsigned i = 0; i < TN_GUEST_PROCESSES; i++)
		for (int k = 0; k < QUOTA_N; k++)
			if (quota_used(&tn_guest_server.quota,
				       tn_guests[i].uid, k))
				return false;
	return !tn_guest_server.registry.n && tn_guest_server.n_sessions == 1 &&
	       tn_guest_server.sessions.next->next ==
	       &tn_guest_server.sessions &&
	       count_fds() == fds_before;
}

void tn_guests_end(void)
{
	tn_guests_turn();
	ask_bystander();
	for (unsigned i = 0; i < TN_GUEST_LINKS; i++) {
		/* what nobody reads would make tarnd wait for a second */
		while (tn_guest_links[i].fd >= 0 &&
		       tn_guest_recv(&tn_guest_links[i]))
			;
		tn_guest_close(&tn_guest_links[i]);
		tn_guest_unmap(&tn_guest_links[i]);
	}
	for (unsigned i = 0; i < TN_GUEST_PROCESSES; i++)
		tn_guest_die(&tn_guests[i]);
	destroy_all();
	turn_until(nothing_is_left());
}

/* Low enough to be reached. */
static void limit(uint64_t limits[QUOTA_N], unsigned pools)
{
	for (int k = 0; k < QUOTA_N; k++)
		limits[k] = QUOTA_UNLIMITED;
	limits[QUOTA_POOLS] = pools;
	limits[QUOTA_BYTES] = (uint64_t)pools << 21;
	limits[QUOTA_CONNECTIONS] = pools + 1;
	limits[QUOTA_ATTACHMENTS] = pools + 2;
	limits[QUOTA_DESCRIPTORS] = 64;
}

static void init(void)
{
	static struct tn_guest root;
	static struct config config = { .compact = COMPACT_RULE_DEFAULT };
	static char *argv[] = { "tarnd", NULL };

	log_init(false);
	snprintf(config.socket, sizeof(config.socket), "/tmp/tarn-fuzz-%d",
		 (int)getpid());
	snprintf(config.pools, sizeof(config.pools), "/nonexistent");
	limit(config.limits.own, 4);
	limit(config.limits.others, 3);
	tn_must(server_init(&tn_guest_server, &config, 1, argv) == 0);
	unlink(config.socket);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	for (unsigned i = 0; i < TN_GUEST_PROCESSES; i++)
		be_born(&tn_guests[i], i < 2 ? 100 : i == 2 ? 101 : 7);
	for (unsigned i = 0; i < TN_GUEST_LINKS; i++)
		tn_guest_links[i].fd = -1;
	be_born(&root, 0);
	tn_guest_connect(&bystander, &root);
	tn_guest_hello(&bystander);
	tn_must(bystander.hello.session);
}

void tn_guests_begin(void)
{
	if (!tn_guest_server.base)
		init();
	fds_before = count_fds();
}
