/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * One line an event: to the journal with fields when stderr is the journal,
 * else to stderr. Threads: any; a line is one write.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <syslog.h>

/* What a line is about; fields of the journal, words of a line on stderr. */
struct log_about {
	const char *pool;  /* TARN_POOL, or NULL */
	bool has_peer;     /* the next three are set */
	pid_t pid;         /* TARN_PEER_PID */
	uid_t uid;         /* TARN_PEER_UID */
	uint32_t client;   /* TARN_CLIENT; 0: not attached */
};

/* @verbose: LOG_DEBUG lines too. */
void log_init(bool verbose);

/**
 * log_line() - say it
 * @level: LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO or LOG_DEBUG
 * @about: may be NULL
 */
void log_line(int level, const struct log_about *about, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(...) log_line(LOG_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, NULL, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, NULL, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, NULL, __VA_ARGS__)

/**
 * log_peer() - a line that a client can cause at will
 *
 * At most LOG_PEER_PER_SECOND of them a second of each uid (@about says which;
 * uids that are 61 apart share); then one line tells how many were left out.
 * Main thread only.
 */
void log_peer(const struct log_about *about, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
#define LOG_PEER_PER_SECOND 50 /* picked, not tuned */
