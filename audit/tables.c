/* SPDX-License-Identifier: BSD-2-Clause */
/* Headers, and the tables of fixed length: clients, roots, caches. */
#include <string.h>

#include "audit/look.h"
#include "base/bits.h"

static int say(struct tn_audit *a, enum tn_audit_sentence sentence,
	       uint64_t entry, uint64_t seen0, uint64_t seen1)
{
	return tn_audit_say(a, sentence, TN_AUDIT_NOWHERE, entry, seen0, seen1);
}

/* A name, if its 40 bytes are one; or "". */
static bool name_at(const struct tn_audit *a, uint64_t off,
		    char ret[TN_NAME_BYTES])
{
	for (unsigned i = 0; i < TN_NAME_BYTES; i++)
		ret[i] = (char)tn_look8(a, off + i);
	return !ret[TN_NAME_BYTES - 1];
}

static int header(struct tn_audit *a)
{
	uint64_t magic = tn_look64(a, 0), version = tn_look64(a, 8);
	uint64_t policy = tn_look64(a, 16), bytes = tn_look64(a, 24);
	uint64_t kind = version >> 32;
	char name[TN_NAME_BYTES];

	if (magic != TN_MAGIC)
		return say(a, TN_AUDIT_MAGIC, TN_AUDIT_NOWHERE, magic, 0);
	if ((uint16_t)version != TN_LAYOUT_MAJOR)
		return say(a, TN_AUDIT_VERSION, TN_AUDIT_NOWHERE, version, 0);
	if (bytes != a->in.data_bytes)
		return say(a, TN_AUDIT_BYTES, TN_AUDIT_NOWHERE, bytes,
			   a->in.data_bytes);
	a->mark = tn_look64(a, 32);
	if (kind < TN_KIND_SLAB || kind > TN_KIND_BUDDY ||
	    (uint32_t)policy < TN_FIRST_FIT ||
	    (uint32_t)policy > TN_WORST_FIT ||
	    policy >> 32 & ~(uint64_t)TN_POOL_FLAGS_KNOWN || !a->mark ||
	    a->mark >> 16 || !name_at(a, 48, name))
		return say(a, TN_AUDIT_HEADER, TN_AUDIT_NOWHERE, version,
			   policy);
	return 0;
}

static bool is_control(const struct tn_audit *a, unsigned c)
{
	const struct tn_audit_control *f = &a->in.controls[c];
	uint64_t version = tn_look_control(a, c, 8);

	return f->control && (uintptr_t)f->control % 8 == 0 &&
	       f->bytes >= TN_AUDIT_CONTROL_BYTES &&
	       tn_look_control(a, c, 0) == TN_CONTROL_MAGIC &&
	       (uint16_t)version == TN_LAYOUT_MAJOR &&
	       version >> 32 == f->client &&
	       tn_look_control(a, c, 16) == a->in.data_bytes &&
	       tn_look_control(a, c, 24) == a->mark &&
	       f->client <= TN_CLIENT_ID_MASK && TN_CLIENT_SLOT(f->client) &&
	       tn_look_control(a, c, 32) <= TN_N_LANES;
}

int tn_audit_files(struct tn_audit *a, uint64_t unused)
{
	int e;

	(void)unused;
	if (!a->in.meta || (uintptr_t)a->in.meta % 8 ||
	    !tn_audit_geo_init(&a->geo, a->in.data_bytes) ||
	    a->in.meta_bytes < a->geo.at[TN_AUDIT_AT_END])
		return say(a, TN_AUDIT_FILES, TN_AUDIT_NOWHERE,
			   a->in.meta_bytes, a->in.data_bytes);
	e = header(a);
	if (e)
		return e;
	for (unsigned c = 0; c < a->in.n_controls; c++) {
		uint32_t client = a->in.controls[c].client;

		if (!is_control(a, c))
			return say(a, TN_AUDIT_CONTROL, c, client,
				   a->in.controls[c].bytes);
		if (a->in.controls[c].alive && c < UINT16_MAX)
			a->control_of[TN_CLIENT_SLOT(client)] =
				(uint16_t)(c + 1);
	}
	return 0;
}

