/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * A connection to tarnd, on which requests are made one at a time.
 *
 * Threads: any, they wait for each other. Fork: a child must not speak on its
 * parent's connection, and every call but unref gives it -ECHILD. Once a
 * reply is late (TN_CONN_MS) or is none, the connection is of no use any more:
 * that call gives -ETIMEDOUT or -ECONNRESET, and all later ones -ECONNRESET.
 */
#include <stddef.h>
#include <stdint.h>

#include "proto/wire.h"
#include "tarn/tarn.h"

#define TN_CONN_MS 5000

struct tn_conn;

/**
 * tn_conn_open() - connect, and say HELLO
 * @path: the socket, as of tarn_connect(); NULL: look for it
 * @ret: one reference
 *
 * Return: 0; what tarn_connect() says.
 */
int tn_conn_open(struct tn_conn **ret, const char *path);

/** tn_conn_fork() - in a forked process, a connection of its own to the
 *  daemon that its parent's @old is connected to */
int tn_conn_fork(struct tn_conn *old, struct tn_conn **ret);

struct tn_conn *tn_conn_ref(struct tn_conn *conn);

/** tn_conn_unref() - @conn may be NULL; in a forked child too */
void tn_conn_unref(struct tn_conn *conn);

/**
 * tn_conn_call() - make a request and wait for its reply
 * @req, @req_bytes: the body of the request
 * @reply: for the body of the reply; NULL if it has none
 * @reply_bytes: in: room in @reply; out: bytes there; NULL if @reply is
 * @fds: for TN_MSG_FDS_MAX descriptors, the caller's then; NULL: none wanted
 * @n_fds: out: how many came; NULL if @fds is
 *
 * Return: 0; the reply's status; -ECHILD, -ETIMEDOUT, -ECONNRESET, -ENOMEM,
 *         -EMSGSIZE (no room for the reply), -EMFILE (none for the
 *         descriptors; the body is in @reply). On any other error nothing is
 *         returned in the other arguments.
 */
int tn_conn_call(struct tn_conn *conn, uint16_t op, const void *req,
		 size_t req_bytes, void *reply, size_t *reply_bytes, int *fds,
		 unsigned *n_fds);

/**
 * tn_conn_attach() - OPEN
 * @name: a usable one
 * @role: enum tn_role
 * @ret_fds: meta, data, control; the caller's
 *
 * Return: as tn_conn_call(); on error we are not attached.
 */
int tn_conn_attach(struct tn_conn *conn, const char *name, uint32_t role,
		   struct tn_open_reply *ret, int ret_fds[3]);

/** tn_conn_leave() - LEAVE: 0 once nothing in the pool names us any more */
int tn_conn_leave(struct tn_conn *conn, uint32_t attach);

/** tn_conn_of() - what @t is around; borrowed */
struct tn_conn *tn_conn_of(struct tarn *t);
