/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The dispatcher: one thread, one poll() loop.
 *
 * A cell of the job table stands for one chunk that a worker was given:
 *
 *   FREE -> DEALT -> FREE     the worker said DONE; the result was claimed
 *           DEALT -> FREE     the worker died, but had published
 *           DEALT -> CLOSED   the worker died, and had not
 *
 * To close a cell is to publish a tombstone into it. Publishing into a word
 * that is taken fails, so of result and tombstone exactly one is ever in
 * there, however late the other comes (tarnd may just be finishing what the
 * dead worker had begun). Only if it was the tombstone is the chunk read and
 * dealt again, with a fresh cell: every chunk is counted once.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "examples/wordcount/wordcount.h"

#define WINDOW 2        /* chunks a worker has at a time: it need not wait */
#define MAX_DEALS 20    /* a chunk that kills whoever gets it ends the run */
#define MAX_STILLBORN 20 /* so do workers that die before they say hello */

struct worker {
	pid_t pid;
	int fd;             /* our end of the socketpair */
	uint32_t client;    /* 0: has not said hello yet */
	unsigned n_jobs;
	bool dead;          /* tarnd says so; the socket will too */
};

struct job {
	enum { FREE, DEALT, CLOSED } state;
	unsigned worker;
	struct piece piece;
};

struct dispatcher {
	const struct wc_opts *opts;
	struct text *text;
	struct heap heap;
	struct job job[WC_CELLS];
	unsigned n_dealt;       /* jobs in that state */
	struct worker *workers;
	struct piece *again;    /* pieces to be dealt again, a stack */
	size_t n_again;
	struct words words;
	/* for the report */
	unsigned n_results, n_kills, n_deaths, n_stillborn, n_redealt;
	bool kill_due;
};

/*
 * Workers
 */

static void become_worker(const char *pool_name, int fd)
{
	char number[16];

	fcntl(fd, F_SETFD, 0); /* the one descriptor that exec keeps */
	snprintf(number, sizeof(number), "%d", fd);
	execl("/proc/self/exe", "wordcount", "--worker", number, "--pool",
	      pool_name, (char *)NULL);
	_exit(127);
}

static void spawn(struct dispatcher *d, struct worker *w)
{
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) < 0)
		wc_die("socketpair", -errno);
	fflush(stdout);
	w->pid = fork();
	if (w->pid < 0)
		wc_die("fork", -errno);
	if (w->pid == 0)
		become_worker(d->heap.pool_name, fd[1]);
	close(fd[1]);
	w->fd = fd[0];
	w->client = 0;
	w->n_jobs = 0;
	w->dead = false;
}

/* In the middle of its work, for those who want to see what happens. */
static void kill_one(struct dispatcher *d)
{
	for (unsigned i = 0; i < d->opts->n_workers; i++) {
		/* not always the first */
		struct worker *w = &d->workers[(i + d->n_results) %
					       d->opts->n_workers];

		if (w->n_jobs == 0)
			continue;
		fprintf(stderr, "wordcount: SIGKILL for worker %d, "
			"which has %u chunk%s\n", (int)w->pid, w->n_jobs,
			w->n_jobs == 1 ? "" : "s");
		kill(w->pid, SIGKILL);
		d->n_kills++;
		d->kill_due = false;
		return;
	}
}

/*
 * Jobs
 */

static void deal_again_later(struct dispatcher *d, const struct piece *piece)
{
	d->again = reallocarray(d->again, d->n_again + 1, sizeof(*d->again));
	if (!d->again)
		wc_die("pieces to deal again", -ENOMEM);
	d->again[d->n_again++] = *piece;
}

static bool next_piece(struct dispatcher *d, struct piece *ret)
{
	if (d->n_again == 0)
		return text_next(d->text, ret);
	*ret = d->again[--d->n_again];
	return true;
}

static unsigned free_cell(const struct dispatcher *d)
{
	for (unsigned n = 0; n < WC_CELLS; n++)
		if (d->job[n].state == FREE)
			return n;
	wc_die("too many deaths: no cell is left", 0);
}

