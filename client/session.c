/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What tarnd knows us by, from connection to connection. There is more than
 * one of them if tarnd did not know the last any more: it is another daemon,
 * or this process is another user since.
 *
 *   I1  the live page of a session is mapped from its HELLO on for as long as
 *       this process is attached by it to anything, or may be: its end tells
 *       tarnd that nothing of ours is in use (daemon/live.c). It is not for a
 *       child, which would keep it mapped when we exec
 *   I2  tarnd counts the attachments of a session; ours are counted over all
 *       sessions of a connection (.base + tarnd's number). So what was attached
 *       by one is never taken for something of the next
 *   I3  .known goes along with the next HELLO: tarnd drops what is beyond it,
 *       for its reply was lost, and we know nothing of it
 *
 * Callers have the connection's turn.
 */
#include "client/session.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/cleanup.h"

static void session_free(struct tn_session *s)
{
	if (s->live)
		munmap(s->live, TN_PAGE_BYTES);
	free(s);
}

/* The file is empty, so the page is one never to be touched. */
static int map_live(int fd, void **ret)
{
	void *at = mmap(NULL, TN_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			fd, 0);

	if (at == MAP_FAILED)
		return tn_neg_errno();
	madvise(at, TN_PAGE_BYTES, MADV_DONTFORK);
	madvise(at, TN_PAGE_BYTES, MADV_DONTDUMP);
	*ret = at;
	return 0;
}

int tn_session_begin(struct tn_session **present,
		     const struct tn_hello_reply *reply, int live_fd)
{
	struct tn_session *last = *present, *s = calloc(1, sizeof(*s));
	int r = 0;

	if (!s)
		return -ENOMEM;
	s->id = reply->session;
	s->secret = reply->secret;
	s->base = last ? last->base + last->known : 0;
	if (live_fd >= 0)
		r = map_live(live_fd, &s->live);
	if (r < 0) {
		free(s);
		return r;
	}
	s->earlier = last;
	if (last && !last->n) {
		s->earlier = last->earlier;
		session_free(last);
	}
	*present = s;
	return 0;
}

void tn_session_end_all(struct tn_session **present, bool forked)
{
	while (*present) {
		struct tn_session *s = *present;

		*present = s->earlier;
		if (forked)
			s->live = NULL;
		session_free(s);
	}
}

void tn_session_name(const struct tn_session *s, struct tn_hello *hello)
{
	if (!s || !s->id)
		return;
	hello->session = s->id;
	hello->secret = s->secret;
	hello->known = s->known;
}

struct tn_session *tn_session_of(struct tn_session *present, uint32_t attach)
{
	while (present && attach <= present->base)
		present = present->earlier;
	return present;
}

uint32_t tn_session_opened(struct tn_session *present, uint32_t number)
{
	present->known = number;
	present->n++;
	return present->base + number;
}

void tn_session_left(struct tn_session **present, uint32_t attach)
{
	struct tn_session *s = tn_session_of(*present, attach);

	if (!s || !s->n || --s->n || s == *present)
		return;
	while (*present != s)
		present = &(*present)->earlier;
	*present = s->earlier;
	session_free(s);
}
