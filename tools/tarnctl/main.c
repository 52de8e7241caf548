/* SPDX-License-Identifier: BSD-2-Clause */
/* tarnctl: look at tarnd's pools, make and remove them. */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tarnctl/tarnctl.h"
#include "tools/words.h"

static const char help[] =
	"Usage: tarnctl [--socket PATH] COMMAND\n"
	"\n"
	"  list [--json]          the pools that this user may open\n"
	"  stat NAME [--json]     what is in a pool, and who holds it\n"
	"  create NAME --bytes N  make a pool; N as in 64M or 1G\n"
	"      --kind KIND        slab (the default) or buddy\n"
	"      --policy POLICY    first (the default), best or worst fit\n"
	"      --mode MODE        who else may open it, in chmod's digits: 4\n"
	"                         observes, 2 consumes, 6 produces\n"
	"      --group GROUP      that the middle digit is for\n"
	"      --abort-on-misuse  a wrong free aborts the process\n"
	"      --reserve          have all its memory from the start\n"
	"      --percent N        of a processor for compacting it unasked;\n"
	"                         0: never; else as tarnd is configured\n"
	"  destroy NAME           remove a pool's name; who has it open keeps\n"
	"                         it\n"
	"      --revoke           take it from them, too\n"
	"  trim NAME              return a pool's free memory to the system\n"
	"  compact NAME           make it small while it is in use\n"
	"      --percent N        of a processor that this may take; 100\n"
	"  map NAME               draw where it is full\n"
	"      --png FILE         as a picture (by gnuplot)\n"
	"  audit NAME [--json]    does all hold that a pool promises?\n"
	"      --quiescent        nobody uses it: look closer\n"
	"\n"
	"  --socket PATH          of tarnd; else TARN_SOCKET, else the usual\n"
	"  --version, --help\n"
	"\n"
	"Exit status: 0; 1 if it could not be done, 2 if asked wrongly. Of\n"
	"audit: 0 if all holds; 1 if not; 2 if that could not be found out.\n";

static const struct option options[] = {
	{ "socket", required_argument, NULL, 's' },
	{ "json", no_argument, NULL, 'j' },
	{ "bytes", required_argument, NULL, 'b' },
	{ "kind", required_argument, NULL, 'k' },
	{ "policy", required_argument, NULL, 'p' },
	{ "mode", required_argument, NULL, 'm' },
	{ "group", required_argument, NULL, 'g' },
	{ "abort-on-misuse", no_argument, NULL, 'a' },
	{ "reserve", no_argument, NULL, 'r' },
	{ "revoke", no_argument, NULL, 'R' },
	{ "quiescent", no_argument, NULL, 'q' },
	{ "percent", required_argument, NULL, 'P' },
	{ "png", required_argument, NULL, 'f' },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const struct command {
	const char *word;
	int (*run)(struct request *q);
	bool named;
	const char *options; /* letters of those it knows */
	int failed;          /* exit status if there is no tarnd */
} commands[] = {
	{ "list", run_list, false, "j", FAILED },
	{ "stat", run_stat, true, "j", FAILED },
	{ "create", run_create, true, "bkpmgarP", FAILED },
	{ "destroy", run_destroy, true, "R", FAILED },
	{ "trim", run_trim, true, "", FAILED },
	{ "compact", run_compact, true, "P", FAILED },
	{ "map", run_map, true, "f", FAILED },
	{ "audit", run_audit, true, "jq", TROUBLE },
};

static int misused(const char *what, const char *of)
{
	fprintf(stderr, "tarnctl: %s %s\nSee tarnctl --help\n", what, of);
	return MISUSED;
}

static const struct command *find_command(const char *word)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].word, word))
			return &commands[i];
	return NULL;
}

static bool parse_number(const char *s, int base, uint32_t *ret)
{
	unsigned long n;
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	n = strtoul(s, &end, base);
	if (errno || *end || n >= UINT32_MAX)
		return false;
	*ret = (uint32_t)n;
	return true;
}

static bool parse_group(const char *s, uint32_t *ret)
{
	const struct group *gr = getgrnam(s);

	if (!gr)
		return parse_number(s, 10, ret);
	*ret = gr->gr_gid;
	return true;
}

