/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a client.
 *
 *	new ----> LIVE ----end()----> ENDING ----recovered----> gone, freed
 *
 *           slot's state    control file    slot, charge, pool's reference
 *   LIVE    ALIVE | id      open, mapped    taken
 *   ENDING  DEAD | id       open, mapped    taken
 *   gone    0               closed          given back
 *
 *   I1  the slot says ALIVE before the process can know its id, and DEAD
 *       before recovery looks at the first tag
 *   I2  the id stays taken until recovery is complete: while any tag may name
 *       it, nobody else has it
 *   I3  the truth is this struct and pool->slots. What stands in the slot is
 *       for the clients, and is written, never read
 *
 * Whoever gives an object to a client looks at its slot after it has noted
 * the gift, and recovery looks at the notes after the slot says DEAD: one of
 * the two sees the other. Hence the full fence in set_state().
 *
 * The control file stays open for those who audit the pool (CONTROLS).
 *
 * If the files contradict themselves, recovery stops, and the pool is
 * poisoned. From then on nobody allocates in it, so its clients just go.
 */
#include "daemon/attachment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "daemon/log.h"

static void set_state(struct attachment *a, uint64_t state)
{
	struct tn_client *slot = &a->pool->view.clients[
		TN_CLIENT_SLOT(a->client)];

	tn64_store_relaxed(&slot->state, state ? state | a->client : 0);
	tn_fence_full();
}

static void set_pid_uid(struct attachment *a, uint64_t pid_uid)
{
	tn64_store_relaxed(&a->pool->view.clients[
		TN_CLIENT_SLOT(a->client)].pid_uid, pid_uid);
}

static int charge(struct attachment *a, struct quota *quota, uid_t uid,
		  bool force)
{
	int r = quota_charge(quota, &a->charge, uid, QUOTA_ATTACHMENTS, 1,
			     force);

	if (r == 0) /* the control file */
		r = quota_charge(quota, &a->fd_charge, uid, QUOTA_DESCRIPTORS,
				 1, force);
	return r == QUOTA_EXCEEDED ? ATTACHMENT_NO_QUOTA : r;
}

static void control_name(const struct pool *pool, uint32_t client,
			 char ret[TN_NAME_BYTES + 32])
{
	snprintf(ret, TN_NAME_BYTES + 32, "tarn:%s:%u", pool->spec.name,
		 (unsigned)client);
}

static int make_control(struct attachment *a)
{
	char name[TN_NAME_BYTES + 32];

	control_name(a->pool, a->client, name);
	return pool_make_control(a->pool, name, a->client, &a->control);
}

/* All or nothing. */
int attachment_fds(const struct attachment *a, int ret_fds[3])
{
	tn_cleanup(tn_closep) int meta = -1, data = -1, control = -1;

	meta = backing_reopen(&a->pool->meta, a->role != TN_OBSERVER);
	if (meta < 0)
		return meta;
	data = backing_reopen(&a->pool->data, a->role == TN_PRODUCER);
	if (data < 0)
		return data;
	control = backing_reopen(&a->control, true);
	if (control < 0)
		return control;
	ret_fds[0] = tn_steal_fd(meta);
	ret_fds[1] = tn_steal_fd(data);
	ret_fds[2] = tn_steal_fd(control);
	return 0;
}

static void attachment_freep(struct attachment **a)
{
	attachment_free(*a);
}

static struct attachment *make_struct(struct pool *pool, uint32_t role)
{
	struct attachment *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	tn_list_init(&a->link);
	tn_list_init(&a->of_pool);
	a->control = (struct backing)BACKING_NONE;
	a->pool = pool_ref(pool);
	a->role = role;
	return a;
}

int attachment_new(struct attachment **ret, struct pool *pool,
		   const struct peer *peer, struct quota *quota, uint32_t role,
		   int ret_fds[3])
{
	tn_cleanup(attachment_freep) struct attachment *a = NULL;
	int r;

	a = make_struct(pool, role);
	if (!a)
		return -ENOMEM;
	r = charge(a, quota, peer->uid, false);
	if (r)
		return r;
	if (slots_take(&pool->slots, &a->client) == SLOTS_NONE_FREE)
		return ATTACHMENT_FULL;
	r = make_control(a);
	if (r == 0)
		r = attachment_fds(a, ret_fds);
	if (r < 0)
		return r;
	compactor_lock(&pool->compactor);
	tn_list_append(&pool->attachments, &a->of_pool);
	compactor_unlock(&pool->compactor);
	housekeeper_wake(pool);
	set_pid_uid(a, (uint64_t)(uint32_t)peer->pid << 32 | peer->uid);
	set_state(a, TN_CLIENT_ALIVE);
	*ret = tn_steal_ptr(a);
	return 0;
}

