/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* What a request makes, from its making to its being kept. See making.c. */
#include "daemon/session.h"

/** making_lost() - has what was made ended before it was kept? Undo it. */
bool making_lost(const struct session *session);

/** making_finish() - it is in the store: note it, and let it be seen
 *  Return: false: there is nobody to go on with any more; hang up */
bool making_finish(struct session *session);

/** making_undo() - it is not, or nobody waits for it: it never was */
void making_undo(struct session *session);
