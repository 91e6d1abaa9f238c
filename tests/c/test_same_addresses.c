/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests a fault at an address that several registered mappings have. The owner of an adopted mapping has unmapped it, although
 * it must not, and another mapping lies there by now. The fault is that of the mapping that lies there.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guard/addr_index.h"
#include "guard/adopted.h"
#include "guard/ask.h"
#include "guard/contain.h"
#include "guard/registry.h"
#include "standing_in.h"

STANDS_IN(enum adopted_place, mmgi_adopted_look, (const struct registration *r, size_t offset), (r, offset))
STANDS_IN(enum replaced, mmgi_adopted_replace, (const struct registration *r, size_t from, size_t to, size_t fault),
          (r, from, to, fault))
STANDS_IN(bool, mmgi_ask_may_retry, (uintptr_t address), (address))

#define PAGES 32
#define CUT 8                         /* pages that are left of the file */
#define FAULT 10                      /* the page that is touched */
#define FILLERS (ADDR_INDEX_FROM + 6) /* with so many mappings, the registry has an index */

static const struct mapping_owner owner;
static struct registration region; /* as the library registers a region */

/** Maps a file and cuts it. */
static void
map_and_cut(void)
{
    const size_t page = (size_t)check_page();
    const char *path = check_file("file", PAGES * page);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    void *start = mmap(NULL, PAGES * page, PROT_READ, MAP_SHARED, fd, 0);
    REQUIRE(start != MAP_FAILED);
    check_truncate(path, CUT * page);
    region = (struct registration){
        .start = start, .length = PAGES * page, .page = page, .size = PAGES * page, .fd = fd, .owner = &owner};
    PLAN(mmgi_ask_may_retry, GO_ON);
}

static void
unmap(void)
{
    close(region.fd);
    munmap(region.start, region.length);
}

static uint32_t
register_mapping(const struct registration *r)
{
    const uint32_t number = mmgi_registry_add(r);
    REQUIRE(number != 0);
    return number;
}

/** Registers a mapping that nobody touches. */
static uint32_t
register_filler(size_t index)
{
    struct registration filler = region;
    filler.start = (unsigned char *)((index + 1) << 20);
    filler.length = filler.page;
    return register_mapping(&filler);
}

/** Registers an adopted mapping of another file at the same addresses. */
static uint32_t
register_adopted(void)
{
    struct registration adopted = region;
    adopted.traits = MAPPING_IS_ADOPTED;
    adopted.inode = 1;
    return register_mapping(&adopted);
}

struct two {
    uint32_t adopted, own;
};

/** Registers an adopted mapping, and then the region with a lower number, or with a higher one. */
static struct two
register_two(bool is_lower)
{
    struct two two;
    const uint32_t one = register_filler(0), other = register_filler(1);
    const uint32_t low = one < other ? one : other, high = one < other ? other : one;
    mmgi_registry_remove(is_lower ? low : high);
    mmgi_registry_remove(is_lower ? high : low); /* the number that was free last is taken first */
    two.adopted = register_adopted();
    two.own = register_mapping(&region);
    REQUIRE(is_lower == (two.own < two.adopted));
    return two;
}

/** This would wait for ever for a hold that was not given back. */
static void
remove_two(struct two two)
{
    mmgi_registry_remove(two.own);
    mmgi_registry_remove(two.adopted);
}

static bool
touch(void)
{
    return mmgi_contain_fault(region.start + FAULT * region.page, 0, false);
}

/** Checks where the losses of a mapping begin: MMG_TO_END when there are none. */
static void
check_losses(uint32_t number, uint64_t first_offset)
{
    struct losses losses;
    mmgi_registry_losses(number, &losses);
    CHECK_STATUS(losses.cause, first_offset == MMG_TO_END ? MMG_OK : MMG_E_TRUNCATED);
    CHECK_U64(losses.first_offset, first_offset);
    CHECK_U64(losses.faults, first_offset != MMG_TO_END);
}

/** The adopted mapping is the first that is found. The region has a lower number, or a higher one. */
static void
contain_behind_an_adopted_mapping(bool is_lower)
{
    map_and_cut();
    const struct two two = register_two(is_lower);
    PLAN(mmgi_adopted_look, ADOPTED_GONE, ADOPTED_GONE);
    CHECK(touch());
    CHECK_U64(CALLS(mmgi_adopted_look), 2);
    check_losses(two.own, CUT * region.page);
    check_losses(two.adopted, MMG_TO_END);
    CHECK(check_is_zero(region.start + CUT * region.page, (PAGES - CUT) * region.page));
    remove_two(two);
    unmap();
}

static void
a_fault_where_an_adopted_mapping_was_is_that_of_the_region(void)
{
    contain_behind_an_adopted_mapping(false);
}

/** The index proposes the adopted mapping. The region is found without it, although its number is lower. */
static void
the_region_is_found_among_many_mappings(void)
{
    uint32_t fillers[FILLERS];
    map_and_cut();
    for (size_t index = 0; index < FILLERS; index++) {
        fillers[index] = register_filler(index + 2);
    }
    unmap();
    contain_behind_an_adopted_mapping(true);
    for (size_t index = 0; index < FILLERS; index++) {
        mmgi_registry_remove(fillers[index]);
    }
}

/** Two adopted mappings were there, and nothing of the library is there now. Each is asked about once, and nothing is touched. */
static void
a_fault_in_no_mapping_of_the_library_is_passed_on(void)
{
    map_and_cut();
    const uint32_t one = register_adopted(), other = register_adopted();
    PLAN(mmgi_adopted_look, ADOPTED_GONE, ADOPTED_GONE, ADOPTED_GONE, ADOPTED_GONE);
    CHECK(!touch());
    CHECK_U64(CALLS(mmgi_adopted_look), 4);
    /* While the page can be read, the instruction runs again, and no mapping loses anything. */
    PLAN(mmgi_adopted_look, ADOPTED_READABLE, ADOPTED_READABLE);
    PLAN(mmgi_ask_may_retry, true);
    CHECK(touch());
    CHECK_U64(CALLS(mmgi_adopted_look), 2);
    check_losses(one, MMG_TO_END);
    check_losses(other, MMG_TO_END);
    mmgi_registry_remove(one);
    mmgi_registry_remove(other);
    unmap();
}

/** The adopted mapping lies there, and its pages cannot be replaced. So the fault is that of no other mapping. */
static void
a_mapping_that_lies_there_is_the_last_that_is_asked(void)
{
    map_and_cut();
    const struct two two = register_two(false);
    PLAN(mmgi_adopted_look, ADOPTED_THERE, ADOPTED_THERE);
    PLAN(mmgi_adopted_replace, REPLACED_NOTHING, REPLACED_NOTHING, REPLACED_NOTHING, REPLACED_NOTHING);
    CHECK(!touch());
    check_losses(two.own, MMG_TO_END);
    remove_two(two);
    unmap();
}

static const struct check_case cases[] = {
    {"a fault where an adopted mapping was is that of the region",
     a_fault_where_an_adopted_mapping_was_is_that_of_the_region, 0},
    {"a fault in no mapping of the library is passed on", a_fault_in_no_mapping_of_the_library_is_passed_on, 0},
    {"a mapping that lies there is the last that is asked", a_mapping_that_lies_there_is_the_last_that_is_asked, 0},
    {"the region is found among many mappings", the_region_is_found_among_many_mappings, 0},
};

CHECK_MAIN(cases)
