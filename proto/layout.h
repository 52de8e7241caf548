/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/*
 * What lies in the shared files: byte tables, nothing else.
 *
 * A pool is two memfds. `data` is nothing but pages for objects. `meta` is
 * all that the allocator knows about them, in the sections below; all zero
 * but for the header is a valid, empty pool. Each client has a third file,
 * `control`, that only it and tarnd map.
 *
 *   meta:     header | roots | caches | clients | done | fit | groups |
 *             hints | areas | pages | tags | areas touched | pages touched |
 *             shares | backs | handles
 *   control:  header | lanes | pins | long pins | journal
 *
 * Where each section begins follows from the pool's size alone
 * (pool/geometry.h); the header repeats nothing of it.
 *
 *   page   4 KiB of data
 *   area   512 pages, 2 MiB; the last one of a pool may be cut short
 *   row    64 pages of an area; a word of the page map
 *   run    pages claimed together
 *   slab   a run cut into slots, for objects of one size class or cache
 *   tag    16 bits that say who holds a slot or a run
 *   handle a name for an object that may be moved
 *
 * Page numbers go on behind data: from the next whole area on they name pages
 * of the handles section of meta, so that a handle is a slot of a slab like
 * any other, with a tag, a holder and a place in every table here. Runs and
 * other slabs never lie there.
 *
 * The truth is in rows, page words, slab words and tags. Everything called a
 * hint here may be wrong at any time and costs only time when it is.
 */
#include "base/atomic.h"
#include "proto/abi.h"

#define TN_MAGIC 0x6c6f6f706e726174ULL          /* "tarnpool" */
#define TN_CONTROL_MAGIC 0x6c7274636e726174ULL  /* "tarnctrl" */
#define TN_LAYOUT_MAJOR 2 /* differs: refuse */
#define TN_LAYOUT_MINOR 2 /* newer: fine */

#define TN_PAGE_SHIFT 12
#define TN_PAGE_BYTES ((uint64_t)1 << TN_PAGE_SHIFT)
#define TN_ROW_PAGES 64U
#define TN_AREA_ROWS 8U
#define TN_AREA_PAGES 512U
#define TN_AREA_SHIFT 9 /* pages to areas */
#define TN_AREA_BYTES ((uint64_t)TN_AREA_PAGES << TN_PAGE_SHIFT)
#define TN_AREA_ORDER 9U

#define TN_NAME_BYTES 40U
#define TN_POOL_BYTES_MIN ((uint64_t)1 << 20)
#define TN_POOL_BYTES_MAX ((uint64_t)1 << 40)

#define TN_N_ROOTS 512U
#define TN_N_CACHES 256U
#define TN_N_CLIENTS 1024U /* slots; 0 is nobody, the last is tarnd */
#define TN_DAEMON_SLOT 1023U
#define TN_N_LANES 1024U   /* of one client */

enum tn_kind { TN_KIND_SLAB = 1, TN_KIND_BUDDY = 2 };
enum tn_policy { TN_FIRST_FIT = 1, TN_BEST_FIT = 2, TN_WORST_FIT = 3 };
enum tn_role { TN_PRODUCER = 1, TN_CONSUMER = 2, TN_OBSERVER = 3 };
#define TN_POOL_ABORT_ON_MISUSE (1U << 0)
#define TN_POOL_RESERVE (1U << 1)
#define TN_POOL_FLAGS_KNOWN (TN_POOL_ABORT_ON_MISUSE | TN_POOL_RESERVE)

/*
 * Header of meta, one page.
 *
 * off size field        written by             read by
 *   0    8 magic        tarnd, once            all, at attach
 *   8    2 major        tarnd, once            all, at attach
 *  10    2 minor        tarnd, once            all, at attach
 *  12    4 kind         tarnd, once            all, at attach
 *  16    4 policy       tarnd, once            all, at attach
 *  20    4 flags        tarnd, once            all, at attach
 *  24    8 data_bytes   tarnd, once            all, at attach
 *  32    8 mark         tarnd, once            all, at attach: refs carry it
 *  40    8 poison       tarnd: 0 or TN_POISON* clients, on their slow paths
 *  48   40 name         tarnd, once            people
 *  88    8 wanted       producers: pages of a  tarnd, which writes 0
 *                       run that there was no
 *                       place for; a hint
 *  96   32 reserved     zero                   nobody
 */
