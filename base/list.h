/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * An intrusive ring: a head and its members are links of the same type. A
 * link that is in no list points to itself, so taking it out twice is fine.
 */
#include <stdbool.h>
#include <stddef.h>

struct tn_list {
	struct tn_list *next, *prev;
};
#define TN_LIST_INIT(l) { &(l), &(l) }

/* The struct that has @link as its @member. */
#define tn_list_entry(link, type, member) \
	((type *)(void *)((char *)(link) - offsetof(type, member)))

/* @pos may be taken out inside the loop, but not the one after it. */
#define tn_list_for_each(pos, list) \
	for (struct tn_list *pos = (list)->next, *next_ = pos->next; \
	     pos != (list); pos = next_, next_ = pos->next)

static inline void tn_list_init(struct tn_list *l) { l->next = l->prev = l; }
static inline bool tn_list_empty(const struct tn_list *l)
{ return l->next == l; }

static inline void tn_list_append(struct tn_list *list, struct tn_list *link)
{
	link->prev = list->prev;
	link->next = list;
	list->prev->next = link;
	list->prev = link;
}

static inline void tn_list_remove(struct tn_list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	tn_list_init(link);
}
