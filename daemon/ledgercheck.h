/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* Do the records of a ledger fit together? */
#include "daemon/ledger.h"

/** ledgercheck() - of one whose records are whole each; 0, -EUCLEAN with @why,
 *  -ENOMEM */
int ledgercheck(const struct ledger *ledger, char why[LEDGER_WHY_BYTES]);
