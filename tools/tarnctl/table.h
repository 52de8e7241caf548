/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Rows for people, or the same as JSON, through libsmartcols. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum column_type { COLUMN_TEXT, COLUMN_NUMBER, COLUMN_BYTES, COLUMN_FLAG };

struct column {
	const char *key;      /* in JSON; NULL: not there */
	const char *heading;  /* in the table; NULL: not there */
	enum column_type type;
};

struct table;

/** table_new() - an empty table; out of memory ends the program, as of every
 *  function here. @name: the member of the JSON object that it becomes */
struct table *table_new(const char *name, const struct column *columns,
			size_t n, bool json);
#define TABLE_NEW(name, columns, json) \
	table_new(name, columns, sizeof(columns) / sizeof((columns)[0]), json)

/* A row, then its cells from left to right, of each column's type. */
void table_row(struct table *t);
void table_text(struct table *t, const char *text); /* NULL: nothing there */
void table_number(struct table *t, uint64_t n);
void table_bytes(struct table *t, uint64_t n);
void table_flag(struct table *t, bool on);

/** table_print() - all of it; with JSON an object of one member */
void table_print(struct table *t);

/** table_print_member() - with JSON: the member alone, without braces, to
 *  stand among others; @lone: its only row, not an array of rows */
void table_print_member(struct table *t, bool lone);

bool table_is_empty(const struct table *t);
void table_free(struct table *t);

/** bytes_text() - "64M", "1.5G"; buf of 16 bytes */
const char *bytes_text(uint64_t n, char buf[16]);
