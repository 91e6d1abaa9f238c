/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The storm against a read-only medium, to which no process can write. Root tries it nevertheless: it opens the file
 * for writing, cuts, punches, removes and replaces it, remounts the medium as writable, mounts another version over the
 * file or the medium, unmounts the medium and mounts it again, and drops the page cache. Meanwhile four threads read a
 * region that was opened STABLE before. They must not notice any of that:
 *
 *  - the kernel refuses every change, which is why the library may say "read-only medium";
 *  - every byte, through spans, mmg_read() and mmg_find(), is at all times the one of the medium;
 *  - no call reports a loss, the guarantee stays STABLE by the same means;
 *  - while another version is at the path, mmg_changed() tells so, and only then.
 *
 * Arguments: rounds; who reads: "root", "owner" (a user without privileges, to whom the file belongs) or "stranger";
 * the folder where the medium is mounted; one where a medium with another version is; the bytes of the former's `file`,
 * as an ordinary file; seed.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define READERS 4
#define NEEDLE 24
#define OWNER 65534U
#define STRANGER 65533U

static uint64_t rounds;
static uint64_t seed;
static const char *who;
static const char *medium, *other; /* the folders where they are mounted */
static char where[4096];           /* the folder under which the tests see and change the medium */
static char path[8192];            /* the path of the file there */
static uint8_t *original;
static uint64_t size;

/** The state of one round, which its readers share. */
static struct {
    mmg_handle handle;
    uint64_t offset;
    uint64_t length;
    pthread_barrier_t barrier;
    _Atomic bool writing;
    _Atomic bool over;
} now;

/* ------------------------------------------------------------------------------------------------- what is tried -- */

static bool
is_refused(int result)
{
    if (result >= 0 || errno != EROFS) {
        fprintf(stderr, "    not refused as it should be: %d, %s\n", result, strerror(errno));
    }
    return result < 0 && errno == EROFS;
}

/** Tries every call that changes a file. */
static void
try_to_change(void)
{
    char fresh[8200];
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    snprintf(fresh, sizeof fresh, "%s-new", path);
    CHECK(is_refused(open(path, O_WRONLY | O_CLOEXEC)));
    CHECK(is_refused(open(path, O_RDWR | O_TRUNC | O_CLOEXEC)));
    CHECK(is_refused(open(fresh, O_WRONLY | O_CREAT | O_CLOEXEC, 0644)));
    CHECK(is_refused(truncate(path, 0)));
    CHECK(is_refused(unlink(path)));
    CHECK(is_refused(rename(path, fresh)));
    CHECK(is_refused(chmod(path, 0666)));
    CHECK(is_refused(utimensat(AT_FDCWD, path, times, 0)));
    int file = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(file >= 0);
    CHECK(ftruncate(file, 0) != 0);
    CHECK(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) != 0);
    CHECK(write(file, "x", 1) != 1);
    close(file);
}

/**
 * Tries to make the medium, or this mount of it, writable. The kernel may report success, but the medium stays
 * read-only.
 */
static void
try_to_remount(void)
{
    (void)mount(NULL, where, NULL, MS_REMOUNT, NULL);
    (void)mount(NULL, where, NULL, MS_REMOUNT | MS_BIND, NULL);
    try_to_change();
}

static void
drop_caches(void)
{
    int file = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
    if (file >= 0) { /* a container may not be allowed to do it */
        CHECK(write(file, "3", 1) == 1);
        close(file);
    }
}

static void
attach(const char *what, const char *target)
{
    REQUIRE(mount(what, target, NULL, MS_BIND, NULL) == 0);
}

static void
detach(const char *target)
{
    REQUIRE(umount2(target, MNT_DETACH) == 0);
}

enum {
    CHANGE,
    REMOUNT,
    DROP,
    COVER_ALL,  /* mounts another version over the medium */
    COVER_FILE, /* mounts another version over the file */
    EXCHANGE,   /* mounts another version in place of the medium */
    DEEDS
};

/** Returns true when a deed puts another version at the path until it is undone. */
static bool
replaces(int deed)
{
    return deed >= COVER_ALL;
}

