/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* A process whose connection was lost comes again. See rejoin.c. */
#include "daemon/session.h"

/** rejoin_find() - the session that a HELLO names, if @s may go on with it; or
 *  NULL. @hello->session is not 0 */
struct session *rejoin_find(const struct session *s,
			    const struct tn_hello *hello);

/**
 * rejoin() - go on with the session that a HELLO names, over @s's connection
 * @s: in SESSION_NEW; takes over all that the earlier one had, which is freed
 * @hello, @id: the request; .session is not 0
 *
 * Return: is it so? If not, @s is as it was.
 */
bool rejoin(struct session *s, const struct tn_hello *hello, uint32_t id);
