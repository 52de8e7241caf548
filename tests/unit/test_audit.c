/* SPDX-License-Identifier: BSD-2-Clause */
/* Each sentence, broken by itself, is named; what else the auditor does is in
 * test_audit_pools.c. */
#include "tests/unit/audit_fixture.h"

static tn_a64 *row_map(uint64_t page)
{ return &heap.pool.areas[page / 512].row[page % 512 / 64].lo; }
static void set_bit(uint64_t page)
{ tn64_or_relaxed(row_map(page), 1ULL << page % 64); }
static void clear_bit(uint64_t page)
{ tn64_and_acq_rel(row_map(page), ~(1ULL << page % 64)); }
static void set_word(uint64_t page, uint64_t w)
{ tn64_store_relaxed(&heap.pool.pages[page].word, w); }
static void set_slab(uint64_t page, uint64_t w)
{ tn64_store_relaxed(&heap.pool.pages[page].slab, w); }
static void set_tag(uint64_t page, uint64_t slot, unsigned tag)
{
	tn16_store_relaxed(&heap.pool.tags[tn_tag_index(page, slot)],
			   (uint16_t)tag);
}
static uint64_t slab_word(void)
{ return tn64_load_relaxed(&heap.pool.pages[slab].slab); }
static void lease(uint32_t client, unsigned l)
{
	set_slab(slab, TN_SLAB_WORD(TN_SLAB_LEASED, 3, client, l,
				    TN_SLAB_FREE(slab_word())));
}
static void set_op(struct tn_lane_ref *l, uint64_t op, uint64_t ref,
		   uint64_t word)
{
	tn64_store_relaxed(&l->rec->ref, ref);
	tn64_store_relaxed(&l->rec->word, word);
	tn64_store_relaxed(&l->rec->op, op);
}
static void hand(struct tn_lane_ref *l, uint64_t page, uint64_t pages)
{
	tn64_store_relaxed(&l->rec->progress,
		TN_PROGRESS(0, 1, TN_PROGRESS_STEP(
			tn64_load_relaxed(&l->rec->progress))));
	set_op(l, TN_OP(TN_OP_RUN, page, pages), 0, 0);
}
static struct tn_control *control(unsigned c)
{ return (struct tn_control *)(void *)heap.control[c]; }
static struct tn_root *root(void)
{ return tn_root_find(&heap.pool, "r", false); }
static struct tn_cache_entry *cache(void)
{
	for (unsigned i = 0; ; i++)
		if (!strcmp(heap.pool.caches[i].name, "job"))
			return &heap.pool.caches[i];
}
static struct tn_share *record_from(uint64_t i)
{ return &heap.pool.shares[i % heap.pool.geo.n_shares]; }
static uint64_t record(void)
{
	for (uint64_t i = 0; ; i++)
		if (TN_SHARE_OFF(tn64_load_relaxed(&record_from(i)->state.lo))
		    == shared && tn64_load_relaxed(&record_from(i)->state.lo))
			return i;
}
static void set_share(uint64_t i, unsigned n, uint64_t bits)
{
	tn64_store_relaxed(&record_from(i)->state.lo,
			   TN_SHARE_VALUE(shared, n));
	tn64_store_relaxed(&record_from(i)->set[0].lo, bits);
}
static struct tn_root *unused_root(void)
{
	for (unsigned i = 0; ; i++)
		if (!tn64_load_relaxed(&heap.pool.roots[i].key))
			return &heap.pool.roots[i];
}

static struct tn_handle *handle(void) { return &heap.pool.handles[0]; }
static void set_place(uint64_t place)
{ tn64_store_relaxed(&handle()->place, place); }
static void set_line(unsigned i, uint64_t idx, uint64_t from, uint64_t to)
{
	struct tn_move *m = (struct tn_move *)(void *)
			    (heap.control[0] + heap.pool.geo.journal) + i;

	tn64_store_relaxed(&m->from, from);
	tn64_store_relaxed(&m->to, to);
	tn64_store_relaxed(&m->handle, idx + 1);
}

