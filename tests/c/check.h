/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The test harness: a program is a table of named cases. Every case is run twice in one process; descriptors,
 * mappings of files, live regions and heap are counted around the second run and must come out as they went in, so a
 * leak is a failure of the case that leaks. The first run is there so that tables which only ever grow have grown.
 *
 * A failed CHECK is reported and the case goes on; a failed REQUIRE ends the program, because what follows needs it.
 * A case that cannot be run here calls check_skip(). The program exits with 77 when every case was skipped, 1 when
 * one failed, else 0. Arguments: a word selects the cases whose name contains it; --list names them.
 */
#ifndef MMAPGUARD_TESTS_CHECK_H
#define MMAPGUARD_TESTS_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "mmapguard.h"

/** Run the case once only, without counting the heap: for cases that are too large to be run twice. */
#define CHECK_ONCE 1U
/** Do not count the heap: the C library keeps memory for threads that have ended, and more or less of it. */
#define CHECK_THREADS 2U

struct check_case {
    const char *name; /**< the promise that the case holds the library to */
    void (*run)(void);
    unsigned flags;
};

int check_main(int argc, char **argv, const struct check_case *cases, size_t count);

#define CHECK_MAIN(cases)                                                                                              \
    int main(int argc, char **argv)                                                                                    \
    {                                                                                                                  \
        return check_main(argc, argv, (cases), sizeof(cases) / sizeof(*(cases)));                                      \
    }

/* Which sanitizer the program is built with; GCC and Clang tell in different ways. */
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

/** Define a case that runs in a child of its own, which is killed when it does not end. The body of the case follows. */
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
/** A child's wait status: it ran to its end and none of its checks failed. */
#define CHECK_EXITED(wait_status) check_exited((wait_status), __FILE__, __LINE__, #wait_status)
/** A child's wait status: it was killed by this signal. */
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

/** Mark the running case as skipped, for a reason that a user would accept; the case then returns. */
void check_skip(const char *reason);
/** Checks that have failed so far, in this process. */
unsigned check_failures(void);

/* ------------------------------------------------------------------------------------------------- environment -- */

/** Returns true when Valgrind runs this program. */
bool check_under_valgrind(void);
/** Returns true when the emulator qemu-user runs this program, for another processor. */
bool check_under_qemu(void);
/** Returns true when ThreadSanitizer, AddressSanitizer or Valgrind slows this program down. */
bool check_is_slow(void);
/** Returns `count`, or a tenth of it where everything is slow, also under qemu-user; under Valgrind a hundredth. */
uint64_t check_scaled(uint64_t count);
/** Returns the number of open descriptors of this process. */
unsigned check_descriptors(void);
/** Returns the number of mappings of this process that show the file at `path`. */
unsigned check_mappings_of(const char *path);
/** Stores how many bytes of heap are in use. Returns false where the allocator cannot tell exactly. */
bool check_heap(uint64_t *bytes);
/** Returns the size of a page. */
uint64_t check_page(void);

/* ------------------------------------------------------------------------------------------------------- files -- */

/** Returns the path of `name` in the directory of this program, which is emptied after every case. */
const char *check_path(const char *name);
/** Create (or replace the contents of) a file of `size` bytes of the pattern, and return its path. */
const char *check_file(const char *name, uint64_t size);
/** Create a file with these contents. */
const char *check_file_with(const char *name, const void *bytes, size_t size);
/** Cut or extend a file from outside the library. */
void check_truncate(const char *path, uint64_t size);

/** Returns the byte of the pattern at `offset`. The pattern has no period, so that no wrong offset goes unnoticed. */
uint8_t check_byte(uint64_t offset);
/** Fill with the pattern as it stands at `offset`. */
void check_fill(void *bytes, uint64_t offset, size_t size);
/** Returns true when `size` bytes show the pattern as it stands at `offset`. */
bool check_is_pattern(const void *bytes, uint64_t offset, uint64_t size);
/** Returns true when all these bytes are zero. */
bool check_is_zero(const void *bytes, uint64_t size);

/* --------------------------------------------------------------------------------------------------- processes -- */

/**
 * Run `body` in a child without core dumps, and return its wait status. The child ends after a minute at the latest.
 */
int check_child(void (*body)(void *argument), void *argument);
/** End a child from within: 0 if none of its checks failed. */
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
/** Reads a byte in a way that no optimiser can take away. */
uint8_t check_touch(const uint8_t *bytes, uint64_t at);
/** Returns errno as it is now; the compiler may remember an older value where it sees no call that sets errno. */
int check_errno(void);
/** Describes a region. A failure ends the program. */
mmg_info check_info(mmg_handle handle);
/** Returns the counters of the process. A failure ends the program. */
mmg_stats check_stats(void);

#endif
