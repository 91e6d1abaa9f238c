/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests mmg_handle_fault() for hosts whose own handler stays on top, and the questions that it asks before it gives up a
 * page. The action of SIGBUS belongs to the process, so every case runs in a child that has not used the library before.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guarded.h"

#define MARK 4711

/* ------------------------------------------------------------------------------------- mmg_handle_fault() in the host -- */

static volatile sig_atomic_t answers[2]; /* how often mmg_handle_fault() has returned 0 and 1 */
static volatile sig_atomic_t errno_kept;
static uint8_t *volatile host_page;

static void
host_handler(int signo, siginfo_t *info, void *context)
{
    int saved = errno;
    errno = MARK + 1;
    int32_t answer = mmg_handle_fault(signo, info, context);
    errno_kept += check_errno() == MARK + 1;
    answers[answer == 1]++;
    if (answer == 0 && host_page != NULL &&
        mmap(host_page, check_page(), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
        _exit(1);
    }
    errno = saved;
}

static void
put_host_on_top(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = host_handler;
    action.sa_flags = SA_SIGINFO;
    REQUIRE(sigaction(SIGBUS, &action, NULL) == 0);
}

/** Maps a page of the host behind the end of a file. */
static void
map_host_page(void)
{
    const char *path = check_file("host", 1);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    uint8_t *base = mmap(NULL, 2 * check_page(), PROT_READ, MAP_SHARED, descriptor, 0);
    REQUIRE(base != MAP_FAILED);
    close(descriptor);
    host_page = base + check_page();
}

static void
use_the_hook(const char *path, mmg_handle handle)
{
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    CHECK_I64(answers[0] + answers[1], 0);
    check_truncate(path, 5 * check_page() + 3);
    errno = MARK;
    CHECK_U64(check_touch(span.data, 6 * check_page()), 0);
    CHECK_I64(check_errno(), MARK);
    CHECK_I64(answers[1], 1);
    CHECK_I64(answers[0], 0);
    CHECK_U64(check_touch(host_page, 17), 0);
    CHECK_I64(answers[0], 1);
    raise(SIGBUS);
    CHECK_I64(answers[0], 2);
    CHECK_I64(answers[1], 1);
    CHECK_I64(errno_kept, 3);
    CHECK(check_is_pattern(span.data, 0, 5 * check_page() + 3));
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_U64(check_info(handle).fault_offset, 5 * check_page() + 3);
    CHECK_U64(check_info(handle).faults, 1);
}

CHECK_IN_A_CHILD(a_host_on_top_can_call_the_hook)
{
    const char *path = check_file("big", file_size());
    map_host_page();
    mmg_handle handle = open_with(path, MMG_BACKING_MAP, 0);
    put_host_on_top();
    CHECK_I64(mmg_guard_state(), MMG_GUARD_DISPLACED);
    use_the_hook(path, handle);
    mmg_close(handle, 0);
}

CHECK_IN_A_CHILD(a_host_can_own_the_signal_altogether)
{
    const char *path = check_file("big", file_size());
    map_host_page();
    put_host_on_top();
    uintptr_t of_host = handler_now();
    mmg_handle handle = open_with(path, MMG_BACKING_MAP, MMG_FLAG_NO_FAULT_GUARD);
    CHECK(handler_now() == of_host);
    use_the_hook(path, handle);
    mmg_close(handle, 0);
}

CHECK_IN_A_CHILD(the_hook_refuses_faults_outside_the_mappings_of_the_library)
{
    const char *path = check_file("big", file_size());
    mmg_handle handle = open_with(path, MMG_BACKING_MAP, 0);
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    siginfo_t info = check_fault(NULL);
    errno = MARK;
    CHECK_I64(mmg_handle_fault(SIGBUS, NULL, NULL), 0);
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 0);
    info.si_addr = &info;
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 0);
    info.si_addr = (void *)UINTPTR_MAX;
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 0);
    info.si_addr = (uint8_t *)(uintptr_t)span.data + file_size(); /* one byte behind the end */
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 0);
    info.si_addr = (uint8_t *)(uintptr_t)span.data - 1;
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 0);
    info.si_addr = (uint8_t *)(uintptr_t)span.data;
    CHECK_I64(mmg_handle_fault(SIGSEGV, &info, NULL), 0);
    info.si_code = BUS_ADRALN;
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 0);
    info.si_code = BUS_MCEERR_AO;
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 0);
    info.si_code = SI_USER;
    info.si_pid = getppid();
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 0);
    CHECK_I64(check_errno(), MARK);
    CHECK(check_is_pattern(span.data, 0, span.size));
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    CHECK_U64(check_info(handle).faults, 0);
    uint8_t *gone = (uint8_t *)(uintptr_t)span.data;
    mmg_close(handle, 0);
    info = check_fault(gone);
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 0);
}

