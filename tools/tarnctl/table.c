/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/tarnctl/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libsmartcols.h>

#define COLUMNS_MAX 32

struct table {
	struct libscols_table *scols;
	struct libscols_line *line;
	const struct column *columns;
	int place[COLUMNS_MAX]; /* where libsmartcols has it, or -1 */
	size_t n, at;
	bool json;
};

static void must(int r)
{
	if (!r)
		return;
	fputs("tarnctl: out of memory\n", stderr);
	exit(1);
}

static void add_column(struct table *t, size_t i)
{
	const struct column *c = &t->columns[i];
	const char *name = t->json ? c->key : c->heading;
	bool text = c->type == COLUMN_TEXT;
	struct libscols_column *sc;

	t->place[i] = -1;
	if (!name)
		return;
	t->place[i] = (int)scols_table_get_ncols(t->scols);
	sc = scols_table_new_column(t->scols, name, 0,
				    text ? 0 : SCOLS_FL_RIGHT);
	must(!sc);
	if (t->json)
		must(scols_column_set_json_type(sc,
			text ? SCOLS_JSON_STRING :
			c->type == COLUMN_FLAG ? SCOLS_JSON_BOOLEAN :
						 SCOLS_JSON_NUMBER));
}

struct table *table_new(const char *name, const struct column *columns,
			size_t n, bool json)
{
	struct table *t = calloc(1, sizeof(*t));

	must(!t || n > COLUMNS_MAX);
	t->scols = scols_new_table();
	must(!t->scols);
	t->columns = columns;
	t->n = n;
	t->json = json;
	must(scols_table_set_name(t->scols, name));
	must(scols_table_enable_json(t->scols, json));
	for (size_t i = 0; i < n; i++)
		add_column(t, i);
	return t;
}

void table_row(struct table *t)
{
	t->line = scols_table_new_line(t->scols, NULL);
	must(!t->line);
	t->at = 0;
}

void table_text(struct table *t, const char *text)
{
	int place = t->at < t->n ? t->place[t->at++] : -1;

	if (place >= 0 && text)
		must(scols_line_set_data(t->line, (size_t)place, text));
}

void table_number(struct table *t, uint64_t n)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%" PRIu64, n);
	table_text(t, buf);
}

void table_bytes(struct table *t, uint64_t n)
{
	char buf[16];

	if (t->json)
		table_number(t, n);
	else
		table_text(t, bytes_text(n, buf));
}

void table_flag(struct table *t, bool on)
{
	if (t->json)
		table_text(t, on ? "1" : "0");
	else
		table_text(t, on ? "yes" : NULL);
}

void table_print(struct table *t)
{
	must(scols_print_table(t->scols));
}

void table_print_member(struct table *t, bool lone)
{
	char *text, *begin, *end;

	must(scols_print_table_to_string(t->scols, &text));
	/* { "name": [ ROWS ] }; the first and the last of each are ours,
	 * whatever stands in the cells. */
	begin = strchr(text, '{') + 1;
	end = strrchr(text, '}');
	if (lone) {
		char *open = strchr(begin, '[');

		*open = ' ';
		while (*end != ']')
			end--;
	}
	while (end > begin && (end[-1] == '\n' || end[-1] == ' '))
		end--;
	printf("%.*s", (int)(end - begin), begin);
	free(text);
}

bool table_is_empty(const struct table *t)
{
	return !t->line;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	scols_unref_table(t->scols);
	free(t);
}

const char *bytes_text(uint64_t n, char buf[16])
{
	static const char units[] = "BKMGTPE";
	unsigned u = 0, tenths;

	while (n >> (10 * u) >= 1024)
		u++;
	tenths = (unsigned)((double)n * 10 / (double)(1ULL << (10 * u)) + 0.5);
	if (tenths % 10)
		snprintf(buf, 16, "%u.%u%c", tenths / 10, tenths % 10,
			 units[u]);
	else
		snprintf(buf, 16, "%u%c", tenths / 10, units[u]);
	return buf;
}
