/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long a user waits for tarnd while another one attacks it: the times of
 * three calls, idle and under each attack, and how many times the idle p99
 * that is. As root, for it takes two users.
 *
 * tarnd and the victim come before all others at the processors, and attackers
 * last: what is measured is who waits for whom in tarnd, not for a processor.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tarn/admin.h"
#include "tests/lib/tn_attack.h"
#include "tests/lib/tn_test.h"

#define ATTACKER 12345
#define VICTIM 12346
#define SAMPLES_MAX 20000
#define KINDS 3

static const char *const kinds[KINDS] = { "ping", "open+close", "connect" };

/* Of the victim, in ns; shared with it. */
struct times {
	int n[KINDS];
	int failed[KINDS];
	uint64_t ns[KINDS][SAMPLES_MAX];
};

struct victim {
	struct times *times;
	int seconds;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int open_and_close(struct tarn *t)
{
	struct tarn_pool *pool;
	int r = tarn_pool_open(t, "victim", TARN_PRODUCER, &pool);

	if (r == 0)
		tarn_pool_close(pool);
	return r;
}

static int connect_once(void)
{
	struct tarn *t;
	int r = tarn_connect(NULL, &t);

	if (r == 0)
		tarn_disconnect(t);
	return r;
}

static void sample(struct times *t, struct tarn *conn, int kind)
{
	uint64_t began = now_ns();
	int r = kind == 0 ? tarn_ping(conn) :
		kind == 1 ? open_and_close(conn) : connect_once();

	if (r < 0)
		t->failed[kind]++;
	if (t->n[kind] < SAMPLES_MAX)
		t->ns[kind][t->n[kind]++] = now_ns() - began;
}

static int be_victim(void *arg)
{
	const struct victim *v = arg;
	uint64_t end;
	struct tarn *t;

	if (tarn_connect(NULL, &t) < 0 ||
	    tarn_pool_create(t, "victim", TARN_POOL_OPTS(.bytes = 1 << 20)) < 0)
		return 1;
	end = now_ns() + (uint64_t)v->seconds * 1000000000;
	for (int i = 0; now_ns() < end; i++) {
		sample(v->times, t, i % KINDS);
		usleep(200);
	}
	tarn_pool_destroy(t, "victim");
	tarn_disconnect(t);
	return 0;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double quantile_us(struct times *t, int kind, double q)
{
	int n = t->n[kind];

	if (!n)
		return 0;
	return (double)t->ns[kind][(int)((n - 1) * q)] / 1000;
}

/* Returns the p99 of each kind. */
static void report(const char *name, struct times *t, const double idle[KINDS],
		   double ret[KINDS])
{
	printf("%-13s", name);
	for (int k = 0; k < KINDS; k++) {
		qsort(t->ns[k], (size_t)t->n[k], sizeof(t->ns[k][0]), by_size);
		ret[k] = quantile_us(t, k, 0.99);
		printf(" %6d %8.0f %8.0f", t->n[k], quantile_us(t, k, 0.5),
		       ret[k]);
		if (idle)
			printf(" %5.1f", ret[k] / idle[k]);
		else
			printf("     -");
		if (t->failed[k])
			printf(" (%d failed)", t->failed[k]);
	}
	printf("\n");
	fflush(stdout);
}

static void measure(const struct tn_attack *attack, struct times *times,
		    int seconds)
{
	struct victim v = { times, seconds };
	struct tn_attack_run run = { .n = 0 };
	struct tn_test_daemon d;

	memset(times, 0, sizeof(*times));
	tn_test_daemon_init(&d);
	tn_test_daemon_start(&d, NULL);
	if (attack) {
		tn_attack_begin(&run, attack, d.socket, ATTACKER);
		usleep(500000); /* until it is under way */
	}
	if (tn_test_wait(tn_test_spawn_as(VICTIM, VICTIM, be_victim, &v)))
		printf("the victim gave up\n");
	tn_attack_end(&run);
	tn_test_daemon_kill(&d);
}

static bool wanted(const char *name, char *argv[])
{
	for (; *argv; argv++)
		if (strstr(name, *argv))
			return true;
	return false;
}

static void come_first(void)
{
	FILE *f;

	setsid();
	setpriority(PRIO_PROCESS, 0, -20);
	f = fopen("/proc/self/autogroup", "we"); /* or there are none */
	if (!f)
		return;
	fputs("-20", f);
	fclose(f);
}

int main(int argc, char *argv[])
{
	const char *s = getenv("TARN_FAIRNESS_SECONDS");
	double idle[KINDS], p99[KINDS], worst[KINDS] = { 0 };
	int seconds = s ? atoi(s) : 5;
	struct times *times;

	if (geteuid() != 0) {
		puts("skipped: needs root, for it takes two users");
		return 77;
	}
	come_first();
	times = mmap(NULL, sizeof(*times), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	printf("us; x: p99 to that of idle; %d s each\n%-13s", seconds, "");
	for (int k = 0; k < KINDS; k++)
		printf(" %6s %8s %8s %5s", "n", kinds[k], "p99", "x");
	printf("\n");
	measure(NULL, times, seconds);
	report("idle", times, NULL, idle);
	for (const struct tn_attack *a = tn_attacks; a->name; a++) {
		if (argc > 1 && !wanted(a->name, argv + 1))
			continue;
		measure(a, times, seconds);
		report(a->name, times, idle, p99);
		for (int k = 0; k < KINDS; k++)
			if (p99[k] / idle[k] > worst[k])
				worst[k] = p99[k] / idle[k];
	}
	printf("worst, to idle p99: ping %.1f, open+close %.1f, connect %.1f\n",
	       worst[0], worst[1], worst[2]);
	return 0;
}
