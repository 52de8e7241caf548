/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon/compactrule.h"

#include <string.h>

#include "daemon/settings.h"

const char *compact_rule_check(const struct compact_rule *rule)
{
	if (rule->percent > 100 && rule->percent != COMPACT_NEVER)
		return "percent: more than 100";
	if (rule->start && rule->stop >= rule->start)
		return "stop: not below start";
	return NULL;
}

struct compact_rule compact_rule_over(const struct compact_rule *common,
				      const struct compact_rule *rule)
{
	struct compact_rule r = {
		.percent = rule->percent ? rule->percent : common->percent,
		.start = rule->start ? rule->start : common->start,
		.stop = rule->stop ? rule->stop : common->stop,
	};

	/* each from elsewhere, so that they may not fit */
	if (r.stop >= r.start)
		r.stop = (uint8_t)(r.start - 1);
	return r;
}

uint32_t compact_rule_pack(const struct compact_rule *rule)
{
	return TN_COMPACT_RULE(rule->percent, rule->start, rule->stop);
}

struct compact_rule compact_rule_unpack(uint32_t packed)
{
	return (struct compact_rule){
		.percent = TN_COMPACT_PERCENT(packed),
		.start = TN_COMPACT_START(packed),
		.stop = TN_COMPACT_STOP(packed),
	};
}

static const char *number(const char *value, uint64_t max, uint8_t *ret)
{
	uint64_t n;
	const char *wrong = settings_number(value, &n);

	if (wrong)
		return wrong;
	if (!n || n > max)
		return max == 100 ? "1 to 100, or never, is wanted"
				  : "1 to 255 is wanted";
	*ret = (uint8_t)n;
	return NULL;
}

const char *compact_rule_percent(struct compact_rule *rule, const char *value)
{
	if (strcmp(value, "never"))
		return number(value, 100, &rule->percent);
	rule->percent = COMPACT_NEVER;
	return NULL;
}

const char *compact_rule_start(struct compact_rule *rule, const char *value)
{
	return number(value, 255, &rule->start);
}

const char *compact_rule_stop(struct compact_rule *rule, const char *value)
{
	return number(value, 255, &rule->stop);
}
