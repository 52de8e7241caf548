/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bits.h"
#include "base/cleanup.h"

#define PUNCH_BYTES (1 << 20) /* at once: some 100 us */

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

int backing_memfd(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING |
				    MFD_NOEXEC_SEAL);

	/* before 6.3 the flag is unknown; any other refusal is meant */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd < 0 ? tn_neg_errno() : fd;
}

/*
 * 0600, for else any uid that holds a read-only descriptor may reopen it for
 * writing through /proc. SEAL too, for else a holder could add FUTURE_WRITE
 * and so keep everybody who comes later, and tarnd, from mapping it.
 */
static int close_holes(int fd, uint64_t bytes)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

	if (fchmod(fd, 0600) < 0 || ftruncate(fd, (off_t)bytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, seals) < 0)
		return tn_neg_errno();
	return 0;
}

int backing_map(struct backing *b, uint64_t bytes, int prot)
{
	void *at = mmap(NULL, bytes, prot, MAP_SHARED, b->fd, 0);

	if (at == MAP_FAILED)
		return tn_neg_errno();
	madvise(at, bytes, MADV_DONTDUMP); /* others' data */
	b->map = at;
	b->bytes = bytes;
	return 0;
}

int backing_init(struct backing *b, const char *name, uint64_t bytes, int prot)
{
	tn_cleanup(backing_fini) struct backing made = BACKING_NONE;
	int r;

	*b = (struct backing)BACKING_NONE;
	r = backing_memfd(name);
	if (r < 0)
		return r;
	made.fd = r;
	made.bytes = bytes;
	r = close_holes(made.fd, bytes);
	if (r == 0 && prot)
		r = backing_map(&made, bytes, prot);
	if (r < 0)
		return r;
	*b = made;
	made = (struct backing)BACKING_NONE;
	return 0;
}

bool backing_named(int fd, const char *name)
{
	char path[32], is[PATH_MAX], want[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, is, sizeof(is) - 1);
	if (n < 0)
		return false;
	is[n] = '\0';
	snprintf(want, sizeof(want), "/memfd:%s (deleted)", name);
	return !strcmp(is, want);
}

int backing_check(int fd, const char *name, uint64_t bytes)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	const int all = seals | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
	int has = fcntl(fd, F_GET_SEALS), flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (fstat(fd, &st) < 0 || flags < 0)
		return tn_neg_errno();
	if (!S_ISREG(st.st_mode) || has < 0 || !backing_named(fd, name))
		return -EINVAL;
	if ((uint64_t)st.st_size != bytes)
		return -EFBIG;
	if ((has & all) != seals || (st.st_mode & 0777) != 0600 ||
	    (flags & O_ACCMODE) != O_RDWR)
		return -EPERM;
	return 0;
}

void backing_fini(struct backing *b)
{
	if (b->map)
		munmap(b->map, b->bytes);
	tn_closep(&b->fd);
	*b = (struct backing)BACKING_NONE;
}

int backing_reopen(const struct backing *b, bool writable)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", b->fd);
	fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	return fd < 0 ? tn_neg_errno() : fd;
}

uint64_t backing_resident(const struct backing *b)
{
	struct stat st;

	return fstat(b->fd, &st) < 0 ? 0 : (uint64_t)st.st_blocks * 512;
}

int backing_reserve(const struct backing *b, uint64_t off, uint64_t bytes)
{
	return fallocate(b->fd, 0, (off_t)off, (off_t)bytes) < 0 ?
	       tn_neg_errno() : 0;
}

int backing_punch_at(const struct backing *b, uint64_t off, uint64_t bytes)
{
	const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	return fallocate(b->fd, mode, (off_t)off, (off_t)bytes) < 0 ?
	       tn_neg_errno() : 0;
}

int backing_punch(const struct backing *b, uint64_t off, bool blind,
		  uint64_t *ret_off)
{
	off_t from = blind ? (off_t)off : lseek(b->fd, (off_t)off, SEEK_DATA);
	int r;

	if (from < 0 && errno != ENXIO)
		return tn_neg_errno();
	if (from < 0) {
		*ret_off = b->bytes;
		return 0;
	}
	r = backing_punch_at(b, (uint64_t)from, PUNCH_BYTES);
	if (r == 0)
		*ret_off = tn_min64(b->bytes, (uint64_t)from + PUNCH_BYTES);
	return r;
}