/** Reports faults of two pages that can be read again when the handler looks at them, as two threads would. */
static void
lose_pages_that_are_back(const char *path, bool was_cut)
{
    const uint64_t page = check_page();
    const mmg_status cause = was_cut ? MMG_E_TRUNCATED : MMG_E_IO;
    mmg_handle handle = open_with(path, MMG_BACKING_MAP, 0);
    mmg_span whole = check_pin(handle, 0, MMG_TO_END);
    siginfo_t info = check_fault(whole.data + 20 * page + 5);
    siginfo_t other = check_fault(whole.data + 30 * page);
    if (was_cut) {
        check_await_tick();
        check_truncate(path, page);
        check_truncate(path, file_size());
    }
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 1);
    CHECK_I64(mmg_handle_fault(SIGBUS, &other, NULL), 1);
    CHECK(check_is_zero(whole.data + 20 * page, page));
    CHECK(check_is_zero(whole.data + 30 * page, page));
    if (!was_cut) {
        CHECK(check_is_pattern(whole.data, 0, 20 * page));
        CHECK(check_is_pattern(whole.data + 21 * page, 21 * page, 9 * page));
        CHECK(check_is_pattern(whole.data + 31 * page, 31 * page, file_size() - 31 * page));
    }
    mmg_span lost = MMG_SPAN_INIT;
    CHECK_STATUS(mmg_pin(handle, 20 * page, page, &lost), cause);
    CHECK_STATUS(mmg_pin(handle, 30 * page, page, &lost), cause);
    CHECK_STATUS(mmg_unpin(&whole), cause);
    CHECK_STATUS(mmg_check(handle), cause);
    CHECK_U64(check_info(handle).fault_offset, 20 * page);
    mmg_close(handle, 0);
}

/** The file was cut and has grown again, which its times show. */
CHECK_IN_A_CHILD(pages_that_are_back_were_cut_off)
{
    lose_pages_that_are_back(check_file("big", file_size()), true);
}

/** No process has written to the file, so its medium has failed for a moment. */
CHECK_IN_A_CHILD(pages_that_failed_for_a_moment_are_errors_of_the_medium)
{
    lose_pages_that_are_back(check_file("big", file_size()), false);
}

/**
 * When one page after another fails, the guard gives up more pages each time, in the direction of the reader. So a bad
 * medium costs few faults.
 */
CHECK_IN_A_CHILD(a_run_of_failing_pages_is_given_up_in_growing_steps)
{
    const uint64_t page = check_page();
    for (int backwards = 0; backwards < 2; backwards++) {
        mmg_handle handle = open_with(check_file("big", file_size()), MMG_BACKING_MAP, 0);
        mmg_span whole = check_pin(handle, 0, MMG_TO_END);
        uint64_t faults = 0;
        for (uint64_t index = 8; index < PAGES; index++) {
            uint64_t at = backwards != 0 ? PAGES - 1 - index + 8 : index;
            if (check_is_zero(whole.data + at * page, page)) {
                continue;
            }
            siginfo_t info = check_fault(whole.data + at * page);
            CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 1);
            CHECK(check_is_zero(whole.data + at * page, page));
            faults++;
        }
        CHECK_U64(faults, 11); /* 8 faults of one page, then faults of 8, 16 and 24 pages */
        CHECK(backwards != 0 || check_is_pattern(whole.data, 0, 8 * page));
        CHECK_U64(check_info(handle).fault_cause == MMG_E_IO, 1);
        CHECK_STATUS(mmg_unpin(&whole), MMG_E_IO);
        mmg_close(handle, 0);
    }
}

