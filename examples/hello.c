/* SPDX-License-Identifier: BSD-2-Clause */
/* The README's program. Run it twice: the second run finds the first's note. */
#include <stdio.h>
#include <string.h>

#include <tarn/tarn.h>

int main(void)
{
	struct tarn *t;
	struct tarn_pool *pool;
	char *note;

	if (tarn_connect(NULL, &t) < 0)
		return fputs("no tarnd: try tarn-run ./hello\n", stderr), 1;
	tarn_pool_create(t, "hello", TARN_POOL_OPTS(.bytes = 1 << 20));
	if (tarn_pool_open(t, "hello", TARN_PRODUCER, &pool) < 0)
		return 1;
	note = tarn_ptr(pool, tarn_root_get(pool, "note"));
	printf("%s\n", note ? note : "no note yet; leaving one");
	if (!note && (note = tarn_alloc(pool, 64))) {
		strcpy(note, "hello from another process");
		tarn_detach(pool, tarn_ref_of(pool, note)); /* outlive me */
		tarn_root_set(pool, "note", tarn_ref_of(pool, note));
	}
	tarn_pool_close(pool);
	tarn_disconnect(t);
	return 0;
}
