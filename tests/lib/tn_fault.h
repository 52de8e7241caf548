/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Making calls fail: the Nth of a kind, once or from then on.
 *
 *	test                          the process under test
 *	----                          ----------------------
 *	tn_fault_arm()                inject.so, preloaded, stands before the
 *	   |                          C library: counts the calls of each kind,
 *	   v                          and answers instead when the Nth comes
 *	 page shared by both  <---->
 *	   ^
 *	tn_fault_disarm(): how many there were, did it fail
 *
 * The page is a file, which the process under test finds by the environment
 * (TN_FAULT_ENV), so that it may be a tarnd that was exec'd. Nothing is counted
 * while nothing is armed, but the allocations that are live.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/lib/tn_manager.h"

#define TN_FAULT_ENV "TARN_FAULT_PAGE"
#define TN_FAULT_SITES_MAX 256U /* of one kind, that are told apart */
#define TN_FAULT_CTRUNC (-1)    /* no errno: descriptors found no room */

/*
 * Kinds of call, and what each may fail with. That of one kind comes in order
 * of likelihood. EINTR and EAGAIN pass, so nothing fails with them for ever.
 * What cannot fail but by a mistake of ours (close, munmap, a write to an
 * eventfd, pthread_mutex_lock) is not here.
 *
 * The last kind is every call that needs a new file: for ever from the Nth on,
 * it is a system that has no more of them.
 */
#define TN_FAULT_KINDS(X) \
	X(malloc, ENOMEM) \
	X(open, EMFILE, ENFILE, ENOMEM, EINTR, EACCES) \
	X(fopen, EMFILE, EACCES, ENOMEM) \
	X(opendir, EMFILE, EACCES, ENOMEM) \
	X(memfd_create, EMFILE, ENFILE, ENOMEM) \
	X(ftruncate, EFBIG, ENOMEM, EINTR) \
	X(fallocate, ENOSPC, ENOMEM, EINTR, EOPNOTSUPP) \
	X(fchmod, EPERM, EIO) \
	X(fcntl, EBUSY, EPERM, EMFILE, ENOMEM) \
	X(mmap, ENOMEM, EPERM, EAGAIN) \
	X(madvise, ENOMEM, EINVAL, EAGAIN) \
	X(accept4, EMFILE, ENFILE, ENOMEM, ENOBUFS, ECONNABORTED, EINTR, \
	  EAGAIN) \
	X(recvmsg, EINTR, EAGAIN, ENOMEM, ECONNRESET, TN_FAULT_CTRUNC) \
	X(sendmsg, EPIPE, ETOOMANYREFS, ENOBUFS, ENOMEM, ECONNRESET, EINTR, \
	  EAGAIN) \
	X(write, EINTR, EAGAIN, EPIPE, ENOSPC) \
	X(read, EINTR, EAGAIN) \
	X(socket, EMFILE, ENFILE, ENOMEM, ENOBUFS) \
	X(socketpair, EMFILE, ENFILE, ENOMEM) \
	X(connect, ECONNREFUSED, ENOENT, EACCES, ENOMEM, EINTR, EAGAIN) \
	X(bind, EADDRINUSE, EACCES, ENOMEM, EROFS) \
	X(listen, EADDRINUSE) \
	X(chmod, EPERM, EROFS) \
	X(getsockopt, ENOPROTOOPT, EMFILE, ENODATA, ENOMEM) \
	X(setsockopt, ENOMEM) \
	X(shutdown, ENOTCONN) \
	X(epoll_create1, EMFILE, ENFILE, ENOMEM) \
	X(epoll_ctl, ENOMEM, ENOSPC) \
	X(epoll_wait, EINTR) \
	X(eventfd, EMFILE, ENFILE, ENOMEM) \
	X(pidfd_open, EMFILE, ENFILE, ENOMEM, ESRCH) \
	X(pthread_create, EAGAIN) \
	X(pthread_key_create, EAGAIN, ENOMEM) \
	X(getrandom, EINTR, ENOSYS) \
	X(poll, EINTR, ENOMEM) \
	X(fstat, ENOMEM, EIO) \
	X(fstatfs, ENOMEM, ENOSYS) \
	X(lstat, EACCES, ENOMEM) \
	X(ioctl, ENOMEM) \
	X(lseek, EINVAL) \
	X(pipe2, EMFILE, ENFILE) \
	X(files, EMFILE, ENFILE)

