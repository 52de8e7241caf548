/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
#include <stdbool.h>

/* What libtarn-malloc.so tells its process's user: one line on standard error,
 * without a call that allocates. */

/* "tarn-malloc: @what: @why\n"; @why may be NULL. */
void tn_say(const char *what, const char *why);

/* A wrong free or the like: says so, and aborts unless asked not to. */
void tn_misuse(const char *call, const void *p, const char *why);

/* Reads what the environment asks for. Return: false: nonsense, and said so. */
bool tn_misuse_configure(const char *value);
