/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mover.
 *
 *   client, to use an object            tarnd, to move a batch of them
 *   -------------------------           ------------------------------
 *   P1 pin slot = ref                   M1 claim places, note the moves
 *   P2 compiler barrier                 M2 mark: place LIVE -> MOVING
 *   P3 load place                       M3 membarrier, once
 *   P4 LIVE: use it                     M4 look at all pins and sections:
 *   P5 MOVING: CAS -> LIVE; done, the      pinned: MOVING -> LIVE
 *      move is off; lost: back to P3    M5 copy
 *   U1 pin slot = 0                     M6 place MOVING, old -> LIVE, new
 *                                       M7 free the old place
 *
 * Neither waits for the other. A client that comes in the middle undoes the
 * move with one compare-and-swap; the copy, perhaps torn, is thrown away.
 *
 * Why no client uses a place that was moved away from. It read LIVE before
 * M2: then its P1 came before M3 made all stores visible, and M4 sees the pin.
 * It reads after M2: then it sees MOVING, and P5 and M6 are compare-and-swaps
 * of one word, of which one wins. It had let go before M4: U1 is a release
 * that M4 acquires, so M5 copies all that it wrote. A section is a pin of
 * everything, read at M4 too: those in one then are waited for, for a moment,
 * and else the batch is off; a section that was the cause of that is not waited
 * for again. One that is entered later sees MOVING.
 *
 * (Pinning by a store, asymmetric with a heavy fence on the other side, is that
 * of hazard pointers with membarrier; the copy that a mutator calls off is
 * Pizlo, Petrank, Steensgaard, "A study of concurrent real-time garbage
 * collectors", PLDI 2008.)
 *
 * I1  While the journal names a move, of its two slots or runs those whose tag
 *     is HANDLE and whose back link names its handle, and that the handle does
 *     not say, are ours. (The handle says the one or the other, unless it was
 *     freed, and perhaps made again elsewhere, meanwhile.)
 * I2  A place's tag is HANDLE only if its handle says it, or the journal
 *     names the move.
 * I3  Between two calls nothing is ours: no lease, no slot, no line in the
 *     journal. So a recovery may come in between, by the same thread.
 * I4  Objects only go to lower pages: so there is an end. (But for one that
 *     is moved by itself, tn_move_one(); whoever asks for that, ends.)
 *
 * Who writes: the journal, tarnd's one thread. MOVING is stored by nobody
 * else. The tag of a new place is ours until M6, that of an old one after it.
 *
 * Orderings:
 *   handle.place  (pool/handle.c) M6 is a release: the copy is complete
 *   pin.clear     U1, and the end of a section, against M4
 *   pin.set       P1 before P3, made so by M3; no label: the light side is a
 *                 barrier for the compiler alone
 *
 * Crash windows, of tarnd; tn_move_replay() and then the recovery of tarnd as
 * a client of its own pool:
 *   C1 places claimed, not noted       KEPT by tarnd: swept
 *   C2 noted, tag HANDLE, not marked   the new place is I1's: KEPT, swept
 *   C3 marked, copying                 MOVING -> LIVE, then as C2
 *   C4 moved, the old place not freed  the old place is I1's: KEPT, swept
 *   C5 freed, still noted              its tag is no longer HANDLE, or the back
 *                                      link names another handle: nothing
 *   C6 the slab drained, not opened    leased by tarnd: the sweep opens it
 *
 * A client's death: its pins are not looked at once it is known to be dead,
 * and its handles are freed by recovery, which is never in the middle of a
 * batch. A death in the middle of one only makes the batch smaller.
 */
#include "pool/move.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"

#define PAUSES_MAX 20U  /* some 50 us each: a section may last that long */
#define COPY_BYTES 65536U /* ... at a stretch; then a look whether it is off */

static struct tn_move *journal_of(const struct tn_geo *geo, uint8_t *control)
{ return (struct tn_move *)(void *)(control + geo->journal); }

void tn_mover_init(struct tn_mover *m, struct tn_pool *pool,
		   struct tn_lane_ref self)
{
	memset(m, 0, sizeof(*m));
	m->pool = pool;
	m->self = self;
}

/* The journal */

void tn_move_note(struct tn_mover *m, unsigned i)
{
	struct tn_move *j = journal_of(&m->pool->geo, m->self.control) + i;
	const struct tn_moving *b = &m->batch[i];

	tn64_store_relaxed(&j->from, b->from);
	tn64_store_relaxed(&j->to, b->to);
	tn_fence_compiler();
	tn64_store_relaxed(&j->handle, b->idx + 1);
	tn_fence_compiler();
	TN_CRASH("move.noted");
	tn32_store_relaxed(tn_handle_back(m->pool, b->to_tag),
			   (uint32_t)b->idx);
	/* HB> tag.hand */
	tn16_store_release(b->to_tag, TN_TAG_HANDLE);
	TN_CRASH("move.tagged");
}

void tn_move_forget(struct tn_mover *m)
{
	struct tn_move *j = journal_of(&m->pool->geo, m->self.control);

	tn_fence_compiler();
	for (unsigned i = 0; i < m->n; i++)
		tn64_store_relaxed(&j[i].handle, 0);
	tn_fence_compiler();
	TN_CRASH("move.forgotten");
}

/* A handle, by number */

static unsigned hash(uint64_t idx)
{ return (unsigned)(idx * 0x9e3779b97f4a7c15ULL >> 52); }
static_assert(4 * TN_N_MOVES == 1 << 12, "hash() has 12 bits");

static void index_batch(struct tn_mover *m)
{
	memset(m->where, 0, sizeof(m->where));
	for (unsigned i = 0; i < m->n; i++) {
		unsigned h = hash(m->batch[i].idx);

		while (m->where[h])
			h = (h + 1) % TN_ARRAY_LEN(m->where);
		m->where[h] = (uint16_t)(i + 1);
	}
}

/* The marked one: of a handle that was freed and made again while the batch was
 * gathered, there may be one before it that is about its former place. */
static struct tn_moving *find(struct tn_mover *m, uint64_t idx)
{
	unsigned h = hash(idx);
	struct tn_moving *b;

	for (; m->where[h]; h = (h + 1) % TN_ARRAY_LEN(m->where)) {
		b = &m->batch[m->where[h] - 1];
		if (b->idx == idx && b->marked)
			return b;
	}
	return NULL;
}

/* M2 and back */

static void unmark(struct tn_mover *m, struct tn_moving *b)
{
	if (b->marked)
		tn_handle_keep(m->pool, b->idx);
	b->marked = false;
}

/* Is there still what was found? The handle may have been freed and made again
 * since, at the same place, with a run of another length. Asked of a handle
 * that is marked: if it is freed from now on, the commit fails. */
static bool is_as_found(struct tn_mover *m, const struct tn_moving *b)
{
	struct tn_object obj;

	return tn_object_find(m->pool, b->from, &obj) == 0 &&
	       obj.bytes == b->bytes;
}

static void mark(struct tn_mover *m, struct tn_moving *b)
{
	struct tn_handle *h = tn_handle_at(m->pool, b->idx);
	/* HB< handle.live; HB< handle.place */
	uint64_t place = tn64_load_acquire(&h->place);

	b->place = place ^ (TN_HANDLE_LIVE ^ TN_HANDLE_MOVING) << 62;
	b->marked = TN_HANDLE_STATE(place) == TN_HANDLE_LIVE &&
		    TN_HANDLE_OFF(place) == b->from &&
		    /* HB> handle.place; HB< handle.place */
		    tn64_cas_acq_rel(&h->place, &place, b->place);
	TN_CRASH("move.marked");
	if (b->marked && !is_as_found(m, b))
		unmark(m, b);
}

/* M4 */

static void look_at_pin(struct tn_mover *m, uint64_t ref)
{
	struct tn_moving *b = ref ? find(m, TN_HANDLE_IDX(ref)) : NULL;

	if (b) {
		unmark(m, b);
		b->called_off = true;
		m->pinned++;
	}
}

static void look_at_section(struct tn_mover *m, const void *control,
			    uint64_t lane, uint64_t section)
{
	if (!(section & 1))
		return;
	if (m->n_waits == TN_MOVE_WAITS) {
		m->too_many_waits = true;
		return;
	}
	m->waits[m->n_waits++] = (struct tn_move_wait){
		.control = control, .lane = lane, .section = section,
	};
}

static const struct tn_lane *lane_of(const struct tn_mover *m,
				     const void *control, uint64_t lane)
{
	const uint8_t *c = control;

	return (const struct tn_lane *)(const void *)
		(c + m->pool->geo.lanes) + lane;
}

/* Another look, only whether those who were in a section still are. */
static void look_again(struct tn_mover *m, const void *control)
{
	for (unsigned i = 0; i < m->n_waits; i++) {
		struct tn_move_wait *w = &m->waits[i];

		if (w->control == control)
			/* HB< pin.clear */
			w->still = tn64_load_acquire(
				&lane_of(m, control, w->lane)->section) ==
				w->section;
	}
}

void tn_move_look(struct tn_mover *m, const void *control)
{
	const struct tn_geo *geo = &m->pool->geo;
	const uint8_t *c = control;
	const tn_a64 *pins = (const void *)(c + geo->pins);
	const struct tn_long_pin *longs = (const void *)(c + geo->long_pins);
	const struct tn_control *header = control;
	uint64_t lanes = tn_min64(tn64_load_relaxed(&header->lanes),
				  TN_N_LANES);

	if (m->again) {
		look_again(m, control);
		return;
	}
	for (uint64_t i = 0; i < lanes; i++) {
		look_at_section(m, control, i,
				/* HB< pin.clear */
				tn64_load_acquire(&lane_of(m, control,
							   i)->section));
		for (unsigned k = 0; k < TN_LANE_PINS; k++)
			look_at_pin(m, tn64_load_acquire(
					       &pins[i * TN_LANE_PINS + k]));
	}
	if (!tn64_load_relaxed(&header->long_pins))
		return;
	for (unsigned k = 0; k < TN_N_LONG_PINS; k++)
		/* HB< pin.clear */
		if (tn64_load_acquire(&longs[k].count))
			look_at_pin(m, tn64_load_relaxed(&longs[k].ref));
}

static void drop_the_gone(struct tn_mover *m)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < m->n_waits; i++)
		if (m->waits[i].still)
			m->waits[kept++] = m->waits[i];
	m->n_waits = kept;
}

