/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A new tarnd takes over what an earlier one left.
 *
 *	look      the ledger: whole, of a version that we know, and its records
 *	          fit together. If not: refuse, and touch nothing
 *	pools     each with its three files; then first of all tarnd itself is
 *	          recovered in it, for the lane in which it made its own steps
 *	          may have something under way
 *	sessions  each with its pidfd, live file, connection
 *	clients   each with its control file; those that were being recovered
 *	          are recovered again, from the start
 *	slots     in each pool they are set to what the ledger says
 *	notes     which request had been carried out, and may not be answered
 *	drop      what is left over in the store
 *
 * It may be killed anywhere: what it changes it would change to the same the
 * next time, and leftovers that were dropped are not missed.
 *
 * The store is input, too. A descriptor is what its name says only if its
 * type, size, seals, mode and the memfd's own name say so as well. What is
 * missing is told loudly, and costs what depends on it, no more:
 *
 *	a pool's file         the pool; its clients keep what they have mapped
 *	a control file        its pool is poisoned: nobody can tell any more
 *	                      what that client had under way
 *	a pidfd               is made from the number; without one (0: another
 *	                      pid namespace) nobody can tell whether the process
 *	                      lives, and its pools are poisoned
 *	a connection          is lost, as any connection may be
 *
 * Who died meanwhile needs no care: its pidfd is readable, and the loop will
 * see to it in its first turn.
 */
#include "daemon/adopt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "daemon/birth.h"
#include "daemon/clock.h"
#include "daemon/connection.h"
#include "daemon/live.h"
#include "daemon/log.h"
#include "daemon/note.h"
#include "daemon/session.h"

struct adoption {
	struct server *server;
	struct inheritance *in;
	struct ledger *ledger;
	struct pool **pools;       /* by index of the record; NULL: none */
	struct session **sessions; /* likewise */
	unsigned n_pools, n_sessions, n_clients, n_dead, n_dropped;
	uint64_t n_times;
};

/* pools */

/* Which of the three is it? All of them, or not this pool. */
static bool find_files(struct inheritance *in, uint32_t index,
		       const struct pool_spec *spec, struct inherited *ret[3])
{
	struct tn_geo geo;

	if (tn_geo_init(&geo, spec->bytes) < 0)
		return false;
	inherit_for_each(i, in, KEEPER_POOL, index) {
		int which = pool_file_of(spec, &geo, i->fd);

		if (which >= 0 && !ret[which])
			ret[which] = i;
	}
	return ret[0] && ret[1] && ret[2];
}

static void set_state(struct pool *pool, struct adoption *ad, uint32_t index)
{
	unsigned state = ledger_state(ad->ledger, LEDGER_POOLS, index);

	pool->kept = (struct kept){ &ad->server->keeper, index, true };
	slots_init(&pool->slots, ledger_slots(ad->ledger, index));
	pool->unlinked = state & LEDGER_UNLINKED;
	/* one that its own header spoils is poisoned already */
	if (state & LEDGER_POISONED || pool->poisoned)
		pool_poison(pool);
}

static int adopt_pool(struct adoption *ad, uint32_t index)
{
	const struct ledger_pool *record = ledger_pool(ad->ledger, index);
	const struct pool_spec spec = keeper_spec(record);
	const struct log_about about = { .pool = spec.name };
	struct inherited *files[3] = { NULL };
	struct pool *pool;
	int r;

	if (!find_files(ad->in, index, &spec, files)) {
		log_line(LOG_ERR, &about, "is lost: the descriptor store has "
			 "not all of its files");
		ledger_give(ad->ledger, LEDGER_POOLS, index);
		return 0;
	}
	r = pool_restore(&pool, &spec, record->mark, &ad->server->quota,
			 (int[]){ files[0]->fd, files[1]->fd, files[2]->fd });
	if (r < 0)
		return r;
	for (int i = 0; i < 3; i++)
		files[i]->fd = -1;
	set_state(pool, ad, index);
	ad->pools[index] = pool;
	ad->n_pools++;
	pool_restore_self(pool, ad->server->reaper);
	pool->registry = &ad->server->registry;
	if (pool->unlinked)
		return 0;
	return registry_restore(&ad->server->registry, pool);
}

