/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contender apr_mmap of the Apache Portable Runtime. It takes no lock and contains no fault.
 */
#include "contenders.h"

#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_mmap.h>
#include <apr_version.h>

static bool
open_apr(const char *path, struct view *view)
{
    static bool initialised;
    apr_pool_t *pool;
    apr_file_t *file;
    apr_finfo_t facts;
    apr_mmap_t *mapped;
    if (!initialised && apr_initialize() != APR_SUCCESS)
        return false;
    initialised = true;
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS)
        return false;
    if (apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_BINARY, APR_FPROT_OS_DEFAULT, pool) != APR_SUCCESS ||
        apr_file_info_get(&facts, APR_FINFO_SIZE, file) != APR_SUCCESS ||
        apr_mmap_create(&mapped, file, 0, (apr_size_t)facts.size, APR_MMAP_READ, pool) != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return false;
    }
    view->owner = pool;
    view->data = mapped->mm;
    view->size = mapped->size;
    return true;
}

static void
close_apr(struct view *view)
{
    apr_pool_destroy(view->owner); /* unmaps and closes what the pool owns */
}

const struct contender apr_mapped = {"APR apr_mmap", open_apr, close_apr, false, NULL};

const char *
apr_release(void)
{
    return apr_version_string();
}