enum tn_fault_kind {
#define TN_FAULT_ENUM(name, ...) TN_FAULT_##name,
	TN_FAULT_KINDS(TN_FAULT_ENUM)
	TN_FAULT_N_KINDS
};

struct tn_fault_page {
	/* what is to fail: written by the test, .armed last */
	uint32_t kind;
	uint64_t at;          /* the Nth since it was armed, from 1 */
	bool for_ever;        /* and all that come after it */
	int error;            /* errno, or TN_FAULT_CTRUNC */
	_Atomic bool armed;

	/* what there was: written by the process under test */
	_Atomic uint64_t n[TN_FAULT_N_KINDS];    /* since it was armed */
	_Atomic uint64_t n_failed;
	_Atomic uintptr_t failed_site;        /* of the last */
	_Atomic uint64_t total[TN_FAULT_N_KINDS];
	_Atomic uintptr_t sites[TN_FAULT_N_KINDS][TN_FAULT_SITES_MAX];
	_Atomic int64_t live;                 /* allocations */
};

/* A sanitizer stands in the same place, and needs it from the first instruction
 * on. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TN_FAULT_POSSIBLE 0
#else
#define TN_FAULT_POSSIBLE 1
#endif
#define tn_fault_skip_unless_possible() \
	do { \
		if (!TN_FAULT_POSSIBLE) { \
			print_message("not beside a sanitizer\n"); \
			skip(); \
		} \
	} while (0)

/* One failure, of all that are tried. */
struct tn_fault {
	enum tn_fault_kind kind;
	uint64_t at;
	bool for_ever;
	int error;
};

/* What was found out about a kind. */
struct tn_fault_row {
	uint64_t n;        /* the most calls that a run made */
	unsigned once, for_ever; /* runs in which something failed */
	unsigned crashes, hangs, leaks, refused;
};

struct tn_fault_table {
	struct tn_fault_page *page;
	char path[160];
	struct tn_fault_row rows[TN_FAULT_N_KINDS];
	char preload[4200], found_by[256], notify[256];
	const char *env[5];
};

/* One run: arms @f, disarms it, and notes in @row what it found.
 * Return: did anything fail? */
typedef bool tn_fault_run(struct tn_fault_table *t, const struct tn_fault *f,
			  struct tn_fault_row *row);

/** tn_fault_init() - make the page, in a file below @dir. What is exec'd from
 *  now on always lies at the same addresses, by which sites are told apart. */
void tn_fault_init(struct tn_fault_table *t, const char *dir);
void tn_fault_fini(struct tn_fault_table *t);

/**
 * tn_fault_manager() - @m begins, and a tarnd of @m->d will have @t's failures
 * @t: begins, too
 * @env: one more for it, NAME=value
 *
 * tarnd makes its socket itself. Its end, and that of @m and @t, are the
 * caller's; tn_fault_forget() drops what a tarnd has left in the store.
 */
void tn_fault_manager(struct tn_fault_table *t, struct tn_manager *m,
		      const char *env);
void tn_fault_forget(struct tn_manager *m);

/* inject.so of the build. */
const char *tn_fault_library(char *buf, size_t bytes);

void tn_fault_arm(struct tn_fault_table *t, const struct tn_fault *f);

/* Return: did anything fail? */
bool tn_fault_disarm(struct tn_fault_table *t);

/**
 * tn_fault_all() - for each kind and each N, until no run of three makes as
 * many calls: @run with each error, once and for ever
 *
 * In the short form (TARN_FAULT_FULL is not set) N grows by a half each time,
 * takes its errors in turn, fails for ever only if it is odd, and ends with the
 * first run that makes fewer calls. To find out
 * about one failure: TARN_FAULT_KIND=name picks a kind, TARN_FAULT_AT=N where
 * to begin.
 */
void tn_fault_all(struct tn_fault_table *t, tn_fault_run *run);

/* A line of text on what was being tried. */
void tn_fault_say(const struct tn_fault_table *t, const struct tn_fault *f,
		  const char *what);

/**
 * tn_fault_print() - the table
 *
 * Return: crashes, hangs, leaks and refused service, all together.
 */
unsigned tn_fault_print(const struct tn_fault_table *t, const char *title);
