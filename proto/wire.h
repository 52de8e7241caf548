/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * The conversation between a client and tarnd: SOCK_SEQPACKET, one message a
 * packet, little-endian, every field at its natural alignment, reserved
 * fields zero. proto/README.md tells who may say what when.
 *
 * A request is a header and the body of its op, exactly; a reply has the
 * same op and id, a status, and a body only if the status is 0. Anything
 * malformed gets a reply with a negative status if the header could be read,
 * and the connection is closed if it could not.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/abi.h"
#include "proto/layout.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	      "the wire is little-endian, and so must this machine be");

#define TN_WIRE_MAGIC 0x6e726174U /* "tarn" */
#define TN_WIRE_VERSION 1
#define TN_WIRE_MIN_VERSION 1
#define TN_MSG_MAX 4096U  /* bytes of the longest message, either way */
#define TN_MSG_FDS_MAX 3U /* descriptors of a reply */

enum tn_op {
	TN_MSG_HELLO = 1,     /* first, once */
	TN_MSG_PING = 2,
	TN_MSG_CREATE = 3,
	TN_MSG_DESTROY = 4,
	TN_MSG_STAT = 5,
	TN_MSG_LIST = 6,
	TN_MSG_OPEN = 7,      /* reply carries meta, data and control */
	TN_MSG_LEAVE = 8,
	TN_MSG_CONTROLS = 9,  /* reply carries a control file, read-only */
	TN_MSG_REVOKE = 10,   /* DESTROY, and take it from who has it */
	TN_MSG_COMPACT = 11,
	TN_MSG_MOVE = 12,     /* one object; behind FEATURE_MOVE */
	TN_MSG_N_OPS
};

/*   0    4 magic      TN_WIRE_MAGIC
 *   4    2 op         enum tn_op
 *   6    2 reserved   0
 *   8    4 bytes      of the whole message; equal to the packet's
 *  12    4 id         the client's choice; the reply repeats it
 *  16    4 status     0 in a request; 0 or -errno in a reply
 *  20    4 n_fds      descriptors that come with it                        */
struct tn_msg {
	uint32_t magic;
	uint16_t op;
	uint16_t reserved;
	uint32_t bytes;
	uint32_t id;
	int32_t status;
	uint32_t n_fds;
};
TN_FIELD(tn_msg, 4, 2, op);
TN_FIELD(tn_msg, 8, 4, bytes);
TN_FIELD(tn_msg, 12, 4, id);
TN_FIELD(tn_msg, 16, 4, status);
TN_FIELD(tn_msg, 20, 4, n_fds);
TN_SIZE(tn_msg, 24);

/* Features. SESSION: what the process is attached to outlives the connection,
 * and a later one may go on with it; see proto/README.md. */
#define TN_FEATURE_SESSION (1U << 0)
/* MOVE: there is such a request. */
#define TN_FEATURE_MOVE (1U << 1)
#define TN_FEATURES_KNOWN (TN_FEATURE_SESSION | TN_FEATURE_MOVE)

/* What follows .features is 0 but to go on with an earlier session. */
struct tn_hello {              /* client: versions it speaks */
	uint16_t min_version;
	uint16_t max_version;
	uint32_t features;     /* wanted; unknown ones are not granted */
	uint32_t session;      /* id of the earlier one */
	uint32_t known;        /* its last attachment that we were told of */
	uint64_t secret;       /* of the earlier one */
};
TN_FIELD(tn_hello, 8, 4, session);
TN_FIELD(tn_hello, 12, 4, known);
TN_FIELD(tn_hello, 16, 8, secret);
TN_SIZE(tn_hello, 24);

#define TN_HELLO_REJOINED (1U << 0) /* the session that was named goes on */

/* With FEATURE_SESSION, and unless REJOINED, it carries one descriptor: the
 * live file, for the client to map. */
