/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mover at work: how fast it is, and what a client notices.
 *
 * A pool is filled and half of it freed, at random; then it is compacted, and
 * filled again. It is a reserved one, so that no memory comes and goes: what a
 * page costs that tarnd touches for the first time, is `first`, and apart.
 *
 * Time is processor time, of tarnd and of the client; but for that of single
 * pins, which is what the clock says.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tarn/admin.h>
#include <tarn/handle.h>

#include "bench/bench.h"
#include "bench/frag.h"

#define FILL_BYTES ((uint64_t)1 << 29)
#define AREA_BYTES ((uint64_t)2 << 20)
#define ROUNDS 3
#define MOVES 8 /* rounds, until tarnd has touched nearly all pages */

/* From the one who has the pool compacted. */
struct order {
	_Atomic bool done;
	_Atomic unsigned n;      /* reports that told of more moved objects */
	_Atomic uint64_t objects;
};

static struct order *order;
static struct tarn *tarn;
static clockid_t daemon_clock;

/* Who listens at $TARN_SOCKET: tarnd, or tarn-run, which keeps it for one. */
static pid_t find_listener(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	const char *path = getenv("TARN_SOCKET");
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct ucred who;
	socklen_t n = sizeof(who);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path ? path : "");
	if (fd < 0 || connect(fd, (void *)&at, sizeof(at)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0)
		bench_die("$TARN_SOCKET", -errno);
	close(fd);
	return who.pid;
}

static bool is_tarnd(pid_t pid)
{
	char path[64], name[16] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = fopen(path, "re");
	if (f && !fgets(name, sizeof(name), f))
		name[0] = 0;
	if (f)
		fclose(f);
	return strcmp(name, "tarnd\n") == 0;
}

static clockid_t find_daemon_clock(void)
{
	pid_t pid = find_listener(), child;
	char path[64];
	clockid_t ret;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid,
		 (int)pid);
	f = fopen(path, "re");
	while (f && !is_tarnd(pid) && fscanf(f, "%d", &child) == 1)
		pid = is_tarnd(child) ? child : pid;
	if (f)
		fclose(f);
	if (!is_tarnd(pid) || clock_getcpuclockid(pid, &ret))
		bench_die("no tarnd to be found", 0);
	return ret;
}

static double now_of(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void on_progress(void *arg, const struct tarn_compaction *c)
{
	(void)arg;
	if (c->moved_objects > order->objects)
		order->n++;
	order->objects = c->moved_objects;
}

/* Has the pool compacted by another process. */
static pid_t compact_begin(const struct bench_run *r, unsigned percent)
{
	struct tarn_compaction c = { .sz = sizeof(c) };
	struct tarn *t;
	pid_t pid;

	memset(order, 0, sizeof(*order));
	pid = fork();
	if (pid)
		return pid;
	if (tarn_connect(NULL, &t) < 0 ||
	    tarn_compact(t, r->heap.name, percent, on_progress, NULL,
			 &c) < 0)
		_exit(1);
	order->objects = c.moved_objects;
	order->done = true;
	_exit(0);
}

static void compact_end(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status)
		bench_die("compact", 0);
}

/* A reserved pool beside the case's own. */
static struct bench_run reserved(const struct bench_run *r, uint64_t bytes)
{
	struct bench_run own = *r;
	struct tarn_pool *pool;
	int e;

	daemon_clock = find_daemon_clock();
	strncat(own.heap.name, ".r", 3);
	e = tarn_connect(NULL, &tarn);
	if (e == 0)
		e = tarn_pool_create(tarn, own.heap.name, TARN_POOL_OPTS(
				.bytes = bytes, .flags = TARN_POOL_RESERVE,
				.compact_percent = TARN_COMPACT_NEVER));
	if (e == 0)
		e = tarn_pool_open(tarn, own.heap.name, TARN_PRODUCER, &pool);
	if (e < 0)
		bench_die("a reserved pool", e);
	own.heap.pool = pool;
	return own;
}

