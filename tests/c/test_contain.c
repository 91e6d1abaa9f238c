/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests what the guard gives up when it cannot replace the lost pages alone: everything behind them, or the whole mapping, and
 * never memory of the owner of an adopted mapping. Whatever is given up is told as lost before.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guard/adopted.h"
#include "guard/ask.h"
#include "guard/contain.h"
#include "guard/registry.h"
#include "guard/spares.h"
#include "os/signal.h"
#include "standing_in.h"

STANDS_IN(enum replaced, mmgi_spares_replace,
          (unsigned char *start, size_t length, unsigned char *fault, unsigned access), (start, length, fault, access))
STANDS_IN(enum replaced, mmgi_spares_replace_at_last,
          (unsigned char *start, size_t length, unsigned char *fault, unsigned access), (start, length, fault, access))
STANDS_IN(enum replaced, mmgi_adopted_replace, (const struct registration *r, size_t from, size_t to, size_t fault),
          (r, from, to, fault))
STANDS_IN(bool, mmgi_adopted_has_copies, (const struct registration *r, size_t from, size_t to), (r, from, to))
STANDS_IN(enum adopted_place, mmgi_adopted_look, (const struct registration *r, size_t offset), (r, offset))
STANDS_IN(bool, mmgi_ask_may_retry, (uintptr_t address), (address))

#define PAGES 32
#define CUT 8 /* pages that are left of a file that is cut */

static mmg_handle handle;
static const uint8_t *bytes;
static size_t page;

static void
forget_plans(void)
{
    PLAN(mmgi_spares_replace, GO_ON);
    PLAN(mmgi_spares_replace_at_last, GO_ON);
    PLAN(mmgi_adopted_replace, GO_ON);
    PLAN(mmgi_adopted_has_copies, GO_ON);
    PLAN(mmgi_adopted_look, GO_ON);
    PLAN(mmgi_ask_may_retry, GO_ON);
}

static void
open_region(void)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    page = (size_t)check_page();
    handle = check_open(check_file("file", PAGES * page), &options);
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
    bytes = span.data;
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    forget_plans();
}

/** Does the same with a mapping that somebody else has made. Returns false where there are none of them. */
static bool
adopt_region(void)
{
    page = (size_t)check_page();
    if (mmg_supports(MMG_FEATURE_FOREIGN) != 1) {
        check_skip("the kernel does not say here what is mapped at an address");
        return false;
    }
    const int fd = open(check_file("file", PAGES * page), O_RDWR | O_CLOEXEC);
    void *start = mmap(NULL, PAGES * page, PROT_READ, MAP_PRIVATE, fd, 0);
    REQUIRE(fd >= 0 && start != MAP_FAILED);
    REQUIRE_STATUS(mmg_adopt(start, PAGES * page, fd, NULL, &handle, NULL), MMG_OK);
    close(fd);
    bytes = start;
    forget_plans();
    return true;
}

static void
close_region(void)
{
    forget_plans();
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
}

/** Says that a page could not be read. Returns true when the guard has replaced it. */
static bool
fail_page(size_t index)
{
    siginfo_t info = check_fault(bytes + index * page);
    return mmg_handle_fault(SIGBUS, &info, NULL) == 1;
}

/** Checks which pages are told as lost, for which cause, and that all others are what they were. */
static void
check_lost(size_t first, size_t end, mmg_status cause)
{
    for (size_t index = 0; index < PAGES; index++) {
        const bool is_lost = index >= first && index < end;
        mmg_span span = MMG_SPAN_INIT;
        const mmg_status status = mmg_pin(handle, index * page, page, &span);
        CHECK_STATUS(status == MMG_OK ? mmg_unpin(&span) : status, is_lost ? cause : MMG_OK);
        CHECK(is_lost || check_is_pattern(bytes + index * page, index * page, page));
    }
    CHECK_U64(check_info(handle).fault_offset, first < end ? first * page : MMG_TO_END);
}

