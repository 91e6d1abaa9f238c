/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests mappings of other code in a guarded process. The process lives, the rest of the file reads as it is, lost bytes
 * read as zeros, and the ledger names the file. Each access has a twin without the guard, which must be killed.
 */
#include <stdio.h>

#include "foreign.h"

/* ------------------------------------------------------------------------------------------------------- a cut file -- */

/** A mapping of a file that is cut, and the access to it. */
struct scene {
    const char *path;
    int protection;
    int flags;
    uint64_t offset; /* offset of the mapping in the file */
    uint64_t cut;
    bool is_removed; /* the file is removed before the cut, so that it has no path */
    bool is_written; /* the access is a store */
};

/** Maps and cuts the file, and touches the last page. Returns the mapping, which has `whole() - offset` bytes. */
static uint8_t *
play(const struct scene *scene)
{
    uint64_t size = whole() - scene->offset;
    uint8_t *bytes = foreign_map(scene->path, scene->protection, scene->flags, size, scene->offset);
    int descriptor = open(scene->path, O_RDWR | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    if (scene->is_removed) {
        REQUIRE(unlink(scene->path) == 0);
    }
    REQUIRE(ftruncate(descriptor, (off_t)scene->cut) == 0);
    close(descriptor);
    if (scene->is_written) {
        *(volatile uint8_t *)(bytes + size - 1) = 42;
    } else {
        CHECK(touch(bytes, size - 1) == 0);
    }
    return bytes;
}

static void
play_twin(void *argument)
{
    signal(SIGBUS, SIG_DFL);
    play(argument);
}

/**
 * Plays a scene without the guard and with it. With the guard there must be one signal and one record, and the bytes
 * before the cut must be true.
 */
static void
lives_and_is_told(struct scene scene)
{
    if (foreign_is_unsupported()) {
        return;
    }
    const uint64_t page = check_page();
    scene.path = check_file("foreign", whole());
    twin_is_killed(play_twin, &scene);

    scene.path = check_file("foreign", whole());
    char path[4096];
    snprintf(path, sizeof path, "%s", scene.path);
    foreign_guard(0);
    const uint64_t mark = ledger_mark();
    const mmg_stats before = check_stats();
    uint8_t *bytes = play(&scene);
    const uint64_t size = whole() - scene.offset;
    /* For a file without a path, the guard knows only whole pages. */
    const uint64_t lost = scene.is_removed ? (scene.cut + page - 1) / page * page : scene.cut;
    const uint64_t from = lost > scene.offset ? lost - scene.offset : 0;
    ledger_has_one(mark, MMG_E_TRUNCATED, path, scene.offset + from, size - from);
    CHECK_U64(check_stats().faults, before.faults + 1);
    CHECK_U64(check_stats().losses_foreign, before.losses_foreign + 1);
    CHECK_U64(check_stats().losses_truncated, before.losses_truncated + 1);
    CHECK(check_is_pattern(bytes, scene.offset, scene.cut > scene.offset ? scene.cut - scene.offset : 0));
    CHECK(check_is_zero(bytes + from, size - from - 1));
    CHECK(bytes[size - 1] == (scene.is_written ? 42 : 0));
    CHECK_U64(check_stats().faults, before.faults + 1);
    if ((scene.protection & PROT_WRITE) != 0) { /* the new pages must have the protection of the old ones */
        bytes[size - 2] = 17;
        CHECK(touch(bytes, size - 2) == 17);
    }
    REQUIRE(munmap(bytes, size) == 0);
    foreign_unguard(0);
}

static void
a_shared_mapping(void)
{
    lives_and_is_told((struct scene){.protection = PROT_READ, .flags = MAP_SHARED, .cut = check_page() + 123});
}

static void
a_private_mapping(void)
{
    lives_and_is_told((struct scene){.protection = PROT_READ, .flags = MAP_PRIVATE, .cut = 3 * check_page()});
}

static void
a_file_cut_to_nothing(void)
{
    lives_and_is_told((struct scene){.protection = PROT_READ, .flags = MAP_SHARED, .cut = 0});
}

enum {
    NEIGHBOURS = 10000
};

/** A mapping of 100 GB among 10 000 mappings of another file still costs one signal and one record. */
static void
a_huge_file_among_many_mappings(void)
{
    const uint64_t huge = UINT64_C(100) << 30;
    static uint8_t *neighbours[NEIGHBOURS];
    char path[4096];

    if (foreign_is_unsupported()) {
        return;
    }
    if (sizeof(size_t) < sizeof(uint64_t) || check_is_slow() || check_under_valgrind() || check_under_qemu()) {
        check_skip(
            "sanitizers, valgrind and qemu need memory for so much address space, and 32-bit programs do not have it");
        return;
    }
    const char *small = check_file("small", check_page());
    for (int i = 0; i < NEIGHBOURS; i++) { /* the kernel would join neighbours of the same kind */
        neighbours[i] = foreign_map(small, PROT_READ, i % 2 == 0 ? MAP_SHARED : MAP_PRIVATE, check_page(), 0);
    }
    snprintf(path, sizeof path, "%s", check_path("huge"));
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(descriptor >= 0);
    if (ftruncate(descriptor, (off_t)huge) != 0) {
        check_skip("the file system holds no file of 100 GB");
    } else {
        uint8_t *bytes = foreign_map(path, PROT_READ, MAP_SHARED, huge, 0);
        foreign_guard(0);
        const uint64_t mark = ledger_mark(), faults = check_stats().faults;
        REQUIRE(ftruncate(descriptor, 0) == 0);
        for (uint64_t at = 0; at < huge; at += huge / 64) {
            CHECK(touch(bytes, huge - 1 - at) == 0);
        }
        ledger_has_one(mark, MMG_E_TRUNCATED, path, 0, huge);
        CHECK_U64(check_stats().faults, faults + 1);
        foreign_unguard(0);
        REQUIRE(munmap(bytes, (size_t)huge) == 0);
    }
    close(descriptor);
    for (int i = 0; i < NEIGHBOURS; i++) {
        REQUIRE(munmap(neighbours[i], check_page()) == 0);
    }
}

static void
a_mapping_of_a_later_part(void)
{
    const uint64_t page = check_page();
    struct scene scene = {.protection = PROT_READ, .flags = MAP_SHARED, .offset = 7 * page, .cut = 9 * page + 1};
    lives_and_is_told(scene);
    scene.cut = 2 * page;
    lives_and_is_told(scene);
}

static void
a_private_mapping_that_is_written_to(void)
{
    struct scene scene = {.protection = PROT_READ | PROT_WRITE, .flags = MAP_PRIVATE, .cut = 5 * check_page()};
    lives_and_is_told(scene);
    scene.is_written = true;
    lives_and_is_told(scene);
}

static void
a_file_without_a_path(void)
{
    if (foreign_has_no_question()) {
        return;
    }
    struct scene scene = {.protection = PROT_READ, .flags = MAP_SHARED, .cut = 5 * check_page(), .is_removed = true};
    lives_and_is_told(scene);
    scene.cut = 0;
    lives_and_is_told(scene);
    scene.cut = (PAGES - 1) * check_page();
    lives_and_is_told(scene);
}

/* ---------------------------------------------------------------------------------- mappings that are not guarded -- */

/** Plays a scene in a guarded child, which must be killed as if there were no guard. */
static void
play_guarded(void *argument)
{
    signal(SIGBUS, SIG_DFL);
    foreign_guard(0);
    play(argument);
}

static void
is_passed_on(struct scene scene)
{
    if (foreign_is_unsupported()) {
        return;
    }
    scene.path = check_file("foreign", whole());
    twin_is_killed(play_twin, &scene);
    scene.path = check_file("foreign", whole());
    CHECK_KILLED(check_child(play_guarded, &scene), SIGBUS);
}

static void
an_executable_mapping(void)
{
    if (foreign_hides_code()) {
        return;
    }
    is_passed_on((struct scene){.protection = PROT_READ | PROT_EXEC, .flags = MAP_PRIVATE, .cut = check_page()});
}

static void
a_shared_writable_mapping(void)
{
    is_passed_on((struct scene){.protection = PROT_READ | PROT_WRITE, .flags = MAP_SHARED, .cut = check_page()});
}

static void
play_with_flag(void *argument)
{
    signal(SIGBUS, SIG_DFL);
    foreign_guard(MMG_PROCESS_SHARED_WRITABLE);
    play(argument);
    check_child_end();
}

static void
a_flag_adds_shared_writable_mappings(void)
{
    struct scene scene = {.protection = PROT_READ | PROT_WRITE, .flags = MAP_SHARED, .cut = check_page()};
    if (foreign_is_unsupported()) {
        return;
    }
    scene.path = check_file("foreign", whole());
    CHECK_EXITED(check_child(play_with_flag, &scene));
}

static void
after_the_last_call(void *argument)
{
    signal(SIGBUS, SIG_DFL);
    foreign_guard(0);
    foreign_guard(0);
    foreign_guard(MMG_PROCESS_SHARED_WRITABLE);
    foreign_unguard(0);
    foreign_unguard(MMG_PROCESS_SHARED_WRITABLE);
    foreign_unguard(0);
    REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_NONE, 0), MMG_E_ARGUMENT);
    play(argument);
}

