/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inject.so: preloaded, it stands between a program and the C library, and
 * answers for it when a call is to fail (tn_fault.h). What the C library calls
 * inside itself does not come by, but for allocations.
 *
 * It is not to change what it looks at: no allocation, no lock, and errno as
 * it was. Without a page (TN_FAULT_ENV is not set) it passes everything on.
 */
#include "tests/lib/tn_fault.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

#define EXPORT __attribute__((visibility("default")))

static struct tn_fault_page *page;

/* The C library's own. */
#define REAL(name) \
	({ \
		static __typeof__(&name) real_; \
		if (!real_) \
			real_ = (__typeof__(&name))dlsym(RTLD_NEXT, #name); \
		real_; \
	})

/* Before main(), while there is one thread. */
__attribute__((constructor)) static void attach(void)
{
	const char *path = getenv(TN_FAULT_ENV);
	int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path,
				     O_RDWR | O_CLOEXEC) : -1;
	void *at;

	if (fd < 0)
		return;
	at = REAL(mmap)(NULL, sizeof(*page), PROT_READ | PROT_WRITE,
			MAP_SHARED, fd, 0);
	syscall(SYS_close, fd);
	if (at != MAP_FAILED)
		page = at;
}

static void note_site(enum tn_fault_kind kind, const void *site)
{
	_Atomic uintptr_t *at = page->sites[kind];
	uintptr_t none;

	for (unsigned i = 0; i < TN_FAULT_SITES_MAX; i++) {
		none = 0;
		if (at[i] == (uintptr_t)site ||
		    atomic_compare_exchange_strong(&at[i], &none,
						   (uintptr_t)site) ||
		    none == (uintptr_t)site)
			return;
	}
}

/* Return: 0: it goes on; else what it fails with. */
static int fails_as(enum tn_fault_kind kind, const void *site)
{
	uint64_t n;

	if (!page || !page->armed)
		return 0;
	note_site(kind, site);
	page->total[kind]++;
	n = atomic_fetch_add(&page->n[kind], 1) + 1;
	if (kind != page->kind || n < page->at ||
	    (n > page->at && !page->for_ever))
		return 0;
	page->n_failed++;
	page->failed_site = (uintptr_t)site;
	return page->error;
}

static bool makes_file(enum tn_fault_kind kind)
{
	return kind == TN_FAULT_open || kind == TN_FAULT_fopen ||
	       kind == TN_FAULT_opendir || kind == TN_FAULT_memfd_create ||
	       kind == TN_FAULT_accept4 || kind == TN_FAULT_socket ||
	       kind == TN_FAULT_socketpair || kind == TN_FAULT_pipe2 ||
	       kind == TN_FAULT_epoll_create1 || kind == TN_FAULT_eventfd ||
	       kind == TN_FAULT_pidfd_open;
}

static int fails(enum tn_fault_kind kind, const void *site)
{
	int error = fails_as(kind, site);

	return !error && makes_file(kind) ? fails_as(TN_FAULT_files, site)
					  : error;
}

#define SITE __builtin_return_address(0)