static void do_FILES(void) { in.meta_bytes -= TN_PAGE_BYTES; }
static void do_MAGIC(void) { heap.pool.header->magic ^= 1; }
static void do_VERSION(void) { heap.pool.header->major++; }
static void do_BYTES(void) { heap.pool.header->data_bytes += 4096; }
static void do_HEADER(void) { heap.pool.header->kind = 7; }
static void do_CONTROL(void) { control(1)->client = 9; }
static void do_CLIENT(void)
{ tn64_store_relaxed(&heap.pool.clients[3].state, TN_CLIENT_ALIVE | 4); }
static void do_ROOT_KEY(void)
{ tn64_store_relaxed(&unused_root()->key, tn64_load_relaxed(&root()->key)); }
static void do_ROOT_REF(void) { tn64_store_relaxed(&root()->ref, 4096); }
static void do_CACHE_KEY(void) { tn64_store_relaxed(&cache()->key, 0); }
static void do_CACHE_SHAPE(void) { tn64_store_relaxed(&cache()->shape, ~0U); }
static void do_LANE_STATE(void)
{
	tn64_store_relaxed(&second.rec->state, 0);
	set_op(&second, TN_OP(TN_OP_GIVE, 0, 0), slab << 12, 2);
}
static void do_LANE_NUMBER(void)
{ tn64_store_relaxed(tn_lane_done(&heap.pool, 1, 1), 1 << 20); }
static void do_STEP_KIND(void) { set_op(&lane[1], TN_OP(9, 0, 0), 0, 0); }
static void do_STEP_PLACE(void) { hand(&lane[1], (BYTES >> 12) - 1, 4); }
static void do_STEP_ROW(void)
{
	taken();
	tn64_store_relaxed(&lane[1].rec->progress, TN_PROGRESS(0, 9, 99));
}
static void do_STEP_GONE(void)
{
	controls[4].alive = false;
	set_op(&lane[4], TN_OP(TN_OP_GIVE, 0, 0), slab << 12, 2);
}
static void do_PIN_LANE(void)
{
	tn64_store_relaxed(tn_lane_pins(&heap.pool.geo, heap.control[1], 3),
			   tn64_load_relaxed(&handle()->ref));
}
static void do_PIN_LONG(void)
{
	struct tn_long_pin *l = (struct tn_long_pin *)(void *)
				(heap.control[1] + heap.pool.geo.long_pins);

	tn64_store_relaxed(&l[5].ref, tn64_load_relaxed(&handle()->ref));
	tn64_store_relaxed(&l[5].count, 1);
}
static void do_MOVE_LINE(void) { set_line(3, 0, thing, thing); }
static void do_MOVE_TWICE(void)
{
	set_line(3, 0, thing, thing + 64);
	set_line(7, 1, moved_run << 12, thing + 64);
}
static void do_HAND_UNCLAIMED(void) { hand(&lane[1], idle, 1); }
static void do_HAND_TWICE(void) { hand(&lane[2], taken(), 2); }
static void do_HAND_WORD(void) { set_word(taken(), TN_PAGE_RUN | 3 << 8); }
static void do_HAND_TAG(void) { set_tag(taken() + 1, 0, TN_TAG_KEPT | 1); }
static void do_HAND_OBJECT(void) { hand(&lane[1], run + 4, 1); }
static void do_ROW_STAMP(void)
{
	tn64_store_relaxed(&heap.pool.areas[0].row[0].hi,
			   TN_STAMP(2, 2, 1 << 20));
}
static void do_PAST_END(void) { clear_bit((BYTES >> 12) + 3); }
static void do_FIT_EMPTY(void) { tn8_store_relaxed(&heap.pool.fit[0], 0); }
static void do_UNNAMED(void) { set_bit(idle); }
static void do_FREE_WORD(void) { set_slab(idle, TN_SLAB_ONE_FREE); }
static void do_FREE_TAG(void) { set_tag(idle, 0, TN_TAG_POOL); }
static void do_PAGE_WORD(void) { set_word(run, 7); }
static void do_RUN_PAGES(void) { set_word(run, TN_PAGE_RUN); }
static void do_RUN_PLACE(void)
{
	set_bit(run + 5);
	set_bit(run + 6);
	set_word(run + 5, TN_PAGE_RUN | 2 << 8);
	set_tag(run + 5, 0, TN_TAG_POOL);
}
static void do_RUN_HOLE(void) { clear_bit(big + 600); }
static void do_RUN_WORD(void) { set_word(big + 600, TN_PAGE_RUN | 1 << 8); }
static void do_RUN_HOLDER(void) { set_tag(run, 0, 0); }
static void do_RUN_TAG(void) { set_tag(run + 1, 0, TN_TAG_HELD | 3); }
static void do_SLAB_CLASS(void)
{ set_word(slab, TN_PAGE_SLAB_WORD(TN_CLASS_MOVABLE - 1, 0)); }
static void do_SLAB_GROUND(void)
{ set_word(slab, TN_PAGE_SLAB_WORD(TN_CLASS_HANDLE, 0)); }
static void do_SLAB_PLACE(void)
{
	set_bit(run + 5);
	set_word(run + 5, TN_PAGE_SLAB_WORD(3, 0));
}
static void do_SLAB_HOLE(void) { clear_bit(slab + 2); }
static void do_SLAB_PAGES(void)
{ set_word(slab + 2, TN_PAGE_SLAB_WORD(3, 1)); }
static void do_SLAB_WORD(void) { set_slab(slab, slab_word() | 3); }
static void do_SLAB_LESSEE(void) { lease(77, 0); }
static void do_LEASE_UNTOUCHED(void) { lease(4, 4); }
static void do_COUNT_ABOVE(void)
{ set_slab(slab, TN_SLAB_WORD(TN_SLAB_OPEN, 3, 0, 0, 257)); }
static void do_COUNT_LOW(void)
{ set_slab(slab, slab_word() - TN_SLAB_ONE_FREE); }
static void do_TAG_UNUSED(void) { set_tag(wide, 40, TN_TAG_HELD | 2); }
static void do_TAG_FORM(void) { set_tag(slab, 1, 0x8001); }
static void do_TAG_HOLDER(void) { set_tag(slab, 1, TN_TAG_HELD | 77); }
static void do_TAG_UNTOUCHED(void) { set_tag(slab, 1, TN_TAG_HELD | 4); }
static void do_TAG_LINK(void) { set_tag(slab, 1, TN_TAG_LINK | 1); }
static void do_SHARE_NONE(void)
{
	memset((void *)record_from(record()), 0, sizeof(struct tn_share));
}
static void do_BACK_CLASS(void) { set_tag(slab, 1, TN_TAG_HANDLE); }
static void do_BACK_LINK(void) { set_tag(thing >> 12, 9, TN_TAG_HANDLE); }
static void do_HANDLE_PLACE(void) { set_place(3ULL << 62 | thing >> 4); }
static void do_HANDLE_REF(void)
{
	tn64_store_relaxed(&handle()->ref,
			   tn64_load_relaxed(&handle()->ref) + 1);
}
static void do_HANDLE_FREE(void)
{
	uint64_t page = entry >> 12;

	tn64_store_relaxed(&heap.pool.handles[9].ref, 9 + tn64_load_relaxed(
							&handle()->ref));
	tn64_store_relaxed(&heap.pool.handles[9].place, tn64_load_relaxed(
							&handle()->place));
	assert_int_equal(tn16_load_relaxed(&heap.pool.tags[
				tn_tag_index(page, 9)]), 0);
}
static void do_HANDLE_OBJECT(void)
{ set_tag(thing >> 12, (thing & 4095) / 64, TN_TAG_POOL); }
static void do_HANDLE_MOVING(void)
{ set_place(TN_HANDLE_PLACE(TN_HANDLE_MOVING, thing)); }
static void do_HANDLE_BORN(void)
{
	/* of a page behind the slab's */
	tn64_store_relaxed(&heap.pool.handles[5000].ref, 5000 +
			   tn64_load_relaxed(&handle()->ref));
}
static void do_SHARE_STAMP(void)
{
	tn64_store_relaxed(&record_from(record())->set[0].hi,
			   TN_STAMP(2, 2, 1 << 20));
}
static void do_SHARE_FORM(void)
{ tn64_store_relaxed(&record_from(record() + 1)->state.lo, 1); }
static void do_SHARE_PLACE(void) { set_share(record() + 99, 1, 2); }
/* the first shared object of a pool is in the first record of its window */
static void do_SHARE_TWICE(void) { set_share(record() + 1, 2, 6); }
static void do_SHARE_BITS(void)
{ tn64_store_relaxed(&record_from(record() + 1)->set[3].lo, 2); }
static void do_SHARE_COUNT(void) { set_share(record(), 3, 6); }
static void do_SHARE_GONE(void) { set_share(record(), 3, 6 | 1ULL << 33); }
static void do_SHARE_UNTOUCHED(void) { set_share(record(), 3, 6 | 1 << 4); }
static void do_SHARE_EMPTY(void) { set_share(record(), 0, 0); }
static void do_SHARE_STRAY(void)
{ set_tag(slab, (shared - (slab << 12)) / 64, TN_TAG_HELD | 1); }
static void do_HINT_LOST(void)
{ memset((void *)heap.pool.areas[0].partial, 0, 64); }
static void do_COUNT_HIGH(void)
{ set_slab(slab, slab_word() + TN_SLAB_ONE_FREE); }
static void do_LINK_TWICE(void)
{
	set_tag(slab, 0, TN_TAG_LINK | 1);
	set_op(&lane[1], TN_OP(TN_OP_CLAIM, 0, 0), slab << 12, 64);
	set_op(&second, TN_OP(TN_OP_PUBLISH, 0, 0), slab << 12, 64);
}
static void do_FIT_VALUE(void) { tn8_store_relaxed(&heap.pool.fit[0], 11); }
static void do_GROUP_VALUE(void)
{ tn8_store_relaxed(&heap.pool.groups[0], 3); }
static void do_PIN_HANDLE(void)
{
	tn64_store_relaxed(tn_lane_pins(&heap.pool.geo, heap.control[1], 1),
			   TN_HANDLE_REF | heap.pool.geo.n_handles);
}
static void do_NAME(void) { root()->name[0] ^= 1; }

