/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The storm against STABLE: a writer in another process truncates, extends, rewrites, punches, replaces and removes a
 * file at random, while four threads read a region of it that was opened STABLE before. The readers must not notice any
 * of that:
 *
 *  - every byte, through spans, mmg_read() and mmg_find(), is at all times the one that the file held when it was
 *    opened;
 *  - no span moves, no call reports a loss, the guarantee stays STABLE, whatever upholds it;
 *  - mmg_changed() tells that the file on disk has moved on;
 *  - a lease is only ever said to hold by who may have one, and never where somebody has the file open for writing.
 *
 * In every fourth round somebody has the file open for writing already, in every eighth the handle is closed in the
 * midst of the storm and only the spans live on. Every 16th round opens the file while it is being rewritten without
 * pause: then whatever the region showed at first must stay. Every 16th round ends with a file that is emptied without
 * breaking its lease: then no call may say MMG_OK about bytes that are not the original ones.
 *
 * STORM_FOLDER names a folder with an unchanged file for each round, called by its number; "original PATH" as arguments
 * makes such a file.
 *
 * Arguments: rounds; who reads: "root" (or whoever runs this), "owner" (a user without privileges, to whom the file
 * belongs) or "stranger" (one who may only read it); seed. The file lies in TMPDIR.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <libgen.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../fault/storm_plan.h"
#include "check.h"
#include "storm_keeper.h"

#define READERS 4
#define NEEDLE 24
#define OWNER 65534U
#define STRANGER 65533U

static uint64_t rounds = 100;
static uint64_t seed;
static const char *who = "root";

/** One round, as its readers see it. */
static struct {
    struct storm storm;
    struct storm_plan plan;
    mmg_handle handle;
    uint64_t offset; /* of the window */
    uint64_t length;
    const uint8_t *expected; /* what the window must show */
    const uint8_t *address;
    pthread_barrier_t barrier;
    bool closes; /* the handle is closed in mid-round */
    _Atomic bool writing;
    _Atomic bool over;
} now;

static uint64_t by_means[MMG_MEANS_SNAPSHOT + 1]; /* rounds, by what upheld the guarantee in the end */
static uint64_t leases, broken, emptied;
static struct storm_keeper keeper;

/* --------------------------------------------------------------------------------------------------- the readers -- */

/** Returns true when the bytes are those of the opened file. Prints the place where they are not. */
static bool
is_original(const uint8_t *bytes, uint64_t offset, uint64_t size, const char *how)
{
    if (memcmp(bytes, now.expected + offset, size) == 0) {
        return true;
    }
    for (uint64_t at = 0; at < size; at++) {
        if (bytes[at] != now.expected[offset + at]) {
            mmg_info info = MMG_INFO_INIT;
            (void)mmg_info_get(now.handle, &info);
            fprintf(stderr, "    %s: byte %" PRIu64 " of the window is %02x, was %02x (means: %s)\n", how, offset + at,
                    bytes[at], now.expected[offset + at], mmg_term(MMG_TERM_MEANS, info.means));
            return false;
        }
    }
    return true; /* wrong a moment ago, right now: memcmp() has seen it all the same */
}

static void
read_through_span(uint64_t from, uint64_t size)
{
    mmg_span span = MMG_SPAN_INIT;
    if (!CHECK_STATUS(mmg_pin(now.handle, from, size, &span), MMG_OK)) {
        return;
    }
    CHECK(span.data == now.address + from);
    CHECK(is_original(span.data, from, size, "span"));
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
}

static void
read_through_kernel(uint64_t from, uint64_t size, uint8_t *copy)
{
    uint64_t got = 0;
    CHECK_STATUS(mmg_read(now.handle, from, copy, size, &got), MMG_OK);
    CHECK_U64(got, size);
    CHECK(is_original(copy, from, size, "mmg_read"));
}

static void
find_needle(uint64_t from)
{
    uint64_t place = MMG_NOT_FOUND;
    if (from + NEEDLE <= now.length) {
        CHECK_STATUS(mmg_find(now.handle, 0, MMG_TO_END, now.expected + from, NEEDLE, &place), MMG_OK);
        CHECK_U64(place, from);
    }
}

struct reader {
    uint64_t random;
    uint8_t *copy;
};

