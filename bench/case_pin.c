/* SPDX-License-Identifier: BSD-2-Clause */
/* Handles, by one thread that nobody disturbs. */
#include <tarn/handle.h>

#include "bench/harness.h"

#define HANDLES 16 /* their words are in L1 */
#define SIZE 64

static tarn_ref handles[HANDLES];

static void setup(struct bench_run *r)
{
	for (unsigned i = 0; i < HANDLES; i++) {
		void *p;

		handles[i] = tarn_halloc(r->heap.pool, SIZE);
		p = tarn_pin(r->heap.pool, handles[i]);
		if (!p)
			bench_die("halloc or pin", 0);
		bench_stamp(p, SIZE, i);
		tarn_unpin(r->heap.pool, handles[i]);
		r->n_taken++;
	}
}

static void teardown(struct bench_run *r)
{
	for (unsigned i = 0; i < HANDLES; i++) {
		const void *p = tarn_pin_read(r->heap.pool, handles[i]);

		if (!p || bench_verify(p) != i)
			bench_die("another object's bytes", 0);
		tarn_unpin(r->heap.pool, handles[i]);
		r->n_put += tarn_hfree(r->heap.pool, handles[i]) == 0;
	}
}

/* What is pinned is looked at, lest there be nothing to wait for. */
static inline void use(const void *p)
{
	if (!p)
		bench_die("an object cannot be used", 0);
	(void)*(const volatile uint64_t *)p;
}

static void pin(struct bench_run *r, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		tarn_ref h = handles[i % HANDLES];

		use(tarn_pin(r->heap.pool, h));
		tarn_unpin(r->heap.pool, h);
	}
}

static void pin_read(struct bench_run *r, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		tarn_ref h = handles[i % HANDLES];

		use(tarn_pin_read(r->heap.pool, h));
		tarn_unpin(r->heap.pool, h);
	}
}

static void deref(struct bench_run *r, uint64_t n)
{
	tarn_enter(r->heap.pool);
	for (uint64_t i = 0; i < n; i++)
		use(tarn_deref(r->heap.pool, handles[i % HANDLES]));
	tarn_exit(r->heap.pool);
}

static void section(struct bench_run *r, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		tarn_enter(r->heap.pool);
		use(tarn_deref(r->heap.pool, handles[i % HANDLES]));
		tarn_exit(r->heap.pool);
	}
}

static void halloc(struct bench_run *r, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (tarn_hfree(r->heap.pool,
			       tarn_halloc(r->heap.pool, SIZE)) < 0)
			bench_die("a free was refused", 0);
}

#define HANDLE_CASE(case_name, fn, text) { \
	.name = case_name, .what = text, .run = { fn, fn, fn, fn }, \
	.kinds = BENCH_TARN, .is_alone = true, .n_ops = 100000000, \
	.setup = setup, .teardown = teardown }

static const struct bench_case cases[] = {
	HANDLE_CASE("pin", pin, "pin and unpin any of 16 objects to write"),
	HANDLE_CASE("pin_read", pin_read, "the same to read"),
	HANDLE_CASE("deref", deref, "one of many derefs in a section"),
	HANDLE_CASE("section", section, "a section with one deref in it"),
	HANDLE_CASE("halloc", halloc, "halloc and hfree of 64 B at once"),
};

const struct bench_group bench_handles = { "handles", cases, BENCH_N(cases) };
