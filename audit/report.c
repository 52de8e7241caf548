/* SPDX-License-Identifier: BSD-2-Clause */
/* What the auditor says. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "audit/look.h"

static const struct {
	const char *name, *text;
} sentences[TN_AUDIT_N_SENTENCES] = {
	[TN_AUDIT_HOLDS] = { "HOLDS", "every sentence holds" },
#define TN_AUDIT_ENTRY(name, text) [TN_AUDIT_##name] = { #name, text },
	TN_AUDIT_SENTENCES(TN_AUDIT_ENTRY)
};

int tn_audit_say(struct tn_audit *a, enum tn_audit_sentence sentence,
		 uint64_t page, uint64_t slot, uint64_t seen0, uint64_t seen1)
{
	struct tn_audit_finding f = {
		.sentence = sentence,
		.page = page,
		.slot = slot,
		.seen = { seen0, seen1 },
	};

	if (sentence < TN_AUDIT_FIRST_WEAK) {
		a->result.finding = f;
		return (int)sentence;
	}
	if (!a->result.n_weak++)
		a->result.weak = f;
	return 0;
}

int tn_audit_say_lane(struct tn_audit *a, enum tn_audit_sentence sentence,
		      unsigned control, unsigned lane, uint64_t page,
		      uint64_t seen0, uint64_t seen1)
{
	tn_audit_say(a, sentence, page, lane, seen0, seen1);
	a->result.finding.client = a->in.controls[control].client;
	return (int)sentence;
}

void tn_audit_say_weak(struct tn_audit *a, enum tn_audit_sentence sentence,
		       unsigned control, uint64_t slot, uint64_t seen)
{
	tn_audit_say(a, sentence, TN_AUDIT_NOWHERE, slot, seen, 0);
	if (a->result.n_weak == 1)
		a->result.weak.client = a->in.controls[control].client;
}

const char *tn_audit_text(enum tn_audit_sentence sentence)
{
	return (unsigned)sentence < TN_AUDIT_N_SENTENCES ?
	       sentences[sentence].text : "no sentence";
}

const char *tn_audit_name(enum tn_audit_sentence sentence)
{
	return (unsigned)sentence < TN_AUDIT_N_SENTENCES ?
	       sentences[sentence].name : "?";
}

/* What a finding's .slot counts. */
static const char *slot_is(enum tn_audit_sentence s)
{
	if (s >= TN_AUDIT_MOVE_LINE && s <= TN_AUDIT_MOVE_TWICE)
		return "line";
	if (s == TN_AUDIT_PIN_LONG || s == TN_AUDIT_PIN_HANDLE)
		return "pin";
	if (s >= TN_AUDIT_LANE_STATE && s <= TN_AUDIT_HAND_OBJECT)
		return "lane";
	if (s >= TN_AUDIT_SHARE_STAMP && s <= TN_AUDIT_SHARE_STRAY)
		return "record";
	return s < TN_AUDIT_LANE_STATE || s == TN_AUDIT_NAME ? "entry" : "slot";
}

static void append(char *buf, size_t bytes, int *at, const char *form, ...)
	__attribute__((format(printf, 4, 5)));

static void append(char *buf, size_t bytes, int *at, const char *form, ...)
{
	size_t used = (size_t)*at < bytes ? (size_t)*at : bytes;
	va_list args;
	int n;

	va_start(args, form);
	n = vsnprintf(buf ? buf + used : NULL, bytes - used, form, args);
	va_end(args);
	*at += n > 0 ? n : 0;
}

int tn_audit_format(const struct tn_audit_finding *f, char *buf, size_t bytes)
{
	int n = 0;

	if (bytes)
		buf[0] = '\0';
	append(buf, bytes, &n, "%s", tn_audit_text(f->sentence));
	if (f->sentence == TN_AUDIT_HOLDS)
		return n;
	append(buf, bytes, &n, ":");
	if (f->page != TN_AUDIT_NOWHERE)
		append(buf, bytes, &n, " area %" PRIu64 " page %" PRIu64,
		       f->page / TN_AREA_PAGES, f->page);
	if (f->client)
		append(buf, bytes, &n, " client %" PRIu32, f->client);
	if (f->slot != TN_AUDIT_NOWHERE)
		append(buf, bytes, &n, " %s %" PRIu64, slot_is(f->sentence),
		       f->slot);
	append(buf, bytes, &n, ", saw %#" PRIx64 " and %#" PRIx64,
	       f->seen[0], f->seen[1]);
	return n;
}
