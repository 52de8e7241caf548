/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Eight processes of two threads each allocate objects of 16 B to 256 KiB,
 * fill them, pass them on in every way there is, check what they get and free
 * it: given over a pipe, detached over a pipe, published in a cell, or left
 * on a bench for the other thread. At the end some free what they hold, some
 * just leave, and one kills itself; then the pool must be as it was when new.
 *
 * TARN_STRESS_SECONDS (5) is how long.
 */
#include "tests/lib/tn_test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <tarn/stats.h>
#include <tarn/tarn.h>

#include "tests/lib/tn_view.h"
#include "tests/stress/object.h"

#define N_PROCS 8
#define N_THREADS 2
#define N_CELLS 256
#define N_SLOTS 48    /* objects that a thread holds at most */
#define N_BENCH 8
#define POOL_BYTES ((uint64_t)256 << 20)
#define INBOX_BYTES 4096 /* of a pipe: 256 notes, so memory stays bounded */

#define LEAVES(proc) ((proc) % 4 == 3) /* without freeing anything */
#define DIES(proc) ((proc) == N_PROCS - 1)

/* Between the processes of this test, not in the pool. */
struct shared {
	atomic_uint n_ready, n_done;
	atomic_uint client[N_PROCS];
	atomic_ulong n_checked[N_PROCS];
	int64_t until_ms;
	int inbox[N_PROCS][2];
};

static struct shared *shared;
static int seconds = 5;

/* In the pool, under the root "table". */
struct table {
	uint64_t cell[N_CELLS];
};

/* What goes over a pipe; shorter than PIPE_BUF, so it arrives whole. */
struct note {
	tarn_ref ref;
	uint32_t size;
	uint32_t detached;
};

struct proc {
	unsigned n;
	struct tarn_pool *pool;
	struct table *table;
	_Atomic(struct object *) bench[N_BENCH];
};

struct thread {
	struct proc *proc;
	uint64_t random;
	struct object *slot[N_SLOTS];
	unsigned long n_checked;
};

/* In the children an assertion of cmocka would jump into the parent's copy of
 * the test, so they say what is wrong and end. */
#define need(cond) \
	do { \
		if (!(cond)) \
			complain(__LINE__, #cond); \
	} while (0)

static void complain(int line, const char *what)
{
	dprintf(2, "test_exchange.c:%d: pid %d: not so: %s (errno %d)\n", line,
		(int)getpid(), what, errno);
	_exit(1);
}

#ifdef __SANITIZE_THREAD__
/* Nor that a run which these two copy into was freed by another process since
 * our other thread had it: see tests/stress/object.h. */
TARN_API const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:tarn_realloc\nrace:tarn_zalloc\n";
}
#endif

static uint32_t rnd(struct thread *t, uint32_t below)
{
	return random_below(&t->random, below);
}

/*
 * Objects
 */

static void check(struct thread *t, const struct object *o)
{
	need(object_is_right(o, tarn_usable_bytes(t->proc->pool, o)));
	t->n_checked++;
}

static void discard(struct thread *t, struct object *o)
{
	check(t, o);
	object_spoil(o);
	need(tarn_free(t->proc->pool, o) == 0);
}

/* 16 B to 256 KiB, each power of two as likely; the small ones more so. */
static uint32_t any_size(struct thread *t)
{
	uint32_t base = 16u << rnd(t, rnd(t, 4) ? 9 : 14);

	return base + rnd(t, base + 1);
}

static struct object *make(struct thread *t)
{
	struct tarn_pool *pool = t->proc->pool;
	uint32_t size = any_size(t), align;
	struct object *o;

	switch (rnd(t, 8)) {
	case 0:
		o = tarn_zalloc(pool, size);
		need(o && o->mark == 0 && ((char *)o)[size - 1] == 0);
		break;
	case 1:
		align = 16u << rnd(t, 9);
		o = tarn_alloc_aligned(pool, align, size);
		need(o && (uintptr_t)o % align == 0);
		break;
	default:
		o = tarn_alloc(pool, size);
		need(o && (uintptr_t)o % 16 == 0);
	}
	object_fill(o, size, (uint32_t)t->random);
	return o;
}

static struct object *resize(struct thread *t, struct object *o)
{
	uint32_t size = any_size(t);

	o = tarn_realloc(t->proc->pool, o, size);
	need(o && object_begins_right(o, size));
	object_fill(o, size, (uint32_t)t->random);
	return o;
}

/*
 * Ways to pass one on
 */

/* false: the inbox is empty. *ret may be NULL even if it was not. */
static bool receive(struct thread *t, struct object **ret)
{
	struct tarn_pool *pool = t->proc->pool;
	struct object *o;
	struct note note;
	ssize_t n = read(shared->inbox[t->proc->n][0], &note, sizeof(note));

	*ret = NULL;
	if (n < 0 && errno == EAGAIN)
		return false;
	need(n == sizeof(note));
	o = tarn_ptr(pool, note.ref);
	need(o && object_size(o) == note.size);
	if (note.detached && rnd(t, 2)) {
		discard(t, o); /* the pool's: anybody may */
		return true;
	}
	need((note.detached ? tarn_adopt(pool, note.ref) :
			      tarn_take(pool, note.ref)) == 0);
	check(t, o);
	*ret = o;
	return true;
}

