/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests adopted mappings. The handle is like any other, and the mapping still belongs to its owner. A loss is contained
 * and reported. When the owner breaks the promise, the library replaces no pages of other mappings.
 */
#include "adopted.h"
#include "foreign.h"
#include "mmapguard_arrow.h"

/* ------------------------------------------------------------------------------------------ an ordinary handle -- */

static void
the_handle_is_like_any_other(void)
{
    if (foreign_is_unsupported()) {
        return;
    }
    const uint64_t page = check_page(), from = 3 * page + 77, size = 20 * page + 5;
    const char *path = check_file("adopted", whole());
    uint8_t *bytes = map_shared(path);
    mmg_handle handle = adopt(bytes + from, size, -1, NULL);
    mmg_info info = check_info(handle);
    mmg_span span = MMG_SPAN_INIT;
    struct ArrowArray array;
    uint8_t copy[300];
    uint64_t got = 0, position = 0, resident = 0;
    uint32_t what = 7;

    CHECK_U64(info.backing, MMG_BACKING_ADOPTED);
    CHECK_TEXT(mmg_term(MMG_TERM_BACKING, info.backing), "adopted");
    CHECK_U64(info.guarantee, MMG_GUARANTEE_CONTAINED);
    CHECK_U64(info.lock, MMG_LOCK_NONE);
    CHECK_U64(info.size, size);
    CHECK_U64(info.offset, from);
    CHECK_U64(info.file_size, whole());
    REQUIRE_STATUS(mmg_pin(handle, 10, MMG_TO_END, &span), MMG_OK);
    CHECK(span.data == bytes + from + 10);
    CHECK_U64(span.size, size - 10);
    CHECK_STATUS(mmg_read(handle, 100, copy, sizeof copy, &got), MMG_OK);
    CHECK(got == sizeof copy && check_is_pattern(copy, from + 100, got));
    CHECK_STATUS(mmg_find(handle, 0, MMG_TO_END, bytes + from + 12345, 40, &position), MMG_OK);
    CHECK_U64(position, 12345);
    CHECK_STATUS(mmg_advise(handle, 0, MMG_TO_END, MMG_ADVICE_POPULATE), MMG_OK);
    CHECK_STATUS(mmg_resident(handle, 0, MMG_TO_END, &resident), MMG_OK);
    CHECK_U64(resident, size);
    CHECK_STATUS(mmg_changed(handle, &what), MMG_OK);
    CHECK_U64(what, 0);
    REQUIRE_STATUS(mmg_export_arrow(handle, 7, 1000, &array, NULL), MMG_OK);
    CHECK(array.length == 1000 && array.buffers[1] == bytes + from + 7); /* nothing is copied */
    CHECK_U64(check_info(handle).pins, 2);
    array.release(&array);
    CHECK_U64(check_info(handle).pins, 1);
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    CHECK_STATUS(mmg_verify(handle), MMG_OK);
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK(check_is_pattern(bytes, 0, whole())); /* the owner still has the mapping */
    REQUIRE(munmap(bytes, whole()) == 0);
}

static void
what_lies_behind_the_end_is_left_out(void)
{
    if (foreign_is_unsupported()) {
        return;
    }
    const char *path = check_file("adopted", 5 * check_page() + 9);
    uint8_t *bytes = map_shared(path);
    mmg_handle handle = adopt(bytes + 7, whole() - 7, -1, NULL);
    CHECK_U64(check_info(handle).size, 5 * check_page() + 2);
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    is_refused(MMG_E_TRUNCATED, "ends before", bytes + 6 * check_page(), 10, -1, NULL);
    REQUIRE(munmap(bytes, whole()) == 0);
}

