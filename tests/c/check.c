/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The test harness. This file has the assertions, runs cases in child processes, and runs the cases of one program, of
 * which it finds the leaks. The other files check_*.c have the helpers that nearly every case needs.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "check_internal.h"

/* Only coverage builds have this symbol. */
void __gcov_init(void *unused) __attribute__((weak));

#define CHILD_SECONDS 240 /* less than CTest waits, and far more than any child takes on an idle machine */
#define CHILD_SECONDS_SLOW 600

static atomic_uint failures;
static const char *skipped;
static const char **child_skipped; /* the same of a child, in memory that both share: a reason is a literal */

/* -------------------------------------------------------------------------------------------------- assertions -- */

static bool
report(bool ok, const char *file, int line, const char *text, const char *detail)
{
    if (!ok) {
        const char *name = strrchr(file, '/');
        atomic_fetch_add(&failures, 1);
        fprintf(stderr, "    %s:%d: %s%s\n", name == NULL ? file : name + 1, line, text, detail);
    }
    return ok;
}

bool
check_true(bool ok, const char *file, int line, const char *text)
{
    return report(ok, file, line, text, " does not hold");
}

bool
check_u64(uint64_t actual, uint64_t expected, const char *file, int line, const char *text)
{
    char detail[96];
    snprintf(detail, sizeof detail, " is %" PRIu64 ", not %" PRIu64, actual, expected);
    return report(actual == expected, file, line, text, detail);
}

bool
check_i64(int64_t actual, int64_t expected, const char *file, int line, const char *text)
{
    char detail[96];
    snprintf(detail, sizeof detail, " is %" PRId64 ", not %" PRId64, actual, expected);
    return report(actual == expected, file, line, text, detail);
}

bool
check_status(mmg_status actual, mmg_status expected, const char *file, int line, const char *text)
{
    char detail[128];
    if (actual == expected) {
        return true;
    }
    snprintf(detail, sizeof detail, " is %s (%d), not %s", mmg_status_name(actual), (int)actual,
             mmg_status_name(expected));
    return report(false, file, line, text, detail);
}

bool
check_text(const char *actual, const char *expected, const char *file, int line, const char *text)
{
    char detail[640];
    bool ok = actual != NULL && strcmp(actual, expected) == 0;
    if (!ok) {
        snprintf(detail, sizeof detail, " is \"%.280s\", not \"%.280s\"", actual == NULL ? "(NULL)" : actual, expected);
    }
    return ok || report(false, file, line, text, detail);
}

bool
check_bytes(const void *actual, const void *expected, size_t size, const char *file, int line, const char *text)
{
    const uint8_t *one = actual;
    const uint8_t *other = expected;
    char detail[96];
    for (size_t at = 0; at < size; at++) {
        if (one[at] != other[at]) {
            snprintf(detail, sizeof detail, " differs at byte %zu of %zu: %02x, not %02x", at, size, one[at],
                     other[at]);
            return report(false, file, line, text, detail);
        }
    }
    return true;
}

static void
describe_wait(int wait_status, char *text, size_t size)
{
    if (WIFSIGNALED(wait_status)) {
        snprintf(text, size, " was killed by signal %d", WTERMSIG(wait_status));
    } else {
        snprintf(text, size, " exited with %d", WEXITSTATUS(wait_status));
    }
}

bool
check_exited(int wait_status, const char *file, int line, const char *text)
{
    char detail[64];
    describe_wait(wait_status, detail, sizeof detail);
    return report(WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0, file, line, text, detail);
}

bool
check_killed(int wait_status, int signal_number, const char *file, int line, const char *text)
{
    char detail[64];
    describe_wait(wait_status, detail, sizeof detail);
    return report(WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == signal_number, file, line, text, detail);
}

void
check_skip(const char *reason)
{
    skipped = reason;
}

unsigned
check_failures(void)
{
    return atomic_load(&failures);
}

/* --------------------------------------------------------------------------------------------------- processes -- */

/* Memory for what a coverage build needs to write its counters. */
#define COUNTERS_NEED ((size_t)64 << 10)