static void unreserve(struct bench_run *r, struct bench_run *own)
{
	tarn_pool_destroy(tarn, own->heap.name);
	tarn_pool_close(own->heap.pool);
	tarn_disconnect(tarn);
	r->n_taken += own->n_taken;
	r->n_put += own->n_put;
}

static void fill(struct frag *f, uint64_t bytes, size_t size)
{
	while (f->live < bytes)
		frag_add(f, size);
}

static void free_half(struct frag *f)
{
	for (uint64_t k = f->n / 2; k--;)
		frag_remove(f, next_random(&f->x) % f->n);
}

/*
 * move/B: ns for each object of B bytes that is moved
 */

static void move(struct bench_run *r, uint64_t n)
{
	uint64_t bytes = r->mode & BENCH_CHECK ? n : FILL_BYTES;
	struct bench_run own = reserved(r, bytes + bytes / 4 + AREA_BYTES);
	struct frag f;
	double ns;

	order = bench_memory(sizeof(*order));
	frag_init(&f, &own, bytes / r->param + 1);
	for (unsigned i = 0; i < MOVES; i++) {
		fill(&f, bytes, r->param);
		free_half(&f);
		ns = now_of(daemon_clock);
		compact_end(compact_begin(&own, 100));
		if (!order->objects)
			bench_die("nothing was moved", 0);
		ns = now_of(daemon_clock) - ns;
		frag_verify(&f);
		if (i == 0 || i == MOVES - 1)
			bench_emit(i ? "again" : "first", "ns",
				   ns / (double)order->objects);
	}
	frag_free_all(&f);
	unreserve(r, &own);
}

/*
 * meanwhile/P: a client pins any of 1,000 objects of 256 bytes, while the
 * mover has P per cent of a processor. Each time is measured beside one at
 * rest, in the same pool just before.
 */

#define USED 1000
#define SIZE 256
#define PART 1024             /* pins between two looks at the clock */
#define REST_NS 2e8
#define LINEAR 4096           /* ticks, a bucket each; then 64 to a doubling */
#define BUCKETS (LINEAR + 64 * 40)

struct side {
	double ns;
	uint64_t pins;
	uint64_t hist[BUCKETS];
	uint64_t n, max;
};

static inline uint64_t ticks(void)
{
#if defined(__x86_64__)
	unsigned aux;

	return __builtin_ia32_rdtscp(&aux);
#else
	return (uint64_t)bench_now_ns();
#endif
}

static unsigned bucket_of(uint64_t t)
{
	unsigned log = 63 - (unsigned)__builtin_clzll(t | 1);

	return t < LINEAR ? (unsigned)t :
	       LINEAR + 64 * (log - 12) + (unsigned)(t >> (log - 6) & 63);
}

static uint64_t least_of(unsigned bucket)
{
	unsigned log = 12 + (bucket - LINEAR) / 64;

	return bucket < LINEAR ? bucket :
	       (64 + (uint64_t)(bucket - LINEAR) % 64) << (log - 6);
}

static inline void use(struct frag *f, uint64_t i)
{
	tarn_ref h = f->objects[i * 7919 % USED].name;
	uint64_t *p = tarn_pin(f->r->heap.pool, h);

	if (!p)
		bench_die("pin", 0);
	*(volatile uint64_t *)p = *(volatile uint64_t *)p;
	tarn_unpin(f->r->heap.pool, h);
}

static void timed(struct frag *f, struct side *s)
{
	for (uint64_t i = 0; i < PART; i++) {
		tarn_ref h = f->objects[i * 7919 % USED].name;
		uint64_t begin = ticks(), t;
		void *p = tarn_pin(f->r->heap.pool, h);

		t = ticks() - begin;
		if (!p)
			bench_die("pin", 0);
		tarn_unpin(f->r->heap.pool, h);
		s->hist[bucket_of(t)]++;
		s->n++;
		s->max = t > s->max ? t : s->max;
	}
}

