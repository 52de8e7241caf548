/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * What tarnd must not forget when it dies: a memfd of records that the next
 * tarnd finds in the descriptor store. Nobody else ever has it. See ledger.c.
 */
#include <stdint.h>

#include "base/atomic.h"
#include "daemon/backing.h"
#include "proto/abi.h"
#include "proto/layout.h"

#define LEDGER_MAGIC 0x6764656c6e726174ULL /* "tarnledg" */
#define LEDGER_MAJOR 1 /* differs: refuse; stands in the names of the store */
#define LEDGER_MINOR 1 /* one older is taken over; newer: refuse */

enum ledger_table {
	LEDGER_POOLS,
	LEDGER_SESSIONS,
	LEDGER_ATTACHMENTS,
	LEDGER_CONNECTIONS, /* numbers alone, no records */
	LEDGER_N_TABLES
};
#define LEDGER_POOLS_MAX 16384U
#define LEDGER_SESSIONS_MAX 16384U
#define LEDGER_ATTACHMENTS_MAX 65536U
#define LEDGER_CONNECTIONS_MAX 16384U

#define LEDGER_RECORD_BYTES 128U
#define LEDGER_PAGE 4096U

/*
 * Header, one page.
 *
 *   0    8 magic
 *   8    8 versions   major, minor, layout major, layout minor; 16 bits each,
 *                     major lowest: of the tarnd that last took it over
 *  16    8 bytes      of the file
 *  24    4 record_bytes
 *  28    4 n_tables
 *  32    8 reserved
 *  40   24 n[3]       records at n and above were never used; only grows
 *  64    8 last_session  the last id that was given to a session
 *  72    8 adoptions  how often a tarnd has taken it over; since 1.1
 */
struct ledger_header {
	uint64_t magic;
	tn_a64 versions;
	uint64_t bytes;
	uint32_t record_bytes;
	uint32_t n_tables;
	uint64_t reserved;
	tn_a64 n[3];
	tn_a64 last_session;
	tn_a64 adoptions;
};
TN_FIELD(ledger_header, 8, 8, versions);
TN_FIELD(ledger_header, 16, 8, bytes);
TN_FIELD(ledger_header, 24, 4, record_bytes);
TN_FIELD(ledger_header, 28, 4, n_tables);
TN_FIELD(ledger_header, 40, 24, n);
TN_FIELD(ledger_header, 64, 8, last_session);
TN_FIELD(ledger_header, 72, 8, adoptions);
TN_SIZE(ledger_header, 80);

/*
 * Every record begins with its head: 0, there is none; else state : 8 | 24
 * unused | sum : 32. The sum is over table, index, state, and bytes 8 to 103.
 * These are written before the head, and never after. What changes while the
 * record stands are words of 8 bytes above 103, and the state.
 */
#define LEDGER_SUMMED_BEGIN 8U
#define LEDGER_SUMMED_END 104U

#define LEDGER_THERE 1U     /* in every state of a record that is there */
#define LEDGER_ENDING 2U    /* attachment: what it held is being given back */
#define LEDGER_UNLINKED 2U  /* pool: it has no name any more */
#define LEDGER_POISONED 4U  /* pool */

/*   0    8 head
 *   8   40 name
 *  48    8 bytes
 *  56    8 mark
 *  64    4 kind
 *  68    4 policy
 *  72    4 flags
 *  76    4 mode
 *  80    4 uid
 *  84    4 gid
 *  88    2 layout_major    of its files
 *  90    2 layout_minor
 *  92    4 compact         percent, start, stop; 8 bits each, percent lowest
 *  96   32 reserved        0                                            */
struct ledger_pool {
	tn_a64 head;
	char name[TN_NAME_BYTES];
	uint64_t bytes;
	uint64_t mark;
	uint32_t kind;
	uint32_t policy;
	uint32_t flags;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint16_t layout_major;
	uint16_t layout_minor;
	uint32_t compact;
	uint8_t reserved[32];
};
TN_FIELD(ledger_pool, 8, 40, name);
TN_FIELD(ledger_pool, 48, 8, bytes);
TN_FIELD(ledger_pool, 56, 8, mark);
TN_FIELD(ledger_pool, 64, 4, kind);
TN_FIELD(ledger_pool, 84, 4, gid);
TN_FIELD(ledger_pool, 88, 2, layout_major);
TN_FIELD(ledger_pool, 92, 4, compact);
TN_SIZE(ledger_pool, LEDGER_RECORD_BYTES);

/*   0    8 head
 *   8    8 secret
 *  16    4 id             0: for one connection only, and without live file
 *  20    4 pid
 *  24    4 uid
 *  28    4 gid
 *  32   72 reserved       0
 * 104    8 connection     its number + 1, or 0: there is none
 * 112    8 note           the last request that made or ended something
 * 120    8 last_number    of an attachment                              */
struct ledger_session {
	tn_a64 head;
	uint64_t secret;
	uint32_t id;
	uint32_t pid;
	uint32_t uid;
	uint32_t gid;
	uint8_t reserved[72];
	tn_a64 connection;
	tn_a64 note;
	tn_a64 last_number;
};
TN_FIELD(ledger_session, 8, 8, secret);
TN_FIELD(ledger_session, 16, 4, id);
TN_FIELD(ledger_session, 28, 4, gid);
TN_FIELD(ledger_session, 104, 8, connection);
TN_FIELD(ledger_session, 112, 8, note);
TN_FIELD(ledger_session, 120, 8, last_number);
TN_SIZE(ledger_session, LEDGER_RECORD_BYTES);

