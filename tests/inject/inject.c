/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Makes every system call and every allocation of the library fail, one after another, with every plausible errno. A
 * scenario runs once to count its calls. Then, for each call and each errno, a child runs the scenario with that one
 * failure. The process must live, each call must return a fitting status, nothing may leak, and the scenario must work
 * again afterwards.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inject.h"

/* Only coverage builds have this symbol. */
void __gcov_init(void *unused) __attribute__((weak));

/* The results of a child, for its parent. */
static struct findings {
    unsigned calls[SHIM_COUNT];
    long numbers[SHIM_NUMBERS]; /* the numbers of the calls by syscall(2) */
    int64_t blocks;
    unsigned descriptors;
    bool fired;
} * findings;

static const struct scenario *scenario;
/* The failure that the child is to meet. */
static struct {
    enum shim_function function;
    unsigned nth;
    int code;
    bool lasts;
} injection;

/** Checks that the library has leaked nothing. */
static void
check_clean(void)
{
    mmg_stats stats = check_stats();
    CHECK_U64(stats.handles, 0);
    CHECK_U64(stats.regions, 0);
    CHECK_U64(stats.mappings, 0);
    CHECK_U64(stats.mapped_bytes, 0);
    CHECK_U64(stats.heap_bytes, 0);
    CHECK_U64(check_mappings_of(path), 0);
}