/* Pins until @until ns, or the mover is done; half of the time with a clock
 * around each. What comes after the last report of the mover is not counted:
 * it may have been at rest then. */
static void use_until(struct frag *f, struct side *s, double until)
{
	uint64_t pins = 0, seen = s->pins;
	double ns = 0, seen_ns = s->ns;
	unsigned reports = order->n;

	while (until > 0 ? bench_now_ns() < until : !order->done) {
		double begin = now_of(CLOCK_THREAD_CPUTIME_ID);

		for (uint64_t i = 0; i < 8 * PART; i++)
			use(f, i);
		pins += 8 * PART;
		ns += now_of(CLOCK_THREAD_CPUTIME_ID) - begin;
		if (until > 0 || order->n > reports) {
			reports = order->n;
			s->pins = seen + pins;
			s->ns = seen_ns + ns;
		}
		timed(f, s);
	}
}

static double percentile(const struct side *s, double part, double ns_a_tick)
{
	uint64_t want = (uint64_t)((double)s->n * part), sum = 0;

	for (unsigned i = 0; i < BUCKETS; i++) {
		sum += s->hist[i];
		if (sum > want)
			return (double)least_of(i) * ns_a_tick;
	}
	return (double)s->max * ns_a_tick;
}

static void emit_side(const char *name, const struct side *s, double ns_a_tick)
{
	char sub[24];

	snprintf(sub, sizeof(sub), "%s/p50", name);
	bench_emit(sub, "ns", percentile(s, .5, ns_a_tick));
	snprintf(sub, sizeof(sub), "%s/p99.9", name);
	bench_emit(sub, "ns", percentile(s, .999, ns_a_tick));
	snprintf(sub, sizeof(sub), "%s/max", name);
	bench_emit(sub, "ns", (double)s->max * ns_a_tick);
}

static void meanwhile(struct bench_run *r, uint64_t n)
{
	uint64_t bytes = r->mode & BENCH_CHECK ? n : FILL_BYTES;
	struct bench_run own = reserved(r, bytes + bytes / 4 + AREA_BYTES);
	struct side *rest = bench_memory(sizeof(*rest));
	struct side *full = bench_memory(sizeof(*full));
	uint64_t begin = ticks();
	double begin_ns = bench_now_ns(), ns_a_tick;
	struct frag f;

	order = bench_memory(sizeof(*order));
	frag_init(&f, &own, bytes / SIZE + 1);
	for (unsigned i = 0; i < ROUNDS; i++) {
		pid_t pid;

		fill(&f, bytes, SIZE);
		free_half(&f);
		use_until(&f, rest, bench_now_ns() + REST_NS);
		pid = compact_begin(&own, (unsigned)r->param);
		use_until(&f, full, 0);
		compact_end(pid);
		frag_verify(&f);
	}
	ns_a_tick = (bench_now_ns() - begin_ns) / (double)(ticks() - begin);
	emit_side("rest", rest, ns_a_tick);
	emit_side("full", full, ns_a_tick);
	if (full->pins)
		bench_emit("loss", "%", 100 - 100 *
			   ((double)full->pins / full->ns) /
			   ((double)rest->pins / rest->ns));
	frag_free_all(&f);
	unreserve(r, &own);
}

static const uint64_t sizes[] = { 256, 4096, 0 };
static const uint64_t percents[] = { 5, 100, 0 };

static const struct bench_case cases[] = {
	{ .name = "move", .measure = move, .kinds = BENCH_TARN,
	  .params = sizes, .n_ops = FILL_BYTES,
	  .what = "ns for an object of so many bytes, of 512 MiB half full" },
	{ .name = "meanwhile", .measure = meanwhile, .kinds = BENCH_TARN,
	  .params = percents, .n_ops = FILL_BYTES,
	  .what = "a pin, the mover at rest and with % of a processor" },
};

const struct bench_group bench_mover = { "mover", cases, BENCH_N(cases) };
