/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The userdata behind regions and spans. Both are views: bytes that stay pinned until the userdata is closed. A region
 * and its spans share one handle. The last of them closes the handle, so that a span can still report losses after its
 * region was closed.
 *
 * lua_error() is a longjmp. Therefore no C function holds a resource while it calls Lua: it makes the userdata first,
 * empty and with its metatable, and gives to the userdata whatever it acquires afterwards.
 */
#ifndef MMAPGUARD_LUA_VIEW_H
#define MMAPGUARD_LUA_VIEW_H

#include "compat.h"
#include "shared.h"

#include <stdatomic.h>
#include <stddef.h>

/**
 * The data of the module for each Lua state. The collector sees only a few bytes of each view, so the module itself
 * counts what views hold.
 */
struct mmgl_state {
    uint64_t views, views_limit; /* open views, and how many may be open before a collection */
    uint64_t bytes, bytes_limit; /* bytes of copied regions, and the same limit for them */
    bool clamps_init;            /* string.find treats a start behind the end as the end, as in 5.1 */
};

/** The data that a region and its spans share. The allocator of Lua made it. */
struct mmgl_shared {
    mmg_handle handle; /* 0: not opened yet */
    struct mmgl_state *state;
    uint64_t weight;       /* bytes of memory that the region takes */
    size_t holders;        /* number of views */
    size_t room;           /* size of this block */
    bool raises_on_change; /* at the end of the region, a file that was written to causes an error and not a warning */
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

/** Returns the view at stack index 1, open or closed; or NULL when that value is not a view. */
struct mmgl_view *mmgl_test_view(lua_State *L);

/** Returns the same view. Raises an argument error when the value is not a view. */
struct mmgl_view *mmgl_to_view(lua_State *L);

/** Returns the same view. Raises an error when the value is not a view, or is a closed view. */
struct mmgl_view *mmgl_check_unknown_view(lua_State *L);

#define MMGL_KNOWN_VIEWS 64u

/**
 * Addresses of open views, by which most calls recognize a view. That takes a third of the instructions that a
 * comparison of metatables takes. All Lua states of the process share the table. A view is removed when it is closed.
 */
extern _Atomic(const void *) mmgl_known_views[MMGL_KNOWN_VIEWS];

/** Returns the place of an address in mmgl_known_views. */
static inline _Atomic(const void *) *
mmgl_known_place(const void *view)
{
    return &mmgl_known_views[((uintptr_t)view >> 5) % MMGL_KNOWN_VIEWS];
}

/** Returns the value of mmgl_view.seal in an open view. */
static inline uint64_t
mmgl_seal_of(const void *view)
{
    return (uintptr_t)view ^ (uintptr_t)mmgl_known_views;
}

/** Does what mmgl_check_unknown_view() does, and is quick when the view was used before. */
static inline struct mmgl_view *
mmgl_check_view(lua_State *L)
{
    struct mmgl_view *view = lua_touserdata(L, 1);

    /*
     * Relaxed order is enough: only the thread that runs the Lua state of a view enters or removes that view. A light
     * userdata can have any address, but its length is 0. When the C stack overflows, Lua frees userdata without their
     * finalizers; then another userdata may have the address of a known view, but not its seal.
     */
    if (view != NULL && atomic_load_explicit(mmgl_known_place(view), memory_order_relaxed) == view &&
        lua_rawlen(L, 1) == sizeof *view && view->seal == mmgl_seal_of(view))
        return view;
    return mmgl_check_unknown_view(L);
}

/** Pushes a new, closed view, and returns it. */
struct mmgl_view *mmgl_new_view(lua_State *L, bool is_span);

/** Opens a view whose `pin`, `shared` and `losses` are set. */
void mmgl_fill_view(struct mmgl_view *view, uint64_t start);

/** Closes a view. A second call does nothing. Raises no error. Returns the status of mmg_unpin(). */
mmg_status mmgl_release(lua_State *L, struct mmgl_view *view);

/** Converts two positions to an offset and a length, as string.sub does. */
uint64_t mmgl_slice(const struct mmgl_view *view, int64_t i, int64_t j, uint64_t *length);

/** Converts two optional arguments, by default the first and the last position, to an offset and a length. */
uint64_t mmgl_check_slice(lua_State *L, const struct mmgl_view *view, int arg, uint64_t *length);

/** Does what mmgl_check_start() does, for every argument. */
uint64_t mmgl_check_any_start(lua_State *L, const struct mmgl_view *view, int arg);

/** Converts the position at which string.find would start to an offset, which may be behind the end. */
static inline uint64_t
mmgl_check_start(lua_State *L, const struct mmgl_view *view, int arg)
{
    int64_t position;

    if (mmgl_take_integer(L, arg, &position) && position > 0)
        return (uint64_t)position - 1;
    return mmgl_check_any_start(L, view, arg);
}

/** Pushes the message for a loss. */
void mmgl_push_loss(lua_State *L, const struct mmgl_view *view, mmg_status status);

/** Raises an error with the message for a loss. */
int mmgl_raise_loss(lua_State *L, const struct mmgl_view *view, mmg_status status);

/** Returns the cause when bytes of the range are known to be lost, else MMG_OK. */
mmg_status mmgl_loss_within(const struct mmgl_view *view, uint64_t offset, uint64_t length);

/** Returns true when any byte of the region is known to be lost. Call it after the bytes were read. */
static inline bool
mmgl_has_loss(const struct mmgl_view *view)
{
    /* The counter grows before a reader can see the first zero of a loss. So the bytes must be read before the counter. */
    atomic_thread_fence(memory_order_acquire);
    return *(const volatile int32_t *)view->losses != 0;
}

/** Raises an error when bytes of a range are known to be lost. Call it after the range was read. */
static inline void
mmgl_verify(lua_State *L, const struct mmgl_view *view, uint64_t offset, uint64_t length)
{
    if (mmgl_has_loss(view)) {
        mmg_status status = mmgl_loss_within(view, offset, length);
        if (status != MMG_OK)
            mmgl_raise_loss(L, view, status);
    }
}

/** Pushes a string of bytes that another process may be changing. */
void mmgl_push_bytes(lua_State *L, const unsigned char *data, size_t size);

/**
 * Stores the constant of the module for a word in lower case; for example, LOCK_OFD for "LOCK_" and "ofd". Returns true
 * when there is such a constant.
 */
bool mmgl_constant(lua_State *L, const char *prefix, const char *word, uint32_t *value);

/* The methods, by file. */
int mmgl_find(lua_State *L);         /* find.c */
int mmgl_lines(lua_State *L);        /* lines.c */
int mmgl_line_at(lua_State *L);      /* lines.c: the line at an offset, for the FFI module */
int mmgl_unpack(lua_State *L);       /* unpack.c */
int mmgl_view_advise(lua_State *L);  /* state.c */
int mmgl_view_changed(lua_State *L); /* state.c */
int mmgl_view_check(lua_State *L);   /* state.c */
int mmgl_view_info(lua_State *L);    /* state.c */
int mmgl_view_verify(lua_State *L);  /* state.c */

/**
 * Returns the result of mmg_verify() for a view. When the file was written to and the script has not asked for an error,
 * the function writes a warning and returns MMG_OK. It is in state.c.
 */
mmg_status mmgl_verified_state(const struct mmgl_view *view);

/** Does the work of `find_nearby` in mmgl_calls. It is in find.c. */
double mmgl_find_for_ffi(const struct mmgl_view *view, double init, const char *text, uint64_t size, int32_t plain);

/** Adds open and load to the module's table. The caller has the upvalues of methods. It is in open.c. */
void mmgl_add_open(lua_State *L);

/** Adds guard_process and losses to the module's table. The caller has the upvalues of methods. It is in process.c. */
void mmgl_add_process(lua_State *L);

/**
 * Stores in the registry what the FFI module for LuaJIT needs. The caller has the upvalues of methods, and the table of
 * methods is at the index `methods`. It is in shared.c.
 */
void mmgl_share(lua_State *L, int methods);

/** Pushes a table of the counters of the process. It is in state.c. */
void mmgl_push_stats(lua_State *L, const mmg_stats *stats);

/**
 * Makes the metatables, and adds the hand-written functions to the module's table at the top of the stack. It is in
 * methods.c.
 */
void mmgl_setup(lua_State *L);

/** Pushes `function` as a closure with the upvalues of the running function. */
void mmgl_push_method(lua_State *L, lua_CFunction function);

#endif
