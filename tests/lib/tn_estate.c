/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_estate.h"

#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/live.h"
#include "daemon/log.h"
#include "daemon/session.h"
#include "tests/lib/tn_must.h"

#define LOW 3U    /* descriptors from here on are tarnd's ... */
#define OTHERS 128U /* ... up to those of whoever else is in the process */
#define HIGH 256  /* and from here on the test's */
#define KEPT_MAX 128

/* What the linker puts in the place of the daemon's. */
int __wrap_sd_listen_fds_with_names(int unset, char ***ret_names);
void __wrap_log_line(int level, const struct log_about *about,
		     const char *fmt, ...);
void __wrap_log_peer(const struct log_about *about, const char *fmt, ...);

struct tn_estate tn_estate;

static struct tn_stored kept[KEPT_MAX];
static unsigned n_kept;
static int dead_pidfd;
static pid_t dead_pid;
static void *live_pages[TN_ESTATE_SESSIONS];
static int others[OTHERS]; /* what was open before; -1: not */

void __wrap_log_line(int level, const struct log_about *about,
		     const char *fmt, ...)
{
	static int loud = -1;
	char line[512];
	va_list ap;

	(void)about;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	tn_estate.n_errors += level <= LOG_ERR;
	if (strstr(line, "nothing was touched"))
		tn_estate.untouched = true;
	if (loud < 0)
		loud = getenv("TARN_FUZZ_LOG") != NULL;
	if (loud)
		fprintf(stderr, "<%d> %s\n", level, line);
}

void __wrap_log_peer(const struct log_about *about, const char *fmt, ...)
{
	(void)about;
	(void)fmt;
}

int tn_estate_high(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH);

	tn_must(high >= 0);
	close(fd);
	return high;
}

/* Nobody else comes to lie where tarnd's will (a sanitizer that looks up a
 * symbol keeps a pipe); and who has been there finds it all again. */
static void reserve(void)
{
	int fd = tn_estate_high(open("/dev/null", O_RDONLY | O_CLOEXEC));

	for (unsigned low = LOW; low < OTHERS; low++)
		tn_must(dup3(others[low] >= 0 ? others[low] : fd, (int)low,
			     O_CLOEXEC) == (int)low);
	close(fd);
}

static void make_way(void)
{
	syscall(SYS_close_range, LOW, OTHERS - 1, 0U);
}

void tn_estate_put(const char *name, int fd)
{
	tn_manager_put(&tn_estate.m, name, tn_estate_high(fd));
}

static void put_copy(char kind, uint32_t index, int fd)
{
	char name[STORE_NAME_BYTES];

	store_name(name, kind, index);
	fd = dup(fd);
	tn_must(fd >= 0);
	tn_estate_put(name, fd);
}

static void at_exit(void)
{
	tn_manager_fini(&tn_estate.m);
}

void tn_estate_init(void)
{
	for (unsigned low = LOW; low < OTHERS; low++)
		others[low] = fcntl((int)low, F_DUPFD_CLOEXEC, HIGH);
	make_way();
	dead_pid = fork();
	if (dead_pid == 0)
		_exit(0);
	dead_pidfd = (int)syscall(SYS_pidfd_open, dead_pid, 0);
	tn_must(dead_pidfd >= 0);
	dead_pidfd = tn_estate_high(dead_pidfd);
	waitpid(dead_pid, NULL, 0);
	tn_manager_init(&tn_estate.m, KEPT_MAX);
	tn_estate.m.notify_fd = tn_estate_high(tn_estate.m.notify_fd);
	tn_estate.m.listen_fd = tn_estate_high(tn_estate.m.listen_fd);
	setenv("NOTIFY_SOCKET", tn_estate.m.notify, 1);
	tn_manager_run(&tn_estate.m);
	atexit(at_exit);
	reserve();
}

/* making it */

struct maker {
	const struct tn_estate_plan *plan;
	struct server server; /* of which sessions know */
	struct quota quota;
	struct pool *pools[TN_ESTATE_POOLS];
	struct session sessions[TN_ESTATE_SESSIONS];
};

