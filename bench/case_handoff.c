/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From producers, which allocate, to a consumer, which frees: in a process of
 * its own where the heap is shared, else a thread. All use the same ring; it
 * carries refs where the heap is shared, and where a heap knows who holds an
 * object it is given to the consumer before its ref is passed on.
 */
#include <stdatomic.h>

#include "bench/crew.h"

#define SIZE 64
#define RING 4096          /* entries; a power of two */
#define HEAD_EVERY 64      /* the consumer tells its progress so often */
#define PRODUCERS 4
#define GROUP 64
#define END UINT64_MAX     /* entry: no more */

/* Each side writes a cache line of its own. */
struct ring {
	_Alignas(64) _Atomic uint64_t tail; /* producer: entries ready */
	_Alignas(64) _Atomic uint64_t head; /* consumer: entries done */
	_Alignas(64) _Atomic uint64_t todo; /* of fan_in: objects to send */
	_Alignas(64) uint64_t entry[RING];
};

/* A producer's view of a ring. */
struct source {
	struct ring *ring;
	uint64_t tail, seen_head;
};

/* A consumer's. */
struct sink {
	struct ring *ring;
	uint64_t head, tail, expected;
};

static struct {
	struct crew *crew;
	struct ring *rings;          /* one, or PRODUCERS of them */
	_Atomic uint32_t *client;    /* the consumer's; 0: not there yet */
	struct source source;
	struct sink sinks[PRODUCERS];
	bool take;                   /* the consumer does, before it frees */
} the;

/*
 * Consumer
 */

BENCH_INLINE void consume(struct bench_run *r, uint64_t entry,
			  uint64_t expected, unsigned mode)
{
	const struct bench_peer *peer = r->heap.peer;
	void *p = (void *)(uintptr_t)entry;

	if (mode & BENCH_SHARED) {
		int err = the.take && peer->take ?
			  peer->take(r->heap.pool, entry) : 0;

		if (err < 0)
			bench_die("take", err);
		p = peer->ptr(r->heap.pool, entry);
	}
	if (value_of(p, mode) != expected)
		bench_die("an object came with wrong contents", 0);
	put(r, mode, p);
}

/* All that is ready, up to @max; tells the producer of it. */
BENCH_INLINE uint64_t drain(struct bench_run *r, struct sink *s, uint64_t max,
			    unsigned mode)
{
	uint64_t n = 0;

	if (s->head == s->tail)
		s->tail = atomic_load_explicit(&s->ring->tail,
					       memory_order_acquire);
	for (; s->head != s->tail && n < max; n++) {
		uint64_t entry = s->ring->entry[s->head % RING];

		if (entry == END)
			break;
		consume(r, entry, s->expected++, mode);
		s->head++;
	}
	if (n)
		atomic_store_explicit(&s->ring->head, s->head,
				      memory_order_release);
	return n;
}

static bool is_at_end(const struct sink *s)
{
	return s->head != s->tail && s->ring->entry[s->head % RING] == END;
}

BENCH_INLINE void consume_all(struct bench_run *r, uint64_t n, unsigned mode)
{
	struct sink s = { .ring = the.rings };
	unsigned n_spins = 0;

	(void)n;
	while (!is_at_end(&s))
		if (!drain(r, &s, HEAD_EVERY, mode))
			wait_a_little(&n_spins);
}
BENCH_BODY(consume_all)

static uint32_t client_of(const struct heap *h)
{
	return h->peer && h->peer->client ? h->peer->client(h->pool) : 1;
}

static void consumer(struct worker *w)
{
	static void (*const run[])(struct bench_run *, uint64_t) = {
		consume_all_0, consume_all_1, consume_all_2, consume_all_3,
	};

	bench_pin(1);
	atomic_store(the.client, client_of(&w->run.heap));
	run[w->run.mode](&w->run, 0);
}

/*
 * Producer
 */

static void push(struct source *s, uint64_t entry, unsigned group)
{
	struct ring *ring = s->ring;
	unsigned n_spins = 0;

	while (s->tail - s->seen_head == RING) {
		s->seen_head = atomic_load_explicit(&ring->head,
						    memory_order_acquire);
		if (s->tail - s->seen_head == RING)
			wait_a_little(&n_spins);
	}
	ring->entry[s->tail++ % RING] = entry;
	if (s->tail % group == 0)
		atomic_store_explicit(&ring->tail, s->tail,
				      memory_order_release);
}

/* Until the consumer has done all there is. */
static void flush(struct source *s)
{
	unsigned n_spins = 0;

	atomic_store(&s->ring->tail, s->tail);
	while (atomic_load(&s->ring->head) != s->tail)
		wait_a_little(&n_spins);
}

