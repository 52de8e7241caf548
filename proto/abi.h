/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Guards under a byte table: a field that moves does not compile. */
#include <assert.h>
#include <stddef.h>

#define TN_SIZE(type, size) \
	static_assert(sizeof(struct type) == (size), \
		      "struct " #type ": its size is ABI")
#define TN_FIELD(type, off, size, field) \
	static_assert(offsetof(struct type, field) == (off) && \
		      sizeof(((struct type *)0)->field) == (size), \
		      "struct " #type "." #field ": its place is ABI")