static void
do_deed(int deed, bool undo)
{
    char another[8200];
    snprintf(another, sizeof another, "%s/file", other);
    switch (deed) {
    case CHANGE:
        try_to_change();
        break;
    case REMOUNT:
        try_to_remount();
        break;
    case DROP:
        drop_caches();
        break;
    case COVER_ALL:
        undo ? detach(where) : attach(other, where);
        break;
    case COVER_FILE:
        undo ? detach(path) : attach(another, path);
        break;
    default:
        detach(where);
        attach(undo ? medium : other, where);
    }
}

/* ------------------------------------------------------------------------------------------------ the other side -- */

/** The process that keeps the rights of the program at its start. Each command makes it do or undo a deed. */
static struct {
    pid_t process;
    int commands;
    int answers;
} root;

static void
root_tell(int deed, bool undo)
{
    uint8_t byte = (uint8_t)(2 * deed + undo);
    REQUIRE(write(root.commands, &byte, 1) == 1);
    REQUIRE(read(root.answers, &byte, 1) == 1);
}

static void
root_start(void)
{
    int commands[2];
    int answers[2];
    uint8_t byte;
    REQUIRE(pipe2(commands, O_CLOEXEC) == 0 && pipe2(answers, O_CLOEXEC) == 0);
    fflush(NULL);
    root.process = fork();
    REQUIRE(root.process >= 0);
    if (root.process == 0) {
        close(commands[1]);
        close(answers[0]);
        while (read(commands[0], &byte, 1) == 1) {
            do_deed(byte / 2, byte % 2 != 0);
            REQUIRE(write(answers[1], &byte, 1) == 1);
        }
        detach(where);
        _exit(check_failures() != 0);
    }
    close(commands[0]);
    close(answers[1]);
    root.commands = commands[1];
    root.answers = answers[0];
}

static void
root_stop(void)
{
    int wait_status = 0;
    close(root.commands);
    close(root.answers);
    REQUIRE(waitpid(root.process, &wait_status, 0) == root.process);
    CHECK_EXITED(wait_status);
}

/* --------------------------------------------------------------------------------------------------- the readers -- */

static void *
read_in_storm(void *argument)
{
    uint64_t random = *(uint64_t *)argument;
    uint8_t *copy = malloc(size);
    REQUIRE(copy != NULL);
    for (;;) {
        pthread_barrier_wait(&now.barrier);
        if (atomic_load(&now.over)) {
            free(copy);
            return NULL;
        }
        const uint8_t *expected = original + now.offset;
        do {
            uint64_t from = check_random_below(&random, now.length - NEEDLE), got = 0, place = MMG_NOT_FOUND;
            mmg_span whole = MMG_SPAN_INIT;
            CHECK_STATUS(mmg_pin(now.handle, 0, MMG_TO_END, &whole), MMG_OK);
            CHECK(whole.size == now.length && memcmp(whole.data, expected, whole.size) == 0);
            CHECK_STATUS(mmg_unpin(&whole), MMG_OK);
            CHECK_STATUS(mmg_read(now.handle, from, copy, now.length - from, &got), MMG_OK);
            CHECK(got == now.length - from && memcmp(copy, expected + from, got) == 0);
            CHECK_STATUS(mmg_find(now.handle, from, NEEDLE, expected + from, NEEDLE, &place), MMG_OK);
            CHECK_U64(place, from);
            CHECK_STATUS(mmg_check(now.handle), MMG_OK);
        } while (atomic_load(&now.writing) && check_failures() == 0);
        pthread_barrier_wait(&now.barrier);
    }
}

/* ---------------------------------------------------------------------------------------------------- the rounds -- */

static void
judge(bool is_replaced)
{
    mmg_info info = check_info(now.handle);
    uint32_t what = 0;
    CHECK_U64(info.guarantee, MMG_GUARANTEE_STABLE);
    CHECK_U64(info.means, MMG_MEANS_READ_ONLY_MEDIUM);
    CHECK_U64(info.shortfall, MMG_SHORT_NONE);
    CHECK_U64(info.size, now.length);
    CHECK_STATUS(mmg_changed(now.handle, &what), MMG_OK);
    CHECK_I64((what & MMG_CHANGED_PATH) != 0, is_replaced);
    CHECK_U64(what & ~(uint64_t)MMG_CHANGED_PATH, 0); /* the file itself cannot have changed */
}