/** A host closes descriptors of the library (closefrom(3)), and gets their numbers for other files. */
CHECK_IN_A_CHILD(another_file_behind_the_descriptor_is_noticed)
{
    uint8_t byte = 0;
    uint64_t got = 1;
    if (check_is_stacked()) {
        check_skip("on overlay device and inode of a file change with a write, so the library does not compare them");
        return;
    }
    int before = open(check_file("probe", 1), O_RDONLY | O_CLOEXEC);
    REQUIRE(before >= 0 && close(before) == 0);
    mmg_handle handle = open_with(check_file("big", file_size()), MMG_BACKING_MAP, 0);
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    int other = open(check_file("other", 10), O_RDONLY | O_CLOEXEC);
    REQUIRE(other >= 0 && dup2(other, before) == before);
    CHECK_STATUS(mmg_read(handle, 0, &byte, 1, &got), MMG_E_SYSTEM);
    CHECK_STATUS(mmg_check(handle), MMG_E_SYSTEM);
    CHECK(check_is_pattern(span.data, 0, span.size));
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK(close(before) == 0); /* it belongs to the host now, so the library has left it open */
    close(other);
}

/* --------------------------------------------------------------------------------------------------- memory errors -- */

/**
 * A real memory error needs a broken machine, but a process may send itself a siginfo that reports one. The guard must
 * treat the page in it as lost, and no other page.
 */
CHECK_IN_A_CHILD(a_memory_error_costs_its_page)
{
    const uint64_t page = check_page();
    const char *path = check_file("big", file_size());
    mmg_handle handle = open_with(path, MMG_BACKING_MAP, 0);
    mmg_span whole = check_pin(handle, 0, MMG_TO_END);
    mmg_span neighbour = MMG_SPAN_INIT;
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = SIGBUS;
    info.si_code = BUS_MCEERR_AR;
    info.si_addr = (uint8_t *)(uintptr_t)whole.data + 20 * page + 5;
    info.si_addr_lsb = (short)__builtin_ctzll(page);
    if (check_under_valgrind() || check_under_qemu()) {
        /* Valgrind and qemu handle a signal with this code themselves. */
        CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 1);
    } else {
        REQUIRE(syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), SIGBUS, &info) == 0);
    }
    CHECK(check_is_pattern(whole.data, 0, 20 * page));
    CHECK(check_is_zero(whole.data + 20 * page, page));
    CHECK(check_is_pattern(whole.data + 21 * page, 21 * page, file_size() - 21 * page));
    CHECK_STATUS(mmg_pin(handle, 19 * page, page, &neighbour), MMG_OK);
    CHECK_STATUS(mmg_unpin(&neighbour), MMG_OK);
    CHECK_STATUS(mmg_pin(handle, 21 * page, MMG_TO_END, &neighbour), MMG_OK);
    CHECK_STATUS(mmg_unpin(&neighbour), MMG_OK);
    CHECK_STATUS(mmg_pin(handle, 20 * page + 1, 1, &neighbour), MMG_E_POISONED);
    CHECK_STATUS(mmg_unpin(&whole), MMG_E_POISONED);
    CHECK_STATUS(mmg_check(handle), MMG_E_POISONED);
    CHECK_U64(check_info(handle).fault_offset, 20 * page);
    CHECK_U64(check_info(handle).faults, 1);
    mmg_close(handle, 0);
}

static const struct check_case everywhere[] = {
    {"a host on top can call the hook", a_host_on_top_can_call_the_hook, 0},
    {"a host can own the signal altogether", a_host_can_own_the_signal_altogether, 0},
    {"the hook refuses faults outside the mappings of the library",
     the_hook_refuses_faults_outside_the_mappings_of_the_library, 0},
    {"a page that is back when the handler looks was cut off", pages_that_are_back_were_cut_off, 0},
    {"a page that failed for a moment is an error of the medium",
     pages_that_failed_for_a_moment_are_errors_of_the_medium, 0},
    {"a run of failing pages is given up in growing steps", a_run_of_failing_pages_is_given_up_in_growing_steps, 0},
    {"another file behind the descriptor is noticed", another_file_behind_the_descriptor_is_noticed, 0},
    {"a memory error costs its page", a_memory_error_costs_its_page, 0},
};

int
main(int argc, char **argv)
{
    unsetenv("MMAPGUARD_NO_SIGNAL");
    return check_main(argc, argv, everywhere, sizeof everywhere / sizeof *everywhere);
}