static void
calls_nest(void)
{
    struct scene scene = {.protection = PROT_READ, .flags = MAP_SHARED, .cut = check_page()};
    if (foreign_is_unsupported()) {
        return;
    }
    CHECK_STATUS(mmg_guard_process(MMG_SCOPE_NONE, 0), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_guard_process(MMG_SCOPE_NONE, 64), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_guard_process(MMG_SCOPE_FILES, 64), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_guard_process(17, 0), MMG_E_ARGUMENT);
    foreign_guard(0);
    foreign_guard(0);
    foreign_unguard(0);
    scene.path = check_file("foreign", whole());
    uint8_t *bytes = play(&scene);
    munmap(bytes, whole());
    foreign_unguard(0);
    scene.path = check_file("foreign", whole());
    CHECK_KILLED(check_child(after_the_last_call, &scene), SIGBUS);
}

static const struct check_case cases[] = {
    {"a shared mapping lives, and the ledger names the file", a_shared_mapping, 0},
    {"a private mapping lives", a_private_mapping, 0},
    {"a file cut to nothing costs one signal", a_file_cut_to_nothing, 0},
    {"a huge file among many mappings costs one signal", a_huge_file_among_many_mappings, 0},
    {"a mapping of a later part lives", a_mapping_of_a_later_part, 0},
    {"a private mapping that is written to stays writable", a_private_mapping_that_is_written_to, 0},
    {"the end of a file without a path is found page by page", a_file_without_a_path, 0},
    {"an executable mapping is passed on", an_executable_mapping, 0},
    {"a shared writable mapping is passed on", a_shared_writable_mapping, 0},
    {"a flag adds shared writable mappings", a_flag_adds_shared_writable_mappings, 0},
    {"calls nest", calls_nest, 0},
};

CHECK_MAIN(cases)
