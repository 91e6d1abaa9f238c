/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests memory errors in private mappings of other code, as a siginfo reports them. A memory error may be as wide as a
 * huge page. Pages of its unit to which the owner has written are no bytes of the file, and must survive.
 */
#include "foreign.h"

/* Wide enough that the kernel tells of its pages in several answers, of 512 pages each. */
#define UNIT_PAGES 1024u
#define STORED 0xA7

static uint64_t
unit(void)
{
    return UNIT_PAGES * check_page();
}

static int
poison(const uint8_t *address)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = SIGBUS;
    info.si_code = BUS_MCEERR_AR;
    info.si_addr = (uint8_t *)(uintptr_t)address;
    info.si_addr_lsb = (short)__builtin_ctzll(unit());
    return mmg_handle_fault(SIGBUS, &info, NULL);
}

/** Writes to the page at `stored`, loses the unit at `lost`, and looks at what is left. */
static void
lose_unit(uint64_t stored, uint64_t lost)
{
    const uint64_t page = check_page();
    char path[4096];
    snprintf(path, sizeof path, "%s", check_file("unit", unit()));
    uint8_t *bytes = foreign_map(path, PROT_READ | PROT_WRITE, MAP_PRIVATE, unit(), 0);
    bytes[stored] = STORED;
    foreign_guard(0);
    const uint64_t mark = ledger_mark();
    CHECK_I64(poison(bytes + lost), 1);
    ledger_has_one(mark, MMG_E_POISONED, path, lost, page);
    CHECK_U64(bytes[stored], STORED);
    CHECK(check_is_zero(bytes + lost, page));
    CHECK(check_is_pattern(bytes, 0, lost));
    CHECK(check_is_pattern(bytes + lost + page, lost + page, stored - lost - page));
    foreign_unguard(0);
    CHECK_I64(munmap(bytes, unit()), 0);
}

/** The owner has written to the last page of the unit, which the kernel names in its last answer. */
static void
a_store_at_the_end_of_a_wide_unit_survives(void)
{
    if (!foreign_is_unsupported()) {
        lose_unit(unit() - check_page(), check_page());
    }
}

/** The page before it is the last that the first answer of the kernel names. */
static void
a_store_in_the_midst_of_a_wide_unit_survives(void)
{
    if (!foreign_is_unsupported()) {
        lose_unit(512 * check_page(), 0);
    }
}

/** The unit is lost as a whole, since the owner has written to none of it. */
static void
a_unit_without_stores_is_lost(void)
{
    if (foreign_is_unsupported()) {
        return;
    }
    char path[4096];
    snprintf(path, sizeof path, "%s", check_file("unit", 2 * unit()));
    uint8_t *bytes = foreign_map(path, PROT_READ | PROT_WRITE, MAP_PRIVATE, 2 * unit(), 0);
    bytes[unit()] = STORED; /* in the next unit */
    foreign_guard(0);
    const uint64_t mark = ledger_mark();
    CHECK_I64(poison(bytes + 100), 1);
    ledger_has_one(mark, MMG_E_POISONED, path, 0, unit());
    CHECK(check_is_zero(bytes, unit()));
    CHECK_U64(bytes[unit()], STORED);
    foreign_unguard(0);
    CHECK_I64(munmap(bytes, 2 * unit()), 0);
}

static const struct check_case cases[] = {
    {"a store at the end of a wide unit survives", a_store_at_the_end_of_a_wide_unit_survives, 0},
    {"a store in the midst of a wide unit survives", a_store_in_the_midst_of_a_wide_unit_survives, 0},
    {"a unit without stores is lost", a_unit_without_stores_is_lost, 0},
};

CHECK_MAIN(cases)
