/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* The mover (pool/move.h), as tarnd has it. See mover.c. */
#include "pool/move.h"

struct attachment;
struct move;
struct session;
struct tn_move_request;
struct pool;

/** mover_init() - get ready to move what is in a pool, on the reaper's thread,
 *  which alone does that */
void mover_init(struct tn_mover *mover, struct pool *pool);

/**
 * mover_move() - move one object, and then answer MOVE @id of @session
 * @a: of the session, and not ending
 *
 * Until then it is ->move of the session. Return: 0; -ENOMEM; -EUCLEAN.
 */
int mover_move(struct session *session, const struct attachment *a,
	       const struct tn_move_request *request, uint32_t id);

/** mover_forget() - nobody is there to be answered */
void mover_forget(struct session *session);
