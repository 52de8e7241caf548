/* SPDX-License-Identifier: BSD-2-Clause */
/* tarnctl compact, and tarnctl map: a picture of where a pool is full. */
#include <errno.h>
#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tarn/stats.h>

#include "tools/tarnctl/table.h"
#include "tools/tarnctl/tarnctl.h"

#define CELLS_A_LINE 64U
#define BAR_CELLS 40U

/* How full, from nothing to all; where the terminal has no blocks, letters. */
static const char *const blocks[] = { "\u00b7", "\u2591", "\u2592", "\u2593",
				      "\u2588" };
static const char *const letters[] = { ".", "-", "=", "%", "#" };

static const char *const *shades(void)
{
	setlocale(LC_CTYPE, "");
	return strcmp(nl_langinfo(CODESET), "UTF-8") == 0 ? blocks : letters;
}

static uint64_t bytes_of(const struct tarn_area *a)
{
	return (uint64_t)a->pages * TARN_PAGE;
}

/* 0: empty; 1 to 4: by quarters of what is held */
static unsigned shade(const struct tarn_area *a)
{
	if (a->free_pages == a->pages)
		return 0;
	return 1 + (unsigned)(a->live_bytes * 4 / (bytes_of(a) + 1));
}

static void print_map(const struct tarn_area *areas, int n)
{
	const char *const *shade_of = shades();

	for (int i = 0; i < n; i++) {
		if (i % (int)CELLS_A_LINE == 0)
			printf("%6d MiB  ", i * 2);
		fputs(shade_of[shade(&areas[i])], stdout);
		if (i % (int)CELLS_A_LINE == (int)CELLS_A_LINE - 1 ||
		    i == n - 1)
			putchar('\n');
	}
}

static void print_summary(const struct tarn_area *areas, int n)
{
	uint64_t live = 0, movable = 0, claimed = 0;
	const char *const *shade_of = shades();
	char text[3][16];
	int empty = 0;

	for (int i = 0; i < n; i++) {
		live += areas[i].live_bytes;
		movable += areas[i].movable_bytes;
		claimed += bytes_of(&areas[i]) -
			   (uint64_t)areas[i].free_pages * TARN_PAGE;
		empty += areas[i].free_pages == areas[i].pages;
	}
	printf("%s held (%s of it can be moved) in %s of pages; %d of %d areas "
	       "are empty\n", bytes_text(live, text[0]),
	       bytes_text(movable, text[1]), bytes_text(claimed, text[2]),
	       empty, n);
	printf("a cell is 2 MiB: %s empty, %s %s %s %s held by quarters\n",
	       shade_of[0], shade_of[1], shade_of[2], shade_of[3],
	       shade_of[4]);
}

/* The same as a picture, by gnuplot. */
static int draw(const struct request *q, const struct tarn_area *areas, int n)
{
	FILE *f = popen("gnuplot", "w");
	int rows = (n + (int)CELLS_A_LINE - 1) / (int)CELLS_A_LINE;

	if (!f)
		return failed(-errno, "cannot run gnuplot");
	fprintf(f, "set terminal png size 900,%d\nset output '%s'\n"
		"set title 'pool %s' noenhanced\nset cbrange [0:1]\n"
		"set cblabel 'held'\nset xlabel 'area of 2 MiB'\n"
		"set ylabel 'MiB'\nset yrange [%d:-0.5] noextend\n"
		"set palette defined (0 'white', 0.01 'light-blue', 1 'navy')\n"
		"plot '-' using 1:2:3 with image notitle\n",
		200 + rows * 12, q->png, q->name, rows);
	for (int i = 0; i < rows * (int)CELLS_A_LINE; i++)
		fprintf(f, "%d %d %f\n", i % (int)CELLS_A_LINE,
			i / (int)CELLS_A_LINE, i < n ?
			(double)areas[i].live_bytes /
			(double)bytes_of(&areas[i]) : 0.0);
	fprintf(f, "e\n");
	if (pclose(f) != 0)
		return failed(0, "gnuplot could not draw it; is it installed?");
	return DID;
}

static int look(struct request *q, struct tarn_area **ret)
{
	struct tarn_pool *pool;
	int r = tarn_pool_open(q->tarn, q->name, TARN_OBSERVER, &pool);

	if (r < 0)
		return r;
	r = tarn_areas(pool, ret);
	tarn_pool_close(pool);
	return r;
}

int run_map(struct request *q)
{
	struct tarn_area *areas;
	int n = look(q, &areas), status = DID;

	if (n < 0)
		return failed_pool(q, n, "map");
	if (q->png) {
		status = draw(q, areas, n);
	} else {
		print_map(areas, n);
		print_summary(areas, n);
	}
	free(areas);
	return status;
}

static void print_progress(void *arg, const struct tarn_compaction *c)
{
	unsigned cells = c->of ? c->done * BAR_CELLS / c->of : 0;
	char moved[16], now[16];

	(void)arg;
	fprintf(stderr, "\rpass %u [", c->passes + 1);
	for (unsigned i = 0; i < BAR_CELLS; i++)
		fputc(i < cells ? '#' : ' ', stderr);
	fprintf(stderr, "] %s moved, %s in memory  ",
		bytes_text(c->moved_bytes, moved), bytes_text(c->after, now));
}

static void print_result(const struct request *q,
			 const struct tarn_compaction *c)
{
	char before[16], after[16], moved[16];

	printf("pool %s: %s of memory, %s before; %" PRIu64 " objects (%s) "
	       "moved", q->name, bytes_text(c->after, after),
	       bytes_text(c->before, before), c->moved_objects,
	       bytes_text(c->moved_bytes, moved));
	if (c->pinned)
		printf(", %" PRIu64 " pinned", c->pinned);
	if (c->undone)
		printf(", %" PRIu64 " in use", c->undone);
	putchar('\n');
	if (c->error == -ENOSYS)
		puts("nothing was moved: there is no membarrier here");
	if (c->error == -EBUSY)
		puts("not all was moved: a client stays in a section");
}

static void print_one_map(struct request *q, const char *title)
{
	struct tarn_area *areas;
	int n = look(q, &areas);

	if (n < 0)
		return;
	puts(title);
	print_map(areas, n);
	free(areas);
}

int run_compact(struct request *q)
{
	struct tarn_compaction c = { .sz = sizeof(c) };
	bool terminal = isatty(STDERR_FILENO), picture = isatty(STDOUT_FILENO);
	int r;

	if (q->opts.compact_percent == TARN_COMPACT_NEVER) {
		failed(0, "compact: --percent is 1 to 100");
		return MISUSED;
	}
	if (picture)
		print_one_map(q, "before:");
	r = tarn_compact(q->tarn, q->name, q->percent ? q->percent : 100,
			 terminal ? print_progress : NULL, NULL, &c);
	if (terminal)
		fputc('\n', stderr);
	if (r < 0)
		return failed_pool(q, r, "compact");
	if (picture)
		print_one_map(q, "after:");
	print_result(q, &c);
	return DID;
}