static bool is_held(const struct tn_mover *m)
{
	const struct tn_move_wait *h = &m->held, *w;

	for (unsigned i = 0; i < m->n_waits; i++) {
		w = &m->waits[i];
		if (w->control == h->control && w->lane == h->lane &&
		    w->section == h->section)
			return true;
	}
	return false;
}

/* Looks at all clients. Return: false: somebody stays in a section. */
static bool look(struct tn_mover *m)
{
	m->n_waits = 0;
	m->too_many_waits = false;
	m->again = false;
	m->clients(m->arg, m);
	if (is_held(m))
		return false;
	m->again = true;
	for (unsigned i = 0; m->n_waits && i < PAUSES_MAX; i++) {
		m->pause(m->arg);
		for (unsigned k = 0; k < m->n_waits; k++)
			m->waits[k].still = false;
		m->clients(m->arg, m);
		drop_the_gone(m);
	}
	m->held = m->n_waits ? m->waits[0] : (struct tn_move_wait){ 0 };
	return !m->n_waits && !m->too_many_waits;
}

/* M5, M6 */

/* The client may write there meanwhile: then the copy is worth nothing, and
 * the compare-and-swap below finds the move undone. */
static bool copy(struct tn_mover *m, const struct tn_moving *b)
{
	const struct tn_handle *h = tn_handle_at(m->pool, b->idx);
	uint64_t n;

	for (uint64_t at = 0; at < b->bytes; at += n) {
		if (tn64_load_relaxed(&h->place) != b->place)
			return false;
		n = tn_min64(b->bytes - at, COPY_BYTES);
		memcpy(m->pool->data + b->to + at, m->pool->data + b->from + at,
		       n);
	}
	return true;
}

