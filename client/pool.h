/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * An open pool, as libtarn keeps it. The memory of a struct tarn_pool is
 * never given back, only used again, so that a call on a closed pool finds
 * key 0 and not somebody else's memory.
 */
#include <stdbool.h>
#include <sys/types.h>

#include "client/conn.h"
#include "pool/lane.h"
#include "pool/pool.h"
#include "tarn/tarn.h"

/* A file of the pool's. After closefrom() its number may be another's, so it
 * is not believed: tn_client_fd(). */
struct tn_file {
	int fd;
	dev_t dev;
	ino_t ino;
};

struct tarn_lane;

struct tarn_pool {
	uint64_t key;          /* of this opening; 0: closed (client/lane.h) */
	struct tn_pool p;
	uint64_t class_max;    /* bytes that slabs serve; 0: none */
	struct tn_shape shapes[TN_N_CLASSES];

	uint8_t *control;
	uint32_t client;       /* id */
	uint32_t attach;       /* what tarnd calls this attachment */
	struct tn_conn *conn;
	struct tn_file data_file, meta_file;
	uint64_t process;      /* whose client this is: tn_process_number() */
	char name[TN_NAME_BYTES];
	struct tarn_lane *lanes[TN_N_LANES]; /* private halves, once used */
	struct tarn_pool *next_closed;
	bool moves;            /* TARN_DEBUG=move: client/move.c */
	tn_a64 move_rest_ms;   /* until then tarnd is not asked to move */
};

/*
 * What every call looks at, but for those on the usual path.
 *
 * In a process that was forked from the client it makes a client of its own:
 * the mappings stay where they are, the identity is new (and with it .key).
 *
 * Return: 0; -EBADF (closed), -EACCES (@pool's role is weaker than @role),
 *         -EUCLEAN (poisoned), -EIDRM (revoked); in a forked process what
 *         attaching it gave.
 */
int tn_client_check(struct tarn_pool *pool, enum tarn_role role);

/* The descriptor if it is still the pool's file, or -1; ret_bytes: memory
 * behind the file, may be NULL. */
int tn_client_fd(const struct tn_file *file, uint64_t *ret_bytes);

/* A usable name, padded for the wire? Return: 0 or -EINVAL. */
int tn_client_name(const char *name, char ret[TN_NAME_BYTES]);