static void *
read_in_storm(void *argument)
{
    struct reader *reader = argument;
    for (;;) {
        pthread_barrier_wait(&now.barrier);
        if (atomic_load(&now.over)) {
            return NULL;
        }
        mmg_span whole = MMG_SPAN_INIT;
        CHECK_STATUS(mmg_pin(now.handle, 0, MMG_TO_END, &whole), MMG_OK);
        pthread_barrier_wait(&now.barrier);
        do {
            uint64_t from = check_random_below(&reader->random, now.length);
            uint64_t size = check_random_below(&reader->random, now.length - from) + 1;
            CHECK(is_original(whole.data, 0, now.length, "whole span"));
            if (now.closes || whole.size == 0) {
                continue;
            }
            switch (check_random_below(&reader->random, 4)) {
            case 0:
                read_through_span(from, size);
                break;
            case 1:
                read_through_kernel(from, size, reader->copy);
                break;
            case 2:
                find_needle(from);
                break;
            default:
                CHECK_STATUS(mmg_check(now.handle), MMG_OK);
            }
        } while (atomic_load(&now.writing) && check_failures() == 0);
        pthread_barrier_wait(&now.barrier);
        CHECK(is_original(whole.data, 0, now.length, "whole span in the end"));
        CHECK_STATUS(mmg_unpin(&whole), MMG_OK);
        pthread_barrier_wait(&now.barrier);
    }
}

/* ---------------------------------------------------------------------------------------------------- the rounds -- */

static mmg_options
draw_options(uint64_t *random)
{
    mmg_options options = MMG_OPTIONS_INIT;
    options.guarantee = MMG_GUARANTEE_STABLE;
    /* On SMB, a lock that is asked for by name refuses the writers of the storm. */
    uint32_t lock = getenv("STORM_DEFAULT_LOCK") != NULL ? MMG_LOCK_AUTO : MMG_LOCK_SHARED;
    options.lock = check_random_below(random, 2) == 0 ? MMG_LOCK_NONE : lock;
    now.offset = check_random_below(random, 2) == 0 ? check_random_below(random, STORM_SIZE / 2) : 0;
    now.length = STORM_SIZE - now.offset;
    if (check_random_below(random, 2) == 0) {
        now.length -= check_random_below(random, now.length - NEEDLE - 1);
    }
    options.offset = now.offset;
    options.length = now.length;
    options.copy_threshold = 1; /* as a large file is treated */
    /* MAP: no copy in memory. Where no file without a name can be made, as on NFS, there is nothing else. */
    bool may_map = getenv("STORM_COPIES_ONLY") == NULL;
    options.backing = check_random_below(random, 2) == 0 || !may_map ? MMG_BACKING_AUTO : MMG_BACKING_MAP;
    return options;
}

static void
judge_changes(bool file_is_kept)
{
    uint32_t what = 0;
    CHECK_STATUS(mmg_changed(now.handle, &what), MMG_OK);
    CHECK_I64((what & MMG_CHANGED_PATH) != 0, now.plan.renamed);
    if (file_is_kept) { /* a copy in memory knows its file by name only */
        CHECK_I64((what & MMG_CHANGED_SIZE) != 0, now.plan.size != STORM_SIZE);
        if (getenv("STORM_COARSE_TIMES") == NULL) { /* where times are as coarse as a second, they tell nothing here */
            CHECK(!now.plan.stamped || (what & MMG_CHANGED_MTIME) != 0);
            CHECK(now.plan.modified || (what & MMG_CHANGED_MTIME) == 0);
        }
    }
}

/** Somebody has the file open for writing, or this reader is not its owner: then a lease is none. */
static void
judge_beginning(const mmg_info *info, bool is_written)
{
    CHECK_U64(info->guarantee, MMG_GUARANTEE_STABLE);
    CHECK_U64(info->shortfall, MMG_SHORT_NONE);
    CHECK_U64(info->size, now.length);
    CHECK(info->means >= MMG_MEANS_PRIVATE_COPY && info->means <= MMG_MEANS_SNAPSHOT);
    CHECK(info->means != MMG_MEANS_SEALED && info->means != MMG_MEANS_READ_ONLY_MEDIUM);
    if (is_written || strcmp(who, "stranger") == 0) {
        CHECK(info->means != MMG_MEANS_LEASE);
    }
    leases += info->means == MMG_MEANS_LEASE;
}

