/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ledger.
 *
 *	header | pools | sessions | attachments | slots
 *	           ^         ^       |      |
 *	           |         `-------'      |
 *	           `------------------------'
 *
 * tarnd may be killed between any two stores, and what it has stored by then
 * is all there, in the order of the program (the kernel keeps the pages, and
 * a process sees its own stores in order; so does who comes after it). Only
 * the compiler must be kept from moving them.
 *
 *   I1  a record that is there is whole: what is summed was written before the
 *       head, and the head is one store
 *   I2  .n is raised before a record at or above it gets its head, so who
 *       comes looks at no more than was used
 *   I3  what a record names is there: a pool and a session before the
 *       attachment, and it is given back before they are
 *   I4  a descriptor is in the store before the record that needs it, and
 *       leaves it after that. So what is in the store without a record was
 *       half made, or half ended, and is dropped
 *
 * Crash windows: C1 before the head of a new record: as if it had never been;
 * C2 after the head of one was cleared: the descriptors are dropped by the
 * next tarnd. Between them everything is there.
 *
 * What is read at start is checked as any input is: sizes, versions, sums,
 * ranges, and that each name, mark, id and slot is there once. All of it or
 * nothing: a ledger with one bad record is not believed in the others.
 */
#include "daemon/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/cleanup.h"
#include "daemon/ledgercheck.h"
#include "daemon/log.h"

#define LEDGER_NAME "tarn:ledger"

static const uint32_t table_max[LEDGER_N_TABLES] = {
	[LEDGER_POOLS] = LEDGER_POOLS_MAX,
	[LEDGER_SESSIONS] = LEDGER_SESSIONS_MAX,
	[LEDGER_ATTACHMENTS] = LEDGER_ATTACHMENTS_MAX,
	[LEDGER_CONNECTIONS] = LEDGER_CONNECTIONS_MAX,
};

static bool has_records(enum ledger_table table)
{
	return table < LEDGER_CONNECTIONS;
}

static uint8_t *record(const struct ledger *ledger, enum ledger_table table,
		       uint32_t index)
{
	uint64_t off = LEDGER_PAGE;

	tn_assert(has_records(table) && index < table_max[table]);
	for (int t = 0; t < (int)table; t++)
		off += (uint64_t)table_max[t] * LEDGER_RECORD_BYTES;
	return (uint8_t *)ledger->file.map + off +
	       (uint64_t)index * LEDGER_RECORD_BYTES;
}

static tn_a64 *head_of(const struct ledger *ledger, enum ledger_table table,
		       uint32_t index)
{
	return (tn_a64 *)(void *)record(ledger, table, index);
}

struct ledger_pool *ledger_pool(const struct ledger *ledger, uint32_t index)
{
	return (void *)record(ledger, LEDGER_POOLS, index);
}

struct ledger_session *ledger_session(const struct ledger *ledger,
				      uint32_t index)
{
	return (void *)record(ledger, LEDGER_SESSIONS, index);
}

struct ledger_attachment *ledger_attachment(const struct ledger *ledger,
					    uint32_t index)
{
	return (void *)record(ledger, LEDGER_ATTACHMENTS, index);
}

struct ledger_slots *ledger_slots(const struct ledger *ledger, uint32_t pool)
{
	uint8_t *end = (uint8_t *)ledger->file.map + LEDGER_BYTES;

	tn_assert(pool < LEDGER_POOLS_MAX);
	return (struct ledger_slots *)(void *)end - LEDGER_POOLS_MAX + pool;
}

/* FNV-1a, 32 bits */
static uint32_t sum_bytes(uint32_t h, const void *data, size_t bytes)
{
	const uint8_t *at = data;

	while (bytes--)
		h = (h ^ *at++) * 0x01000193U;
	return h;
}

static uint64_t head_for(const struct ledger *ledger, enum ledger_table table,
			 uint32_t index, unsigned state)
{
	const uint32_t where[3] = { table, index, state };
	uint32_t h = sum_bytes(0x811c9dc5U, where, sizeof(where));

	h = sum_bytes(h, record(ledger, table, index) + LEDGER_SUMMED_BEGIN,
		      LEDGER_SUMMED_END - LEDGER_SUMMED_BEGIN);
	return (uint64_t)h << 32 | state;
}

unsigned ledger_state(const struct ledger *ledger, enum ledger_table table,
		      uint32_t index)
{
	return tn64_load_relaxed(head_of(ledger, table, index)) & 0xff;
}

uint32_t ledger_n(const struct ledger *ledger, enum ledger_table table)
{
	return (uint32_t)tn64_load_relaxed(&ledger->header->n[table]);
}

/* indices */

static int free_init(struct ledger_free *f, uint32_t max)
{
	*f = (struct ledger_free){ .max = max };
	f->stack = malloc(max * sizeof(*f->stack));
	return f->stack ? 0 : -ENOMEM;
}

