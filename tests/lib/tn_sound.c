/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_sound.h"

void tn_sound(struct tarn *t)
{
	struct tarn_audit audit = { .sz = sizeof(audit) };

	assert_int_equal(tarn_audit(t, "p", 0, &audit), 0);
}

int tn_sound_end(void **state, struct tn_test_daemon *d, struct tarn *t,
		 struct tarn_pool *pool)
{
	tn_sound(t);
	tarn_pool_close(pool);
	tarn_disconnect(t);
	tn_test_daemon_stop(d);
	return tn_test_teardown(state);
}
