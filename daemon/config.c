/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/config.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "daemon/log.h"
#include "daemon/settings.h"

#ifndef TN_VERSION
#define TN_VERSION "unknown" /* the Makefile reads it from version.h */
#endif

/* What one user may have unless tarnd.conf or --limit says otherwise. Picked
 * so that all of one kind at once, and no other, is what a user can have: its
 * descriptors are six a connection, two of which stay while anything of its
 * process is attached, one an attachment and three a pool. */
static const uint64_t default_limits[QUOTA_N] = {
	[QUOTA_BYTES] = 64ULL << 30,
	[QUOTA_POOLS] = 256,
	[QUOTA_CONNECTIONS] = 1024,
	[QUOTA_ATTACHMENTS] = 4096,
	[QUOTA_DESCRIPTORS] = 16384,
	[QUOTA_RESERVED] = 1ULL << 30,
};

static const char help[] =
	"Usage: tarnd [OPTION]...\n"
	"Hand out pools of shared memory over a socket.\n"
	"\n"
	"  --socket PATH       listen there\n"
	"  --pools DIR         make the pools that DIR/*.pool describe\n"
	"  --config FILE       limits and compaction; see tarnd(8)\n"
	"  --limit NAME=VALUE  bytes, reserved, pools, connections,\n"
	"                      attachments or descriptors of each user; may\n"
	"                      be given for each\n"
	"  --user              serve this user, below $XDG_RUNTIME_DIR\n"
	"  --verbose           tell more\n"
	"  --version           print the version and exit\n"
	"  --help              print this and exit\n";

/* Print into a field that must hold all of it. */
__attribute__((format(printf, 4, 5)))
static int fit(char *to, size_t bytes, const char *what, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(to, bytes, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < bytes)
		return 0;
	log_error("%s: too long", what);
	return -ENAMETOOLONG;
}

static const char *set_limit(struct config *config, enum quota_kind kind,
			     const char *value)
{
	uint64_t limit;
	const char *wrong = kind == QUOTA_BYTES || kind == QUOTA_RESERVED ?
		settings_bytes(value, &limit) : settings_number(value, &limit);

	if (wrong || config->limit_given[kind])
		return wrong; /* what was given first, counts */
	config->limits.own[kind] = config->limits.others[kind] = limit;
	config->limit_given[kind] = true;
	return NULL;
}

#define FILE_LIMIT(name, kind) \
	static const char *set_##name(void *into, const char *value) \
	{ return set_limit(into, kind, value); }
FILE_LIMIT(bytes, QUOTA_BYTES)
FILE_LIMIT(pools, QUOTA_POOLS)
FILE_LIMIT(connections, QUOTA_CONNECTIONS)
FILE_LIMIT(attachments, QUOTA_ATTACHMENTS)
FILE_LIMIT(descriptors, QUOTA_DESCRIPTORS)
FILE_LIMIT(reserved, QUOTA_RESERVED)

#define FILE_RULE(name) \
	static const char *set_compact_##name(void *into, const char *value) \
	{ \
		struct config *config = into; \
		return compact_rule_##name(&config->compact, value); \
	}
FILE_RULE(percent)
FILE_RULE(start)
FILE_RULE(stop)

static const struct setting file_table[] = {
	{ "limits", "bytes", set_bytes },
	{ "limits", "pools", set_pools },
	{ "limits", "connections", set_connections },
	{ "limits", "attachments", set_attachments },
	{ "limits", "descriptors", set_descriptors },
	{ "limits", "reserved", set_reserved },
	{ "compaction", "percent", set_compact_percent },
	{ "compaction", "start", set_compact_start },
	{ "compaction", "stop", set_compact_stop },
};

/* --limit NAME=VALUE */
static int limit_option(struct config *config, const char *arg)
{
	const char *equals = strchr(arg, '='), *wrong = "no such limit";

	for (int k = 0; equals && k < QUOTA_N; k++) {
		size_t n = strlen(quota_names[k]);

		if (n == (size_t)(equals - arg) &&
		    !memcmp(arg, quota_names[k], n))
			wrong = set_limit(config, k, equals + 1);
	}
	if (!wrong)
		return 0;
	log_error("--limit %s: %s", arg, equals ? wrong :
		  "NAME=VALUE is wanted");
	return -EINVAL;
}

