/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* When a pool is compacted without being asked, and how: the numbers. */
#include <stdint.h>

#include "proto/wire.h"

/* Of a pool that needs 100 bytes of memory and has 100 + n: */
struct compact_rule {
	uint8_t percent; /* of a processor's time; 0: not said; or _NEVER */
	uint8_t start;   /* begin if n is so much, 1 to 255; 0: not said */
	uint8_t stop;    /* stop when n is no more than that; 0: not said */
};
#define COMPACT_NEVER TN_COMPACT_NEVER
#define COMPACT_RULE_DEFAULT { .percent = 5, .start = 25, .stop = 5 }

/** compact_rule_check() - NULL, or what is wrong with it */
const char *compact_rule_check(const struct compact_rule *rule);

/** compact_rule_over() - what @rule says, and of what it does not say, what
 *  @common does, which says all; .stop below .start */
struct compact_rule compact_rule_over(const struct compact_rule *common,
				      const struct compact_rule *rule);

/* As in the wire and the ledger: .percent lowest. */
uint32_t compact_rule_pack(const struct compact_rule *rule);
struct compact_rule compact_rule_unpack(uint32_t packed);

/* For struct setting: [compaction] percent, start, stop. */
const char *compact_rule_percent(struct compact_rule *rule, const char *value);
const char *compact_rule_start(struct compact_rule *rule, const char *value);
const char *compact_rule_stop(struct compact_rule *rule, const char *value);
