/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * The mover: takes objects that have handles to lower places, while clients
 * use them. Run by tarnd, in one thread, a batch at a time. See move.c.
 */
#include "pool/backoff.h"
#include "pool/handle.h"

#define TN_MOVE_WAITS 64U
#define TN_MOVE_SLABS 32U

/* One object on its way. */
struct tn_moving {
	uint64_t idx;          /* of the handle */
	uint64_t from, to;     /* places in data */
	tn_a16 *from_tag, *to_tag;
	uint64_t bytes;
	uint64_t place;        /* of the handle, while it is marked */
	bool marked;           /* MOVING, by us */
	bool moved;
	bool called_off;       /* it was pinned, or needed in the middle */
};

/* A thread that was in a section when the batch had been marked. */
struct tn_move_wait {
	const void *control;
	uint64_t lane, section;
	bool still;
};

struct tn_mover {
	struct tn_pool *pool;
	struct tn_lane_ref self;   /* tarnd's lane, in tarnd's control file */
	/* a barrier in every running thread of every client. Return: 0, or < 0:
	 * there is none to be had, and so nothing may be moved */
	int (*fence)(void *arg);
	/* calls tn_move_look() with the control file of each client that lives.
	 * Who is attached before the call begins must be among them */
	void (*clients)(void *arg, struct tn_mover *m);
	/* lets some microseconds pass */
	void (*pause)(void *arg);
	/* NULL, or: these bytes of data are about to be read, or written */
	void (*reach)(void *arg, uint64_t off, uint64_t bytes, bool write);
	void *arg;
	struct tn_backoff *backoff; /* NULL: try everything, every time */
	bool spoil;                /* overwrite what was moved away from */
	bool restless;             /* move even what frees no slab */

	/* since it was begun */
	uint64_t moved_objects, moved_bytes;
	uint64_t pinned;           /* not moved: somebody had it pinned */
	uint64_t undone;           /* ... needed it in the middle */
	uint64_t ended;            /* pages of slabs and runs, now free */
	uint64_t batches;          /* each has its barrier and its looks */

	/* of the last call: objects stayed, as there is no lower place */
	bool no_place;
	/* Who was in a section at the last batch, for so long that it was off:
	 * he is not waited for again. .control is NULL: nobody */
	struct tn_move_wait held;

	/* of the batch */
	unsigned n, n_waits;
	bool cut;              /* there is more than it has room for */
	bool again;            /* look only at .waits */
	bool too_many_waits;
	struct tn_move_wait waits[TN_MOVE_WAITS];
	struct tn_moving batch[TN_N_MOVES];
	uint16_t where[4 * TN_N_MOVES]; /* 1 + index, by hash of .idx */
};

/**
 * tn_mover_init() - get ready
 * @self: a lane of tarnd's that has nothing under way between calls
 *
 * The journal must be clear: tn_move_replay(). Set the functions afterwards.
 */
void tn_mover_init(struct tn_mover *m, struct tn_pool *pool,
		   struct tn_lane_ref self);

/**
 * tn_move_slabs() - move what is in slabs to free slots at lower addresses
 * @class: a movable one
 * @pages: the slabs' first ones, from the highest down; TN_MOVE_SLABS at most
 *
 * Moves what it can, a batch at most, to below the last of them; slabs that are
 * empty then go back. Of one that somebody else has in hand, or of which a
 * magazine keeps slots, nothing is moved.
 *
 * Return: 1: there is more to move; 0: not, or there is no lower place;
 *         -EBUSY: it was so with all of them; -ENOSYS: no fence; -EUCLEAN.
 */
int tn_move_slabs(struct tn_mover *m, unsigned class, const uint64_t *pages,
		  unsigned n_pages);

/** tn_move_slab() - the same of one */
static inline int tn_move_slab(struct tn_mover *m, uint64_t page,
			       unsigned class)
{ return tn_move_slabs(m, class, &page, 1); }

/** tn_move_run() - the same for a run that has a handle, of up to an area.
 *  Return: 0; -ENOENT: it has none; -ENOSYS, -EUCLEAN. */
int tn_move_run(struct tn_mover *m, uint64_t page);

/**
 * tn_move_one() - the same for the object of one handle, up to an area large
 * @group: TN_GROUP_MOVABLE: to wherever there is a place; TN_GROUP_FIXED: to
 *         an area of what cannot be moved, or else not
 *
 * Return: 1: moved; 0: it was in use; -EALREADY: it is in such an area;
 *         -ESTALE; -ENOENT: it is no such object; -ENOMEM; -ENOSYS, -EUCLEAN.
 */
int tn_move_one(struct tn_mover *m, uint64_t ref, unsigned group);

/** tn_move_look() - a client's control file, from .clients */
void tn_move_look(struct tn_mover *m, const void *control);

/*
 * For pool/vacate.c: a batch, of which .n are filled in up to .bytes. Each is
 * noted, when its new place is ours; then all are moved, and .moved says which
 * were. Of those, the old place is ours now, and else the new one is; when
 * their tags say so, the notes are forgotten.
 */
void tn_move_note(struct tn_mover *m, unsigned i);
int tn_move_batch(struct tn_mover *m); /* 0; -ENOSYS: none was moved */
void tn_move_forget(struct tn_mover *m);

/**
 * tn_move_replay() - after tarnd's death: settle what its mover had under way
 * @self: the dead tarnd's lane, in its control file
 *
 * To be done before the dead tarnd is recovered as a client; what is nobody's
 * is then in its name. Idempotent, like a recovery. Return: 0 or -EUCLEAN.
 */
int tn_move_replay(struct tn_pool *pool, const struct tn_lane_ref *self);
