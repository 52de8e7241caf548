/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_attack.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/tn_raw.h"
#include "tests/lib/tn_test.h"

#define CROWD 240 /* connections of a process */

/* A connection, or -1. */
static int dial(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strcpy(sa.sun_path, path);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int say(int fd, uint16_t op, const void *body, size_t bytes)
{
	struct tn_packet p;

	tn_raw_request(&p, op, 1, body, bytes);
	return tn_packet_send(fd, p.data, p.bytes, NULL, 0);
}

/* The status of the next reply, whose descriptors are in @p; 1: none. */
static int hear(int fd, struct tn_packet *p)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	struct tn_msg msg;

	p->n_fds = 0;
	if (poll(&pfd, 1, 10000) != 1 ||
	    tn_packet_recv(fd, p, TN_MSG_FDS_MAX) <= 0)
		return 1;
	memcpy(&msg, p->data, sizeof(msg));
	return msg.status;
}

static int ask(int fd, uint16_t op, const void *body, size_t bytes)
{
	struct tn_packet p;
	int r = say(fd, op, body, bytes) < 0 ? 1 : hear(fd, &p);

	tn_packet_close(&p);
	return r;
}

static int enter(const char *path)
{
	const struct tn_hello hello = {
		.min_version = 1, .max_version = 1,
		.features = TN_FEATURE_SESSION,
	};
	int fd = dial(path);

	if (fd >= 0 && ask(fd, TN_MSG_HELLO, &hello, sizeof(hello)) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void crowd(const char *path, int fds[CROWD])
{
	for (int i = 0; i < CROWD; i++)
		fds[i] = enter(path);
}

static void name_of(char name[TN_NAME_BYTES], int n, int k)
{
	memset(name, 0, TN_NAME_BYTES);
	snprintf(name, TN_NAME_BYTES, "x%u-%d-%d", (unsigned)getuid(), n, k);
}

static int create(int fd, int n, int k, uint64_t bytes)
{
	struct tn_create c = {
		.bytes = bytes, .kind = TN_KIND_SLAB, .policy = TN_FIRST_FIT,
		.gid = UINT32_MAX,
	};

	name_of(c.name, n, k);
	return ask(fd, TN_MSG_CREATE, &c, sizeof(c));
}

static int destroy(int fd, int n, int k)
{
	struct tn_by_name b;

	name_of(b.name, n, k);
	return ask(fd, TN_MSG_DESTROY, &b, sizeof(b));
}

/* Descriptors into @p. */
static int open_pool(int fd, int n, int k, struct tn_packet *p)
{
	struct tn_open open = { .role = TN_PRODUCER };

	name_of(open.name, n, k);
	if (say(fd, TN_MSG_OPEN, &open, sizeof(open)) < 0)
		return 1;
	return hear(fd, p);
}

static uint32_t attach_of(const struct tn_packet *p)
{
	struct tn_open_reply reply;

	memcpy(&reply, p->data + sizeof(struct tn_msg), sizeof(reply));
	return reply.attach;
}

static void nap(long ms)
{
	const struct timespec ts = { .tv_nsec = ms * 1000000 };

	nanosleep(&ts, NULL);
}

/* attacks */

static void flood(const char *path, int n)
{
	int fds[CROWD];
	struct tn_packet p;

	(void)n;
	crowd(path, fds);
	for (;;)
		for (int i = 0; i < CROWD; i++) {
			while (say(fds[i], TN_MSG_PING, NULL, 0) == 0)
				;
			while (tn_packet_recv(fds[i], &p, 0) > 0)
				;
		}
}

static void never_read(const char *path, int n)
{
	struct tn_by_name all = { .name = "" };
	int fds[CROWD];

	(void)n;
	crowd(path, fds);
	for (;;) {
		for (int i = 0; i < CROWD; i++)
			while (say(fds[i], TN_MSG_LIST, &all, sizeof(all)) == 0)
				;
		nap(1);
	}
}

static void read_slowly(const char *path, int n)
{
	int fds[CROWD];
	char byte;

	(void)n;
	crowd(path, fds);
	for (;;) {
		for (int i = 0; i < CROWD; i++) {
			while (say(fds[i], TN_MSG_PING, NULL, 0) == 0)
				;
			(void)!recv(fds[i], &byte, 1, MSG_DONTWAIT);
		}
		nap(999);
	}
}

static void half_close(const char *path, int n)
{
	int fds[CROWD];

	(void)n;
	memset(fds, -1, sizeof(fds));
	for (int i = 0;; i = (i + 1) % CROWD) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = i % 2 ? dial(path) : enter(path);
		if (fds[i] < 0)
			continue;
		say(fds[i], TN_MSG_PING, NULL, 0);
		shutdown(fds[i], i % 3 ? SHUT_WR : SHUT_RD);
	}
}

static void send_descriptors(const char *path, int n)
{
	int fds[3] = { 0, 0, 0 }, fd = -1;
	struct tn_packet p;

	(void)n;
	for (;;) {
		if (fd < 0)
			fd = enter(path);
		fds[0] = fds[1] = fds[2] = fd; /* a cycle, too */
		tn_raw_request(&p, TN_MSG_PING, 1, NULL, 0);
		if (tn_packet_send(fd, p.data, p.bytes, fds, 3) == 0 ||
		    ask(fd, TN_MSG_PING, NULL, 0)) {
			close(fd);
			fd = -1;
		}
	}
}

static void send_rubbish(const char *path, int n)
{
	uint8_t rubbish[64];

	(void)n;
	memset(rubbish, 0x5a, sizeof(rubbish));
	for (;;) {
		int fd = enter(path);

		if (fd < 0)
			continue;
		tn_raw_send(fd, rubbish, sizeof(rubbish));
		close(fd);
	}
}

static void knock(const char *path, int n)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	(void)n;
	strcpy(sa.sun_path, path);
	for (;;) {
		int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);

		if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
			nap(1); /* the backlog is full */
		close(fd);
	}
}