static int adopt_pools(struct adoption *ad)
{
	int r = 0;

	for (uint32_t i = 0; i < ledger_n(ad->ledger, LEDGER_POOLS); i++)
		if (r == 0 && ledger_state(ad->ledger, LEDGER_POOLS, i))
			r = adopt_pool(ad, i);
	return r;
}

/* A pool without a name was held by its clients alone. */
static void settle_pool(struct pool *pool)
{
	for (unsigned slot = 0; slot < TN_DAEMON_SLOT; slot++)
		if (!slots_is_used(&pool->slots, slot))
			tn64_store_relaxed(&pool->view.clients[slot].state, 0);
	if (pool->unlinked)
		pool_unref(pool);
}

/* sessions */

struct session_fds {
	struct inherited *sock, *pidfd, *live;
};

static int fd_of(const struct inherited *i)
{
	return i ? i->fd : -1;
}

static void taken(struct inherited *i)
{
	if (i)
		i->fd = -1;
}

static void find_session_fds(struct adoption *ad, uint32_t index,
			     struct session_fds *ret)
{
	const struct ledger_session *record = ledger_session(ad->ledger,
							     index);
	uint64_t connection = tn64_load_relaxed(&record->connection);
	const struct peer peer = {
		.pid = (pid_t)record->pid, .uid = record->uid,
		.gid = record->gid,
	};

	*ret = (struct session_fds){ .sock = NULL };
	inherit_for_each(i, ad->in, KEEPER_SESSION, index) {
		if (!ret->pidfd && peer_is_pidfd(&peer, i->fd))
			ret->pidfd = i;
		else if (!ret->live && record->id && live_check(i->fd))
			ret->live = i;
	}
	if (!connection)
		return;
	inherit_for_each(i, ad->in, KEEPER_CONNECTION, (uint32_t)connection - 1)
		if (!ret->sock && connection_check(i->fd) &&
		    peer_has_made(&peer, i->fd))
			ret->sock = i;
}

static void complain_of_lost(const struct session_fds *fds,
			     const struct ledger_session *record)
{
	const struct log_about about = {
		.has_peer = true, .pid = (pid_t)record->pid,
		.uid = record->uid,
	};

	if (!fds->pidfd)
		log_line(LOG_ERR, &about, "its pidfd was not in the store");
	if (record->id && !fds->live)
		log_line(LOG_ERR, &about, "its live file was not in the store");
	if (tn64_load_relaxed(&record->connection) && !fds->sock)
		log_line(LOG_ERR, &about, "its connection was not in the "
			 "store");
}

static void keep_connection(struct adoption *ad, struct session *s,
			    const struct ledger_session *record)
{
	uint64_t number = tn64_load_relaxed(&record->connection);

	if (s->fd < 0)
		return;
	ledger_reserve(ad->ledger, LEDGER_CONNECTIONS, (uint32_t)number - 1);
	s->kept_connection = (struct kept){
		&ad->server->keeper, (uint32_t)number - 1, true,
	};
}

static int adopt_session(struct adoption *ad, uint32_t index)
{
	const struct ledger_session *record = ledger_session(ad->ledger,
							     index);
	struct session_fds fds;
	struct session *s;
	int r;

	find_session_fds(ad, index, &fds);
	complain_of_lost(&fds, record);
	r = birth_restore(&s, ad->server, index, fd_of(fds.sock),
			  fd_of(fds.pidfd), fd_of(fds.live));
	if (r < 0)
		return r;
	taken(fds.sock);
	taken(fds.pidfd);
	taken(fds.live);
	keep_connection(ad, s, record);
	ad->sessions[index] = s;
	ad->n_sessions++;
	ad->n_dead += peer_is_dead(&s->peer);
	return 0;
}

