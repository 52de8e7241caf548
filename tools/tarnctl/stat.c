/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stat: what tarnd knows of a pool, and what a look inside shows. Who may not
 * look inside still gets the former.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <tarn/admin.h>
#include <tarn/stats.h>

#include "tools/tarnctl/table.h"
#include "tools/tarnctl/tarnctl.h"
#include "tools/words.h"

/* Only for JSON: people get sentences. */
static const struct column pool_columns[] = {
	{ "name", NULL, COLUMN_TEXT },
	{ "kind", NULL, COLUMN_TEXT },
	{ "policy", NULL, COLUMN_TEXT },
	{ "mode", NULL, COLUMN_TEXT },
	{ "abort_on_misuse", NULL, COLUMN_FLAG },
	{ "reserved", NULL, COLUMN_FLAG },
	{ "poisoned", NULL, COLUMN_FLAG },
	{ "uid", NULL, COLUMN_NUMBER },
	{ "gid", NULL, COLUMN_NUMBER },
	{ "bytes", NULL, COLUMN_BYTES },
	{ "data_resident", NULL, COLUMN_BYTES },
	{ "meta_resident", NULL, COLUMN_BYTES },
	{ "compactions", NULL, COLUMN_NUMBER },
	{ "compactions_unasked", NULL, COLUMN_NUMBER },
	{ "compacting", NULL, COLUMN_FLAG },
	{ "compact_percent", NULL, COLUMN_NUMBER },
	{ "compact_start", NULL, COLUMN_NUMBER },
	{ "compact_stop", NULL, COLUMN_NUMBER },
	{ "live_bytes", NULL, COLUMN_BYTES },
	{ "live_objects", NULL, COLUMN_NUMBER },
	{ "run_bytes", NULL, COLUMN_BYTES },
	{ "cached_bytes", NULL, COLUMN_BYTES },
	{ "free_pages", NULL, COLUMN_NUMBER },
	{ "largest_run", NULL, COLUMN_NUMBER },
	{ "handles", NULL, COLUMN_NUMBER },
	{ "movable_bytes", NULL, COLUMN_BYTES },
};

static const struct column class_columns[] = {
	{ "object_bytes", "OBJECT", COLUMN_BYTES },
	{ "name", "CACHE", COLUMN_TEXT },
	{ "movable", NULL, COLUMN_FLAG },
	{ "slabs", "SLABS", COLUMN_NUMBER },
	{ "slots", "SLOTS", COLUMN_NUMBER },
	{ "live", "LIVE", COLUMN_NUMBER },
	{ "cached", "CACHED", COLUMN_NUMBER },
	{ NULL, "USED", COLUMN_NUMBER },
};

static const struct column client_columns[] = {
	{ "id", "CLIENT", COLUMN_NUMBER },
	{ "pid", "PID", COLUMN_NUMBER },
	{ "command", "COMMAND", COLUMN_TEXT },
	{ NULL, "USER", COLUMN_TEXT },
	{ "uid", NULL, COLUMN_NUMBER },
	{ "objects", "OBJECTS", COLUMN_NUMBER },
	{ "bytes", "HELD", COLUMN_BYTES },
	{ "cached_bytes", "CACHED", COLUMN_BYTES },
};

static void compaction_cells(struct table *t, const struct tarn_compaction *c)
{
	table_number(t, c->runs);
	table_number(t, c->unasked);
	table_flag(t, c->running);
	table_number(t, c->compact_percent == TARN_COMPACT_NEVER ? 0 :
			c->compact_percent);
	table_number(t, c->compact_start);
	table_number(t, c->compact_stop);
}

static struct table *pool_table(const struct tarn_pool_info *p,
				const struct tarn_compaction *c,
				const struct tarn_stats *s)
{
	struct table *t = TABLE_NEW("pool", pool_columns, true);
	char mode[16];

	table_row(t);
	table_text(t, p->name);
	table_text(t, WORD_OF(kind_words, p->kind));
	table_text(t, WORD_OF(policy_words, p->policy));
	snprintf(mode, sizeof(mode), "%04" PRIo32, p->mode);
	table_text(t, mode);
	table_flag(t, p->flags & TARN_POOL_ABORT_ON_MISUSE);
	table_flag(t, p->flags & TARN_POOL_RESERVE);
	table_flag(t, p->flags & TARN_POOL_POISONED);
	table_number(t, p->uid);
	table_number(t, p->gid);
	table_bytes(t, p->bytes);
	table_bytes(t, p->data_resident);
	table_bytes(t, p->meta_resident);
	compaction_cells(t, c);
	if (!s)
		return t;
	table_bytes(t, s->live_bytes);
	table_number(t, s->live_objects);
	table_bytes(t, s->run_bytes);
	table_bytes(t, s->cached_bytes);
	table_number(t, s->free_pages);
	table_number(t, s->largest_run);
	table_number(t, s->handles);
	table_bytes(t, s->movable_bytes);
	return t;
}

/* People are told in the same column which ones have handles. */
static const char *class_name(const struct tarn_class_stat *c, bool json)
{
	if (c->movable && !json)
		return "(movable)";
	return c->name[0] ? c->name : NULL;
}

static struct table *class_table(const struct tarn_stats *s, bool json)
{
	struct table *t = TABLE_NEW("classes", class_columns, json);

	for (uint32_t i = 0; i < s->n_classes; i++) {
		const struct tarn_class_stat *c = &s->classes[i];
		char used[16];

		table_row(t);
		table_bytes(t, c->object_bytes);
		table_text(t, class_name(c, json));
		table_flag(t, c->movable);
		table_number(t, c->slabs);
		table_number(t, c->slots);
		table_number(t, c->live);
		table_number(t, c->cached);
		snprintf(used, sizeof(used), "%.0f%%", c->slots ?
			 100.0 * (double)c->live / (double)c->slots : 0.0);
		table_text(t, used);
	}
	return t;
}

