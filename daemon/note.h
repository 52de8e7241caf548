/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* What an earlier tarnd noted of a session's last request. See note.c. */
#include "daemon/session.h"

/**
 * note_settle() - had it been carried out?
 *
 * Sets session->again; all that the session has is with it already. May be
 * called again, by the next tarnd too: the answer stays.
 */
void note_settle(const struct ledger *ledger, struct session *session);