/* A call that gives @bad and errno. */
#define WRAP(kind, type, bad, name, params, args) \
	EXPORT type name params; \
	type name params \
	{ \
		int error_ = fails(TN_FAULT_##kind, SITE); \
		if (!error_) \
			return REAL(name) args; \
		errno = error_; \
		return bad; \
	}

#define WRAP_INT(name, params, args) WRAP(name, int, -1, name, params, args)

/* allocations */

static void *count(void *p)
{
	if (p && page)
		page->live++;
	return p;
}

#define WRAP_ALLOC(name, params, args) \
	EXPORT void *name params; \
	void *name params \
	{ \
		int error_ = fails(TN_FAULT_malloc, SITE); \
		if (!error_) \
			return count(REAL(name) args); \
		errno = error_; \
		return NULL; \
	}

WRAP_ALLOC(malloc, (size_t bytes), (bytes))
WRAP_ALLOC(calloc, (size_t n, size_t bytes), (n, bytes))
WRAP_ALLOC(aligned_alloc, (size_t align, size_t bytes), (align, bytes))

EXPORT void *realloc(void *old, size_t bytes)
{
	int error = fails(TN_FAULT_malloc, SITE);

	if (!error)
		return old ? REAL(realloc)(old, bytes)
			   : count(REAL(realloc)(old, bytes));
	errno = error;
	return NULL;
}

EXPORT void *reallocarray(void *old, size_t n, size_t bytes)
{
	int error = fails(TN_FAULT_malloc, SITE);

	if (!error)
		return old ? REAL(reallocarray)(old, n, bytes)
			   : count(REAL(reallocarray)(old, n, bytes));
	errno = error;
	return NULL;
}

EXPORT int posix_memalign(void **ret, size_t align, size_t bytes)
{
	int r = fails(TN_FAULT_malloc, SITE);

	if (r)
		return r;
	r = REAL(posix_memalign)(ret, align, bytes);
	if (r == 0)
		count(*ret);
	return r;
}

EXPORT void free(void *p)
{
	if (p && page)
		page->live--;
	REAL(free)(p);
}

/* files */

WRAP_INT(memfd_create, (const char *name, unsigned flags), (name, flags))
WRAP_INT(ftruncate, (int fd, off_t bytes), (fd, bytes))
WRAP_INT(fallocate, (int fd, int mode, off_t off, off_t bytes),
	 (fd, mode, off, bytes))
WRAP_INT(fchmod, (int fd, mode_t mode), (fd, mode))
WRAP_INT(chmod, (const char *path, mode_t mode), (path, mode))
WRAP_INT(fstat, (int fd, struct stat *st), (fd, st))
WRAP_INT(fstatfs, (int fd, struct statfs *fs), (fd, fs))
WRAP_INT(lstat, (const char *path, struct stat *st), (path, st))
WRAP(lseek, off_t, -1, lseek, (int fd, off_t off, int how), (fd, off, how))
WRAP(write, ssize_t, -1, write, (int fd, const void *p, size_t bytes),
     (fd, p, bytes))
WRAP(read, ssize_t, -1, read, (int fd, void *p, size_t bytes), (fd, p, bytes))
WRAP(fopen, FILE *, NULL, fopen, (const char *path, const char *mode),
     (path, mode))
WRAP(fopen, FILE *, NULL, fopen64, (const char *path, const char *mode),
     (path, mode))
WRAP(opendir, DIR *, NULL, opendir, (const char *path), (path))
WRAP(mmap, void *, MAP_FAILED, mmap,
     (void *at, size_t bytes, int prot, int flags, int fd, off_t off),
     (at, bytes, prot, flags, fd, off))
WRAP_INT(madvise, (void *at, size_t bytes, int advice), (at, bytes, advice))

/* One more argument, whatever it is. */
#define LAST_ARGUMENT(after) \
	({ \
		va_list ap_; \
		long last_; \
		va_start(ap_, after); \
		last_ = va_arg(ap_, long); \
		va_end(ap_); \
		last_; \
	})

#define WRAP_MORE(kind, name, last, params, ...) \
	EXPORT int name params; \
	int name params \
	{ \
		long arg_ = LAST_ARGUMENT(last); \
		int error_ = fails(TN_FAULT_##kind, SITE); \
		if (!error_) \
			return REAL(name)(__VA_ARGS__, arg_); \
		errno = error_; \
		return -1; \
	}

WRAP_MORE(open, open, flags, (const char *path, int flags, ...), path, flags)
WRAP_MORE(open, open64, flags, (const char *path, int flags, ...), path, flags)
WRAP_MORE(fcntl, fcntl, cmd, (int fd, int cmd, ...), fd, cmd)
WRAP_MORE(fcntl, fcntl64, cmd, (int fd, int cmd, ...), fd, cmd)
WRAP_MORE(ioctl, ioctl, cmd, (int fd, unsigned long cmd, ...), fd, cmd)

/* sockets */

WRAP_INT(socket, (int domain, int type, int protocol),
	 (domain, type, protocol))
WRAP_INT(socketpair, (int domain, int type, int protocol, int fds[2]),
	 (domain, type, protocol, fds))
WRAP_INT(connect, (int fd, const struct sockaddr *sa, socklen_t bytes),
	 (fd, sa, bytes))
WRAP_INT(bind, (int fd, const struct sockaddr *sa, socklen_t bytes),
	 (fd, sa, bytes))
WRAP_INT(listen, (int fd, int backlog), (fd, backlog))
WRAP_INT(accept4, (int fd, struct sockaddr *sa, socklen_t *bytes, int flags),
	 (fd, sa, bytes, flags))
EXPORT int getsockopt(int fd, int level, int name, void *value,
		      socklen_t *bytes)
{
	/* a socket has its cookie, and tells it to whoever has the socket */
	int error = name == SO_COOKIE ? 0 : fails(TN_FAULT_getsockopt, SITE);

	if (!error && name == SO_PEERPIDFD)
		error = fails_as(TN_FAULT_files, SITE);
	if (!error)
		return REAL(getsockopt)(fd, level, name, value, bytes);
	errno = error;
	return -1;
}

WRAP_INT(setsockopt,
	 (int fd, int level, int name, const void *value, socklen_t bytes),
	 (fd, level, name, value, bytes))
WRAP_INT(shutdown, (int fd, int how), (fd, how))
WRAP(sendmsg, ssize_t, -1, sendmsg,
     (int fd, const struct msghdr *msg, int flags), (fd, msg, flags))

/* What the kernel does to descriptors that the receiver has no room for. */
static void cut_fds(struct msghdr *msg)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int fd;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			close(fd);
		}
		msg->msg_flags |= MSG_CTRUNC;
	}
	msg->msg_controllen = 0;
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	int error = fails(TN_FAULT_recvmsg, SITE);
	ssize_t n;

	if (error > 0) {
		errno = error;
		return -1;
	}
	n = REAL(recvmsg)(fd, msg, flags);
	if (n >= 0 && error == TN_FAULT_CTRUNC)
		cut_fds(msg);
	return n;
}

