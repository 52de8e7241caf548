/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_load.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tarn/admin.h>
#include <tarn/tarn.h>

#include "tests/lib/tn_test.h"

#define OBJECTS 64
#define BURST 100        /* allocations between two rests */
#define REST_US 500      /* of either thread, so that eight fit two cores */
#define POOL "load"

static const uid_t uids[3] = { 0, 54321, 54322 };

struct self {
	struct tn_load *load;
	struct tn_load_client *me;
	unsigned number;
	struct tarn *t;
	struct tarn_pool *pool;
	uint64_t random;
	void *object[OBJECTS];
};

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static bool go_on(const struct self *s)
{
	return __atomic_load_n(&s->load->go_on, __ATOMIC_RELAXED);
}

static uint64_t next(struct self *s)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return s->random;
}

/* Return: was it as it must be? */
static bool note(struct self *s, const char *what, int r, int wanted)
{
	if (r == wanted)
		return true;
	if (!s->me->error) {
		s->me->error = r ? r : 1;
		snprintf(s->me->where, sizeof(s->me->where), "%s", what);
	}
	return false;
}

/* the allocating thread */

static void take_mail(struct self *s)
{
	uint64_t ref = __atomic_exchange_n(&s->me->mail, 0, __ATOMIC_ACQ_REL);

	if (!ref)
		return;
	if (note(s, "take", tarn_take(s->pool, ref), 0))
		note(s, "free", tarn_free(s->pool, tarn_ptr(s->pool, ref)), 0);
	s->me->n_passed++;
}

/* To the next one, if its box is empty; there is no other who posts there. */
static void give_mail(struct self *s, unsigned i)
{
	struct tn_load_client *to =
		&s->load->client[(s->number + 1) % TN_LOAD_CLIENTS];
	tarn_ref ref = tarn_ref_of(s->pool, s->object[i]);

	if (__atomic_load_n(&to->mail, __ATOMIC_ACQUIRE))
		return;
	if (!note(s, "give", tarn_give(s->pool, ref, to->id), 0))
		return;
	__atomic_store_n(&to->mail, ref, __ATOMIC_RELEASE);
	s->object[i] = NULL;
}

/* Into a word of one of our own objects, and out again. */
static void publish_and_claim(struct self *s, unsigned i)
{
	uint64_t *word = s->object[(i + 1) % OBJECTS];
	tarn_ref ref = tarn_ref_of(s->pool, s->object[i]);

	if (!word || i + 1 == OBJECTS)
		return;
	*word = 0;
	if (!note(s, "publish", tarn_publish(s->pool, word, ref), 0))
		return;
	if (!note(s, "claim", tarn_claim(s->pool, word) == ref, 1))
		s->object[i] = NULL;
}

static void replace(struct self *s, unsigned i, uint64_t *last)
{
	uint64_t now;

	if (s->object[i])
		note(s, "free", tarn_free(s->pool, s->object[i]), 0);
	s->object[i] = tarn_alloc(s->pool, 16 + next(s) % 3000);
	note(s, "alloc", s->object[i] != NULL, 1);
	now = now_us();
	if (*last && now - *last > s->me->gap_us)
		s->me->gap_us = now - *last;
	*last = now;
	s->me->n_allocs++;
}

static void *allocate(void *arg)
{
	struct self *s = arg;
	uint64_t last = 0;

	for (uint64_t n = 0; go_on(s); n++) {
		unsigned i = next(s) % OBJECTS;

		replace(s, i, &last);
		if (n % 16 == 0 && s->object[i])
			publish_and_claim(s, i);
		if (n % 16 == 8 && s->object[i])
			give_mail(s, i);
		take_mail(s);
		if (n % BURST == 0)
			usleep(REST_US);
	}
	for (unsigned i = 0; i < OBJECTS; i++)
		if (s->object[i])
			tarn_free(s->pool, s->object[i]);
	return NULL;
}

/* the thread that asks */

static void timed(struct self *s, const char *what, int r, uint64_t began)
{
	struct tn_load_client *me = s->me;
	uint64_t us = now_us() - began;

	note(s, what, r, 0);
	if (me->n_requests < TN_LOAD_REQUESTS_MAX)
		me->request_us[me->n_requests++] = (uint32_t)us;
}

static void ask_for_own_pool(struct self *s, const char *name)
{
	uint64_t began = now_us();

	timed(s, "create", tarn_pool_create(s->t, name,
		TARN_POOL_OPTS(.bytes = 1 << 20)), began);
	began = now_us();
	timed(s, "destroy", tarn_pool_destroy(s->t, name), began);
}

static void ask_for_pool(struct self *s)
{
	struct tarn_pool_info info;
	struct tarn_pool *pool = NULL;
	uint64_t began = now_us();
	int r = tarn_pool_open(s->t, POOL, TARN_PRODUCER, &pool);

	timed(s, "open", r, began);
	if (r < 0)
		return;
	note(s, "alloc in a new one", tarn_alloc(pool, 100) != NULL, 1);
	began = now_us();
	tarn_pool_close(pool);
	timed(s, "close", 0, began);
	began = now_us();
	timed(s, "stat", tarn_pool_stat(s->t, POOL, &info), began);
}

