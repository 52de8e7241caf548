/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_busy.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUARD_BYTES (64ULL << 20)
#define RW (PROT_READ | PROT_WRITE)

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	abort();
}

static int new_file(uint64_t bytes)
{
	int fd = memfd_create("busy", MFD_CLOEXEC);

	must(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0, "memfd");
	return fd;
}

static void map_at(const struct tn_busy_file *f, int fd, int flags)
{
	must(mmap(f->at, f->bytes, RW, flags | MAP_FIXED, fd, 0) !=
	     MAP_FAILED, "mmap");
}

static void file_init(struct tn_busy_file *f, uint64_t bytes, bool shared)
{
	uint8_t *p = mmap(NULL, bytes + 2 * GUARD_BYTES, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	must(p != MAP_FAILED, "mmap");
	f->at = p + GUARD_BYTES;
	f->bytes = bytes;
	f->template_fd = new_file(bytes);
	f->shared_fd = shared ? new_file(bytes) : -1;
	map_at(f, f->template_fd, MAP_SHARED);
}

static void file_fini(struct tn_busy_file *f)
{
	munmap(f->at - GUARD_BYTES, f->bytes + 2 * GUARD_BYTES);
	close(f->template_fd);
	if (f->shared_fd >= 0)
		close(f->shared_fd);
}

static void file_reset(struct tn_busy_file *f)
{
	off_t from = 0, to;

	if (f->shared_fd < 0) {
		must(madvise(f->at, f->bytes, MADV_DONTNEED) == 0, "madvise");
		return;
	}
	must(fallocate(f->shared_fd, FALLOC_FL_PUNCH_HOLE |
		       FALLOC_FL_KEEP_SIZE, 0, (off_t)f->bytes) == 0, "punch");
	while ((from = lseek(f->template_fd, from, SEEK_DATA)) >= 0) {
		to = lseek(f->template_fd, from, SEEK_HOLE);
		must(pread(f->template_fd, f->at + from,
			   (size_t)(to - from), from) == to - from, "pread");
		from = to;
	}
}

/* Filled through a mapping of the template; from here on, no more. */
static void file_begin(struct tn_busy_file *f)
{
	if (f->shared_fd < 0)
		map_at(f, f->template_fd, MAP_PRIVATE);
	else
		map_at(f, f->shared_fd, MAP_SHARED);
}

static void find_used(struct tn_busy_section *s)
{
	s->used = calloc(s->n_words + 8, sizeof(*s->used));
	must(s->used, "calloc");
	for (uint64_t line = 0; line < s->n_words; line += 8) {
		uint64_t any = 0, n = tn_min64(8, s->n_words - line);

		for (uint64_t i = 0; i < n; i++)
			any |= s->words[line + i];
		for (uint64_t i = 0; any && i < n; i++)
			s->used[s->n_used++] = (uint32_t)(line + i);
	}
}

static void sections_init(struct tn_busy *b)
{
	const struct tn_geo *g = &b->pool.geo;
	const struct { const char *name; uint64_t from, to; } of[] = {
		{ "header", 0, sizeof(struct tn_header) },
		{ "roots", g->roots, g->caches },
		{ "caches", g->caches, g->clients },
		{ "clients", g->clients, g->done },
		{ "done", g->done, g->fit },
		{ "fit", g->fit, g->fit + tn_round_up(g->n_areas, 8) },
		{ "hints", g->hints, g->areas },
		{ "areas", g->areas, g->pages },
		{ "pages", g->pages, g->tags },
		{ "tags", g->tags, g->touched_areas },
		{ "areas touched", g->touched_areas, g->touched_pages },
		{ "pages touched", g->touched_pages, g->shares },
		{ "shares", g->shares, g->backs },
		{ "groups", g->groups,
		  g->groups + tn_round_up(g->n_areas, 8) },
		{ "backs", g->backs, g->handles },
		{ "handles", g->handles, g->meta_bytes },
		{ "control, dead", 0, g->control_bytes },
		{ "control, alive", 0, g->control_bytes },
		{ "control, tarnd", 0, g->control_bytes },
	};
	static const uint8_t controls[] = { TN_BUSY_DEAD, TN_BUSY_ALIVE, 0 };

	static_assert(TN_ARRAY_LEN(of) == TN_BUSY_N_SECTIONS, "all of them");
	for (unsigned i = 0; i < TN_BUSY_N_SECTIONS; i++) {
		uint8_t *base = i < TN_BUSY_N_META ? b->meta.at :
				b->control[controls[i - TN_BUSY_N_META]].at;

		b->sections[i].name = of[i].name;
		b->sections[i].words = (void *)(base + of[i].from);
		b->sections[i].n_words = (of[i].to - of[i].from) / 8;
		find_used(&b->sections[i]);
	}
}

static void each_file(struct tn_busy *b, void (*fn)(struct tn_busy_file *))
{
	fn(&b->meta);
	fn(&b->data);
	for (unsigned c = 0; c < TN_BUSY_N_CONTROLS; c++)
		fn(&b->control[c]);
}

static void control_header(struct tn_busy *b, uint32_t c)
{
	struct tn_control *h = (void *)b->control[c].at;

	h->magic = TN_CONTROL_MAGIC;
	h->major = TN_LAYOUT_MAJOR;
	h->client = c ? c : TN_DAEMON_SLOT;
	h->data_bytes = TN_BUSY_BYTES;
	h->mark = b->pool.mark;
}

void tn_busy_init(struct tn_busy *b, bool shared)
{
	struct tn_pool *pool = &b->pool;
	struct tn_geo geo;

	memset(b, 0, sizeof(*b));
	must(tn_geo_init(&geo, TN_BUSY_BYTES) == 0, "geometry");
	file_init(&b->meta, geo.meta_bytes, shared);
	file_init(&b->data, TN_BUSY_BYTES, shared);
	tn_pool_format(b->meta.at, &geo, "busy", TN_KIND_SLAB, TN_FIRST_FIT, 0,
		       0x1234);
	pool->shapes = b->shapes;
	must(tn_pool_attach(pool, b->meta.at, b->data.at, &geo,
			    TN_PRODUCER) == 0, "attach");
	for (uint32_t c = 0; c < TN_BUSY_N_CONTROLS; c++) {
		file_init(&b->control[c], geo.control_bytes, shared);
		control_header(b, c);
		tn64_store_relaxed(&pool->clients[c].state,
				   c ? TN_CLIENT_ALIVE | c : 0);
	}
	tn_busy_fill(b);
	sections_init(b);
	each_file(b, file_begin);
	tn_busy_reset(b);
}

void tn_busy_fini(struct tn_busy *b)
{
	each_file(b, file_fini);
	for (unsigned i = 0; i < TN_BUSY_N_SECTIONS; i++)
		free(b->sections[i].used);
}

void tn_busy_reset(struct tn_busy *b)
{
	each_file(b, file_reset);
	/* what this process has learned of caches */
	memset(&b->shapes[TN_CLASS_CACHE], 0,
	       TN_N_CACHES * sizeof(b->shapes[0]));
}

struct tn_lane_ref tn_busy_lane(struct tn_busy *b, uint32_t client,
				uint32_t index)
{
	uint8_t *control = b->control[client].at;
	struct tn_lane_ref l = {
		.control = control,
		.rec = tn_lane_rec(&b->pool.geo, control, index),
		.client = client ? client : TN_DAEMON_SLOT,
		.index = index,
	};

	tn64_store_relaxed(&l.rec->state, TN_LANE_BUSY | 1);
	tn_lane_start(&b->pool, &l);
	return l;
}

void tn_busy_protect_data(struct tn_busy *b, bool protect)
{
	must(mprotect(b->data.at, b->data.bytes,
		      protect ? PROT_READ : RW) == 0, "mprotect");
}
