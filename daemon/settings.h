/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * INI files, by a table of what may stand in them. A mistake is logged with
 * file, line and key, and ends the reading.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct setting {
	const char *section, *key;
	/* Store @value; return NULL, or what is wrong with it. */
	const char *(*set)(void *into, const char *value);
};

/**
 * settings_read() - read a file
 * @table, @n: what may stand in it, each at most once; @n up to 64
 *
 * Return: 0; -ENOENT (not logged); -EINVAL, or what open gave (logged).
 */
int settings_read(const char *path, const struct setting *table, size_t n,
		  void *into);

/* Values. Each returns NULL, or what is wrong. */

/* digits, then K, M, G or T (powers of 1024), or nothing; "unlimited" */
const char *settings_bytes(const char *value, uint64_t *ret);
const char *settings_number(const char *value, uint64_t *ret);
const char *settings_mode(const char *value, uint32_t *ret); /* octal */
const char *settings_user(const char *value, uid_t *ret);    /* or number */
const char *settings_group(const char *value, gid_t *ret);

/* One of @words; *ret is its index. */
const char *settings_choice(const char *value, const char *const words[],
			    size_t n, uint32_t *ret);
