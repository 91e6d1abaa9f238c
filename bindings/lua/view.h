/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The userdata behind regions and spans. Both are views: bytes that stay pinned as long as the userdata is not closed.
 * A region and its spans share one handle. The last of them closes the handle, so that a span can still say what was
 * lost after its region was closed.
 *
 * lua_error() is a longjmp. Therefore no C function holds a resource while it calls Lua: it makes the userdata first,
 * empty and with its metatable, and gives to the userdata whatever it acquires afterwards.
 */
#ifndef MMAPGUARD_LUA_VIEW_H
#define MMAPGUARD_LUA_VIEW_H

#include "compat.h"
#include "shared.h"

#include <stddef.h>

/** In a range of more pages the binding does not look for zeroes: to ask the library costs as much. */
#define MMGL_MAX_PROBED_PAGES 4

/** What the module keeps for each Lua state. The collector sees a few bytes of each view; the counts say the rest. */
struct mmgl_state {
    uint64_t views, views_limit; /* open views, and how many may be open before a collection */
    uint64_t bytes, bytes_limit; /* bytes of copied regions, and the same limit for them */
    bool clamps_init;            /* string.find takes a start behind the end for the end, as in 5.1 */
};

/** What a region and its spans have in common. Lua's allocator made it. */
struct mmgl_shared {
    mmg_handle handle; /* 0: not opened yet */
    struct mmgl_state *state;
    uint64_t weight;       /* bytes that the region costs */
    size_t holders;        /* views */
    size_t room;           /* bytes of this block */
    size_t page;           /* bytes are lost in pages of this size; 0: a copy, which loses nothing */
    bool raises_on_change; /* a file that was written to is an error at the end, and not a warning */
    char name[];           /* the path, for messages */
};

/** The upvalues that every function on views has. */
enum {
    MMGL_REGION = 1, /* metatable of regions */
    MMGL_SPAN,       /* metatable of spans */
    MMGL_MODULE,     /* the module's table, with the constants */
    MMGL_STATE,      /* struct mmgl_state */
    MMGL_UPVALUES = MMGL_STATE
};

/** Returns what mmg_info_get() says about the region of a view. */
mmg_info mmgl_describe(const struct mmgl_view *view);

/** Returns the view at stack index 1, open or closed; or NULL when that value is no view. */
struct mmgl_view *mmgl_test_view(lua_State *L);

/** Returns the same view; raises an argument error when the value is no view. */
struct mmgl_view *mmgl_to_view(lua_State *L);

/** Returns the same view; raises an error when the value is no view, or a closed one. */
struct mmgl_view *mmgl_check_view(lua_State *L);

/** Push a new, closed view and return it. */
struct mmgl_view *mmgl_new_view(lua_State *L, bool is_span);

/** Open a view: its pin holds the bytes, and its `shared` is set. */
void mmgl_fill_view(struct mmgl_view *view, uint64_t start);

/** Close a view; harmless when repeated. Raises nothing. Returns what mmg_unpin() says. */
mmg_status mmgl_release(lua_State *L, struct mmgl_view *view);

/** Resolve two positions as string.sub does, into an offset and a length. */
uint64_t mmgl_slice(const struct mmgl_view *view, int64_t i, int64_t j, uint64_t *length);

/** Resolve two optional arguments, by default the first and the last position, into an offset and a length. */
uint64_t mmgl_check_slice(lua_State *L, const struct mmgl_view *view, int arg, uint64_t *length);

/** Resolve the position where string.find would start, into an offset. The offset may lie behind the end. */
uint64_t mmgl_check_start(lua_State *L, const struct mmgl_view *view, int arg);

/** Push the message for a loss. */
void mmgl_push_loss(lua_State *L, const struct mmgl_view *view, mmg_status status);

/** Raise the message for a loss as an error. */
int mmgl_raise_loss(lua_State *L, const struct mmgl_view *view, mmg_status status);

/** Returns the cause when bytes of the range are known to be lost, else MMG_OK. */
mmg_status mmgl_loss_within(const struct mmgl_view *view, uint64_t offset, uint64_t length);

/**
 * Returns true when bytes of the range may be lost. Call it after the range was read.
 *
 * Lost bytes read as zeroes for ever after. A loss takes whole pages, or reaches to the end of the region. So a lost
 * byte in a range shows as a zero at the first byte, at the last byte, or at a byte that follows the first at a multiple
 * of the page size.
 */
static inline bool
mmgl_may_be_lost(const struct mmgl_view *view, uint64_t offset, uint64_t length)
{
    size_t page = view->shared->page;

    if (page == 0 || length == 0)
        return false;
    const unsigned char *first = view->data + offset, *last = first + (length - 1);
    if (*last == 0 || length > MMGL_MAX_PROBED_PAGES * page)
        return true;
    for (;; first += page) {
        if (*first == 0)
            return true;
        if ((size_t)(last - first) < page)
            return false;
    }
}

/** Returns true when a byte that was read as zero may be lost. */
bool mmgl_zero_may_be_lost(const struct mmgl_view *view, uint64_t offset);

/** Raise an error when bytes of a range, which was read before, are known to be lost. */
static inline void
mmgl_verify(lua_State *L, const struct mmgl_view *view, uint64_t offset, uint64_t length)
{
    if (mmgl_may_be_lost(view, offset, length)) {
        mmg_status status = mmgl_loss_within(view, offset, length);
        if (status != MMG_OK)
            mmgl_raise_loss(L, view, status);
    }
}

/** Push a string of bytes that others may be changing. */
void mmgl_push_bytes(lua_State *L, const unsigned char *data, size_t size);

/**
 * Look up the module's constant for a lower-case word: with "LOCK_" and "ofd", LOCK_OFD. Returns false when there is no
 * such constant.
 */
bool mmgl_constant(lua_State *L, const char *prefix, const char *word, uint32_t *value);

/* The methods, by file. */
int mmgl_find(lua_State *L);    /* find.c */
int mmgl_lines(lua_State *L);   /* lines.c */
int mmgl_line_at(lua_State *L); /* lines.c: the line at an offset, for the FFI module */
int mmgl_unpack(lua_State *L);  /* unpack.c */

/** Look for a plain text near an offset, as `mmgl_calls` has it. find.c */
double mmgl_find_for_ffi(const struct mmgl_view *view, double init, const char *text, uint64_t size, int32_t plain);

/** Add open and load to the module's table. For a function with the upvalues of methods. open.c */
void mmgl_add_open(lua_State *L);

/** Add guard_process and losses to the module's table. For a function with the upvalues of methods. process.c */
void mmgl_add_process(lua_State *L);

/**
 * Leave in the registry what the FFI module for LuaJIT needs. For a function with the upvalues of methods; the table of
 * methods is at `methods`. shared.c
 */
void mmgl_share(lua_State *L, int methods);

/** Push a table of the counters of the process. methods.c */
void mmgl_push_stats(lua_State *L, const mmg_stats *stats);

/** Make the metatables, and add the hand-written functions to the module's table at the top of the stack. methods.c */
void mmgl_setup(lua_State *L);

/** Push `function` as a closure with the upvalues of the running function. */
void mmgl_push_method(lua_State *L, lua_CFunction function);

#endif
