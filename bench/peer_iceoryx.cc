// SPDX-License-Identifier: BSD-2-Clause
// iceoryx's mempool: what a publisher's loan and a subscriber's release come
// down to, without the ports around it and without RouDi, which no loan asks.
// A pool is for chunks of one size, and as many as it was made for; here one
// for each of a row of sizes, each in a granule of addresses of its own, so
// that a free finds it by a shift.
#include <iceoryx_posh/internal/mepoo/mem_pool.hpp>

#include <new>
#include <sys/mman.h>

#include "bench/peer.h"

using iox::mepoo::MemPool;

namespace {

constexpr uint32_t sizes[] = { 16, 32, 48, 64, 96, 128, 192, 256, 384, 512,
			       768, 1024, 2048, 4096, 8192, 16384, 32768 };
constexpr unsigned n_sizes = sizeof(sizes) / sizeof(sizes[0]);
constexpr unsigned granule_shift = 29; // 512 MiB
constexpr uint64_t granule = 1ULL << granule_shift;
constexpr uint32_t small_chunks = 300000, large_chunks = 4000;
constexpr uint64_t manage_bytes = granule;

struct segment {
	MemPool *pools[n_sizes];
	uint8_t of_size[32768 / 16 + 1]; // by (size + 15) / 16
	char *chunks;
};

char *base; // mapped before any fork, so at one place in all processes
constexpr uint64_t total = manage_bytes + n_sizes * granule;

inline segment *of(void *p) { return static_cast<segment *>(p); }

void *create(const char *, uint64_t)
{
	base = static_cast<char *>(mmap(nullptr, total, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	if (base == MAP_FAILED)
		return nullptr;

	segment *s = new (base) segment;
	iox::posix::Allocator manage(base + sizeof(*s) + 64,
				     manage_bytes - sizeof(*s) - 64);
	unsigned n = 0;

	s->chunks = base + manage_bytes;
	for (unsigned i = 0; i < n_sizes; i++) {
		iox::posix::Allocator chunks(s->chunks + i * granule, granule);
		void *at = manage.allocate(sizeof(MemPool), alignof(MemPool));

		s->pools[i] = new (at) MemPool(sizes[i],
			sizes[i] <= 1024 ? small_chunks : large_chunks,
			manage, chunks);
		for (; n <= sizes[i] / 16; n++)
			s->of_size[n] = i;
	}
	return s;
}

void leave(void *) { }
void destroy(void *) { munmap(base, total); }

void *alloc(void *p, size_t size)
{
	if (size > sizes[n_sizes - 1])
		return nullptr;
	return of(p)->pools[of(p)->of_size[(size + 15) / 16]]->getChunk();
}

int release(void *p, void *object)
{
	uint64_t at = static_cast<char *>(object) - of(p)->chunks;

	of(p)->pools[at >> granule_shift]->freeChunk(object);
	return 0;
}

uint64_t ref_of(void *, const void *object)
{
	return static_cast<const char *>(object) - base;
}

void *ptr(void *, uint64_t ref) { return base + ref; }

uint64_t live(void *p)
{
	uint64_t n = 0;

	for (MemPool *pool : of(p)->pools)
		n += pool->getUsedChunks();
	return n;
}

} // namespace

extern "C" __attribute__((visibility("default")))
const struct bench_peer bench_peer = {
	create, nullptr, leave, destroy, alloc, release, ref_of, ptr, live,
	nullptr, sizes[n_sizes - 1], nullptr, nullptr, nullptr, nullptr,
	nullptr, nullptr, nullptr,
};
