/* SPDX-License-Identifier: BSD-2-Clause */
#include "pool/shape.h"

#include "proto/layout.h"

/*
 * The class table, by the preprocessor: index i serves up to 16 * i bytes.
 * From 128 bytes on, a doubling is eight classes, each D entries long.
 */
#define R1(c) (c),
#define R2(c) R1(c) R1(c)
#define R4(c) R2(c) R2(c)
#define R8(c) R4(c) R4(c)
#define R16(c) R8(c) R8(c)
#define R32(c) R16(c) R16(c)
#define R64(c) R32(c) R32(c)
#define R128(c) R64(c) R64(c)
#define DOUBLING(R, c) \
	R(c) R((c) + 1) R((c) + 2) R((c) + 3) \
	R((c) + 4) R((c) + 5) R((c) + 6) R((c) + 7)

const uint8_t tn_class_table[TN_CLASS_BYTES_MAX / 16 + 1] = {
	R1(0)                /* no bytes at all: never asked for */
	DOUBLING(R1, 0)      /*     16 ...   128 */
	DOUBLING(R1, 8)      /*    144 ...   256 */
	DOUBLING(R2, 16)     /*    288 ...   512 */
	DOUBLING(R4, 24)     /*    576 ...  1024 */
	DOUBLING(R8, 32)     /*   1152 ...  2048 */
	DOUBLING(R16, 40)    /*   2304 ...  4096 */
	DOUBLING(R32, 48)    /*   4608 ...  8192 */
	DOUBLING(R64, 56)    /*   9216 ... 16384 */
	DOUBLING(R128, 64)   /*  18432 ... 32768 */
};

void tn_shape_init(struct tn_shape *shape, uint32_t bytes)
{
	unsigned order = TN_SLAB_ORDER_MIN;

	while ((TN_PAGE_BYTES << order) / bytes < (order < 4 ? 32 : 8))
		order++;
	shape->bytes = bytes;
	shape->order = (uint8_t)order;
	shape->slots = (uint16_t)((TN_PAGE_BYTES << order) / bytes);
	/* HB> shape.known: the other fields */
	tn64_store_release(&shape->recip, ~0ULL / bytes + 1);
}

void tn_shapes_init(struct tn_shape *shapes)
{
	for (uint32_t c = 0; c < 8; c++)
		tn_shape_init(&shapes[c], 16 * (c + 1));
	for (uint32_t c = 8; c < TN_CLASS_CACHE; c++) {
		uint32_t base = 128U << (c / 8 - 1);

		tn_shape_init(&shapes[c], base + base / 8 * (c % 8 + 1));
	}
	for (uint32_t c = 0; c < TN_CLASS_CACHE; c++)
		tn_shape_init(&shapes[TN_CLASS_MOVABLE + c], shapes[c].bytes);
	tn_shape_init(&shapes[TN_CLASS_HANDLE], sizeof(struct tn_handle));
}
