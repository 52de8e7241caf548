/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/process.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

#include "proto/layout.h"

/* Once it is there, for good. All of it is zero for whoever sees it, so there
 * is nothing to order. */
static struct tn_process *_Atomic page;

static struct tn_process *the_page(void)
{ return atomic_load_explicit(&page, memory_order_relaxed); }

/* Of two threads that come at once, one makes it. What failed is tried again
 * by the next call: memory may be short for a moment. */
static void make(void)
{
	struct tn_process *none = NULL;
	void *p = mmap(NULL, TN_PAGE_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return;
	if (madvise(p, TN_PAGE_BYTES, MADV_WIPEONFORK) < 0 ||
	    !atomic_compare_exchange_strong(&page, &none, p))
		munmap(p, TN_PAGE_BYTES);
}

struct tn_process *tn_process(void)
{
	if (!the_page())
		make();
	return the_page();
}

uint64_t tn_process_number(void)
{
	static _Atomic uint64_t last; /* survives the fork, so it goes on */
	struct tn_process *p = the_page();
	uint64_t number = atomic_load_explicit(&p->number,
					       memory_order_relaxed);
	uint64_t none = 0;

	if (number)
		return number;
	number = atomic_fetch_add(&last, 1) + 1;
	/* of two threads that come at once, one gives the number */
	if (!atomic_compare_exchange_strong(&p->number, &none, number))
		number = none;
	return number;
}

void tn_process_lock(void) { pthread_mutex_lock(&the_page()->lock); }
void tn_process_unlock(void) { pthread_mutex_unlock(&the_page()->lock); }