bool attachment_control_ok(const struct pool *pool, uint32_t client, int fd)
{
	char name[TN_NAME_BYTES + 32];

	control_name(pool, client, name);
	return backing_check(fd, name, pool->geo.control_bytes) == 0;
}

int attachment_restore(struct attachment **ret, struct pool *pool,
		       struct quota *quota, uid_t uid, uint32_t client,
		       uint32_t role, int control)
{
	tn_cleanup(attachment_freep) struct attachment *a = NULL;
	int r;

	a = make_struct(pool, role);
	if (!a)
		return -ENOMEM;
	a->control.fd = control;
	r = backing_map(&a->control, pool->geo.control_bytes,
			PROT_READ | PROT_WRITE);
	if (r == 0)
		r = charge(a, quota, uid, true);
	if (r < 0) {
		a->control.fd = -1;
		return r;
	}
	a->client = client;
	slots_reserve(&pool->slots, client);
	compactor_lock(&pool->compactor);
	tn_list_append(&pool->attachments, &a->of_pool);
	compactor_unlock(&pool->compactor);
	set_state(a, TN_CLIENT_ALIVE);
	*ret = tn_steal_ptr(a);
	return 0;
}

void attachment_free(struct attachment *a)
{
	if (!a)
		return;
	keeper_attachment_gone(a);
	tn_list_remove(&a->link);
	compactor_lock(&a->pool->compactor);
	tn_list_remove(&a->of_pool);
	compactor_unlock(&a->pool->compactor);
	if (a->client) {
		set_state(a, 0);
		set_pid_uid(a, 0);
		slots_give(&a->pool->slots, a->client);
	}
	backing_fini(&a->control);
	quota_refund(&a->charge);
	quota_refund(&a->fd_charge);
	pool_unref(a->pool);
	free(a);
}

/* What recovery could not believe: the fields that it went by. */
static void report_poison(const struct attachment *a,
			  const struct log_about *about)
{
	const struct tn_recover *r = &a->job.recover;

	log_line(LOG_ERR, about, "poisoned: its metadata contradicts itself: "
		 "%s %llu; found in recovery of client %u, phase %u at %llu",
		 r->what ? r->what : "place", (unsigned long long)r->where,
		 (unsigned)a->client, r->phase, (unsigned long long)r->at);
}

static void report(struct attachment *a)
{
	struct pool *pool = a->pool;
	const struct tn_recover *r = &a->job.recover;
	const struct log_about about = {
		.pool = pool->spec.name, .client = a->client,
	};

	if (a->job.result < 0 && !pool->poisoned) {
		pool_poison(pool);
		report_poison(a, &about);
	} else if (r->freed_objects) {
		log_line(LOG_DEBUG, &about, "%llu objects, %llu bytes of "
			 "client %u are free",
			 (unsigned long long)r->freed_objects,
			 (unsigned long long)r->freed_bytes,
			 (unsigned)a->client);
	}
}

/* The pool may end with its last attachment, and whoever waits for that be the
 * attachment's owner, and be gone when it is told: so the pool ends last. */
static void on_recovered(struct reaper_job *job)
{
	struct attachment *a = tn_list_entry(job, struct attachment, job);
	struct pool *pool = pool_ref(a->pool);
	void (*gone)(void *owner, uint32_t number) = a->gone;
	void *owner = a->owner;
	uint32_t number = a->number;

	report(a);
	attachment_free(a);
	gone(owner, number);
	pool_unref(pool);
}

void attachment_end(struct attachment *a, struct reaper *reaper)
{
	if (a->ending)
		return;
	a->ending = true;
	keeper_attachment_ending(a);
	set_state(a, TN_CLIENT_DEAD);
	a->job.control = a->control.map;
	a->job.client = a->client;
	a->job.done = on_recovered;
	tn_list_init(&a->job.link);
	reaper_post(reaper, &a->pool->queue, &a->job);
}

struct attachment *attachment_after(const struct pool *pool, uint32_t client)
{
	struct attachment *ret = NULL;

	tn_list_for_each(link, &pool->attachments) {
		struct attachment *a = tn_list_entry(link, struct attachment,
						     of_pool);

		if (a->client > client && (!ret || a->client < ret->client))
			ret = a;
	}
	return ret;
}
