/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An audit from outside: the files as tarnd hands them out, mapped read-only,
 * in the hands of audit/, which shares no code with what made them so. Not
 * even the header is believed, so that a pool which cannot be opened any more
 * can still be looked at.
 */
#include "tarn/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/audit.h"
#include "base/cleanup.h"
#include "client/conn.h"
#include "client/pool.h"

#define SLICE_AREAS 64U

static_assert(TARN_AUDIT_NOWHERE == TN_AUDIT_NOWHERE, "the same");

struct look {
	struct tn_conn *conn;
	char name[TN_NAME_BYTES];
	struct tn_open_reply open;
	int fds[3];      /* meta, data, our own control */
	void *meta;
	struct tn_audit_control controls[TN_N_CLIENTS];
	unsigned n_controls;
	struct tn_audit audit;
};

static int map(int fd, uint64_t bytes, void **ret)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) < 0)
		return tn_neg_errno();
	/* a file that is shorter would kill us, page by page */
	if ((uint64_t)st.st_size != bytes || !bytes)
		return -EUCLEAN;
	p = mmap(NULL, bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (p == MAP_FAILED)
		return tn_neg_errno();
	madvise(p, bytes, MADV_DONTDUMP);
	*ret = p;
	return 0;
}

static void look_free(struct look *l)
{
	for (unsigned i = 0; i < l->n_controls; i++)
		munmap((void *)(uintptr_t)l->controls[i].control,
		       l->controls[i].bytes);
	if (l->meta)
		munmap(l->meta, l->open.meta_bytes);
	if (l->open.attach)
		tn_conn_leave(l->conn, l->open.attach);
	for (unsigned i = 0; i < 3; i++)
		tn_closep(&l->fds[i]);
	free(l);
}

static void look_freep(struct look **l)
{
	if (*l)
		look_free(*l);
}

/* One more control file. Of who is dead and not yet recovered it counts, too.
 * Return: 0, or 1: that was all. */
static int add_control(struct look *l, uint32_t *after)
{
	struct tn_audit_control *c = &l->controls[l->n_controls];
	tn_cleanup(tn_closep) int fd = -1;
	struct tn_controls_reply reply;
	void *p;
	int r;

	r = tn_conn_controls(l->conn, l->name, *after, &reply, &fd);
	if (r < 0)
		return r == -ESRCH ? 1 : r;
	r = map(fd, l->open.control_bytes, &p);
	if (r < 0)
		return r;
	*c = (struct tn_audit_control){
		.control = p,
		.bytes = l->open.control_bytes,
		.client = reply.client,
		.alive = true,
	};
	l->n_controls++;
	*after = reply.client;
	return !reply.more || l->n_controls == TN_N_CLIENTS;
}

static int look_open(struct look *l)
{
	uint32_t after = 0;
	int r = tn_conn_attach(l->conn, l->name, TN_OBSERVER, &l->open, l->fds);

	if (r == 0)
		r = map(l->fds[0], l->open.meta_bytes, &l->meta);
	while (r == 0)
		r = add_control(l, &after);
	return r < 0 ? r : 0;
}

/* What was never written is a hole in the file, and reads as zeros. */
static uint64_t next_data(void *arg, uint64_t off)
{
	const struct look *l = arg;
	off_t at = lseek(l->fds[0], (off_t)off, SEEK_DATA);

	if (at < 0)
		return errno == ENXIO ? UINT64_MAX : off;
	return (uint64_t)at;
}

static void look_run(struct look *l, bool quiescent)
{
	const struct tn_audit_in in = {
		.meta = l->meta,
		.meta_bytes = l->open.meta_bytes,
		.data_bytes = l->open.data_bytes,
		.controls = l->controls,
		.n_controls = l->n_controls,
		.quiescent = quiescent,
		.next_data = next_data,
		.arg = l,
	};

	tn_audit_begin(&l->audit, &in);
	while (tn_audit_step(&l->audit, SLICE_AREAS))
		;
}

static void to_public(const struct tn_audit_finding *f,
		      struct tarn_audit_finding *ret)
{
	if (!f->sentence)
		return;
	strncpy(ret->sentence, tn_audit_name(f->sentence),
		sizeof(ret->sentence) - 1);
	tn_audit_format(f, ret->text, sizeof(ret->text));
	ret->client = f->client;
	ret->page = f->page;
	ret->slot = f->slot;
	ret->seen[0] = f->seen[0];
	ret->seen[1] = f->seen[1];
}

static void report(const struct look *l, struct tarn_audit *ret)
{
	const struct tn_audit_result *r = &l->audit.result;

	to_public(&r->finding, &ret->finding);
	to_public(&r->weak, &ret->weak);
	ret->n_weak = r->n_weak;
	ret->n_busy = r->areas_busy + r->shares_busy;
	ret->n_controls = l->n_controls;
	ret->pages = l->open.data_bytes / TN_PAGE_BYTES;
	ret->pages_free = r->pages_free;
	ret->pages_run = r->pages_run;
	ret->pages_slab = r->pages_slab;
	ret->pages_hand = r->pages_hand;
	ret->pages_handle = r->pages_handle;
	ret->runs = r->runs;
	ret->runs_pool = r->runs_pool;
	ret->runs_shared = r->runs_shared;
	ret->runs_handle = r->runs_handle;
	ret->slabs = r->slabs;
	ret->slots = r->slots;
	ret->slots_free = r->slots_free;
	ret->slots_pool = r->slots_pool;
	ret->slots_shared = r->slots_shared;
	ret->slots_handle = r->slots_handle;
	ret->handles = r->handles;
	ret->holds = r->holds;
	for (unsigned i = 0; i < TN_N_CLIENTS; i++) {
		ret->slots_held += r->clients[i].held;
		ret->slots_kept += r->clients[i].kept;
		ret->slots_given += r->clients[i].given;
		ret->slots_link += r->clients[i].link;
	}
}

TARN_API int tarn_audit(struct tarn *t, const char *name, uint32_t flags,
			struct tarn_audit *ret)
{
	tn_cleanup(look_freep) struct look *l = NULL;
	struct tarn_audit found = { .sz = sizeof(found) };
	int r;

	if (ret->sz != sizeof(found) || flags & ~TARN_AUDIT_QUIESCENT)
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	memset(l->fds, -1, sizeof(l->fds));
	l->conn = tn_conn_of(t);
	if (tn_client_name(name, l->name) < 0)
		return -ENOENT;
	r = look_open(l);
	if (r < 0)
		return r;
	look_run(l, flags & TARN_AUDIT_QUIESCENT);
	report(l, &found);
	*ret = found;
	return found.finding.sentence[0] != '\0';
}
