/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The malloc family, for any program that is started with libtarn-malloc.so
 * preloaded.
 *
 *   up to 32 KiB      a slot of the home heap           pool/magazine.h
 *   up to 32 MiB      a run of its pages                malloc/pages.h
 *   larger, or if the home heap has no room
 *                     a mapping of its own              malloc/large.h
 *   with a pool named in the environment, first of all
 *                     a slot or run of that             malloc/named.h
 *
 * Where an object is tells which of them it is. The usual paths of malloc()
 * and free() are those of tarn_alloc() and tarn_free(): a magazine, one store
 * to a tag. All else enters a seat (malloc/seat.h), does its work and leaves.
 *
 * Nothing here needs to be set up: the first call makes the home heap, whether
 * it comes from the loader, a constructor or the program. The constructor below
 * only looks at the environment, so what other constructors allocate before it
 * is from the home heap in any case.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "malloc/large.h"
#include "malloc/named.h"
#include "malloc/pages.h"
#include "malloc/say.h"

#define API __attribute__((visibility("default")))
#define noinline __attribute__((noinline, cold))

#define MALLOC_ALIGN 16U

/* Where realloc() gives up copying, and has the system move pages from then on.
 * Picked, not tuned: copying 1 MiB costs about as much as a move. */
#define MOVE_BYTES ((size_t)1 << 20)

static void *no_memory(void)
{
	errno = ENOMEM;
	return NULL;
}

/* Allocation */

static void *slot_alloc(struct tn_seat *seat, unsigned class)
{
	struct tn_rack *rack = &seat->rack;
	struct tn_mag *m = &rack->mags[class];
	uint64_t areas;
	int r = 0;

	if (m->top == m->base) {
		do {
			areas = rack->pool->geo.n_areas;
			r = tn_rack_fill(rack, class);
		} while (r == -ENOMEM && tn_home_grow(areas));
		if (r == -ENOMEM) {
			tn_rack_flush(rack);
			r = tn_rack_fill(rack, class);
		}
		if (r < 0)
			return NULL;
		tn_pages_note_slab(seat, class);
	}
	return tn_rack_pop(rack, m);
}

static void *from_home(size_t size, size_t align, bool zero)
{
	bool slot = size <= TN_CLASS_BYTES_MAX && align <= TN_PAGE_BYTES;
	struct tn_seat *seat;
	unsigned class = 0;
	void *p;

	if (!tn_home_make())
		return NULL;
	if (slot) {
		class = tn_class_of(size);
		/* every eighth size is a power of two */
		while (1ULL << tn_shape_align(&tn_home.shapes[class]) < align)
			class++;
	}
	seat = tn_seat_enter();
	if (!seat)
		return NULL;
	if (slot)
		p = slot_alloc(seat, class);
	else
		p = tn_pages_alloc(seat, tn_div_up(size, TN_PAGE_BYTES), align,
				   zero);
	tn_seat_leave(seat);
	return slot && p && zero ? memset(p, 0, size) : p;
}

/* One that this thread keeps, or NULL: a run starts at a multiple of its
 * length, rounded up. */
static inline void *kept_run(size_t size, size_t align, bool zero)
{
	size_t bytes = tn_round_up(size, TN_PAGE_BYTES);
	void *p = align > size ? NULL :
		  tn_rack_pop_run(&tn_seat_mine->rack, bytes >> TN_PAGE_SHIFT);

	return p && zero ? memset(p, 0, size) : p;
}

/* All that is not popped from a magazine; errno as it was, or ENOMEM. */
static noinline void *alloc_slow(size_t size, size_t align, bool zero)
{
	int saved = errno;
	void *p = NULL;

	if (size > PTRDIFF_MAX)
		return no_memory();
	if (size > TN_CLASS_BYTES_MAX)
		p = kept_run(size, align, zero);
	if (p)
		return p;
	size = size ? size : 1;
	if (tn_named_is_on()) {
		p = tn_named_alloc(size, align);
		if (p && zero)
			memset(p, 0, size);
	}
	if (!p && size <= TN_HOME_RUN_PAGES * TN_PAGE_BYTES)
		p = from_home(size, align, zero);
	if (!p)
		p = tn_large_alloc(size, align);
	if (!p)
		return no_memory();
	errno = saved;
	return p;
}