static void
a_private_mapping_shows_what_its_owner_wrote(void)
{
    if (foreign_is_unsupported()) {
        return;
    }
    const char *path = check_file("adopted", whole());
    uint8_t *bytes = foreign_map(path, PROT_READ | PROT_WRITE, MAP_PRIVATE, whole(), 0);
    mmg_handle handle = adopt(bytes, whole(), -1, NULL);
    uint8_t byte = 0;
    uint64_t got;

    bytes[100] = (uint8_t)(bytes[100] + 1);
    CHECK_STATUS(mmg_read(handle, 100, &byte, 1, &got), MMG_OK);
    CHECK(byte == bytes[100]);
    CHECK_STATUS(mmg_advise(handle, 0, MMG_TO_END, MMG_ADVICE_DONTNEED), MMG_OK);
    CHECK(byte == touch(bytes, 100));
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    REQUIRE(munmap(bytes, whole()) == 0);
}

/* ---------------------------------------------------------------------------------------------------------- a loss -- */

static void
plain_reader(void *path)
{
    signal(SIGBUS, SIG_DFL);
    uint8_t *bytes = map_shared(path);
    check_truncate(path, check_page());
    touch(bytes, whole() - 1);
}

/** Cuts the file of an adopted mapping. With `has_parts`, pages in its middle are separate mappings. */
static void
cut_below(int protection, int flags, bool has_parts)
{
    if (foreign_is_unsupported()) {
        return;
    }
    const uint64_t page = check_page(), lead = 33;
    char *path = strdup(check_file("adopted", whole()));
    mmg_loss losses[LOSSES];

    CHECK_KILLED(check_child(plain_reader, path), SIGBUS);
    check_file("adopted", whole());
    uint8_t *bytes = foreign_map(path, protection, flags, whole(), 0);
    if (has_parts) {
        REQUIRE(mprotect(bytes + 10 * page, page, PROT_READ | PROT_WRITE) == 0);
        REQUIRE(madvise(bytes + 20 * page, page, MADV_RANDOM) == 0);
    }
    mmg_handle handle = adopt(bytes + lead, whole() - lead, -1, NULL);
    mmg_span span = MMG_SPAN_INIT;
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    const uint64_t mark = ledger_mark();
    check_truncate(path, 2 * page + 5);
    CHECK(check_is_zero(bytes + 2 * page + 5, whole() - 2 * page - 5));
    CHECK(check_is_pattern(bytes, 0, 2 * page + 5));
    if ((protection & PROT_WRITE) != 0 || has_parts) {
        bytes[10 * page + 1] = 5;
        CHECK(touch(bytes, 10 * page + 1) == 5);
    }
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    CHECK_U64(check_info(handle).faults, 1);
    CHECK_U64(check_info(handle).fault_offset, 2 * page + 5 - lead);
    REQUIRE(ledger_since(mark, losses) == 1);
    CHECK_U64(losses[0].origin, MMG_ORIGIN_ADOPTED);
    CHECK_U64(losses[0].handle, handle);
    CHECK_U64(losses[0].offset, 2 * page + 5);
    CHECK_U64(losses[0].length, whole() - 2 * page - 5);
    CHECK_TEXT(losses[0].path, path);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    REQUIRE(munmap(bytes, whole()) == 0);
    free(path);
}

static void
a_cut_is_contained_and_reported(void)
{
    cut_below(PROT_READ, MAP_SHARED, false);
    cut_below(PROT_READ, MAP_PRIVATE, false);
    cut_below(PROT_READ | PROT_WRITE, MAP_PRIVATE, false);
}