static int adopt_sessions(struct adoption *ad)
{
	int r = 0;

	for (uint32_t i = 0; i < ledger_n(ad->ledger, LEDGER_SESSIONS); i++)
		if (r == 0 && ledger_state(ad->ledger, LEDGER_SESSIONS, i))
			r = adopt_session(ad, i);
	return r;
}

/* clients */

static struct inherited *find_control(struct adoption *ad, uint32_t index,
				      const struct pool *pool, uint32_t client)
{
	inherit_for_each(i, ad->in, KEEPER_ATTACHMENT, index)
		if (attachment_control_ok(pool, client, i->fd))
			return i;
	return NULL;
}

static void lose_client(struct adoption *ad, uint32_t index, struct pool *pool)
{
	const struct ledger_attachment *record =
		ledger_attachment(ad->ledger, index);
	const struct log_about about = {
		.pool = pool ? pool->spec.name : NULL,
		.client = record->client,
	};

	if (pool) {
		log_line(LOG_ERR, &about, "poisoned: the control file of "
			 "client %u was not in the store",
			 (unsigned)record->client);
		pool_poison(pool);
	}
	ledger_give(ad->ledger, LEDGER_ATTACHMENTS, index);
}

/* What it holds is given back, while it may be at work with it. */
static void give_up_pool(struct pool *pool, uint32_t client)
{
	const struct log_about about = {
		.pool = pool->spec.name, .client = client,
	};

	log_line(LOG_ERR, &about, "poisoned: whether client %u lives cannot be "
		 "told any more", (unsigned)client);
	pool_poison(pool);
}

static int adopt_client(struct adoption *ad, uint32_t index)
{
	const struct ledger_attachment *record =
		ledger_attachment(ad->ledger, index);
	struct pool *pool = ad->pools[record->pool];
	struct session *s = ad->sessions[record->session];
	struct inherited *control = NULL;
	struct attachment *a;
	int r;

	if (pool)
		control = find_control(ad, index, pool, record->client);
	if (!control) {
		lose_client(ad, index, pool);
		return 0;
	}
	if (peer_is_lost(&s->peer))
		give_up_pool(pool, record->client);
	r = attachment_restore(&a, pool, &ad->server->quota, s->peer.uid,
			       record->client, record->role, control->fd);
	if (r < 0)
		return r;
	control->fd = -1;
	a->kept = (struct kept){ &ad->server->keeper, index, true };
	session_adopt_restored(s, a, record->number);
	ad->n_clients++;
	return 0;
}

static int adopt_clients(struct adoption *ad)
{
	uint32_t n = ledger_n(ad->ledger, LEDGER_ATTACHMENTS);
	int r = 0;

	for (uint32_t i = 0; i < n && r == 0; i++)
		if (ledger_state(ad->ledger, LEDGER_ATTACHMENTS, i))
			r = adopt_client(ad, i);
	return r;
}

static void go_on_ending(struct adoption *ad, struct session *s)
{
	tn_list_for_each(link, &s->attachments) {
		struct attachment *a = tn_list_entry(link, struct attachment,
						     link);

		if (ledger_state(ad->ledger, LEDGER_ATTACHMENTS,
				 a->kept.index) & LEDGER_ENDING)
			attachment_end(a, ad->server->reaper);
	}
}

/* all together */

/* All that was there and fits is with its owner now. */
static void settle(struct adoption *ad)
{
	struct tn_list *sessions = &ad->server->sessions;

	tn_list_for_each(link, sessions)
		note_settle(ad->ledger,
			    tn_list_entry(link, struct session, link));
	tn_list_for_each(link, sessions)
		go_on_ending(ad, tn_list_entry(link, struct session, link));
	for (uint32_t i = 0; i < ledger_n(ad->ledger, LEDGER_POOLS); i++)
		if (ad->pools[i])
			settle_pool(ad->pools[i]);
	ad->n_dropped = inherit_drop_rest(ad->in, &ad->server->keeper.store);
	tn_list_for_each(link, sessions)
		session_restored(tn_list_entry(link, struct session, link));
}

