/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the guard from the side of a C program: what it leaves alone, what it takes as the hook of a host, and its states.
 */
#include "forbid.h"
#include "lost_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

static void
unguarded_reader(void *unused)
{
    (void)unused;
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_span span = MMG_SPAN_INIT;
    options.flags = MMG_FLAG_NO_FAULT_GUARD;
    mmg_handle handle = check_open(file, &options);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_NONE);
    mmg_info info = check_info(handle);
    CHECK_U64(info.guarantee, MMG_GUARANTEE_NONE);
    CHECK_U64(info.means, MMG_MEANS_NONE);
    CHECK_U64(info.shortfall, MMG_SHORT_GUARD_OFF);
    REQUIRE(check_failures() == 0);
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    check_truncate(file, 0);
    touch(span.data, span.size);
}

static void
without_the_guard_a_region_is_a_plain_mapping(void)
{
    make_file();
    CHECK_KILLED(check_child(unguarded_reader, NULL), SIGBUS);
}

static void
foreign_reader(void *unused)
{
    (void)unused;
    mmg_handle handle = open_mapped();
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    REQUIRE(check_failures() == 0);
    int descriptor = open(file, O_RDONLY | O_CLOEXEC);
    const uint8_t *bytes = mmap(NULL, PAGES * page, PROT_READ, MAP_SHARED, descriptor, 0);
    REQUIRE(bytes != MAP_FAILED);
    check_truncate(file, 3 * page);
    touch(bytes, PAGES * page);
    mmg_close(handle, 0);
}

static void
a_fault_in_somebody_elses_mapping_still_kills(void)
{
    make_file();
    CHECK_KILLED(check_child(foreign_reader, NULL), SIGBUS);
}

static void
sender(void *sent)
{
    open_mapped();
    if (*(int *)sent == 0) {
        raise(SIGBUS);
    } else {
        kill(getpid(), SIGBUS);
    }
}

static void
a_signal_that_was_sent_still_kills(void)
{
    make_file();
    for (int sent = 0; sent < 2; sent++) {
        CHECK_KILLED(check_child(sender, &sent), SIGBUS);
    }
}

static void
the_hook_for_hosts_takes_only_faults_in_regions(void)
{
    static uint8_t own[64];
    siginfo_t info = check_fault(own);
    mmg_stats before = check_stats();
    CHECK_I64(mmg_handle_fault(SIGBUS, NULL, NULL), 0);
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 0);
    info.si_addr = NULL;
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 0);
    make_file();
    mmg_handle handle = open_mapped();
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    info.si_addr = (void *)(uintptr_t)span.data;
    CHECK_I64(mmg_handle_fault(SIGSEGV, &info, NULL), 0);
    info.si_code = SI_USER;
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 0);
    info.si_code = SI_TKILL;
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 0);
    info.si_code = BUS_ADRALN;
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 0);
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    check_truncate(file, page);
    info.si_code = BUS_ADRERR;
    info.si_addr = (void *)(uintptr_t)(span.data + 2 * page);
    errno = 4711;
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 1);
    CHECK_I64(errno, 4711);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    info.si_addr = (void *)(uintptr_t)(span.data + 3 * page);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 0);
    CHECK_U64(check_stats().foreign_faults, before.foreign_faults);
}

static void
ignore_bus(int signal_number)
{
    (void)signal_number;
}

static void
displace(void *unused)
{
    const struct sigaction theirs = {.sa_handler = ignore_bus};
    struct sigaction before;
    (void)unused;
    mmg_handle handle = open_mapped();
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    REQUIRE(sigaction(SIGBUS, &theirs, &before) == 0);
    CHECK((before.sa_flags & SA_SIGINFO) != 0 && (before.sa_flags & SA_ONSTACK) != 0);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_DISPLACED);
    CHECK_I64(check_stats().guard_state, MMG_GUARD_DISPLACED);
    CHECK_STATUS(mmg_guard_install(), MMG_OK);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    check_block_bus(true);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_BLOCKED);
    check_block_bus(false);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
