/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The descriptor store.
 *
 *	put a, put b      FDSTORE=1 FDNAME=a, b             with descriptors
 *	confirm           FDSTORE=1 FDNAME=canary           with a pipe's end
 *	                  BARRIER=1                         with another's
 *	     barrier's pipe hangs up: the manager has looked at all before it
 *	     canary's pipe hangs up:  it did not keep that one; else it had room
 *	                              for it, and so for all before it
 *	                  FDSTOREREMOVE=1 FDNAME=canary
 *
 * The manager says nothing if it has no store, or no room: it closes what it
 * was sent. A barrier tells that it has looked, the canary what became of it.
 *
 *   I1  messages arrive in the order in which they were sent (manager.c), so
 *       a name may be used again as soon as store_drop() was called
 *   I2  one barrier at a time; who asks meanwhile waits for the next one, with
 *       all others who do. And who asks in one turn of the loop asks at once
 *   I3  the manager may take its time: nothing here blocks, but store_init()
 *       and store_sync(), at the start
 *
 *   I4  what a dead tarnd has said was heard before the next one is started;
 *       systemd and tarn-run see to that. Or a connection that it had just
 *       put would be in the store, and nobody would know of it
 *
 * FDPOLL=0: else the manager drops sockets that hang up and pidfds of the
 * dead, which are just what a new tarnd must hear of.
 *
 * Names are short, for all of them together are one string of the next
 * tarnd's environment, LISTEN_FDNAMES, which the kernel limits to 128 KiB
 * (MAX_ARG_STRLEN): t, the ledger's schema, a letter, a number to the base of
 * 62. A test holds 16384 of them against that limit.
 */
#include "daemon/store.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/cleanup.h"
#include "daemon/clock.h"
#include "daemon/ledger.h"
#include "daemon/log.h"

/* A client gives us 5 s; the rest is for all else. */
#define BARRIER_SECONDS 4
#define CANARY 'x'

static const char digits[] =
	"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

void store_name(char ret[STORE_NAME_BYTES], char kind, uint32_t index)
{
	char number[8], *at = number + sizeof(number);

	*--at = '\0';
	do
		*--at = digits[index % 62];
	while (index /= 62);
	snprintf(ret, STORE_NAME_BYTES, "t%u%c%s", LEDGER_MAJOR, kind, at);
}

bool store_parse(const char *name, unsigned *ret_schema, char *ret_kind,
		 uint32_t *ret_index)
{
	char again[STORE_NAME_BYTES], *end;
	uint64_t index = 0;
	const char *d;

	*ret_schema = 0;
	if (name[0] != 't' || name[1] < '1' || name[1] > '9')
		return false;
	*ret_schema = (unsigned)strtoul(name + 1, &end, 10);
	*ret_kind = *end;
	if (!*end)
		return false;
	for (end++; *end && index < UINT32_MAX; end++) {
		d = strchr(digits, *end);
		if (!d)
			return false;
		index = index * 62 + (uint64_t)(d - digits);
	}
	if (*end || index > UINT32_MAX)
		return false;
	*ret_index = (uint32_t)index;
	store_name(again, *ret_kind, *ret_index);
	return !strcmp(name, again);
}

