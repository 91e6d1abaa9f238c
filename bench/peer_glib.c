/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * GLib's GMappedFile and g_file_get_contents as contenders. They take no lock.
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

static bool
open_contents(const char *path, struct view *view)
{
    gchar *contents;
    gsize length;
    if (!g_file_get_contents(path, &contents, &length, NULL))
        return false;
    view->owner = contents;
    view->data = (const uint8_t *)contents;
    view->size = length;
    return true;
}

static void
close_contents(struct view *view)
{
    g_free(view->owner);
}

const struct contender glib_mapped_file = {"GMappedFile", open_glib, close_glib, false, NULL};
const struct contender glib_contents = {"g_file_get_contents", open_contents, close_contents, true, NULL};
