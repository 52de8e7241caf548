/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* The command line. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tarn/tarn.h>

#define OPTIONS_POOLS_MAX 64
#define OPTIONS_ARGUMENTS_MAX 32
#define OPTIONS_RESTARTS 5    /* failing starts in a row; picked */

struct options_pool {
	char name[TARN_NAME_MAX + 1];
	struct tarn_pool_opts opts;
};

struct options {
	char *tarnd;            /* NULL: look for it */
	bool verbose;
	char *dir;              /* NULL: make one */
	unsigned restarts;      /* 0: none */
	uint64_t watchdog_usec; /* 0: none */
	size_t store_max;
	char *arguments[OPTIONS_ARGUMENTS_MAX]; /* for tarnd */
	size_t n_arguments;
	struct options_pool pools[OPTIONS_POOLS_MAX];
	size_t n_pools;
	char **command;
};

enum { OPTIONS_DONE = 1 };

/** options_parse() - Return: 0; OPTIONS_DONE: --help or --version was
 *  answered; -EINVAL: a mistake, told. */
int options_parse(struct options *o, int argc, char *argv[]);
