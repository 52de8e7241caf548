/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compaction without end under clients who use what is moved.
 *
 * Eight processes make, pin, read, write, free and hand over objects that have
 * handles, and look whether each is what it must be whenever they see it. The
 * test itself is what tarnd is to them: it goes through the pool with the
 * mover from one pass to the next, with the kernel's own barrier, and between
 * two batches recovers those whom it has killed. At the end nothing is left.
 *
 * An object that somebody was writing when he was killed may be torn, but then
 * the next one who pins it must have been told so.
 *
 * TARN_STORM_SECONDS (5) is how long; one is killed every 10 ms.
 */
#include "tests/lib/tn_test.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/lane.h"
#include "client/process.h"
#include "pool/cache.h"
#include "pool/compact.h"
#include "tests/lib/tn_heap.h"

#define OBJECT_BYTES_MAX 200000U
#include "tests/crash/moving.h"

#define N 8U
#define N_MINE 400U
#define N_BOX 64U      /* words that handles go through */
#define N_COMMON 8U
#define POOL_BYTES (64ULL << 20)
#define KILL_NS 10000000LL

struct shared {
	struct moving moving;
	atomic_bool stop;
	atomic_ulong refused;
	atomic_uint id[N + 1];       /* of who lives */
	struct common common[N_COMMON];
};

static struct tn_heap heap;
static struct shared *shared;
static uint8_t *control[N + 1];
static uint32_t id[N + 1];
static pid_t pid[N + 1];
static int seconds = 5;
static uint64_t box;   /* place of the words */

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Clients */

static uint32_t random_size(void)
{
	uint64_t r = next();

	if (r % 500 == 0)
		return 33000 + (uint32_t)(r / 500 % 100000);
	return (uint32_t)(sizeof(struct object) + 8 + (r >> 20) % 700);
}

static uint64_t *random_word(struct tarn_pool *pool)
{ return (uint64_t *)(void *)(pool->p.data + box) + next() % N_BOX; }

/* One that goes round: take it out, look, change it, put it back. */
static void use_box(struct tarn_pool *pool)
{
	uint64_t *word = random_word(pool);
	tarn_ref h = tarn_claim(pool, word);
	int r;

	if (!h)
		return;
	use_mine(pool, h);
	r = tarn_publish(pool, word, h);
	if (r == -EBUSY)
		r = tarn_hfree(pool, h);
	if (r)
		fault("publish again", h, (uint64_t)-r);
}

static void put_in_box(struct tarn_pool *pool, tarn_ref h)
{
	int r = tarn_publish(pool, random_word(pool), h);

	if (r == -EBUSY)
		r = tarn_hfree(pool, h);
	if (r)
		fault("publish", h, (uint64_t)-r);
}

static bool is_alive(unsigned client)
{
	for (unsigned n = 1; n <= N; n++)
		if (atomic_load(&shared->id[n]) == client)
			return true;
	return false;
}

static void use_any_common(struct tarn_pool *pool)
{
	struct common *c = &shared->common[next() % N_COMMON];
	unsigned was = atomic_load(&c->writer);

	if (!was || !is_alive(was))
		use_common(pool, c, was, pool->client);
}

static struct tarn_pool *attach(unsigned n)
{
	struct tarn_pool *pool = calloc(1, sizeof(*pool));

	pool->p = heap.pool;
	pool->p.shapes = pool->shapes;
	tn_shapes_init(pool->shapes);
	pool->class_max = TARN_CLASS_MAX;
	pool->control = control[n];
	pool->client = id[n];
	pool->data_file.fd = pool->meta_file.fd = -1;
	if (!tn_process())
		abort();
	pool->process = tn_process_number();
	pool->key = 77;
	pool->p.must_fence = syscall(SYS_membarrier,
		MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) < 0;
	return pool;
}

static void be_client(unsigned n)
{
	struct tarn_pool *pool = attach(n);
	tarn_ref mine[N_MINE] = { 0 };

	seed = (uint64_t)now_ns() * 2654435761u + n;
	while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
		tarn_ref *h = &mine[next() % N_MINE];

		if (!*h) {
			*h = make(pool, random_size());
			if (!*h)
				atomic_fetch_add(&shared->refused, 1);
		} else if (next() % 4) {
			use_mine(pool, *h);
		} else if (next() % 8) {
			free_mine(pool, *h);
			*h = 0;
		} else {
			put_in_box(pool, *h);
			*h = 0;
		}
		use_box(pool);
		if (next() % 16 == 0)
			use_any_common(pool);
		atomic_fetch_add(&moving->ops, 1);
	}
	_exit(0);
}

/* What tarnd does */

static int fence(void *arg)
{
	(void)arg;
	return (int)syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0,
			    0);
}

static void clients(void *arg, struct tn_mover *m)
{
	(void)arg;
	for (unsigned n = 1; n <= N; n++)
		if (pid[n])
			tn_move_look(m, control[n]);
}

static void pause_(void *arg)
{
	(void)arg;
	usleep(50);
}

static void start(unsigned n)
{
	tn64_store_relaxed(&heap.pool.clients[n].state,
			   TN_CLIENT_ALIVE | id[n]);
	atomic_store(&shared->id[n], id[n]);
	pid[n] = fork();
	if (!pid[n]) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		be_client(n);
	}
	assert_true(pid[n] > 0);
}

static struct tn_lane_ref own_lane(void)
{
	static struct tn_lane_ref self;

	if (!self.control)
		self = tn_heap_lane(&heap, 0, 0);
	return self;
}

