/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests mappings of other code in a guarded process. The process lives, the rest of the file reads as it is, lost bytes
 * read as zeros, and the ledger names the file. Each access has a twin without the guard, which must be killed.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "foreign.h"

static void
guard(uint32_t flags)
{
    REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_FILES, flags), MMG_OK);
}

static void
unguard(uint32_t flags)
{
    REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_NONE, flags), MMG_OK);
}

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
    guard(0);
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
    unguard(0);
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
        guard(0);
        const uint64_t mark = ledger_mark(), faults = check_stats().faults;
        REQUIRE(ftruncate(descriptor, 0) == 0);
        for (uint64_t at = 0; at < huge; at += huge / 64) {
            CHECK(touch(bytes, huge - 1 - at) == 0);
        }
        ledger_has_one(mark, MMG_E_TRUNCATED, path, 0, huge);
        CHECK_U64(check_stats().faults, faults + 1);
        unguard(0);
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
    guard(0);
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
    guard(MMG_PROCESS_SHARED_WRITABLE);
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
    guard(0);
    guard(0);
    guard(MMG_PROCESS_SHARED_WRITABLE);
    unguard(0);
    unguard(MMG_PROCESS_SHARED_WRITABLE);
    unguard(0);
    CHECK_STATUS(mmg_guard_process(MMG_SCOPE_NONE, 0), MMG_E_ARGUMENT);
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
    guard(0);
    guard(0);
    unguard(0);
    scene.path = check_file("foreign", whole());
    uint8_t *bytes = play(&scene);
    munmap(bytes, whole());
    unguard(0);
    scene.path = check_file("foreign", whole());
    CHECK_KILLED(check_child(after_the_last_call, &scene), SIGBUS);
}

/* ---------------------------------------------------------------------------------------- handlers that repair -- */

/** A library whose handler was installed before the guard, and the expected bytes of two mappings. */
struct repair {
    const char *library; /* the environment variable with its path */
    uint32_t flags;      /* the flags of the guard */
    bool has_guard;
    uint8_t expected; /* the byte in the mapping that the handler repairs */
};

static void
two_mappings(void *argument)
{
    const struct repair *repair = argument;
    void *library = dlopen(getenv(repair->library), RTLD_NOW);
    REQUIRE(library != NULL);
    void (*install)(uint8_t *, size_t) = NULL;
    unsigned (*calls)(void) = NULL;
    *(void **)&install = dlsym(library, "repairer_install"); /* as dlsym(3) recommends */
    *(void **)&calls = dlsym(library, "repairer_calls");
    const char *path = check_path("foreign");
    uint8_t *theirs = foreign_map(path, PROT_READ, MAP_SHARED, whole(), 0);
    uint8_t *nobodys = foreign_map(path, PROT_READ, MAP_SHARED, whole(), 0);

    REQUIRE(install != NULL && calls != NULL);
    install(theirs, whole());
    if (repair->has_guard) {
        guard(repair->flags);
    }
    const uint64_t mark = repair->has_guard ? ledger_mark() : 0;
    check_truncate(path, 3 * check_page());
    for (int i = 0; i < 2; i++) { /* the second time the handler must still come first */
        CHECK(touch(theirs, whole() - 1 - (uint64_t)i * 5 * check_page()) == repair->expected);
    }
    CHECK_U64(calls(), repair->expected == 7 ? 2 : 0);
    CHECK(touch(nobodys, whole() - 1) == 0);
    CHECK_U64(ledger_mark() - mark, repair->expected == 7 ? 1 : 2);
    check_child_end();
}

static void
a_handler_that_repairs_comes_first(void)
{
    struct repair twin = {"MMAPGUARD_EINA", 0, false, 7};
    struct repair known = {"MMAPGUARD_EINA", 0, true, 7};
    struct repair told = {"MMAPGUARD_STRANGER", MMG_PROCESS_CHAIN_FIRST, true, 7};
    struct repair stranger = {"MMAPGUARD_STRANGER", 0, true, 0};

    if (foreign_is_unsupported()) {
        return;
    }
    if (CHECK_UNDER_TSAN) {
        check_skip("under ThreadSanitizer the kernel calls the handler of the sanitizer, so the library of a handler "
                   "is not known");
        return;
    }
    if (getenv("MMAPGUARD_EINA") == NULL) {
        check_skip("only CTest sets the paths of the libraries");
        return;
    }
    check_file("foreign", whole());
    CHECK_KILLED(check_child(two_mappings, &twin), SIGBUS); /* by the fault in the mapping that no handler repairs */
    check_file("foreign", whole());
    CHECK_EXITED(check_child(two_mappings, &known));
    check_file("foreign", whole());
    CHECK_EXITED(check_child(two_mappings, &told));
    check_file("foreign", whole());
    CHECK_EXITED(check_child(two_mappings, &stranger));
}

/* The action below the handler. A signal handler uses it, so it is static. */
static struct sigaction found_action;

/** Restores the action that was found, and raises the signal again, as Python's faulthandler does. */
static void
restore_and_raise(int signo)
{
    sigaction(SIGBUS, &found_action, NULL);
    raise(signo);
}

static void
read_below_such_a_handler(void *argument)
{
    const struct sigaction action = {.sa_handler = restore_and_raise, .sa_flags = SA_NODEFER};
    const uint8_t *bytes = foreign_map(argument, PROT_READ, MAP_SHARED, whole(), 0);
    const uint8_t *second = foreign_map(check_path("second"), PROT_READ, MAP_SHARED, whole(), 0);
    guard(0);
    REQUIRE(sigaction(SIGBUS, &action, &found_action) == 0);
    const uint64_t mark = ledger_mark();
    check_truncate(argument, check_page() + 1);
    check_truncate(check_path("second"), 0);
    CHECK(touch(bytes, 20 * check_page()) == 0);
    CHECK(check_is_pattern(bytes, 0, check_page() + 1));
    CHECK(check_is_zero(bytes + check_page() + 1, whole() - check_page() - 1));
    CHECK(touch(second, 0) == 0);
    CHECK_U64(ledger_mark() - mark, 2); /* both, since nothing told which of them had the fault */
    check_child_end();
}

/** A handler that raises for its own purposes: no mapping has lost anything, so the signal is not the guard's. */
static void
raise_without_a_loss(void *argument)
{
    const uint8_t *bytes = foreign_map(argument, PROT_READ, MAP_SHARED, whole(), 0);
    signal(SIGBUS, SIG_DFL);
    guard(0);
    CHECK(mprotect((void *)(uintptr_t)bytes, whole(), PROT_NONE) == 0); /* it cannot be read, and is not lost */
    raise(SIGBUS);
}

/** The raised signal has no address, so the guard looks at all mappings for what was cut. */
static void
a_handler_that_raises_anew_hides_no_loss(void)
{
    char path[4096];

    if (foreign_is_unsupported() || foreign_has_no_question()) {
        return;
    }
    if (CHECK_UNDER_TSAN || CHECK_UNDER_ASAN) {
        check_skip("the sanitizer has a handler of its own for the signal that is raised");
        return;
    }
    check_file("second", whole());
    snprintf(path, sizeof path, "%s", check_file("foreign", whole()));
    CHECK_KILLED(check_child(raise_without_a_loss, path), SIGBUS);
    CHECK_EXITED(check_child(read_below_such_a_handler, path));
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
    {"a handler that repairs its own mappings comes first", a_handler_that_repairs_comes_first, 0},
    {"a handler that raises the signal anew hides no loss", a_handler_that_raises_anew_hides_no_loss, 0},
};

CHECK_MAIN(cases)
