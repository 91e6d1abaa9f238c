/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * GLib's GMappedFile as a contender. It takes no lock and contains no fault.
 */
#include "contenders.h"

#include <glib.h>

static bool
open_glib(const char *path, struct view *view)
{
    GMappedFile *file = g_mapped_file_new(path, FALSE, NULL);
    if (file == NULL)
        return false;
    view->owner = file;
    view->data = (const uint8_t *)g_mapped_file_get_contents(file);
    view->size = g_mapped_file_get_length(file);
    return true;
}

static void
close_glib(struct view *view)
{
    g_mapped_file_unref(view->owner);
}

const struct contender glib_mapped_file = {"GMappedFile", open_glib, close_glib};