/* Hands a filled chunk over. From tarn_give() on it is the worker's: if the
 * worker dies before it reads our message, tarnd frees the chunk. */
static void hand_over(struct dispatcher *d, unsigned n_worker,
		      struct piece *piece, char *chunk)
{
	struct worker *w = &d->workers[n_worker];
	struct wc_msg msg = {
		.kind = WC_WORK,
		.n = free_cell(d),
		.chunk = tarn_ref_of(d->heap.pool, chunk),
		.n_bytes = piece->n_bytes,
	};
	int r;

	r = tarn_give(d->heap.pool, msg.chunk, w->client);
	if (r == -ESRCH) {
		tarn_free(d->heap.pool, chunk);
		deal_again_later(d, piece);
		w->dead = true;
		return;
	}
	if (r < 0)
		wc_die("give", r);
	if (piece->n_deals++ == MAX_DEALS)
		wc_die("a chunk is the death of every worker", 0);
	d->job[msg.n] = (struct job){ DEALT, n_worker, *piece };
	d->n_dealt++;
	w->n_jobs++;
	/* If this fails the worker is dead, and bury() sees to the job. */
	send(w->fd, &msg, sizeof(msg), MSG_NOSIGNAL);
}

/* Gives a worker one chunk; false: there is none, or no room for it now. */
static bool deal(struct dispatcher *d, unsigned n_worker)
{
	struct piece piece;
	char *chunk;

	if (!next_piece(d, &piece))
		return false;
	chunk = tarn_alloc(d->heap.pool, piece.n_bytes);
	if (!chunk && errno == ENOMEM && d->n_dealt > 0) {
		deal_again_later(d, &piece); /* a worker will free one */
		return false;
	}
	if (!chunk) /* tarnd may be about to free what a dead one held */
		chunk = alloc_patiently(d->heap.pool, piece.n_bytes,
					"room for a chunk");
	text_read(d->text, &piece, chunk);
	hand_over(d, n_worker, &piece, chunk);
	return true;
}

static void deal_all(struct dispatcher *d)
{
	for (unsigned depth = 1; depth <= WINDOW; depth++)
		for (unsigned i = 0; i < d->opts->n_workers; i++)
			if (d->workers[i].client && !d->workers[i].dead &&
			    d->workers[i].n_jobs < depth && !deal(d, i))
				return;
}

/* Takes the result out of a cell, if there is one. */
static bool collect(struct dispatcher *d, unsigned n)
{
	struct tarn_pool *pool = d->heap.pool;
	tarn_ref ref = tarn_claim(pool, &d->heap.jobs->cell[n]);
	void *result;
	int r;

	if (!ref)
		return false;
	result = tarn_ptr(pool, ref);
	r = words_merge(&d->words, result, tarn_usable_bytes(pool, result));
	if (r < 0)
		wc_die("a result", r);
	r = tarn_free(pool, result); /* a worker allocated it */
	if (r < 0)
		wc_die("free a result", r);
	d->job[n].state = FREE;
	d->n_dealt--;
	d->n_results++;
	if (d->opts->kill_after && d->n_results % d->opts->kill_after == 0 &&
	    d->n_kills < d->opts->n_kills)
		d->kill_due = true;
	return true;
}

/* Was this chunk of a dead worker counted? If not, it never will be. */
static void settle(struct dispatcher *d, unsigned n)
{
	void *tombstone;
	int r;

	if (collect(d, n))
		return;
	tombstone = alloc_patiently(d->heap.pool, 1, "room for a tombstone");
	r = tarn_publish(d->heap.pool, &d->heap.jobs->cell[n],
			 tarn_ref_of(d->heap.pool, tombstone));
	if (r == -EBUSY) {
		tarn_free(d->heap.pool, tombstone);
		if (!collect(d, n))
			wc_die("a cell is taken and empty", 0);
		return;
	}
	if (r < 0)
		wc_die("publish a tombstone", r);
	d->job[n].state = CLOSED;
	d->n_dealt--;
	d->n_redealt++;
	deal_again_later(d, &d->job[n].piece);
}