struct tn_header {
	uint64_t magic;
	uint16_t major;
	uint16_t minor;
	uint32_t kind;
	uint32_t policy;
	uint32_t flags;
	uint64_t data_bytes;
	uint64_t mark;
	tn_a64 poison;
	char name[TN_NAME_BYTES];
	tn_a64 wanted;
	uint8_t reserved[32];
};
#define TN_POISONED 1U /* it contradicts itself */
#define TN_REVOKED 2U  /* it was destroyed, and its memory taken back */
TN_FIELD(tn_header, 0, 8, magic);
TN_FIELD(tn_header, 8, 2, major);
TN_FIELD(tn_header, 10, 2, minor);
TN_FIELD(tn_header, 12, 4, kind);
TN_FIELD(tn_header, 16, 4, policy);
TN_FIELD(tn_header, 20, 4, flags);
TN_FIELD(tn_header, 24, 8, data_bytes);
TN_FIELD(tn_header, 32, 8, mark);
TN_FIELD(tn_header, 40, 8, poison);
TN_FIELD(tn_header, 48, 40, name);
TN_FIELD(tn_header, 88, 8, wanted);
TN_SIZE(tn_header, 128);

/*
 * A named root. The key is the name's hash: one compare-and-swap makes the
 * entry, one store sets it. An entry once made keeps its key.
 *
 *   0    8 key          its maker, 0 to hash    all
 *   8    8 ref          any producer            all
 *  16   40 name         its maker               people
 */
struct tn_root {
	tn_a64 key;
	tn_a64 ref;
	char name[TN_NAME_BYTES];
	uint8_t reserved[8];
};
TN_FIELD(tn_root, 0, 8, key);
TN_FIELD(tn_root, 8, 8, ref);
TN_FIELD(tn_root, 16, 40, name);
TN_SIZE(tn_root, 64);

/*
 * A named cache; entry i is class TN_CLASS_CACHE + i. Made as a root is; the
 * shape (object bytes in the low 32 bits, alignment in the high ones) is
 * stored by compare-and-swap from 0, by whoever comes first.
 *
 *   0    8 key          its maker, 0 to hash    all
 *   8    8 shape        any opener, once        all
 *  16   40 name         its maker               people
 */
struct tn_cache_entry {
	tn_a64 key;
	tn_a64 shape;
	char name[TN_NAME_BYTES];
	uint8_t reserved[8];
};
TN_FIELD(tn_cache_entry, 0, 8, key);
TN_FIELD(tn_cache_entry, 8, 8, shape);
TN_FIELD(tn_cache_entry, 16, 40, name);
TN_SIZE(tn_cache_entry, 64);

/*
 * A client's slot: who is attached, for give and for statistics. A client id
 * is slot + 1024 * round, so that a slot's next client has another id.
 *
 *   0    8 state        tarnd: 0, or TN_CLIENT_* | id    all
 *   8    8 pid_uid      tarnd: pid << 32 | uid           people
 */
struct tn_client {
	tn_a64 state;
	tn_a64 pid_uid;
	uint8_t reserved[48];
};
TN_FIELD(tn_client, 0, 8, state);
TN_FIELD(tn_client, 8, 8, pid_uid);
TN_SIZE(tn_client, 64);

#define TN_CLIENT_ID_BITS 13
#define TN_CLIENT_ID_MASK ((1U << TN_CLIENT_ID_BITS) - 1)
#define TN_CLIENT_SLOT(id) ((id) & (TN_N_CLIENTS - 1))
#define TN_CLIENT_ALIVE (1ULL << 32)
#define TN_CLIENT_DEAD (2ULL << 32) /* recovery is at work */

