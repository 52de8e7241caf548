/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Objects with handles, and with pointers, in one shape; and the figures.
 *
 * The memory of a pool is all blocks of its two files, of a private heap what
 * the private memory of the process has grown by. A heap that cannot compact
 * is asked to give back what it can, by its own call for that.
 */
#include "bench/frag.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tarn/admin.h>
#include <tarn/handle.h>
#include <tarn/stats.h>

#define HEADER 24      /* a handle, its tag, and the object's tag and link */
#define SAMPLE_US 5000 /* between two looks; picked, not tuned */

/* Objects */

void frag_init(struct frag *f, struct bench_run *r, uint64_t room)
{
	*f = (struct frag){
		.r = r, .room = room, .x = BENCH_SEED,
		.objects = bench_memory(room * sizeof(*f->objects)),
	};
}

static void *begin_use(const struct frag *f, uint64_t name)
{
	void *p = (void *)(uintptr_t)name;

	if (f->r->mode & BENCH_SHARED)
		p = tarn_pin(f->r->heap.pool, name);
	if (!p)
		bench_die("an object cannot be used", -errno);
	return p;
}

static void end_use(const struct frag *f, uint64_t name)
{
	if (f->r->mode & BENCH_SHARED && tarn_unpin(f->r->heap.pool, name) < 0)
		bench_die("unpin", 0);
}

static uint64_t name_new(const struct frag *f, size_t size)
{
	const struct heap *h = &f->r->heap;
	uint64_t name = f->r->mode & BENCH_SHARED ?
			tarn_halloc(h->pool, size) :
			(uint64_t)(uintptr_t)h->alloc(size);

	if (!name)
		bench_die("out of memory", 0);
	return name;
}

void frag_add(struct frag *f, size_t size)
{
	struct frag_object *o = &f->objects[f->n];
	void *p;

	if (f->n++ == f->room)
		bench_die("more objects than there is room for", 0);
	*o = (struct frag_object){
		.name = name_new(f, size), .size = (uint32_t)size,
		.age = f->age++,
	};
	p = begin_use(f, o->name);
	if (f->r->mode & BENCH_CHECK)
		bench_stamp(p, size, o->age);
	else
		memset(p, (int)o->age, size);
	end_use(f, o->name);
	f->live += size;
	f->r->n_taken++;
}

static void verify(const struct frag *f, const struct frag_object *o)
{
	if (bench_verify(begin_use(f, o->name)) != o->age)
		bench_die("another object's bytes", 0);
	end_use(f, o->name);
}

void frag_verify(const struct frag *f)
{
	for (uint64_t i = 0; f->r->mode & BENCH_CHECK && i < f->n; i++)
		verify(f, &f->objects[i]);
}

void frag_remove(struct frag *f, uint64_t at)
{
	struct frag_object o = f->objects[at];

	if (f->r->mode & BENCH_CHECK)
		verify(f, &o);
	if (!(f->r->mode & BENCH_SHARED))
		f->r->heap.free((void *)(uintptr_t)o.name);
	else if (tarn_hfree(f->r->heap.pool, o.name) < 0)
		bench_die("a free was refused", 0);
	f->objects[at] = f->objects[--f->n];
	f->live -= o.size;
	f->r->n_put++;
}

void frag_free_all(struct frag *f)
{
	while (f->n)
		frag_remove(f, f->n - 1);
}

uintptr_t frag_place(const struct frag *f, uint64_t at)
{
	uint64_t name = f->objects[at].name;
	uintptr_t place = (uintptr_t)begin_use(f, name);

	end_use(f, name);
	return place;
}

uint64_t frag_usable(const struct frag *f)
{
	size_t (*usable)(void *) = NULL;
	uint64_t sum = 0;

	if (!(f->r->mode & BENCH_SHARED))
		usable = (size_t (*)(void *))dlsym(f->r->heap.library,
						   "malloc_usable_size");
	for (uint64_t i = 0; i < f->n; i++) {
		uint64_t name = f->objects[i].name;

		sum += f->r->mode & BENCH_SHARED ?
		       tarn_hbytes(f->r->heap.pool, name) :
		       usable ? usable((void *)(uintptr_t)name) :
				f->objects[i].size;
	}
	return sum;
}

/* Memory */

static double base;           /* private bytes before anything */
static struct tarn *tarn;     /* of the one who looks; another's is busy */

static struct tarn *connect_(void)
{
	struct tarn *t;
	int r = tarn_connect(NULL, &t);

	if (r < 0)
		bench_die("tarnd", r);
	return t;
}

static double footprint(const struct bench_run *r)
{
	struct tarn_pool_info info;
	int e;

	if (!(r->mode & BENCH_SHARED))
		return bench_private_bytes() - base;
	e = tarn_pool_stat(tarn, r->heap.name, &info);
	if (e < 0)
		bench_die("pool_stat", e);
	return (double)(info.data_resident + info.meta_resident);
}

/* Over time */

static struct {
	pthread_t thread;
	struct bench_run *r;
	_Atomic bool stop;
	int fd;
} watch = { .fd = -1 };

static void *look(void *arg)
{
	double begin = bench_now_ns();
	char line[80];
	int n;

	(void)arg;
	while (!watch.stop) {
		n = snprintf(line, sizeof(line), "%.4f\t%.0f\n",
			     (bench_now_ns() - begin) / 1e9,
			     footprint(watch.r));
		if (write(watch.fd, line, (size_t)n) != n)
			bench_die("write", -errno);
		usleep(SAMPLE_US);
	}
	return NULL;
}

