/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/tarn-run/options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tarn-run/store.h"
#include "tools/words.h"

static const char help[] =
	"Usage: tarn-run [OPTION]... COMMAND [ARGUMENT]...\n"
	"Run a command with a private tarnd, which ends with it.\n"
	"\n"
	"  --pool NAME=SIZE[,KIND][,POLICY]\n"
	"                  make this pool first; may be given for each.\n"
	"                  SIZE as in 64M, KIND slab or buddy, POLICY first,\n"
	"                  best or worst\n"
	"  --tarnd PATH    the daemon to start\n"
	"  --argument ARG  give tarnd this argument too; may be repeated\n"
	"  --dir DIR       have the socket there, DIR/tarn.sock, and what is\n"
	"                  to be known of tarnd, DIR/pid and DIR/status\n"
	"  --restarts N    start tarnd again N times (5) at most while it\n"
	"                  does not get ready; or \"unlimited\"\n"
	"  --no-restart    do not start it again at all\n"
	"  --watchdog SECONDS\n"
	"                  kill it when it stands still for so long\n"
	"  --store N       keep so many descriptors for it (16384)\n"
	"  --verbose       let tarnd tell what it does\n"
	"  --version       print the version and exit\n"
	"  --help          print this and exit\n"
	"\n"
	"The command finds the socket in TARN_SOCKET. The exit status is its\n"
	"own; 128 plus the signal that killed it; 127 if it was not found,\n"
	"126 if it cannot be executed; 125 if tarn-run itself failed.\n";

static int wrong_pool(const char *arg, const char *why)
{
	fprintf(stderr, "tarn-run: --pool %s: %s\n", arg, why);
	return -EINVAL;
}

/* NAME=SIZE[,KIND][,POLICY]; what a pool may be, tarnd says. */
static int parse_pool(struct options *o, const char *arg)
{
	struct options_pool *p = &o->pools[o->n_pools];
	size_t n = strcspn(arg, "=");
	const char *s = arg + n + 1;

	if (o->n_pools == OPTIONS_POOLS_MAX)
		return wrong_pool(arg, "too many pools");
	if (!arg[n])
		return wrong_pool(arg, "NAME=SIZE is wanted");
	if (n == 0 || n > TARN_NAME_MAX)
		return wrong_pool(arg, "a name has 1 to 39 bytes");
	memcpy(p->name, arg, n);
	p->opts = *TARN_POOL_OPTS(.bytes = 0);
	if (!words_bytes(s, &p->opts.bytes, &s) || (*s && *s != ','))
		return wrong_pool(arg, "no such size; one is 64M or 1G");
	while (*s == ',') {
		unsigned kind, policy;

		n = strcspn(++s, ",");
		kind = WORD_FIND(kind_words, s, n);
		policy = WORD_FIND(policy_words, s, n);
		if (kind)
			p->opts.kind = kind;
		else if (policy)
			p->opts.policy = policy;
		else
			return wrong_pool(arg, "after the size: slab or buddy; "
					  "first, best or worst");
		s += n;
	}
	o->n_pools++;
	return 0;
}

static int wrong(const char *option, const char *arg)
{
	fprintf(stderr, "tarn-run: --%s %s: no such number\n", option, arg);
	return -EINVAL;
}

static bool number(const char *arg, unsigned long max, unsigned long *ret)
{
	char *end;

	if (*arg < '0' || *arg > '9')
		return false;
	errno = 0;
	*ret = strtoul(arg, &end, 10);
	return !errno && !*end && *ret <= max;
}

static int set_restarts(struct options *o, const char *arg)
{
	unsigned long n;

	if (!strcmp(arg, "unlimited"))
		n = UINT_MAX;
	else if (!number(arg, UINT_MAX, &n))
		return wrong("restarts", arg);
	o->restarts = (unsigned)n;
	return 0;
}

static int set_store(struct options *o, const char *arg)
{
	unsigned long n;

	if (!number(arg, STORE_MAX, &n))
		return wrong("store", arg);
	o->store_max = n;
	return 0;
}

static int set_watchdog(struct options *o, const char *arg)
{
	char *end;
	double seconds = strtod(arg, &end);

	if (*end || end == arg || !(seconds >= 0.001 && seconds <= 1e6))
		return wrong("watchdog", arg);
	o->watchdog_usec = (uint64_t)(seconds * 1e6);
	return 0;
}

static int add_argument(struct options *o, char *arg)
{
	if (o->n_arguments == OPTIONS_ARGUMENTS_MAX) {
		fputs("tarn-run: too many arguments for tarnd\n", stderr);
		return -EINVAL;
	}
	o->arguments[o->n_arguments++] = arg;
	return 0;
}

static int option(struct options *o, int opt)
{
	switch (opt) {
	case 'p':
		return parse_pool(o, optarg);
	case 't':
		o->tarnd = optarg;
		return 0;
	case 'a':
		return add_argument(o, optarg);
	case 'd':
		o->dir = optarg;
		return 0;
	case 'r':
		return set_restarts(o, optarg);
	case 'n':
		o->restarts = 0;
		return 0;
	case 'w':
		return set_watchdog(o, optarg);
	case 's':
		return set_store(o, optarg);
	case 'v':
		o->verbose = true;
		return 0;
	case 'V':
		puts("tarn-run " TARN_VERSION);
		return OPTIONS_DONE;
	case 'h':
		fputs(help, stdout);
		return OPTIONS_DONE;
	default:
		return -EINVAL;
	}
}

int options_parse(struct options *o, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "pool", required_argument, NULL, 'p' },
		{ "tarnd", required_argument, NULL, 't' },
		{ "argument", required_argument, NULL, 'a' },
		{ "dir", required_argument, NULL, 'd' },
		{ "restarts", required_argument, NULL, 'r' },
		{ "no-restart", no_argument, NULL, 'n' },
		{ "watchdog", required_argument, NULL, 'w' },
		{ "store", required_argument, NULL, 's' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int opt, r;

	o->restarts = OPTIONS_RESTARTS;
	o->store_max = STORE_MAX;
	/* "+": what follows the command is the command's */
	while ((opt = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		r = option(o, opt);
		if (r)
			return r;
	}
	if (optind == argc) {
		fputs("tarn-run: which command? See tarn-run --help\n", stderr);
		return -EINVAL;
	}
	o->command = argv + optind;
	return 0;
}
