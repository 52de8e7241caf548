/* SPDX-License-Identifier: BSD-2-Clause */
/* audit: one line that says whether all is well. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "tools/tarnctl/table.h"
#include "tools/tarnctl/tarnctl.h"

/* For JSON; people get sentences. */
static const struct column audit_columns[] = {
	{ "pool", NULL, COLUMN_TEXT },
	{ "quiescent", NULL, COLUMN_FLAG },
	{ "holds", NULL, COLUMN_FLAG },
	{ "weak", NULL, COLUMN_NUMBER },
	{ "busy", NULL, COLUMN_NUMBER },
	{ "controls", NULL, COLUMN_NUMBER },
};

static const struct column page_columns[] = {
	{ "all", NULL, COLUMN_NUMBER },
	{ "free", NULL, COLUMN_NUMBER },
	{ "run", NULL, COLUMN_NUMBER },
	{ "slab", NULL, COLUMN_NUMBER },
	{ "hand", NULL, COLUMN_NUMBER },
	{ "handle", NULL, COLUMN_NUMBER },
};

static const struct column run_columns[] = {
	{ "all", NULL, COLUMN_NUMBER },
	{ "pool", NULL, COLUMN_NUMBER },
	{ "shared", NULL, COLUMN_NUMBER },
	{ "handle", NULL, COLUMN_NUMBER },
};

static const struct column slot_columns[] = {
	{ "slabs", NULL, COLUMN_NUMBER },
	{ "all", NULL, COLUMN_NUMBER },
	{ "free", NULL, COLUMN_NUMBER },
	{ "held", NULL, COLUMN_NUMBER },
	{ "kept", NULL, COLUMN_NUMBER },
	{ "given", NULL, COLUMN_NUMBER },
	{ "link", NULL, COLUMN_NUMBER },
	{ "pool", NULL, COLUMN_NUMBER },
	{ "shared", NULL, COLUMN_NUMBER },
	{ "handle", NULL, COLUMN_NUMBER },
	{ "handles", NULL, COLUMN_NUMBER },
	{ "holds", NULL, COLUMN_NUMBER },
};

static const struct column finding_columns[] = {
	{ "sentence", NULL, COLUMN_TEXT },
	{ "text", NULL, COLUMN_TEXT },
	{ "page", NULL, COLUMN_NUMBER },
	{ "slot", NULL, COLUMN_NUMBER },
	{ "client", NULL, COLUMN_NUMBER },
	{ "seen", NULL, COLUMN_TEXT },
	{ "beside", NULL, COLUMN_TEXT },
};

static void print_member(struct table *t, char before)
{
	putchar(before);
	table_print_member(t, true);
	table_free(t);
}

static void print_numbers(const char *name, const struct column *columns,
			  size_t n, const uint64_t *numbers)
{
	struct table *t = table_new(name, columns, n, true);

	table_row(t);
	for (size_t i = 0; i < n; i++)
		table_number(t, numbers[i]);
	print_member(t, ',');
}
#define PRINT_NUMBERS(name, columns, ...) \
	print_numbers(name, columns, \
		      sizeof(columns) / sizeof((columns)[0]), \
		      (const uint64_t[]){ __VA_ARGS__ })

static void number_or_none(struct table *t, uint64_t n, uint64_t none)
{
	if (n == none)
		table_text(t, NULL);
	else
		table_number(t, n);
}

static void print_finding(const char *name, const struct tarn_audit_finding *f)
{
	struct table *t;
	char word[24];

	if (!f->sentence[0])
		return;
	t = TABLE_NEW(name, finding_columns, true);
	table_row(t);
	table_text(t, f->sentence);
	table_text(t, f->text);
	number_or_none(t, f->page, TARN_AUDIT_NOWHERE);
	number_or_none(t, f->slot, TARN_AUDIT_NOWHERE);
	number_or_none(t, f->client, 0);
	for (int i = 0; i < 2; i++) {
		snprintf(word, sizeof(word), "%#" PRIx64, f->seen[i]);
		table_text(t, word);
	}
	print_member(t, ',');
}

static void print_json(const struct request *q, const struct tarn_audit *a)
{
	struct table *t = TABLE_NEW("audit", audit_columns, true);

	table_row(t);
	table_text(t, q->name);
	table_flag(t, q->quiescent);
	table_flag(t, !a->finding.sentence[0]);
	table_number(t, a->n_weak);
	table_number(t, a->n_busy);
	table_number(t, a->n_controls);
	print_member(t, '{');
	PRINT_NUMBERS("pages", page_columns, a->pages, a->pages_free,
		      a->pages_run, a->pages_slab, a->pages_hand,
		      a->pages_handle);
	PRINT_NUMBERS("runs", run_columns, a->runs, a->runs_pool,
		      a->runs_shared, a->runs_handle);
	PRINT_NUMBERS("slots", slot_columns, a->slabs, a->slots, a->slots_free,
		      a->slots_held, a->slots_kept, a->slots_given,
		      a->slots_link, a->slots_pool, a->slots_shared,
		      a->slots_handle, a->handles, a->holds);
	print_finding("finding", &a->finding);
	print_finding("weak", &a->weak);
	puts("\n}");
}

static void print_lines(const struct request *q, const struct tarn_audit *a)
{
	if (a->finding.sentence[0])
		printf("pool %s: %s (%s)\n", q->name, a->finding.text,
		       a->finding.sentence);
	else
		printf("pool %s: every sentence holds (%" PRIu64 " pages: %"
		       PRIu64 " free, %" PRIu64 " in runs, %" PRIu64
		       " in slabs, %" PRIu64 " in hands)\n", q->name,
		       a->pages, a->pages_free, a->pages_run, a->pages_slab,
		       a->pages_hand);
	if (a->n_weak)
		printf("weak: %s (%s), the first of %" PRIu64 "\n",
		       a->weak.text, a->weak.sentence, a->n_weak);
	if (a->n_busy)
		printf("busy: %" PRIu64 " places changed too fast for a "
		       "verdict\n", a->n_busy);
}

int run_audit(struct request *q)
{
	struct tarn_audit a = { .sz = sizeof(a) };
	int r = tarn_audit(q->tarn, q->name,
			   q->quiescent ? TARN_AUDIT_QUIESCENT : 0, &a);

	if (r < 0) {
		failed_pool(q, r, "audit");
		return TROUBLE;
	}
	if (q->json)
		print_json(q, &a);
	else
		print_lines(q, &a);
	return r ? BROKEN : DID;
}