static bool
are_zeros(size_t first, size_t end)
{
    return check_is_zero(bytes + first * page, (end - first) * page);
}

/* --------------------------------------------------------------------------------------------- a page in the file -- */

static void
a_page_alone_is_given_up_where_it_can_be(void)
{
    open_region();
    CHECK(fail_page(5));
    check_lost(5, 6, MMG_E_IO);
    CHECK(are_zeros(5, 6));
    CHECK_U64(CALLS(mmgi_spares_replace), 1);
    close_region();
}

static void
else_everything_behind_it_is_given_up(void)
{
    open_region();
    PLAN(mmgi_spares_replace, REPLACED_NOTHING);
    CHECK(fail_page(5));
    check_lost(5, PAGES, MMG_E_IO);
    CHECK(are_zeros(5, PAGES));
    CHECK_U64(CALLS(mmgi_spares_replace), 2);
    CHECK_U64(CALLS(mmgi_spares_replace_at_last), 0);
    close_region();
}

static void
else_the_whole_mapping_is_given_up(void)
{
    open_region();
    PLAN(mmgi_spares_replace, REPLACED_NOTHING, REPLACED_NOTHING);
    CHECK(fail_page(5));
    check_lost(0, PAGES, MMG_E_IO);
    CHECK(are_zeros(0, PAGES));
    CHECK_U64(CALLS(mmgi_spares_replace_at_last), 1);
    close_region();
}

static void
what_cannot_be_replaced_at_all_is_not_contained(void)
{
    open_region();
    PLAN(mmgi_spares_replace, REPLACED_NOTHING, REPLACED_NOTHING);
    PLAN(mmgi_spares_replace_at_last, REPLACED_NOTHING);
    CHECK(!fail_page(5));
    CHECK_STATUS(mmg_check(handle), MMG_E_IO); /* told before the attempt */
    CHECK_U64(check_info(handle).faults, 0);
    close_region();
}

/* -------------------------------------------------------------------------------------------- a file that was cut -- */

static void
cut(void)
{
    check_truncate(check_path("file"), CUT * page);
}

static void
a_tail_that_cannot_be_replaced_takes_the_mapping_with_it(void)
{
    open_region();
    cut();
    PLAN(mmgi_spares_replace, REPLACED_NOTHING);
    CHECK(fail_page(20));
    CHECK(are_zeros(0, PAGES));
    check_lost(0, PAGES, MMG_E_TRUNCATED);
    close_region();
}

/** Only a tail that was replaced as a whole needs no further look. */
static void
a_page_of_a_tail_that_is_replaced_alone_leaves_the_others_to_be_replaced(void)
{
    open_region();
    cut();
    PLAN(mmgi_spares_replace, REPLACED_PAGE, REPLACED_PAGE);
    CHECK(fail_page(20));
    CHECK(fail_page(21));
    CHECK_U64(CALLS(mmgi_spares_replace), 2);
    CHECK(fail_page(22));
    CHECK(are_zeros(CUT, PAGES));
    check_lost(CUT, PAGES, MMG_E_TRUNCATED);
    close_region();
}

/* ----------------------------------------------------------------------------------- memory of somebody else -- */

static void
copies_of_the_owner_are_not_given_up(void)
{
    if (!adopt_region()) {
        return;
    }
    PLAN(mmgi_adopted_replace, REPLACED_NOTHING);
    PLAN(mmgi_adopted_has_copies, true); /* behind the page that failed */
    CHECK(!fail_page(5));
    CHECK_U64(CALLS(mmgi_adopted_replace), 1);
    check_lost(5, 6, MMG_E_IO);
    forget_plans();
    PLAN(mmgi_adopted_replace, REPLACED_NOTHING, REPLACED_NOTHING);
    PLAN(mmgi_adopted_has_copies, false, true); /* in front of it */
    CHECK(!fail_page(5));
    CHECK_U64(CALLS(mmgi_adopted_replace), 2);
    check_lost(5, PAGES, MMG_E_IO);
    close_region();
    munmap((void *)(uintptr_t)bytes, PAGES * page);
}