struct tn_hello_reply {
	uint16_t version;      /* the one to speak */
	uint16_t layout_major; /* of the pools */
	uint32_t features;     /* granted */
	uint32_t session;      /* id, and secret, to name it by in a HELLO */
	uint32_t flags;        /* TN_HELLO_* */
	uint64_t secret;
};
TN_FIELD(tn_hello_reply, 8, 4, session);
TN_FIELD(tn_hello_reply, 12, 4, flags);
TN_FIELD(tn_hello_reply, 16, 8, secret);
TN_SIZE(tn_hello_reply, 24);

/* When a pool is compacted without being asked, as tn_pool_opts say. */
#define TN_COMPACT_RULE(percent, start, stop) \
	((uint32_t)(percent) | (uint32_t)(start) << 8 | (uint32_t)(stop) << 16)
#define TN_COMPACT_RULE_BITS 24
#define TN_COMPACT_PERCENT(rule) ((rule) & 255)
#define TN_COMPACT_START(rule) ((rule) >> 8 & 255)
#define TN_COMPACT_STOP(rule) ((rule) >> 16 & 255)
#define TN_COMPACT_NEVER 255U

struct tn_create {
	char name[TN_NAME_BYTES];
	uint64_t bytes;
	uint32_t kind;
	uint32_t policy;
	uint32_t flags;
	uint32_t mode;
	uint32_t gid;          /* ~0: the caller's */
	uint32_t compact;      /* TN_COMPACT_RULE(); 0s: as tarnd is set */
};
TN_FIELD(tn_create, 40, 8, bytes);
TN_FIELD(tn_create, 68, 4, compact);
TN_SIZE(tn_create, 72);

struct tn_by_name {            /* DESTROY, REVOKE, STAT; LIST: after this one */
	char name[TN_NAME_BYTES];
};
TN_SIZE(tn_by_name, 40);

/* .flags: TN_POOL_*, and what tarnd has found since */
#define TN_INFO_POISONED (1U << 31) /* recovery found it contradicting itself */

struct tn_info {
	char name[TN_NAME_BYTES];
	uint64_t bytes;
	uint64_t data_resident; /* bytes of memory */
	uint64_t meta_resident;
	uint32_t kind;
	uint32_t policy;
	uint32_t flags;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint32_t n_clients;
	uint32_t reserved;
};
TN_FIELD(tn_info, 40, 8, bytes);
TN_FIELD(tn_info, 64, 4, kind);
TN_SIZE(tn_info, 96);

/* .percent: 0: only tell; else begin, and take no more than so much of a
 * processor's time. What is under way already is all that was asked for, or
 * goes on until it is. */
struct tn_compact_request {
	char name[TN_NAME_BYTES];
	uint32_t percent;
	uint32_t reserved;
};
TN_FIELD(tn_compact_request, 40, 4, percent);
TN_SIZE(tn_compact_request, 48);

enum tn_compaction_state {
	TN_COMPACTION_NONE, TN_COMPACTION_MOVES, TN_COMPACTION_PUNCHES,
	TN_COMPACTION_DONE,
};
struct tn_compaction {
	uint32_t state;
	int32_t error;          /* what it ended with, or went without: 0, or a
	                         * negative errno value */
	uint32_t done;          /* of .of, in this pass */
	uint32_t of;
	uint32_t passes;
	uint32_t rule;          /* what holds for the pool: TN_COMPACT_RULE() */
	uint64_t moved_objects;
	uint64_t moved_bytes;
	uint64_t pinned;        /* objects that stayed because of it */
	uint64_t undone;        /* ... because they were needed meanwhile */
	uint64_t before;        /* bytes of memory that the pool had */
	uint64_t after;         /* ... and has */
	uint32_t runs;          /* since tarnd began; one may be under way */
	uint32_t unasked;       /* of these, begun by tarnd itself */
};
TN_FIELD(tn_compaction, 4, 4, error);
TN_FIELD(tn_compaction, 24, 8, moved_objects);
TN_FIELD(tn_compaction, 64, 8, after);
TN_FIELD(tn_compaction, 72, 4, runs);
TN_SIZE(tn_compaction, 80);