/* Take one from the inbox and be done with it; false: there is none. */
static bool receive_and_discard(struct thread *t)
{
	struct object *o;

	if (!receive(t, &o))
		return false;
	if (o)
		discard(t, o);
	return true;
}

static void send_note(struct thread *t, struct object *o)
{
	struct tarn_pool *pool = t->proc->pool;
	unsigned to = rnd(t, N_PROCS);
	struct note note = {
		.ref = tarn_ref_of(pool, o),
		.size = object_size(o),
		.detached = rnd(t, 3) == 0,
	};

	if (note.detached)
		need(tarn_detach(pool, note.ref) == 0);
	else
		need(tarn_give(pool, note.ref, shared->client[to]) == 0);
	/* Its inbox is full: it may itself wait for us, so empty our own. */
	while (write(shared->inbox[to][1], &note, sizeof(note)) < 0) {
		need(errno == EAGAIN);
		if (!receive_and_discard(t))
			sched_yield();
	}
}

static struct object *claim(struct thread *t, unsigned cell)
{
	struct tarn_pool *pool = t->proc->pool;
	tarn_ref ref = tarn_claim(pool, &t->proc->table->cell[cell]);
	struct object *o;

	if (!ref)
		return NULL;
	o = tarn_ptr(pool, ref);
	need(o);
	check(t, o);
	return o;
}

/* Returns what the thread still holds: NULL, or @o if the cell was taken. */
static struct object *publish(struct thread *t, struct object *o)
{
	struct tarn_pool *pool = t->proc->pool;
	int r = tarn_publish(pool, &t->proc->table->cell[rnd(t, N_CELLS)],
			     tarn_ref_of(pool, o));

	need(r == 0 || r == -EBUSY);
	return r == 0 ? NULL : o;
}

static void step(struct thread *t)
{
	struct object **slot = &t->slot[rnd(t, N_SLOTS)], *o = *slot;
	uint32_t what = rnd(t, 16);

	if (!o) {
		if (what < 8)
			*slot = make(t);
		else if (what < 12)
			receive(t, slot);
		else
			*slot = claim(t, rnd(t, N_CELLS));
	} else if (what < 5) {
		*slot = NULL;
		discard(t, o);
	} else if (what < 9) {
		*slot = NULL;
		send_note(t, o);
	} else if (what < 13) {
		*slot = publish(t, o);
	} else if (what < 14) {
		*slot = resize(t, o);
	} else {
		*slot = atomic_exchange(&t->proc->bench[rnd(t, N_BENCH)], o);
		if (*slot)
			check(t, *slot);
	}
}

/*
 * Processes
 */

static void *run_thread(void *arg)
{
	struct thread *t = arg;

	while (tn_test_now_ms() < shared->until_ms)
		for (int i = 0; i < 100; i++)
			step(t);
	for (int i = 0; i < N_SLOTS && !LEAVES(t->proc->n); i++)
		if (t->slot[i])
			discard(t, t->slot[i]);
	atomic_fetch_add(&shared->n_checked[t->proc->n], t->n_checked);
	return NULL;
}

/* Until all have stopped sending; then nothing more can come. */
static void empty_inbox(struct thread *t)
{
	for (;;) {
		bool last = atomic_load(&shared->n_done) == N_PROCS;

		while (receive_and_discard(t))
			;
		if (last)
			return;
		usleep(1000);
	}
}

static void attach(struct proc *p)
{
	struct tarn *tarn;

	need(tarn_connect(NULL, &tarn) == 0);
	need(tarn_pool_open(tarn, "exchange", TARN_PRODUCER, &p->pool) == 0);
	tarn_disconnect(tarn);
	p->table = tarn_ptr(p->pool, tarn_root_get(p->pool, "table"));
	need(p->table);
	atomic_store(&shared->client[p->n], tarn_client_id(p->pool));
	atomic_fetch_add(&shared->n_ready, 1);
	while (atomic_load(&shared->n_ready) < N_PROCS)
		usleep(1000);
}

static int run_proc(void *arg)
{
	static struct thread t[N_THREADS];
	static struct proc p;
	pthread_t id[N_THREADS];
	struct object *o;

	alarm((unsigned)seconds + 60);
	p.n = *(unsigned *)arg;
	attach(&p);
	for (unsigned i = 0; i < N_THREADS; i++) {
		t[i].proc = &p;
		t[i].random = 0x2545f4914f6cdd1du * (p.n * N_THREADS + i + 1);
		need(pthread_create(&id[i], NULL, run_thread, &t[i]) == 0);
	}
	for (unsigned i = 0; i < N_THREADS; i++)
		need(pthread_join(id[i], NULL) == 0);
	atomic_fetch_add(&shared->n_done, 1);
	empty_inbox(&t[0]);
	for (unsigned i = 0; i < N_CELLS; i++)
		if ((o = claim(&t[0], i)))
			discard(&t[0], o);
	if (DIES(p.n))
		raise(SIGKILL);
	if (LEAVES(p.n))
		return 0;
	for (unsigned i = 0; i < N_BENCH; i++)
		if ((o = p.bench[i]))
			discard(&t[0], o);
	tarn_pool_close(p.pool);
	return 0;
}

