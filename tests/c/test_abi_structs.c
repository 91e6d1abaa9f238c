/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests structs across the ABI. Longer options of a newer caller are accepted while the unknown part is zero. The
 * unknown part of a longer out struct is zeroed. Every other size is refused. No byte outside the caller's struct is
 * read or written: every struct ends as close to the end of a page as its alignment allows, and the next page cannot be
 * accessed.
 */
#include "check.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/** The largest size that any struct may claim. */
#define LARGEST 4096U
#define CANARY 0xa5

/** One kind of struct, and a call that takes it. */
struct kind {
    const char *name;
    uint32_t full_size; /* also the size in release 1.0 */
    /**
     * Calls the function with a struct that starts with its size. All other bytes are zero, unless the case has set
     * them.
     */
    mmg_status (*call)(void *bytes);
};
static const char *path;
static mmg_handle handle;

static mmg_status
call_options(void *bytes)
{
    mmg_handle opened = 0;
    mmg_status status = mmg_open(path, bytes, &opened, NULL);
    CHECK((opened != 0) == (status == MMG_OK));
    if (status == MMG_OK) {
        CHECK_STATUS(mmg_close(opened, 0), MMG_OK);
    }
    return status;
}

static mmg_status
call_error_on_success(void *bytes)
{
    mmg_handle opened = 0;
    mmg_status status = mmg_open(path, NULL, &opened, bytes);
    CHECK((opened != 0) == (status == MMG_OK));
    if (status == MMG_OK) {
        CHECK_STATUS(mmg_close(opened, 0), MMG_OK);
    }
    return status;
}

static mmg_status
call_error_on_failure(void *bytes)
{
    mmg_handle opened = 0;
    mmg_status status = mmg_open("/no/such/file", NULL, &opened, bytes);
    CHECK_U64(opened, 0);
    return status == MMG_E_NOT_FOUND ? MMG_OK : status;
}

static mmg_status
call_info(void *bytes)
{
    return mmg_info_get(handle, bytes);
}

static mmg_status
call_stats(void *bytes)
{
    return mmg_stats_get(bytes);
}

static const struct kind kinds[] = {
    {"mmg_options", sizeof(mmg_options), call_options},
    {"mmg_error on success", sizeof(mmg_error), call_error_on_success},
    {"mmg_error on failure", sizeof(mmg_error), call_error_on_failure},
    {"mmg_info", sizeof(mmg_info), call_info},
    {"mmg_stats", sizeof(mmg_stats), call_stats},
};
#define KINDS (sizeof kinds / sizeof *kinds)

/** Returns true when release 1.0 must accept this size. */
static bool
size_is_possible(const struct kind *kind, uint32_t size)
{
    return size >= kind->full_size && size <= LARGEST && size % 8 == 0;
}

/* Two pages that can be written to, followed by a page that cannot be accessed. */
static uint8_t *arena;
static uint64_t arena_size;