static void *reserve;

/* The type of a resource differs between C libraries, so this is no function. */
#define LIFT_LIMIT(resource)                                                                                           \
    do {                                                                                                               \
        struct rlimit limit;                                                                                           \
        if (getrlimit((resource), &limit) == 0) {                                                                      \
            limit.rlim_cur = limit.rlim_max;                                                                           \
            setrlimit((resource), &limit);                                                                             \
        }                                                                                                              \
    } while (0)

/**
 * Makes room for the counters of a coverage build. A test may have used up the memory, the descriptors or the address space
 * of its process on purpose.
 */
static void
make_room_for_counters(void)
{
    LIFT_LIMIT(RLIMIT_AS);
    LIFT_LIMIT(RLIMIT_NOFILE);
    LIFT_LIMIT(RLIMIT_FSIZE);
    free(reserve);
}

/**
 * Ends the process without the exit functions, which belong to the parent. A coverage build must call exit(), which
 * writes the counters.
 */
_Noreturn static void
end_process(int code)
{
    fflush(NULL);
    if (__gcov_init != NULL) {
        make_room_for_counters();
        exit(code);
    }
    _exit(code);
}

_Noreturn void
check_give_up(void)
{
    check_remove_directory();
    end_process(1);
}

_Noreturn void
check_child_end(void)
{
    *child_skipped = skipped;
    end_process(check_failures() == 0 ? 0 : 1);
}

/* What a child may leave behind. The library keeps other descriptors and memory in reserve from its first mapping on. */
struct holdings {
    mmg_stats stats;
    unsigned descriptors;
};

static struct holdings
take_holdings(void)
{
    return (struct holdings){.stats = check_stats(), .descriptors = check_own_descriptors()};
}

/* Checks that a child has closed what it has opened. It may also have closed what it inherited. */
static void
check_child_leaks_nothing(const struct holdings *before)
{
    const struct holdings after = take_holdings();
    check_true(after.stats.handles <= before->stats.handles, "leak", 0, "mmg_stats.handles in a child");
    check_true(after.stats.regions <= before->stats.regions, "leak", 0, "mmg_stats.regions in a child");
    check_true(after.stats.mappings <= before->stats.mappings, "leak", 0, "mmg_stats.mappings in a child");
    check_true(after.stats.mapped_bytes <= before->stats.mapped_bytes, "leak", 0, "mmg_stats.mapped_bytes in a child");
    check_true(after.stats.heap_bytes <= before->stats.heap_bytes, "leak", 0, "mmg_stats.heap_bytes in a child");
    check_true(after.descriptors <= before->descriptors, "leak", 0, "descriptors of files in a child");
}