static int free_init_all(struct ledger *ledger)
{
	int r = 0;

	for (int t = 0; t < LEDGER_N_TABLES && r == 0; t++)
		r = free_init(&ledger->free[t], table_max[t]);
	return r;
}

/* A page that cannot be had is an error here, not a SIGBUS later. */
static int make_room(struct ledger *ledger, uint8_t *at, uint64_t bytes)
{
	off_t off = (off_t)(at - (uint8_t *)ledger->file.map);

	return fallocate(ledger->file.fd, 0, off, (off_t)bytes) < 0 ?
	       tn_neg_errno() : 0;
}

static int clear_record(struct ledger *ledger, enum ledger_table table,
			uint32_t index)
{
	int r = make_room(ledger, record(ledger, table, index),
			  LEDGER_RECORD_BYTES);

	if (r == 0 && table == LEDGER_POOLS)
		r = make_room(ledger, (void *)ledger_slots(ledger, index),
			      sizeof(struct ledger_slots));
	if (r < 0)
		return r;
	memset(record(ledger, table, index), 0, LEDGER_RECORD_BYTES);
	if (table == LEDGER_POOLS)
		memset(ledger_slots(ledger, index), 0,
		       sizeof(struct ledger_slots));
	return 0;
}

int ledger_take(struct ledger *ledger, enum ledger_table table,
		uint32_t *ret_index)
{
	struct ledger_free *f = &ledger->free[table];
	uint32_t index;
	int r;

	if (!f->n && f->next >= f->max)
		return -ENOSPC;
	index = f->n ? f->stack[f->n - 1] : f->next;
	r = has_records(table) ? clear_record(ledger, table, index) : 0;
	if (r < 0)
		return r;
	if (f->n)
		f->n--;
	else
		f->next++;
	*ret_index = index;
	return 0;
}

bool ledger_reserve(struct ledger *ledger, enum ledger_table table,
		    uint32_t index)
{
	struct ledger_free *f = &ledger->free[table];

	while (f->next <= index)
		f->stack[f->n++] = f->next++;
	for (uint32_t i = f->n; i > 0; i--) {
		if (f->stack[i - 1] != index)
			continue;
		f->stack[i - 1] = f->stack[--f->n];
		return true;
	}
	return false;
}

void ledger_commit(struct ledger *ledger, enum ledger_table table,
		   uint32_t index, unsigned state)
{
	tn_a64 *n = &ledger->header->n[table];

	tn_assert(state & LEDGER_THERE);
	if (tn64_load_relaxed(n) <= index)
		tn64_store_relaxed(n, index + 1ULL);
	tn_fence_compiler();
	tn64_store_relaxed(head_of(ledger, table, index),
			   head_for(ledger, table, index, state));
	tn_fence_compiler();
}

void ledger_give(struct ledger *ledger, enum ledger_table table,
		 uint32_t index)
{
	struct ledger_free *f = &ledger->free[table];

	tn_fence_compiler();
	if (has_records(table))
		tn64_store_relaxed(head_of(ledger, table, index), 0);
	tn_fence_compiler();
	tn_assert(f->n < f->max);
	f->stack[f->n++] = index;
}

/* life */

static uint64_t versions(void)
{
	return LEDGER_MAJOR | (uint64_t)LEDGER_MINOR << 16 |
	       (uint64_t)TN_LAYOUT_MAJOR << 32 |
	       (uint64_t)TN_LAYOUT_MINOR << 48;
}

uint64_t ledger_claim(struct ledger *ledger)
{
	struct ledger_header *h = ledger->header;
	uint64_t old = tn64_load_relaxed(&h->versions);
	uint64_t n = tn64_load_relaxed(&h->adoptions) + 1;

	if (old != versions())
		log_info("what is taken over was written by a tarnd of version "
			 "%u.%u, layout %u.%u; this one is of %u.%u, %u.%u",
			 (unsigned)(old & 0xffff),
			 (unsigned)(old >> 16 & 0xffff),
			 (unsigned)(old >> 32 & 0xffff), (unsigned)(old >> 48),
			 LEDGER_MAJOR, LEDGER_MINOR, TN_LAYOUT_MAJOR,
			 TN_LAYOUT_MINOR);
	tn_fence_compiler();
	tn64_store_relaxed(&h->versions, versions());
	tn64_store_relaxed(&h->adoptions, n);
	return n;
}

int ledger_new(struct ledger *ledger)
{
	int r;

	*ledger = (struct ledger){ .file = BACKING_NONE };
	r = backing_init(&ledger->file, LEDGER_NAME, LEDGER_BYTES,
			 PROT_READ | PROT_WRITE);
	if (r < 0)
		return r;
	ledger->header = ledger->file.map;
	r = make_room(ledger, ledger->file.map, LEDGER_PAGE);
	if (r < 0)
		return r;
	ledger->header->bytes = LEDGER_BYTES;
	ledger->header->record_bytes = LEDGER_RECORD_BYTES;
	ledger->header->n_tables = LEDGER_N_TABLES;
	tn64_store_relaxed(&ledger->header->versions, versions());
	ledger->header->magic = LEDGER_MAGIC;
	return free_init_all(ledger);
}

