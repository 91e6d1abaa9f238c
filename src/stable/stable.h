/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The STABLE guarantee: bytes that do not change, whoever writes to the file.
 */
#ifndef MMGI_STABLE_STABLE_H
#define MMGI_STABLE_STABLE_H

#include "region/region.h"

/** Open a window so that its bytes are stable, by the cheapest means that holds. */
mmg_status mmgi_stable_open(struct source *source, uint64_t length, struct region **region);

#endif