static void make_pool(struct maker *mk, unsigned i)
{
	struct pool_spec spec = {
		.bytes = 1 << 20, .policy = TN_FIRST_FIT,
		.kind = mk->plan->buddy & 1U << i ? TN_KIND_BUDDY :
						    TN_KIND_SLAB,
		.access = { .uid = getuid(), .gid = getgid(), .mode = 0660 },
	};
	struct pool *pool;

	snprintf(spec.name, sizeof(spec.name), "p%u", i);
	tn_must(pool_new(&pool, &spec, 100 + i, &mk->quota, true) == 0);
	tn_must(keeper_pool(&mk->server.keeper, pool) == 0);
	keeper_pool_there(pool);
	put_copy(KEEPER_POOL, pool->kept.index, pool->meta.fd);
	put_copy(KEEPER_POOL, pool->kept.index, pool->data.fd);
	put_copy(KEEPER_POOL, pool->kept.index, pool->self.fd);
	mk->pools[i] = pool;
}

static void make_live(struct session *s, unsigned i, bool mapped)
{
	tn_must(live_init(&s->live) == 0);
	if (!mapped)
		return;
	live_pages[i] = mmap(NULL, TN_PAGE_BYTES, PROT_READ | PROT_WRITE,
			     MAP_SHARED, s->live.fd, 0);
	tn_must(live_pages[i] != MAP_FAILED);
}

static void make_connection(struct session *s, unsigned i)
{
	int fds[2];

	tn_must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC |
			   SOCK_NONBLOCK, 0, fds) == 0);
	s->fd = fds[0];
	tn_estate.clients[i] = tn_estate_high(fds[1]);
}

static void put_session(struct session *s)
{
	put_copy(KEEPER_SESSION, s->kept.index, s->peer.pidfd);
	if (s->live.fd >= 0)
		put_copy(KEEPER_SESSION, s->kept.index, s->live.fd);
	if (s->fd >= 0)
		put_copy(KEEPER_CONNECTION, s->kept_connection.index, s->fd);
}

static void make_session(struct maker *mk, unsigned i)
{
	const struct tn_estate_plan *plan = mk->plan;
	struct session *s = &mk->sessions[i];
	bool dead = plan->dead & 1U << i;

	*s = (struct session){
		.server = &mk->server, .fd = -1, .live = BACKING_NONE,
		.peer = {
			.pid = dead ? dead_pid : getpid(),
			.uid = getuid(), .gid = getgid(),
			.pidfd = dead ? dup(dead_pidfd) :
				 (int)syscall(SYS_pidfd_open, getpid(), 0),
		},
	};
	tn_list_init(&s->attachments);
	if (!(plan->plain & 1U << i)) {
		s->id = ++mk->server.last_session;
		s->secret = 7000 + i;
		make_live(s, i, plan->mapped & 1U << i);
	}
	if (!(plan->unconnected & 1U << i))
		make_connection(s, i);
	tn_must(keeper_session(&mk->server.keeper, s) == 0);
	keeper_session_there(s, 1);
	put_session(s);
	if (s->fd < 0)
		tn64_store_relaxed(&ledger_session(
			&mk->server.keeper.ledger, s->kept.index)->connection,
			0);
}

static void make_attachment(struct maker *mk, unsigned i)
{
	struct pool *pool = mk->pools[i % mk->plan->n_pools];
	struct session *s = &mk->sessions[i % mk->plan->n_sessions];
	struct attachment *a;
	int fds[3];

	tn_must(attachment_new(&a, pool, &s->peer, &mk->quota,
			       TN_PRODUCER + i % 3, fds) == 0);
	for (int k = 0; k < 3; k++)
		close(fds[k]);
	a->number = ++s->last_number;
	tn_must(keeper_attachment(s, a) == 0);
	keeper_attachment_there(s, a);
	put_copy(KEEPER_ATTACHMENT, a->kept.index, a->control.fd);
	a->kept = (struct kept){ 0 };
	attachment_free(a);
}