void ledger_fini(struct ledger *ledger)
{
	for (int t = 0; t < LEDGER_N_TABLES; t++)
		tn_freep(&ledger->free[t].stack);
	backing_fini(&ledger->file);
	ledger->header = NULL;
}

__attribute__((format(printf, 3, 4)))
static int refuse(char why[LEDGER_WHY_BYTES], int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, LEDGER_WHY_BYTES, fmt, ap);
	va_end(ap);
	return r;
}

bool ledger_version_ok(unsigned major, unsigned minor, unsigned our_major,
		       unsigned our_minor)
{
	return major == our_major &&
	       (minor == our_minor || minor + 1 == our_minor);
}

static int check_versions(uint64_t v, char why[LEDGER_WHY_BYTES])
{
	unsigned major = v & 0xffff, minor = v >> 16 & 0xffff;
	unsigned layout = v >> 32 & 0xffff, layout_minor = (unsigned)(v >> 48);

	if (!ledger_version_ok(major, minor, LEDGER_MAJOR, LEDGER_MINOR))
		return refuse(why, -EPROTONOSUPPORT, "it is of version %u.%u, "
			      "this tarnd's is %u.%u", major, minor,
			      LEDGER_MAJOR, LEDGER_MINOR);
	if (!ledger_version_ok(layout, layout_minor, TN_LAYOUT_MAJOR,
			       TN_LAYOUT_MINOR))
		return refuse(why, -EPROTONOSUPPORT, "pools are of layout "
			      "%u.%u, this tarnd's is %u.%u", layout,
			      layout_minor, TN_LAYOUT_MAJOR, TN_LAYOUT_MINOR);
	return 0;
}

/* The file, before anything of it is mapped. */
static int check_file(int fd, char why[LEDGER_WHY_BYTES])
{
	int r = backing_check(fd, LEDGER_NAME, LEDGER_BYTES);

	return r < 0 ? refuse(why, r, "its file is not as it must be: %s",
			      strerror(-r)) : 0;
}

static int check_header(const struct ledger *ledger,
			char why[LEDGER_WHY_BYTES])
{
	const struct ledger_header *h = ledger->header;
	int r;

	if (h->magic != LEDGER_MAGIC)
		return refuse(why, -EUCLEAN, "it has not the mark of one");
	r = check_versions(tn64_load_relaxed(&h->versions), why);
	if (r < 0)
		return r;
	if (h->bytes != LEDGER_BYTES ||
	    h->record_bytes != LEDGER_RECORD_BYTES ||
	    h->n_tables != LEDGER_N_TABLES || h->reserved)
		return refuse(why, -EUCLEAN, "its header is not whole");
	for (int t = 0; has_records(t); t++)
		if (tn64_load_relaxed(&h->n[t]) > table_max[t])
			return refuse(why, -EUCLEAN, "table %d has more "
				      "records than room", t);
	return 0;
}

/* I1 */
static int check_sums(struct ledger *ledger, char why[LEDGER_WHY_BYTES])
{
	for (int t = 0; has_records(t); t++) {
		for (uint32_t i = 0; i < ledger_n(ledger, t); i++) {
			uint64_t head = tn64_load_relaxed(head_of(ledger, t,
								  i));

			if (head && head != head_for(ledger, t, i,
						     head & 0xff))
				return refuse(why, -EUCLEAN, "record %u of "
					      "table %d is not whole", i, t);
			if (head && !(head & LEDGER_THERE))
				return refuse(why, -EUCLEAN, "record %u of "
					      "table %d has no state", i, t);
			if (head)
				ledger_reserve(ledger, t, i);
		}
	}
	return 0;
}

int ledger_open(struct ledger *ledger, int fd, char why[LEDGER_WHY_BYTES])
{
	int r;

	*ledger = (struct ledger){ .file = BACKING_NONE };
	ledger->file.fd = fd;
	r = check_file(fd, why);
	if (r == 0)
		r = backing_map(&ledger->file, LEDGER_BYTES,
				PROT_READ | PROT_WRITE);
	if (r == 0)
		ledger->header = ledger->file.map;
	if (r == 0)
		r = check_header(ledger, why);
	if (r == 0)
		r = free_init_all(ledger);
	if (r == 0)
		r = check_sums(ledger, why);
	if (r == 0)
		r = ledgercheck(ledger, why);
	if (r == -ENOMEM || r == -EMFILE)
		refuse(why, r, "%s", strerror(-r));
	return r;
}