static void hold_connections(const char *path, int n)
{
	int fds[1000];

	(void)n;
	memset(fds, -1, sizeof(fds));
	for (int i = 0;; i = (i + 1) % 1000) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = dial(path);
	}
}

/* Pools, full of memory, come and go. */
static void churn_pools(const char *path, int n)
{
	const uint64_t bytes = 64 << 20;
	int fd = enter(path);
	struct tn_packet p;
	void *at;

	for (int k = 0;; k++) {
		if (create(fd, n, k, bytes) || open_pool(fd, n, k, &p)) {
			nap(1); /* EDQUOT */
			continue;
		}
		at = mmap(NULL, bytes, PROT_WRITE, MAP_SHARED, p.fds[1], 0);
		if (at != MAP_FAILED) {
			for (uint64_t i = 0; i < bytes; i += 4096)
				((volatile char *)at)[i] = 1;
			munmap(at, bytes);
		}
		destroy(fd, n, k);
		ask(fd, TN_MSG_LEAVE, &(struct tn_leave){
			.attach = attach_of(&p) }, sizeof(struct tn_leave));
		tn_packet_close(&p);
	}
}

static void churn_empty_pools(const char *path, int n)
{
	int fds[CROWD];

	crowd(path, fds);
	for (;;)
		for (int i = 0; i < 32; i++) {
			create(fds[i], n, i, 1ULL << 30);
			destroy(fds[i], n, i);
		}
}

static void reserve_pools(const char *path, int n)
{
	struct tn_create c = {
		.bytes = 256 << 20, .kind = TN_KIND_SLAB,
		.policy = TN_FIRST_FIT, .flags = 1U << 1, .gid = UINT32_MAX,
	};
	int fd = enter(path);

	name_of(c.name, n, 0);
	for (;;) {
		if (ask(fd, TN_MSG_CREATE, &c, sizeof(c)))
			nap(1);
		destroy(fd, n, 0);
	}
}

static void attach_and_leave(const char *path, int n)
{
	struct tn_packet p;
	int fds[CROWD];

	crowd(path, fds);
	create(fds[0], n, 0, 1 << 30);
	for (;;)
		for (int i = 0; i < CROWD; i++) {
			if (open_pool(fds[i], n, 0, &p) == 0)
				say(fds[i], TN_MSG_LEAVE, &(struct tn_leave){
					.attach = attach_of(&p) },
				    sizeof(struct tn_leave));
			tn_packet_close(&p);
			while (tn_packet_recv(fds[i], &p, 0) > 0)
				;
		}
}

/* Every connection has a reply with descriptors lie unread, and goes. */
static void leave_unread(const char *path, int n)
{
	struct tn_open open = { .role = TN_PRODUCER };
	int fds[CROWD], owner = enter(path);

	create(owner, n, 0, 1 << 30);
	name_of(open.name, n, 0);
	memset(fds, -1, sizeof(fds));
	for (int i = 0;; i = (i + 1) % CROWD) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = enter(path);
		say(fds[i], TN_MSG_OPEN, &open, sizeof(open));
		say(fds[i], 0xff, "junk", 4);
		shutdown(fds[i], SHUT_WR);
	}
}