the_state_of_the_guard_is_reported(void)
{
    make_file();
    CHECK_EXITED(check_child(displace, NULL));
}

/** The number of threads that wait for each other and then touch the same lost page. */
enum {
    TOUCHERS = 4
};
static struct {
    pthread_barrier_t start;
    const uint8_t *data;
} shared;

static void *
touch_together(void *argument)
{
    (void)argument;
    pthread_barrier_wait(&shared.start);
    for (uint64_t at = 0; at < PAGES * page; at += page) {
        REQUIRE(((const volatile uint8_t *)shared.data)[at] == (at < page ? check_byte(at) : 0));
    }
    return NULL;
}

static void
threads_may_fault_on_the_same_page_at_once(void)
{
    for (uint64_t round = 0; round < check_scaled(100); round++) {
        pthread_t threads[TOUCHERS];
        make_file();
        mmg_handle handle = open_mapped();
        mmg_span span = check_pin(handle, 0, MMG_TO_END);
        check_truncate(file, page);
        shared.data = span.data;
        REQUIRE(pthread_barrier_init(&shared.start, NULL, TOUCHERS) == 0);
        for (size_t index = 0; index < TOUCHERS; index++) {
            REQUIRE(pthread_create(&threads[index], NULL, touch_together, NULL) == 0);
        }
        for (size_t index = 0; index < TOUCHERS; index++) {
            REQUIRE(pthread_join(threads[index], NULL) == 0);
        }
        pthread_barrier_destroy(&shared.start);
        uint64_t faults = check_info(handle).faults;
        CHECK(faults >= 1 && faults <= TOUCHERS);
        CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

static void
guard_without_replacing(void *unused)
{
    (void)unused;
#ifdef SYS_mmap2
    const long number = SYS_mmap2;
#else
    const long number = SYS_mmap;
#endif
    if (forbid_with(number, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, 0)) {
        CHECK_STATUS(mmg_guard_process(MMG_SCOPE_FILES, 0), MMG_E_UNSUPPORTED);
    }
}

/** A filter may answer a call in the place of the kernel, with success. Only the bytes tell whether a page was replaced. */
static void
a_sandbox_that_only_says_it_replaces_pages_has_no_guard_of_the_process(void)
{
#ifdef __s390x__
    const bool is_seen = false;
#else
    const bool is_seen = true;
#endif
    if (!is_seen || check_is_slow() || check_under_qemu() || mmg_supports(MMG_FEATURE_FOREIGN) != 1) {
        check_skip(
            "emulators and sanitizers replace pages themselves, s390x has the arguments of mmap(2) in memory, where no "
            "filter sees them, or the kernel does not tell what is mapped");
        return;
    }
    CHECK_EXITED(check_child(guard_without_replacing, NULL));
}

static const struct check_case cases[] = {
    {"a sandbox that only says it replaces pages has no guard of the process",
     a_sandbox_that_only_says_it_replaces_pages_has_no_guard_of_the_process, 0},
    {"without the guard a region is a plain mapping", without_the_guard_a_region_is_a_plain_mapping, 0},
    {"a fault in somebody else's mapping still kills", a_fault_in_somebody_elses_mapping_still_kills, 0},
    {"a signal that was sent still kills", a_signal_that_was_sent_still_kills, 0},
    {"the hook for hosts takes only faults in regions", the_hook_for_hosts_takes_only_faults_in_regions, 0},
    {"the state of the guard is reported", the_state_of_the_guard_is_reported, 0},
    {"threads may fault on the same page at once", threads_may_fault_on_the_same_page_at_once,
     CHECK_THREADS | CHECK_LOSES},
};

int
main(int argc, char **argv)
{
    /*
     * A sanitizer's handler would end a process in its own way. So the default action of the system is installed below
     * the guard.
     */
    signal(SIGBUS, SIG_DFL);
    return check_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
