/* SPDX-License-Identifier: BSD-2-Clause */
/* Options; and which of the two kinds of process this one is. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/wordcount/wordcount.h"

static const char usage[] =
"usage: wordcount [OPTION]... FILE|DIRECTORY...\n"
"Count words in several processes that share one heap.\n"
"\n"
"  -w, --workers N     processes that count; 4\n"
"  -r, --repeat N      read every file N times; 1\n"
"  -k, --kill-after N  SIGKILL a worker each time N results have come\n"
"  -n, --kills N       do so N times; 1\n"
"  -m, --megabytes N   size of the pool; 64\n"
"  -p, --pool NAME     use this pool, make it if need be, and leave it there\n"
"  -d, --dump FILE     write all counts, by word, to FILE; - is stdout\n"
"\n"
"Of a directory, the files that look like text are read. A word is a run of\n"
"ASCII letters, in lower case. tarnd is found by $TARN_SOCKET; exit status 1\n"
"if something failed or the pool did not get all its memory back.\n";

static const struct option options[] = {
	{ "workers", required_argument, NULL, 'w' },
	{ "repeat", required_argument, NULL, 'r' },
	{ "kill-after", required_argument, NULL, 'k' },
	{ "kills", required_argument, NULL, 'n' },
	{ "megabytes", required_argument, NULL, 'm' },
	{ "pool", required_argument, NULL, 'p' },
	{ "dump", required_argument, NULL, 'd' },
	{ "help", no_argument, NULL, 'h' },
	{ "worker", required_argument, NULL, 'W' }, /* we, by exec */
	{ NULL, 0, NULL, 0 },
};

void wc_die(const char *what, int err)
{
	if (err < 0)
		fprintf(stderr, "wordcount: %s: %s\n", what, strerror(-err));
	else
		fprintf(stderr, "wordcount: %s\n", what);
	exit(1);
}

static unsigned number(const char *arg, unsigned max)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(arg, &end, 10);
	if (errno || end == arg || *end || v > max || *arg == '-')
		wc_die("a number is too large or none; see --help", 0);
	return (unsigned)v;
}

static void take_option(struct wc_opts *o, int c, int *ret_worker_fd)
{
	switch (c) {
	case 'w':
		o->n_workers = number(optarg, 256);
		break;
	case 'r':
		o->n_repeat = number(optarg, 1000000);
		break;
	case 'k':
		o->kill_after = number(optarg, 1000000);
		break;
	case 'n':
		o->n_kills = number(optarg, 100);
		break;
	case 'm':
		o->pool_bytes = (uint64_t)number(optarg, 1 << 20) << 20;
		break;
	case 'p':
		o->pool = optarg;
		break;
	case 'd':
		o->dump = optarg;
		break;
	case 'W':
		*ret_worker_fd = (int)number(optarg, 1 << 20);
		break;
	case 'h':
		fputs(usage, stdout);
		exit(0);
	default:
		fputs(usage, stderr);
		exit(2);
	}
}

static void parse(int argc, char **argv, struct wc_opts *o, int *ret_worker_fd)
{
	int c;

	while ((c = getopt_long(argc, argv, "w:r:k:n:m:p:d:h", options,
				NULL)) != -1)
		take_option(o, c, ret_worker_fd);
	if (o->n_workers == 0)
		wc_die("at least one worker", 0);
}

int main(int argc, char **argv)
{
	struct wc_opts opts = {
		.n_workers = 4,
		.n_repeat = 1,
		.n_kills = 1,
		.pool_bytes = 64 << 20,
	};
	struct text text;
	int worker_fd = -1, r;

	parse(argc, argv, &opts, &worker_fd);
	if (worker_fd >= 0)
		return work(worker_fd, opts.pool);
	if (optind == argc) {
		fputs(usage, stderr);
		return 2;
	}
	text_init(&text, opts.n_repeat);
	for (int i = optind; i < argc; i++)
		text_add(&text, argv[i]);
	r = dispatch(&opts, &text);
	text_fini(&text);
	return r;
}