static void be_attached(const char *path, int n)
{
	struct tn_packet p;
	int fd = enter(path);

	open_pool(fd, n, 0, &p);
	for (;;)
		pause();
}

/* Crowds of clients die at once. */
static void die(const char *path, int n)
{
	pid_t pids[60];
	int fd = enter(path);

	create(fd, n, 0, 1 << 30);
	for (;;) {
		for (int i = 0; i < 60; i++) {
			pids[i] = fork();
			if (pids[i] == 0)
				be_attached(path, n);
		}
		nap(50);
		for (int i = 0; i < 60; i++)
			if (pids[i] > 0)
				kill(pids[i], SIGKILL);
		for (int i = 0; i < 60; i++)
			waitpid(pids[i], NULL, 0);
	}
}

/* What it does to files that it was given: flags, offset, locks, holes. */
static void twist(const char *path, int n)
{
	int fd = enter(path), mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	struct tn_packet p;

	create(fd, n, 0, 16 << 20);
	for (;;) {
		if (open_pool(fd, n, 0, &p)) {
			destroy(fd, n, 0);
			create(fd, n, 0, 16 << 20);
			continue;
		}
		for (int i = 0; i < 3; i++) {
			fcntl(p.fds[i], F_SETFL, O_APPEND | O_NONBLOCK);
			lseek(p.fds[i], 12345, SEEK_SET);
			flock(p.fds[i], LOCK_EX | LOCK_NB);
			fallocate(p.fds[i], mode, 0, 1 << 20);
			fcntl(p.fds[i], F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
		}
		ask(fd, TN_MSG_LEAVE, &(struct tn_leave){
			.attach = attach_of(&p) }, sizeof(struct tn_leave));
		tn_packet_close(&p);
	}
}

const struct tn_attack tn_attacks[] = {
	{ "flood", "960 connections send all they can and read", 4, flood },
	{ "never reads", "960 connections send and never read", 4, never_read },
	{ "reads slowly", "960 connections read a byte a second", 4,
	  read_slowly },
	{ "half-closes", "connections shut down one way", 2, half_close },
	{ "descriptors", "every request brings three", 2, send_descriptors },
	{ "rubbish", "connections that send no message", 2, send_rubbish },
	{ "knocks", "connect and close without end", 4, knock },
	{ "holds", "4000 connections held, each for a while", 4,
	  hold_connections },
	{ "pools", "64 MiB pools made, filled and destroyed", 2, churn_pools },
	{ "empty pools", "1 GiB pools made and destroyed", 2,
	  churn_empty_pools },
	{ "reserves", "256 MiB pools reserved and destroyed", 2,
	  reserve_pools },
	{ "attaches", "960 connections attach and leave", 4, attach_and_leave },
	{ "unread", "replies with descriptors never read", 2, leave_unread },
	{ "deaths", "120 clients die at once, again and again", 2, die },
	{ "twists", "flags, offsets, locks and holes of its files", 2, twist },
	{ .name = NULL },
};

static void be(uid_t uid, pid_t parent)
{
	const struct rlimit limit = { 8192, 8192 };

	setsid(); /* with autogroups: a share of the processors of its own */
	setrlimit(RLIMIT_NOFILE, &limit);
	setpriority(PRIO_PROCESS, 0, 5);
	if (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		_exit(126);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* the change of user clears it */
	if (getppid() != parent)
		_exit(125);
	signal(SIGPIPE, SIG_IGN);
}

void tn_attack_begin(struct tn_attack_run *run, const struct tn_attack *attack,
		     const char *socket, uid_t uid)
{
	pid_t parent = getpid();

	run->n = 0;
	fflush(NULL);
	for (int i = 0; i < attack->processes; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			be(uid, parent);
			attack->run(socket, i);
			_exit(0);
		}
		if (pid < 0)
			continue;
		run->pids[run->n++] = pid;
	}
}

void tn_attack_end(struct tn_attack_run *run)
{
	for (int i = 0; i < run->n; i++)
		kill(-run->pids[i], SIGKILL);
	while (run->n)
		waitpid(run->pids[--run->n], NULL, 0);
}
