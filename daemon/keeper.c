/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What outlives tarnd.
 *
 *	                put            confirmed         gone
 *	  place ----------------> sent ---------> there ------> nothing
 *	    in the store:  no         on its way   yes     no, in a moment
 *	    record:        no         no           yes     no
 *	    handed out:    no         no           yes     ended before
 *
 * A new tarnd finds what is there. What was just sent it drops: nobody had
 * got it, and the request that made it still lies in its socket.
 *
 *   I1  nothing is handed out before its descriptors are surely in the store
 *       and its record is there
 *   I2  a record is cleared before its descriptors are dropped: descriptors
 *       without a record are dropped by a new tarnd, a record without
 *       descriptors would be a loss
 *   I3  a closed socket is dropped, too, or the manager keeps it open, and the
 *       other side never sees its end
 *
 * Without a store the ledger is kept all the same, for nobody.
 */
#include "daemon/keeper.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "daemon/session.h"

static void drop(struct keeper *k, char kind, uint32_t index)
{
	char name[STORE_NAME_BYTES];

	store_name(name, kind, index);
	store_drop(&k->store, name);
}

static int put(struct keeper *k, char kind, uint32_t index, const int *fds,
	       unsigned n)
{
	char name[STORE_NAME_BYTES];

	store_name(name, kind, index);
	return store_put(&k->store, name, fds, n);
}

/* The common part of all lives. */
static int take(struct keeper *k, enum ledger_table table, struct kept *kept)
{
	int r = ledger_take(&k->ledger, table, &kept->index);

	if (r == 0)
		kept->keeper = k;
	return r;
}

static void give(struct kept *kept, enum ledger_table table, char kind)
{
	struct keeper *k = kept->keeper;

	if (!k)
		return;
	ledger_give(&k->ledger, table, kept->index);
	drop(k, kind, kept->index);
	*kept = (struct kept){ 0 };
}

void keeper_drop(struct keeper *keeper, char kind, uint32_t index)
{
	drop(keeper, kind, index);
}

/* pools */

struct pool_spec keeper_spec(const struct ledger_pool *p)
{
	struct pool_spec spec = {
		.bytes = p->bytes,
		.kind = p->kind,
		.policy = p->policy,
		.flags = p->flags,
		.access = { .uid = p->uid, .gid = p->gid, .mode = p->mode },
		.compact = compact_rule_unpack(p->compact),
	};

	memcpy(spec.name, p->name, sizeof(spec.name));
	return spec;
}

static void write_pool(struct ledger_pool *p, const struct pool *pool)
{
	const struct pool_spec *spec = &pool->spec;

	memcpy(p->name, spec->name, sizeof(p->name));
	p->bytes = spec->bytes;
	p->mark = pool->mark;
	p->kind = spec->kind;
	p->policy = spec->policy;
	p->flags = spec->flags;
	p->mode = spec->access.mode;
	p->uid = spec->access.uid;
	p->gid = spec->access.gid;
	p->compact = compact_rule_pack(&spec->compact);
	p->layout_major = TN_LAYOUT_MAJOR;
	p->layout_minor = TN_LAYOUT_MINOR;
}

int keeper_pool(struct keeper *k, struct pool *pool)
{
	const int fds[] = { pool->meta.fd, pool->data.fd, pool->self.fd };
	int r;

	if (!k)
		return 0;
	r = take(k, LEDGER_POOLS, &pool->kept);
	if (r < 0)
		return r;
	write_pool(ledger_pool(&k->ledger, pool->kept.index), pool);
	slots_init(&pool->slots, ledger_slots(&k->ledger, pool->kept.index));
	return put(k, KEEPER_POOL, pool->kept.index, fds, 3);
}

void keeper_pool_there(struct pool *pool)
{
	struct kept *kept = &pool->kept;

	if (!kept->keeper)
		return;
	ledger_commit(&kept->keeper->ledger, LEDGER_POOLS, kept->index,
		      LEDGER_THERE | (pool->unlinked ? LEDGER_UNLINKED : 0) |
		      (pool->poisoned ? LEDGER_POISONED : 0));
	kept->there = true;
}

void keeper_pool_gone(struct pool *pool)
{
	give(&pool->kept, LEDGER_POOLS, KEEPER_POOL);
}

/* sessions */

static struct ledger_session *session_record(const struct session *s)
{
	return ledger_session(&s->kept.keeper->ledger, s->kept.index);
}

int keeper_connection(struct keeper *k, struct session *s)
{
	int r;

	if (!k)
		return 0;
	r = take(k, LEDGER_CONNECTIONS, &s->kept_connection);
	return r < 0 ? r : put(k, KEEPER_CONNECTION, s->kept_connection.index,
			       &s->fd, 1);
}

int keeper_session(struct keeper *k, struct session *s)
{
	const int fds[] = { s->peer.pidfd, s->live.fd };
	struct ledger_session *record;
	int r;

	if (!k)
		return 0;
	r = take(k, LEDGER_SESSIONS, &s->kept);
	if (r < 0)
		return r;
	record = session_record(s);
	record->secret = s->secret;
	record->id = s->id;
	record->pid = (uint32_t)s->peer.pid;
	record->uid = s->peer.uid;
	record->gid = s->peer.gid;
	tn64_store_relaxed(&k->ledger.header->last_session,
			   s->server->last_session);
	r = put(k, KEEPER_SESSION, s->kept.index, fds, 2);
	return r < 0 ? r : keeper_connection(k, s);
}

