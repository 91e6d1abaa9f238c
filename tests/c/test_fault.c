/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests containment from the side of a C program: an access that kills a reader of a plain mapping ends with a status
 * here. Every such access has a twin on plain mmap(2), which must die. The tests in tests/fault are about the guard and
 * other handlers.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 64

/** The path of a file of PAGES pages, which forked children know, too. */
static char file[4096];
static uint64_t page;

static void
make_file(void)
{
    page = check_page();
    snprintf(file, sizeof file, "%s", check_file("file", PAGES * page));
}

/** Touches one byte of every page. */
static unsigned
touch(const volatile uint8_t *bytes, uint64_t size)
{
    unsigned sum = 0;
    for (uint64_t at = 0; at < size; at += check_page()) {
        sum += bytes[at];
    }
    return sum;
}

static void
plain_reader(void *unused)
{
    (void)unused;
    signal(SIGBUS, SIG_DFL);
    int descriptor = open(file, O_RDONLY | O_CLOEXEC);
    const uint8_t *bytes = mmap(NULL, PAGES * page, PROT_READ, MAP_SHARED, descriptor, 0);
    REQUIRE(bytes != MAP_FAILED);
    check_truncate(file, 3 * page);
    touch(bytes, PAGES * page);
}

static void
guarded_reader(void *unused)
{
    (void)unused;
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_handle handle = check_open(file, &options);
    mmg_span span = MMG_SPAN_INIT;
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    check_truncate(file, 3 * page);
    touch(span.data, span.size);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_truncation_kills_a_plain_reader_and_not_a_guarded_one(void)
{
    make_file();
    CHECK_KILLED(check_child(plain_reader, NULL), SIGBUS);
    make_file();
    CHECK_EXITED(check_child(guarded_reader, NULL));
}

static void
the_lost_tail_reads_as_zeroes_and_costs_one_signal(void)
{
    static const struct {
        uint64_t pages;
        uint64_t bytes;
    } cuts[] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}, {5, 4095}, {PAGES - 2, 17}, {PAGES - 1, 0}};
    for (size_t index = 0; index < sizeof cuts / sizeof *cuts; index++) {
        mmg_options options = check_backing(MMG_BACKING_MAP);
        mmg_span span = MMG_SPAN_INIT;
        make_file();
        uint64_t cut = cuts[index].pages * page + cuts[index].bytes;
        mmg_handle handle = check_open(file, &options);
        mmg_stats before = check_stats();
        REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
        check_truncate(file, cut);
        CHECK(check_is_pattern(span.data, 0, cut));
        CHECK(check_is_zero(span.data + cut, span.size - cut));
        mmg_info info = check_info(handle);
        CHECK_U64(info.faults, 1);
        CHECK_U64(info.fault_offset, cut);
        CHECK_STATUS(info.fault_cause, MMG_E_TRUNCATED);
        CHECK_U64(check_stats().faults, before.faults + 1);
        CHECK_U64(check_stats().foreign_faults, before.foreign_faults);
        CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

static void
offsets_of_losses_are_those_of_the_region(void)
{
    make_file();
    for (uint64_t cut = 3 * page - 5; cut <= 40 * page; cut += 7 * page + 3) {
        mmg_options options = check_backing(MMG_BACKING_MAP);
        mmg_span span = MMG_SPAN_INIT;
        make_file();
        options.offset = 3 * page + 1234;
        options.length = 50 * page;
        mmg_handle handle = check_open(file, &options);
        REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
        check_truncate(file, cut);
        touch(span.data, span.size);
        (void)*(const volatile uint8_t *)(span.data + span.size - 1);
        CHECK_U64(check_info(handle).fault_offset, cut <= options.offset ? 0 : cut - options.offset);
        CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

static void
a_truncation_inside_the_last_page_never_faults_and_is_reported(void)
{
    make_file();
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_span span = MMG_SPAN_INIT;
    mmg_handle handle = check_open(file, &options);
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    check_truncate(file, PAGES * page - 10);
    CHECK(check_is_zero(span.data + span.size - 10, 10));
    CHECK_U64(check_info(handle).faults, 0);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    mmg_info info = check_info(handle);
    CHECK_U64(info.fault_offset, PAGES * page - 10);
    CHECK_STATUS(info.fault_cause, MMG_E_TRUNCATED);
    CHECK_U64(info.faults, 0);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
unpin_reports_the_losses_inside_its_span_only(void)
{
    make_file();
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_span head = MMG_SPAN_INIT;
    mmg_span edge = MMG_SPAN_INIT;
    mmg_span over = MMG_SPAN_INIT;
    mmg_span tail = MMG_SPAN_INIT;
    mmg_span empty = MMG_SPAN_INIT;
    mmg_handle handle = check_open(file, &options);
    REQUIRE_STATUS(mmg_pin(handle, 0, page, &head), MMG_OK);
    REQUIRE_STATUS(mmg_pin(handle, 0, 10 * page + 5, &edge), MMG_OK);
    REQUIRE_STATUS(mmg_pin(handle, 0, 10 * page + 6, &over), MMG_OK);
    REQUIRE_STATUS(mmg_pin(handle, 20 * page, 100, &tail), MMG_OK);
    REQUIRE_STATUS(mmg_pin(handle, 20 * page, 0, &empty), MMG_OK);
    check_truncate(file, 10 * page + 5);
    touch(tail.data, tail.size);
    CHECK_STATUS(mmg_unpin(&head), MMG_OK);
    CHECK_STATUS(mmg_unpin(&edge), MMG_OK);
    CHECK_STATUS(mmg_unpin(&over), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_unpin(&tail), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_unpin(&empty), MMG_OK);
    CHECK_STATUS(mmg_unpin(&tail), MMG_OK);
    CHECK_U64(check_info(handle).pins, 0);
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
}

static void
a_loss_is_reported_by_unpin_after_the_close(void)
{
    make_file();
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_span span = MMG_SPAN_INIT;
    mmg_handle handle = check_open(file, &options);
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    check_truncate(file, page);
    touch(span.data, span.size);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_U64(check_mappings_of(file), 0);
}

static void
what_is_known_to_be_lost_cannot_be_pinned(void)
{
    make_file();
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_span span = MMG_SPAN_INIT;
    uint64_t position = 0;
    mmg_handle handle = check_open(file, &options);
    check_truncate(file, 10 * page + 5);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_pin(handle, 10 * page + 5, 1, &span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_pin(handle, PAGES * page - 1, 1, &span), MMG_E_TRUNCATED);
    CHECK_U64(span.pin, 0);
    CHECK_STATUS(mmg_find(handle, 10 * page, page, "x", 1, &position), MMG_E_TRUNCATED);
    CHECK_U64(check_info(handle).pins, 0);
    REQUIRE_STATUS(mmg_pin(handle, 0, 10 * page + 5, &span), MMG_OK);
    CHECK(check_is_pattern(span.data, 0, span.size));
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_loss_once_seen_stays_reported(void)
{
    make_file();
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_span span = MMG_SPAN_INIT;
    mmg_handle handle = check_open(file, &options);
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    check_truncate(file, 10 * page);
    touch(span.data, span.size);
    make_file(); /* the file has the same inode and its old contents again */
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    CHECK(check_is_pattern(span.data, 0, 10 * page));
    CHECK(check_is_zero(span.data + 10 * page, span.size - 10 * page));
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_U64(check_info(handle).fault_offset, 10 * page);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    handle = check_open(file, &options);
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_second_truncation_is_contained_as_the_first(void)
{
    make_file();
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_span span = MMG_SPAN_INIT;
    mmg_handle handle = check_open(file, &options);
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    check_truncate(file, 40 * page);
    touch(span.data, span.size);
    check_truncate(file, 20 * page);
    touch(span.data, span.size);
    check_truncate(file, 0);
    touch(span.data, span.size);
    CHECK_U64(check_info(handle).faults, 3);
    CHECK(check_is_zero(span.data, span.size));
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_pin(handle, 0, 1, &span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
each_region_of_a_file_reports_its_own_losses(void)
{
    make_file();
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_span spans[10];
    mmg_handle handles[10];
    for (size_t index = 0; index < 10; index++) {
        options.offset = 6 * index * page;
        options.length = 6 * page;
        handles[index] = check_open(file, &options);
        REQUIRE_STATUS(mmg_pin(handles[index], 0, MMG_TO_END, &spans[index]), MMG_OK);
    }
    check_truncate(file, 30 * page);
    for (size_t index = 0; index < 10; index++) {
        touch(spans[index].data, spans[index].size);
        CHECK_U64(check_info(handles[index]).faults, index < 5 ? 0 : 1);
        CHECK_STATUS(mmg_check(handles[index]), index < 5 ? MMG_OK : MMG_E_TRUNCATED);
        CHECK_STATUS(mmg_unpin(&spans[index]), index < 5 ? MMG_OK : MMG_E_TRUNCATED);
        CHECK_STATUS(mmg_close(handles[index], 0), MMG_OK);
    }
}

static void
a_hundred_gigabytes_cut_to_nothing_cost_one_signal(void)
{
    if (check_under_valgrind()) {
        check_skip("Valgrind has no room for a mapping of that size");
        return;
    }
    if (check_under_qemu()) {
        check_skip("qemu-user reserves memory for the whole of a mapping first, and has none for one of that size");
        return;
    }
    const char *path = check_file("sparse", 0);
    uint64_t size = (uint64_t)(sizeof(void *) < 8 ? 1 : 100)
                    << 30; /* 32-bit programs can map one gigabyte, at most two */
    mmg_span span = MMG_SPAN_INIT;
    check_truncate(path, size);
    mmg_handle handle = check_open(path, NULL);
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    check_truncate(path, 0);
    for (uint64_t at = 0; at < size; at += UINT64_C(1) << 26) {
        REQUIRE(*(const volatile uint8_t *)(span.data + at) == 0);
    }
    CHECK_U64(check_info(handle).faults, 1);
    CHECK_U64(check_info(handle).fault_offset, 0);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

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
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_handle handle = check_open(file, &options);
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
    mmg_options options = check_backing(MMG_BACKING_MAP);
    check_open(file, &options);
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
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_span span = MMG_SPAN_INIT;
    mmg_handle handle = check_open(file, &options);
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
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
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_handle handle = check_open(file, &options);
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
        mmg_options options = check_backing(MMG_BACKING_MAP);
        mmg_span span = MMG_SPAN_INIT;
        make_file();
        mmg_handle handle = check_open(file, &options);
        REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
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

static const struct check_case cases[] = {
    /* This case is the first, since its child must not have the guard installed. */
    {"without the guard a region is a plain mapping", without_the_guard_a_region_is_a_plain_mapping, 0},
    {"a truncation kills a plain reader and not a guarded one", a_truncation_kills_a_plain_reader_and_not_a_guarded_one,
     CHECK_LOSES},
    {"the lost tail reads as zeroes and costs one signal", the_lost_tail_reads_as_zeroes_and_costs_one_signal,
     CHECK_LOSES},
    {"offsets of losses are those of the region", offsets_of_losses_are_those_of_the_region, CHECK_LOSES},
    {"a truncation inside the last page never faults and is reported",
     a_truncation_inside_the_last_page_never_faults_and_is_reported, 0},
    {"unpin reports the losses inside its span only", unpin_reports_the_losses_inside_its_span_only, CHECK_LOSES},
    {"a loss is reported by unpin after the close", a_loss_is_reported_by_unpin_after_the_close, CHECK_LOSES},
    {"what is known to be lost cannot be pinned", what_is_known_to_be_lost_cannot_be_pinned, 0},
    {"a loss once seen stays reported", a_loss_once_seen_stays_reported, CHECK_LOSES},
    {"a second truncation is contained as the first", a_second_truncation_is_contained_as_the_first, CHECK_LOSES},
    {"each region of a file reports its own losses", each_region_of_a_file_reports_its_own_losses, CHECK_LOSES},
    {"a hundred gigabytes cut to nothing cost one signal", a_hundred_gigabytes_cut_to_nothing_cost_one_signal, 0},
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