/** A private mapping shows zeros for a lost page, before and after the fault. mmg_read() must not return them. */
static void
zeros_of_a_private_mapping_are_not_read(void)
{
    if (foreign_is_unsupported()) {
        return;
    }
    const uint64_t page = check_page(), left = 2 * page + 5;
    const char *path = check_file("adopted", whole());
    uint8_t *bytes = foreign_map(path, PROT_READ, MAP_PRIVATE, whole(), 0);
    mmg_handle handle = adopt(bytes, whole(), -1, NULL);
    uint8_t copy[4 * 65536];
    uint64_t got = 77;

    check_truncate(path, left);
    for (int i = 0; i < 2; i++) {
        CHECK_STATUS(mmg_read(handle, left - 3, copy, 20, &got), MMG_E_TRUNCATED); /* the page is not replaced yet */
        CHECK(got == 3 && check_is_pattern(copy, left - 3, got));
        CHECK_STATUS(mmg_read(handle, 2 * page, copy, 3 * page, &got), MMG_E_TRUNCATED);
        CHECK(got == 5 && check_is_pattern(copy, 2 * page, got));
        CHECK_STATUS(mmg_read(handle, 9 * page, copy, 1, &got), MMG_E_TRUNCATED);
        CHECK_U64(got, 0);
        CHECK_STATUS(mmg_read(handle, page, copy, page, &got), MMG_OK);
        CHECK(got == page && check_is_pattern(copy, page, got));
        CHECK(touch(bytes, 9 * page) == 0); /* the fault replaces the page by zeros */
    }
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    REQUIRE(munmap(bytes, whole()) == 0);
}

static void
parts_are_replaced_each_with_its_protection(void)
{
    cut_below(PROT_READ, MAP_PRIVATE, true);
}

static void
a_file_without_a_path_is_given_as_a_descriptor(void)
{
    if (foreign_is_unsupported()) {
        return;
    }
    const char *path = check_file("adopted", whole());
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    uint8_t *bytes = map_shared(path);
    int other = open(check_file("other", whole()), O_RDONLY | O_CLOEXEC);

    REQUIRE(descriptor >= 0 && other >= 0 && unlink(check_path("adopted")) == 0);
    is_refused(MMG_E_NOT_FOUND, "adopted", bytes, whole(), -1, NULL);
    is_refused(MMG_E_NOT_MAPPABLE, "not the file", bytes, whole(), other, NULL);
    mmg_handle handle = adopt(bytes, whole(), descriptor, NULL);
    REQUIRE(ftruncate(descriptor, 100) == 0);
    CHECK(touch(bytes, whole() - 1) == 0);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    REQUIRE(munmap(bytes, whole()) == 0);
    close(descriptor);
    close(other);
}

/* -------------------------------------------------------------------------------------------------------- refusals -- */

static void
a_mapping_that_cannot_be_a_region_is_refused(void)
{
    if (foreign_is_unsupported()) {
        return;
    }
    const uint64_t page = check_page();
    const char *path = check_file("adopted", whole());
    mmg_options options = MMG_OPTIONS_INIT;
    uint8_t *bytes = map_shared(path);

    is_refused(MMG_E_ARGUMENT, "the address is NULL", NULL, 10, -1, NULL);
    is_refused(MMG_E_RANGE, "no bytes", bytes, 0, -1, NULL);
    options.offset = 1;
    is_refused(MMG_E_ARGUMENT, "its offset and its length", bytes, 10, -1, &options);
    is_refused(MMG_E_ARGUMENT, "not an open descriptor", bytes, 10, 1000000, NULL);
    is_refused(MMG_E_ARGUMENT, "not an open descriptor", bytes, 10, -2, NULL);
    is_refused(MMG_E_RANGE, "address space", bytes, UINT64_MAX / 2 + 9, -1, NULL);

    uint8_t local = 1;
    is_refused(MMG_E_NOT_MAPPABLE, "memory", &local, 1, -1, NULL);
    uint8_t *memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    is_refused(MMG_E_NOT_MAPPABLE, "memory", memory, page, -1, NULL);
    munmap(memory, page);
    is_refused(MMG_E_NOT_MAPPABLE, "nothing is mapped", memory, page, -1, NULL);

    uint8_t *shared = foreign_map(path, PROT_READ | PROT_WRITE, MAP_SHARED, whole(), 0);
    is_refused(MMG_E_NOT_MAPPABLE, "SHARED_WRITABLE", shared, whole(), -1, NULL);
    mmg_options writable = MMG_OPTIONS_INIT;
    writable.flags = MMG_FLAG_SHARED_WRITABLE;
    CHECK_STATUS(mmg_close(adopt(shared, whole(), -1, &writable), 0), MMG_OK);
    munmap(shared, whole());

    int other = open(check_file("other", whole()), O_RDONLY | O_CLOEXEC);
    REQUIRE(mmap(bytes + 5 * page, page, PROT_READ, MAP_SHARED | MAP_FIXED, other, 5 * (off_t)page) != MAP_FAILED);
    is_refused(MMG_E_NOT_MAPPABLE, "one piece", bytes, whole(), -1, NULL);
    REQUIRE(munmap(bytes + 5 * page, page) == 0);
    is_refused(MMG_E_RANGE, "before the range", bytes, whole(), -1, NULL);
    CHECK_STATUS(mmg_close(adopt(bytes, 5 * page, -1, NULL), 0), MMG_OK);
    close(other);

    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    uint8_t *device = mmap(NULL, page, PROT_READ, MAP_PRIVATE, zero, 0);
    is_refused(MMG_E_NOT_MAPPABLE, "", device, page, -1, NULL);
    munmap(device, page);
    close(zero);
    REQUIRE(munmap(bytes, whole()) == 0);
}