static void commit(struct tn_mover *m, struct tn_moving *b)
{
	uint64_t was = b->place, place = b->place & TN_HANDLE_TORN;

	place |= (was + TN_HANDLE_MOVES_ONE) & TN_HANDLE_MOVES_MASK;
	place |= TN_HANDLE_PLACE(TN_HANDLE_LIVE, b->to);
	/* HB> handle.place; HB< handle.place */
	b->moved = tn64_cas_acq_rel(&tn_handle_at(m->pool, b->idx)->place,
				    &was, place);
	TN_CRASH("move.committed");
	b->called_off = !b->moved;
	m->undone += !b->moved;
	m->moved_objects += b->moved;
	m->moved_bytes += b->moved ? b->bytes : 0;
}

int tn_move_batch(struct tn_mover *m)
{
	int r;

	m->batches++;
	index_batch(m);
	for (unsigned i = 0; i < m->n; i++)
		mark(m, &m->batch[i]);
	r = m->fence(m->arg);
	if (r < 0 || !look(m))
		for (unsigned i = 0; i < m->n; i++)
			unmark(m, &m->batch[i]);
	for (unsigned i = 0; i < m->n; i++) {
		struct tn_moving *b = &m->batch[i];

		if (b->marked && copy(m, b)) {
			commit(m, b);
		} else if (b->marked) {
			b->called_off = true;
			m->undone++;
		}
		if (b->moved && m->spoil)
			memset(m->pool->data + b->from, 0xa5, b->bytes);
	}
	return r < 0 ? -ENOSYS : 0;
}

