/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * What tarnd and the service manager say to each other. Without a service
 * manager every call does nothing, successfully.
 */
#include <stdbool.h>
#include <stdint.h>

#include "daemon/inherit.h"

/**
 * systemd_inherit() - what the service manager passed in
 *
 * Return: 0: @ret is filled in, systemd_disinherit() it; -EINVAL: there are
 *         sockets that are not exactly one listening SOCK_SEQPACKET socket of
 *         AF_UNIX; -errno. Logged.
 */
int systemd_inherit(struct inheritance *ret);
void systemd_disinherit(struct inheritance *in);

/** systemd_inherited() - was anything passed in from the descriptor store? */
bool systemd_inherited(void);

/* Is there somebody to notify? */
bool systemd_present(void);

/* @status: a line for whoever looks */
void systemd_ready(const char *status);
void systemd_status(const char *status);
void systemd_reloading(void);
void systemd_stopping(void);

/* How often systemd_watchdog() is due, or 0: never. */
uint64_t systemd_watchdog_usec(void);
void systemd_watchdog(void);
