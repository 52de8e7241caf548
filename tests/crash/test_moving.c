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

#include <tarn/handle.h>

#include "client/lane.h"
#include "client/process.h"
#include "pool/cache.h"
#include "pool/compact.h"
#include "tests/lib/tn_heap.h"

#define N 8U
#define N_MINE 400U
#define N_BOX 64U      /* words that handles go through */
#define N_COMMON 8U    /* objects that anybody writes, one at a time */
#define POOL_BYTES (64ULL << 20)
#define KILL_NS 10000000LL

struct object {
	uint32_t bytes, seed;
	uint64_t check;      /* of what follows; written last */
	uint64_t word[];
};

struct shared {
	atomic_bool stop;
	atomic_uint faults;
	atomic_ulong ops, told, refused;
	atomic_uint id[N + 1];       /* of who lives */
	struct {
		atomic_uint writer;  /* id of who may write it, or 0 */
		tarn_ref h;          /* the pool holds it */
	} common[N_COMMON];
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

static uint64_t rnd;

static uint64_t next(void)
{
	rnd ^= rnd << 13;
	rnd ^= rnd >> 7;
	rnd ^= rnd << 17;
	return rnd;
}

static void fault(const char *what, uint64_t a, uint64_t b)
{
	atomic_fetch_add(&shared->faults, 1);
	dprintf(2, "%s: %llx %llx, errno %d\n", what, (unsigned long long)a,
		(unsigned long long)b, errno);
	_exit(1);
}

static size_t random_size(void)
{
	uint64_t r = next();

	if (r % 500 == 0)
		return 33000 + r / 500 % 100000;
	return sizeof(struct object) + 8 + (r >> 20) % 700;
}

static uint64_t check_of(const struct object *o)
{
	uint64_t n = (o->bytes - sizeof(*o)) / 8, sum = o->seed;

	for (uint64_t i = 0; i < n; i++)
		sum = sum * 31 + o->word[i];
	return sum;
}

static void write_object(struct object *o, uint32_t bytes)
{
	uint64_t n = (bytes - sizeof(*o)) / 8;

	o->bytes = bytes;
	o->seed = (uint32_t)next();
	for (uint64_t i = 0; i < n; i++)
		o->word[i] = o->seed + i;
	o->check = check_of(o);
}

static void look_at(const struct object *o, uint64_t ref)
{
	if (o->bytes < sizeof(*o) || o->bytes > 200000 ||
	    o->check != check_of(o))
		fault("torn", ref, o->bytes);
}

static tarn_ref make(struct tarn_pool *pool)
{
	size_t bytes = random_size();
	tarn_ref h = tarn_halloc(pool, bytes);
	struct object *o;

	if (!h) {
		if (errno != ENOMEM)
			fault("halloc", bytes, 0);
		atomic_fetch_add(&shared->refused, 1);
		return 0;
	}
	o = tarn_pin(pool, h);
	if (!o)
		fault("pin of a new one", h, 0);
	write_object(o, (uint32_t)bytes);
	if (tarn_unpin(pool, h))
		fault("unpin", h, 0);
	return h;
}

/* Our own: it cannot be stale, and nobody else writes. */
static void use_mine(struct tarn_pool *pool, tarn_ref h)
{
	struct object *o;
	const struct object *r;

	switch (next() % 4) {
	case 0:
		o = tarn_pin(pool, h);
		if (!o)
			fault("pin of mine", h, 0);
		look_at(o, h);
		write_object(o, o->bytes);
		tarn_unpin(pool, h);
		break;
	case 1:
		if (tarn_enter(pool))
			fault("enter", h, 0);
		r = tarn_deref(pool, h);
		if (!r)
			fault("deref of mine", h, 0);
		look_at(r, h);
		tarn_exit(pool);
		break;
	default:
		r = tarn_pin_read(pool, h);
		if (!r)
			fault("read pin of mine", h, 0);
		look_at(r, h);
		tarn_unpin(pool, h);
	}
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

/* One that is not ours, and that we write while nobody else does. Who comes
 * after a writer that died has been told so, or finds it whole. */
static void use_common(struct tarn_pool *pool)
{
	unsigned k = next() % N_COMMON, was = atomic_load(
						&shared->common[k].writer);
	tarn_ref h = shared->common[k].h;
	struct object *o;

	for (unsigned n = 1; was && n <= N; n++)
		if (atomic_load(&shared->id[n]) == was)
			return;
	if (!atomic_compare_exchange_strong(&shared->common[k].writer, &was,
					    pool->client))
		return;
	o = tarn_pin(pool, h);
	if (!o && errno == EOWNERDEAD) {
		atomic_fetch_add(&shared->told, 1);
		o = tarn_pin(pool, h);
		if (o)
			write_object(o, 4000);
	}
	if (!o)
		fault("pin of a common one", h, 0);
	look_at(o, h);
	write_object(o, 4000);
	tarn_unpin(pool, h);
	atomic_store(&shared->common[k].writer, 0);
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
	pool->fenced = syscall(SYS_membarrier,
		MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) < 0;
	return pool;
}

static void be_client(unsigned n)
{
	struct tarn_pool *pool = attach(n);
	tarn_ref mine[N_MINE] = { 0 };

	rnd = (uint64_t)now_ns() * 2654435761u + n;
	while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
		tarn_ref *h = &mine[next() % N_MINE];

		if (!*h)
			*h = make(pool);
		else if (next() % 4)
			use_mine(pool, *h);
		else if (next() % 8) {
			if (tarn_hfree(pool, *h))
				fault("free of mine", *h, 0);
			if (tarn_pin(pool, *h) || errno != ESTALE)
				fault("pin of a freed one", *h, 0);
			*h = 0;
		} else {
			put_in_box(pool, *h);
			*h = 0;
		}
		use_box(pool);
		if (next() % 16 == 0)
			use_common(pool);
		atomic_fetch_add(&shared->ops, 1);
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
}

/* What the pool holds, made and freed by one who comes first and last. */
static void as_client(void (*fn)(struct tarn_pool *pool))
{
	tn64_store_relaxed(&heap.pool.clients[1].state,
			   TN_CLIENT_ALIVE | id[1]);
	pid[1] = fork();
	if (!pid[1]) {
		rnd = 1;
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
		tarn_ref h = tarn_halloc(pool, 4000);

		write_object(tarn_pin(pool, h), 4000);
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
	while (now_ns() < end && !atomic_load(&shared->faults)) {
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
	       (unsigned long)atomic_load(&shared->ops),
	       (unsigned long)atomic_load(&shared->told),
	       (unsigned long)atomic_load(&shared->refused));
	assert_int_equal(atomic_load(&shared->faults), 0);
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