static void
run_round(uint64_t *random)
{
    mmg_options options = MMG_OPTIONS_INIT;
    int deed = (int)check_random_below(random, DEEDS);
    options.guarantee = MMG_GUARANTEE_STABLE;
    options.copy_threshold = 1; /* the file is treated like a large one */
    now.offset = options.offset = check_random_below(random, size / 2);
    now.length = options.length = size - now.offset - check_random_below(random, size / 4);
    now.handle = check_open(path, &options);
    judge(false);
    atomic_store(&now.writing, true);
    pthread_barrier_wait(&now.barrier);
    root_tell(deed, false);
    judge(replaces(deed));
    if (replaces(deed)) {
        root_tell(DROP, false); /* while the medium is not mounted, all bytes must be read from it again */
        root_tell(deed, true);
        judge(false);
    }
    atomic_store(&now.writing, false);
    pthread_barrier_wait(&now.barrier);
    CHECK_STATUS(mmg_close(now.handle, 0), MMG_OK);
}

static void
read_original(const char *name)
{
    int file = open(name, O_RDONLY | O_CLOEXEC);
    struct stat status;
    REQUIRE(file >= 0 && fstat(file, &status) == 0);
    size = (uint64_t)status.st_size;
    original = malloc(size);
    REQUIRE(original != NULL && read(file, original, size) == (ssize_t)size);
    close(file);
}

/**
 * Makes a mount namespace, so that no mounts stay behind whatever happens, and mounts the medium where it can be
 * unmounted. In a chroot(2) whose root is not a mount, other processes may see the mounts until they are undone.
 */
static void
prepare_tree(void)
{
    REQUIRE(unshare(CLONE_NEWNS) == 0);
    REQUIRE(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 || errno == EINVAL);
    snprintf(where, sizeof where, "%s", check_path("tree"));
    snprintf(path, sizeof path, "%s/file", where);
    REQUIRE(mkdir(where, 0755) == 0);
    attach(medium, where);
}

static void
become_reader(void)
{
    uid_t user = strcmp(who, "owner") == 0 ? OWNER : STRANGER;
    char folder[8200];
    snprintf(folder, sizeof folder, "%s/..", where);
    REQUIRE(chmod(folder, 0755) == 0);
    if (strcmp(who, "root") != 0) {
        REQUIRE(setgroups(0, NULL) == 0 && setgid(user) == 0 && setuid(user) == 0);
    }
}

static void
storm(void)
{
    pthread_t threads[READERS];
    uint64_t seeds[READERS];
    uint64_t random = seed, round = 0;
    prepare_tree();
    root_start();
    become_reader();
    REQUIRE(pthread_barrier_init(&now.barrier, NULL, READERS + 1) == 0);
    for (unsigned index = 0; index < READERS; index++) {
        seeds[index] = seed + 1 + index;
        REQUIRE(pthread_create(&threads[index], NULL, read_in_storm, &seeds[index]) == 0);
    }
    for (; round < rounds && check_failures() == 0; round++) {
        run_round(&random);
    }
    atomic_store(&now.over, true);
    pthread_barrier_wait(&now.barrier);
    for (unsigned index = 0; index < READERS; index++) {
        REQUIRE(pthread_join(threads[index], NULL) == 0);
    }
    pthread_barrier_destroy(&now.barrier);
    root_stop();
    printf("\n    %" PRIu64 " rounds as %s of seed %" PRIu64 "\n    ", round, who, seed);
}

static const struct check_case cases[] = {
    {"no byte of a read-only medium changes in the storm", storm, CHECK_ONCE},
};

int
main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "usage: %s ROUNDS root|owner|stranger MEDIUM OTHER-MEDIUM ORIGINAL [SEED]\n", argv[0]);
        return 2;
    }
    rounds = strtoull(argv[1], NULL, 0);
    who = argv[2];
    medium = argv[3];
    other = argv[4];
    read_original(argv[5]);
    seed = argc > 6 ? strtoull(argv[6], NULL, 0) : check_seed();
    return check_main(1, argv, cases, sizeof cases / sizeof *cases);
}
