/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The allocators. A private one is preloaded into the process that measures
 * it, as its users do (a late dlopen() may find no room for its thread-local
 * storage), and its functions are looked up in that library by name.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <tarn/tarn.h>

#include "bench/bench.h"

const struct allocator bench_allocators[] = {
	{ "tarn", BENCH_TARN, NULL, 0 },
	{ "tarn-malloc", BENCH_PRIVATE, "$B/libtarn-malloc.so", 0 },
	{ "jemalloc", BENCH_PRIVATE, "libjemalloc.so.2", 0 },
	{ "mimalloc", BENCH_PRIVATE, "libmimalloc.so.2", 0 },
	{ "tcmalloc", BENCH_PRIVATE, "libtcmalloc_minimal.so.4", 0 },
	{ "glibc", BENCH_PRIVATE, "libc.so.6", 0 },
	{ "boost", BENCH_PEER, "$B/bench/peer_boost.so", 0 },
	{ "iceoryx", BENCH_PEER, "$B/bench/peer_iceoryx.so", 0 },
	{ "mmap", BENCH_PAGES, NULL, 0 },
	{ "tarn-best", BENCH_FITS, NULL, TARN_BEST_FIT },
	{ "tarn-worst", BENCH_FITS, NULL, TARN_WORST_FIT },
};
const size_t bench_n_allocators = BENCH_N(bench_allocators);

const char *allocator_library(const struct allocator *a, char *buf, size_t n)
{
	const char *build = getenv("TARN_BUILD");

	if (!a->library || strncmp(a->library, "$B", 2) != 0)
		return a->library;
	snprintf(buf, n, "%s%s", build ? build : "build", a->library + 2);
	return buf;
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

static bool open_private(struct heap *h, const char *library)
{
	void *lib = dlopen(library, RTLD_NOW | RTLD_NOLOAD);

	if (!lib)
		return false;
	h->library = lib;
	h->alloc = (void *(*)(size_t))own_symbol(lib, library, "malloc");
	h->free = (void (*)(void *))own_symbol(lib, library, "free");
	return h->alloc && h->free;
}

/* Cases that have it use one size at a time. */
static size_t mapped_bytes;

static void *map_pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mapped_bytes = size;
	return p == MAP_FAILED ? NULL : p;
}

static void unmap_pages(void *p)
{
	munmap(p, mapped_bytes);
}

static bool open_shared(struct heap *h, const struct bench_peer *peer,
			uint64_t bytes)
{
	h->peer = peer;
	h->pool_alloc = peer->alloc;
	h->pool_free = peer->free;
	snprintf(h->name, sizeof(h->name), "bench.%d", (int)getpid());
	h->pool = peer->create(h->name, bytes);
	return h->pool != NULL;
}

bool heap_open(struct heap *h, const struct allocator *a, uint64_t bytes)
{
	char buf[4096];
	const char *library = allocator_library(a, buf, sizeof(buf));
	const struct bench_peer *peer;
	void *lib;

	memset(h, 0, sizeof(*h));
	h->allocator = a->name;
	switch (a->kind) {
	case BENCH_TARN:
	case BENCH_FITS:
		bench_tarn_policy = a->policy;
		return open_shared(h, &bench_tarn, bytes);
	case BENCH_PEER:
		lib = dlopen(library, RTLD_NOW);
		peer = lib ? dlsym(lib, "bench_peer") : NULL;
		return peer && open_shared(h, peer, bytes);
	case BENCH_PRIVATE:
		return open_private(h, library);
	case BENCH_PAGES:
		h->alloc = map_pages;
		h->free = unmap_pages;
		return true;
	}
	return false;
}

void heap_join(struct heap *h)
{
	if (!h->peer || !h->peer->join)
		return;
	h->pool = h->peer->join(h->name);
	if (!h->pool)
		bench_die("join a pool", -errno);
}

void heap_leave(struct heap *h)
{
	if (h->peer)
		h->peer->leave(h->pool);
}

void heap_close(struct heap *h)
{
	if (h->peer)
		h->peer->destroy(h->pool);
}
