/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * How a slab of each class is cut. Classes 0 to 71 serve sizes: multiples of
 * 16 up to 128 bytes, then eight to each doubling, about 12.5 % apart, up to
 * 32 KiB. From TN_CLASS_CACHE on they are the pool's named caches; then come
 * the sizes again, for objects with handles, and the handles.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"

#define TN_CLASS_BYTES_MAX 32768U
#define TN_SLAB_ORDER_MIN 2U /* so that no two slabs share a line of tags */
#define TN_SLAB_ORDER_MAX 6U

struct tn_shape {
	tn_a64 recip;    /* ceil(2^64 / bytes); stored last; 0: unknown */
	tn_a32 learning; /* a thread is about to know */
	uint32_t bytes;  /* of a slot */
	uint16_t slots;  /* in a slab */
	uint8_t order;   /* a slab has 2^order pages */
	uint8_t reserved[5];
};

static inline bool tn_shape_known(const struct tn_shape *s)
{
	/* HB< shape.known */
	return tn64_load_acquire(&s->recip);
}

/* log2 of bytes that every slot of the class starts at a multiple of, at
 * most a page: slabs start at pages, so it is that of the slot's size */
static inline unsigned tn_shape_align(const struct tn_shape *s)
{ return s->bytes & 4095 ? (unsigned)__builtin_ctz(s->bytes) : 12; }

/* A slab has 2^order pages, the fewest that hold 32 slots; but no more than
 * 64 KiB as long as that holds 8. With 8 slots or more, what is lost at the
 * tail is below 12.5 %. */
void tn_shape_init(struct tn_shape *shape, uint32_t bytes);

/* All but the caches, in place. */
void tn_shapes_init(struct tn_shape *shapes);

/* The size class of @bytes, which must be 1 ... TN_CLASS_BYTES_MAX. */
extern const uint8_t tn_class_table[TN_CLASS_BYTES_MAX / 16 + 1];
static inline unsigned tn_class_of(uint64_t bytes)
{ return tn_class_table[((bytes - 1) >> 4) + 1]; }

/*
 * The slot that starts @distance bytes into a slab, if one does. One product
 * tells both: its high half is the quotient, and its low half is below the
 * reciprocal if and only if the division leaves no rest (Lemire, Kaser, Kurz,
 * Faster remainder by direct computation, 2019).
 */
static inline bool tn_shape_slot(const struct tn_shape *s, uint64_t distance,
				 uint64_t *ret_slot)
{
	/* HB< shape.known */
	uint64_t recip = tn64_load_acquire(&s->recip);
	unsigned __int128 product = (unsigned __int128)distance * recip;

	*ret_slot = (uint64_t)(product >> 64);
	return (uint64_t)product < recip && *ret_slot < s->slots;
}