/* 0, or MISUSED and told. */
static int option(struct request *q, int opt)
{
	switch (opt) {
	case 's':
		q->socket = optarg;
		return 0;
	case 'j':
		q->json = true;
		return 0;
	case 'b':
		if (words_bytes(optarg, &q->opts.bytes, NULL))
			return 0;
		return misused("no such size, one is 64M or 1G:", optarg);
	case 'k':
		q->opts.kind = WORD_FIND(kind_words, optarg, strlen(optarg));
		return q->opts.kind ? 0 : misused("no such kind:", optarg);
	case 'p':
		q->opts.policy = WORD_FIND(policy_words, optarg,
					   strlen(optarg));
		return q->opts.policy ? 0 : misused("no such policy:", optarg);
	case 'm':
		if (parse_number(optarg, 8, &q->opts.mode) &&
		    q->opts.mode <= 0777)
			return 0;
		return misused("no such mode:", optarg);
	case 'g':
		if (parse_group(optarg, &q->opts.gid))
			return 0;
		return misused("no such group:", optarg);
	case 'q':
		q->quiescent = true;
		return 0;
	case 'P':
		if (!parse_number(optarg, 10, &q->percent) || q->percent > 100)
			return misused("no such percentage:", optarg);
		q->opts.compact_percent = q->percent ? (uint16_t)q->percent
						     : TARN_COMPACT_NEVER;
		return 0;
	case 'f':
		q->png = optarg;
		return 0;
	case 'a':
		q->opts.flags |= TARN_POOL_ABORT_ON_MISUSE;
		return 0;
	case 'r':
		q->opts.flags |= TARN_POOL_RESERVE;
		return 0;
	case 'R':
		q->revoke = true;
		return 0;
	default:
		return MISUSED; /* getopt has told */
	}
}

static const char *unknown_here(char letter, char text[64])
{
	const struct option *o = options;

	while (o->val != letter)
		o++;
	snprintf(text, 64, "knows no --%s", o->name);
	return text;
}

/* The words that are no options, and whether the options go with them. */
static int check_command(struct request *q, int n, char *words[],
			 const char *given, const struct command **ret)
{
	const struct command *c = n ? find_command(words[0]) : NULL;
	char text[64];

	if (!n)
		return misused("a command", "is missing");
	if (!c)
		return misused("no such command:", words[0]);
	if (n < 1 + c->named)
		return misused("the name of a pool is missing after",
			       words[0]);
	if (n > 1 + c->named)
		return misused("too much:", words[1 + c->named]);
	for (; *given; given++)
		if (!strchr(c->options, *given))
			return misused(words[0], unknown_here(*given, text));
	if (c->named)
		q->name = words[1];
	*ret = c;
	return 0;
}

static int no_daemon(const struct request *q, int r)
{
	const char *where = q->socket ? q->socket : getenv("TARN_SOCKET");

	if (r == -ENOENT || r == -ECONNREFUSED)
		return failed(0, "there is no tarnd at %s (%s)",
			      where ? where : "the usual sockets",
			      strerror(-r));
	return failed(r, "cannot connect to tarnd at %s",
		      where ? where : "the usual socket");
}

static int connect_and_run(struct request *q, const struct command *c)
{
	int r = tarn_connect(q->socket, &q->tarn);

	if (r < 0) {
		no_daemon(q, r);
		return c->failed;
	}
	r = c->run(q);
	tarn_disconnect(q->tarn);
	if (fflush(stdout) || ferror(stdout)) {
		failed(-errno, "cannot write");
		return c->failed;
	}
	return r;
}

int main(int argc, char *argv[])
{
	struct request q = { .opts = *TARN_POOL_OPTS(.bytes = 0) };
	const struct command *command = NULL;
	char given[sizeof(options) / sizeof(options[0]) + 1] = "";
	int opt, r;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'V')
			return puts("tarnctl " TARN_VERSION) < 0;
		if (opt == 'h')
			return fputs(help, stdout) < 0;
		r = option(&q, opt);
		if (r)
			return r;
		if (opt != 's' && !strchr(given, opt))
			given[strlen(given)] = (char)opt;
	}
	r = check_command(&q, argc - optind, argv + optind, given, &command);
	return r ? r : connect_and_run(&q, command);
}
