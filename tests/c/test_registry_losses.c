/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests which bytes of a region a recorded loss takes: those of the region only, no secured ones by a truncation, and in each
 * mapping that shows the same bytes of the same file.
 */
#include "check.h"

#include <sys/mman.h>

#include "guard/registry.h"

#define PAGES 8
#define INODE 4711u
#define FILE_OFFSET (UINT64_C(1) << 30)

static const struct mapping_owner owner;
static unsigned char *pages;
static uint64_t page;

static void
begin(void)
{
    page = check_page();
    pages = mmap(NULL, PAGES * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(pages != MAP_FAILED);
}

static void
end(void)
{
    CHECK(munmap(pages, PAGES * page) == 0);
    CHECK(
        !registry_may_have_losses()); /* the mappings with losses are gone, so calls need not look for them any more */
}

/** Registers these pages. The region begins `lead` bytes behind the first one, and ends with the last one. */
static uint32_t
add(uint64_t first, uint64_t count, uint64_t lead, uint64_t inode)
{
    const uint32_t number = mmgi_registry_add(&(struct registration){
        .start = pages + first * page,
        .length = (size_t)(count * page),
        .page = (size_t)page,
        .lead = (size_t)lead,
        .size = count * page - lead,
        .file_offset = FILE_OFFSET + first * page,
        .fd = -1,
        .inode = inode,
        .owner = &owner,
    });
    REQUIRE(number != 0);
    return number;
}

/** Checks that the bytes from `from` to `to` of a region are lost, and no others. */
static void
check_lost(uint32_t number, uint64_t size, uint64_t from, uint64_t to, mmg_status cause)
{
    struct losses losses;
    mmgi_registry_losses(number, &losses);
    CHECK_STATUS(losses.cause, from < to ? cause : MMG_OK);
    CHECK_U64(losses.first_offset, from < to ? from : MMG_TO_END);
    CHECK_STATUS(registry_loss_within(number, 0, from), MMG_OK);
    CHECK_STATUS(registry_loss_within(number, to, size - to), MMG_OK);
    if (from < to) {
        CHECK_STATUS(registry_loss_within(number, from, 1), cause);
        CHECK_STATUS(registry_loss_within(number, to - 1, 1), cause);
    }
}

static void
a_loss_takes_its_pages_and_no_others(void)
{
    begin();
    const uint32_t number = add(0, PAGES, 0, INODE);
    const uint32_t before = *mmgi_registry_loss_counter(number);
    check_lost(number, PAGES * page, 0, 0, MMG_OK);
    CHECK(!registry_may_have_losses());
    mmgi_registry_lose(number, 2 * page, 3 * page, MMG_E_IO);
    CHECK(registry_may_have_losses());
    check_lost(number, PAGES * page, 2 * page, 5 * page, MMG_E_IO);
    CHECK(*mmgi_registry_loss_counter(number) > before);
    mmgi_registry_remove(number);
    end();
}

static void
a_truncation_takes_no_secured_byte(void)
{
    static const struct {
        uint64_t offset, length, from, to; /**< in pages */
        mmg_status cause;
    } losses[] = {
        {1, 4, 3, 5, MMG_E_TRUNCATED}, {0, 3, 0, 0, MMG_E_TRUNCATED}, {0, 4, 3, 4, MMG_E_TRUNCATED},
        {3, 2, 3, 5, MMG_E_TRUNCATED}, {5, 1, 5, 6, MMG_E_TRUNCATED}, {2, 2, 2, 4, MMG_E_IO},
    };
    begin();
    for (size_t index = 0; index < sizeof losses / sizeof *losses; index++) {
        const uint32_t number = add(0, PAGES, 0, INODE);
        const uint32_t before = *mmgi_registry_loss_counter(number);
        mmgi_registry_secure(number, (size_t)(3 * page));
        mmgi_registry_lose(number, losses[index].offset * page, losses[index].length * page, losses[index].cause);
        check_lost(number, PAGES * page, losses[index].from * page, losses[index].to * page, losses[index].cause);
        CHECK((*mmgi_registry_loss_counter(number) != before) == (losses[index].to > 0));
        mmgi_registry_remove(number);
    }
    end();
}

/** The bytes before the region are of its first page. Bytes are secured from the start of that page on. */
static void
a_region_inside_its_first_page_loses_what_it_has(void)
{
    const uint64_t lead = 100;
    begin();
    uint32_t number = add(0, PAGES, lead, INODE);
    mmgi_registry_secure(number, (size_t)(2 * page));
    mmgi_registry_lose(number, page - lead, 2 * page, MMG_E_TRUNCATED);
    check_lost(number, PAGES * page - lead, 2 * page - lead, 3 * page - lead, MMG_E_TRUNCATED);
    mmgi_registry_remove(number);
    number = add(0, PAGES, lead, INODE);
    mmgi_registry_lose(number, PAGES * page - lead, page, MMG_E_TRUNCATED); /* behind the region */
    check_lost(number, PAGES * page - lead, 0, 0, MMG_OK);
    mmgi_registry_remove(number);
    end();
}

static void
each_mapping_of_the_same_bytes_loses_them(void)
{
    begin();
    const uint32_t whole = add(0, PAGES, 0, INODE), part = add(4, 2, 7, INODE), before = add(0, 4, 0, INODE),
                   other_file = add(4, 2, 0, INODE + 1), nameless = add(4, 2, 0, 0), except = add(4, 4, 0, INODE);
    const uintptr_t start = (uintptr_t)pages;
    const struct lost_range lost = {.from = start + (uintptr_t)(4 * page),
                                    .to = start + (uintptr_t)(7 * page),
                                    .inode = INODE,
                                    .offset = FILE_OFFSET + 4 * page};
    mmgi_registry_lose_everywhere(&lost, except, MMG_E_IO);
    check_lost(whole, PAGES * page, 4 * page, 7 * page, MMG_E_IO);
    check_lost(part, 2 * page - 7, 0, 2 * page - 7, MMG_E_IO);
    check_lost(before, 4 * page, 0, 0, MMG_OK);
    check_lost(other_file, 2 * page, 0, 0, MMG_OK);
    check_lost(nameless, 2 * page, 0, 0, MMG_OK);
    check_lost(except, 4 * page, 0, 0, MMG_OK);
    const struct lost_range elsewhere = {lost.from, lost.to, INODE, lost.offset + page};
    mmgi_registry_lose_everywhere(&elsewhere, 0, MMG_E_IO); /* the owner has mapped another part of the file there */
    check_lost(except, 4 * page, 0, 0, MMG_OK);
    const uint32_t numbers[] = {whole, part, before, other_file, nameless, except};
    for (size_t index = 0; index < sizeof numbers / sizeof *numbers; index++) {
        mmgi_registry_remove(numbers[index]);
    }
    end();
}

static const struct check_case cases[] = {
    {"a loss takes its pages and no others", a_loss_takes_its_pages_and_no_others, 0},
    {"a truncation takes no secured byte", a_truncation_takes_no_secured_byte, 0},
    {"a region inside its first page loses what it has", a_region_inside_its_first_page_loses_what_it_has, 0},
    {"each mapping of the same bytes loses them", each_mapping_of_the_same_bytes_loses_them, 0},
};

CHECK_MAIN(cases)
