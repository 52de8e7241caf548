/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * wordcount: counts the words of many files in many processes.
 *
 *   dispatcher                       pool                        worker
 *   ----------                       ----                        ------
 *   reads a file into a chunk ---->  chunk
 *   tarn_give(chunk, worker)
 *   WORK {cell, chunk} -------------- socketpair ------------->  tarn_take
 *                                    result  <-----------------  counts into
 *                                    jobs.cell[n] = result  <--  tarn_publish
 *                                    (chunk is free)  <--------  tarn_free
 *   <-------------------------------- socketpair ------------------ DONE {cell}
 *   tarn_claim(cell), merges, tarn_free(result)
 *
 * A worker may be killed at any instruction. What it held (chunks given to
 * it, a result it had not published) tarnd takes back; what it had published
 * is the pool's and stays in its cell. So after a death each of its cells
 * says whether its chunk was counted, and dispatch.c deals again exactly the
 * chunks that were not.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <tarn/tarn.h>

#define WC_ROOT "wordcount.jobs" /* names the struct wc_jobs in the pool */
#define WC_CELLS 1024            /* jobs at a time, and deaths: picked */
#define WC_CHUNK_BYTES 65536     /* a run of pages; the last one is shorter */

/* In the pool. A cell is 0 or the ref of a result. */
struct wc_jobs {
	uint64_t cell[WC_CELLS];
};

/* Over the socketpair, which keeps messages apart (SOCK_SEQPACKET). */
enum wc_kind {
	WC_HELLO = 1, /* worker: n is its tarn_client_id() */
	WC_WORK = 2,  /* dispatcher: count .chunk, publish in cell n */
	WC_DONE = 3,  /* worker: cell n is filled */
};

struct wc_msg {
	uint32_t kind;
	uint32_t n;
	tarn_ref chunk;
	uint64_t n_bytes;
};

struct wc_opts {
	const char *pool;      /* NULL: one of our own, destroyed at the end */
	const char *dump;      /* write all counts to this file; NULL: don't */
	unsigned n_workers;
	unsigned n_repeat;     /* read every file so many times */
	unsigned kill_after;   /* results between two kills; 0: no kill */
	unsigned n_kills;
	uint64_t pool_bytes;
};

/*
 * main.c
 */

/** wc_die() - say what failed and why (@err is -errno or 0); exit 1 */
void wc_die(const char *what, int err)
	__attribute__((__noreturn__, __cold__));

/*
 * words.c: counts of words, in private memory, and packed in the pool
 */

struct words {
	struct word *slot;     /* open addressing, a power of two */
	size_t n_slots;
	size_t n;              /* different words */
	uint64_t total;        /* words */
	char *text;            /* of all words, one after the other */
	size_t n_text, cap_text;
};

struct word {
	uint64_t at;           /* in .text */
	uint64_t count;        /* 0: an empty slot */
	uint32_t len;
	uint32_t hash;
};

/** is_letter() - of the words we count: ASCII, whatever the locale */
static inline bool is_letter(char c)
{
	return (unsigned)((c | 0x20) - 'a') < 26;
}

void words_fini(struct words *w);
void words_clear(struct words *w);

/** words_count() - add all words of a text, in lower case */
void words_count(struct words *w, const char *text, size_t n_bytes);

/** words_packed_bytes() - the room that words_pack() needs */
size_t words_packed_bytes(const struct words *w);
void words_pack(const struct words *w, void *dst);

/** words_merge() - add what words_pack() wrote; -EBADMSG if it did not */
int words_merge(struct words *w, const void *packed, size_t n_bytes);

/** words_dump() - print all, by name, as uniq -c does; 0 or -errno */
int words_dump(const struct words *w, const char *path);

/** words_top() - print the @n commonest */
void words_top(const struct words *w, size_t n);

/*
 * text.c: the files, cut into pieces between words
 */

struct text {
	struct text_file *file;
	size_t n_files, cap_files;
	uint64_t n_bytes;      /* of all files, once */
	unsigned n_repeat;
	/* where text_next() is */
	unsigned round;
	size_t next_file;
	off_t next_at;
	/* the file that is open, if fd is not -1 */
	size_t open_file;
	int fd;
};

struct text_file {
	char *path;
	off_t n_bytes;
};

struct piece {
	size_t file;
	off_t at;
	size_t n_bytes;
	unsigned n_deals;      /* how often a worker was given it */
};

void text_init(struct text *text, unsigned n_repeat);
void text_fini(struct text *text);

/** text_add() - a file, or all text files below a directory */
void text_add(struct text *text, const char *path);

/** text_next() - the next piece; false: there is none */
bool text_next(struct text *text, struct piece *ret);

/** text_read() - a piece's bytes, as often as one likes */
void text_read(struct text *text, const struct piece *piece, void *dst);

/*
 * heap.c: the pool as the dispatcher sees it, with the job table in it
 */

struct heap {
	struct tarn *t;
	struct tarn_pool *pool;
	char pool_name[TARN_NAME_MAX + 1];
	bool own;              /* made for this run, destroyed after it */
	uint64_t live_at_start;
	struct wc_jobs *jobs;  /* in the pool */
};

void heap_open(struct heap *heap, const struct wc_opts *opts);

/** heap_check() - free the job table; are as many bytes live as before? */
bool heap_check(struct heap *heap);
void heap_close(struct heap *heap);

/** alloc_patiently() - tarn_alloc(), again and again while the pool is full;
 * after some seconds the program ends, complaining of @what */
void *alloc_patiently(struct tarn_pool *pool, size_t n_bytes,
		      const char *what);

/*
 * dispatch.c, worker.c: the two kinds of process
 */

/** dispatch() - count @text with workers of our own; the exit status */
int dispatch(const struct wc_opts *opts, struct text *text);

/** work() - be a worker on socket @fd until its other end closes */
int work(int fd, const char *pool_name);
