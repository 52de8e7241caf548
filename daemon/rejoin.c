/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A session is more than a connection: an id and a secret, a live file, and
 * what is attached. These stay together from connection to connection of one
 * process. tarnd may not have noticed yet that the earlier connection is over,
 * and never would while a forked child holds it: it is closed here.
 *
 *   R1  who comes is the process that made the session (peer_same(): a child
 *       that was forked from it knows the secret, too), of the same uid, and
 *       knows the secret (so another part of the same process, say after exec,
 *       does not take what it never had)
 *   R2  what is not so is not told: whatever is wrong, the answer is a new
 *       session, as if the earlier one had never been
 *   R3  the id and the secret stay as they were: if the reply is lost, the
 *       same HELLO will do again
 *   R4  a client has one connection at a time, and has shut down the last one
 *       before it makes the next. So a HELLO on a connection that is shut
 *       down already may be late, and takes nothing from a newer one
 *   R5  attachments that the client has not heard of (their number is beyond
 *       .known: the reply was lost) are ended; it asks for others
 *
 * A LEAVE that was under way is forgotten; the client asks again, and finds
 * the attachment on its end, or gone.
 */
#include "daemon/rejoin.h"

#include <poll.h>

#include "daemon/connection.h"

static bool hung_up(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLRDHUP };

	return poll(&pfd, 1, 0) != 0;
}

static bool has_session(const struct session *s)
{
	return s->id && (s->state == SESSION_OPEN ||
			 s->state == SESSION_DETACHED);
}

struct session *rejoin_find(const struct session *s,
			    const struct tn_hello *hello)
{
	if (hung_up(s->fd))
		return NULL;
	tn_list_for_each(link, &s->server->sessions) {
		struct session *old = tn_list_entry(link, struct session, link);

		if (old != s && has_session(old) &&
		    old->id == hello->session &&
		    old->secret == hello->secret &&
		    peer_same(&old->peer, &s->peer))
			return old;
	}
	return NULL;
}

/* R5; numbers may have wrapped */
static bool unheard_of(const struct attachment *a, uint32_t known)
{
	return (int32_t)(a->number - known) > 0;
}

static void take_over(struct session *s, struct session *old, uint32_t known)
{
	tn_list_for_each(link, &old->attachments) {
		struct attachment *a = tn_list_entry(link, struct attachment,
						     link);

		tn_list_remove(&a->link);
		tn_list_append(&s->attachments, &a->link);
		a->owner = s;
		if (unheard_of(a, known))
			attachment_end(a, s->server->reaper);
	}
	s->id = old->id;
	s->secret = old->secret;
	s->last_number = old->last_number;
	s->live = old->live;
	old->live = (struct backing)BACKING_NONE;
}

bool rejoin(struct session *s, const struct tn_hello *hello, uint32_t id)
{
	struct session *old = rejoin_find(s, hello);
	struct log_about about = session_about(s);

	if (!old)
		return false;
	connection_close(old); /* with what it was just making */
	keeper_rejoined(s, old, id);
	take_over(s, old, hello->known);
	session_free(old);
	log_line(LOG_DEBUG, &about, "goes on with its session");
	return true;
}