/* The maker goes; what it has made stays as it is. */
static void forget(struct maker *mk)
{
	for (unsigned i = 0; i < mk->plan->n_sessions; i++) {
		struct session *s = &mk->sessions[i];

		tn_closep(&s->fd);
		backing_fini(&s->live);
		peer_fini(&s->peer);
	}
	for (unsigned i = 0; i < mk->plan->n_pools; i++) {
		mk->pools[i]->kept = (struct kept){ 0 };
		pool_unref(mk->pools[i]);
	}
	quota_fini(&mk->quota);
}

void tn_estate_make(const struct tn_estate_plan *plan)
{
	static struct quota_limits limits;
	static struct maker mk;

	for (int k = 0; k < QUOTA_N; k++)
		limits.own[k] = limits.others[k] = QUOTA_UNLIMITED;
	make_way();
	mk = (struct maker){ .plan = plan };
	quota_init(&mk.quota, &limits);
	keeper_clear(&mk.server.keeper);
	tn_must(ledger_new(&mk.server.keeper.ledger) == 0);
	for (unsigned i = 0; i < TN_ESTATE_SESSIONS; i++)
		tn_estate.clients[i] = -1;
	for (unsigned i = 0; i < plan->n_pools; i++)
		make_pool(&mk, i);
	for (unsigned i = 0; i < plan->n_sessions; i++)
		make_session(&mk, i);
	if (plan->n_pools && plan->n_sessions)
		for (unsigned i = 0; i < plan->n_attachments; i++)
			make_attachment(&mk, i);
	forget(&mk);
	tn_estate.ledger = mk.server.keeper.ledger;
	put_copy(KEEPER_LEDGER, 0, tn_estate.ledger.file.fd);
	tn_estate.ledger.file.fd = tn_estate_high(tn_estate.ledger.file.fd);
}

void tn_estate_drop(void)
{
	pthread_mutex_lock(&tn_estate.m.lock);
	while (tn_estate.m.n_stored)
		tn_manager_drop(&tn_estate.m,
				&tn_estate.m.stored[tn_estate.m.n_stored - 1]);
	pthread_mutex_unlock(&tn_estate.m.lock);
	ledger_fini(&tn_estate.ledger);
	for (unsigned i = 0; i < TN_ESTATE_SESSIONS; i++) {
		tn_closep(&tn_estate.clients[i]);
		if (live_pages[i])
			munmap(live_pages[i], TN_PAGE_BYTES);
		live_pages[i] = NULL;
	}
	reserve();
}

void tn_estate_sum(enum ledger_table table, uint32_t index)
{
	unsigned state = ledger_state(&tn_estate.ledger, table, index);

	if (state & LEDGER_THERE)
		ledger_commit(&tn_estate.ledger, table, index, state);
}

/* a tarnd */

/* As systemd does: sockets first, then the store, the last one in first. */
int __wrap_sd_listen_fds_with_names(int unset, char ***ret_names)
{
	const struct tn_manager *m = &tn_estate.m;
	unsigned n = m->n_stored + 1;
	char **names = calloc(n + 1, sizeof(*names));

	(void)unset;
	tn_must(names);
	for (unsigned i = 0; i < n; i++)
		names[i] = strdup(i ? m->stored[n - 1 - i].name :
				      "tarnd.socket");
	*ret_names = names;
	return (int)n;
}

static void pass_fds(void)
{
	struct tn_manager *m = &tn_estate.m;
	unsigned n = m->n_stored + 1;

	for (unsigned i = 0; i < m->n_stored; i++)
		if (m->stored[i].fd < HIGH)
			m->stored[i].fd = tn_estate_high(m->stored[i].fd);
	for (unsigned i = 0; i < n; i++) {
		int fd = i ? m->stored[n - 1 - i].fd : m->listen_fd;
		int low = (int)(LOW + i);

		tn_must(fcntl(low, F_GETFD) < 0);
		tn_must(dup3(fd, low, O_CLOEXEC) == low);
	}
}

/* All that was said so far is done. */
static void be_heard(void)
{
	struct tn_manager *m = &tn_estate.m;
	int bytes = 1;

	while (tn_estate.server.keeper.store.active &&
	       !tn_list_empty(&tn_estate.server.keeper.store.manager.queue))
		tn_estate_turn();
	while (ioctl(m->notify_fd, FIONREAD, &bytes) == 0 && bytes)
		usleep(20);
	/* what was read is done under it */
	pthread_mutex_lock(&m->lock);
	pthread_mutex_unlock(&m->lock);
}

