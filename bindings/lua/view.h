/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The userdata behind a region and behind a span. Both are views: bytes that are pinned for as long as the userdata is
 * not closed. A region and its spans share the handle, which is closed with the last of them, so that a span can
 * still say what was lost after its region was closed.
 *
 * lua_error() is a longjmp. Nothing is therefore held by a C function while it calls Lua: the userdata is made first,
 * empty and with its metatable, and whatever is acquired afterwards belongs to it from the start.
 */
#ifndef MMAPGUARD_LUA_VIEW_H
#define MMAPGUARD_LUA_VIEW_H

#include "compat.h"
#include "mmapguard.h"

#include <stddef.h>

/** Ranges of more pages are not looked through: asking the library costs as much. */
#define MGL_FEW_PAGES 4

/** What a Lua state has open: the collector sees a few bytes for each, and is helped to see the rest. */
struct budget {
    uint64_t views, views_limit;
    uint64_t bytes, bytes_limit;
};

/** What a region and its spans have in common. In memory of the Lua state's allocator. */
struct shared {
    mmg_handle handle; /* 0: not opened yet */
    struct budget *budget;
    uint64_t weight; /* bytes that the region costs */
    size_t holders;  /* views */
    size_t room;     /* bytes of this block */
    size_t page;     /* bytes are lost in pages of this size; 0: a copy, which loses nothing */
    char name[];     /* for messages */
};

struct view {
    const unsigned char *data; /* NULL: closed */
    uint64_t size;
    struct shared *shared; /* NULL: closed */
    mmg_span pin;
    uint64_t start; /* offset in the region */
    bool is_span;
};

/** The upvalues that every function on views has. */
enum {
    MGL_REGION = 1, /* metatable of regions */
    MGL_SPAN,       /* metatable of spans */
    MGL_MODULE,     /* the module's table, with the constants */
    MGL_BUDGET,     /* struct budget */
    MGL_UPVALUES = MGL_BUDGET
};

/** What mmg_info_get() says about the region of a view. */
mmg_info mgl_describe(const struct view *view);

/** The view at stack index 1, whatever its state, or NULL. */
struct view *mgl_test_view(lua_State *L);

/** The same, or an argument error. */
struct view *mgl_to_view(lua_State *L);

/** The same if it is open, else an error. */
struct view *mgl_check_view(lua_State *L);

/** Push a new, closed view and return it. */
struct view *mgl_new_view(lua_State *L, bool is_span);

/** Let go of what a view holds; harmless when repeated. Raises nothing. Returns what mmg_unpin() says. */
mmg_status mgl_release(lua_State *L, struct view *view);

/** Resolve two positions as string.sub does, into an offset and a length. */
uint64_t mgl_slice(const struct view *view, int64_t i, int64_t j, uint64_t *length);

/** The same for optional arguments, by default everything. */
uint64_t mgl_check_slice(lua_State *L, const struct view *view, int arg, uint64_t *length);

/** Resolve a position to start at, as string.find does: an offset, perhaps behind the end. */
uint64_t mgl_check_start(lua_State *L, const struct view *view, int arg);

/** Push the message for a loss, or raise it as an error. */
void mgl_push_loss(lua_State *L, const struct view *view, mmg_status status);
int mgl_raise_loss(lua_State *L, const struct view *view, mmg_status status);

/** The cause if bytes of the range are known to be lost, or MMG_OK. */
mmg_status mgl_loss_within(const struct view *view, uint64_t offset, uint64_t length);

/**
 * To be called after bytes of the range were read: an error if they may not be what the file had.
 *
 * Lost bytes read as zeroes for ever after. They come in whole pages, or reach to the end of the region. So a lost
 * byte in a range shows at its first byte, at its last, or at one of those that follow the first at the distance of
 * a page; only if one of these is zero is the library asked.
 */
static inline void
mgl_verify(lua_State *L, const struct view *view, uint64_t offset, uint64_t length)
{
    size_t page = view->shared->page;

    if (page == 0 || length == 0)
        return;
    const unsigned char *first = view->data + offset, *last = first + (length - 1);
    bool suspect = *last == 0 || length > MGL_FEW_PAGES * page;
    for (; !suspect && first < last; first += page) {
        suspect = *first == 0;
        if ((size_t)(last - first) < page)
            break;
    }
    if (suspect) {
        mmg_status status = mgl_loss_within(view, offset, length);
        if (status != MMG_OK)
            mgl_raise_loss(L, view, status);
    }
}

/** Push a string of bytes that others may be changing. */
void mgl_push_bytes(lua_State *L, const unsigned char *data, size_t size);

/** The module's constant for a lower-case word: with "LOCK_" and "ofd", LOCK_OFD. False if there is none. */
bool mgl_constant(lua_State *L, const char *prefix, const char *word, uint32_t *value);

/* The methods, by file. */
int mgl_find(lua_State *L);   /* find.c */
int mgl_lines(lua_State *L);  /* lines.c */
int mgl_unpack(lua_State *L); /* unpack.c */

/** Add open and load to the module's table. For a function with the upvalues of methods. open.c */
void mgl_add_open(lua_State *L);

/** Push a table of the counters of the process. methods.c */
void mgl_push_stats(lua_State *L, const mmg_stats *stats);

/** Make the metatables, and add the hand-written functions to the module's table at the top of the stack. methods.c */
void mgl_setup(lua_State *L);

/** Push `function` as a closure with the upvalues of the running function. */
void mgl_push_method(lua_State *L, lua_CFunction function);

#endif
