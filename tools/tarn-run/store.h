/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * The descriptors a service has put by, for the one after it: what systemd
 * does for FDSTORE=1, with the same rules. Several may have one name. One
 * that is there already, under whatever name, is not stored again. One that
 * can be polled and hangs up leaves by itself, unless it came with FDPOLL=0.
 *
 * The names travel in one string of the environment, of which the kernel
 * takes 128 KiB. A store whose names are longer could never be handed back,
 * so that is a limit of its own, which systemd does not look at.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define STORE_MAX 16384          /* FileDescriptorStoreMax= of tarnd.service */
#define STORE_NAMES_MAX (120 << 10)
#define STORE_NAME_MAX 255       /* of the protocol */

struct store_entry {
	int fd;
	bool polled;
	dev_t dev;
	ino_t ino;
	char *name;
};

struct store {
	size_t n, max;
	size_t names_bytes;      /* each with what separates it */
	int epoll_fd;            /* readable: something has hung up */
	struct store_entry *entries; /* in the order they came */
};
#define STORE_NONE { .epoll_fd = -1 }

/** store_init() - Return: 0 or -errno. */
int store_init(struct store *s, size_t max);
void store_fini(struct store *s);

/** store_name_ok() - may it be one? ASCII without control characters or ':' */
bool store_name_ok(const char *name);

/**
 * store_add() - put @fd by, or close it
 *
 * Return: 1: stored; 0: it was there already; -ENOSPC: the store is full;
 * -errno: out of memory, or no such descriptor.
 */
int store_add(struct store *s, int fd, const char *name, bool polled);

/** store_remove() - close all of that name; Return: how many */
size_t store_remove(struct store *s, const char *name);

/** store_drop_hung() - close those that have hung up; Return: how many */
size_t store_drop_hung(struct store *s);
