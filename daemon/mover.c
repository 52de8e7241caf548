/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the mover asks of tarnd, the barrier and who is attached; and MOVE, by
 * which a client has one object moved.
 *
 *	loop                      reaper's thread
 *	----                      ---------------
 *	MOVE: session->move ----> slice: moved, or not
 *	answer <----------------- done
 *
 * Compaction and recovery of the pool go on between such slices, all on that
 * thread. The time is counted for the user who asks.
 *
 *   M1  a move under way has a reference of its pool, and its session knows it
 *       as .move; one whose connection ends is carried out, and nobody told
 *   M2  between two slices nothing of it is left (I3 of pool/move.c): so if
 *       tarnd dies in the middle of one, the replay and the recovery of tarnd
 *       see to it as to any other batch; the request is still in the socket,
 *       and the next tarnd moves the object once more, which does no harm
 *   M3  like a compaction, it touches nothing in a pool that is to go
 *
 * Somebody in a section makes it wait for a millisecond, once: after that he
 * is known, and not waited for again (.held).
 *
 * It costs other processes a barrier, which any process can have as often as
 * it likes, without us.
 */
#include "daemon/mover.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/attachment.h"
#include "daemon/connection.h"
#include "daemon/log.h"
#include "daemon/pool.h"
#include "daemon/session.h"

#define PAUSE_US 50 /* a section may last some of these */

struct move {
	struct reaper_task task;
	struct session *session; /* NULL: nobody is there any more */
	uint32_t id;             /* of the request */
	struct pool *pool;
	uint64_t handle;
	unsigned group;          /* to where */
	struct tn_mover mover;
};

static int fence(void *arg)
{
	(void)arg;
	return reaper_fence_clients();
}

static void clients(void *arg, struct tn_mover *m)
{
	struct pool *pool = arg;

	compactor_lock(&pool->compactor);
	tn_list_for_each(link, &pool->attachments) {
		struct attachment *a = tn_list_entry(link, struct attachment,
						     of_pool);

		tn_move_look(m, a->control.map);
	}
	compactor_unlock(&pool->compactor);
}

static void pause_(void *arg)
{
	(void)arg;
	usleep(PAUSE_US);
}

/* A fault for each page of what is copied takes longer than the copy. */
static void reach(void *arg, uint64_t off, uint64_t bytes, bool write)
{
	const struct pool *pool = arg;
	uint8_t *data = pool->data.map;

	madvise(data + off, bytes,
		write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

void mover_init(struct tn_mover *mover, struct pool *pool)
{
	tn_mover_init(mover, &pool->view, pool->queue.self);
	mover->fence = fence;
	mover->clients = clients;
	mover->pause = pause_;
	mover->reach = reach;
	mover->arg = pool;
}

/* MOVE */

static struct move *of_task(struct reaper_task *task)
{
	return tn_list_entry(task, struct move, task);
}

static int slice(struct reaper_task *task)
{
	struct move *move = of_task(task);
	struct tn_move_wait *held = &move->pool->compactor.held;
	int r = -(int)compactor_stopped(move->pool);

	if (r < 0)
		return r == -ECANCELED ? -EIDRM : r;
	move->mover.held = *held;
	r = tn_move_one(&move->mover, move->handle, move->group);
	if (move->mover.batches)
		*held = move->mover.held;
	return r > 0 ? 0 : r == 0 ? -EBUSY : r;
}

/* The word that poisons is the loop's to write. */
static void on_done(struct reaper_task *task)
{
	struct move *move = of_task(task);
	struct session *s = move->session;

	if (task->result == -EUCLEAN)
		compactor_found_bad(move->pool, "an object was moved");
	pool_unref(move->pool);
	if (s)
		s->move = NULL;
	/* if tarnd ends, the next one will answer */
	if (s && task->result != -ECANCELED)
		connection_answer(s, TN_MSG_MOVE, move->id, task->result);
	free(move);
}

int mover_move(struct session *session, const struct attachment *a,
	       const struct tn_move_request *request, uint32_t id)
{
	struct move *move;

	if (a->pool->poisoned)
		return -EUCLEAN;
	move = calloc(1, sizeof(*move));
	if (!move)
		return -ENOMEM;
	move->session = session;
	move->id = id;
	move->pool = pool_ref(a->pool);
	move->handle = request->handle;
	move->group = request->flags & TN_MOVE_FIXED ? TN_GROUP_FIXED
						     : TN_GROUP_MOVABLE;
	mover_init(&move->mover, move->pool);
	move->mover.spoil = request->flags & TN_MOVE_POISON;
	move->task.slice = slice;
	move->task.done = on_done;
	session->move = move;
	reaper_do(session->server->reaper, &move->task, session->peer.uid);
	return 0;
}

void mover_forget(struct session *session)
{
	if (session->move)
		session->move->session = NULL;
	session->move = NULL;
}
