/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * A busy pool that may be scribbled on: something of everything in it, a
 * client and a tarnd that died in the middle of all they can die in, and guard
 * pages around each of its files. What is done to it is undone by one call.
 *
 *   client 1   dead, with a lane in each kind of op
 *   client 2   alive: the one whose calls tn_busy_use() makes
 *   client 3   alive, holds things
 */
#include "audit/audit.h"
#include "pool/handle.h"
#include "pool/recover.h"
#include "pool/run.h"
#include "pool/slab.h"

#define TN_BUSY_BYTES (7ULL << 20) /* the last area is cut short */
#define TN_BUSY_DEAD 1
#define TN_BUSY_ALIVE 2
#define TN_BUSY_OTHER 3
#define TN_BUSY_N_CONTROLS 4 /* with tarnd's own */
#define TN_BUSY_N_SLOTS 24 /* what client 2 holds */
#define TN_BUSY_N_HANDLES 12
#define TN_BUSY_N_META 16  /* sections of meta; those of control files follow */
#define TN_BUSY_N_SECTIONS (TN_BUSY_N_META + 3)

/* A file of the pool, where it is mapped. */
struct tn_busy_file {
	uint8_t *at;
	uint64_t bytes;
	int template_fd;
	int shared_fd;    /* -1: the mapping is private, over the template */
};

/* A part of a file; its words that are in use (those of every cache line with
 * something in it) are what there is to scribble on. */
struct tn_busy_section {
	const char *name;
	uint64_t *words;
	uint64_t n_words;
	uint32_t *used;   /* indices */
	uint32_t n_used;
};

enum tn_busy_end {
	TN_BUSY_HOLDS,    /* recovered, and the audit finds nothing */
	TN_BUSY_NAMED,    /* recovered, and the audit says what is wrong */
	TN_BUSY_REFUSED,  /* -EUCLEAN */
	TN_BUSY_WAITS,    /* for a living client, as it seems */
	TN_BUSY_N_ENDS
};

/* What becomes of a word. */
enum tn_scribble {
	TN_SCRIBBLE_ZERO,
	TN_SCRIBBLE_ONES,
	TN_SCRIBBLE_MORE,   /* by one */
	TN_SCRIBBLE_LESS,
	TN_SCRIBBLE_OTHER,  /* that of another slot, page, lane */
	TN_SCRIBBLE_BIT,    /* one flipped */
	TN_SCRIBBLE_FIELD,  /* 16 bits: a tag, a count, a client */
	TN_SCRIBBLE_RANDOM,
	TN_SCRIBBLE_N_KINDS
};

struct tn_busy {
	struct tn_pool pool;
	struct tn_shape shapes[TN_N_CLASSES];
	struct tn_busy_file meta, data, control[TN_BUSY_N_CONTROLS];
	struct tn_busy_section sections[TN_BUSY_N_SECTIONS];
	struct tn_lane_ref lane[4];        /* of clients 1 to 3, at rest */
	struct tn_slot slots[TN_BUSY_N_SLOTS];
	uint64_t run, shared, pooled;      /* offsets of objects */
	uint64_t handles[TN_BUSY_N_HANDLES]; /* refs: clients 1, 3, 2, 1, ... */
	int cache;
	struct tn_audit audit;
	uint64_t moved;                    /* objects, by all compactions */
	uint64_t slice_ns;                 /* the longest so far, of the CPU */
	const char *what;                  /* of a refusal */
	uint64_t where;
};

/* @shared: in files that others map, too (and punch), else private. */
void tn_busy_init(struct tn_busy *b, bool shared);
void tn_busy_fini(struct tn_busy *b);

/* All as it was. */
void tn_busy_reset(struct tn_busy *b);

/* The contents; for tn_busy_init(). */
void tn_busy_fill(struct tn_busy *b);

/* What of it can be moved, and the mover's journal; for tn_busy_fill(). */
void tn_busy_fill_movable(struct tn_busy *b);

/* A handle of the lane's client for what it has at @off. Its ref, or 0. */
uint64_t tn_busy_hmake(struct tn_busy *b, const struct tn_lane_ref *l,
		       uint64_t off);

/* A lane, started. Client 0 stands for tarnd. */
struct tn_lane_ref tn_busy_lane(struct tn_busy *b, uint32_t client,
				uint32_t index);

/* Recover the dead, then count and audit. Aborts if recovery does not end. */
enum tn_busy_end tn_busy_recover(struct tn_busy *b);

/* Does the audit find nothing? @recovered: the dead are. */
bool tn_busy_audit(struct tn_busy *b, bool recovered);

/* After that: compact, and audit again. Aborts if compaction does not end. */
enum tn_busy_end tn_busy_compact(struct tn_busy *b);

/* Client 2 does what a client does, once each. Aborts if it is handed memory
 * that is not the pool's. */
void tn_busy_use(struct tn_busy *b);

/* Recovery of others' files: it may read data, but never write it. */
void tn_busy_protect_data(struct tn_busy *b, bool protect);

/* What races by intent; the thread sanitizer need not tell. */
#define TN_BUSY_RACES __attribute__((no_sanitize("thread")))

/* Scribble on word @index of a section. @random decides what is left open. */
void tn_busy_scribble(struct tn_busy_section *s, uint64_t index,
		      enum tn_scribble kind, uint64_t random);

/* A word, most often one that is in use. */
uint64_t tn_busy_word(const struct tn_busy_section *s, uint64_t random);

uint64_t tn_busy_random(uint64_t *seed);