int tn_audit_clients(struct tn_audit *a, uint64_t unused)
{
	(void)unused;
	for (unsigned slot = 0; slot < TN_N_CLIENTS; slot++) {
		uint64_t state = tn_look_client(a, slot);
		uint32_t id = (uint32_t)state;

		if (!state)
			continue;
		if (!slot || TN_CLIENT_SLOT(id) != slot ||
		    id > TN_CLIENT_ID_MASK ||
		    (state - id != TN_CLIENT_ALIVE &&
		     state - id != TN_CLIENT_DEAD))
			return say(a, TN_AUDIT_CLIENT, slot, state, 0);
	}
	return 0;
}

/* The key of entry @i of a table of 64-byte entries, whose second word is
 * @value: is it the only one, and is the entry empty without it? */
static bool key_ok(const struct tn_audit *a, uint64_t table, unsigned i,
		   uint64_t key, uint64_t value)
{
	if (!key)
		return !value && !tn_look8(a, table + i * 64U + 16);
	for (unsigned k = 0; k < i; k++)
		if (tn_look64(a, table + k * 64U) == key)
			return false;
	return true;
}

/* The text may be missing, or half written by who died. */
static void name_check(struct tn_audit *a, uint64_t entry, unsigned i,
		       uint64_t key)
{
	char name[TN_NAME_BYTES];

	if (!a->in.quiescent || !key)
		return;
	if (!name_at(a, entry + 16, name) ||
	    (name[0] && tn_hash_name(name) != key))
		say(a, TN_AUDIT_NAME, i, key, 0);
}

static bool ref_ok(const struct tn_audit *a, uint64_t ref)
{
	if (ref & TN_HANDLE_REF)
		return tn_audit_ref_was(a, ref);
	return ref >> 48 == a->mark &&
	       (ref & ((1ULL << 48) - 1)) < a->in.data_bytes;
}

int tn_audit_roots(struct tn_audit *a, uint64_t unused)
{
	uint64_t table = a->geo.at[TN_AUDIT_AT_ROOTS];

	(void)unused;
	for (unsigned i = 0; i < TN_N_ROOTS; i++) {
		uint64_t key = tn_look64(a, table + i * 64U);
		uint64_t ref = tn_look64(a, table + i * 64U + 8);

		if (!key_ok(a, table, i, key, ref))
			return say(a, TN_AUDIT_ROOT_KEY, i, key, ref);
		if (ref && !ref_ok(a, ref))
			return say(a, TN_AUDIT_ROOT_REF, i, key, ref);
		name_check(a, table + i * 64U, i, key);
	}
	return 0;
}

int tn_audit_caches(struct tn_audit *a, uint64_t unused)
{
	uint64_t table = a->geo.at[TN_AUDIT_AT_CACHES];
	struct tn_audit_cut cut;

	(void)unused;
	for (unsigned i = 0; i < TN_N_CACHES; i++) {
		uint64_t key = tn_look64(a, table + i * 64U);
		uint64_t shape = tn_look64(a, table + i * 64U + 8);

		if (!key_ok(a, table, i, key, shape))
			return say(a, TN_AUDIT_CACHE_KEY, i, key, shape);
		if (shape && !tn_audit_cut_cache(shape, &cut))
			return say(a, TN_AUDIT_CACHE_SHAPE, i, key, shape);
		name_check(a, table + i * 64U, i, key);
	}
	return 0;
}

bool tn_audit_cut(const struct tn_audit *a, uint64_t class,
		  struct tn_audit_cut *ret)
{
	uint64_t entry;

	if (tn_look64(a, 8) >> 32 != TN_KIND_SLAB || class >= TN_N_CLASSES)
		return false;
	if (class < TN_CLASS_CACHE || class >= TN_CLASS_MOVABLE) {
		*ret = tn_audit_cut_class((unsigned)class);
		return true;
	}
	entry = a->geo.at[TN_AUDIT_AT_CACHES] + (class - TN_CLASS_CACHE) * 64;
	return tn_look64(a, entry) &&
	       tn_audit_cut_cache(tn_look64(a, entry + 8), ret);
}
