/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the parts of the fault injection share: the failures, the judgement, the scenarios, and the driver.
 */
#ifndef MMAPGUARD_TESTS_INJECT_H
#define MMAPGUARD_TESTS_INJECT_H

#include "check.h"
#include "shim.h"

#define SIZE 140000

/* ------------------------------------------------------------------------------------------------- failures.c -- */

/** A function, and the errors with which a kernel or a C library may make it fail. 0 ends the list. */
struct failing {
    enum shim_function function;
    int codes[12];
};

extern const struct failing failings[];
extern const size_t failing_count;

/**
 * Returns true when the failure must not be visible to a caller: an interruption, a partial transfer, or a failed close
 * or unmapping.
 */
bool is_invisible(enum shim_function function, int code);

/**
 * Returns true when every later call may fail in the same way. Interruptions and short transfers do not repeat for
 * ever, but a file system or a limit may refuse every call.
 */
bool may_last(enum shim_function function, int code);

bool is_allocation(enum shim_function function);

/** Returns the words for an errno or for a partial transfer. */
const char *code_name(int code);

/* -------------------------------------------------------------------------------------------------- observe.c -- */

/** True when no failure is visible, so every call must succeed. */
extern bool strict;
/** True when the kernel gives leases on the files of the scenarios. */
extern bool has_leases;
/** The error that was injected, or 0. */
extern int injected;

/** The calls of the library whose status is judged. */
enum call {
    OPEN,
    ADOPT,
    GUARD,
    READ_FD,
    PIN,
    READ,
    FIND,
    CHECK_STATE,
    CHANGED,
    ADVISE,
    RESIDENT,
    EXPORT
};

/** Checks the status of a call. Returns true when the call has succeeded. */
bool observe(enum call call, mmg_status status, const char *what);

/** Checks a call that opens, which returns `expected` without a failure. Returns true when there is a handle. */
bool observe_open(enum call call, mmg_status status, mmg_status expected, mmg_handle handle, const mmg_error *error);

/* ----------------------------------------------------------------------------- opening.c: the scenarios that open -- */

/** The path of the file that a scenario uses. */
extern const char *path;

/**
 * Uses a region in every way, and closes it. `from` is its offset in the file, or MMG_TO_END when its bytes are not the
 * pattern.
 */
void use(mmg_handle handle, uint64_t from, uint64_t size);

/** Cuts the file of a STABLE region. The bytes must stay, or the region must report that they may have changed. */
void cut_stable(mmg_handle handle);

void small_file(void);
void mapped_file(void);
void copied_file(void);
void mapped_window(void);
void ofd_locked_file(void);
void required_lock(void);
void contended_lock(void);
void empty_file(void);
void virtual_file(void);
void small_descriptor(void);
void mapped_descriptor(void);
void long_stream(void);
void pipe_stream(void);
void fifo(void);
void fifo_without_writer(void);
void stable_file(void);
void many_handles_and_pins(void);

/* ---------------------------------------------------------------- mappings.c: the scenarios that read a mapping -- */

void guardless_search(void);
void contained_fault(void);
void foreign_fault(void);
void listed_foreign_fault(void);
void nameless_foreign_fault(void);
void adopted_mapping(void);
void adopted_fault(void);
void leased_adoption(void);
void copied_adoption(void);

/* --------------------------------------------------------------------------------------------------- moving.c -- */

void a_mapped_file_may_change_its_size_while_it_is_opened(void);
void a_copied_file_may_change_its_size_while_it_is_opened(void);
void a_small_file_may_change_its_size_while_it_is_opened(void);
void a_copy_of_a_file_that_is_written_meanwhile_is_known(void);
void a_file_that_is_filled_while_it_is_opened_is_no_virtual_one(void);

/* ------------------------------------------------------------------------------------------ inject.c: the driver -- */

struct scenario {
    void (*run)(void);
    int implausible;    /**< an errno that is impossible in this scenario */
    bool only_memory;   /**< only allocations fail, since the scenario has too many equal other calls */
    bool may_be_killed; /**< SIGBUS may kill the child, when the kernel gives no answer or no mapping for lost pages */
};

/** Begins with a scenario and its file: a child runs the scenario without a failure, and its calls are counted. */
void begin(const struct scenario *chosen, const char *file);

/** Returns how often the scenario calls the function when nothing fails. */
unsigned rehearsed_calls(enum shim_function function);

/**
 * Runs the scenario with one failed call, or (`lasts`) with all later calls failed, too. Returns true when the failure
 * was reached.
 */
bool inject(enum shim_function function, unsigned nth, int code, bool lasts);

/** Forgets the scenario. */
void finish(void);

#endif
