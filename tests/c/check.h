/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The test harness. A program is a table of named cases. The harness runs every case twice in one process. It counts
 * descriptors, mappings of files, live regions and the heap before and after the second run, and the case fails when it
 * leaks any of them. The first run comes first so that tables that only grow have grown.
 *
 * After a failed CHECK the case goes on. A failed REQUIRE ends the program, because the rest of the case needs the
 * condition. A case that cannot run on this system calls check_skip(). The program exits with 77 when every case was
 * skipped, with 1 when one failed, else with 0. As an argument, a word selects the cases whose names contain it, and
 * --list lists the cases. With MMAPGUARD_TESTS_WITHOUT_STDIN in the environment, the program first closes its standard input, so
 * that the next descriptor is 0.
 */
#ifndef MMAPGUARD_TESTS_CHECK_H
#define MMAPGUARD_TESTS_CHECK_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "mmapguard.h"

/** Runs the case only once, and does not count the heap. For cases that are too large to run twice. */
#define CHECK_ONCE 1U
/** Does not count the heap, since the C library keeps a varying amount of memory for threads that have ended. */
#define CHECK_THREADS 2U
/** The case loses pages, so it is skipped where a SIGBUS does not tell which address was touched. */
#define CHECK_LOSES 4U

struct check_case {
    const char *name; /**< the promise that the case tests */
    void (*run)(void);
    unsigned flags;
};

int check_main(int argc, char **argv, const struct check_case *cases, size_t count);

#define CHECK_MAIN(cases)                                                                                              \
    int main(int argc, char **argv)                                                                                    \
    {                                                                                                                  \
        return check_main(argc, argv, (cases), sizeof(cases) / sizeof(*(cases)));                                      \
    }

/* Find out which sanitizer the program is built with. GCC and Clang define different macros. */
#if defined(__has_feature)
#define CHECK_HAS_FEATURE(feature) __has_feature(feature)
#else
#define CHECK_HAS_FEATURE(feature) 0
#endif
#if defined(__SANITIZE_THREAD__) || CHECK_HAS_FEATURE(thread_sanitizer)
#define CHECK_UNDER_TSAN 1
#else
#define CHECK_UNDER_TSAN 0
#endif
#if defined(__SANITIZE_ADDRESS__) || CHECK_HAS_FEATURE(address_sanitizer)
#define CHECK_UNDER_ASAN 1
#else
#define CHECK_UNDER_ASAN 0
#endif

/**
 * Defines a case that runs in a child process, which is killed when it does not end in time. The body of the case
 * follows.
 */