static void
set_up(void)
{
    uint64_t page = check_page();
    arena_size = 2 * page > 2 * (uint64_t)LARGEST ? 2 * page : 2 * (uint64_t)LARGEST;
    arena = mmap(NULL, arena_size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(arena != MAP_FAILED);
    REQUIRE(mprotect(arena + arena_size, page, PROT_NONE) == 0);
    memset(arena, CANARY, arena_size);
    path = check_file("file", 100);
    handle = check_open(path, NULL);
}

static void
tear_down(void)
{
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    munmap(arena, arena_size + check_page());
}

/** Returns where a struct of this size must start to end with the arena. Structs are aligned to eight bytes. */
static uint8_t *
start_of(uint32_t real)
{
    return arena + arena_size - (real + 7) / 8 * 8;
}

/** Returns a zeroed struct of this size. */
static uint8_t *
place(uint32_t claimed, uint32_t real)
{
    uint8_t *bytes = start_of(real);
    memset(arena, CANARY, arena_size);
    memset(bytes, 0, real);
    memcpy(bytes, &claimed, sizeof claimed);
    return bytes;
}

/** Checks that no byte before the struct or behind it was written to. */
static bool
canary_lives(const uint8_t *bytes, uint32_t real)
{
    for (const uint8_t *at = arena; at < arena + arena_size; at++) {
        if (*at != CANARY && (at < bytes || at >= bytes + real)) {
            return false;
        }
    }
    return true;
}

static void
every_size_is_accepted_or_refused_by_the_rule(void)
{
    set_up();
    for (size_t index = 0; index < KINDS; index++) {
        const struct kind *kind = &kinds[index];
        for (uint32_t size = 0; size <= LARGEST + 64; size++) {
            /* A refused size may be wrong for a struct of only 4 bytes, so no byte behind these may be read. */
            bool possible = size_is_possible(kind, size);
            uint32_t real = possible ? size : (uint32_t)sizeof size;
            uint8_t *bytes = place(size, real);
            if (!check_status(kind->call(bytes), possible ? MMG_OK : MMG_E_ABI_SIZE, kind->name, (int)size, "size")) {
                break;
            }
            CHECK(canary_lives(bytes, real));
            uint32_t after = 0;
            memcpy(&after, bytes, sizeof after);
            CHECK_U64(after, size);
        }
    }
    tear_down();
}

static void
enormous_sizes_are_refused_without_a_look_at_the_rest(void)
{
    static const uint32_t sizes[] = {0x1008,     0x2000,      0xffff,      0x10000,    0x1000000,
                                     0x7fffffff, 0x80000000U, 0xfffffff8U, 0xffffffffU};
    set_up();
    for (size_t index = 0; index < KINDS; index++) {
        for (size_t at = 0; at < sizeof sizes / sizeof *sizes; at++) {
            CHECK_STATUS(kinds[index].call(place(sizes[at], sizeof(uint32_t))), MMG_E_ABI_SIZE);
        }
    }
    tear_down();
}

static void
a_newer_options_struct_is_refused_when_it_uses_what_is_unknown(void)
{
    set_up();
    uint32_t known = (uint32_t)sizeof(mmg_options);
    for (uint32_t size = known + 8; size <= LARGEST; size += 8) {
        uint32_t places[] = {known, known + 1, size - 1, known + (size - known) / 2};
        for (size_t at = 0; at < sizeof places / sizeof *places; at++) {
            uint8_t *bytes = place(size, size);
            bytes[places[at]] = 1;
            CHECK_STATUS(call_options(bytes), MMG_E_ABI_NEWER);
        }
    }
    tear_down();
}

static void
the_unknown_part_of_a_newer_out_struct_is_zeroed_whatever_was_in_it(void)
{
    set_up();
    for (size_t index = 1; index < KINDS; index++) {
        uint32_t known = kinds[index].full_size;
        for (uint32_t size = known + 8; size <= known + 64; size += 8) {
            uint8_t *bytes = place(size, size);
            memset(bytes + sizeof size, 0xaa, size - sizeof size); /* only struct_size is set, as documented */
            CHECK_STATUS(kinds[index].call(bytes), MMG_OK);
            CHECK(check_is_zero(bytes + known, size - known));
            CHECK(canary_lives(bytes, size));
        }
    }
    tear_down();
}

static void
success_clears_an_error_of_which_only_the_size_was_set(void)
{
    for (uint32_t size = (uint32_t)sizeof(mmg_error); size <= sizeof(mmg_error) + 64; size += 8) {
        mmg_handle opened;
        uint64_t room[(sizeof(mmg_error) + 64) / 8];
        mmg_error *error = (mmg_error *)(void *)room;
        memset(room, 0xaa, sizeof room);
        error->struct_size = size;
        error->status = MMG_OK; /* memory that was never set may hold the number of success */
        REQUIRE_STATUS(mmg_open(check_file("file", 100), NULL, &opened, error), MMG_OK);
        CHECK_STATUS(error->status, MMG_OK);
        CHECK_U64((uint64_t)error->os_code, 0);
        CHECK_U64(error->reserved, 0);
        CHECK_U64(error->offset, 0);
        CHECK_TEXT(error->operation, "");
        CHECK_TEXT(error->message, "");
        CHECK(check_is_zero((const uint8_t *)room + sizeof *error, size - sizeof *error));
        CHECK_STATUS(mmg_close(opened, 0), MMG_OK);
    }
}

static void
the_initialiser_function_equals_the_initialiser_macro(void)
{
    const mmg_options expected = MMG_OPTIONS_INIT;
    mmg_options options;
    memset(&options, 0xff, sizeof options);
    CHECK_STATUS(mmg_options_init(&options, (uint32_t)sizeof options), MMG_OK);
    CHECK_BYTES(&options, &expected, sizeof options);
}

static void
the_initialiser_function_writes_all_of_the_size_it_is_told_and_no_more(void)
{
    set_up();
    for (uint32_t size = 0; size <= LARGEST + 64; size++) {
        bool possible = size_is_possible(&kinds[0], size);
        uint8_t *bytes = start_of(possible ? size : 0);
        memset(arena, CANARY, arena_size);
        mmg_status status = mmg_options_init((mmg_options *)(void *)bytes, size);
        CHECK_STATUS(status, possible ? MMG_OK : MMG_E_ABI_SIZE);
        CHECK(canary_lives(bytes, possible ? size : 0));
        if (status == MMG_OK) {
            uint32_t claimed = 0;
            memcpy(&claimed, bytes, sizeof claimed);
            CHECK_U64(claimed, size);
            CHECK(check_is_zero(bytes + sizeof claimed, size - sizeof claimed));
        }
    }
    CHECK_STATUS(mmg_options_init((mmg_options *)(void *)arena, UINT32_MAX), MMG_E_ABI_SIZE);
    tear_down();
}

static void
a_refused_out_struct_is_not_written_to(void)
{
    set_up();
    for (size_t index = 1; index < KINDS; index++) {
        uint8_t *bytes = place(kinds[index].full_size - 1, kinds[index].full_size);
        memset(bytes + sizeof(uint32_t), 0x22, kinds[index].full_size - sizeof(uint32_t));
        CHECK_STATUS(kinds[index].call(bytes), MMG_E_ABI_SIZE);
        for (uint32_t at = sizeof(uint32_t); at < kinds[index].full_size; at++) {
            CHECK_U64(bytes[at], 0x22);
        }
    }
    tear_down();
}

static void
a_call_with_a_refused_error_struct_opens_nothing(void)
{
    mmg_handle opened = 1;
    mmg_error error = MMG_ERROR_INIT;
    mmg_stats before = check_stats();
    const char *file = check_file("file", 100);
    error.struct_size = 3;
    CHECK_STATUS(mmg_open(file, NULL, &opened, &error), MMG_E_ABI_SIZE);
    CHECK_U64(opened, 0);
    CHECK_U64(check_stats().handles, before.handles);
}

static void
a_refused_options_struct_is_reported_in_the_error(void)
{
    mmg_handle opened = 1;
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_error error = MMG_ERROR_INIT;
    const char *file = check_file("file", 100);
    options.struct_size = 7;
    CHECK_STATUS(mmg_open(file, &options, &opened, &error), MMG_E_ABI_SIZE);
    CHECK_STATUS(error.status, MMG_E_ABI_SIZE);
    CHECK_TEXT(error.operation, "options");
    CHECK(strstr(error.message, file) != NULL);
}

static const struct check_case cases[] = {
    {"every size is accepted or refused by the rule", every_size_is_accepted_or_refused_by_the_rule, 0},
    {"enormous sizes are refused without a look at the rest", enormous_sizes_are_refused_without_a_look_at_the_rest, 0},
    {"a newer options struct is refused when it uses what is unknown",
     a_newer_options_struct_is_refused_when_it_uses_what_is_unknown, 0},
    {"the unknown part of a newer out struct is zeroed, whatever was in it",
     the_unknown_part_of_a_newer_out_struct_is_zeroed_whatever_was_in_it, 0},
    {"success clears an error of which only the size was set", success_clears_an_error_of_which_only_the_size_was_set,
     0},
    {"the initialiser function equals the initialiser macro", the_initialiser_function_equals_the_initialiser_macro, 0},
    {"the initialiser function writes all of the size it is told and no more",
     the_initialiser_function_writes_all_of_the_size_it_is_told_and_no_more, 0},
    {"a refused out struct is not written to", a_refused_out_struct_is_not_written_to, 0},
    {"a call with a refused error struct opens nothing", a_call_with_a_refused_error_struct_opens_nothing, 0},
    {"a refused options struct is reported in the error", a_refused_options_struct_is_reported_in_the_error, 0},
};

CHECK_MAIN(cases)
