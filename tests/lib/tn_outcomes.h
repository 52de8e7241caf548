/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Tags and outcomes, for tables of operations that pass an object on. */
#include "tests/lib/tn_ops.h"

#define OWN (TN_TAG_HELD | TN_DEAD)
#define OTHERS (TN_TAG_HELD | TN_LIVING)
#define OFFERED (TN_TAG_GIVEN | TN_DEAD)
#define FREE { true, 0, TN_WORD_ANY }
#define STAYS(tag) { true, tag, TN_WORD_ANY }
#define FREE_OR(tag) { FREE, STAYS(tag) }
#define IN_OR_FREE \
	{ { true, 0, TN_WORD_EMPTY }, { true, TN_TAG_POOL, TN_WORD_HOLDS_IT } }