BENCH_INLINE void produce(struct bench_run *r, struct source *s, uint64_t n,
			  unsigned group, unsigned mode)
{
	const struct bench_peer *peer = r->heap.peer;
	uint32_t to = *the.client;

	for (uint64_t i = 0; i < n; i++) {
		void *p = take(r, mode, SIZE, s->tail);
		uint64_t entry = (uintptr_t)p;

		if (mode & BENCH_SHARED) {
			entry = peer->ref_of(r->heap.pool, p);
			int err = peer->give ?
				  peer->give(r->heap.pool, entry, to) : 0;

			if (err < 0)
				bench_die("give", err);
		}
		push(s, entry, group);
	}
	flush(s);
}

BENCH_INLINE void one_by_one(struct bench_run *r, uint64_t n, unsigned mode)
{
	produce(r, &the.source, n, 1, mode);
}
BENCH_BODY(one_by_one)

BENCH_INLINE void by_64(struct bench_run *r, uint64_t n, unsigned mode)
{
	produce(r, &the.source, n, GROUP, mode);
}
BENCH_BODY(by_64)

static void setup(struct bench_run *r)
{
	unsigned n_spins = 0;

	the.rings = bench_memory(sizeof(*the.rings));
	the.client = bench_memory(sizeof(*the.client));
	the.source.ring = the.rings;
	the.crew = crew_start(r, CREW_SHARES, 1, consumer, NULL);
	bench_pin(0); /* after the other side has been made, with no pin */
	while (!atomic_load(the.client))
		wait_a_little(&n_spins);
}

static void setup_take(struct bench_run *r)
{
	the.take = true;
	setup(r);
}

static void teardown(struct bench_run *r)
{
	push(&the.source, END, 1);
	crew_finish(the.crew, r);
}

/*
 * Many producers: a ring each, and this process is the consumer
 */

BENCH_INLINE void produce_asked(struct bench_run *r, uint64_t n, unsigned mode)
{
	struct source s = { .ring = &the.rings[n] };
	uint64_t todo;
	unsigned n_spins = 0;

	do {
		while (!(todo = atomic_exchange(&s.ring->todo, 0)))
			wait_a_little(&n_spins);
		if (todo != END)
			produce(r, &s, todo, 1, mode);
	} while (todo != END);
}
BENCH_BODY(produce_asked)

static void producer(struct worker *w)
{
	static void (*const run[])(struct bench_run *, uint64_t) = {
		produce_asked_0, produce_asked_1, produce_asked_2,
		produce_asked_3,
	};

	run[w->run.mode](&w->run, w->n);
}

/* Half a ring at most from one, so that none waits while others are served. */
BENCH_INLINE void fan_in(struct bench_run *r, uint64_t n, unsigned mode)
{
	uint64_t each = n / PRODUCERS + 1, left = each * PRODUCERS;
	unsigned n_spins = 0;

	for (unsigned i = 0; i < PRODUCERS; i++)
		atomic_store(&the.rings[i].todo, each);
	while (left) {
		uint64_t n_done = 0;

		for (unsigned i = 0; i < PRODUCERS; i++)
			n_done += drain(r, &the.sinks[i], RING / 2, mode);
		left -= n_done;
		if (!n_done)
			wait_a_little(&n_spins);
	}
}
BENCH_BODY(fan_in)

static void setup_fan_in(struct bench_run *r)
{
	the.rings = bench_memory(PRODUCERS * sizeof(*the.rings));
	the.client = bench_memory(sizeof(*the.client));
	*the.client = client_of(&r->heap);
	for (unsigned i = 0; i < PRODUCERS; i++)
		the.sinks[i].ring = &the.rings[i];
	the.crew = crew_start(r, CREW_SHARES, PRODUCERS, producer, NULL);
}

static void teardown_fan_in(struct bench_run *r)
{
	for (unsigned i = 0; i < PRODUCERS; i++)
		atomic_store(&the.rings[i].todo, END);
	crew_finish(the.crew, r);
}

static const struct bench_case cases[] = {
	{ .name = "handoff", .n_ops = 5000000, .n_warm = 50000,
	  .what = "one by one, 64 B: alloc, give, pass the ref; read, free",
	  .setup = setup, .teardown = teardown, BENCH_RUNS(one_by_one) },
	{ .name = "handoff_take", .n_ops = 5000000, .n_warm = 50000,
	  .what = "the same, and the consumer takes before it frees",
	  .setup = setup_take, .teardown = teardown, BENCH_RUNS(one_by_one) },
	{ .name = "handoff_64", .n_ops = 5000000, .n_warm = 50000,
	  .what = "as handoff, refs published in groups of 64",
	  .setup = setup, .teardown = teardown, BENCH_RUNS(by_64) },
	{ .name = "fan_in", .n_ops = 5000000, .n_warm = 50000,
	  .what = "four producers, one consumer, 64 B, one by one",
	  .setup = setup_fan_in, .teardown = teardown_fan_in,
	  BENCH_RUNS(fan_in) },
};

const struct bench_group bench_handoff = { "handoff", cases, BENCH_N(cases) };
