/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* The command line and tarnd.conf. */
#include <limits.h>
#include <stdbool.h>

#include "daemon/compactrule.h"
#include "daemon/quota.h"

struct config {
	char socket[108];       /* as long as the address has room for */
	char pools[PATH_MAX];   /* directory of *.pool files */
	bool pools_given;       /* so it must exist */
	char file[PATH_MAX];
	bool file_given;
	bool user;
	bool verbose;
	bool limit_given[QUOTA_N];
	struct quota_limits limits;
	struct compact_rule compact; /* of pools that say nothing else */
};

enum { CONFIG_DONE = 1 };

/**
 * config_init() - from arguments, then from the file that they name
 *
 * Return: 0; CONFIG_DONE: --help or --version was answered; -EINVAL or the
 *         like: a mistake, logged.
 */
int config_init(struct config *config, int argc, char *argv[]);