static void
judge_end(const mmg_info *before)
{
    mmg_info info = check_info(now.handle);
    CHECK_U64(info.guarantee, MMG_GUARANTEE_STABLE);
    CHECK_U64(info.shortfall, MMG_SHORT_NONE);
    CHECK_STATUS(info.fault_cause, MMG_OK);
    CHECK_U64(info.fault_offset, MMG_TO_END);
    CHECK_STATUS(mmg_check(now.handle), MMG_OK);
    if (before->means == MMG_MEANS_LEASE) { /* the writer's open(2) has broken it, even if nothing was written */
        CHECK(info.means == MMG_MEANS_REFLINK || info.means == MMG_MEANS_SNAPSHOT);
        broken++;
    } else {
        CHECK_U64(info.means, before->means);
    }
    by_means[info.means <= MMG_MEANS_SNAPSHOT ? info.means : 0]++;
    judge_changes(before->means != MMG_MEANS_PRIVATE_COPY);
}

static void
blow(const mmg_info *before)
{
    mmg_span whole = MMG_SPAN_INIT;
    REQUIRE_STATUS(mmg_pin(now.handle, 0, MMG_TO_END, &whole), MMG_OK);
    now.address = whole.data;
    atomic_store(&now.writing, true);
    pthread_barrier_wait(&now.barrier);
    pthread_barrier_wait(&now.barrier);
    storm_begin(&now.storm, &now.plan);
    if (now.closes) {
        CHECK_STATUS(mmg_close(now.handle, 0), MMG_OK);
    }
    storm_end(&now.storm);
    CHECK(is_original(whole.data, 0, now.length, "main thread"));
    atomic_store(&now.writing, false);
    pthread_barrier_wait(&now.barrier);
    if (!now.closes) {
        judge_end(before);
    }
    CHECK_STATUS(mmg_unpin(&whole), MMG_OK);
    pthread_barrier_wait(&now.barrier); /* the other spans are unpinned as well */
    if (!now.closes) {
        CHECK_STATUS(mmg_close(now.handle, 0), MMG_OK);
    }
}

/**
 * The file is rewritten while it is opened and read: which version is seen is nobody's promise, that it stays is. The
 * rewriting starts at about the time of the opening, so now and then a lease is taken just before it, and broken at
 * once.
 */
static void
open_in_midst_of_writing(const mmg_options *options, uint8_t *first_seen)
{
    mmg_handle handle = 0;
    mmg_error error = MMG_ERROR_INIT;
    storm_keeper_tell(&keeper, KEEP_REWRITE);
    mmg_status status = mmg_open(now.storm.path, options, &handle, &error);
    if (status == MMG_OK) {
        mmg_span whole = MMG_SPAN_INIT;
        REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &whole), MMG_OK);
        memcpy(first_seen, whole.data, whole.size);
        for (int times = 0; times < 50; times++) {
            CHECK(memcmp(first_seen, whole.data, whole.size) == 0);
        }
        CHECK_STATUS(mmg_unpin(&whole), MMG_OK);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    } else {
        CHECK_STATUS(status, MMG_E_UNSTABLE);
    }
    storm_keeper_tell(&keeper, KEEP_RESTORE); /* once to end the rewriting, ... */
    storm_keeper_tell(&keeper, KEEP_RESTORE);
}

/** Whoever says MMG_OK about bytes has shown the original ones. Returns true when it was said. */
static bool
is_true_or_told(mmg_handle handle, uint8_t *copy)
{
    mmg_span whole = MMG_SPAN_INIT;
    uint64_t got = 0;
    bool was_ok = true;
    if (mmg_pin(handle, 0, MMG_TO_END, &whole) == MMG_OK) {
        memcpy(copy, whole.data, now.length);
        was_ok = mmg_unpin(&whole) == MMG_OK;
        CHECK(!was_ok || is_original(copy, 0, now.length, "span of an emptied file"));
    }
    if (mmg_read(handle, 0, copy, now.length, &got) == MMG_OK) {
        CHECK(is_original(copy, 0, now.length, "mmg_read of an emptied file"));
    } else {
        was_ok = false;
    }
    return was_ok;
}

/**
 * The file is emptied by who opens it for reading only, which breaks no lease, and written anew. A leased region has
 * lost its bytes then and says so; any other has kept them.
 */
