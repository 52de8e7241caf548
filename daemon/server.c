/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server: one libevent loop.
 *
 *	listener   accept, a few at a time   -> birth_accept()
 *	SIGTERM, SIGINT                         leave the loop
 *	SIGHUP     configuration again
 *	reaper's eventfd                     -> reaper_dispatch()
 *	timers     watchdog; status line; listening again; housekeeping
 *	sessions   what is due for them, in turn  -> session_turn()
 *
 * Start is all or nothing (declared.c for the pools in files): everything is
 * there before the first client is accepted.
 *
 * When descriptors run out, accept() fails for a connection that stays in the
 * backlog, so the listener would be ready for ever. It pauses instead.
 *
 * The watchdog is fed from this loop, if the reaper gets on with its slices.
 */
#include "daemon/server.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "daemon/adopt.h"
#include "daemon/birth.h"
#include "daemon/clock.h"
#include "daemon/declared.h"
#include "daemon/listener.h"
#include "daemon/log.h"
#include "daemon/memory.h"
#include "daemon/session.h"
#include "daemon/systemd.h"

#define ACCEPT_NS 50000    /* a user's quantum (fair.c): some two of them */
#define OWN_FDS 24         /* std*, epoll, listener, eventfds, signals ... */
static const struct timeval accept_pause = { .tv_usec = 100000 };
static const struct timeval status_pause = { .tv_sec = 1 };

static unsigned n_pools(const struct server *server)
{
	return (unsigned)server->registry.n;
}

/* ", N declared pools missing", or nothing */
static const char *missing(const struct server *server, char text[64])
{
	text[0] = '\0';
	if (server->n_missing)
		snprintf(text, 64, ", %u declared pool%s missing",
			 server->n_missing, server->n_missing > 1 ? "s" : "");
	return text;
}

static void tell(const struct server *server, void (*how)(const char *))
{
	char text[128], more[64];

	snprintf(text, sizeof(text), "%u pools, %u clients%s", n_pools(server),
		 server->n_sessions, missing(server, more));
	how(text);
}

/* Without a timer it goes on at once, in vain and ready again, but not deaf. */
static void pause_listener(struct server *server)
{
	log_warning("no client is accepted for a moment: %s", strerror(errno));
	if (evtimer_add(server->accept_again, &accept_pause) == 0)
		event_del(server->accept);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct server *server = arg;
	int64_t began = clock_ns();

	(void)what;
	do {
		int client = accept4(fd, NULL, NULL,
				     SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (client >= 0) {
			birth_accept(server, client);
		} else if (errno == EMFILE || errno == ENFILE ||
			   errno == ENOBUFS || errno == ENOMEM) {
			pause_listener(server);
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			return; /* EAGAIN: that was all */
		}
	} while (clock_ns() - began < ACCEPT_NS);
}

static void on_accept_again(evutil_socket_t fd, short what, void *arg)
{
	struct server *server = arg;

	(void)fd;
	(void)what;
	/* the timer has just been, so there is room for it */
	if (event_add(server->accept, NULL) < 0)
		evtimer_add(server->accept_again, &accept_pause);
}

static void on_reaped(evutil_socket_t fd, short what, void *arg)
{
	struct server *server = arg;

	(void)fd;
	(void)what;
	reaper_dispatch(server->reaper);
}

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	struct server *server = arg;

	(void)fd;
	(void)what;
	if (reaper_healthy(server->reaper))
		systemd_watchdog();
	else
		log_error("recovery does not get on; the watchdog starves");
}

static void on_status(evutil_socket_t fd, short what, void *arg)
{
	struct server *server = arg;

	(void)fd;
	(void)what;
	tell(server, systemd_status);
}

void server_changed(struct server *server)
{
	if (server->status && !evtimer_pending(server->status, NULL))
		evtimer_add(server->status, &status_pause);
}

/* signals */

static void on_hangup(evutil_socket_t fd, short what, void *arg)
{
	struct server *server = arg;
	int r;

	(void)fd;
	(void)what;
	systemd_reloading();
	r = declared_reload(server);
	if (r)
		log_error("not reloaded; all goes on as it was");
	else
		log_info("reloaded: %u pools", n_pools(server));
	if (!r)
		housekeeper_look_soon(&server->housekeeper);
	tell(server, systemd_ready);
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
	struct server *server = arg;

	(void)fd;
	(void)what;
	event_base_loopbreak(server->base);
}

/* life */

