/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Resources that leave with their scope, and moving them out of it. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define tn_cleanup(fn) __attribute__((__cleanup__(fn)))

#define tn_steal_fd(fd) \
	({ int *p_ = &(fd); int v_ = *p_; *p_ = -1; v_; })
#define tn_steal_ptr(ptr) \
	({ __typeof__(ptr) *p_ = &(ptr), v_ = *p_; *p_ = NULL; v_; })

/* Use after a failed system call: gcc then knows that the path ends in < 0. */
static inline int tn_neg_errno(void) { return errno > 0 ? -errno : -EINVAL; }

static inline void tn_closep(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

static inline void tn_freep(void *p)
{
	int saved = errno;

	free(*(void **)p);
	*(void **)p = NULL;
	errno = saved;
}
