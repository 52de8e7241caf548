/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/ledgercheck.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "daemon/keeper.h"
#include "daemon/pool.h"

/* What must be there once is sorted, and neighbours are compared. */
struct keys {
	uint64_t *key;
	size_t n;
};

__attribute__((format(printf, 2, 3)))
static int wrong(char why[LEDGER_WHY_BYTES], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, LEDGER_WHY_BYTES, fmt, ap);
	va_end(ap);
	return -EUCLEAN;
}

static bool is_there(const struct ledger *l, enum ledger_table t, uint32_t i)
{
	return i < ledger_n(l, t) && ledger_state(l, t, i);
}

static int keys_init(struct keys *keys, size_t room)
{
	*keys = (struct keys){ calloc(room + 1, sizeof(uint64_t)), 0 };
	return keys->key ? 0 : -ENOMEM;
}

static void keys_fini(struct keys *keys)
{
	tn_freep(&keys->key);
}

static int compare_keys(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static bool all_differ(struct keys *keys)
{
	qsort(keys->key, keys->n, sizeof(uint64_t), compare_keys);
	for (size_t i = 1; i < keys->n; i++)
		if (keys->key[i - 1] == keys->key[i])
			return false;
	return true;
}

/* pools */

static int check_pool(const struct ledger_pool *p, uint32_t i,
		      char why[LEDGER_WHY_BYTES])
{
	static const uint8_t zero[sizeof(p->reserved)];
	struct pool_spec spec = keeper_spec(p);
	const char *bad = pool_spec_check(&spec);

	if (bad)
		return wrong(why, "pool %u: %s", i, bad);
	if (spec.bytes != p->bytes || !p->mark || p->mark >> 16 ||
	    memcmp(p->reserved, zero, sizeof(zero)) != 0)
		return wrong(why, "pool %u: its record cannot be", i);
	if (!ledger_version_ok(p->layout_major, p->layout_minor,
			       TN_LAYOUT_MAJOR, TN_LAYOUT_MINOR))
		return wrong(why, "pool %u: is of layout %u.%u", i,
			     p->layout_major, p->layout_minor);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static int check_pools(const struct ledger *l, char why[LEDGER_WHY_BYTES])
{
	uint32_t n = ledger_n(l, LEDGER_POOLS);
	tn_cleanup(tn_freep) const char **names = calloc(n + 1ULL,
							 sizeof(*names));
	size_t named = 0;
	int r;

	if (!names)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		const struct ledger_pool *p = ledger_pool(l, i);
		unsigned state = ledger_state(l, LEDGER_POOLS, i);

		if (!state)
			continue;
		r = check_pool(p, i, why);
		if (r < 0)
			return r;
		if (!(state & LEDGER_UNLINKED))
			names[named++] = p->name;
	}
	qsort(names, named, sizeof(*names), compare_names);
	for (size_t i = 1; i < named; i++)
		if (!strcmp(names[i - 1], names[i]))
			return wrong(why, "two pools are named %s", names[i]);
	return 0;
}

/* sessions */

static int check_session(const struct ledger *l, uint32_t i,
			 struct keys *ids, struct keys *connections,
			 char why[LEDGER_WHY_BYTES])
{
	static const uint8_t zero[sizeof(ledger_session(l, 0)->reserved)];
	const struct ledger_session *s = ledger_session(l, i);
	uint64_t connection = tn64_load_relaxed(&s->connection);

	if (memcmp(s->reserved, zero, sizeof(zero)) != 0 ||
	    connection > LEDGER_CONNECTIONS_MAX ||
	    tn64_load_relaxed(&s->last_number) > UINT32_MAX)
		return wrong(why, "session %u: its record cannot be", i);
	if (s->id)
		ids->key[ids->n++] = s->id;
	if (connection)
		connections->key[connections->n++] = connection;
	return 0;
}

static int check_sessions(const struct ledger *l, char why[LEDGER_WHY_BYTES])
{
	uint32_t n = ledger_n(l, LEDGER_SESSIONS);
	tn_cleanup(keys_fini) struct keys ids = { 0 }, connections = { 0 };
	int r;

	if (keys_init(&ids, n) < 0 || keys_init(&connections, n) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		if (!is_there(l, LEDGER_SESSIONS, i))
			continue;
		r = check_session(l, i, &ids, &connections, why);
		if (r < 0)
			return r;
	}
	if (!all_differ(&ids) || !all_differ(&connections))
		return wrong(why, "two sessions have one id or connection");
	return 0;
}

/* attachments */

static int check_attachment(const struct ledger *l, uint32_t i,
			    struct keys *slots, struct keys *numbers,
			    char why[LEDGER_WHY_BYTES])
{
	static const uint8_t zero[sizeof(ledger_attachment(l, 0)->reserved)];
	const struct ledger_attachment *a = ledger_attachment(l, i);
	unsigned slot = TN_CLIENT_SLOT(a->client);

	if (!is_there(l, LEDGER_POOLS, a->pool) ||
	    !is_there(l, LEDGER_SESSIONS, a->session))
		return wrong(why, "attachment %u: of pool %u and session %u, "
			     "which are not there", i, a->pool, a->session);
	if (!slot || slot >= TN_DAEMON_SLOT || a->client > TN_CLIENT_ID_MASK ||
	    a->role < TN_PRODUCER || a->role > TN_OBSERVER || !a->number ||
	    memcmp(a->reserved, zero, sizeof(zero)) != 0)
		return wrong(why, "attachment %u: its record cannot be", i);
	slots->key[slots->n++] = (uint64_t)a->pool << 32 | slot;
	numbers->key[numbers->n++] = (uint64_t)a->session << 32 | a->number;
	return 0;
}

static int check_attachments(const struct ledger *l,
			     char why[LEDGER_WHY_BYTES])
{
	uint32_t n = ledger_n(l, LEDGER_ATTACHMENTS);
	tn_cleanup(keys_fini) struct keys slots = { 0 }, numbers = { 0 };
	int r;

	if (keys_init(&slots, n) < 0 || keys_init(&numbers, n) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		if (!is_there(l, LEDGER_ATTACHMENTS, i))
			continue;
		r = check_attachment(l, i, &slots, &numbers, why);
		if (r < 0)
			return r;
	}
	if (!all_differ(&slots) || !all_differ(&numbers))
		return wrong(why, "two attachments are one client");
	return 0;
}

int ledgercheck(const struct ledger *l, char why[LEDGER_WHY_BYTES])
{
	int r = check_pools(l, why);

	if (r == 0)
		r = check_sessions(l, why);
	return r < 0 ? r : check_attachments(l, why);
}