/* From this thread's magazine, or NULL. */
static inline void *alloc_fast(size_t size)
{
	struct tn_rack *rack = &tn_seat_mine->rack;
	struct tn_mag *m;

	/* 0, too: one comparison for all that is not a slab's */
	if (tn_unlikely(size - 1 >= TN_CLASS_BYTES_MAX))
		return NULL;
	m = &rack->mags[tn_class_of(size)];
	if (tn_unlikely(m->top == m->base))
		return NULL;
	return tn_rack_pop(rack, m);
}

API void *malloc(size_t size)
{
	void *p = alloc_fast(size);

	return tn_likely(p) ? p : alloc_slow(size, MALLOC_ALIGN, false);
}

API void *calloc(size_t n, size_t size)
{
	void *p;

	if (tn_unlikely(__builtin_mul_overflow(n, size, &size)))
		return no_memory();
	p = alloc_fast(size);
	return tn_likely(p) ? memset(p, 0, size)
			    : alloc_slow(size, MALLOC_ALIGN, true);
}

static void *alloc_aligned(size_t align, size_t size)
{
	if (align <= MALLOC_ALIGN)
		return malloc(size);
	return alloc_slow(size, align, false);
}

API void *aligned_alloc(size_t align, size_t size)
{
	if (!tn_is_pow2(align)) {
		errno = EINVAL;
		return NULL;
	}
	return alloc_aligned(align, size);
}

/* As glibc's: what is no power of two is rounded up to one. */
API void *memalign(size_t align, size_t size)
{
	if (align > PTRDIFF_MAX) {
		errno = EINVAL;
		return NULL;
	}
	return alloc_aligned(1ULL << tn_log2_ceil(align), size);
}

API int posix_memalign(void **ret, size_t align, size_t size)
{
	int saved = errno;
	void *p;

	if (!tn_is_pow2(align) || align % sizeof(void *))
		return EINVAL;
	p = alloc_aligned(align, size);
	errno = saved;
	if (!p)
		return ENOMEM;
	*ret = p;
	return 0;
}

API void *valloc(size_t size)
{ return alloc_aligned(TN_PAGE_BYTES, size); }

API void *pvalloc(size_t size)
{
	if (size > PTRDIFF_MAX)
		return no_memory();
	return alloc_aligned(TN_PAGE_BYTES, size ?
			     tn_round_up(size, TN_PAGE_BYTES) : TN_PAGE_BYTES);
}

/* Free */

static const char *why_not(int r)
{
	switch (r) {
	case -EALREADY: return "it is free already";
	case -EUCLEAN:  return "the heap is damaged";
	case -EPERM:    return "another process holds it";
	default:        return "no object begins there";
	}
}

static int free_home(void *p)
{
	uint64_t off = tn_pool_off(&tn_home.pool, p), pages;
	struct tn_object obj;
	struct tn_seat *seat;
	int r;

	r = tn_object_find(&tn_home.pool, off, &obj);
	if (r < 0)
		return r;
	seat = tn_seat_enter();
	if (!seat)
		return 0; /* no lane, no memory for one: it stays */
	r = tn_object_release(&tn_home.pool, &seat->rack.ref, off, &obj);
	if (r == 0)
		r = tn_rack_dispose(&seat->rack, p, &obj);
	pages = obj.pages ? obj.pages : TN_MAG_ROOM_PAGES;
	if (r == 0)
		tn_pages_freed(seat, pages);
	tn_seat_leave(seat);
	return r;
}

static noinline void free_slow(void *p)
{
	int saved = errno, r;

	if (!p)
		return;
	if (tn_pool_off(&tn_home.pool, p) < tn_home.pool.geo.data_bytes)
		r = free_home(p);
	else if (tn_named_has(p))
		r = tn_named_free(p);
	else
		r = tn_large_free(p) ? 0 : -EINVAL;
	if (r < 0)
		tn_misuse("free", p, why_not(r));
	errno = saved;
}

/* A run that is kept, or none. */
static noinline void free_run(void *p)
{
	if (!tn_rack_push_run(&tn_seat_mine->rack, &tn_home.pool, p))
		free_slow(p);
}

API void free(void *p)
{
	struct tn_rack *rack = &tn_seat_mine->rack;

	uint64_t page;

	if (tn_rack_push_near(rack, p, TN_ANY_CLASS))
		return;
	if (tn_rack_push_far(rack, &tn_home.pool, p, TN_ANY_CLASS, &page))
		tn_rack_pushed(rack, page);
	else
		free_run(p);
}

/* Size */