/*
 * A row of the page map: bit i is page i of the row, 1 = claimed; pages past
 * the pool's end are claimed for ever. The stamp says whose step made the
 * row what it is, so that a death right after the compare-and-swap can be
 * told from a death right before it (pool/step.h).
 *
 *   0    8 map.lo       claimants, by 16-byte compare-and-swap
 *   8    8 map.hi       the same: TN_STAMP(slot, lane, step)
 */
#define TN_STEP_BITS 41
#define TN_STEP_MASK ((1ULL << TN_STEP_BITS) - 1)
#define TN_STAMP_LANE_SHIFT 44
#define TN_STAMP(slot, lane, step) \
	((uint64_t)(slot) << 54 | (uint64_t)(lane) << 44 | (step))
#define TN_STAMP_SLOT(stamp) ((unsigned)((stamp) >> 54))
#define TN_STAMP_LANE(stamp) ((unsigned)((stamp) >> 44) & (TN_N_LANES - 1))

/*
 * An area.
 *
 *   0  128 row[8]       claimants
 * 128   64 partial[8]   hint: bit p is set if a slab with a free slot, in no
 *                       lane's lease, starts at page p
 * 192    8 born         of handles: whoever ends a slab there; only grows: no
 *                       handle of an earlier slab has a higher generation
 * 200   56 reserved     zero
 */
struct tn_area {
	tn_a128 row[TN_AREA_ROWS];
	tn_a64 partial[TN_AREA_ROWS];
	tn_a64 born;
	uint8_t reserved[56];
};
TN_FIELD(tn_area, 0, 128, row);
TN_FIELD(tn_area, 128, 64, partial);
TN_FIELD(tn_area, 192, 8, born);
TN_SIZE(tn_area, 256);

/*
 * A page.
 *
 *   0    8 word         the claimant of the page: what it is (TN_PAGE_*)
 *   8    8 slab         of a slab's first page: the slab word
 *
 * word:  0                            free, or inside a run, or being claimed
 *        TN_PAGE_RUN  | pages << 8    first page of a run
 *        TN_PAGE_SLAB | class << 8 | back << 24
 *                                     every page of a slab: @back pages after
 *                                     its first
 *
 * slab:  free slots : 16 | 14 unused | lane : 10 | client : 13 | class : 9 |
 *        state : 2
 *        The count is in the top bits, so that adding to it touches nothing
 *        else. It is never below the number of slots whose tag is 0 but for
 *        frees that have stored the tag and not yet added here. Lane and
 *        client: the lessee; of an open slab whose own it is, or 0
 */
struct tn_page {
	tn_a64 word;
	tn_a64 slab;
};
TN_FIELD(tn_page, 0, 8, word);
TN_FIELD(tn_page, 8, 8, slab);
TN_SIZE(tn_page, 16);

#define TN_PAGE_KIND(word) ((unsigned)((word) & 0xff))
#define TN_PAGE_RUN 1U
#define TN_PAGE_SLAB 2U
#define TN_PAGE_PAGES(word) ((word) >> 8)                 /* of a run */
#define TN_PAGE_CLASS(word) ((unsigned)((word) >> 8) & 0xffff) /* of a slab */
#define TN_PAGE_BACK(word) ((word) >> 24)
#define TN_PAGE_SLAB_WORD(class, back) \
	(TN_PAGE_SLAB | (uint64_t)(class) << 8 | (uint64_t)(back) << 24)

#define TN_SLAB_NONE 0ULL   /* no slab starts here */
#define TN_SLAB_OPEN 1ULL   /* may be leased, if it has free slots */
#define TN_SLAB_LEASED 2ULL /* one lane may claim slots, or end the slab */
#define TN_SLAB_STATE(w) ((w) & 3)
#define TN_SLAB_CLASS(w) ((unsigned)((w) >> 2) & 511)
#define TN_SLAB_CLIENT(w) ((unsigned)((w) >> 11) & TN_CLIENT_ID_MASK)
#define TN_SLAB_LANE(w) ((unsigned)((w) >> 24) & (TN_N_LANES - 1))
#define TN_SLAB_FREE(w) ((unsigned)((w) >> 48))
#define TN_SLAB_ONE_FREE (1ULL << 48)
#define TN_SLAB_WORD(state, class, client, lane, free) \
	((uint64_t)(state) | (uint64_t)(class) << 2 | \
	 (uint64_t)(client) << 11 | (uint64_t)(lane) << 24 | \
	 (uint64_t)(free) << 48)

