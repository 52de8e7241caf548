/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Who is at the other end of a connection: the process that connected, as
 * the kernel recorded it then, whatever it has become or passed on since.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct peer {
	pid_t pid;      /* for people; decides nothing */
	uid_t uid;
	gid_t gid;
	gid_t *groups;  /* supplementary */
	size_t n_groups;
	int pidfd;      /* readable once the process is dead */
};
#define PEER_NONE { .pidfd = -1 }

enum { PEER_GONE = 1 };

/**
 * peer_init() - who is at the other end of @sock
 * @by_pid: do as if the kernel had no SO_PEERPIDFD (before 6.5)
 *
 * Return: 0; PEER_GONE: it is dead already; -errno.
 */
int peer_init(struct peer *peer, int sock, bool by_pid);
/** peer_uid() - only .pid, .uid and .gid of @peer, which is PEER_NONE; 0 or
 *  -errno. It costs next to nothing; peer_init() may follow */
int peer_uid(int sock, struct peer *peer);

void peer_fini(struct peer *peer);

/**
 * peer_restore() - one that an earlier tarnd knew
 * @peer: .pid, .uid, .gid and .pidfd are set; .pidfd may be -1: lost
 * @sock: its connection; -1: there is none, and its groups are not known
 *
 * Return: 0; PEER_GONE: it is dead, or cannot be found by its number (which is
 *         0 for all that our pid namespace does not show), and has no pidfd;
 *         -errno.
 */
int peer_restore(struct peer *peer, int sock);

/** peer_has_made() - is that socket, by the kernel's word, of a connection that
 *  the process of these .pid, .uid and .gid has made? */
bool peer_has_made(const struct peer *peer, int sock);

/** peer_is_lost() - restored as PEER_GONE, but it may live all the same */
bool peer_is_lost(const struct peer *peer);

/** peer_is_pidfd() - is it a pidfd, of the process that has this .pid or of one
 *  that is dead and has none any more? */
bool peer_is_pidfd(const struct peer *peer, int fd);

/**
 * peer_same() - is that one living process, of one uid?
 * @a: connected earlier than @b
 */
bool peer_same(const struct peer *a, const struct peer *b);

/** peer_is_dead() - or not known to be alive */
bool peer_is_dead(const struct peer *peer);

/** peer_in_group() - is @gid the peer's own or a supplementary group? */
bool peer_in_group(const struct peer *peer, gid_t gid);