static int option(struct config *config, int opt)
{
	switch (opt) {
	case 's':
		return fit(config->socket, sizeof(config->socket), "--socket",
			   "%s", optarg);
	case 'p':
		config->pools_given = true;
		return fit(config->pools, sizeof(config->pools), "--pools",
			   "%s", optarg);
	case 'c':
		config->file_given = true;
		return fit(config->file, sizeof(config->file), "--config",
			   "%s", optarg);
	case 'l':
		return limit_option(config, optarg);
	case 'u':
		config->user = true;
		return 0;
	case 'v':
		config->verbose = true;
		return 0;
	case 'V':
		puts("tarnd " TN_VERSION);
		return CONFIG_DONE;
	case 'h':
		fputs(help, stdout);
		return CONFIG_DONE;
	default:
		return -EINVAL; /* getopt has said what is wrong */
	}
}

static int parse_arguments(struct config *config, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "pools", required_argument, NULL, 'p' },
		{ "config", required_argument, NULL, 'c' },
		{ "limit", required_argument, NULL, 'l' },
		{ "user", no_argument, NULL, 'u' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int opt, r;

	optind = 0; /* from the start: SIGHUP reads it all again */
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		r = option(config, opt);
		if (r)
			return r;
	}
	if (optind == argc)
		return 0;
	log_error("unexpected argument: %s", argv[optind]);
	return -EINVAL;
}

static int default_user_paths(struct config *config)
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	const char *conf = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	const char *sub = conf && *conf ? "" : "/.config";
	int r = 0;

	if (!*sub)
		home = conf;
	if (!config->socket[0]) {
		if (!run || !*run) {
			log_error("--user wants XDG_RUNTIME_DIR, or --socket");
			return -EINVAL;
		}
		r = fit(config->socket, sizeof(config->socket),
			"XDG_RUNTIME_DIR", "%s/tarn/tarn.sock", run);
	}
	if (!home)
		home = "/nonexistent";
	if (!r && !config->pools[0])
		r = fit(config->pools, sizeof(config->pools), "HOME",
			"%s%s/tarn/pools.d", home, sub);
	if (!r && !config->file[0])
		r = fit(config->file, sizeof(config->file), "HOME",
			"%s%s/tarn/tarnd.conf", home, sub);
	return r;
}

static int default_paths(struct config *config)
{
	if (config->user)
		return default_user_paths(config);
	if (!config->socket[0])
		strcpy(config->socket, "/run/tarn/tarn.sock");
	if (!config->pools[0])
		strcpy(config->pools, "/etc/tarn/pools.d");
	if (!config->file[0])
		strcpy(config->file, "/etc/tarn/tarnd.conf");
	return 0;
}

static int read_file(struct config *config)
{
	int r = settings_read(config->file, file_table,
			      TN_ARRAY_LEN(file_table), config);
	const char *wrong = r == 0 ? compact_rule_check(&config->compact)
				   : NULL;

	if (wrong) {
		log_error("%s: [compaction] %s", config->file, wrong);
		return -EINVAL;
	}
	if (r == -ENOENT && !config->file_given)
		return 0;
	if (r == -ENOENT)
		log_error("%s: %s", config->file, strerror(ENOENT));
	return r;
}

int config_init(struct config *config, int argc, char *argv[])
{
	int r;

	*config = (struct config){ .compact = COMPACT_RULE_DEFAULT };
	for (int k = 0; k < QUOTA_N; k++) {
		config->limits.own[k] = QUOTA_UNLIMITED;
		config->limits.others[k] = default_limits[k];
	}
	r = parse_arguments(config, argc, argv);
	if (!r)
		r = default_paths(config);
	if (!r)
		r = read_file(config);
	return r;
}