#define TN_CLASS_CACHE 72U /* the first class that is a named cache */
#define TN_CLASS_MOVABLE (TN_CLASS_CACHE + TN_N_CACHES) /* the sizes again */
#define TN_CLASS_HANDLE (TN_CLASS_MOVABLE + TN_CLASS_CACHE)
#define TN_N_CLASSES (TN_CLASS_HANDLE + 1)

/*
 * A tag: 3 bits of form, 13 of client id.
 *
 *   0                 free
 *   TN_TAG_HELD  | c  client c holds it
 *   TN_TAG_KEPT  | c  free to client c alone: one of its threads keeps it
 *   TN_TAG_GIVEN | c  client c holds it once it takes it
 *   TN_TAG_LINK  | c  client c is linking it into a word, or out of one
 *   TN_TAG_POOL       the pool holds it
 *   TN_TAG_SHARED     the clients in its share record hold it
 *   TN_TAG_HANDLE     the handle that its back link names
 *
 * The tags of an area are 32 bands of 8 KiB. In each band every four pages
 * have 32 tags, a cache line. A slab has those of its first four pages: slots
 * 0 to 31 in band 0, 32 to 63 in band 1, and so on; so tags are dense where
 * slabs are, whatever the object size, and no two slabs share a cache line.
 * A run's tag is the first of its first page in band 0 (there, every page has
 * 8 of the 32).
 */
#define TN_TAG_FREE 0U
#define TN_TAG_FORM(tag) ((tag) & 0xe000U)
#define TN_TAG_CLIENT(tag) ((tag) & TN_CLIENT_ID_MASK)
#define TN_TAG_HELD 0x0000U
#define TN_TAG_KEPT 0x2000U
#define TN_TAG_GIVEN 0x4000U
#define TN_TAG_LINK 0x6000U
#define TN_TAG_POOL 0xe001U
#define TN_TAG_SHARED 0xe002U
#define TN_TAG_HANDLE 0xe003U

#define TN_BAND_TAGS_SHIFT 3                 /* tags of a page in a band */
#define TN_BAND_SLOTS_SHIFT 5                /* tags of a slab in a band */
#define TN_BAND_SHIFT 12                     /* tags of an area in one band */
#define TN_AREA_TAGS_SHIFT 17                /* tags of an area */

/*
 * A share record: which clients hold a shared object. There is one for each
 * page of the pool, rounded up to a power of two; an object's is one of the
 * TN_SHARE_WINDOW that follow the hash of its place (pool/share.c).
 *
 *   0   16 state        any client, by steps: 0, or
 *                       TN_SHARE_USED | offset / 16 << 12 | holders
 *  16  256 set[16]      any client, by steps: a bit a client slot
 */
struct tn_share {
	tn_a128 state;
	tn_a128 set[TN_N_CLIENTS / 64];
	uint8_t reserved[48];
};
TN_FIELD(tn_share, 0, 16, state);
TN_FIELD(tn_share, 16, 256, set);
TN_SIZE(tn_share, 320);

#define TN_SHARE_WINDOW 32U
#define TN_SHARE_USED (1ULL << 63)
#define TN_SHARE_VALUE(off, n) \
	(TN_SHARE_USED | (uint64_t)(off) >> 4 << 12 | (uint64_t)(n))
#define TN_SHARE_OFF(value) (((value) & ~TN_SHARE_USED) >> 12 << 4)
#define TN_SHARE_HOLDERS(value) ((unsigned)((value) & 0xfff))

/*
 * A handle. Its holder is who its tag says, as of any slot. Free or not, it
 * keeps its last ref; a slab that ends leaves the highest number in .born.
 *
 *   0    8 place        its holder, a client that undoes a move, the mover:
 *                       state : 2 | torn : 1 | 17 unused | moves : 8 |
 *                       place in data / 16 : 36
 *   8    8 ref          its holder, before it is LIVE; 0: never was
 *
 * A ref to a handle is index : 30 | number : 17 | 1 | number : 16, from the
 * lowest bit. Bit 47 is 0 in every ref to a place. The number is counted up
 * whenever the handle becomes LIVE; it is kept with the pool's mark added to
 * its upper 16 bits, so that a ref of another pool hardly fits.
 */
