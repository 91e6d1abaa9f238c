/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A plugin with its own copy of the library, for chain.c and unload.c. A Rust crate or a plugin of another vendor
 * brings such a copy into a process.
 */
#include "copy.h"

#include <stddef.h>

static mmg_handle handle;
static mmg_span span;

const uint8_t *
copy_map(const char *path)
{
    mmg_options options = MMG_OPTIONS_INIT;
    options.backing = MMG_BACKING_MAP;
    if (mmg_open(path, &options, &handle, NULL) != MMG_OK || mmg_pin(handle, 0, MMG_TO_END, &span) != MMG_OK) {
        return NULL;
    }
    return span.data;
}

mmg_status
copy_unmap(void)
{
    mmg_status status = mmg_unpin(&span);
    mmg_close(handle, 0);
    return status;
}

mmg_status
copy_open_and_close(const char *path, uint32_t guarantee, uint32_t *means)
{
    mmg_info info = MMG_INFO_INIT;
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_handle opened;
    options.backing = guarantee == MMG_GUARANTEE_STABLE ? MMG_BACKING_AUTO : MMG_BACKING_MAP;
    options.guarantee = guarantee;
    mmg_status status = mmg_open(path, &options, &opened, NULL);
    if (status != MMG_OK) {
        return status;
    }
    status = mmg_info_get(opened, &info);
    *means = info.means;
    const mmg_status end = mmg_close(opened, 0);
    return status == MMG_OK ? end : status;
}

int32_t
copy_guard_state(void)
{
    return mmg_guard_state();
}
