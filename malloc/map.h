/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Private anonymous memory. */
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

/* Reserved, not committed: it costs what is touched. NULL: no room. */
static inline uint8_t *tn_map(uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static inline void tn_map_end(void *p, uint64_t bytes)
{
	if (p)
		munmap(p, bytes);
}

/* ... from a multiple of a power of two on, of whole pages. */
static inline uint8_t *tn_map_aligned(uint64_t bytes, uint64_t align)
{
	uint8_t *room = bytes + align < bytes ? NULL : tn_map(bytes + align);
	uint64_t head = -(uintptr_t)room & (align - 1);

	if (!room)
		return NULL;
	tn_map_end(head ? room : NULL, head);
	tn_map_end(room + head + bytes, align - head);
	return room + head;
}
