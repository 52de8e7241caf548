/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Clients that do all that clients do, and note what they see. Each is a
 * process of two threads: one allocates, frees and hands over, without ever a
 * word to tarnd; one makes requests. They share the pool "load".
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define TN_LOAD_CLIENTS 8
#define TN_LOAD_REQUESTS_MAX 100000

struct tn_load_client {
	uint32_t id;             /* in the pool; 0: not there yet */
	uint64_t mail;           /* a ref, given to this client; 0: none */
	int error;               /* the first, -errno, and ... */
	char where[40];          /* ... of what */
	uint64_t n_allocs, n_passed, n_requests;
	uint64_t gap_us;         /* the longest between two allocations */
	uint32_t request_us[TN_LOAD_REQUESTS_MAX];
	bool done;
};

struct tn_load {
	bool go_on;
	struct tn_load_client client[TN_LOAD_CLIENTS];
	pid_t pid[TN_LOAD_CLIENTS];
};

/** tn_load_pool() - make the pool that they share; 0 or -errno */
int tn_load_pool(void);

/** tn_load_start() - start the clients, as three users if we may; waits until
 *  each is attached. @turn is called meanwhile, again and again */
struct tn_load *tn_load_start(void (*turn)(void));

/** tn_load_stop() - all have left when it returns. How many saw an error */
unsigned tn_load_stop(struct tn_load *load, void (*turn)(void));

/** tn_load_clear() - forget what was measured so far */
void tn_load_clear(struct tn_load *load);

/** tn_load_request_us() - how long requests took: the @share'th of them, of
 *  1; @ret_n: how many there were */
uint32_t tn_load_request_us(const struct tn_load *load, double share,
			    uint64_t *ret_n);

void tn_load_free(struct tn_load *load);
