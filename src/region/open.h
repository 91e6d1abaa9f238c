/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * From a source to a region: the decision what is to hold the bytes.
 */
#ifndef MMGI_REGION_OPEN_H
#define MMGI_REGION_OPEN_H

#include "region/region.h"

/** Make a region of a source, which is closed or taken over in any case. */
mmg_status mmgi_region_open(struct source *source, struct region **region);

#endif