static int adopt_all(struct adoption *ad)
{
	int r;

	ad->pools = calloc(LEDGER_POOLS_MAX, sizeof(*ad->pools));
	ad->sessions = calloc(LEDGER_SESSIONS_MAX, sizeof(*ad->sessions));
	if (!ad->pools || !ad->sessions)
		return -ENOMEM;
	ad->server->last_session = (uint32_t)tn64_load_relaxed(
		&ad->ledger->header->last_session);
	r = adopt_pools(ad);
	if (r == 0)
		r = adopt_sessions(ad);
	if (r == 0)
		r = adopt_clients(ad);
	if (r == 0)
		settle(ad);
	return r;
}

/* what there is at all */

/* Return: 0, *ret may be NULL; -EUCLEAN: which one is it? */
static int find_ledger(const struct inheritance *in, struct inherited **ret)
{
	*ret = NULL;
	inherit_for_each(i, in, KEEPER_LEDGER, 0) {
		if (*ret) {
			log_error("there are two ledgers in the descriptor "
				  "store; nothing was touched");
			return -EUCLEAN;
		}
		*ret = i;
	}
	return 0;
}

/* Of a tarnd that knows what we do not. */
static int check_schemas(const struct inheritance *in)
{
	for (size_t i = 0; i < in->n; i++) {
		if (!in->all[i].schema || in->all[i].schema == LEDGER_MAJOR)
			continue;
		log_error("the descriptor store holds pools of another "
			  "version (%u, this tarnd's is %d): start that one; "
			  "nothing was touched", in->all[i].schema,
			  LEDGER_MAJOR);
		return -EPROTONOSUPPORT;
	}
	return 0;
}

static int read_ledger(struct server *server, struct inherited *found)
{
	char why[LEDGER_WHY_BYTES] = "";
	int r = ledger_open(&server->keeper.ledger, tn_steal_fd(found->fd),
			    why);

	if (r < 0)
		log_error("the ledger of the last tarnd cannot be taken over: "
			  "%s; nothing was touched", why);
	return r;
}

static void report(const struct adoption *ad, int64_t began)
{
	log_info("adopted %u pools, %u clients of %u sessions, %u dead to "
		 "recover, %u leftovers dropped in %lld ms; restart %llu",
		 ad->n_pools, ad->n_clients, ad->n_sessions, ad->n_dead,
		 ad->n_dropped, (long long)(clock_ms() - began),
		 (unsigned long long)ad->n_times);
}

static int adopt_ledger(struct server *server, struct inheritance *in,
			struct inherited *found)
{
	struct adoption ad = {
		.server = server, .in = in, .ledger = &server->keeper.ledger,
	};
	int64_t began = clock_ms();
	int r = read_ledger(server, found);

	if (r == 0)
		r = store_init(&server->keeper.store, server->base, true);
	if (r < 0)
		return r;
	ad.n_times = ledger_claim(ad.ledger);
	r = adopt_all(&ad);
	if (r == 0)
		report(&ad, began);
	else
		log_error("what the last tarnd left cannot be taken over: %s",
			  strerror(-r));
	free(ad.pools);
	free(ad.sessions);
	return r;
}

/* Without a ledger nothing can be said of them. */
static void drop_all(struct server *server, struct inheritance *in)
{
	unsigned n = inherit_drop_rest(in, &server->keeper.store);

	log_error("%u descriptors, but no ledger were in the descriptor store: "
		  "the pools of the last tarnd are lost", n);
}

int adopt(struct server *server, struct inheritance *in)
{
	struct inherited *found;
	int r = check_schemas(in);

	if (r < 0)
		return r;
	inherit_sort(in);
	r = find_ledger(in, &found);
	if (r < 0)
		return r;
	if (found)
		return adopt_ledger(server, in, found);
	r = keeper_init(&server->keeper, server->base);
	if (r == 0 && in->n)
		drop_all(server, in);
	return r < 0 ? r : ADOPT_NOTHING;
}
