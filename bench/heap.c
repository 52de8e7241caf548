/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The allocators. A private one is preloaded into the process that measures
 * it, as its users do (a late dlopen() may find no room for its thread-local
 * storage), and its functions are looked up in that library by name.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"

#define POOL_BYTES ((uint64_t)4 << 30) /* sparse: nobody runs out of it */

const struct allocator bench_allocators[] = {
	{ "tarn", NULL },
	{ "jemalloc", "libjemalloc.so.2" },
	{ "mimalloc", "libmimalloc.so.2" },
	{ "tcmalloc", "libtcmalloc_minimal.so.4" },
	{ "glibc", "libc.so.6" },
};
const size_t bench_n_allocators =
	sizeof(bench_allocators) / sizeof(bench_allocators[0]);

static struct tarn *tarn;

static bool open_tarn(struct heap *h)
{
	int r;

	r = tarn_connect(NULL, &tarn);
	if (r < 0)
		bench_die("tarnd (run this through tarn-run)", r);
	snprintf(h->pool_name, sizeof(h->pool_name), "bench.%d",
		 (int)getpid());
	r = tarn_pool_create(tarn, h->pool_name,
			     TARN_POOL_OPTS(.bytes = POOL_BYTES));
	if (r < 0)
		bench_die("create a pool", r);
	r = tarn_pool_open(tarn, h->pool_name, TARN_PRODUCER, &h->pool);
	if (r < 0)
		bench_die("open a pool", r);
	h->pool_alloc = tarn_alloc;
	h->pool_free = tarn_free;
	return true;
}

/* A function of that very library; NULL if another one got in its place. */
static void *own_symbol(void *lib, const char *library, const char *name)
{
	void *fn = dlsym(lib, name);
	Dl_info info;

	if (!fn || !dladdr(fn, &info) || !info.dli_fname)
		return NULL;
	/* libc.so.6 or libjemalloc.so.2, wherever they lie */
	return strstr(info.dli_fname, library) ? fn : NULL;
}

bool heap_open(struct heap *h, const struct allocator *a)
{
	void *lib;

	memset(h, 0, sizeof(*h));
	if (!a->library)
		return open_tarn(h);
	lib = dlopen(a->library, RTLD_NOW | RTLD_NOLOAD);
	if (!lib)
		return false;
	h->alloc = (void *(*)(size_t))own_symbol(lib, a->library, "malloc");
	h->free = (void (*)(void *))own_symbol(lib, a->library, "free");
	return h->alloc && h->free;
}

void heap_close(struct heap *h)
{
	if (!h->pool)
		return;
	tarn_pool_destroy(tarn, h->pool_name);
	tarn_pool_close(h->pool);
	tarn_disconnect(tarn);
}