#define TN_LIST_MAX 32U /* entries in one reply */
struct tn_list_reply {
	uint32_t n;            /* entries that follow, by name */
	uint32_t more;         /* 1: ask again after the last one */
	struct tn_info info[]; /* n of them */
};
TN_SIZE(tn_list_reply, 8);

struct tn_open {
	char name[TN_NAME_BYTES];
	uint32_t role;
	uint32_t reserved;
};
TN_SIZE(tn_open, 48);

struct tn_open_reply {         /* with three descriptors: meta, data, control */
	uint64_t data_bytes;
	uint64_t meta_bytes;
	uint64_t control_bytes;
	uint64_t mark;
	uint32_t kind;
	uint32_t policy;
	uint32_t flags;
	uint32_t role;
	uint32_t client;       /* id; LEAVE names the attachment by .attach */
	uint32_t attach;
};
TN_SIZE(tn_open_reply, 56);

struct tn_leave {
	uint32_t attach;
	uint32_t reserved;
};
TN_SIZE(tn_leave, 8);

/* The object of a handle goes to another place, if nobody uses it. */
struct tn_move_request {
	uint32_t attach;       /* as in LEAVE: of a pool that it has open */
	uint32_t flags;        /* TN_MOVE_* */
	uint64_t handle;
};
#define TN_MOVE_POISON (1U << 0) /* the place that it leaves is filled */
#define TN_MOVE_FIXED (1U << 1)  /* among what cannot be moved, or not */
#define TN_MOVE_FLAGS_KNOWN (TN_MOVE_POISON | TN_MOVE_FIXED)
TN_FIELD(tn_move_request, 4, 4, flags);
TN_FIELD(tn_move_request, 8, 8, handle);
TN_SIZE(tn_move_request, 16);

struct tn_controls {
	char name[TN_NAME_BYTES];
	uint32_t after;        /* client id; 0: from the first */
	uint32_t reserved;
};
TN_FIELD(tn_controls, 40, 4, after);
TN_SIZE(tn_controls, 48);

enum tn_controls_state {
	TN_CONTROLS_ALIVE = 1, /* attached, or tarnd itself */
	TN_CONTROLS_DEAD = 2,  /* what it held is being given back */
};

struct tn_controls_reply {     /* with one descriptor: control, read-only */
	uint32_t client;       /* the next id after .after that is attached */
	uint32_t state;        /* enum tn_controls_state */
	uint64_t control_bytes;
	uint32_t more;         /* 1: there are others after it */
	uint32_t reserved;
};
TN_FIELD(tn_controls_reply, 8, 8, control_bytes);
TN_FIELD(tn_controls_reply, 16, 4, more);
TN_SIZE(tn_controls_reply, 24);

/**
 * tn_wire_check_request() - is this packet a request that may be acted upon?
 * @packet, @bytes: as received
 *
 * Pure: looks at nothing but its arguments, so it is what gets fuzzed.
 *
 * Return: 0; -EBADMSG: not even the header can be trusted, close the
 *         connection; -EPROTO: length, reserved bits or text are wrong;
 *         -ENOSYS: no such op. For the last two a reply can be made.
 */
int tn_wire_check_request(const void *packet, size_t bytes);

/** tn_wire_check_reply() - the same for a reply to @op and @id, on the
 *  client's side; @n_fds came with it. Return: 0 or -EBADMSG. */
int tn_wire_check_reply(const void *packet, size_t bytes, uint16_t op,
			uint32_t id, uint32_t n_fds);

/** tn_name_ok() - a terminated name of the permitted characters, padded with
 *  zero bytes to TN_NAME_BYTES */
int tn_name_ok(const char name[TN_NAME_BYTES]);