/* The name of a process, if it is one that can be seen from here. */
static const char *command_text(int32_t pid, char buf[32])
{
	char path[32];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%" PRId32 "/comm", pid);
	f = pid > 0 ? fopen(path, "re") : NULL;
	if (!f)
		return NULL;
	if (!fgets(buf, 32, f))
		buf[0] = '\0';
	fclose(f);
	buf[strcspn(buf, "\n")] = '\0';
	return buf[0] ? buf : NULL;
}

static struct table *client_table(const struct tarn_stats *s, uint32_t self,
				  bool json)
{
	struct table *t = TABLE_NEW("clients", client_columns, json);

	for (uint32_t i = 0; i < s->n_clients; i++) {
		const struct tarn_client_stat *c = &s->clients[i];
		char buf[64];

		if (c->id == self)
			continue;
		table_row(t);
		if (c->id || json)
			table_number(t, c->id);
		else
			table_text(t, "pool");
		if (c->pid > 0)
			table_number(t, (uint64_t)c->pid);
		else
			table_text(t, NULL);
		table_text(t, command_text(c->pid, buf));
		table_text(t, c->id ? user_text(c->uid, buf) : NULL);
		if (c->id)
			table_number(t, c->uid);
		else
			table_text(t, NULL);
		table_number(t, c->objects);
		table_bytes(t, c->bytes);
		table_bytes(t, c->cached_bytes);
	}
	return t;
}

static void print_pool(const struct tarn_pool_info *p)
{
	char size[16], data[16], meta[16], user[64], group[64];

	printf("pool %s: %s of %s, %s fit, mode %04" PRIo32
	       " of %s:%s, %" PRIu32 " clients\n",
	       p->name, WORD_OF(kind_words, p->kind),
	       bytes_text(p->bytes, size), WORD_OF(policy_words, p->policy),
	       p->mode, user_text(p->uid, user), group_text(p->gid, group),
	       p->n_clients);
	if (p->flags & TARN_POOL_POISONED)
		puts("poisoned  what a client left contradicts itself: tarnd's "
		     "log says where");
	printf("resident  %s behind objects, %s behind the allocator\n",
	       bytes_text(p->data_resident, data),
	       bytes_text(p->meta_resident, meta));
}

static void print_compaction(const struct tarn_compaction *c)
{
	if (c->compact_percent == TARN_COMPACT_NEVER)
		printf("compacted never but when asked;");
	else
		printf("compacted if %" PRIu32 "%% more than needed, down to %"
		       PRIu32 "%%, by %" PRIu32 "%% of a processor;",
		       c->compact_start, c->compact_stop, c->compact_percent);
	printf(" %" PRIu32 " times, %" PRIu32 " of them asked%s\n", c->runs,
	       c->runs - c->unasked, c->running ? "; just now" : "");
}

static void print_inside(const struct tarn_stats *s)
{
	char live[16], runs[16], cached[16], room[16], largest[16];

	printf("live      %s in %" PRIu64 " objects; %s of it in page runs\n",
	       bytes_text(s->live_bytes, live), s->live_objects,
	       bytes_text(s->run_bytes, runs));
	if (s->handles)
		printf("movable   %s of it in objects of %" PRIu64
		       " handles\n", bytes_text(s->movable_bytes, live),
		       s->handles);
	printf("cached    %s that threads keep for themselves\n",
	       bytes_text(s->cached_bytes, cached));
	printf("free      %s in whole pages; a run of %s would fit\n",
	       bytes_text(s->free_pages * TARN_PAGE, room),
	       bytes_text(s->largest_run * TARN_PAGE, largest));
}

static void print_part(struct table *t, bool json, bool empty)
{
	if (json) {
		putchar(',');
		table_print_member(t, false);
	} else if (!empty) {
		putchar('\n');
		table_print(t);
	}
	table_free(t);
}

static void print_all(const struct request *q, const struct tarn_pool_info *p,
		      const struct tarn_compaction *c,
		      const struct tarn_stats *s, uint32_t self)
{
	struct table *t;

	if (q->json) {
		t = pool_table(p, c, s);
		putchar('{');
		table_print_member(t, true);
		table_free(t);
	} else {
		print_pool(p);
		print_compaction(c);
		if (s)
			print_inside(s);
	}
	if (s) {
		print_part(class_table(s, q->json), q->json, !s->n_classes);
		t = client_table(s, self, q->json);
		print_part(t, q->json, table_is_empty(t));
	}
	if (q->json)
		puts("\n}");
}

int run_stat(struct request *q)
{
	struct tarn_compaction c = { .sz = sizeof(c) };
	struct tarn_stats s = { .sz = sizeof(s) };
	struct tarn_pool_info info;
	struct tarn_pool *pool;
	int r = tarn_pool_stat(q->tarn, q->name, &info);

	if (r == 0)
		r = tarn_compact(q->tarn, q->name, 0, NULL, NULL, &c);
	if (r < 0)
		return failed_pool(q, r, "look at");
	r = tarn_pool_open(q->tarn, q->name, TARN_OBSERVER, &pool);
	if (r == -EACCES) {
		print_all(q, &info, &c, NULL, 0);
		fputs("tarnctl: this user may not see who holds what\n",
		      stderr);
		return DID;
	}
	if (r < 0)
		return failed_pool(q, r, "open");
	r = tarn_stats(pool, &s);
	if (r < 0)
		failed_pool(q, r, "look into");
	else
		print_all(q, &info, &c, &s, tarn_client_id(pool));
	tarn_stats_free(&s);
	tarn_pool_close(pool);
	return r < 0 ? FAILED : DID;
}
