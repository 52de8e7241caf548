/* SPDX-License-Identifier: BSD-2-Clause */
#include "pool/step.h"

/* Before a stamp is overwritten: its lane may be dead, and may want to know
 * (I3). */
static void put_down(const struct tn_pool *pool, uint64_t stamp)
{
	uint64_t number = stamp & TN_STEP_MASK, was;
	tn_a64 *done;

	if (!stamp)
		return;
	done = tn_lane_done(pool, TN_STAMP_SLOT(stamp), TN_STAMP_LANE(stamp));
	was = tn64_load_relaxed(done);
	/* HB> step.done: the swap that follows is a full barrier */
	while (was < number && !tn64_cas_release(done, &was, number))
		;
}

static void look(struct tn_step *s)
{
	/* HB< step.word */
	s->seen.hi = tn64_load_acquire(&s->word->hi);
	s->seen.lo = tn64_load_relaxed(&s->word->lo);
}

void tn_step_begin(struct tn_step *s, const struct tn_lane_ref *l,
		   tn_a128 *word, uint64_t progress)
{
	uint64_t last = TN_PROGRESS_STEP(tn64_load_relaxed(&l->rec->progress));

	tn64_store_relaxed(&l->rec->progress, progress | (last + 1));
	tn_fence_compiler();
	TN_CRASH("step.numbered");
	s->word = word;
	s->stamp = TN_STAMP(TN_CLIENT_SLOT(l->client), l->index, last + 1);
	look(s);
}

bool tn_step_try(const struct tn_pool *pool, struct tn_step *s, uint64_t value)
{
	struct tn_pair new = { value, s->stamp };
	bool ours = (s->seen.hi ^ s->stamp) >> TN_STAMP_LANE_SHIFT == 0;

	/* our own last step needs no witness: we are here */
	if (!ours)
		put_down(pool, s->seen.hi);
	/* HB> step.word */
	if (!tn128_cas_full(s->word, s->seen, new)) {
		look(s);
		return false;
	}
	TN_CRASH("step.done");
	return true;
}

void tn_step_clear(const struct tn_pool *pool, tn_a128 *word, uint64_t from)
{
	struct tn_step s = { .word = word };

	for (look(&s); s.seen.lo == from; look(&s)) {
		put_down(pool, s.seen.hi);
		/* HB> step.word */
		if (tn128_cas_full(word, s.seen, (struct tn_pair){ 0, 0 }))
			return;
	}
}

bool tn_step_was_done(const struct tn_pool *pool, const struct tn_lane_ref *l,
		      const tn_a128 *word, uint64_t number)
{
	unsigned slot = TN_CLIENT_SLOT(l->client);
	/* HB< step.word */
	uint64_t stamp = tn64_load_acquire(&word->hi);

	if (stamp == TN_STAMP(slot, l->index, number))
		return true;
	/* HB< step.done */
	return tn64_load_acquire(tn_lane_done(pool, slot, l->index)) >= number;
}