int store_put(struct store *store, const char *name, const int *fds,
	      unsigned n_fds)
{
	struct manager_message m = { .n_fds = 0 };

	if (!store->active)
		return 0;
	tn_assert(n_fds <= MANAGER_FDS_MAX);
	snprintf(m.text, sizeof(m.text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s",
		 name);
	for (unsigned i = 0; i < n_fds; i++)
		if (fds[i] >= 0)
			m.fds[m.n_fds++] = fds[i];
	return manager_say(&store->manager, &m);
}

void store_drop(struct store *store, const char *name)
{
	struct manager_message m = { .n_fds = 0 };
	int r;

	if (!store->active)
		return;
	snprintf(m.text, sizeof(m.text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	r = manager_say(&store->manager, &m);
	if (r < 0)
		log_error("%s stays in the descriptor store: %s", name,
			  strerror(-r));
}

/* barriers */

static int send_barrier(struct store *store, int canary, int barrier)
{
	struct manager_message m = { .text = "BARRIER=1", .n_fds = 1,
			     .fds = { barrier } };
	char name[STORE_NAME_BYTES];
	int r;

	store_name(name, CANARY, 0);
	r = store_put(store, name, &canary, 1);
	return r < 0 ? r : manager_say(&store->manager, &m);
}

static void end_barrier(struct store *store)
{
	if (store->barrier)
		event_del(store->barrier);
	if (store->late)
		evtimer_del(store->late);
	tn_closep(&store->barrier_fd);
	tn_closep(&store->canary_fd);
}

static int begin_barrier(struct store *store)
{
	const struct timeval limit = { .tv_sec = BARRIER_SECONDS };
	tn_cleanup(tn_closep) int canary = -1, barrier = -1;
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return tn_neg_errno();
	store->canary_fd = fds[0];
	canary = fds[1];
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return tn_neg_errno();
	store->barrier_fd = fds[0];
	barrier = fds[1];
	r = send_barrier(store, canary, barrier);
	if (r < 0)
		return r;
	event_assign(store->barrier, event_get_base(store->barrier),
		     store->barrier_fd, EV_READ,
		     event_get_callback(store->barrier), store);
	if (event_add(store->barrier, NULL) < 0 ||
	    evtimer_add(store->late, &limit) < 0)
		return -ENOMEM;
	return 0;
}

/* New ones may come while those are told. */
static void tell(struct tn_list *list, int r)
{
	struct tn_list told = TN_LIST_INIT(told);

	while (!tn_list_empty(list)) {
		struct tn_list *link = list->next;

		tn_list_remove(link);
		tn_list_append(&told, link);
	}
	while (!tn_list_empty(&told)) {
		struct store_wait *wait = tn_list_entry(told.next,
							struct store_wait,
							link);

		tn_list_remove(&wait->link);
		wait->done(wait, r);
	}
}

/* I2 */
static void ask(struct store *store)
{
	int r;

	if (store->barrier_fd >= 0 || tn_list_empty(&store->waiting))
		return;
	while (!tn_list_empty(&store->waiting)) {
		struct tn_list *link = store->waiting.next;

		tn_list_remove(link);
		tn_list_append(&store->asked, link);
	}
	r = begin_barrier(store);
	if (r == 0)
		return;
	end_barrier(store);
	log_error("the descriptor store cannot be asked: %s", strerror(-r));
	tell(&store->asked, r);
}

static bool hung_up(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, 0) > 0 && (pfd.revents & POLLHUP);
}

static void answered(struct store *store, int r)
{
	char name[STORE_NAME_BYTES];

	end_barrier(store);
	store_name(name, CANARY, 0);
	store_drop(store, name);
	tell(&store->asked, r);
	ask(store);
}

static void on_barrier(evutil_socket_t fd, short what, void *arg)
{
	struct store *store = arg;
	bool kept = !hung_up(store->canary_fd);

	(void)fd;
	(void)what;
	answered(store, kept ? 0 : -ENOSPC);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	struct store *store = arg;

	(void)fd;
	(void)what;
	log_error("the service manager has not stored what it was sent %d s "
		  "ago", BARRIER_SECONDS);
	answered(store, -ETIMEDOUT);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	ask(arg);
}

int store_confirm(struct store *store, struct store_wait *wait)
{
	static const struct timeval now = { .tv_sec = 0 };

	if (!store->active)
		return 0;
	if (store->barrier_fd < 0 && evtimer_add(store->turn, &now) < 0)
		return -ENOMEM;
	tn_list_append(&store->waiting, &wait->link);
	return 1;
}

void store_forget(struct store_wait *wait)
{
	tn_list_remove(&wait->link);
}

/* Until the barrier is answered. Return: 0 or -ETIMEDOUT */
static int wait_here(struct store *store, int64_t end)
{
	while (!hung_up(store->barrier_fd)) {
		struct pollfd pfd[2] = {
			{ .fd = store->barrier_fd, .events = POLLIN },
			{ .fd = store->manager.sock, .events = POLLOUT },
		};
		int64_t left = end - clock_ms();
		bool queued = !tn_list_empty(&store->manager.queue);

		if (left <= 0)
			return -ETIMEDOUT;
		poll(pfd, queued ? 2 : 1, (int)left);
		manager_flush(&store->manager);
	}
	return 0;
}

void store_sync(struct store *store)
{
	int64_t end = clock_ms() + BARRIER_SECONDS * 1000;

	while (!tn_list_empty(&store->waiting) ||
	       !tn_list_empty(&store->asked)) {
		ask(store);
		if (store->barrier_fd < 0)
			continue;
		if (wait_here(store, end) < 0)
			on_late(-1, 0, store);
		else
			on_barrier(-1, 0, store);
	}
}

/* life */

struct question {
	struct store_wait wait;
	int answer;
};

static void on_answer(struct store_wait *wait, int r)
{
	tn_list_entry(wait, struct question, wait)->answer = r;
}

static void find_out(struct store *store)
{
	struct question q = { .wait.done = on_answer };

	tn_list_init(&q.wait.link);
	store->active = true;
	store_confirm(store, &q.wait);
	store_sync(store);
	store->active = q.answer == 0;
	if (!store->active)
		log_warning("the service manager keeps no descriptors "
			    "(FileDescriptorStoreMax=): pools will not outlive "
			    "this process");
}

static int make_events(struct store *store, struct event_base *base)
{
	store->barrier = event_new(base, store->manager.sock, EV_READ,
				   on_barrier, store);
	store->late = evtimer_new(base, on_late, store);
	store->turn = evtimer_new(base, on_turn, store);
	return store->barrier && store->late && store->turn ? 0 : -ENOMEM;
}

void store_clear(struct store *store)
{
	*store = (struct store){
		.manager.sock = -1, .barrier_fd = -1, .canary_fd = -1,
	};
	tn_list_init(&store->manager.queue);
	tn_list_init(&store->waiting);
	tn_list_init(&store->asked);
}

int store_init(struct store *store, struct event_base *base, bool known)
{
	int r;

	store_clear(store);
	r = manager_init(&store->manager, base);
	if (r <= 0)
		return r;
	r = make_events(store, base);
	if (r < 0) {
		log_error("NOTIFY_SOCKET: %s", strerror(-r));
		return r;
	}
	if (known)
		store->active = true;
	else
		find_out(store);
	return 0;
}

void store_fini(struct store *store)
{
	struct event *all[] = { store->barrier, store->late, store->turn };

	end_barrier(store);
	for (size_t i = 0; i < TN_ARRAY_LEN(all); i++)
		if (all[i])
			event_free(all[i]);
	store->barrier = store->late = store->turn = NULL;
	store->active = false;
	manager_fini(&store->manager);
}
