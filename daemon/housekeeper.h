/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Has pools compacted without being asked. See housekeeper.c. */
#include <stdbool.h>
#include <stdint.h>

#include "daemon/reaper.h"
#include "pool/survey.h"

struct event;
struct pool;
struct server;

/* In a pool; all zero at first. */
struct upkeep {
	int64_t due_ms;   /* the next look; 0: soon */
	unsigned calm;    /* looks in succession without cause to do anything */
	unsigned vain;    /* runs in succession that left cause for another */
	unsigned unmet;   /* runs in succession that made no room wanted */
	int64_t deaf_ms;  /* until then what is wanted is not looked at */
	bool seen;        /* the last look saw cause */
	bool ran;         /* and that before it, and so a run began */
	bool asleep;      /* calm, and nobody has attached since */
	uint64_t holes;   /* bytes, as of that look */
};

struct housekeeper {
	struct server *server;
	struct event *timer;
	int64_t timer_ms;   /* when it is due; 0: it is not set */
	struct reaper_task task;
	struct tn_survey survey;
	struct pool *pool;  /* that is being looked at, with a reference */
	uint64_t wanted;    /* ... for a run of so many pages; 0: as ever */
	bool room;          /* ... for which there is a place */
	bool running;       /* a run of ours is under way, in some pool */
	size_t at;          /* in the registry */
	int64_t took_ns;    /* the last look */
};

int housekeeper_init(struct housekeeper *h, struct server *server);
void housekeeper_fini(struct housekeeper *h);

/** housekeeper_look_soon() - what holds for pools may have changed */
void housekeeper_look_soon(struct housekeeper *h);

/** housekeeper_wake() - somebody attaches to the pool */
void housekeeper_wake(struct pool *pool);

/** housekeeper_rule() - what holds for a pool now, as in the wire */
uint32_t housekeeper_rule(const struct server *server, const struct pool *pool);

/** housekeeper_ran() - the run that it had begun is over; one for room that
 *  was wanted: @unmet: there still is none */
void housekeeper_ran(struct server *server, struct pool *pool, bool wanted,
		     bool unmet);
