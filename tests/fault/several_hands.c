/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The same bytes are in several hands: a region is a part of a foreign mapping or of another region, and a page of a private
 * mapping belongs to the file until its owner writes to it. A loss that is found in one way is known in every way, and the
 * owner's own bytes stay.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include "foreign.h"

/** A memory error of so many bytes is that of a huge page. */
#define WIDE_BIT 21

static mmg_handle
adopt(const uint8_t *data, uint64_t size)
{
    mmg_handle handle = 0;
    REQUIRE_STATUS(mmg_adopt(data, size, -1, NULL, &handle, NULL), MMG_OK);
    return handle;
}

/** Lets a file that was cut grow again to what it was. Pages that were replaced stay zeros. */
static void
restore(const char *path)
{
    int descriptor = open(path, O_WRONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    for (uint64_t at = 0; at < whole(); at += check_page()) {
        uint8_t bytes[65536];
        check_fill(bytes, at, check_page());
        REQUIRE(pwrite(descriptor, bytes, check_page(), (off_t)at) == (ssize_t)check_page());
    }
    close(descriptor);
}

/* ------------------------------------------------------------------------------------------------- one loss, all ways -- */

/** Cuts the file, has the loss found at `found`, and lets the file grow again, so that nothing but a record tells of it. */
static void
lose_and_restore(const char *path, const uint8_t *found)
{
    check_truncate(path, check_page());
    CHECK(touch(found, 0) == 0);
    restore(path);
}

static void
a_region_in_a_foreign_mapping(void)
{
    const uint64_t page = check_page();
    if (foreign_is_unsupported()) {
        return;
    }
    const char *path = check_file("shared", whole());
    uint8_t *bytes = foreign_map(path, PROT_READ, MAP_SHARED, whole(), 0);
    mmg_handle handle = adopt(bytes + 10 * page + 5, 20 * page);
    mmg_handle before = adopt(bytes, page);
    mmg_loss losses[LOSSES];
    REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_FILES, 0), MMG_OK);
    const uint64_t mark = ledger_mark();
    lose_and_restore(path, bytes + 50 * page);
    CHECK(check_is_zero(bytes + 10 * page, 20 * page));
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    CHECK_U64(check_info(handle).fault_offset, 0);
    CHECK_STATUS(mmg_check(before), MMG_OK);
    REQUIRE(ledger_since(mark, losses) == 2);
    CHECK_U64(losses[0].origin, MMG_ORIGIN_FOREIGN);
    CHECK_U64(losses[0].offset, page);
    CHECK_U64(losses[1].origin, MMG_ORIGIN_ADOPTED);
    CHECK_U64(losses[1].handle, handle);
    CHECK_U64(losses[1].offset, 10 * page + 5);
    CHECK_U64(losses[1].length, 20 * page);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK_STATUS(mmg_close(before, 0), MMG_OK);
    REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_NONE, 0), MMG_OK);
    munmap(bytes, whole());
}

static void
two_regions_of_one_mapping(void)
{
    const uint64_t page = check_page();
    if (foreign_is_unsupported()) {
        return;
    }
    const char *path = check_file("shared", whole());
    uint8_t *bytes = foreign_map(path, PROT_READ, MAP_SHARED, whole(), 0);
    mmg_handle one = adopt(bytes, 40 * page);
    mmg_handle other = adopt(bytes + 20 * page, 40 * page);
    lose_and_restore(path, bytes + 5 * page);
    CHECK(touch(bytes, 39 * page) == 0);
    CHECK_STATUS(mmg_check(one), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_check(other), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(one, 0), MMG_OK);
    CHECK_STATUS(mmg_close(other, 0), MMG_OK);
    munmap(bytes, whole());
}

static void
a_region_of_the_bytes_of_a_region(void)
{
    const uint64_t page = check_page();
    if (foreign_is_unsupported()) {
        return;
    }
    const char *path = check_file("shared", whole());
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_handle own = 0;
    mmg_span span = MMG_SPAN_INIT;
    options.backing = MMG_BACKING_MAP;
    options.lock = MMG_LOCK_NONE;
    REQUIRE_STATUS(mmg_open(path, &options, &own, NULL), MMG_OK);
    REQUIRE_STATUS(mmg_pin(own, 0, MMG_TO_END, &span), MMG_OK);
    mmg_handle adopted = adopt(span.data + 10 * page, 10 * page);
    lose_and_restore(path, span.data + 50 * page);
    CHECK(touch(span.data, 15 * page) == 0);
    CHECK_STATUS(mmg_check(adopted), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(adopted, 0), MMG_OK);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(own, 0), MMG_OK);
}

/* --------------------------------------------------------------------------------------------------- the owner's bytes -- */

static siginfo_t
memory_error(uint8_t *address, int lowest_bit)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = SIGBUS;
    info.si_code = BUS_MCEERR_AR;
    info.si_addr = address;
    info.si_addr_lsb = (short)lowest_bit;
    return info;
}

/** A private mapping, of which the owner has written to pages 2 and 3. */
static uint8_t *
written_to(const char *path)
{
    uint8_t *bytes = foreign_map(path, PROT_READ | PROT_WRITE, MAP_PRIVATE, whole(), 0);
    bytes[2 * check_page()] = 42;
    bytes[3 * check_page()] = 43;
    return bytes;
}

/** Skips the case where the kernel does not tell which pages of a mapping have left the file. */
static bool
copies_are_not_told(void)
{
    int pages = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (pages >= 0) {
        close(pages);
    }
    if (pages < 0 || check_under_qemu()) {
        check_skip("the kernel does not tell here which pages a process has written to");
        return true;
    }
    return false;
}

