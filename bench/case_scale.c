/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many at once. Workers replace random objects until the time is over:
 *
 *   server   as in Larson's benchmark of a server: four workers with a window
 *            of objects each; after a session each window goes on to the next
 *            worker, which then frees what others allocated
 *   procs    so many processes, each for itself; a private heap is each one's
 *            own, a shared one is one for all
 *
 * Both give what the clock says (times the processors in use, by operations),
 * and as /cpu what the processors did for an operation: on a machine that has
 * something else to do only the latter can be compared.
 */
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "bench/crew.h"

#define WORKERS 4
#define WINDOW 1000      /* objects of a worker */
#define SESSION 10000    /* replacements before a window goes on */
#define WARM_UP (2 * WORKERS) /* sessions: each has had each window twice */
#define RUN_NS 2e8
#define CHECK_NS 1e7     /* as long where time is no matter */

/* Session s of window v is worker v + s's; .session says which is next. */
struct window {
	_Alignas(64) _Atomic uint64_t session;
	uint64_t x;                 /* of its random numbers */
	uint64_t object[WINDOW];    /* refs where the heap is shared */
};

struct scene {
	_Atomic unsigned n_ready;
	_Atomic bool go;
	double begin;
	_Atomic uint64_t last;      /* session; there are none after it */
	_Atomic uint32_t client[WORKERS];
	struct {
		_Alignas(64) uint64_t n_ops;
		double cpu_ns, end;
	} by[64];
	struct window windows[];
};

static double cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static double run_ns(const struct bench_run *r)
{
	return r->mode & BENCH_CHECK ? CHECK_NS : RUN_NS;
}

/* Ready; waits for all. */
static void at_the_line(struct scene *s)
{
	unsigned n_spins = 0;

	atomic_fetch_add(&s->n_ready, 1);
	while (!atomic_load(&s->go))
		wait_a_little(&n_spins);
}

static void over(struct worker *w, uint64_t n_ops, double cpu)
{
	struct scene *s = w->arg;

	s->by[w->n].n_ops = n_ops;
	s->by[w->n].cpu_ns = cpu;
	s->by[w->n].end = bench_now_ns();
}

static void run_crew(struct bench_run *r, enum crew_kind kind, unsigned n,
		     void (*work)(struct worker *), struct scene *s)
{
	long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	double end = 0, cpu = 0, n_ops = 0;
	unsigned n_spins = 0;
	struct crew *crew;

	s->last = UINT64_MAX;
	crew = crew_start(r, kind, n, work, s);
	while (atomic_load(&s->n_ready) != n)
		wait_a_little(&n_spins);
	s->begin = bench_now_ns();
	atomic_store(&s->go, true);
	crew_finish(crew, r);
	for (unsigned i = 0; i < n; i++) {
		n_ops += (double)s->by[i].n_ops;
		cpu += s->by[i].cpu_ns;
		end = s->by[i].end > end ? s->by[i].end : end;
	}
	if (n_cpus > (long)n)
		n_cpus = n;
	bench_emit(NULL, "ns", (end - s->begin) * (double)n_cpus / n_ops);
	bench_emit("cpu", "ns", cpu / n_ops);
}

/*
 * server
 */

BENCH_INLINE void *object_at(struct bench_run *r, unsigned mode, uint64_t name)
{
	return mode & BENCH_SHARED ? r->heap.peer->ptr(r->heap.pool, name) :
				     (void *)(uintptr_t)name;
}

BENCH_INLINE uint64_t name_of(struct bench_run *r, unsigned mode, void *p)
{
	return mode & BENCH_SHARED ? r->heap.peer->ref_of(r->heap.pool, p) :
				     (uintptr_t)p;
}

static void hand_on(struct bench_run *r, struct window *v, uint32_t client)
{
	const struct bench_peer *peer = r->heap.peer;

	if (!peer || !peer->give)
		return;
	for (unsigned i = 0; i < WINDOW; i++) {
		int err = v->object[i] ?
			  peer->give(r->heap.pool, v->object[i], client) : 0;

		if (err < 0)
			bench_die("give", err);
	}
}

/* Who is given an object may free it; who means to give it on takes it. */
static void accept_window(struct bench_run *r, struct window *v)
{
	const struct bench_peer *peer = r->heap.peer;

	if (!peer || !peer->take || !v->session)
		return;
	for (unsigned i = 0; i < WINDOW; i++) {
		int err = v->object[i] ?
			  peer->take(r->heap.pool, v->object[i]) : 0;

		if (err < 0)
			bench_die("take", err);
	}
}

