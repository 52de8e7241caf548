/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * Shared words. Each is a struct, so that `w++` or `w = 3` does not compile,
 * and each access says its order in its name. There is no sequentially
 * consistent access here: where a store must be ordered before a later load,
 * the code says tn_fence_full() or uses a read-modify-write, and why.
 *
 * Labels: a release carries  HB> name: what the reader may rely on
 *         its acquire carries  HB< name
 * and scripts/check-pairs wants both sides.
 */
#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct tn_a8 { _Atomic uint8_t v; } tn_a8;
typedef struct tn_a16 { _Atomic uint16_t v; } tn_a16;
typedef struct tn_a32 { _Atomic uint32_t v; } tn_a32;
typedef struct tn_a64 { _Atomic uint64_t v; } tn_a64;

static_assert(sizeof(tn_a8) == 1, "tn_a8 is ABI");
static_assert(sizeof(tn_a16) == 2, "tn_a16 is ABI");
static_assert(sizeof(tn_a32) == 4, "tn_a32 is ABI");
static_assert(sizeof(tn_a64) == 8, "tn_a64 is ABI");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2,
	      "tarn needs lock-free 64-bit atomics");

#define TN_ATOMIC_LOADS_STORES(T, name, word) \
	static inline T name##_load_relaxed(const word *a) \
	{ return atomic_load_explicit(&a->v, memory_order_relaxed); } \
	static inline T name##_load_acquire(const word *a) \
	{ return atomic_load_explicit(&a->v, memory_order_acquire); } \
	static inline void name##_store_relaxed(word *a, T v) \
	{ atomic_store_explicit(&a->v, v, memory_order_relaxed); } \
	static inline void name##_store_release(word *a, T v) \
	{ atomic_store_explicit(&a->v, v, memory_order_release); } \
	static inline bool name##_cas_relaxed(word *a, T *old, T v) \
	{ return atomic_compare_exchange_strong_explicit(&a->v, old, v, \
		memory_order_relaxed, memory_order_relaxed); } \
	static inline bool name##_cas_acquire(word *a, T *old, T v) \
	{ return atomic_compare_exchange_strong_explicit(&a->v, old, v, \
		memory_order_acquire, memory_order_relaxed); } \
	static inline bool name##_cas_release(word *a, T *old, T v) \
	{ return atomic_compare_exchange_strong_explicit(&a->v, old, v, \
		memory_order_release, memory_order_relaxed); } \
	static inline bool name##_cas_acq_rel(word *a, T *old, T v) \
	{ return atomic_compare_exchange_strong_explicit(&a->v, old, v, \
		memory_order_acq_rel, memory_order_acquire); }

TN_ATOMIC_LOADS_STORES(uint8_t, tn8, tn_a8)
TN_ATOMIC_LOADS_STORES(uint16_t, tn16, tn_a16)
TN_ATOMIC_LOADS_STORES(uint32_t, tn32, tn_a32)
TN_ATOMIC_LOADS_STORES(uint64_t, tn64, tn_a64)

static inline uint64_t tn64_add_acq_rel(tn_a64 *a, uint64_t v)
{ return atomic_fetch_add_explicit(&a->v, v, memory_order_acq_rel); }
static inline uint64_t tn64_or_relaxed(tn_a64 *a, uint64_t v)
{ return atomic_fetch_or_explicit(&a->v, v, memory_order_relaxed); }
static inline uint64_t tn64_and_relaxed(tn_a64 *a, uint64_t v)
{ return atomic_fetch_and_explicit(&a->v, v, memory_order_relaxed); }
static inline uint64_t tn64_or_acq_rel(tn_a64 *a, uint64_t v)
{ return atomic_fetch_or_explicit(&a->v, v, memory_order_acq_rel); }
static inline uint64_t tn64_and_acq_rel(tn_a64 *a, uint64_t v)
{ return atomic_fetch_and_explicit(&a->v, v, memory_order_acq_rel); }

/* Orders nothing for the processor, everything for the compiler: enough where
 * the only other reader is the one who cleans up after this process died. */
static inline void tn_fence_compiler(void)
{ atomic_signal_fence(memory_order_seq_cst); }

static inline void tn_fence_full(void)
{ atomic_thread_fence(memory_order_seq_cst); }

/* The same, right after a read-modify-write of ours, which on x86-64 has been
 * a full barrier already. */
static inline void tn_fence_after_rmw(void)
{
#if defined(__x86_64__)
	tn_fence_compiler();
#else
	tn_fence_full();
#endif
}

/*
 * Two words that change together. There is no 16-byte load: read the halves,
 * and let the compare-and-swap find out whether they belonged together.
 */
typedef struct tn_a128 {
	_Alignas(16) tn_a64 lo;
	tn_a64 hi;
} tn_a128;
static_assert(sizeof(tn_a128) == 16, "tn_a128 is ABI");

struct tn_pair { uint64_t lo, hi; };

/*
 * Changes both words from @old to @new; a full barrier. On x86-64 by hand:
 * compilers may call out for it, and a sanitizer's runtime does so with a
 * lock that other processes know nothing of. (So ThreadSanitizer is told what
 * it cannot see.)
 */
#if defined(__SANITIZE_THREAD__)
#define TN_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TN_TSAN 1
#endif
#endif
#ifdef TN_TSAN
void __tsan_acquire(void *);
void __tsan_release(void *);
#define tn_tsan_acquire(p) __tsan_acquire(p)
#define tn_tsan_release(p) __tsan_release(p)
#else
#define tn_tsan_acquire(p) ((void)0)
#define tn_tsan_release(p) ((void)0)
#endif

static inline bool tn128_cas_full(tn_a128 *a, struct tn_pair old,
				  struct tn_pair new)
{
	bool done;

	tn_tsan_release(a);
#if defined(__x86_64__)
	__asm__ volatile("lock cmpxchg16b %1"
			 : "=@ccz"(done), "+m"(*a), "+a"(old.lo), "+d"(old.hi)
			 : "b"(new.lo), "c"(new.hi)
			 : "memory");
#else
	typedef unsigned __int128 __attribute__((may_alias)) u128;
	u128 o = (u128)old.hi << 64 | old.lo;
	u128 n = (u128)new.hi << 64 | new.lo;

	done = __sync_bool_compare_and_swap((u128 *)(void *)a, o, n);
#endif
	if (done)
		tn_tsan_acquire(a);
	return done;
}