/* Return: the usable bytes; or 0, and why not. */
static size_t bytes_of(const void *p, struct tn_object *ret, int *ret_error)
{
	uint64_t off = tn_pool_off(&tn_home.pool, p);
	size_t bytes = 0;
	int r = -EINVAL;

	ret->tag = NULL;
	if (off >= tn_home.pool.geo.data_bytes) {
		bytes = tn_named_has(p) ? tn_named_bytes(p) : tn_large_bytes(p);
	} else {
		r = tn_object_find(&tn_home.pool, off, ret);
		if (r == 0 && tn16_load_relaxed(ret->tag) ==
			      (TN_TAG_HELD | TN_HOME_CLIENT))
			bytes = ret->bytes;
		else if (r == 0)
			r = -EALREADY;
	}
	*ret_error = r;
	return bytes;
}

API size_t malloc_usable_size(void *p)
{
	struct tn_object obj;
	int r;

	return p ? bytes_of(p, &obj, &r) : 0;
}

static bool resize_run(const struct tn_object *obj, size_t size)
{
	struct tn_seat *seat = tn_seat_enter();
	bool done;

	if (!seat)
		return false;
	done = tn_pages_resize(seat, obj->page, obj->pages,
			       tn_div_up(size, TN_PAGE_BYTES));
	if (done && size < obj->bytes)
		tn_pages_freed(seat, (obj->bytes - size) >> TN_PAGE_SHIFT);
	tn_seat_leave(seat);
	return done;
}

/* An object that is a run of the home heap, or has a mapping of its own, can
 * grow and shrink. Return: its place then, or NULL: it cannot. */
static void *resize_pages(void *p, const struct tn_object *obj, size_t bytes,
			  size_t size)
{
	if (obj->tag && !obj->pages)
		return NULL;
	if (tn_div_up(size, TN_PAGE_BYTES) == bytes >> TN_PAGE_SHIFT)
		return p;
	if (obj->tag)
		return size > TN_CLASS_BYTES_MAX && resize_run(obj, size) ?
		       p : NULL;
	return tn_named_has(p) || size <= TN_CLASS_BYTES_MAX ? NULL :
	       tn_large_resize(p, size);
}

static void *copy(void *p, size_t bytes, size_t size)
{
	bool grows = size > bytes && size >= MOVE_BYTES;
	void *to = NULL;

	/* it may go on to grow */
	if (grows && !tn_named_has(p))
		to = tn_large_alloc(size, MALLOC_ALIGN);
	if (!to)
		to = malloc(size);
	if (!to)
		return NULL;
	memcpy(to, p, size < bytes ? size : bytes);
	free(p);
	return to;
}

API void *realloc(void *p, size_t size)
{
	int saved = errno, why;
	struct tn_object obj;
	size_t bytes;
	void *to;

	if (!p)
		return malloc(size);
	if (!size) {
		free(p);
		return NULL;
	}
	bytes = bytes_of(p, &obj, &why);
	if (!bytes) {
		tn_misuse("realloc", p, why_not(why));
		return no_memory();
	}
	if (size > PTRDIFF_MAX)
		return no_memory();
	to = resize_pages(p, &obj, bytes, size);
	/* it stays if it fits, and does not waste half of it or more */
	if (!to && size <= bytes && (size > bytes / 2 || bytes <= MALLOC_ALIGN))
		to = p;
	errno = saved;
	return to ? to : copy(p, bytes, size);
}

API void *reallocarray(void *p, size_t n, size_t size)
{
	if (__builtin_mul_overflow(n, size, &size))
		return no_memory();
	return realloc(p, size);
}

API int malloc_trim(size_t pad)
{
	struct tn_seat *seat = tn_seat_enter();
	int saved = errno;
	uint64_t n = 0;

	(void)pad; /* nothing is kept on top of anything here */
	if (seat) {
		n = tn_pages_trim(seat);
		tn_seat_leave(seat);
	}
	errno = saved;
	return n > 0;
}

/* Before main, and after fork */

static void forked(void)
{
	tn_seat_forked();
	tn_pages_forked();
	tn_named_forked();
}

static __attribute__((constructor)) void configure(void)
{
	const char *name = secure_getenv("TARN_MALLOC_POOL");
	char what[300] = "TARN_MALLOC_POOL=";
	int r;

	pthread_atfork(NULL, NULL, forked);
	if (!tn_misuse_configure(secure_getenv("TARN_MALLOC_MISUSE")))
		_exit(127);
	if (!name)
		return;
	r = tn_named_open(name);
	if (r < 0) {
		strncat(what, name, sizeof(what) - strlen(what) - 1);
		tn_say(what, strerror(-r));
		_exit(127);
	}
}