struct tn_handle {
	tn_a64 place;
	tn_a64 ref;
};
TN_FIELD(tn_handle, 0, 8, place);
TN_FIELD(tn_handle, 8, 8, ref);
TN_SIZE(tn_handle, 16);

#define TN_HANDLE_FREE 0ULL
#define TN_HANDLE_LIVE 1ULL
#define TN_HANDLE_MOVING 2ULL /* being copied; a client may say LIVE again */
#define TN_HANDLE_STATE(place) ((place) >> 62)
#define TN_HANDLE_TORN (1ULL << 61) /* who died may have been writing it */
#define TN_HANDLE_MOVES_ONE (1ULL << 36)
#define TN_HANDLE_MOVES_MASK (255ULL << 36)
#define TN_HANDLE_OFF(place) (((place) & ((1ULL << 36) - 1)) << 4)
#define TN_HANDLE_PLACE(state, off) ((state) << 62 | (uint64_t)(off) >> 4)

#define TN_HANDLE_IDX_BITS 30
#define TN_HANDLE_IDX(ref) ((ref) & ((1ULL << TN_HANDLE_IDX_BITS) - 1))
#define TN_HANDLE_REF (1ULL << 47)
#define TN_HANDLE_NUMBER_MAX ((1ULL << 33) - 1)

/* The back link of a slot or run whose tag is TN_TAG_HANDLE, 4 bytes where the
 * tag has 2: the handle's index. Else it says nothing. */

/* A group, a byte an area: a hint, what else was last placed there. Runs and
 * slabs that can be moved and those that cannot keep to areas of their own as
 * long as there is room. */
enum tn_group { TN_GROUP_FIXED, TN_GROUP_MOVABLE, TN_GROUP_HANDLES };

/* A fit hint, a byte an area. 0: nothing there is claimed, but for claims under
 * way (pool/fit.c). Else a guess: no free block there is of more than order
 * 9 - fit; TN_FIT_FULL: none at all. */
#define TN_FIT_FULL 10U

/*
 * Header of control, one page.
 *
 *   0    8 magic        tarnd, once
 *   8    2 major        tarnd, once
 *  10    2 minor        tarnd, once
 *  12    4 client       tarnd, once: the client id
 *  16    8 data_bytes   tarnd, once
 *  24    8 mark         tarnd, once: of the pool
 *  32    8 lanes        the client: no lane of this number or above was ever
 *                       in use; only grows
 *  40    8 long_pins    the client: 0, or some of its long pins may be set
 */
struct tn_control {
	uint64_t magic;
	uint16_t major;
	uint16_t minor;
	uint32_t client;
	uint64_t data_bytes;
	uint64_t mark;
	tn_a64 lanes;
	tn_a64 long_pins;
	uint8_t reserved[16];
};
TN_FIELD(tn_control, 0, 8, magic);
TN_FIELD(tn_control, 12, 4, client);
TN_FIELD(tn_control, 16, 8, data_bytes);
TN_FIELD(tn_control, 24, 8, mark);
TN_FIELD(tn_control, 32, 8, lanes);
TN_FIELD(tn_control, 40, 8, long_pins);
TN_SIZE(tn_control, 64);

/*
 * Areas touched, pages touched: for each client slot a bit an area and a bit
 * a page, set where the client may hold something (pool/lane.h).
 *
 * A lane: one thread of the client. Written by that thread alone, read by
 * whoever recovers the client after its death.
 *
 *   0    8 state        0 unused; else TN_LANE_BUSY | thread id
 *   8    8 op           0, or what is under way: TN_OP_*
 *  16    8 progress     how far the op came, and the number of the last step
 *  24    8 ref          of all but runs and slabs: the object's place,
 *                       and TN_LANE_LINKED: the word has been seen to
 *                       hold it (claim), or made to (publish)
 *  32    8 word         of a publish or claim: the word's place in data;
 *                       of a give: the receiver's id; of a share, hold or
 *                       release: the holder's slot
 *  40    8 section      odd while the thread is in a section; read by the
 *                       mover at any time
 */
