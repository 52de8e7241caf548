/* SPDX-License-Identifier: BSD-2-Clause */
/* Pools that are well are found well; bytes that nobody meant are survived. */
#include "tests/unit/audit_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* ThreadSanitizer makes each look ten times as dear. */
#ifdef __SANITIZE_THREAD__
#define SLOWER 20
#else
#define SLOWER 1
#endif

static void a_new_pool_holds(void **state)
{
	(void)state;
	must_hold("new");
	assert_int_equal(audit.result.pages_free, BYTES >> 12);
	in.thorough = false;
	must_hold("new, not thorough");
	assert_int_equal(audit.result.pages_free, BYTES >> 12);
}

static void what_is_there_is_counted(void **state)
{
	const struct tn_audit_result *r = &audit.result;

	(void)state;
	furnish();
	must_hold("furnished");
	assert_int_equal(r->pages_run, 705 + 3);
	assert_int_equal(r->runs, 3);
	assert_int_equal(r->runs_handle, 1);
	assert_int_equal(r->slabs, 5);
	assert_int_equal(r->pages_slab, 4 + 16 + 4 + 4);
	assert_int_equal(r->pages_handle, 4);
	assert_int_equal(r->pages_free, (BYTES >> 12) - 708 - 28);
	assert_int_equal(r->slots, 256 + 32 + 128 + 256 + 1024);
	assert_int_equal(r->slots_free, 246 + 31 + 125 + 253 + 1020);
	assert_int_equal(r->slots_pool, 1);
	assert_int_equal(r->slots_handle, 1);
	assert_int_equal(r->handles, 2);
	assert_int_equal(r->clients[1].held, 3 + 1);
	assert_int_equal(r->slots_shared, 1);
	assert_int_equal(r->shares, 1);
	assert_int_equal(r->holds, 2);
	assert_int_equal(r->clients[1].kept, 4 + 2 + 2);
	assert_int_equal(r->clients[2].given, 2);
	assert_int_equal(r->clients[2].kept, 4);
	assert_int_equal(r->clients[3].runs, 2);
	taken();
	must_hold("taken");
	assert_int_equal(r->pages_hand, 2);
}

static void what_a_live_step_explains_holds(void **state)
{
	uint16_t *tag = (uint16_t *)(void *)&heap.pool.tags[
					tn_tag_index(0, 0)];

	(void)state;
	furnish();
	tn64_store_relaxed(&lane[1].rec->ref, 0);
	tn64_store_relaxed(&lane[1].rec->word, 64);
	for (unsigned op = TN_OP_PUBLISH; op <= TN_OP_CLAIM; op++) {
		tn64_store_relaxed(&lane[1].rec->op, TN_OP(op, 0, 0));
		*tag = TN_TAG_LINK | 1;
		must_hold("linking");
	}
	tn64_store_relaxed(&lane[1].rec->op, TN_OP(TN_OP_GIVE, 0, 0));
	tn64_store_relaxed(&lane[1].rec->word, 77);
	*tag = TN_TAG_GIVEN | 77;
	must_hold("given to nobody, and the giver has not looked");
	/* the step of a client whose file is not here explains a page */
	tn64_or_relaxed(&heap.pool.areas[0].row[idle / 64].lo,
			1ULL << idle % 64);
	in.n_controls = 4;
	must_hold("claimed by who knows whom");
	in.n_controls = 5;
	assert_int_equal(tn_audit_run(&audit, &in), TN_AUDIT_UNNAMED);
	/* ... or a run that has no holder yet */
	tn64_store_relaxed(&heap.pool.pages[idle].word, TN_PAGE_RUN | 1 << 8);
	assert_int_equal(tn_audit_run(&audit, &in), TN_AUDIT_RUN_HOLDER);
	in.n_controls = 4;
	must_hold("half made by who knows whom");
}

static void every_class_and_cache_is_cut_the_same(void **state)
{
	struct tn_audit_cut cut;
	struct tn_shape shape;

	(void)state;
	for (unsigned c = 0; c < TN_CLASS_CACHE; c++) {
		cut = tn_audit_cut_class(c);
		assert_int_equal(cut.bytes, heap.shapes[c].bytes);
		assert_int_equal(cut.slots, heap.shapes[c].slots);
		assert_int_equal(cut.pages, 1U << heap.shapes[c].order);
		cut = tn_audit_cut_class(TN_CLASS_MOVABLE + c);
		shape = heap.shapes[TN_CLASS_MOVABLE + c];
		assert_int_equal(cut.bytes, shape.bytes);
		assert_int_equal(cut.slots, shape.slots);
	}
	cut = tn_audit_cut_class(TN_CLASS_HANDLE);
	assert_int_equal(cut.slots, heap.shapes[TN_CLASS_HANDLE].slots);
	for (uint32_t bytes = 16; bytes <= 32768; bytes += 16) {
		memset(&shape, 0, sizeof(shape));
		tn_shape_init(&shape, bytes);
		assert_true(tn_audit_cut_cache(16ULL << 32 | bytes, &cut));
		assert_int_equal(cut.slots, shape.slots);
		assert_int_equal(cut.pages, 1U << shape.order);
	}
}

