/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a producer, which allocates, to a consumer, which frees: for tarn a
 * process of its own, for private heaps a thread of the same process. Both
 * use the same ring; over tarn it lies in the pool and carries refs, and the
 * object is handed over to the consumer before it is passed on.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/harness.h"

#define SIZE 64
#define RING 4096          /* entries; a power of two */
#define HEAD_EVERY 64      /* the consumer tells its progress so often */
#define SPINS 200          /* looks before letting another process run */
#define END UINT64_MAX     /* entry: no more */

/* Each side writes a cache line of its own. */
struct ring {
	_Alignas(64) _Atomic uint64_t tail; /* producer: entries ready */
	_Alignas(64) _Atomic uint64_t head; /* consumer: entries done */
	_Alignas(64) _Atomic uint32_t client; /* consumer's, once attached */
	_Alignas(64) uint64_t entry[RING];
};

struct handoff {
	struct ring *ring;
	uint64_t tail, seen_head;    /* the producer's copies */
	struct heap *heap;
	pthread_t thread;
	pid_t pid;
	bool take;                   /* the consumer does, before it frees */
};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static void wait_a_little(unsigned *n_spins)
{
	if (++*n_spins % SPINS == 0)
		sched_yield();
	else
		relax();
}

/*
 * Consumer
 */

BENCH_INLINE uint64_t consume(struct handoff *h, uint64_t entry, bool tarn)
{
	void *p = (void *)(uintptr_t)entry;
	uint64_t value;

	if (tarn && h->take && tarn_take(h->heap->pool, entry) != 0)
		bench_die("take", 0);
	if (tarn)
		p = tarn_ptr(h->heap->pool, entry);
	value = *(volatile uint64_t *)p;
	heap_free(h->heap, tarn, p);
	return value;
}

BENCH_INLINE void consume_all(struct handoff *h, bool tarn)
{
	struct ring *ring = h->ring;
	uint64_t head = 0, tail = 0, expected = 0;
	unsigned n_spins = 0;

	bench_pin(1);
	for (;;) {
		if (head == tail) {
			atomic_store_explicit(&ring->head, head,
					      memory_order_release);
			while ((tail = atomic_load_explicit(&ring->tail,
					memory_order_acquire)) == head)
				wait_a_little(&n_spins);
		}
		if (ring->entry[head % RING] == END)
			break;
		if (consume(h, ring->entry[head++ % RING], tarn) != expected++)
			bench_die("an object came with wrong contents", 0);
		if (head % HEAD_EVERY == 0)
			atomic_store_explicit(&ring->head, head,
					      memory_order_release);
	}
	atomic_store(&ring->head, head + 1);
}

static void *consumer_thread(void *arg)
{
	consume_all(arg, false);
	return NULL;
}

static void consumer_process(struct handoff *h)
{
	struct heap heap = *h->heap;
	struct tarn *t;
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	r = tarn_connect(NULL, &t);
	if (r == 0)
		r = tarn_pool_open(t, heap.pool_name, TARN_PRODUCER,
				   &heap.pool);
	if (r < 0)
		bench_die("consumer", r);
	h->ring = tarn_ptr(heap.pool, tarn_root_get(heap.pool, "ring"));
	h->heap = &heap;
	atomic_store(&h->ring->client, tarn_client_id(heap.pool));
	consume_all(h, true);
	tarn_pool_close(heap.pool);
	_exit(0);
}

/*
 * Producer
 */

BENCH_INLINE void push(struct handoff *h, uint64_t entry, unsigned group)
{
	struct ring *ring = h->ring;
	unsigned n_spins = 0;

	while (h->tail - h->seen_head == RING) {
		h->seen_head = atomic_load_explicit(&ring->head,
						    memory_order_acquire);
		if (h->tail - h->seen_head == RING)
			wait_a_little(&n_spins);
	}
	ring->entry[h->tail++ % RING] = entry;
	if (h->tail % group == 0)
		atomic_store_explicit(&ring->tail, h->tail,
				      memory_order_release);
}

