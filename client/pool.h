/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * An open pool, as libtarn keeps it. The memory of a struct tarn_pool is
 * never given back, only used again, so that a call on a closed pool finds
 * key 0 and not somebody else's memory.
 */
#include <sys/types.h>

#include "client/conn.h"
#include "pool/lane.h"
#include "pool/pool.h"
#include "tarn/tarn.h"

/* A process forked from this one finds .alive zero: MADV_WIPEONFORK. */
struct tarn_alive { uint32_t alive; };

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
	int data_fd, meta_fd;
	struct tarn_alive *alive;
	struct tarn_lane *lanes[TN_N_LANES]; /* private halves, once used */
	struct tarn_pool *next_closed;
};

/* Return: 0; -EBADF (closed), -EACCES (@pool's role is weaker than @role),
 * -ECHILD (forked from the client), -EUCLEAN (poisoned). */
int tn_client_check(const struct tarn_pool *pool, enum tarn_role role);

/* A usable name, padded for the wire? Return: 0 or -EINVAL. */
int tn_client_name(const char *name, char ret[TN_NAME_BYTES]);