/* note: the request's id : 32 | done : 1 | op : 8 | 6 unused | thing : 17.
 * The thing is the record of what is made or ended, or for HELLO 1 if it went
 * on with a session. Not done: begun, and it is done if the record says so. */
#define LEDGER_NOTE_DONE (1ULL << 31)
#define LEDGER_NOTE(op, id, thing) \
	((uint64_t)(id) << 32 | (uint64_t)(op) << 23 | (thing))
#define LEDGER_NOTE_ID(note) ((uint32_t)((note) >> 32))
#define LEDGER_NOTE_OP(note) ((uint16_t)((note) >> 23 & 0xff))
#define LEDGER_NOTE_THING(note) ((uint32_t)((note) & 0x1ffff))

/*   0    8 head
 *   8    4 pool           index of its record
 *  12    4 session        likewise
 *  16    4 client         id
 *  20    4 number         of the attachment, in its session
 *  24    4 role
 *  28  100 reserved       0                                             */
struct ledger_attachment {
	tn_a64 head;
	uint32_t pool;
	uint32_t session;
	uint32_t client;
	uint32_t number;
	uint32_t role;
	uint8_t reserved[100];
};
TN_FIELD(ledger_attachment, 8, 4, pool);
TN_FIELD(ledger_attachment, 24, 4, role);
TN_SIZE(ledger_attachment, LEDGER_RECORD_BYTES);

/* Beside each pool's record: which client ids were given out. All values are
 * good, so nothing is summed.
 *
 *   0 1024 round          of each slot's next id
 *1024    2 last           the slot that was given out last
 *1026 1022 reserved                                                     */
struct ledger_slots {
	tn_a8 round[TN_N_CLIENTS];
	tn_a16 last;
	uint8_t reserved[1022];
};
TN_FIELD(ledger_slots, 1024, 2, last);
TN_SIZE(ledger_slots, 2048);

/* The tables follow the header, in order, and the slots the last of them. */
#define LEDGER_BYTES \
	(LEDGER_PAGE + (uint64_t)LEDGER_RECORD_BYTES * \
	 (LEDGER_POOLS_MAX + LEDGER_SESSIONS_MAX + LEDGER_ATTACHMENTS_MAX) + \
	 sizeof(struct ledger_slots) * (uint64_t)LEDGER_POOLS_MAX)

/* Indices that are free; nothing that outlives tarnd. */
struct ledger_free {
	uint32_t *stack;
	uint32_t n;
	uint32_t next; /* at and above: never used */
	uint32_t max;
};

struct ledger {
	struct backing file;
	struct ledger_header *header;
	struct ledger_free free[LEDGER_N_TABLES];
};

#define LEDGER_WHY_BYTES 128

/** ledger_new() - an empty one; 0 or -errno; ledger_fini() is due either way */
int ledger_new(struct ledger *ledger);

/**
 * ledger_open() - one that another tarnd wrote
 * @fd: taken over
 * @why: in words, if it is refused
 *
 * Looks at all of it, and writes nothing.
 *
 * Return: 0; -EUCLEAN: it is no whole ledger; -EPROTONOSUPPORT: it is of a
 *         version that this tarnd does not know; -errno.
 */
int ledger_open(struct ledger *ledger, int fd, char why[LEDGER_WHY_BYTES]);

/** ledger_version_ok() - can this tarnd, whose version is the second, take
 *  over what is of the first? The same, or one minor older */
bool ledger_version_ok(unsigned major, unsigned minor, unsigned our_major,
		       unsigned our_minor);

/** ledger_claim() - it is this tarnd's from now on: of this version. Logs if
 *  it was of another. Return: how often it was taken over, this once too */
uint64_t ledger_claim(struct ledger *ledger);

void ledger_fini(struct ledger *ledger);

/** ledger_take() - an index, and room for a record, zeroed, that nobody sees
 *  yet. Return: 0; -ENOSPC, -ENOMEM */
int ledger_take(struct ledger *ledger, enum ledger_table table,
		uint32_t *ret_index);

/** ledger_reserve() - take that index, of a record that ledger_open() found
 *  or a number that one names. Return: false: it is taken already */
bool ledger_reserve(struct ledger *ledger, enum ledger_table table,
		    uint32_t index);

/** ledger_commit() - what was written stands, in this state: one store. Or
 *  the state changes */
void ledger_commit(struct ledger *ledger, enum ledger_table table,
		   uint32_t index, unsigned state);

/** ledger_give() - no such record any more, one store; the index is free */
void ledger_give(struct ledger *ledger, enum ledger_table table,
		 uint32_t index);

/** ledger_state() - of a record, 0: there is none; as it was checked */
unsigned ledger_state(const struct ledger *ledger, enum ledger_table table,
		      uint32_t index);

/** ledger_n() - no record has this index or a higher one */
uint32_t ledger_n(const struct ledger *ledger, enum ledger_table table);

struct ledger_pool *ledger_pool(const struct ledger *ledger, uint32_t index);
struct ledger_session *ledger_session(const struct ledger *ledger,
				      uint32_t index);
struct ledger_attachment *ledger_attachment(const struct ledger *ledger,
					    uint32_t index);
struct ledger_slots *ledger_slots(const struct ledger *ledger, uint32_t pool);
