/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * A connection to tarnd, on which requests are made one at a time. When it is
 * lost the next call makes it anew, at the same path, and goes on with what
 * the process was attached to.
 *
 * Threads: any, they wait for each other. Fork: a child must not speak on its
 * parent's connection, and every call but unref and fork gives it -ECHILD.
 * No call takes longer than TN_CONN_MS, waiting for others included, unless it
 * is given more.
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

/**
 * tn_conn_fork() - in a forked child: a connection of its own
 * @old: made before the fork; its descriptor is closed in this process, and
 *       the parent does not notice. Its references stay as they are
 * @ret: to the same path, a session of its own; one reference
 *
 * Return: as tn_conn_open(); -EINVAL: @old is this process's own.
 */
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
 * If the connection is lost it is made anew. The request is then repeated,
 * once, if tarnd has seen nothing of it, or if repeating does no harm (PING,
 * STAT, LIST, LEAVE, CONTROLS, COMPACT, MOVE).
 *
 * Return: 0; the reply's status; -ECHILD, -ENOMEM, -EMSGSIZE (no room for the
 *         reply), -EMFILE (none for the descriptors; the body is in @reply);
 *         -ECONNRESET: tarnd is not there, or (CREATE, DESTROY, OPEN) went
 *         away and may have carried it out or not; -ETIMEDOUT: it does not
 *         answer. The next call tries again. On any other error nothing is
 *         returned in the other arguments.
 */
int tn_conn_call(struct tn_conn *conn, uint16_t op, const void *req,
		 size_t req_bytes, void *reply, size_t *reply_bytes, int *fds,
		 unsigned *n_fds);

/** tn_conn_call_by() - the same, to be over by a time, for what takes several
 *  requests, or must not take so long; tn_conn_deadline(): TN_CONN_MS from
 *  now */
int tn_conn_call_by(struct tn_conn *conn, int64_t deadline, uint16_t op,
		    const void *req, size_t req_bytes, void *reply,
		    size_t *reply_bytes, int *fds, unsigned *n_fds);
int64_t tn_conn_deadline(void);

/**
 * tn_conn_attach() - OPEN
 * @name: a usable one
 * @role: enum tn_role
 * @ret: .attach is good for tn_conn_leave() on @conn, for ever: of an earlier
 *       session that was lost it names nothing
 * @ret_fds: meta, data, control; the caller's
 *
 * Return: as tn_conn_call(); on error we are not attached.
 */
int tn_conn_attach(struct tn_conn *conn, const char *name, uint32_t role,
		   struct tn_open_reply *ret, int ret_fds[3]);

/**
 * tn_conn_leave() - LEAVE
 *
 * Return: 0: nothing in the pool names us any more, or soon nothing will: if
 *         a living client is in recovery's way it goes on without us; -ENOENT:
 *         not attached; as tn_conn_call().
 */
int tn_conn_leave(struct tn_conn *conn, uint32_t attach);

/**
 * tn_conn_controls() - CONTROLS: a look at a client's control file
 * @name: a usable one, of a pool that is the caller's, or the caller is root
 * @after: client id; 0: the first
 * @ret_fd: read-only; the caller's
 *
 * Return: 0; -ENOENT, -EPERM, -ESRCH (none after that); as tn_conn_call().
 */
int tn_conn_controls(struct tn_conn *conn, const char *name, uint32_t after,
		     struct tn_controls_reply *ret, int *ret_fd);

/**
 * tn_conn_move() - MOVE: have one object moved
 * @attach: as of tn_conn_attach()
 * @flags: TN_MOVE_*
 * @deadline: when to give up
 *
 * Return: 0; -EBUSY (somebody uses it), -ENOENT (not attached, or it cannot be
 *         moved), -ESTALE, -ENOMEM, -ENOSYS (by this tarnd, or here), -EIDRM
 *         (the pool is going), -EUCLEAN, -EACCES; as tn_conn_call().
 */
int tn_conn_move(struct tn_conn *conn, uint32_t attach, uint64_t handle,
		 uint32_t flags, int64_t deadline);

/** tn_conn_of() - what @t is around; borrowed */
struct tn_conn *tn_conn_of(struct tarn *t);