/** STABLE may put a snapshot in the place of the mapping, where the owner could lose what it writes. */
static void
a_mapping_that_its_owner_may_write_to_is_not_stable(void)
{
    if (foreign_is_unsupported()) {
        return;
    }
    const uint64_t page = check_page();
    const char *path = check_file("adopted", whole());
    const uint64_t places[] = {0, 5 * page, whole() - page};
    mmg_options options = MMG_OPTIONS_INIT;
    options.guarantee = MMG_GUARANTEE_STABLE;
    for (size_t index = 0; index < sizeof places / sizeof *places; index++) {
        uint8_t *bytes = foreign_map(path, PROT_READ, MAP_PRIVATE, whole(), 0);
        REQUIRE(mprotect(bytes + places[index], page, PROT_READ | PROT_WRITE) == 0);
        is_refused(MMG_E_UNSTABLE, "its owner can write to the mapping", bytes, whole(), -1, &options);
        REQUIRE(munmap(bytes, whole()) == 0);
    }
}

static void
code_is_refused(void)
{
    if (foreign_is_unsupported() || foreign_hides_code()) {
        return;
    }
    const char *path = check_file("adopted", whole());
    uint8_t *bytes = map_shared(path);
    uint8_t *code = foreign_map(path, PROT_READ | PROT_EXEC, MAP_PRIVATE, whole(), 0);
    is_refused(MMG_E_NOT_MAPPABLE, "executable", code, whole(), -1, NULL);
    is_refused(MMG_E_NOT_MAPPABLE, "part of a program", bytes, whole(), -1, NULL);
    munmap(code, whole());
    REQUIRE(munmap(bytes, whole()) == 0);
}

static const struct check_case cases[] = {
    {"a mapping that its owner may write to is not stable", a_mapping_that_its_owner_may_write_to_is_not_stable, 0},
    {"the handle is like any other", the_handle_is_like_any_other, 0},
    {"the region ends with the file", what_lies_behind_the_end_is_left_out, 0},
    {"a private mapping shows what its owner wrote", a_private_mapping_shows_what_its_owner_wrote, 0},
    {"a cut is contained and reported", a_cut_is_contained_and_reported, 0},
    {"the zeros of a private mapping are not read", zeros_of_a_private_mapping_are_not_read, 0},
    {"parts are replaced, each with its protection", parts_are_replaced_each_with_its_protection, 0},
    {"a file without a path is given as a descriptor", a_file_without_a_path_is_given_as_a_descriptor, 0},
    {"a mapping that cannot be a region is refused", a_mapping_that_cannot_be_a_region_is_refused, 0},
    {"code is refused", code_is_refused, 0},
};

CHECK_MAIN(cases)