/* After a death */

/* Is a place that the journal names ours, by I1? Clients go on meanwhile, and
 * may free the handle and make it again, with a place that was ours once. Then
 * its word is another one: a place counts the births of its handle. */
static bool is_ours(struct tn_pool *pool, uint64_t idx, uint64_t off,
		    const tn_a16 *tag)
{
	const struct tn_handle *h = tn_handle_at(pool, idx);
	uint64_t place, again;
	bool ours;

	/* HB< handle.live; HB< handle.place */
	again = tn64_load_acquire(&h->place);
	do {
		place = again;
		ours = TN_HANDLE_OFF(place) != off &&
		       /* HB< tag.hand */
		       tn16_load_acquire(tag) == TN_TAG_HANDLE &&
		       tn32_load_relaxed(tn_handle_back(pool, tag)) == idx;
		TN_CRASH("move.settling");
		/* HB< handle.live; HB< handle.place */
		again = tn64_load_acquire(&h->place);
	} while (again != place);
	return ours;
}

/* Then it goes with what else the dead tarnd had. */
static void settle(struct tn_pool *pool, const struct tn_lane_ref *self,
		   uint64_t idx, uint64_t off)
{
	struct tn_object obj;

	if (off >= pool->geo.data_bytes ||
	    tn_object_find(pool, off, &obj) < 0 ||
	    !is_ours(pool, idx, off, obj.tag))
		return;
	tn_touch(pool, self->client, obj.page);
	tn16_store_relaxed(obj.tag, (uint16_t)(TN_TAG_KEPT | self->client));
}

int tn_move_replay(struct tn_pool *pool, const struct tn_lane_ref *self)
{
	struct tn_move *j = journal_of(&pool->geo, self->control);

	for (unsigned i = 0; i < TN_N_MOVES; i++, j++) {
		uint64_t idx = tn64_load_relaxed(&j->handle) - 1;

		if (idx == ~0ULL)
			continue;
		if (idx >= pool->geo.n_handles)
			return -EUCLEAN;
		tn_handle_keep(pool, idx);
		settle(pool, self, idx, tn64_load_relaxed(&j->to));
		settle(pool, self, idx, tn64_load_relaxed(&j->from));
		tn_fence_compiler();
		tn64_store_relaxed(&j->handle, 0);
	}
	return 0;
}