struct tn_lane {
	tn_a64 state;
	tn_a64 op;
	tn_a64 progress;
	tn_a64 ref;
	tn_a64 word;
	tn_a64 section;
	uint8_t reserved[16];
};
TN_FIELD(tn_lane, 0, 8, state);
TN_FIELD(tn_lane, 8, 8, op);
TN_FIELD(tn_lane, 16, 8, progress);
TN_FIELD(tn_lane, 24, 8, ref);
TN_FIELD(tn_lane, 32, 8, word);
TN_FIELD(tn_lane, 40, 8, section);
TN_SIZE(tn_lane, 64);

#define TN_LANE_BUSY (1ULL << 63)
#define TN_LANE_LINKED (1ULL << 63)

/* op: kind : 8 | pages : 28 | first page, or share record : 28 */
#define TN_OP_NONE 0U
#define TN_OP_RUN 1U     /* the lane has (some rows of) these pages: a run */
#define TN_OP_SLAB 2U    /* the same, a slab's */
#define TN_OP_PUBLISH 3U /* .ref goes into .word */
#define TN_OP_CLAIM 4U   /* .ref comes out of .word */
#define TN_OP_GIVE 5U    /* .ref goes to client .word */
#define TN_OP_SHARE 6U   /* .ref becomes shared, slot .word its only holder */
#define TN_OP_HOLD 7U    /* slot .word becomes a holder of .ref */
#define TN_OP_RELEASE 8U /* slot .word is a holder no more */
#define TN_OP(kind, page, pages) \
	((uint64_t)(kind) << 56 | (uint64_t)(pages) << 28 | (uint64_t)(page))
#define TN_OP_KIND(op) ((unsigned)((op) >> 56))
#define TN_OP_PAGES(op) ((op) >> 28 & 0xfffffff)
#define TN_OP_PAGE(op) ((op) & 0xfffffff)

/* progress: downward : 1 | row (of the run), or phase : 22 | step : 41 */
#define TN_PROGRESS(down, row, step) \
	((uint64_t)(down) << 63 | (uint64_t)(row) << TN_STEP_BITS | (step))
#define TN_PROGRESS_DOWN(p) ((p) >> 63)
#define TN_PROGRESS_ROW(p) ((p) >> TN_STEP_BITS & 0x3fffff)
#define TN_PROGRESS_STEP(p) ((p) & TN_STEP_MASK)

/*
 * Pins: for each lane TN_LANE_PINS words, each 0 or a ref to a handle that the
 * thread is using: with bit 47 to write, without to read. Written by the
 * thread alone, read by the mover at any time.
 */
#define TN_LANE_PINS 64U
#define TN_PIN_WRITE TN_HANDLE_REF

/*
 * A long pin, of the whole client. While .count is 0 there is none; and then
 * .ref may be another.
 *
 *   0    8 ref          any thread of the client, one at a time
 *   8    8 count        the same
 */
struct tn_long_pin {
	tn_a64 ref;
	tn_a64 count;
};
TN_FIELD(tn_long_pin, 0, 8, ref);
TN_FIELD(tn_long_pin, 8, 8, count);
TN_SIZE(tn_long_pin, 16);

#define TN_N_LONG_PINS 4096U

/*
 * The journal of the mover, in tarnd's own control file: what is being moved.
 *
 *   0    8 handle       the mover, stored last: 0, or 1 + index
 *   8    8 from         place in data
 *  16    8 to           place in data
 */
struct tn_move {
	tn_a64 handle;
	tn_a64 from;
	tn_a64 to;
	uint8_t reserved[8];
};
TN_FIELD(tn_move, 0, 8, handle);
TN_FIELD(tn_move, 8, 8, from);
TN_FIELD(tn_move, 16, 8, to);
TN_SIZE(tn_move, 32);

#define TN_N_MOVES 1024U