#define CHECK_IN_A_CHILD(name)                                                                                         \
    static void name##_child(void *argument);                                                                          \
    static void name(void)                                                                                             \
    {                                                                                                                  \
        CHECK_EXITED(check_child(name##_child, NULL));                                                                 \
    }                                                                                                                  \
    static void name##_child(void *argument __attribute__((unused)))

/* -------------------------------------------------------------------------------------------------- assertions -- */

bool check_true(bool ok, const char *file, int line, const char *text);
bool check_u64(uint64_t actual, uint64_t expected, const char *file, int line, const char *text);
bool check_i64(int64_t actual, int64_t expected, const char *file, int line, const char *text);
bool check_status(mmg_status actual, mmg_status expected, const char *file, int line, const char *text);
bool check_text(const char *actual, const char *expected, const char *file, int line, const char *text);
bool check_bytes(const void *actual, const void *expected, size_t size, const char *file, int line, const char *text);
bool check_exited(int wait_status, const char *file, int line, const char *text);
bool check_killed(int wait_status, int signal_number, const char *file, int line, const char *text);
_Noreturn void check_give_up(void);

#define CHECK(condition) check_true((condition), __FILE__, __LINE__, #condition)
#define CHECK_U64(actual, expected) check_u64((actual), (expected), __FILE__, __LINE__, #actual)
#define CHECK_I64(actual, expected) check_i64((actual), (expected), __FILE__, __LINE__, #actual)
#define CHECK_STATUS(actual, expected) check_status((actual), (expected), __FILE__, __LINE__, #actual)
#define CHECK_TEXT(actual, expected) check_text((actual), (expected), __FILE__, __LINE__, #actual)
#define CHECK_BYTES(actual, expected, size) check_bytes((actual), (expected), (size), __FILE__, __LINE__, #actual)
/** Checks that a child with this wait status has run to its end without a failed check. */
#define CHECK_EXITED(wait_status) check_exited((wait_status), __FILE__, __LINE__, #wait_status)
/** Checks that a child with this wait status was killed by this signal. */
#define CHECK_KILLED(wait_status, signal_number)                                                                       \
    check_killed((wait_status), (signal_number), __FILE__, __LINE__, #wait_status)

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!check_true((condition), __FILE__, __LINE__, #condition)) {                                                \
            check_give_up();                                                                                           \
        }                                                                                                              \
    } while (0)
#define REQUIRE_STATUS(actual, expected)                                                                               \
    do {                                                                                                               \
        if (!check_status((actual), (expected), __FILE__, __LINE__, #actual)) {                                        \
            check_give_up();                                                                                           \
        }                                                                                                              \
    } while (0)

/**
 * Marks the running case as skipped, for a reason that a user would accept, which is a literal. The case must then return. A
 * child of check_child() skips the case of its parent.
 */
void check_skip(const char *reason);
/** Returns the number of checks that have failed in this process so far. */
unsigned check_failures(void);

/* ------------------------------------------------------------------------------------------------- environment -- */

/** Returns true when Valgrind runs this program. */
bool check_under_valgrind(void);
/** Returns true when the emulator qemu-user runs this program, for another processor. */
bool check_under_qemu(void);
/**
 * Returns true when a SIGBUS tells the address that was touched. qemu-user 7.2 swaps the two halves of the address for a
 * big-endian processor with 64 bits, and then no handler can know which page is lost.
 */
bool check_tells_address(void);
/**
 * Returns true when process_vm_readv(2) reads the memory of this process. Without it nobody can ask whether a page is
 * lost; qemu-user does not have it.
 */
bool check_reads_itself(void);
/**
 * Returns true when the kernel gives this process a lease on a file in the program's directory, with its signal. The
 * library takes leases on the file systems that SAFETY.md lists, and on no other, whatever the kernel gives.
 */
bool check_kernel_has_leases(void);
/**
 * Returns true when the program's directory is on overlay, where a descriptor may lead to another file than a mapping of it.
 * So the library reads from the mapping there, and does not compare files: SAFETY.md.
 */
bool check_is_stacked(void);
/**
 * Waits until no other test changes the kernel's settings of leases, and keeps other tests from such a change until the
 * program ends: tests/support/lease_settings.py.
 */
void check_keep_lease_settings(void);
/** Returns true when the kernel knows MADV_POPULATE_READ (Linux 5.14). */
bool check_kernel_populates(void);
/** Returns true when ThreadSanitizer, AddressSanitizer or Valgrind slows this program down. */
bool check_is_slow(void);
/**
 * Returns `count`, a tenth of it where everything is slow (also under qemu-user), or a hundredth of it under Valgrind.
 */
uint64_t check_scaled(uint64_t count);
/** Returns the number of open descriptors of this process. */
unsigned check_descriptors(void);
/** Returns the number of mappings of this process that show the file at `path`. */
unsigned check_mappings_of(const char *path);
/** Returns how many mappings the kernel allows a process, or 0 where the kernel does not say. */
unsigned long check_max_mappings(void);
/** Blocks SIGBUS in this thread, or lets it through again. */
void check_block_bus(bool blocked);
/** Gives up the rights of root, if this process has them. */
void check_become_nobody(void);
/** Stores how many bytes of heap are in use. Returns false where the allocator cannot tell exactly. */
bool check_heap(uint64_t *bytes);
/** Returns the size of a page. */
uint64_t check_page(void);
/** Waits until a change of a file gets a later time than one before the call, where file times advance in clock ticks. */
void check_await_tick(void);

/* ------------------------------------------------------------------------------------------------------- files -- */

/** Returns the path of `name` in the directory of this program, which is emptied after every case. */
const char *check_path(const char *name);
/** Creates a file with `size` bytes of the pattern, or replaces its contents. Returns its path. */
const char *check_file(const char *name, uint64_t size);
/** Creates a file with these contents. */
const char *check_file_with(const char *name, const void *bytes, size_t size);
/** Cuts or extends a file, without the library. */
void check_truncate(const char *path, uint64_t size);

/** Returns the byte of the pattern at `offset`. The pattern has no period, so that no wrong offset goes unnoticed. */
uint8_t check_byte(uint64_t offset);
/** Fills memory with the pattern at `offset`. */
void check_fill(void *bytes, uint64_t offset, size_t size);
/** Returns true when `size` bytes are equal to the pattern at `offset`. */
bool check_is_pattern(const void *bytes, uint64_t offset, uint64_t size);
/** Returns true when all these bytes are zero. */
bool check_is_zero(const void *bytes, uint64_t size);

/* --------------------------------------------------------------------------------------------------- processes -- */

/**
 * Runs `body` in a child process without core dumps, and returns its wait status. The child is killed after a minute.
 */
int check_child(void (*body)(void *argument), void *argument);
/** Ends a child process, which calls this function itself. The status is 0 if none of its checks has failed. */
_Noreturn void check_child_end(void);

/* -------------------------------------------------------------------------------------------------- randomness -- */

/** Returns the seed of this run: MMAPGUARD_TEST_SEED, or a fixed one. */
uint64_t check_seed(void);
/** Returns the next number of the sequence that starts at `*state` (splitmix64). */
uint64_t check_random(uint64_t *state);
/** Returns a random number below `bound`, which is not 0. */
uint64_t check_random_below(uint64_t *state, uint64_t bound);

/* ------------------------------------------------------------------------------------------------- the library -- */

/** Returns options that ask for a backing. */
mmg_options check_backing(uint32_t backing);
/** Opens a path. A failure ends the program. */
mmg_handle check_open(const char *path, const mmg_options *options);
/** Views `length` bytes at `offset` of a region. A failure ends the program. */
mmg_span check_pin(mmg_handle handle, uint64_t offset, uint64_t length);
/** Returns what the kernel says of a fault at an address, for mmg_handle_fault(). Async-signal-safe. */
siginfo_t check_fault(const uint8_t *address);
/** Reads a byte. The optimiser cannot remove the read. */
uint8_t check_touch(const uint8_t *bytes, uint64_t at);
/**
 * Returns the current errno. Without this call the compiler may use an older value, where it sees no call that sets
 * errno.
 */
int check_errno(void);
/** Describes a region. A failure ends the program. */
mmg_info check_info(mmg_handle handle);
/** Returns the counters of the process. A failure ends the program. */
mmg_stats check_stats(void);

#endif
