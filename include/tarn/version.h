/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once
/* The one place where the version is written. */
#define TARN_VERSION "0.1.0"
