/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Memory that can be given to other processes: a sealed memfd. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

struct backing {
	int fd;
	void *map;      /* NULL if it is not mapped here */
	uint64_t bytes;
};
#define BACKING_NONE { .fd = -1 }

/** backing_memfd() - an empty memfd that may be sealed; or -errno */
int backing_memfd(const char *name);

/**
 * backing_init() - make one: zero, sparse, sealed, for no other uid to reopen
 * @name: for /proc/PID/maps
 * @prot: map it here: PROT_READ, or with PROT_WRITE; 0: do not
 *
 * Return: 0; -EMFILE, -ENFILE, -ENOMEM, ...
 */
int backing_init(struct backing *b, const char *name, uint64_t bytes, int prot);
void backing_fini(struct backing *b);

/**
 * backing_check() - is that a file as backing_init() makes them?
 * @name, @bytes: as it was made with
 *
 * Return: 0; -EINVAL: it is none, or of another name; -EFBIG: of another
 *         size; -EPERM: not sealed, or others may open it; -errno.
 */
int backing_check(int fd, const char *name, uint64_t bytes);

/** backing_map() - map it here; @b->fd is set. Return: 0, -ENOMEM, ... */
int backing_map(struct backing *b, uint64_t bytes, int prot);

/** backing_named() - is it the memfd of that name? */
bool backing_named(int fd, const char *name);

/**
 * backing_reopen() - a descriptor of a description of its own
 * @writable: else it is read-only, and a mapping of it can never be written
 *
 * Return: the descriptor; -EMFILE, ...
 */
int backing_reopen(const struct backing *b, bool writable);

/**
 * backing_reserve() - have memory behind [@off, @off + @bytes) of it
 *
 * Return: 0; -ENOSPC, -ENOMEM. That the machine has it is the caller's to see.
 */
int backing_reserve(const struct backing *b, uint64_t off, uint64_t bytes);

/**
 * backing_punch() - give back the first memory at or after @off, a slice of it
 * @blind: do not look for it: what was reserved and never written is not found
 * @ret_off: where to go on; b->bytes: that was all
 *
 * Whoever has it mapped reads zeros then. Return: 0 or -errno.
 */
int backing_punch(const struct backing *b, uint64_t off, bool blind,
		  uint64_t *ret_off);

/** backing_punch_at() - give back [@off, @off + @bytes). Return: 0, -errno */
int backing_punch_at(const struct backing *b, uint64_t off, uint64_t bytes);

/** backing_resident() - bytes of memory behind it */
uint64_t backing_resident(const struct backing *b);
