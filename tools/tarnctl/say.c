/* SPDX-License-Identifier: BSD-2-Clause */
/* Sentences and names. */
#include "tools/tarnctl/tarnctl.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Where tarn's meaning is narrower than the system's word for it. */
static const char *why(int r)
{
	switch (-r) {
	case EDQUOT:
		return "this user's quota does not allow it";
	case ECONNRESET:
		return "tarnd has gone away";
	case ETIMEDOUT:
		return "tarnd does not answer";
	case EUCLEAN:
		return "the pool is damaged";
	case EUSERS:
		return "it has as many clients as a pool can have";
	case EPROTONOSUPPORT:
		return "this tarnctl and tarnd are of different versions";
	default:
		return strerror(-r);
	}
}

int failed(int r, const char *fmt, ...)
{
	va_list ap;

	fputs("tarnctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (r < 0)
		fprintf(stderr, ": %s", why(r));
	fputc('\n', stderr);
	return FAILED;
}

int failed_pool(const struct request *q, int r, const char *doing)
{
	switch (-r) {
	case ENOENT:
		return failed(0, "no pool named '%s'", q->name);
	case EEXIST:
		return failed(0, "there is a pool named '%s' already", q->name);
	case EPERM:
		return failed(0, "cannot %s pool '%s': only its owner and root "
			      "may", doing, q->name);
	case EACCES:
		return failed(0, "cannot %s pool '%s': its mode does not let "
			      "this user", doing, q->name);
	default:
		return failed(r, "cannot %s pool '%s'", doing, q->name);
	}
}

const char *user_text(uint32_t uid, char buf[64])
{
	const struct passwd *pw = getpwuid(uid);

	if (pw && strlen(pw->pw_name) < 64)
		return strcpy(buf, pw->pw_name);
	snprintf(buf, 64, "%" PRIu32, uid);
	return buf;
}

const char *group_text(uint32_t gid, char buf[64])
{
	const struct group *gr = getgrgid(gid);

	if (gr && strlen(gr->gr_name) < 64)
		return strcpy(buf, gr->gr_name);
	snprintf(buf, 64, "%" PRIu32, gid);
	return buf;
}