static void the_sections_lie_at_the_same_places(void **state)
{
	struct tn_audit_geo g;
	struct tn_geo geo;

	(void)state;
	for (uint64_t bytes = 1 << 20; bytes <= 1ULL << 40;
	     bytes += bytes / 7 / 4096 * 4096 + 4096) {
		assert_int_equal(tn_geo_init(&geo, bytes), 0);
		assert_true(tn_audit_geo_init(&g, bytes));
		assert_int_equal(g.at[TN_AUDIT_AT_ROOTS], geo.roots);
		assert_int_equal(g.at[TN_AUDIT_AT_DONE], geo.done);
		assert_int_equal(g.at[TN_AUDIT_AT_GROUPS], geo.groups);
		assert_int_equal(g.at[TN_AUDIT_AT_HINTS], geo.hints);
		assert_int_equal(g.at[TN_AUDIT_AT_TAGS], geo.tags);
		assert_int_equal(g.at[TN_AUDIT_AT_SHARES], geo.shares);
		assert_int_equal(g.at[TN_AUDIT_AT_BACKS], geo.backs);
		assert_int_equal(g.at[TN_AUDIT_AT_HANDLES], geo.handles);
		assert_int_equal(g.at[TN_AUDIT_AT_END], geo.meta_bytes);
		assert_int_equal(g.handle_page, geo.handle_page);
		assert_int_equal(g.n_handles, geo.n_handles);
	}
	assert_int_equal(TN_AUDIT_AT_LANES, geo.lanes);
	assert_int_equal(TN_AUDIT_AT_PINS, geo.pins);
	assert_int_equal(TN_AUDIT_AT_LONG_PINS, geo.long_pins);
	assert_int_equal(TN_AUDIT_AT_JOURNAL, geo.journal);
	assert_int_equal(TN_AUDIT_CONTROL_BYTES, geo.control_bytes);
}

/* A lane takes and gives at random. */
struct held { struct tn_slot s[16]; unsigned n, c; uint64_t run; };
struct churn { struct tn_lane_ref *l; unsigned seed, rounds; bool look; };

static void churn_once(struct churn *me, struct held *h)
{
	static const unsigned classes[] = { 0, 3, 15, 23, 31, 39, 55, 71 };
	struct tn_slab_cursor none = { 0 };
	uint64_t pages = 1U << rand_r(&me->seed) % 10;
	unsigned want;

	if (h->n) {
		tn_slab_return(&heap.pool, me->l, classes[h->c], h->s, h->n,
			       &none);
		h->n = 0;
	} else if (h->run) {
		tn_run_drop(&heap.pool, me->l, TN_OP_RUN, h->run - 1,
			    heap.pool.pages[h->run - 1].word.v >> 8);
		h->run = 0;
	} else if (rand_r(&me->seed) % 4) {
		h->c = (unsigned)rand_r(&me->seed) % 8;
		want = 1 + (unsigned)rand_r(&me->seed) % 16;
		h->n = tn_slab_claim(&heap.pool, me->l, classes[h->c], &none,
				     h->s, want);
	} else if (!tn_run_alloc(&heap.pool, me->l, pages - pages / 4,
				 TN_FIRST_FIT, &h->run)) {
		h->run++;
	}
}

static void *churn(void *arg)
{
	struct churn *me = arg;
	struct held held[32];

	memset(held, 0, sizeof(held));
	for (unsigned i = 0; i < me->rounds; i++) {
		churn_once(me, &held[(unsigned)rand_r(&me->seed) % 32]);
		if (me->look)
			must_hold("between two calls");
	}
	return NULL;
}

static void it_holds_between_any_two_calls(void **state)
{
	struct churn c = { .seed = 1, .rounds = 300, .look = true };

	(void)state;
	for (unsigned i = 1; i < 4; i++) {
		c.l = &lane[i];
		churn(&c);
	}
	for (unsigned i = 1; i < 4; i++) {
		tn_heap_recover(&heap, i);
		controls[i].alive = false;
		control_header(0);
		must_hold("recovered");
	}
	assert_null(tn_heap_not_pristine(&heap.pool));
}