/* the rest */

WRAP_INT(epoll_create1, (int flags), (flags))
WRAP_INT(epoll_ctl, (int epfd, int op, int fd, struct epoll_event *event),
	 (epfd, op, fd, event))
WRAP_INT(epoll_wait, (int epfd, struct epoll_event *events, int n, int ms),
	 (epfd, events, n, ms))
WRAP_INT(eventfd, (unsigned n, int flags), (n, flags))
WRAP_INT(pipe2, (int fds[2], int flags), (fds, flags))
WRAP_INT(poll, (struct pollfd *fds, nfds_t n, int ms), (fds, n, ms))
WRAP(getrandom, ssize_t, -1, getrandom,
     (void *p, size_t bytes, unsigned flags), (p, bytes, flags))

EXPORT int pthread_create(pthread_t *ret, const pthread_attr_t *attr,
			  void *(*fn)(void *), void *arg)
{
	int error = fails(TN_FAULT_pthread_create, SITE);

	return error ? error : REAL(pthread_create)(ret, attr, fn, arg);
}

EXPORT int pthread_key_create(pthread_key_t *ret, void (*fn)(void *))
{
	int error = fails(TN_FAULT_pthread_key_create, SITE);

	return error ? error : REAL(pthread_key_create)(ret, fn);
}

EXPORT long syscall(long number, ...)
{
	long a[6];
	va_list ap;
	int error;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	error = number == SYS_pidfd_open ? fails(TN_FAULT_pidfd_open, SITE) : 0;
	if (!error)
		return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4],
				     a[5]);
	errno = error;
	return -1;
}
