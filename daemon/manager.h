/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* What the service manager is told, with descriptors. See manager.c. */
#include <stdbool.h>

#include "base/list.h"

struct event;
struct event_base;

#define MANAGER_TEXT_BYTES 96
#define MANAGER_FDS_MAX 3

struct manager {
	int sock;             /* -1: there is none */
	struct tn_list queue; /* of messages that had no room */
	struct event *room;
};

struct manager_message {
	struct tn_list link;
	char text[MANAGER_TEXT_BYTES];
	unsigned n_fds;
	int fds[MANAGER_FDS_MAX]; /* the caller's */
};

/** manager_init() - Return: 1; 0: there is no manager (NOTIFY_SOCKET); -errno,
 *  logged; manager_fini() is due in any case */
int manager_init(struct manager *manager, struct event_base *base);

/** manager_fini() - what waits is not sent */
void manager_fini(struct manager *manager);

/** manager_say() - send it now or when there is room; 0 or -errno */
int manager_say(struct manager *manager, const struct manager_message *m);

/** manager_flush() - send what waits, as far as there is room */
void manager_flush(struct manager *manager);
