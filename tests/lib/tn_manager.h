/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * A service manager, of which this is as much as tarnd needs: it listens for
 * it, hears what it has to say, keeps its descriptors and starts it again with
 * them. Everything about it can be made to go wrong.
 *
 * Messages are read by tn_manager_turn(), or by a thread of its own between
 * tn_manager_run() and tn_manager_rest().
 */
#include <pthread.h>

#include "tests/lib/tn_test.h"

#define TN_STORED_MAX 16384

struct tn_stored {
	char name[64];
	int fd;
};

struct tn_manager {
	struct tn_test_daemon d;
	char notify[160];          /* path of the notify socket */
	int notify_fd, listen_fd;
	unsigned max;              /* FileDescriptorStoreMax= */
	bool deaf;                 /* reads nothing */
	struct tn_stored *stored;  /* in the order of arrival */
	unsigned n_stored;
	unsigned n_ready, n_barriers; /* how often it said so */
	char status[256];
	pthread_mutex_t lock;
	pthread_t thread;
	bool running, stop;
};

/** tn_manager_init() - its directory and sockets; no tarnd runs yet */
void tn_manager_init(struct tn_manager *m, unsigned max);

/** tn_manager_begin() - the same, with room; a thread hears, tarnd is ready */
void tn_manager_begin(struct tn_manager *m);

/** tn_manager_fini() - kill tarnd, drop and remove everything */
void tn_manager_fini(struct tn_manager *m);

/** tn_manager_exec() - in a child: become tarnd, with what is stored */
int tn_manager_exec(void *manager);

/** tn_manager_start() - start tarnd; it need not be ready. Sets TARN_SOCKET */
void tn_manager_start(struct tn_manager *m);

/** tn_manager_up() - start it, and wait until it is ready */
void tn_manager_up(struct tn_manager *m);

/** tn_manager_end() - by a signal; what it still said is heard
 *  Return: exit status, as of tn_test_wait() */
int tn_manager_end(struct tn_manager *m, int sig);

/** tn_manager_turn() - hear what is said within @ms; true if anything was */
bool tn_manager_turn(struct tn_manager *m, int ms);

/** tn_manager_run(), tn_manager_rest() - a thread that does so all the time */
void tn_manager_run(struct tn_manager *m);
void tn_manager_rest(struct tn_manager *m);

/** tn_manager_find() - the first that is stored whose name begins so, after
 *  @after (NULL: from the first on); or NULL */
struct tn_stored *tn_manager_find(struct tn_manager *m, const char *prefix,
				  const struct tn_stored *after);

/** tn_manager_count() - those whose names begin so */
unsigned tn_manager_count(struct tn_manager *m, const char *prefix);

/** tn_manager_drop() - one out of the store, as if it had never been there */
void tn_manager_drop(struct tn_manager *m, struct tn_stored *s);

/** tn_manager_put() - something into it; the descriptor is the store's then */
void tn_manager_put(struct tn_manager *m, const char *name, int fd);