static int add_signals(struct server *server)
{
	static const struct {
		int signal;
		event_callback_fn fn;
	} table[SERVER_SIGNALS] = {
		{ SIGTERM, on_end }, { SIGINT, on_end }, { SIGHUP, on_hangup },
	};

	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < SERVER_SIGNALS; i++) {
		struct event *e = evsignal_new(server->base, table[i].signal,
					       table[i].fn, server);

		server->signals[i] = e;
		if (!e || event_add(e, NULL) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int add_watchdog(struct server *server)
{
	uint64_t usec = systemd_watchdog_usec();
	const struct timeval period = {
		.tv_sec = (time_t)(usec / 1000000),
		.tv_usec = (suseconds_t)(usec % 1000000),
	};

	if (!usec)
		return 0;
	server->watchdog = event_new(server->base, -1, EV_PERSIST, on_watchdog,
				     server);
	if (!server->watchdog || evtimer_add(server->watchdog, &period) < 0)
		return -ENOMEM;
	return 0;
}

static int add_events(struct server *server)
{
	struct event_base *base = server->base;

	server->accept = event_new(base, server->listen_fd,
				   EV_READ | EV_PERSIST, on_accept, server);
	server->accept_again = evtimer_new(base, on_accept_again, server);
	server->reaped = event_new(base, reaper_fd(server->reaper),
				   EV_READ | EV_PERSIST, on_reaped, server);
	if (!server->accept || !server->accept_again || !server->reaped ||
	    event_add(server->accept, NULL) < 0 ||
	    event_add(server->reaped, NULL) < 0)
		return -ENOMEM;
	if (systemd_present()) {
		server->status = evtimer_new(base, on_status, server);
		if (!server->status)
			return -ENOMEM;
	}
	return add_watchdog(server);
}

/* What was passed in, or else one of our own. */
static int open_listener(struct server *server, int passed_in)
{
	int r = passed_in;

	if (r < 0) {
		r = listener_open(server->config.socket, server->config.user);
		server->own_socket = r >= 0;
	}
	if (r < 0)
		return r;
	server->listen_fd = r;
	listener_refuse_rights(server->listen_fd);
	return 0;
}

/* Before anything is made that others could see. */
static int make_loop(struct server *server)
{
	int r = reaper_new(&server->reaper);

	if (r < 0)
		return r;
	server->registry.reaper = server->reaper;
	server->base = event_base_new();
	if (!server->base)
		return -ENOMEM;
	r = turns_init(&server->turns, server->base);
	if (r == 0)
		r = lingerers_init(&server->lingerers, server->base);
	if (r == 0)
		r = housekeeper_init(&server->housekeeper, server);
	return r < 0 ? r : add_signals(server);
}

/* Nine tenths, so that what is forgotten here does not hurt. */
static uint64_t descriptors(void)
{
	struct rlimit limit;
	uint64_t n;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	n = limit.rlim_cur - limit.rlim_cur / 10;
	return n > OWN_FDS ? n - OWN_FDS : 0;
}

/* All that there was, and all that is declared, before the first client. */
static int make_pools(struct server *server, struct inheritance *in)
{
	int r = adopt(server, in);

	if (r < 0)
		return r;
	r = declared_make(server);
	store_sync(&server->keeper.store);
	return r;
}

static int start(struct server *server)
{
	struct inheritance in;
	int r = systemd_inherit(&in);

	if (r == 0)
		r = make_pools(server, &in);
	if (r == 0)
		r = open_listener(server, in.listener);
	systemd_disinherit(&in);
	if (r < 0)
		return r;
	r = add_events(server);
	if (r < 0)
		log_error("cannot start: %s", strerror(-r));
	return r;
}

int server_init(struct server *server, const struct config *config, int argc,
		char *argv[])
{
	int r;

	*server = (struct server){
		.config = *config, .argc = argc, .argv = argv, .listen_fd = -1,
	};
	keeper_clear(&server->keeper);
	tn_list_init(&server->sessions);
	registry_init(&server->registry, &server->keeper);
	server->registry.lost = declared_lost;
	tn_list_init(&server->lingerers.list);
	quota_init(&server->quota, &config->limits);
	server->quota.capacity[QUOTA_DESCRIPTORS] = descriptors();
	server->quota.capacity[QUOTA_RESERVED] = memory_total();
	r = make_loop(server);
	if (r < 0) {
		log_error("cannot start: %s", strerror(-r));
		return r;
	}
	return start(server);
}

static void free_event(struct event **event)
{
	if (*event)
		event_free(*event);
	*event = NULL;
}

static void free_events(struct server *server)
{
	struct event **all[] = {
		&server->accept, &server->accept_again, &server->reaped,
		&server->watchdog, &server->status,
	};

	for (size_t i = 0; i < TN_ARRAY_LEN(all); i++)
		free_event(all[i]);
	for (int i = 0; i < SERVER_SIGNALS; i++)
		free_event(&server->signals[i]);
	turns_fini(&server->turns);
	lingerers_fini(&server->lingerers);
	housekeeper_fini(&server->housekeeper);
	if (server->base)
		event_base_free(server->base);
	server->base = NULL;
}

/*
 * The next tarnd goes on with all of it, so nothing is ended here: it is as
 * if we had been killed, but for a slice of recovery that was completed. If
 * there will be no next one, the manager closes what it holds, and clients
 * find the other end of their connections gone, as at any end of tarnd.
 */
static void leave_all(struct server *server)
{
	log_info("%u pools and %u clients stay for the next tarnd",
		 n_pools(server), server->n_sessions);
}

void server_fini(struct server *server)
{
	/* first the thread, for it looks at the pools */
	server->registry.reaper = NULL;
	reaper_free(server->reaper);
	server->reaper = NULL;
	if (keeper_keeps(&server->keeper)) {
		leave_all(server);
		return;
	}
	if (server->own_socket)
		unlink(server->config.socket);
	tn_closep(&server->listen_fd);
	free_event(&server->status); /* nothing is to change it any more */
	tn_list_for_each(link, &server->sessions)
		session_free(tn_list_entry(link, struct session, link));
	registry_fini(&server->registry);
	keeper_fini(&server->keeper);
	free_events(server);
	quota_fini(&server->quota);
}

int server_run(struct server *server)
{
	char more[64];
	int r;

	log_info("ready: %u pools%s", n_pools(server), missing(server, more));
	tell(server, systemd_ready);
	r = event_base_dispatch(server->base);
	systemd_stopping();
	if (r < 0)
		log_error("the event loop ended");
	return r < 0 ? -EIO : 0;
}
