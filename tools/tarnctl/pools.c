/* SPDX-License-Identifier: BSD-2-Clause */
/* list, create, destroy, trim */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/tarnctl/table.h"
#include "tools/tarnctl/tarnctl.h"
#include "tools/words.h"

static const struct column list_columns[] = {
	{ "name", "NAME", COLUMN_TEXT },
	{ "kind", "KIND", COLUMN_TEXT },
	{ "policy", "FIT", COLUMN_TEXT },
	{ "bytes", "SIZE", COLUMN_BYTES },
	{ NULL, "RESIDENT", COLUMN_BYTES },
	{ "data_resident", NULL, COLUMN_BYTES },
	{ "meta_resident", NULL, COLUMN_BYTES },
	{ "clients", "CLIENTS", COLUMN_NUMBER },
	{ NULL, "OWNER", COLUMN_TEXT },
	{ NULL, "GROUP", COLUMN_TEXT },
	{ "uid", NULL, COLUMN_NUMBER },
	{ "gid", NULL, COLUMN_NUMBER },
	{ "mode", "MODE", COLUMN_TEXT },
	{ "abort_on_misuse", NULL, COLUMN_FLAG },
	{ "reserved", NULL, COLUMN_FLAG },
	{ NULL, "STATE", COLUMN_TEXT },
	{ "poisoned", NULL, COLUMN_FLAG },
};

static void list_row(struct table *t, const struct tarn_pool_info *p)
{
	char text[64];

	table_row(t);
	table_text(t, p->name);
	table_text(t, WORD_OF(kind_words, p->kind));
	table_text(t, WORD_OF(policy_words, p->policy));
	table_bytes(t, p->bytes);
	table_bytes(t, p->data_resident + p->meta_resident);
	table_bytes(t, p->data_resident);
	table_bytes(t, p->meta_resident);
	table_number(t, p->n_clients);
	table_text(t, user_text(p->uid, text));
	table_text(t, group_text(p->gid, text));
	table_number(t, p->uid);
	table_number(t, p->gid);
	snprintf(text, sizeof(text), "%04" PRIo32, p->mode);
	table_text(t, text);
	table_flag(t, p->flags & TARN_POOL_ABORT_ON_MISUSE);
	table_flag(t, p->flags & TARN_POOL_RESERVE);
	table_text(t, p->flags & TARN_POOL_POISONED ? "poisoned" :
		      p->flags & TARN_POOL_RESERVE ? "reserved" : NULL);
	table_flag(t, p->flags & TARN_POOL_POISONED);
}

int run_list(struct request *q)
{
	struct tarn_pool_info *pools = NULL;
	int n = tarn_pool_list(q->tarn, &pools);
	struct table *t;

	if (n < 0)
		return failed(n, "cannot list the pools");
	t = TABLE_NEW("pools", list_columns, q->json);
	for (int i = 0; i < n; i++)
		list_row(t, &pools[i]);
	table_print(t);
	table_free(t);
	free(pools);
	return DID;
}

int run_create(struct request *q)
{
	int r;

	if (!q->opts.bytes) {
		failed(0, "create: --bytes is missing");
		return MISUSED;
	}
	r = tarn_pool_create(q->tarn, q->name, &q->opts);
	if (r == -EINVAL)
		return failed(0, "cannot make pool '%s': a name is 1 to %d of "
			      "A-Z a-z 0-9 . _ - and begins with no dot; "
			      "a size 1M to 1T", q->name, TARN_NAME_MAX);
	return r < 0 ? failed_pool(q, r, "make") : DID;
}

int run_destroy(struct request *q)
{
	int r = q->revoke ? tarn_pool_revoke(q->tarn, q->name) :
			    tarn_pool_destroy(q->tarn, q->name);

	return r < 0 ? failed_pool(q, r, "destroy") : DID;
}

int run_trim(struct request *q)
{
	struct tarn_pool *pool;
	uint64_t bytes = 0;
	char text[16];
	int r = tarn_pool_open(q->tarn, q->name, TARN_PRODUCER, &pool);

	if (r < 0)
		return failed_pool(q, r, "trim");
	r = tarn_trim(pool, &bytes);
	tarn_pool_close(pool);
	if (r < 0)
		return failed_pool(q, r, "trim");
	printf("%s returned to the system\n", bytes_text(bytes, text));
	return DID;
}
