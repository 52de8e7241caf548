/* SPDX-License-Identifier: BSD-2-Clause */
/* What the mover asks of tarnd: the barrier, and who is attached. */
#include "daemon/mover.h"

#include <sys/mman.h>
#include <unistd.h>

#include "daemon/attachment.h"
#include "daemon/pool.h"

#define PAUSE_US 50 /* a section may last some of these */

static int fence(void *arg)
{
	(void)arg;
	return reaper_fence_clients();
}

static void clients(void *arg, struct tn_mover *m)
{
	struct pool *pool = arg;

	compactor_lock(&pool->compactor);
	tn_list_for_each(link, &pool->attachments) {
		struct attachment *a = tn_list_entry(link, struct attachment,
						     of_pool);

		tn_move_look(m, a->control.map);
	}
	compactor_unlock(&pool->compactor);
}

static void pause_(void *arg)
{
	(void)arg;
	usleep(PAUSE_US);
}

/* A fault for each page of what is copied takes longer than the copy. */
static void reach(void *arg, uint64_t off, uint64_t bytes, bool write)
{
	const struct pool *pool = arg;
	uint8_t *data = pool->data.map;

	madvise(data + off, bytes,
		write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

void mover_init(struct tn_mover *mover, struct pool *pool)
{
	tn_mover_init(mover, &pool->view, pool->queue.self);
	mover->fence = fence;
	mover->clients = clients;
	mover->pause = pause_;
	mover->reach = reach;
	mover->arg = pool;
}