/** A wide memory error takes the page of the fault, which is the file's, and no page that the owner has written to. */
static void
a_wide_error_leaves_what_the_owner_wrote(void)
{
    const uint64_t page = check_page();
    if (foreign_is_unsupported() || copies_are_not_told()) {
        return;
    }
    for (int adopts = 0; adopts < 2; adopts++) {
        uint8_t *bytes = written_to(check_file("shared", whole()));
        mmg_handle handle = adopts ? adopt(bytes, whole()) : 0;
        mmg_loss losses[LOSSES];
        if (!adopts) {
            REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_FILES, 0), MMG_OK);
        }
        const uint64_t mark = ledger_mark();
        siginfo_t info = memory_error(bytes + 5 * page + 7, WIDE_BIT);
        CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 1);
        REQUIRE(ledger_since(mark, losses) == 1);
        CHECK_STATUS(losses[0].cause, MMG_E_POISONED);
        CHECK_U64(losses[0].offset, 5 * page);
        CHECK_U64(losses[0].length, page);
        CHECK(bytes[2 * page] == 42 && bytes[3 * page] == 43);
        CHECK(check_is_zero(bytes + 5 * page, page));
        CHECK(check_is_pattern(bytes + 6 * page, 6 * page, whole() - 6 * page));
        /* The page that failed is the owner's by now: no byte of the file is lost, and the signal is not the guard's. */
        info = memory_error(bytes + 3 * page, WIDE_BIT);
        CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 0);
        CHECK(bytes[2 * page] == 42 && bytes[3 * page] == 43);
        CHECK_U64(ledger_mark(), mark + 1);
        if (adopts) {
            CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        } else {
            REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_NONE, 0), MMG_OK);
        }
        munmap(bytes, whole());
    }
}

/** Anybody may send a signal with any number of bits. */
static void
a_width_that_cannot_be(void)
{
    static const int bits[] = {-32768, -1, 0, 31, 32, 63, 64, 32767};
    if (foreign_is_unsupported()) {
        return;
    }
    REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_FILES, 0), MMG_OK);
    for (size_t index = 0; index < sizeof bits / sizeof bits[0]; index++) {
        uint8_t *bytes = foreign_map(check_file("shared", whole()), PROT_READ, MAP_SHARED, whole(), 0);
        siginfo_t info = memory_error(bytes + check_page(), bits[index]);
        CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 1);
        CHECK(check_is_zero(bytes + check_page(), bits[index] < 31 ? check_page() : whole() - check_page()));
        munmap(bytes, whole());
    }
    REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_NONE, 0), MMG_OK);
}

/* ------------------------------------------------------------------------------------------------- system calls -- */

/** The kernel reads the bytes, with the guard and without it: no signal is raised, and nothing is recorded. */
static void
write_lost_pages(void *is_guarded)
{
    const uint64_t page = check_page();
    const char *path = check_file("written", whole());
    uint8_t *bytes = foreign_map(path, PROT_READ, MAP_PRIVATE, whole(), 0);
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    signal(SIGBUS, SIG_DFL);
    if (*(const bool *)is_guarded) {
        REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_FILES, 0), MMG_OK);
    }
    const uint64_t mark = ledger_mark();
    check_truncate(path, page);
    CHECK_I64(write(ends[1], bytes, 2 * page), (int64_t)page);
    CHECK(write(ends[1], bytes + page, page) == -1 && errno == EFAULT);
    CHECK_U64(ledger_mark(), mark);
    if (*(const bool *)is_guarded) {
        CHECK(touch(bytes, whole() - 1) == 0);
        ledger_has_one(mark, MMG_E_TRUNCATED, path, page, whole() - page);
        CHECK_I64(write(ends[1], bytes + page, page), (int64_t)page);
    }
    check_child_end();
}

static void
a_system_call_tells_its_caller_of_a_loss(void)
{
    if (foreign_is_unsupported()) {
        return;
    }
    if (check_under_valgrind() || check_under_qemu()) {
        check_skip("valgrind and qemu look at the bytes before the kernel does");
        return;
    }
    for (int guarded = 0; guarded < 2; guarded++) {
        bool is_guarded = guarded != 0;
        CHECK_EXITED(check_child(write_lost_pages, &is_guarded));
    }
}

static void
zeros_stay_when_the_file_grows(void)
{
    const uint64_t page = check_page();
    if (foreign_is_unsupported()) {
        return;
    }
    const char *path = check_file("grown", whole());
    uint8_t *bytes = foreign_map(path, PROT_READ, MAP_SHARED, whole(), 0);
    REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_FILES, 0), MMG_OK);
    check_truncate(path, page);
    CHECK(touch(bytes, whole() - 1) == 0);
    check_file("grown", whole());
    CHECK(check_is_pattern(bytes, 0, page));
    CHECK(check_is_zero(bytes + page, whole() - page));
    REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_NONE, 0), MMG_OK);
    if (!check_under_valgrind() && !check_under_qemu()) { /* they move memory by rules of their own */
        CHECK(mremap(bytes, whole(), 2 * whole(), MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
    }
    REQUIRE(munmap(bytes, whole()) == 0);
}

static const struct check_case cases[] = {
    {"a region in a foreign mapping hears of its loss", a_region_in_a_foreign_mapping, 0},
    {"two regions of one mapping hear of one loss", two_regions_of_one_mapping, 0},
    {"a region of the bytes of a region hears of its loss", a_region_of_the_bytes_of_a_region, 0},
    {"a wide memory error leaves what the owner wrote", a_wide_error_leaves_what_the_owner_wrote, 0},
    {"a memory error of an impossible width does no harm", a_width_that_cannot_be, 0},
    {"a system call tells its caller of a loss", a_system_call_tells_its_caller_of_a_loss, 0},
    {"zeros stay when the file grows", zeros_stay_when_the_file_grows, 0},
};

CHECK_MAIN(cases)