static void set_connection(struct session *s)
{
	tn64_store_relaxed(&session_record(s)->connection,
			   s->kept_connection.index + 1ULL);
	tn_fence_compiler();
}

static void set_note(struct session *s, uint64_t note)
{
	tn_fence_compiler();
	tn64_store_relaxed(&session_record(s)->note, note);
	tn_fence_compiler();
}

void keeper_session_there(struct session *s, uint32_t id)
{
	if (!s->kept.keeper)
		return;
	set_connection(s);
	set_note(s, LEDGER_NOTE(TN_MSG_HELLO, id, 0) | LEDGER_NOTE_DONE);
	ledger_commit(&s->kept.keeper->ledger, LEDGER_SESSIONS, s->kept.index,
		      LEDGER_THERE);
	s->kept.there = true;
}

void keeper_rejoined(struct session *s, struct session *old, uint32_t id)
{
	s->kept = old->kept;
	old->kept = (struct kept){ 0 };
	if (!s->kept.keeper)
		return;
	set_note(s, LEDGER_NOTE(TN_MSG_HELLO, id, 1));
	set_connection(s);
	keeper_done(s);
	give(&old->kept_connection, LEDGER_CONNECTIONS, KEEPER_CONNECTION);
}

void keeper_connection_gone(struct session *s)
{
	if (s->kept_connection.keeper && s->kept.keeper) {
		tn64_store_relaxed(&session_record(s)->connection, 0);
		tn_fence_compiler();
	}
	give(&s->kept_connection, LEDGER_CONNECTIONS, KEEPER_CONNECTION);
}

void keeper_session_gone(struct session *s)
{
	give(&s->kept, LEDGER_SESSIONS, KEEPER_SESSION);
	give(&s->kept_connection, LEDGER_CONNECTIONS, KEEPER_CONNECTION);
}

void keeper_begun(struct session *s, uint16_t op, uint32_t id, uint32_t thing)
{
	if (s->kept.keeper)
		set_note(s, LEDGER_NOTE(op, id, thing));
}

void keeper_done(struct session *s)
{
	if (s->kept.keeper)
		set_note(s, tn64_load_relaxed(&session_record(s)->note) |
			    LEDGER_NOTE_DONE);
}

/* attachments */

int keeper_attachment(struct session *s, struct attachment *a)
{
	struct keeper *k = a->pool->kept.keeper;
	struct ledger_attachment *record;
	int r;

	if (!k || !s->kept.keeper)
		return 0;
	r = take(k, LEDGER_ATTACHMENTS, &a->kept);
	if (r < 0)
		return r;
	record = ledger_attachment(&k->ledger, a->kept.index);
	record->pool = a->pool->kept.index;
	record->session = s->kept.index;
	record->client = a->client;
	record->number = a->number;
	record->role = a->role;
	return put(k, KEEPER_ATTACHMENT, a->kept.index, &a->control.fd, 1);
}

static void set_attachment(struct attachment *a, unsigned state)
{
	ledger_commit(&a->kept.keeper->ledger, LEDGER_ATTACHMENTS,
		      a->kept.index, state);
}

void keeper_attachment_there(struct session *s, struct attachment *a)
{
	if (!a->kept.keeper)
		return;
	tn64_store_relaxed(&session_record(s)->last_number, s->last_number);
	set_attachment(a, LEDGER_THERE);
	a->kept.there = true;
}

void keeper_attachment_ending(struct attachment *a)
{
	if (a->kept.there)
		set_attachment(a, LEDGER_THERE | LEDGER_ENDING);
}

void keeper_attachment_gone(struct attachment *a)
{
	give(&a->kept, LEDGER_ATTACHMENTS, KEEPER_ATTACHMENT);
}

/* life */

bool keeper_keeps(const struct keeper *k)
{
	return k->store.active;
}

struct stored_ledger {
	struct store_wait wait;
	int r;
};

static void on_stored(struct store_wait *wait, int r)
{
	tn_list_entry(wait, struct stored_ledger, wait)->r = r;
}

static int store_ledger(struct keeper *k)
{
	struct stored_ledger stored = { .wait.done = on_stored };
	int r = put(k, KEEPER_LEDGER, 0, &k->ledger.file.fd, 1);

	if (r == 0)
		r = store_confirm(&k->store, &stored.wait);
	if (r <= 0)
		return r;
	store_sync(&k->store);
	return stored.r;
}

void keeper_clear(struct keeper *k)
{
	store_clear(&k->store);
	k->ledger = (struct ledger){ .file = BACKING_NONE };
}

int keeper_init(struct keeper *k, struct event_base *base)
{
	int r = store_init(&k->store, base, false);

	if (r < 0)
		return r;
	r = ledger_new(&k->ledger);
	if (r == 0)
		r = store_ledger(k);
	if (r < 0)
		log_error("the ledger: %s", strerror(-r));
	return r;
}

void keeper_fini(struct keeper *k)
{
	store_fini(&k->store);
	ledger_fini(&k->ledger);
}