/* @n replacements in window @v, which is ours. */
BENCH_INLINE void session(struct bench_run *r, uint64_t n, unsigned mode)
{
	struct window *v = r->state;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t random = next_random(&v->x);
		uint64_t *at = &v->object[(random >> 32) % WINDOW];

		if (*at)
			put(r, mode, object_at(r, mode, *at));
		*at = name_of(r, mode, take(r, mode, random_size(random), i));
	}
}
BENCH_BODY(session)

static void end_window(struct bench_run *r, struct window *v)
{
	for (unsigned i = 0; i < WINDOW; i++)
		if (v->object[i])
			put(r, r->mode, object_at(r, r->mode, v->object[i]));
}

static void wait_for_session(struct window *v, uint64_t n)
{
	unsigned n_spins = 0;

	while (atomic_load_explicit(&v->session, memory_order_acquire) != n)
		wait_a_little(&n_spins);
}

/* The window of session @n, once it has come. */
static struct window *window_of(struct worker *w, uint64_t n)
{
	struct scene *s = w->arg;
	struct window *v = &s->windows[(w->n + n * (WORKERS - 1)) % WORKERS];

	wait_for_session(v, n);
	return v;
}

/* One session of a window; its processor time, without any waiting. */
static double serve_once(struct worker *w, struct window *v)
{
	static void (*const run[])(struct bench_run *, uint64_t) = {
		session_0, session_1, session_2, session_3,
	};
	struct scene *s = w->arg;
	double begin = cpu_ns();

	accept_window(&w->run, v);
	w->run.state = v;
	run[w->run.mode](&w->run, SESSION);
	hand_on(&w->run, v, s->client[(w->n + 1) % WORKERS]);
	return cpu_ns() - begin;
}

static void serve(struct worker *w)
{
	const struct bench_peer *peer = w->run.heap.peer;
	struct scene *s = w->arg;
	uint64_t n = 0;
	double cpu = 0;

	if (peer && peer->client)
		s->client[w->n] = peer->client(w->run.heap.pool);
	at_the_line(s);
	for (; n <= atomic_load(&s->last); n++) {
		struct window *v = window_of(w, n);

		if (n == WARM_UP)
			cpu = 0;
		if (n == WARM_UP && w->n == 0)
			s->begin = bench_now_ns();
		cpu += serve_once(w, v);
		/* no worker is more than WORKERS sessions ahead of another */
		if (w->n == 0 && n > WARM_UP && s->last == UINT64_MAX &&
		    bench_now_ns() > s->begin + run_ns(&w->run))
			atomic_store(&s->last, n + WORKERS);
		atomic_store_explicit(&v->session, n + 1, memory_order_release);
	}
	over(w, (n - WARM_UP) * SESSION, cpu);
	end_window(&w->run, window_of(w, n));
}

static void server(struct bench_run *r, uint64_t n)
{
	struct scene *s = bench_memory(sizeof(*s) +
				       WORKERS * sizeof(s->windows[0]));

	(void)n;
	for (unsigned i = 0; i < WORKERS; i++)
		s->windows[i].x = BENCH_SEED + i;
	run_crew(r, CREW_SHARES, WORKERS, serve, s);
}

/*
 * procs
 */

BENCH_INLINE void some(struct bench_run *r, uint64_t n, unsigned mode)
{
	static void *objects[WINDOW];
	static uint64_t x = BENCH_SEED;

	if (n) {
		replace_any(r, mode, objects, WINDOW, n, &x);
		return;
	}
	for (unsigned i = 0; i < WINDOW; i++)
		if (objects[i])
			put(r, mode, objects[i]);
}
BENCH_BODY(some)

static void replace_on(struct worker *w)
{
	static void (*const run[])(struct bench_run *, uint64_t) = {
		some_0, some_1, some_2, some_3,
	};
	struct scene *s = w->arg;
	uint64_t n_ops = 0;
	double cpu;

	run[w->run.mode](&w->run, SESSION);
	at_the_line(s);
	cpu = cpu_ns();
	do {
		run[w->run.mode](&w->run, WINDOW);
		n_ops += WINDOW;
	} while (bench_now_ns() < s->begin + run_ns(&w->run));
	over(w, n_ops, cpu_ns() - cpu);
	run[w->run.mode](&w->run, 0);
}

static void procs(struct bench_run *r, uint64_t n)
{
	(void)n;
	run_crew(r, CREW_APART, (unsigned)r->param, replace_on,
		 bench_memory(sizeof(struct scene)));
}

static const uint64_t counts[] = { 1, 2, 4, 8, 16, 32, 64, 0 };

static const struct bench_case cases[] = {
	{ .name = "server", .measure = server,
	  .what = "four workers replace, and hand their windows on" },
	{ .name = "procs", .measure = procs, .params = counts,
	  .what = "so many processes replace any of 1000 of their own" },
};

const struct bench_group bench_scale = { "scale", cases, BENCH_N(cases) };