static void bury(struct dispatcher *d, unsigned n_worker)
{
	struct worker *w = &d->workers[n_worker];

	close(w->fd);
	kill(w->pid, SIGKILL); /* should it only have closed its socket */
	waitpid(w->pid, NULL, 0);
	d->n_deaths++;
	for (unsigned n = 0; n < WC_CELLS; n++)
		if (d->job[n].state == DEALT && d->job[n].worker == n_worker)
			settle(d, n);
	if (!w->client && ++d->n_stillborn > MAX_STILLBORN)
		wc_die("workers die before they begin", 0);
	spawn(d, w);
}

/*
 * The loop
 */

static void hear(struct dispatcher *d, unsigned n_worker)
{
	struct worker *w = &d->workers[n_worker];
	struct wc_msg msg;

	if (recv(w->fd, &msg, sizeof(msg), 0) != sizeof(msg)) {
		bury(d, n_worker);
		return;
	}
	if (msg.kind == WC_HELLO) {
		w->client = msg.n;
	} else if (msg.kind == WC_DONE && msg.n < WC_CELLS &&
		   d->job[msg.n].state == DEALT &&
		   d->job[msg.n].worker == n_worker) {
		w->n_jobs--;
		if (!collect(d, msg.n))
			wc_die("a worker said done, and its cell is empty", 0);
	} else {
		wc_die("a worker talks nonsense", 0);
	}
}

static void run(struct dispatcher *d, struct pollfd *fds)
{
	unsigned n_workers = d->opts->n_workers;

	for (;;) {
		deal_all(d);
		if (d->n_dealt == 0 && d->n_again == 0 &&
		    d->text->round >= d->text->n_repeat)
			return;
		if (d->kill_due)
			kill_one(d);
		for (unsigned i = 0; i < n_workers; i++)
			fds[i] = (struct pollfd){ .fd = d->workers[i].fd,
						  .events = POLLIN };
		if (poll(fds, n_workers, -1) < 0 && errno != EINTR)
			wc_die("poll", -errno);
		for (unsigned i = 0; i < n_workers; i++)
			if (fds[i].revents)
				hear(d, i);
	}
}

static void dismiss_workers(struct dispatcher *d)
{
	for (unsigned i = 0; i < d->opts->n_workers; i++)
		close(d->workers[i].fd); /* they see it, and leave */
	for (unsigned i = 0; i < d->opts->n_workers; i++)
		waitpid(d->workers[i].pid, NULL, 0);
}

static void report(const struct dispatcher *d, double seconds)
{
	double mb = (double)d->text->n_bytes * d->text->n_repeat / 1e6;

	printf("%llu words, %zu different ones, in %.1f MB of %zu files\n",
	       (unsigned long long)d->words.total, d->words.n, mb,
	       d->text->n_files);
	printf("%u workers, %u chunks, %.2f s, %.0f MB/s\n",
	       d->opts->n_workers, d->n_results, seconds, mb / seconds);
	printf("workers killed: %u; chunks dealt again: %u\n", d->n_deaths,
	       d->n_redealt);
	printf("the ten commonest words:\n");
	words_top(&d->words, 10);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int dispatch(const struct wc_opts *opts, struct text *text)
{
	static struct dispatcher d;
	struct pollfd *fds = calloc(opts->n_workers, sizeof(*fds));
	double start;
	int r;

	d.opts = opts;
	d.text = text;
	d.workers = calloc(opts->n_workers, sizeof(*d.workers));
	if (!d.workers || !fds)
		wc_die("workers", -ENOMEM);
	heap_open(&d.heap, opts);
	start = now();
	for (unsigned i = 0; i < opts->n_workers; i++)
		spawn(&d, &d.workers[i]);
	run(&d, fds);
	report(&d, now() - start);
	dismiss_workers(&d);
	r = heap_check(&d.heap) ? 0 : 1;
	if (opts->dump && words_dump(&d.words, opts->dump) < 0) {
		fprintf(stderr, "wordcount: cannot write %s\n", opts->dump);
		r = 1;
	}
	heap_close(&d.heap);
	words_fini(&d.words);
	free(d.again);
	free(d.workers);
	free(fds);
	return r;
}
