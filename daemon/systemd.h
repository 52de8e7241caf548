/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * What tarnd and the service manager say to each other. Without a service
 * manager every call does nothing, successfully.
 */
#include <stdbool.h>
#include <stdint.h>

/**
 * systemd_listener() - the listening socket that was passed in, if any
 *
 * Return: 1 and the socket in @ret_fd, close-on-exec and non-blocking;
 *         0: none was passed; -EINVAL: what was passed is not exactly one
 *         listening SOCK_SEQPACKET socket of AF_UNIX (logged).
 */
int systemd_listener(int *ret_fd);

/* Is there somebody to notify? */
bool systemd_present(void);

void systemd_ready(unsigned pools, unsigned clients);
void systemd_status(unsigned pools, unsigned clients);
void systemd_reloading(void);
void systemd_stopping(void);

/* How often systemd_watchdog() is due, or 0: never. */
uint64_t systemd_watchdog_usec(void);
void systemd_watchdog(void);