static void
empty_without_a_word(const mmg_options *options, uint8_t *copy)
{
    mmg_handle handle = check_open(now.storm.path, options);
    bool had_lease = check_info(handle).means == MMG_MEANS_LEASE;
    bool was_ok = true;
    storm_keeper_ask(&keeper, KEEP_EMPTY);
    do {
        was_ok = is_true_or_told(handle, copy);
        CHECK(was_ok || had_lease);
    } while (!storm_keeper_has_answered(&keeper) && check_failures() == 0);
    storm_keeper_hear(&keeper);
    emptied += had_lease && !is_true_or_told(handle, copy);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/**
 * Each round has a file of its own where STORM_FOLDER has one for each, which lies on the lower layer of an overlay.
 */
static void
name_file(uint64_t round)
{
    const char *folder = getenv("STORM_FOLDER");
    if (folder != NULL) {
        unlink(now.storm.path);
        snprintf(now.storm.shared->path, sizeof now.storm.shared->path, "%s/%" PRIu64, folder, round);
    }
}

/** Returns true when the file is to be opened as it lies on the lower layer: nobody has written to it yet. */
static bool
is_on_lower_layer(void)
{
    return getenv("STORM_FOLDER") != NULL && getenv("STORM_COPY_UP") == NULL;
}

static void
run_round(uint64_t round, uint64_t *random, bool coarse, uint8_t *scratch)
{
    mmg_options options = draw_options(random);
    bool is_written = round % 4 == 3;
    now.closes = round % 8 == 5;
    name_file(round);
    do {
        storm_draw(&now.plan, random, !now.storm.shared->cannot_punch);
    } while (is_written && now.plan.renamed && storm_name_goes_last());
    storm_draw_hands(&now.plan, random);
    now.expected = now.storm.versions[0] + now.offset;
    storm_keeper_tell(&keeper, is_written ? KEEP_OPEN : is_on_lower_layer() ? KEEP_CLOSE : KEEP_RESTORE);
    now.handle = check_open(now.storm.path, &options);
    mmg_info info = check_info(now.handle);
    judge_beginning(&info, is_written);
    if (coarse) {
        usleep(12000); /* file times that move with the clock tick would not show a change within it */
    }
    blow(&info);
    if (is_written) {
        storm_keeper_tell(&keeper, KEEP_CLOSE);
    }
    if (round % 16 == 15) {
        open_in_midst_of_writing(&options, scratch);
    }
    if (round % 16 == 11) {
        storm_keeper_tell(&keeper, KEEP_RESTORE);
        empty_without_a_word(&options, scratch);
    }
}

static bool
times_are_coarse(void)
{
    struct stat before;
    struct stat after;
    bool coarse = false;
    int file = storm_restore(&now.storm);
    for (int round = 0; round < 50 && !coarse; round++) {
        REQUIRE(fstat(file, &before) == 0 && pwrite(file, "x", 1, 0) == 1 && fstat(file, &after) == 0);
        coarse = before.st_mtim.tv_nsec == after.st_mtim.tv_nsec && before.st_mtim.tv_sec == after.st_mtim.tv_sec;
    }
    close(file);
    return coarse;
}

/* --------------------------------------------------------------------------------------------- the three readers -- */

static void
become(uid_t user)
{
    REQUIRE(setgroups(0, NULL) == 0 && setgid(user) == 0 && setuid(user) == 0);
}

/** Let everybody look into the program's own directory, and the owner work in it. */
static void
open_directory(const char *path, uid_t user)
{
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", path);
    const char *name = dirname(folder);
    REQUIRE(chmod(name, 0755) == 0 && chown(name, user, (gid_t)-1) == 0);
}

/** The processes that write, and this one that reads, each with its rights. */
static void
assume_roles(const char *path, const char *spare)
{
    bool is_owner = strcmp(who, "owner") == 0;
    if (strcmp(who, "root") != 0) {
        open_directory(path, is_owner ? OWNER : geteuid());
    }
    if (is_owner) {
        become(OWNER);
    }
    storm_start(&now.storm, path, spare);
    storm_keeper_start(&keeper, &now.storm, strcmp(who, "stranger") == 0);
    storm_keeper_tell(&keeper, KEEP_RESTORE);
    if (strcmp(who, "stranger") == 0) {
        become(STRANGER);
    }
}

static void
start_readers(pthread_t *threads, struct reader *readers)
{
    REQUIRE(pthread_barrier_init(&now.barrier, NULL, READERS + 1) == 0);
    atomic_store(&now.over, false);
    for (unsigned index = 0; index < READERS; index++) {
        readers[index].random = seed + 1 + index;
        readers[index].copy = malloc(STORM_MOST);
        REQUIRE(readers[index].copy != NULL);
        REQUIRE(pthread_create(&threads[index], NULL, read_in_storm, &readers[index]) == 0);
    }
}

static void
stop_readers(const pthread_t *threads, struct reader *readers)
{
    atomic_store(&now.over, true);
    pthread_barrier_wait(&now.barrier);
    for (unsigned index = 0; index < READERS; index++) {
        REQUIRE(pthread_join(threads[index], NULL) == 0);
        free(readers[index].copy);
    }
    pthread_barrier_destroy(&now.barrier);
}

static void
print_tally(uint64_t round)
{
    printf("\n    %" PRIu64 " rounds as %s: %" PRIu64 " leases, %" PRIu64 " of them broken;", round, who, leases,
           broken);
    for (uint32_t means = 0; means <= MMG_MEANS_SNAPSHOT; means++) {
        if (by_means[means] > 0) {
            printf(" %" PRIu64 " ended with %s;", by_means[means], mmg_term(MMG_TERM_MEANS, means));
        }
    }
    printf("\n    %" PRIu64 " emptied behind their lease; steps by", emptied);
    for (unsigned hand = 0; hand < STORM_HANDS; hand++) {
        printf(" %s %" PRIu64 ";", storm_hand_name((enum storm_hand)hand), now.storm.shared->by_hand[hand]);
    }
    printf("\n    ");
}

/** A hand that never wrote was not tried; in a short storm chance decides. */
static void
judge_hands(void)
{
    const struct storm_shared *shared = now.storm.shared;
    for (unsigned hand = 0; hand < STORM_HANDS && rounds >= 1000; hand++) {
        CHECK(shared->by_hand[hand] > 0 || shared->is_lacking[hand]);
    }
}

static void
storm(void)
{
    pthread_t threads[READERS];
    struct reader readers[READERS];
    uint64_t random = seed;
    uint64_t round = 0;
    if (strcmp(who, "root") != 0 && geteuid() != 0) {
        check_skip("needs root, to become somebody else");
        return;
    }
    assume_roles(check_path("storm"), check_path("spare"));
    uint8_t *scratch = malloc(STORM_MOST); /* after the forks: what they would take along, they would leak */
    REQUIRE(scratch != NULL);
    bool coarse = strcmp(who, "stranger") == 0 || times_are_coarse(); /* a stranger cannot try it */
    start_readers(threads, readers);
    for (; round < rounds && check_failures() == 0; round++) {
        run_round(round, &random, coarse, scratch);
    }
    if (check_failures() != 0) {
        fprintf(stderr, "    in round %" PRIu64 " of seed %" PRIu64 ", window [%" PRIu64 ", %" PRIu64 "):\n", round - 1,
                seed, now.offset, now.offset + now.length);
        storm_print(&now.plan);
    }
    stop_readers(threads, readers);
    print_tally(round);
    judge_hands();
    storm_stop(&now.storm);
    storm_keeper_stop(&keeper);
    free(scratch);
    /* A storm in which nothing happened proves nothing. */
    CHECK(rounds < 8 || getenv("STORM_COPIES_ONLY") != NULL || broken > 0 ||
          by_means[MMG_MEANS_SNAPSHOT] + by_means[MMG_MEANS_REFLINK] > 0);
}

static const struct check_case cases[] = {
    {"no byte of a stable region changes in the storm", storm, CHECK_ONCE},
};

/** Writes the file as every round finds it. */
static int
make_original(const char *path)
{
    struct storm storm = {.path = path};
    storm_fill_versions(&storm);
    close(storm_restore(&storm));
    return 0;
}

int
main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "original") == 0) {
        return make_original(argv[2]);
    }
    rounds = argc > 1 ? strtoull(argv[1], NULL, 0) : check_scaled(rounds);
    who = argc > 2 ? argv[2] : who;
    seed = argc > 3 ? strtoull(argv[3], NULL, 0) : check_seed();
    if (strcmp(who, "root") != 0 && strcmp(who, "owner") != 0 && strcmp(who, "stranger") != 0) {
        fprintf(stderr, "usage: %s [ROUNDS [root|owner|stranger [SEED]]]\n", argv[0]);
        return 2;
    }
    return check_main(1, argv, cases, sizeof cases / sizeof *cases);
}
