/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the parts of the host share: host.c takes the steps, and each other file has one kind of them.
 */
#ifndef MMAPGUARD_TESTS_HOST_H
#define MMAPGUARD_TESTS_HOST_H

#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "mmapguard.h"

#define HOST_PAGES 64
#define SLOTS 4
#define WITHIN 123 /* the offset in a page that the host touches */

/** A line of the output while it is written. */
struct line {
    char text[320];
    size_t used;
};

/** What a handler does with a fault that it does not repair. */
enum chain {
    CHAIN_CALL,           /* call the function that was saved */
    CHAIN_RESTORE_RETURN, /* put the saved action back and return */
    CHAIN_RESTORE_RAISE,  /* put the saved action back and raise() */
    CHAIN_HOOK            /* ask mmg_handle_fault() first, then as CALL */
};

/** A kind of handler. */
struct kind {
    const char *name;
    int flags;
    bool masks;      /* has a mask of its own */
    bool jumps;      /* leaves by siglongjmp */
    bool reinstalls; /* installs itself again each time it runs */
    bool resets;     /* sets the default action and returns, as Rust's runtime does */
    bool nests;      /* reads a lost page of the library inside the handler */
};

/** A handler that is installed. */
struct slot {
    const struct kind *kind;
    enum chain chain;
    int owns; /* the file whose faults it repairs: 0 for "a", 1 for "b", -1 for none */
    bool log_mask;
    struct sigaction action;
    struct sigaction old;
};

/** The size of a page. */
extern size_t page;
/** True when the program runs without the library. */
extern bool twin;

/* ------------------------------------------------------------------------------------------------- host_log.c -- */

void put(struct line *line, const char *text);
void put_number(struct line *line, uint64_t number, unsigned base);
void put_signed(struct line *line, int64_t number);
/** Puts the signal mask of the thread. */
void put_mask(struct line *line);
/** Writes the line and a newline to a descriptor. */
void flush_line(struct line *line, int descriptor);
/** Writes one line to standard output. */
void say(const char *text);
/** Writes to standard error what went wrong, and ends the program with status 99. */
_Noreturn void fail(const char *what, int64_t number);
/** Calls fail() with errno unless `ok` is true. */
void need(bool ok, const char *what);
/** Returns the number at the end of a step. */
int number_in(const char *text);

/* -------------------------------------------------------------------------------------------- host_handlers.c -- */

/** A file that is mapped and then cut to one page. Every page behind that one faults until it is repaired. */
struct cut_file {
    uint8_t *base;
    size_t next; /**< the next page that was not touched yet */
};

/** The two files, "a" and "b". */
extern struct cut_file files[2];
/** The address that the program is touching, and its file: 0 for "a", 1 for "b", -1 for neither. */
extern volatile uint8_t *volatile touching;
extern volatile int touching_file;
/** True while the program reads a cut region of the library. Then the handlers must not write lines. */
extern volatile bool reading_ours;
/** Where a handler jumps to, and whether it may. */
extern _Thread_local sigjmp_buf leave;
extern _Thread_local volatile sig_atomic_t may_leave;

void map_files(void);
/** Takes a step `install:`. */
void install(char *what);
/** Calls the action that was installed before a handler. */
void call_saved(const struct sigaction *old, int signo, siginfo_t *info, void *context);

/* --------------------------------------------------------------------------------------------- host_library.c -- */

void load_library(void);
/** Takes a step that needs the library. Does nothing in the twin. */
void library_step(const char *step);
/** Does what a handler wants with a fault that it does not repair. */
void pass_on(struct slot *slot, int signo, siginfo_t *info, void *context);
/** Reads a page of a region whose file was just cut. A handler calls this function. */
void touch_ours(void);

/* ---------------------------------------------------------------------------------------------- host_events.c -- */

/** Causes a fault or sends a signal, which a handler may leave by a jump. */
void run_event(const char *step);
/** Touches the same page `count` times. A handler must leave each fault by a jump. */
void many_faults(int count);
/** Does the same, each time from a deeper call. */
int deeper_faults(int count);

#endif
