/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/lib/tn_must.h"

#include <stdio.h>
#include <stdlib.h>

void tn_must_failed(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: it does not hold: %s\n", file, line, what);
	abort();
}