/* Until the consumer has done all there is. */
static void flush(struct handoff *h)
{
	unsigned n_spins = 0;

	atomic_store(&h->ring->tail, h->tail);
	while (atomic_load(&h->ring->head) != h->tail)
		wait_a_little(&n_spins);
}

BENCH_INLINE void produce(struct bench_run *r, uint64_t n, unsigned group,
			  bool tarn)
{
	static uint64_t value;
	struct handoff *h = r->state;

	for (uint64_t i = 0; i < n; i++) {
		void *p = heap_alloc(&r->heap, tarn, SIZE);
		uint64_t entry = (uintptr_t)p;

		if (__builtin_expect(!p, 0))
			bench_die("out of memory", 0);
		touch(p, value++);
		if (tarn) {
			entry = tarn_ref_of(r->heap.pool, p);
			tarn_give(r->heap.pool, entry, h->ring->client);
		}
		push(h, entry, group);
	}
	flush(h);
}

BENCH_INLINE void one_by_one(struct bench_run *r, uint64_t n, bool tarn)
{
	produce(r, n, 1, tarn);
}
BENCH_BODY(one_by_one)

BENCH_INLINE void by_64(struct bench_run *r, uint64_t n, bool tarn)
{
	produce(r, n, 64, tarn);
}
BENCH_BODY(by_64)

static void start_process(struct handoff *h)
{
	struct tarn_pool *pool = h->heap->pool;
	unsigned n_spins = 0;

	h->ring = tarn_alloc_aligned(pool, 64, sizeof(*h->ring));
	if (!h->ring)
		bench_die("ring", -errno);
	memset(h->ring, 0, sizeof(*h->ring));
	if (tarn_root_set(pool, "ring", tarn_ref_of(pool, h->ring)) < 0)
		bench_die("ring", 0);
	h->pid = fork();
	if (h->pid < 0)
		bench_die("fork", -errno);
	if (h->pid == 0)
		consumer_process(h);
	while (!atomic_load(&h->ring->client))
		wait_a_little(&n_spins);
}

static bool start(struct bench_run *r, bool tarn, bool take)
{
	struct handoff *h = bench_memory(sizeof(*h));

	r->state = h;
	h->heap = &r->heap;
	h->take = take;
	if (tarn) {
		start_process(h);
	} else {
		h->ring = bench_memory(sizeof(*h->ring));
		if (pthread_create(&h->thread, NULL, consumer_thread, h))
			bench_die("thread", 0);
	}
	bench_pin(0); /* after the other side has been made, with no pin */
	return true;
}

static bool setup(struct bench_run *r, bool tarn)
{
	return start(r, tarn, false);
}

static bool setup_take(struct bench_run *r, bool tarn)
{
	return start(r, tarn, true);
}

static void teardown(struct bench_run *r, bool tarn)
{
	struct handoff *h = r->state;
	int status = 0;

	push(h, END, 1);
	flush(h);
	if (tarn)
		waitpid(h->pid, &status, 0);
	else
		pthread_join(h->thread, NULL);
	if (status != 0)
		bench_die("consumer failed", 0);
}

static const struct bench_case cases[] = {
	{ .name = "handoff", .n_ops = 5000000,
	  .what = "one by one, 64 B: alloc, give, pass the ref; read, free",
	  .setup = setup, .teardown = teardown, BENCH_RUNS(one_by_one) },
	{ .name = "handoff_take", .n_ops = 5000000,
	  .what = "the same, and the consumer takes before it frees",
	  .setup = setup_take, .teardown = teardown, BENCH_RUNS(one_by_one) },
	{ .name = "handoff_64", .n_ops = 5000000,
	  .what = "as handoff, in groups of 64",
	  .setup = setup, .teardown = teardown, BENCH_RUNS(by_64) },
};

int main(int argc, char **argv)
{
	return bench_main(argc, argv, "handoff", cases,
			  sizeof(cases) / sizeof(cases[0]));
}
