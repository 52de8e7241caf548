/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* What the commands have in common. */
#include <stdbool.h>
#include <stdint.h>

#include <tarn/admin.h>
#include <tarn/tarn.h>

/* Exit statuses; those of audit are BROKEN and TROUBLE. */
enum { DID = 0, FAILED = 1, MISUSED = 2, BROKEN = 1, TROUBLE = 2 };

struct request {
	const char *socket;     /* --socket, or NULL */
	const char *name;       /* of a pool, or NULL */
	bool json;
	bool quiescent;         /* of audit */
	bool revoke;            /* of destroy */
	const char *png;        /* of map: a file, or NULL */
	uint32_t percent;       /* of a processor; 0: not given */
	struct tarn_pool_opts opts; /* of create */
	struct tarn *tarn;
};

/* Each returns an exit status, and has told what went wrong. */
int run_list(struct request *q);
int run_create(struct request *q);
int run_destroy(struct request *q);
int run_stat(struct request *q);
int run_trim(struct request *q);
int run_audit(struct request *q);
int run_compact(struct request *q);
int run_map(struct request *q);

/** failed() - "tarnctl: ...: why"; Return: FAILED */
int failed(int r, const char *fmt, ...)
	__attribute__((__format__(printf, 2, 3)));

/** failed_pool() - the same for what @doing to the pool gave; Return: FAILED */
int failed_pool(const struct request *q, int r, const char *doing);

/* A user's or group's name, or its number; buf of 64 bytes. */
const char *user_text(uint32_t uid, char buf[64]);
const char *group_text(uint32_t gid, char buf[64]);