static void ask(struct self *s)
{
	struct tarn *t;
	char name[16];
	int r;

	snprintf(name, sizeof(name), "own-%u", s->number);
	for (unsigned n = 0; go_on(s); n++) {
		ask_for_pool(s);
		ask_for_own_pool(s, name);
		if (n % 8 == 0) {
			uint64_t began = now_us();

			r = tarn_connect(NULL, &t);
			timed(s, "connect", r, began);
			if (r == 0)
				tarn_disconnect(t);
		}
		usleep(REST_US * 4);
	}
}

static bool all_are_there(const struct tn_load *load)
{
	for (int i = 0; i < TN_LOAD_CLIENTS; i++)
		if (!__atomic_load_n(&load->client[i].id, __ATOMIC_ACQUIRE))
			return false;
	return true;
}

/* Nobody leaves before all have stopped handing over. */
static void leave_together(struct self *s)
{
	s->me->done = true;
	for (int i = 0; i < TN_LOAD_CLIENTS; i++)
		while (!__atomic_load_n(&s->load->client[i].done,
					__ATOMIC_ACQUIRE))
			usleep(1000);
	take_mail(s);
	tarn_pool_close(s->pool);
	tarn_disconnect(s->t);
}

struct launch { struct tn_load *load; unsigned number; };

static int be_client(void *arg)
{
	const struct launch *l = arg;
	struct self s = {
		.load = l->load, .me = &l->load->client[l->number],
		.number = l->number, .random = 88172645463325252ULL + l->number,
	};
	pthread_t thread;

	alarm(0);
	if (!note(&s, "connect", tarn_connect(NULL, &s.t), 0) ||
	    !note(&s, "open", tarn_pool_open(s.t, POOL, TARN_PRODUCER,
					     &s.pool), 0))
		return 1;
	__atomic_store_n(&s.me->id, tarn_client_id(s.pool), __ATOMIC_RELEASE);
	while (!all_are_there(s.load))
		usleep(1000);
	pthread_create(&thread, NULL, allocate, &s);
	ask(&s);
	pthread_join(thread, NULL);
	leave_together(&s);
	return s.me->error != 0;
}

/* from outside */

int tn_load_pool(void)
{
	struct tarn *t;
	int r = tarn_connect(NULL, &t);

	if (r < 0)
		return r;
	r = tarn_pool_create(t, POOL, TARN_POOL_OPTS(.bytes = 64 << 20,
						     .mode = 0666));
	tarn_disconnect(t);
	return r;
}

struct tn_load *tn_load_start(void (*turn)(void))
{
	struct tn_load *load = mmap(NULL, sizeof(*load),
				    PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(load, MAP_FAILED);
	load->go_on = true;
	for (unsigned i = 0; i < TN_LOAD_CLIENTS; i++) {
		struct launch l = { load, i };
		uid_t uid = uids[i % 3];

		load->pid[i] = geteuid() || !uid ?
			tn_test_spawn(be_client, &l) :
			tn_test_spawn_as(uid, uid, be_client, &l);
	}
	while (!all_are_there(load)) {
		for (int i = 0; i < TN_LOAD_CLIENTS; i++)
			if (load->client[i].error)
				fail_msg("a client cannot begin: %s: %d",
					 load->client[i].where,
					 load->client[i].error);
		turn();
	}
	return load;
}

unsigned tn_load_stop(struct tn_load *load, void (*turn)(void))
{
	unsigned wrong = 0;
	int status;

	__atomic_store_n(&load->go_on, false, __ATOMIC_RELAXED);
	for (int i = 0; i < TN_LOAD_CLIENTS; i++) {
		while (waitpid(load->pid[i], &status, WNOHANG) == 0)
			turn();
		if (status == 0)
			continue;
		wrong++;
		print_error("client %d: status %x, %s: %d\n", i, status,
			    load->client[i].where, load->client[i].error);
	}
	return wrong;
}

void tn_load_clear(struct tn_load *load)
{
	for (int i = 0; i < TN_LOAD_CLIENTS; i++) {
		load->client[i].gap_us = 0;
		load->client[i].n_requests = 0;
		load->client[i].n_allocs = 0;
		load->client[i].n_passed = 0;
	}
}

static int compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

uint32_t tn_load_request_us(const struct tn_load *load, double share,
			    uint64_t *ret_n)
{
	uint32_t *all = malloc(sizeof(load->client[0].request_us) *
			       TN_LOAD_CLIENTS), ret = 0;
	size_t n = 0;

	assert_non_null(all);
	for (int i = 0; i < TN_LOAD_CLIENTS; i++) {
		const struct tn_load_client *c = &load->client[i];

		memcpy(all + n, c->request_us,
		       c->n_requests * sizeof(*c->request_us));
		n += c->n_requests;
	}
	qsort(all, n, sizeof(*all), compare);
	if (n)
		ret = all[(size_t)((double)(n - 1) * share)];
	free(all);
	*ret_n = n;
	return ret;
}

void tn_load_free(struct tn_load *load)
{
	munmap(load, sizeof(*load));
}