/** Makes every table that is made only once, so that all children end in the same state. */
static void
make_tables(void)
{
    enum {
        PINS = 20
    };
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_span spans[PINS];
    mmg_handle handle = check_open(check_file("tables", 5000), &options);
    for (size_t index = 0; index < PINS; index++) {
        REQUIRE_STATUS(mmg_pin(handle, 0, 1, &spans[index]), MMG_OK);
    }
    for (size_t index = 0; index < PINS; index++) {
        CHECK_STATUS(mmg_unpin(&spans[index]), MMG_OK);
    }
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** Runs the scenario twice without a failure, in a child, and tells the parent which calls it has made. */
static void
rehearse(void *unused)
{
    (void)unused;
    strict = true;
    shim_arm(SHIM_COUNT, 0, 0, false);
    scenario->run();
    check_clean();
    for (unsigned index = 0; index < SHIM_COUNT; index++) {
        findings->calls[index] = shim_calls((enum shim_function)index);
    }
    for (unsigned index = 0; index < SHIM_NUMBERS; index++) {
        findings->numbers[index] = shim_number(index + 1);
    }
    scenario->run();
    check_clean();
    make_tables();
    findings->blocks = shim_blocks();
    findings->descriptors = check_descriptors();
}

/** Runs the scenario in a child, first with one failure and then without. */
static void
perform(void *unused)
{
    (void)unused;
    injected = injection.code;
    strict = is_invisible(injection.function, injection.code);
    shim_arm(injection.function, injection.nth, injection.code, injection.lasts);
    scenario->run();
    shim_disarm();
    findings->fired = shim_has_fired();
    check_clean();
    strict = true;
    scenario->run();
    check_clean();
    make_tables();
    CHECK_U64(check_descriptors(), findings->descriptors);
    CHECK(shim_blocks() <= findings->blocks);
}

bool
inject(enum shim_function function, unsigned nth, int code, bool lasts)
{
    injection.function = function;
    injection.nth = nth;
    injection.code = code;
    injection.lasts = lasts;
    findings->fired = false;
    int wait_status = check_child(perform, NULL);
    bool is_mapping = function == SHIM_mmap || function == SHIM_mmap64 || function == SHIM_syscall;
    bool killed_as_told = scenario->may_be_killed && is_mapping && !is_invisible(function, code) &&
                          WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGBUS;
    if (!killed_as_told && !CHECK_EXITED(wait_status)) {
        fprintf(stderr, "    ^ when call %u of %s%s ends in: %s\n", nth, shim_names[function],
                lasts ? ", and every later one," : "", code_name(code));
    }
    return findings->fired || killed_as_told;
}

void
begin(const struct scenario *chosen, const char *file)
{
    scenario = chosen;
    path = file;
    findings = mmap(NULL, sizeof *findings, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(findings != MAP_FAILED);
    has_leases = check_kernel_has_leases();
    REQUIRE(CHECK_EXITED(check_child(rehearse, NULL)));
}

void
finish(void)
{
    munmap(findings, sizeof *findings);
    findings = NULL;
}

unsigned
rehearsed_calls(enum shim_function function)
{
    return findings->calls[function];
}

static void
run_scenario(const struct scenario *chosen, const char *file)
{
    unsigned made = 0;
    unsigned fired = 0;
    begin(chosen, file);
    for (size_t index = 0; index < failing_count; index++) {
        const struct failing *failing = &failings[index];
        if (chosen->only_memory && !is_allocation(failing->function)) {
            continue;
        }
        /* When a function is called many times, only the first and the last dozen calls are made to fail. */
        unsigned count = findings->calls[failing->function];
        for (unsigned nth = 1; nth <= count; nth += nth == 12 && count > 24 ? count - 24 : 1) {
            for (size_t at = 0; at < sizeof failing->codes / sizeof *failing->codes && failing->codes[at] != 0; at++) {
                int code = failing->codes[at];
                bool is_numbered = failing->function == SHIM_syscall && nth <= SHIM_NUMBERS;
                if (code == chosen->implausible ||
                    (is_numbered && !shim_may_answer(findings->numbers[nth - 1], code))) {
                    continue;
                }
                fired += inject(failing->function, nth, code, false);
                made++;
                if (may_last(failing->function, code)) {
                    fired += inject(failing->function, nth, code, true);
                    made++;
                }
            }
        }
    }
    printf("%u failures, %u reached ... ", made, fired);
    CHECK(made > 0 && fired * 2 > made);
    finish();
}

#define SCENARIO(name, bytes, memory)                                                                                  \
    static void inject_##name(void)                                                                                    \
    {                                                                                                                  \
        static const struct scenario this_one = {.run = (name), .only_memory = (memory)};                              \
        run_scenario(&this_one, check_file("file", (bytes)));                                                          \
    }

SCENARIO(small_file, 5000, false)
SCENARIO(mapped_file, SIZE, false)
SCENARIO(copied_file, SIZE, false)
SCENARIO(mapped_window, SIZE, false)
SCENARIO(ofd_locked_file, SIZE, false)
SCENARIO(required_lock, SIZE, false)
SCENARIO(contended_lock, SIZE, false)
SCENARIO(empty_file, 0, false)
SCENARIO(virtual_file, 0, false)
SCENARIO(small_descriptor, 5000, false)
SCENARIO(mapped_descriptor, SIZE, false)
SCENARIO(long_stream, SIZE, false)
SCENARIO(pipe_stream, 0, false)
SCENARIO(guardless_search, SIZE, false)
SCENARIO(many_handles_and_pins, 5000, true)

static void
inject_fifo(void)
{
    /* A FIFO whose last writer is gone never returns EAGAIN. */
    static const struct scenario this_one = {.run = fifo, .implausible = EAGAIN};
    const char *name = check_path("fifo");
    REQUIRE(mkfifo(name, 0600) == 0);
    run_scenario(&this_one, name);
}

static void
inject_fifo_without_writer(void)
{
    static const struct scenario this_one = {.run = fifo_without_writer, .implausible = EAGAIN};
    const char *name = check_path("fifo");
    REQUIRE(mkfifo(name, 0600) == 0);
    run_scenario(&this_one, name);
}

static void
inject_stable_file(void)
{
    static const struct scenario this_one = {.run = stable_file};
    run_scenario(&this_one, check_path("stable"));
}

#define FAULTY(name, file)                                                                                             \
    static void inject_##name(void)                                                                                    \
    {                                                                                                                  \
        static const struct scenario this_one = {.run = (name), .may_be_killed = true};                                \
        run_scenario(&this_one, check_path(file));                                                                     \
    }

FAULTY(contained_fault, "faulty")
FAULTY(foreign_fault, "foreign")
FAULTY(listed_foreign_fault, "foreign")
FAULTY(nameless_foreign_fault, "foreign")
FAULTY(adopted_fault, "adopted")
SCENARIO(adopted_mapping, SIZE, false)

static void
inject_leased_adoption(void)
{
    static const struct scenario this_one = {.run = leased_adoption, .implausible = EOVERFLOW}; /* sizes have 64 bits */
    run_scenario(&this_one, check_path("stable"));
}

static void
inject_copied_adoption(void)
{
    static const struct scenario this_one = {.run = copied_adoption, .implausible = EOVERFLOW}; /* sizes have 64 bits */
    run_scenario(&this_one, check_path("stable"));
}

static void
tell_unknown(const char *name)
{
    fprintf(stderr, "    the library calls %s\n", name);
}

static void
whatever_the_library_calls_is_covered(void)
{
    if (__gcov_init != NULL) {
        check_skip("the code that counts coverage makes other calls");
        return;
    }
    CHECK_I64(shim_unknown_imports(tell_unknown), 0);
}

static const struct check_case cases[] = {
    {"every call of the library is covered", whatever_the_library_calls_is_covered, CHECK_ONCE},
    {"a small file", inject_small_file, CHECK_ONCE},
    {"a mapped file", inject_mapped_file, CHECK_ONCE},
    {"a copied file", inject_copied_file, CHECK_ONCE},
    {"a mapped window", inject_mapped_window, CHECK_ONCE},
    {"a file under an OFD lock", inject_ofd_locked_file, CHECK_ONCE},
    {"a lock that is required", inject_required_lock, CHECK_ONCE},
    {"a lock held elsewhere", inject_contended_lock, CHECK_ONCE},
    {"an empty file", inject_empty_file, CHECK_ONCE},
    {"a file without a size", inject_virtual_file, CHECK_ONCE},
    {"a descriptor of a small file", inject_small_descriptor, CHECK_ONCE},
    {"a descriptor of a mapped file", inject_mapped_descriptor, CHECK_ONCE},
    {"a long stream", inject_long_stream, CHECK_ONCE},
    {"a pipe", inject_pipe_stream, CHECK_ONCE},
    {"a FIFO", inject_fifo, CHECK_ONCE},
    {"a FIFO without a writer", inject_fifo_without_writer, CHECK_ONCE},
    {"a search without the guard", inject_guardless_search, CHECK_ONCE},
    {"many handles and pins", inject_many_handles_and_pins, CHECK_ONCE},
    {"a file that must be stable", inject_stable_file, CHECK_ONCE},
    {"a fault", inject_contained_fault, CHECK_ONCE},
    {"a fault in a mapping of other code", inject_foreign_fault, CHECK_ONCE},
    {"a foreign fault where the kernel only lists all mappings", inject_listed_foreign_fault, CHECK_ONCE},
    {"a foreign fault in a file without a path", inject_nameless_foreign_fault, CHECK_ONCE},
    {"a mapping that is adopted", inject_adopted_mapping, CHECK_ONCE},
    {"a fault in an adopted mapping", inject_adopted_fault, CHECK_ONCE},
    {"an adopted mapping under a lease", inject_leased_adoption, CHECK_ONCE},
    {"an adopted mapping with a copy in its place", inject_copied_adoption, CHECK_ONCE},
    {"a mapped file may change its size while it is opened", a_mapped_file_may_change_its_size_while_it_is_opened,
     CHECK_ONCE},
    {"a copied file may change its size while it is opened", a_copied_file_may_change_its_size_while_it_is_opened,
     CHECK_ONCE},
    {"a small file may change its size while it is opened", a_small_file_may_change_its_size_while_it_is_opened,
     CHECK_ONCE},
    {"a copy of a file that is written meanwhile is known", a_copy_of_a_file_that_is_written_meanwhile_is_known,
     CHECK_ONCE},
    {"a file that is filled while it is opened is no virtual one",
     a_file_that_is_filled_while_it_is_opened_is_no_virtual_one, CHECK_ONCE},
};

int
main(int argc, char **argv)
{
    signal(SIGBUS, SIG_DFL); /* installs the default action below the guard, in place of a sanitizer's handler */
    return check_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