/** After eight failures in a row, a failure takes more pages than the one that was touched. */
static void
a_run_of_failures_stops_at_copies_of_the_owner(void)
{
    if (!adopt_region()) {
        return;
    }
    for (size_t index = 0; index < 8; index++) {
        CHECK(fail_page(index));
    }
    CHECK_U64(CALLS(mmgi_adopted_has_copies), 0);
    PLAN(mmgi_adopted_has_copies, true);
    CHECK(fail_page(8));
    check_lost(0, 9, MMG_E_IO);
    PLAN(mmgi_adopted_has_copies, false);
    CHECK(fail_page(16)); /* the run was to go on here */
    CHECK_U64(CALLS(mmgi_adopted_has_copies), 1);
    CHECK(are_zeros(16, 18) && check_is_pattern(bytes + 9 * page, 9 * page, 7 * page));
    close_region();
    munmap((void *)(uintptr_t)bytes, PAGES * page);
}

static void
an_instruction_runs_again_where_its_page_can_be_read_by_now(void)
{
    if (!adopt_region()) {
        return;
    }
    for (int may_retry = 0; may_retry < 2; may_retry++) {
        PLAN(mmgi_adopted_look, ADOPTED_GONE, ADOPTED_READABLE);
        PLAN(mmgi_ask_may_retry, may_retry);
        CHECK_I64(fail_page(5), may_retry);
    }
    PLAN(mmgi_adopted_look, ADOPTED_GONE, ADOPTED_GONE);
    PLAN(mmgi_ask_may_retry, true);
    CHECK(!fail_page(5));
    CHECK_U64(CALLS(mmgi_ask_may_retry), 0);
    CHECK_U64(CALLS(mmgi_adopted_replace), 0);
    check_lost(0, 0, MMG_OK);
    close_region();
    munmap((void *)(uintptr_t)bytes, PAGES * page);
}

/**
 * On some file systems the list of mappings and fstat(2) name one device differently, so an adopted file is known by its inode.
 * A descriptor that leads to another file by now tells nothing.
 */
static void
the_file_of_an_adopted_mapping_is_known_by_its_inode(void)
{
    static const struct mapping_owner owner;
    const char *path = check_file("file", PAGES * check_page());
    struct stat status;
    page = (size_t)check_page();
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0 && fstat(fd, &status) == 0);
    void *start = mmap(NULL, PAGES * page, PROT_READ, MAP_SHARED, fd, 0);
    REQUIRE(start != MAP_FAILED);
    check_truncate(path, CUT * page);
    for (uint64_t off = 0; off <= 1; off++) {
        struct losses losses;
        forget_plans();
        const uint32_t number = mmgi_registry_add(&(struct registration){.start = start,
                                                                         .length = PAGES * page,
                                                                         .page = page,
                                                                         .size = PAGES * page,
                                                                         .fd = fd,
                                                                         .traits = MAPPING_IS_ADOPTED,
                                                                         .device = status.st_dev + 1,
                                                                         .inode = status.st_ino + off,
                                                                         .owner = &owner});
        REQUIRE(number != 0);
        PLAN(mmgi_adopted_look, ADOPTED_THERE, ADOPTED_THERE);
        PLAN(mmgi_adopted_replace, REPLACED_ALL, REPLACED_ALL);
        PLAN(mmgi_adopted_has_copies, false, false);
        CHECK(mmgi_contain_fault((uint8_t *)start + (CUT + 2) * page, 0, false));
        mmgi_registry_losses(number, &losses);
        CHECK_STATUS(losses.cause, off == 0 ? MMG_E_TRUNCATED : MMG_E_IO);
        CHECK_U64(losses.first_offset, off == 0 ? CUT * page : (CUT + 2) * page);
        mmgi_registry_remove(number);
    }
    close(fd);
    munmap(start, PAGES * page);
}