/* Lets SIGALRM end this process, although the parent may have blocked all signals before the fork. */
static void
allow_alarm(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    signal(SIGALRM, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int
check_child(void (*body)(void *argument), void *argument)
{
    int wait_status = 0;
    fflush(NULL);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        atomic_store(&failures, 0);
        reserve = __gcov_init != NULL ? malloc(COUNTERS_NEED) : NULL;
        allow_alarm();
        alarm(check_is_slow() || check_under_qemu() ? CHILD_SECONDS_SLOW : CHILD_SECONDS);
        const struct holdings before = take_holdings();
        skipped = NULL;
        body(argument);
        check_child_leaks_nothing(&before);
        check_child_end();
    }
    while (waitpid(child, &wait_status, 0) < 0) {
        REQUIRE(errno == EINTR);
    }
    if (*child_skipped != NULL) {
        check_skip(*child_skipped);
        *child_skipped = NULL;
    }
    return wait_status;
}

/* ------------------------------------------------------------------------------------------------------ runner -- */

/* How often the heap is looked at again when there is more of it, and how long the pause before each look is. */
#define HEAP_ROUNDS 6000u
#define HEAP_ROUND_US 10000u

struct inventory {
    unsigned descriptors;
    unsigned mappings;
    uint64_t heap;
    mmg_stats stats;
};

static struct inventory
take_inventory(void)
{
    struct inventory now;
    now.stats = check_stats();
    while (now.stats.leases_breaking > 0) { /* a writer goes on a moment before the keeper has given everything back */
        usleep(1000);
        now.stats = check_stats();
    }
    now.descriptors = check_descriptors();
    now.mappings = check_mappings_that_count();
    check_heap(&now.heap);
    return now;
}

/* Returns the heap in use, as soon as it is no more than `most`. A thread of the library that is about to end, such as the
   keeper of leases, has a cache of malloc for as long as it lives. */
static uint64_t
heap_at_rest(uint64_t most)
{
    uint64_t heap = UINT64_MAX;
    for (unsigned round = 0; round < HEAP_ROUNDS && heap > most; round++) {
        usleep(HEAP_ROUND_US);
        check_heap(&heap);
    }
    return heap;
}

static void
compare(const struct inventory *before, const struct inventory *after, bool with_heap)
{
    check_u64(after->descriptors, before->descriptors, "leak", 0, "open descriptors");
    check_u64(after->mappings, before->mappings, "leak", 0, "mappings of files");
    check_u64(after->stats.handles, before->stats.handles, "leak", 0, "mmg_stats.handles");
    check_u64(after->stats.regions, before->stats.regions, "leak", 0, "mmg_stats.regions");
    check_u64(after->stats.mappings, before->stats.mappings, "leak", 0, "mmg_stats.mappings");
    check_u64(after->stats.mapped_bytes, before->stats.mapped_bytes, "leak", 0, "mmg_stats.mapped_bytes");
    check_u64(after->stats.heap_bytes, before->stats.heap_bytes, "leak", 0, "mmg_stats.heap_bytes");
    if (with_heap && after->heap > before->heap) {
        check_u64(heap_at_rest(before->heap), before->heap, "leak", 0, "heap in use");
    }
}

static void
run_once(const struct check_case *test)
{
    test->run();
    check_empty_directory();
}

/** Returns true when the case was skipped. */
static bool
run_case(const struct check_case *test)
{
    struct inventory before;
    struct inventory after;
    unsigned failed = check_failures();
    bool twice = (test->flags & CHECK_ONCE) == 0;
    skipped = NULL;
    printf("%s ... ", test->name);
    fflush(stdout);
    if ((test->flags & CHECK_LOSES) != 0 && !check_tells_address()) {
        check_skip("a SIGBUS does not tell here which address was touched");
    }
    if (twice && skipped == NULL) {
        run_once(test);
    }
    if (skipped == NULL && check_failures() == failed) {
        before = take_inventory();
        run_once(test);
        after = take_inventory();
        compare(&before, &after, (test->flags & (CHECK_ONCE | CHECK_THREADS)) == 0);
    }
    if (check_failures() != failed) {
        printf("FAIL\n");
    } else if (skipped != NULL) {
        printf("SKIP: %s\n", skipped);
    } else {
        printf("PASS\n");
    }
    return check_failures() == failed && skipped != NULL;
}

int
check_main(int argc, char **argv, const struct check_case *cases, size_t count)
{
    const char *word = argc > 1 ? argv[1] : "";
    size_t run = 0;
    size_t skips = 0;
    if (strcmp(word, "--list") == 0) {
        for (size_t index = 0; index < count; index++) {
            printf("%s\n", cases[index].name);
        }
        return 0;
    }
    check_extend_stack();
    child_skipped = mmap(NULL, sizeof *child_skipped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(child_skipped != MAP_FAILED);
    signal(SIGPIPE, SIG_IGN);
    if (getenv("MMAPGUARD_TESTS_WITHOUT_STDIN") != NULL) {
        close(STDIN_FILENO);
    }
    check_keep_lease_settings();
    check_make_directory();
    for (size_t index = 0; index < count; index++) {
        if (strstr(cases[index].name, word) != NULL) {
            run++;
            skips += run_case(&cases[index]);
        }
    }
    printf("%zu cases, %zu skipped, %u checks failed\n", run, skips, check_failures());
    if (check_failures() != 0 || run == 0) {
        return 1;
    }
    return skips == run ? 77 : 0;
}
