/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client POOL: use tarnd and a pool of it without a pause until SIGTERM, then
 * tell how that was, in one line of name=value:
 *
 *   ops        allocations and frees
 *   wrong      of them, or objects that were not as they had been left
 *   gap_us     the longest time between two of them
 *   requests   made of tarnd meanwhile, by a second thread, of every kind
 *   failed     of them, with the first one's name and error in why
 *   slowest_us of them; late: how many took longer than 250 ms
 *
 * Exit status: 0 if nothing was wrong and nothing failed.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tarn/admin.h>
#include <tarn/tarn.h>

#define POOL_BYTES (16 << 20)
#define N_SLOTS 512     /* objects it holds at most */
#define LATE_US 250000

static volatile sig_atomic_t ended;
static const char *pool_name;

struct object { unsigned char *at; size_t bytes; unsigned char fill; };
static struct { uint64_t ops, wrong, gap_us; } use;
static struct {
	uint64_t n, failed, slowest_us, late;
	char why[128];
} requests;

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void on_term(int sig)
{
	(void)sig;
	ended = 1;
}

/* the pool */

static bool intact(const struct object *o)
{
	for (size_t i = 0; i < o->bytes; i++)
		if (o->at[i] != o->fill)
			return false;
	return true;
}

/* Allocate where there is nothing, else look and free. */
static void use_one(struct tarn_pool *pool, struct object *o, unsigned random)
{
	use.ops++;
	if (o->at) {
		use.wrong += !intact(o);
		use.wrong += tarn_free(pool, o->at) != 0;
		o->at = NULL;
		return;
	}
	o->bytes = 1 + random % (random % 16 ? 256 : 20000);
	o->fill = (unsigned char)(random >> 8);
	o->at = tarn_alloc(pool, o->bytes);
	if (o->at)
		memset(o->at, o->fill, o->bytes);
	else
		use.wrong++;
}

static void use_pool(struct tarn_pool *pool)
{
	static struct object objects[N_SLOTS];
	unsigned seed = (unsigned)getpid();
	uint64_t last = now_us();

	while (!ended) {
		unsigned random = (unsigned)rand_r(&seed);
		uint64_t now;

		use_one(pool, &objects[random % N_SLOTS], random / N_SLOTS);
		now = now_us();
		if (now - last > use.gap_us)
			use.gap_us = now - last;
		last = now;
	}
	for (int i = 0; i < N_SLOTS; i++)
		if (objects[i].at)
			use_one(pool, &objects[i], 0);
}

/* tarnd */

static int ask_ping(struct tarn *t)
{
	return tarn_ping(t);
}

static int ask_stat(struct tarn *t)
{
	struct tarn_pool_info info;

	return tarn_pool_stat(t, pool_name, &info);
}

static int ask_list(struct tarn *t)
{
	struct tarn_pool_info *pools;
	int r = tarn_pool_list(t, &pools);

	if (r >= 0)
		free(pools);
	return r == 0 ? -ENOENT : r;
}

static int ask_connect(struct tarn *t)
{
	struct tarn *other;
	int r = tarn_connect(NULL, &other);

	(void)t;
	if (r == 0)
		tarn_disconnect(other);
	return r;
}

static int ask_open(struct tarn *t)
{
	struct tarn_pool *pool;
	int r = tarn_pool_open(t, pool_name, TARN_PRODUCER, &pool);

	if (r == 0)
		tarn_pool_close(pool);
	return r;
}

static int ask_create(struct tarn *t)
{
	char name[TARN_NAME_MAX + 1];
	int r;

	snprintf(name, sizeof(name), "%.30s.%d", pool_name, (int)getpid());
	r = tarn_pool_create(t, name, TARN_POOL_OPTS(.bytes = 1 << 20));
	return r < 0 ? r : tarn_pool_destroy(t, name);
}

static void *make_requests(void *arg)
{
	static const struct {
		const char *name;
		int (*fn)(struct tarn *t);
	} kinds[] = {
		{ "ping", ask_ping }, { "stat", ask_stat },
		{ "list", ask_list }, { "connect", ask_connect },
		{ "open", ask_open }, { "create", ask_create },
	};

	for (unsigned i = 0; !ended; i = (i + 1) % 6) {
		uint64_t begin = now_us(), took;
		int r = kinds[i].fn(arg);

		took = now_us() - begin;
		requests.n++;
		requests.late += took > LATE_US;
		if (took > requests.slowest_us)
			requests.slowest_us = took;
		if (r < 0 && !requests.failed++)
			snprintf(requests.why, sizeof(requests.why), "%s:%s",
				 kinds[i].name, strerrorname_np(-r));
		usleep(2000);
	}
	return NULL;
}

static int run(struct tarn *t)
{
	struct tarn_pool *pool;
	pthread_t thread;
	int r;

	r = tarn_pool_create(t, pool_name,
			     TARN_POOL_OPTS(.bytes = POOL_BYTES, .mode = 0066));
	if (r < 0 && r != -EEXIST)
		return r;
	r = tarn_pool_open(t, pool_name, TARN_PRODUCER, &pool);
	if (r < 0)
		return r;
	r = -pthread_create(&thread, NULL, make_requests, t);
	if (r < 0)
		return r;
	puts("running");
	use_pool(pool);
	pthread_join(thread, NULL);
	tarn_pool_close(pool);
	printf("ops=%llu wrong=%llu gap_us=%llu requests=%llu failed=%llu "
	       "slowest_us=%llu late=%llu why=%s\n",
	       (unsigned long long)use.ops, (unsigned long long)use.wrong,
	       (unsigned long long)use.gap_us, (unsigned long long)requests.n,
	       (unsigned long long)requests.failed,
	       (unsigned long long)requests.slowest_us,
	       (unsigned long long)requests.late,
	       requests.failed ? requests.why : "none");
	return use.wrong || requests.failed;
}

int main(int argc, char *argv[])
{
	const struct sigaction sa = { .sa_handler = on_term };
	struct tarn *t;
	int r;

	if (argc != 2)
		return 2;
	pool_name = argv[1];
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGTERM, &sa, NULL);
	r = tarn_connect(NULL, &t);
	if (r == 0) {
		r = run(t);
		tarn_disconnect(t);
	}
	if (r < 0)
		printf("client: %s\n", strerror(-r));
	return r ? 1 : 0;
}