/*
 * The parent
 */

static struct tarn_pool *open_pool(enum tarn_role role)
{
	struct tarn_pool *pool;
	struct tarn *tarn;

	assert_int_equal(tarn_connect(NULL, &tarn), 0);
	assert_int_equal(tarn_pool_open(tarn, "exchange", role, &pool), 0);
	tarn_disconnect(tarn);
	return pool;
}

static void read_stats(struct tarn_pool *pool, struct tarn_stats *ret)
{
	*ret = (struct tarn_stats){ .sz = sizeof(*ret) };
	assert_int_equal(tarn_stats(pool, ret), 0);
	tarn_stats_free(ret);
}

static void make_pool(struct tarn_stats *ret_new)
{
	struct tarn_pool *pool;
	struct table *table;
	struct tarn *tarn;
	tarn_ref ref;

	assert_int_equal(tarn_connect(NULL, &tarn), 0);
	assert_int_equal(tarn_pool_create(tarn, "exchange",
		TARN_POOL_OPTS(.bytes = POOL_BYTES)), 0);
	tarn_disconnect(tarn);
	pool = open_pool(TARN_PRODUCER);
	read_stats(pool, ret_new);
	table = tarn_zalloc(pool, sizeof(*table));
	assert_non_null(table);
	ref = tarn_ref_of(pool, table);
	assert_int_equal(tarn_detach(pool, ref), 0);
	assert_int_equal(tarn_root_set(pool, "table", ref), 0);
	tarn_pool_close(pool);
}

static bool nobody_else_is_there(struct tarn_pool *pool)
{
	struct tarn_stats s;

	read_stats(pool, &s);
	return s.n_clients <= 1;
}

static void assert_pool_as_new(const struct tarn_stats *new)
{
	struct tarn_pool *pool = open_pool(TARN_PRODUCER);
	tarn_ref ref = tarn_root_get(pool, "table");
	struct table *table = tarn_ptr(pool, ref);
	struct tarn_stats s;

	assert_non_null(table);
	for (int i = 0; i < N_CELLS; i++)
		assert_int_equal(table->cell[i], 0);
	assert_int_equal(tarn_root_set(pool, "table", TARN_REF_NONE), 0);
	assert_int_equal(tarn_free(pool, table), 0);
	tarn_pool_close(pool);

	pool = open_pool(TARN_OBSERVER);
	tn_test_eventually(nobody_else_is_there(pool));
	assert_null(tn_view_not_pristine(pool));
	read_stats(pool, &s);
	assert_int_equal(s.live_objects, 0);
	assert_int_equal(s.live_bytes, 0);
	assert_int_equal(s.run_bytes, 0);
	assert_int_equal(s.cached_bytes, 0);
	assert_int_equal(s.n_classes, 0);
	assert_int_equal(s.free_pages, new->free_pages);
	assert_int_equal(s.largest_run, new->largest_run);
	tarn_pool_close(pool);
}

static void make_inboxes(void)
{
	for (int i = 0; i < N_PROCS; i++) {
		assert_int_equal(pipe2(shared->inbox[i],
				       O_CLOEXEC | O_NONBLOCK), 0);
		assert_true(fcntl(shared->inbox[i][1], F_SETPIPE_SZ,
				  INBOX_BYTES) >= INBOX_BYTES);
	}
}

static void objects_exchanged_by_all_are_right_and_nothing_is_lost(void **state)
{
	struct tn_test_daemon d;
	struct tarn_stats new;
	unsigned long n_checked = 0;
	unsigned n[N_PROCS];
	pid_t pid[N_PROCS];

	(void)state;
	alarm((unsigned)seconds + 60);
	tn_test_daemon_init(&d);
	tn_test_daemon_start(&d, NULL);
	make_pool(&new);
	make_inboxes();
	shared->until_ms = tn_test_now_ms() + seconds * 1000;
	for (unsigned i = 0; i < N_PROCS; i++) {
		n[i] = i;
		pid[i] = tn_test_spawn(run_proc, &n[i]);
	}
	for (unsigned i = 0; i < N_PROCS; i++) {
		assert_int_equal(tn_test_wait(pid[i]),
				 DIES(i) ? 128 + SIGKILL : 0);
		n_checked += shared->n_checked[i];
		close(shared->inbox[i][0]);
		close(shared->inbox[i][1]);
	}
	print_message("%lu objects checked in %d s\n", n_checked, seconds);
	assert_true(n_checked > 1000);
	assert_pool_as_new(&new);
	tn_test_daemon_stop(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TN_TEST(objects_exchanged_by_all_are_right_and_nothing_is_lost),
	};
	const char *s = getenv("TARN_STRESS_SECONDS");

	if (s && atoi(s) > 0)
		seconds = atoi(s);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