static void it_holds_while_others_are_at_work(void **state)
{
	struct churn c[3];
	pthread_t t[3];
	uint64_t busy = 0;

	(void)state;
	in.quiescent = false;
	for (unsigned i = 0; i < 3; i++) {
		c[i] = (struct churn){ &lane[i + 1], i + 1,
				       200000 / SLOWER, false };
		assert_int_equal(pthread_create(&t[i], NULL, churn, &c[i]), 0);
	}
	for (unsigned i = 0; i < 300; i++) {
		must_hold("at work");
		busy += audit.result.areas_busy;
	}
	for (unsigned i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	print_message("too busy for a verdict: %u of %u areas\n",
		      (unsigned)busy, 300 * 5);
	in.quiescent = true;
	must_hold("afterwards");
}

/*
 * Bytes that nobody meant.
 */
static void *copy_in_guards(void *from, uint64_t bytes)
{
	uint8_t *p = mmap(NULL, bytes + 2 * TN_PAGE_BYTES, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	p += TN_PAGE_BYTES;
	assert_int_equal(mprotect(p, bytes, PROT_READ | PROT_WRITE), 0);
	return memcpy(p, from, bytes);
}

static void drop_guarded(const void *p, uint64_t bytes)
{
	munmap((uint8_t *)(uintptr_t)p - TN_PAGE_BYTES,
	       bytes + 2 * TN_PAGE_BYTES);
}

static uint64_t scribble(unsigned *seed, uint64_t old)
{
	uint64_t r = (uint64_t)rand_r(seed) << 62 ^
		     (uint64_t)rand_r(seed) << 31 ^ (uint64_t)rand_r(seed);

	switch (rand_r(seed) % 6) {
	case 0: return 0;
	case 1: return ~0ULL;
	case 2: return old + 1;
	case 3: return old - 1;
	case 4: return old ^ 1ULL << r % 64;
	default: return r;
	}
}

struct target {
	const char *name;
	uint64_t *words;
	uint64_t n;
	unsigned tries, hits;
};

static void scribble_once(struct target *t, unsigned *seed)
{
	uint64_t at = (uint64_t)rand_r(seed) % t->n, old, new;

	/* half of them where there is something to break */
	for (unsigned i = 0; i < 4000 && rand_r(seed) % 2 && !t->words[at]; )
		for (; i < 4000 && !t->words[at]; i++)
			at = (uint64_t)rand_r(seed) % t->n;
	old = t->words[at];
	do
		new = scribble(seed, old);
	while (new == old);
	t->words[at] = new;
	t->tries++;
	in.quiescent = rand_r(seed) % 8;
	in.thorough = rand_r(seed) % 4;
	t->hits += tn_audit_run(&audit, &in) || audit.result.n_weak;
	t->words[at] = old;
}

static void tell_rates(const struct target *t, unsigned n)
{
	unsigned hits = 0, tries = 0;

	for (unsigned i = 0; i < n; i++) {
		print_message("  %-14s %5u of %5u named\n", t[i].name,
			      t[i].hits, t[i].tries);
		hits += t[i].hits;
		tries += t[i].tries;
	}
	print_message("scribbles: %u of %u named\n", hits, tries);
	assert_true(hits > tries / 3);
}

static void scribbles_are_survived(void **state)
{
	const struct tn_geo *g = &heap.pool.geo;
	uint8_t *m, *c;
	unsigned seed = 7;

	(void)state;
	furnish();
	taken();
	in.meta = m = copy_in_guards(heap.pool.meta, g->meta_bytes);
	controls[1].control = c = copy_in_guards(heap.control[1],
						 g->control_bytes);
	in.data = NULL;
	must_hold("copied");
#define TARGET(name, base, from, bytes) \
	{ name, (uint64_t *)(void *)((base) + (from)), (bytes) / 8, 0, 0 }
	struct target targets[] = {
		TARGET("header", m, 0, 88),
		TARGET("roots, caches", m, g->roots, g->clients - g->roots),
		TARGET("clients", m, g->clients, 64 * 1024),
		TARGET("done", m, g->done, g->fit - g->done),
		TARGET("fit", m, g->fit, 8),
		TARGET("hints", m, g->hints, g->areas - g->hints),
		TARGET("areas", m, g->areas, 4 * 256),
		TARGET("pages", m, g->pages, 4 * 512 * 16),
		TARGET("tags", m, g->tags, 4 << 18),
		TARGET("touched", m, g->touched_areas,
		       g->shares - g->touched_areas),
		TARGET("shares", m, g->shares, g->backs - g->shares),
		TARGET("backs", m, g->backs, g->handles - g->backs),
		TARGET("handles", m, g->handles, 64 * 16),
		TARGET("control", c, 0, 4096 + 16 * 64),
		TARGET("pins", c, g->pins, g->long_pins - g->pins),
	};
	for (unsigned i = 0; i < 20000 / SLOWER; i++)
		scribble_once(&targets[i % TN_ARRAY_LEN(targets)], &seed);
	tell_rates(targets, TN_ARRAY_LEN(targets));
	in.quiescent = in.thorough = true;
	must_hold("restored");
	drop_guarded(m, g->meta_bytes);
	drop_guarded(c, g->control_bytes);
}

#define AUDIT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		AUDIT_TEST(a_new_pool_holds),
		AUDIT_TEST(what_is_there_is_counted),
		AUDIT_TEST(what_a_live_step_explains_holds),
		AUDIT_TEST(every_class_and_cache_is_cut_the_same),
		AUDIT_TEST(the_sections_lie_at_the_same_places),
		AUDIT_TEST(it_holds_between_any_two_calls),
		AUDIT_TEST(it_holds_while_others_are_at_work),
		AUDIT_TEST(scribbles_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
