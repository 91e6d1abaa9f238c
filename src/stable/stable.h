/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The STABLE guarantee: the bytes of a region do not change, even when another process writes to the file.
 */
#ifndef MMGI_STABLE_STABLE_H
#define MMGI_STABLE_STABLE_H

#include "region/region.h"

/** Makes a region whose bytes are STABLE, by the cheapest means that can be used. */
mmg_status mmgi_stable_open(struct source *source, uint64_t length, struct region **region);

#endif
