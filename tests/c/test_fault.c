/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests containment from the side of a C program: an access that kills a reader of a plain mapping ends with a status
 * here. Every such access has a twin on plain mmap(2), which must die. The tests in tests/fault are about the guard and
 * other handlers.
 */
#include "lost_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

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
    mmg_handle handle = open_mapped();
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
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
        make_file();
        uint64_t cut = cuts[index].pages * page + cuts[index].bytes;
        mmg_handle handle = open_mapped();
        mmg_stats before = check_stats();
        mmg_span span = check_pin(handle, 0, MMG_TO_END);
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
    mmg_handle handle = open_mapped();
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
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
    mmg_span head = MMG_SPAN_INIT;
    mmg_span edge = MMG_SPAN_INIT;
    mmg_span over = MMG_SPAN_INIT;
    mmg_span tail = MMG_SPAN_INIT;
    mmg_span empty = MMG_SPAN_INIT;
    mmg_handle handle = open_mapped();
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
    mmg_handle handle = open_mapped();
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
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
    mmg_span span = MMG_SPAN_INIT;
    uint64_t position = 0;
    mmg_handle handle = open_mapped();
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
    mmg_handle handle = open_mapped();
    mmg_span span = check_pin(handle, 0, MMG_TO_END);
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

static const struct check_case cases[] = {
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
