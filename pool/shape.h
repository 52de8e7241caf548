/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * How a slab of each class is cut. Classes 0 to 71 serve sizes: multiples of
 * 16 up to 128 bytes, then eight to each doubling, about 12.5 % apart, up to
 * 32 KiB. From TN_CLASS_CACHE on they are the pool's named caches.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"

#define TN_CLASS_BYTES_MAX 32768U
#define TN_SLAB_ORDER_MIN 2U /* so that no two slabs share a line of tags */
#define TN_SLAB_ORDER_MAX 6U

struct tn_shape {
	uint64_t recip;  /* ceil(2^38 / bytes): slot = distance * recip >> 38 */
	tn_a32 bytes_;   /* of a slot; below 16: not known here (yet) */
	uint16_t slots;  /* in a slab */
	uint8_t order;   /* a slab has 2^order pages */
	uint8_t reserved;
};

#define TN_SHAPE_LEARNING 1U /* in bytes_: a thread is about to know */

static inline uint32_t tn_shape_bytes(const struct tn_shape *s)
{
	/* HB< shape.known */
	return tn32_load_acquire(&s->bytes_);
}

static inline bool tn_shape_known(const struct tn_shape *s)
{ return tn_shape_bytes(s) >= 16; }

/* log2 of bytes that every slot of the class starts at a multiple of, at
 * most a page: slabs start at pages, so it is that of the slot's size */
static inline unsigned tn_shape_align(const struct tn_shape *s)
{
	uint32_t bytes = tn_shape_bytes(s);

	return bytes & 4095 ? (unsigned)__builtin_ctz(bytes) : 12;
}

/* A slab has 2^order pages: 32 slots if 64 KiB can hold them, else 8. With
 * 8 slots or more, what is lost at the tail is below 12.5 %. */
void tn_shape_init(struct tn_shape *shape, uint32_t bytes);

/* The 72 size classes, in place. */
void tn_shapes_init(struct tn_shape *shapes);

/* The size class of @bytes, which must be 1 ... TN_CLASS_BYTES_MAX. */
extern const uint8_t tn_class_table[TN_CLASS_BYTES_MAX / 16 + 1];
static inline unsigned tn_class_of(uint64_t bytes)
{ return tn_class_table[(bytes + 15) >> 4]; }

/* The slot that starts @distance bytes into a slab, if one does. */
static inline bool tn_shape_slot(const struct tn_shape *s, uint64_t distance,
				 uint64_t *ret_slot)
{
	uint32_t bytes = tn_shape_bytes(s);
	uint64_t slot;

	if (__builtin_expect(bytes < 16, 0))
		return false;
	slot = distance * s->recip >> 38;
	*ret_slot = slot;
	return slot * bytes == distance && slot < s->slots;
}
