/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the FFI module for LuaJIT knows about the C module. The build copies the part between the two markers into
 * ffi.lua, so that part has declarations only and needs only mmapguard.h.
 */
#ifndef MMAPGUARD_LUA_SHARED_H
#define MMAPGUARD_LUA_SHARED_H

#include "mmapguard.h"

#include <stddef.h>

/* MMGL_CDEF_BEGIN */
/** The userdata behind a region or a span. */
typedef struct mmgl_view {
    const uint8_t *data;        /**< the bytes; NULL when the view is closed */
    const int32_t *losses;      /**< the counter of mmg_loss_counter(), signed, since LuaJIT compares that with fewer
                                     instructions; NULL when the view is closed */
    uint64_t size;              /**< number of bytes; 0 when the view is closed */
    double length;              /**< the size as a number of Lua 5.1 */
    int32_t reach;              /**< the size, or the largest int32_t if that is less */
    int32_t is_span;            /**< 1 for a span, 0 for a region */
    struct mmgl_shared *shared; /**< the data that a region and its spans share; NULL when the view is closed */
    uint64_t start;             /**< offset of the first byte in the region */
    mmg_span pin;               /**< keeps the bytes mapped */
    uint64_t seal;              /**< by which C code knows an open view; 0 when the view is closed */
} mmgl_view;

/** Memory in which the FFI module gets the bytes of a string. */
typedef struct mmgl_buffer {
    int32_t turn; /**< changes when bytes are copied, so that the module knows when they were replaced; it is even */
    int32_t size; /**< number of the bytes that were copied last */
    uint8_t bytes[4096];
} mmgl_buffer;

/**
 * The state of a loop over lines. A copy of the next lines is in `bytes`, since finding and making a string there needs
 * no C function of the module.
 */
typedef struct mmgl_reader {
    const mmgl_view *view; /**< NULL at the end */
    double offset;         /**< offset in the view of the first line that is not in `bytes` */
    int32_t start;         /**< index in `bytes` of the next line */
    int32_t stop;          /**< index behind the last line in `bytes`; each line before it has an end */
    uint8_t bytes[4097];   /**< has room for the end that the last line of a file may lack */
} mmgl_reader;

/** Functions that compiled code calls. They raise no Lua error and call no Lua function. */
typedef struct mmgl_calls {
    /**
     * Returns 1 when bytes of a range are known to be lost, else 0. The caller has read the range.
     * @param offset, size  a range inside the view, which is open
     */
    int32_t (*is_lost)(const mmgl_view *view, double offset, double size);
    /**
     * Copies a part of an open view, which two positions give, counted from 1.
     * @return the turn of the buffer, which has the bytes and their number; -1, and an empty buffer, when the module must
     *         call the method `sub`, since the part is not inside the view, is larger than the buffer, or has lost bytes
     */
    int32_t (*copy_part)(const mmgl_view *view, double i, double j, mmgl_buffer *buffer);
    /**
     * Copies the next whole lines.
     * @return 1 when there are lines in `bytes`; 0 when there is no further line; -1 when the module must call the C
     *         module, since the view is closed, the next line is larger than the buffer, or bytes are lost
     */
    int32_t (*copy_lines)(mmgl_reader *reader);
    /** This is memchr(3). */
    void *(*find_byte)(const void *bytes, int byte, size_t size);
    /**
     * Searches for a plain text near a position, which is counted from 1.
     * @param plain  0 when magic characters have their meaning; the function then does not search for a text that has
     *               one
     * @return the position of the first match; -1 when the module must call the method `find`
     */
    double (*find_nearby)(const mmgl_view *view, double init, const char *text, uint64_t size, int32_t plain);
} mmgl_calls;
/* MMGL_CDEF_END */

#endif