/** The number is the kernel's, or that of any process that sends the signal: a size that no page has harms nobody. */
static void
the_size_of_a_memory_error_is_a_power_of_two(void)
{
    static const struct {
        short told;
        int bit;
    } sizes[] = {{-32768, 0}, {-1, 0}, {0, 0}, {1, 1}, {12, 12}, {21, 21}, {30, 30}};
    const int most = (int)sizeof(size_t) * 8 - 1;
    siginfo_t info;
    struct signal_report report;

    memset(&info, 0, sizeof info);
    info.si_signo = SIGBUS;
    info.si_code = BUS_MCEERR_AR;
    for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
        info.si_addr_lsb = sizes[index].told;
        mmgi_signal_describe(SIGBUS, &info, &report);
        CHECK(report.cause == SIGNAL_CAUSE_POISON);
        CHECK_U64(report.poisoned, (size_t)1 << sizes[index].bit);
    }
    for (int told = most; told < 200; told++) {
        info.si_addr_lsb = (short)told;
        mmgi_signal_describe(SIGBUS, &info, &report);
        CHECK_U64(report.poisoned, (size_t)1 << most);
    }
}

/** Another process may send the signal for any reason, and a timer of the process tells nothing of a page either. */
static void
only_what_the_process_sends_itself_is_raised(void)
{
    static const int by_a_process[] = {SI_TKILL, SI_USER, SI_QUEUE}, by_the_kernel[] = {SI_TIMER, SI_ASYNCIO, SI_MESGQ};
    const pid_t senders[] = {getpid(), getppid()};
    struct signal_report report;
    for (size_t index = 0; index < 3; index++) {
        for (size_t sender = 0; sender < 2; sender++) {
            siginfo_t info = {.si_signo = SIGBUS, .si_code = by_a_process[index]};
            info.si_pid = senders[sender];
            mmgi_signal_describe(SIGBUS, &info, &report);
            CHECK(report.cause == (sender == 0 ? SIGNAL_CAUSE_RAISED : SIGNAL_CAUSE_OTHER));
            info.si_code = by_the_kernel[index];
            mmgi_signal_describe(SIGBUS, &info, &report);
            CHECK(report.cause == SIGNAL_CAUSE_OTHER);
        }
    }
}

static const struct check_case cases[] = {
    {"the size of a memory error is a power of two", the_size_of_a_memory_error_is_a_power_of_two, 0},
    {"only what the process sends itself is raised", only_what_the_process_sends_itself_is_raised, 0},
    {"a page alone is given up where it can be", a_page_alone_is_given_up_where_it_can_be, 0},
    {"else everything behind it is given up", else_everything_behind_it_is_given_up, 0},
    {"else the whole mapping is given up", else_the_whole_mapping_is_given_up, 0},
    {"what cannot be replaced at all is not contained", what_cannot_be_replaced_at_all_is_not_contained, 0},
    {"a tail that cannot be replaced takes the mapping with it",
     a_tail_that_cannot_be_replaced_takes_the_mapping_with_it, 0},
    {"a page of a tail that is replaced alone leaves the others to be replaced",
     a_page_of_a_tail_that_is_replaced_alone_leaves_the_others_to_be_replaced, 0},
    {"copies of the owner are not given up", copies_of_the_owner_are_not_given_up, 0},
    {"a run of failures stops at copies of the owner", a_run_of_failures_stops_at_copies_of_the_owner, 0},
    {"an instruction runs again where its page can be read by now",
     an_instruction_runs_again_where_its_page_can_be_read_by_now, 0},
    {"the file of an adopted mapping is known by its inode", the_file_of_an_adopted_mapping_is_known_by_its_inode, 0},
};

CHECK_MAIN(cases)
