// SPDX-License-Identifier: BSD-2-Clause
// Boost.Interprocess as its users have it: managed_shared_memory, whose
// default is a best-fit tree under a mutex in the segment.
#include <boost/interprocess/managed_shared_memory.hpp>

#include <cstdio>
#include <new>
#include <string>
#include <sys/stat.h>

#include "bench/peer.h"

using boost::interprocess::managed_shared_memory;
using boost::interprocess::shared_memory_object;
namespace bi = boost::interprocess;

namespace {

struct pool {
	pool(bi::create_only_t how, const char *n, uint64_t bytes)
		: segment(how, n, bytes), name(n) { }
	pool(bi::open_only_t how, const char *n)
		: segment(how, n), name(n) { }
	managed_shared_memory segment;
	std::string name;
};

inline pool *of(void *p) { return static_cast<pool *>(p); }

void *create(const char *name, uint64_t bytes)
{
	shared_memory_object::remove(name); // a killed process's, of our pid
	try {
		return new pool(bi::create_only, name, bytes);
	} catch (const bi::interprocess_exception &e) {
		fprintf(stderr, "bench: boost: %s\n", e.what());
		return nullptr;
	}
}

void *join(const char *name)
{
	try {
		return new pool(bi::open_only, name);
	} catch (const bi::interprocess_exception &e) {
		fprintf(stderr, "bench: boost: %s\n", e.what());
		return nullptr;
	}
}

void leave(void *p) { delete of(p); }

void destroy(void *p)
{
	std::string name = of(p)->name;

	delete of(p);
	shared_memory_object::remove(name.c_str());
}

void *alloc(void *p, size_t size)
{
	return of(p)->segment.allocate(size, std::nothrow);
}

int release(void *p, void *object)
{
	of(p)->segment.deallocate(object);
	return 0;
}

uint64_t ref_of(void *p, const void *object)
{
	return of(p)->segment.get_handle_from_address(object);
}

void *ptr(void *p, uint64_t ref)
{
	return of(p)->segment.get_address_from_handle(ref);
}

uint64_t live(void *p) { return !of(p)->segment.all_memory_deallocated(); }

uint64_t resident(void *p)
{
	struct stat st;
	std::string path = "/dev/shm/" + of(p)->name;

	return stat(path.c_str(), &st) < 0 ? 0 : 512 * (uint64_t)st.st_blocks;
}

} // namespace

extern "C" __attribute__((visibility("default")))
const struct bench_peer bench_peer = {
	create, join, leave, destroy, alloc, release, ref_of, ptr, live,
	resident, 0, nullptr, nullptr, nullptr, nullptr,
	nullptr, nullptr, nullptr,
};
