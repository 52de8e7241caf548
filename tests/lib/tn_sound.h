/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* The end of tests that have one pool, "p", open over a tarnd. */
#include "tarn/admin.h"
#include "tests/lib/tn_test.h"

/* An audit finds nothing. */
void tn_sound(struct tarn *t);

/* So; and then all is closed and ended. Return: as of tn_test_teardown(). */
int tn_sound_end(void **state, struct tn_test_daemon *d, struct tarn *t,
		 struct tarn_pool *pool);