int tn_estate_adopt(void)
{
	static char *argv[] = { "tarnd", NULL };
	static struct config config = { .compact = COMPACT_RULE_DEFAULT };
	int r;

	snprintf(config.pools, sizeof(config.pools), "/nonexistent");
	for (int k = 0; k < QUOTA_N; k++)
		config.limits.own[k] = config.limits.others[k] =
			QUOTA_UNLIMITED;
	tn_estate.n_errors = 0;
	tn_estate.untouched = false;
	pass_fds();
	r = server_init(&tn_estate.server, &config, 1, argv);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	be_heard();
	return r;
}

void tn_estate_turn(void)
{
	event_base_loop(tn_estate.server.base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
}

/* Pools, the references to them, and how many of these names and clients have.
 */
struct sum {
	uint64_t pools, refs, due;
	bool ending;
};

static void add_pool(const struct pool *pool, struct sum *sum)
{
	sum->pools++;
	sum->refs += pool->refs;
}

static void add_clients(const struct session *s, struct sum *sum)
{
	tn_list_for_each(link, &s->attachments) {
		struct attachment *a = tn_list_entry(link, struct attachment,
						     link);

		sum->ending = sum->ending || a->ending;
		sum->due++;
		/* of those without a name the first client stands for it */
		if (a->pool->unlinked &&
		    a->pool->attachments.next == &a->of_pool)
			add_pool(a->pool, sum);
	}
}

/* Nobody but names and clients that stay refers to a pool. */
static bool is_settled(void)
{
	const struct server *server = &tn_estate.server;
	const struct registry *registry = &server->registry;
	struct sum sum = { .due = registry->n };

	for (size_t i = 0; i < registry->n; i++)
		add_pool(registry->pools[i], &sum);
	tn_list_for_each(link, &server->sessions)
		add_clients(tn_list_entry(link, struct session, link), &sum);
	return !sum.ending && sum.refs == sum.due &&
	       server->quota.used[QUOTA_POOLS] == sum.pools;
}

bool tn_estate_settle(int ms)
{
	int64_t end = tn_test_now_ms() + ms;

	while (tn_estate_turn(), !is_settled())
		if (tn_test_now_ms() > end)
			return false;
	return true;
}

static int copy_ledger(int from)
{
	struct backing b;
	off_t at = 0, hole;

	tn_must(backing_init(&b, "tarn:ledger", LEDGER_BYTES,
			     PROT_READ | PROT_WRITE) == 0);
	while ((at = lseek(from, at, SEEK_DATA)) >= 0) {
		hole = lseek(from, at, SEEK_HOLE);
		tn_must(pread(from, (uint8_t *)b.map + at,
			      (size_t)(hole - at), at) == hole - at);
		at = hole;
	}
	munmap(b.map, b.bytes);
	return b.fd;
}

void tn_estate_keep(void)
{
	struct tn_manager *m = &tn_estate.m;

	be_heard();
	pthread_mutex_lock(&m->lock);
	for (n_kept = 0; n_kept < m->n_stored; n_kept++) {
		const struct tn_stored *s = &m->stored[n_kept];
		int fd = strcmp(s->name, "t1l0") ? dup(s->fd) :
						   copy_ledger(s->fd);

		tn_must(fd >= 0);
		kept[n_kept] = *s;
		kept[n_kept].fd = tn_estate_high(fd);
	}
	pthread_mutex_unlock(&m->lock);
}

void tn_estate_end(void)
{
	struct tn_manager *m = &tn_estate.m;

	be_heard();
	tn_estate.server.keeper.store.active = false;
	server_fini(&tn_estate.server);
	if (!n_kept)
		return;
	pthread_mutex_lock(&m->lock);
	while (m->n_stored)
		tn_manager_drop(m, &m->stored[m->n_stored - 1]);
	for (unsigned i = 0; i < n_kept; i++)
		tn_manager_put(m, kept[i].name, kept[i].fd);
	n_kept = 0;
	pthread_mutex_unlock(&m->lock);
}
