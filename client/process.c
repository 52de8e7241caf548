/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/process.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

#include "proto/layout.h"

static struct tn_process *page;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make(void)
{
	void *p = mmap(NULL, TN_PAGE_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return;
	if (madvise(p, TN_PAGE_BYTES, MADV_WIPEONFORK) == 0)
		page = p;
	else
		munmap(p, TN_PAGE_BYTES);
}

struct tn_process *tn_process(void)
{
	pthread_once(&once, make);
	return page;
}

uint64_t tn_process_number(void)
{
	static _Atomic uint64_t last; /* survives the fork, so it goes on */
	uint64_t number = atomic_load_explicit(&page->number,
					       memory_order_relaxed);
	uint64_t none = 0;

	if (number)
		return number;
	number = atomic_fetch_add(&last, 1) + 1;
	/* of two threads that come at once, one gives the number */
	if (!atomic_compare_exchange_strong(&page->number, &none, number))
		number = none;
	return number;
}

void tn_process_lock(void) { pthread_mutex_lock(&page->lock); }
void tn_process_unlock(void) { pthread_mutex_unlock(&page->lock); }