static void watch_begin(struct bench_run *r)
{
	const char *out = getenv("TARN_BENCH_OUT");
	char path[4096];

	snprintf(path, sizeof(path), "%s/time-%s-%llu-%s.tsv",
		 out ? out : "bench/out", r->name,
		 (unsigned long long)r->param, r->heap.allocator);
	watch.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (watch.fd < 0)
		bench_die(path, -errno);
	watch.r = r;
	if (pthread_create(&watch.thread, NULL, look, NULL))
		bench_die("thread", 0);
}

static void watch_end(void)
{
	if (watch.fd < 0)
		return;
	watch.stop = true;
	pthread_join(watch.thread, NULL);
	close(watch.fd);
	watch.fd = -1;
}

void frag_begin(struct bench_run *r)
{
	if (r->mode & BENCH_SHARED)
		tarn = connect_();
	if (!(r->mode & BENCH_CHECK))
		watch_begin(r);
	base = bench_private_bytes();
}

/* What a pool could be made of at best, and how its free pages lie */

struct pool_view {
	double data, meta, ideal;
	struct tarn_area *areas;
	int n_areas;
};

/* A slab is the least power of two of pages that has its slots' bytes, and
 * four pages at least. */
static double slab_bytes(const struct tarn_class_stat *c)
{
	uint64_t bytes = 4 * TARN_PAGE;

	while (bytes < c->slots / c->slabs * c->object_bytes)
		bytes *= 2;
	return (double)bytes;
}

static void view_pool(const struct bench_run *r, struct pool_view *v)
{
	struct tarn_stats s = { .sz = sizeof(s) };
	int e = tarn_stats(r->heap.pool, &s);

	v->n_areas = tarn_areas(r->heap.pool, &v->areas);
	if (e < 0 || v->n_areas < 0)
		bench_die("stats", e);
	v->data = (double)s.data_resident;
	v->meta = (double)s.meta_resident;
	v->ideal = (double)s.run_bytes;
	for (uint32_t i = 0; i < s.n_classes; i++) {
		const struct tarn_class_stat *c = &s.classes[i];
		uint64_t in_one = c->slots / c->slabs;

		/* handles are not data */
		if (c->movable)
			v->ideal += (double)((c->live + in_one - 1) / in_one) *
				    slab_bytes(c);
	}
	tarn_stats_free(&s);
}

/* Of the free pages in areas that had anything before, the share that does not
 * lie in areas that are free now. */
static double split_share(const struct pool_view *before,
			  const struct pool_view *after)
{
	uint64_t all = 0, whole = 0;

	for (int i = 0; i < after->n_areas; i++) {
		const struct tarn_area *was = &before->areas[i];
		const struct tarn_area *is = &after->areas[i];

		if (was->free_pages == was->pages)
			continue;
		all += is->free_pages;
		whole += is->free_pages == is->pages ? is->free_pages : 0;
	}
	return all ? 100 * (double)(all - whole) / (double)all : 0;
}

/* The end */

double frag_compact(struct bench_run *r, unsigned percent,
		    struct tarn_compaction *ret)
{
	struct tarn *t = connect_();
	double begin = bench_now_ns();
	int e;

	ret->sz = sizeof(*ret);
	e = tarn_compact(t, r->heap.name, percent, NULL, NULL, ret);
	if (e < 0 || ret->error < 0)
		bench_die("compact", e < 0 ? e : ret->error);
	begin = bench_now_ns() - begin;
	tarn_disconnect(t);
	return begin / 1e9;
}

static void compact_pool(struct bench_run *r, const struct frag_sum *sum)
{
	struct pool_view before, after;
	struct tarn_compaction c;
	double s, freed;

	view_pool(r, &before);
	s = frag_compact(r, 100, &c);
	view_pool(r, &after);
	freed = before.data - after.data;
	bench_emit("header", "B/B", (after.data + after.meta) /
		   (double)(sum->usable + sum->objects * HEADER));
	bench_emit("data", "B/B", after.data / (double)sum->usable);
	bench_emit("meta", "%", 100 * after.meta / after.data);
	if (before.data > before.ideal * 1.01)
		bench_emit("left", "%", 100 * (after.data - before.ideal) /
			   (before.data - before.ideal));
	bench_emit("split", "%", split_share(&before, &after));
	if (freed > 0)
		bench_emit("copied", "B/B", (double)c.moved_bytes / freed);
	bench_emit("time", "ms", s * 1e3);
	free(before.areas);
	free(after.areas);
}

/* Each malloc's own way to give memory back. */
static void release(const struct heap *h)
{
	int (*mallctl)(const char *, void *, size_t *, void *, size_t) =
		(int (*)(const char *, void *, size_t *, void *, size_t))
		dlsym(h->library, "mallctl");
	void (*collect)(bool) = (void (*)(bool))dlsym(h->library,
						      "mi_collect");
	void (*tcmalloc)(void) = (void (*)(void))dlsym(h->library,
				"MallocExtension_ReleaseFreeMemory");
	int (*trim)(size_t) = (int (*)(size_t))dlsym(h->library,
						     "malloc_trim");

	if (mallctl)
		mallctl("arena.4096.purge", NULL, NULL, NULL, 0);
	else if (collect)
		collect(true);
	else if (tcmalloc)
		tcmalloc();
	else if (trim)
		trim(0);
}

void frag_report(struct bench_run *r, const struct frag_sum *sum)
{
	double after;

	bench_emit("before", "B/B", footprint(r) / (double)sum->live);
	if (r->mode & BENCH_SHARED)
		compact_pool(r, sum);
	else
		release(&r->heap);
	after = footprint(r);
	bench_emit("after", "B/B", after / (double)sum->live);
	bench_emit("usable", "B/B", after / (double)sum->usable);
	if (watch.fd >= 0)
		usleep(20 * SAMPLE_US); /* for the picture */
	watch_end();
	if (r->mode & BENCH_SHARED)
		tarn_disconnect(tarn);
}