static void bury(unsigned n)
{
	struct tn_recover r;
	int e, rests = 0;

	kill(pid[n], SIGKILL);
	assert_int_equal(waitpid(pid[n], NULL, 0), pid[n]);
	pid[n] = 0;
	tn_recover_begin(&r, &heap.pool, control[n], id[n], own_lane());
	while ((e = tn_recover_step(&r, 8192)) > 0)
		if (e == TN_RECOVER_LATER && rests++ > 5000)
			break;
		else if (e == TN_RECOVER_LATER)
			usleep(1000);
	if (e < 0)
		fprintf(stderr, "recovery: %s %llu\n", r.what,
			(unsigned long long)r.where);
	assert_int_equal(e, 0);
	tn64_store_relaxed(&heap.pool.clients[n].state, 0);
	atomic_store(&shared->id[n], 0);
	id[n] = (id[n] + TN_N_CLIENTS) & TN_CLIENT_ID_MASK;
	if (!id[n])
		id[n] = n;
}

static void prepare(void)
{
	tn_heap_init(&heap, POOL_BYTES, TN_FIRST_FIT);
	for (unsigned n = 1; n <= N; n++) {
		control[n] = mmap(NULL, heap.pool.geo.control_bytes,
				  PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
				  -1, 0);
		assert_ptr_not_equal(control[n], MAP_FAILED);
		id[n] = n;
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(shared, MAP_FAILED);
	moving = &shared->moving;
}

/* What the pool holds, made and freed by one who comes first and last. */
static void as_client(void (*fn)(struct tarn_pool *pool))
{
	tn64_store_relaxed(&heap.pool.clients[1].state,
			   TN_CLIENT_ALIVE | id[1]);
	pid[1] = fork();
	if (!pid[1]) {
		seed = 1;
		fn(attach(1));
		raise(SIGSTOP);
	}
	assert_int_equal(waitpid(pid[1], NULL, WUNTRACED), pid[1]);
	bury(1);
}

static void make_common(struct tarn_pool *pool)
{
	void *words = tarn_zalloc(pool, N_BOX * 8);

	if (!words || tarn_root_set(pool, "box", tarn_ref_of(pool, words)) ||
	    tarn_detach(pool, tarn_ref_of(pool, words)))
		fault("box", 0, 0);
	for (unsigned i = 0; i < N_COMMON; i++) {
		tarn_ref h = tarn_halloc(pool, COMMON_BYTES);

		write_object(tarn_pin(pool, h), COMMON_BYTES);
		if (tarn_unpin(pool, h) || tarn_detach(pool, h))
			fault("common", h, 0);
		shared->common[i].h = h;
	}
}

static void free_common(struct tarn_pool *pool)
{
	uint64_t *words = tarn_ptr(pool, tarn_root_get(pool, "box"));

	for (unsigned i = 0; i < N_BOX; i++)
		if (words[i] && tarn_hfree(pool, words[i]))
			fault("free of the box's", words[i], i);
	for (unsigned i = 0; i < N_COMMON; i++)
		if (tarn_hfree(pool, shared->common[i].h))
			fault("free of a common one", i, 0);
	if (tarn_free(pool, words))
		fault("free of the box", 0, 0);
}

static void clients_never_see_what_is_being_moved(void **state)
{
	static struct tn_mover mover;
	struct tn_compact c;
	int64_t end, next_kill;
	unsigned kills = 0, passes = 0, at = 0;
	int r;

	(void)state;
	prepare();
	tn_mover_init(&mover, &heap.pool, own_lane());
	mover.fence = fence;
	mover.clients = clients;
	mover.pause = pause_;
	mover.spoil = true;
	mover.restless = true;
	assert_int_equal(syscall(SYS_membarrier,
		MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0), 0);
	as_client(make_common);
	box = tn_ref_off(tn64_load_relaxed(&tn_root_find(&heap.pool, "box",
							 false)->ref));
	for (unsigned n = 1; n <= N; n++)
		start(n);
	alarm((unsigned)seconds + TN_TEST_SECONDS);
	end = now_ns() + seconds * 1000000000LL;
	next_kill = now_ns() + KILL_NS;
	tn_compact_begin(&c, &mover);
	while (now_ns() < end && !atomic_load(&moving->faults)) {
		r = tn_compact_step(&c, 65536);
		assert_true(r >= 0);
		if (!r) {
			tn_compact_begin(&c, &mover);
			passes++;
		}
		if (now_ns() < next_kill)
			continue;
		next_kill += KILL_NS;
		kills++;
		at = at % N + 1;
		bury(at);
		start(at);
	}
	atomic_store(&shared->stop, true);
	for (unsigned n = 1; n <= N; n++)
		bury(n);
	as_client(free_common);
	printf("# moving: %u passes, %llu objects moved, %llu MB, %llu pinned, "
	       "%llu undone; %u killed; %lu operations, %lu told of a torn "
	       "object, %lu refused\n", passes,
	       (unsigned long long)mover.moved_objects,
	       (unsigned long long)mover.moved_bytes >> 20,
	       (unsigned long long)mover.pinned,
	       (unsigned long long)mover.undone, kills,
	       (unsigned long)atomic_load(&moving->ops),
	       (unsigned long)atomic_load(&moving->told),
	       (unsigned long)atomic_load(&shared->refused));
	assert_int_equal(atomic_load(&moving->faults), 0);
	assert_null(tn_heap_not_pristine(&heap.pool));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(clients_never_see_what_is_being_moved),
	};
	const char *s = getenv("TARN_STORM_SECONDS");

	if (s)
		seconds = atoi(s);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