#define CASE(sentence, text) { TN_AUDIT_##sentence, do_##sentence },
static struct breach {
	enum tn_audit_sentence sentence;
	void (*commit)(void);
} breaches[] = { TN_AUDIT_SENTENCES(CASE) };
#define N_BREACHES TN_ARRAY_LEN(breaches)

static void is_named(void **state)
{
	struct breach *b = *state;
	struct tn_audit_finding *f;
	char text[300];

	furnish();
	must_hold("furnished");
	b->commit();
	f = b->sentence < TN_AUDIT_FIRST_WEAK ? &audit.result.finding :
						&audit.result.weak;
	tn_audit_run(&audit, &in);
	tn_audit_format(f, text, sizeof(text));
	if (f->sentence != b->sentence)
		fail_msg("%s, not %s", text, tn_audit_text(b->sentence));
	assert_non_null(strstr(text, tn_audit_text(b->sentence)));
	/* what stays as it is counts when the pool is not at rest, too */
	in.quiescent = false;
	if (b->sentence < TN_AUDIT_COUNT_LOW ||
	    (b->sentence > TN_AUDIT_COUNT_LOW &&
	     b->sentence < TN_AUDIT_FIRST_WEAK))
		assert_int_equal(tn_audit_run(&audit, &in), b->sentence);
}

int main(void)
{
	static struct CMUnitTest tests[N_BREACHES];

	for (unsigned i = 0; i < N_BREACHES; i++)
		tests[i] = (struct CMUnitTest){
			.name = tn_audit_name(breaches[i].sentence),
			.test_func = is_named,
			.setup_func = setup,
			.teardown_func = teardown,
			.initial_state = &breaches[i],
		};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
