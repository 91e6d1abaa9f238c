/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The storm against STABLE: a writer in another process truncates, extends, rewrites, punches, replaces and removes a
 * file at random, while four threads read a region of it that was opened STABLE before. The readers must not notice any
 * of that:
 * - every byte, through spans, mmg_read() and mmg_find(), is always the one that the file had when it was opened; - no
 *  span moves, no call reports a loss, and the guarantee stays STABLE by any means; - mmg_changed() reports that the
 *  file has changed; - only a process that may take a lease has one, and never while a process has the file open for
 *  writing.
 *
 * In every fourth round a process has the file open for writing already. In every eighth round the handle is closed
 * during the storm, and only the spans stay. Every 16th round opens the file while it is rewritten without a pause;
 * then the bytes must stay as the region showed them first. Every 16th round ends with a file that is emptied without
 * breaking its lease; then no call may return MMG_OK for bytes that are not the original ones.
 *
 * STORM_FOLDER names a folder with an unchanged file for each round, whose name is the number of the round. With the
 * arguments "original PATH" the program makes such a file.
 *
 * Arguments: rounds; the reading user: "root" (the user who runs the program), "owner" (the unprivileged owner of the
 * file) or "stranger" (a user who may only read the file); seed. The file is in TMPDIR.
 */
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "storm_keeper.h"
#include "storm_round.h"

#define OWNER 65534U
#define STRANGER 65533U

static uint64_t rounds = 100;
static uint64_t seed;
static const char *who = "root";

static uint64_t
    by_means[MMG_MEANS_SNAPSHOT + 1]; /* the number of rounds for each means that upheld the guarantee at the end */
static uint64_t leases, broken, emptied;
static struct storm_keeper keeper;

/* ---------------------------------------------------------------------------------------------------- the rounds -- */

static mmg_options
draw_options(uint64_t *random)
{
    mmg_options options = MMG_OPTIONS_INIT;
    options.guarantee = MMG_GUARANTEE_STABLE;
    /* On SMB, a named lock would make the writers of the storm fail. */
    uint32_t lock = getenv("STORM_DEFAULT_LOCK") != NULL ? MMG_LOCK_AUTO : MMG_LOCK_SHARED;
    options.lock = check_random_below(random, 2) == 0 ? MMG_LOCK_NONE : lock;
    now.offset = check_random_below(random, 2) == 0 ? check_random_below(random, STORM_SIZE / 2) : 0;
    now.length = STORM_SIZE - now.offset;
    if (check_random_below(random, 2) == 0) {
        now.length -= check_random_below(random, now.length - NEEDLE - 1);
    }
    options.offset = now.offset;
    options.length = now.length;
    options.copy_threshold = 1; /* the file is treated like a large one */
    /* MAP forbids a copy in memory, which is the only means where no unnamed file can be made, as on NFS. */
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
    if (file_is_kept) { /* a copy in memory compares only the path */
        CHECK_I64((what & MMG_CHANGED_SIZE) != 0, now.plan.size != STORM_SIZE);
        if (getenv("STORM_COARSE_TIMES") == NULL) { /* times as coarse as a second show nothing here */
            CHECK(!now.plan.stamped || (what & MMG_CHANGED_MTIME) != 0);
            CHECK(now.plan.modified || (what & MMG_CHANGED_MTIME) == 0);
        }
    }
}

/**
 * Checks a fresh region. `is_written` says that a process has the file open for writing. Then, and for a stranger,
 * there must be no lease.
 */
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
    if (before->means ==
        MMG_MEANS_LEASE) { /* the open(2) of the writer has broken the lease, even if it wrote nothing */
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
    atomic_store(&now.readers.writing, true);
    storm_readers_meet(&now.readers);
    storm_readers_meet(&now.readers);
    storm_begin(&now.storm, &now.plan);
    if (now.closes) {
        CHECK_STATUS(mmg_close(now.handle, 0), MMG_OK);
    }
    storm_end(&now.storm);
    CHECK(storm_is_original(whole.data, 0, now.length, "main thread"));
    atomic_store(&now.readers.writing, false);
    storm_readers_meet(&now.readers);
    if (!now.closes) {
        judge_end(before);
    }
    CHECK_STATUS(mmg_unpin(&whole), MMG_OK);
    storm_readers_meet(&now.readers); /* the readers have unpinned their spans, too */
    if (!now.closes) {
        CHECK_STATUS(mmg_close(now.handle, 0), MMG_OK);
    }
}

/**
 * Opens and reads the file while it is rewritten. The region may show any version, but it must go on to show the same
 * one. The rewriting starts at about the time of the opening, so sometimes a lease is taken just before and broken at
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
    storm_keeper_tell(&keeper, KEEP_RESTORE); /* this ends the rewriting, and the second call restores the file */
    storm_keeper_tell(&keeper, KEEP_RESTORE);
}

/**
 * Checks that calls that return MMG_OK have shown the original bytes. Returns true when all calls have returned MMG_OK.
 */
static bool
is_true_or_told(mmg_handle handle, uint8_t *copy)
{
    mmg_span whole = MMG_SPAN_INIT;
    uint64_t got = 0;
    bool was_ok = true;
    if (mmg_pin(handle, 0, MMG_TO_END, &whole) == MMG_OK) {
        memcpy(copy, whole.data, now.length);
        was_ok = mmg_unpin(&whole) == MMG_OK;
        CHECK(!was_ok || storm_is_original(copy, 0, now.length, "span of an emptied file"));
    }
    if (mmg_read(handle, 0, copy, now.length, &got) == MMG_OK) {
        CHECK(storm_is_original(copy, 0, now.length, "mmg_read of an emptied file"));
    } else {
        was_ok = false;
    }
    return was_ok;
}

/**
 * Empties the file by an open for reading only, which breaks no lease, and writes it again. A leased region loses its
 * bytes and must report that. Any other region must keep them.
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
 * With STORM_FOLDER each round uses a file of its own, which is on the lower layer of an overlay.
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

/** Returns true when the file must be opened on the lower layer, where no process has written to it yet. */
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
        check_await_tick(); /* two changes in one tick would have equal times */
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

/* --------------------------------------------------------------------------------------------- the three readers -- */

static void
become(uid_t user)
{
    REQUIRE(setgroups(0, NULL) == 0 && setgid(user) == 0 && setuid(user) == 0);
}

/** Lets all users read the program's directory, and lets the owner work in it. */
static void
open_directory(const char *path, uid_t user)
{
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", path);
    const char *name = dirname(folder);
    REQUIRE(chmod(name, 0755) == 0 && chown(name, user, (gid_t)-1) == 0);
}

/** Starts the processes that write, and changes the user of this one, which reads. */
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

/** Checks that every way to change the file was used. A short storm may miss some by chance. */
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
    uint64_t random = seed, round = 0;
    if (strcmp(who, "root") != 0 && geteuid() != 0) {
        check_skip("needs root, to become another user");
        return;
    }
    const bool has_leases = check_kernel_has_leases() && strcmp(who, "stranger") != 0;
    assume_roles(check_path("storm"), check_path("spare"));
    uint8_t *scratch = malloc(STORM_MOST); /* after the forks, since a child would leak the memory */
    REQUIRE(scratch != NULL);
    bool coarse = strcmp(who, "stranger") == 0 ||
                  storm_times_are_coarse(&now.storm); /* a stranger may not change the file to find out */
    storm_readers_start(&now.readers, seed, storm_read);
    for (; round < rounds && check_failures() == 0; round++) {
        run_round(round, &random, coarse, scratch);
    }
    if (check_failures() != 0) {
        fprintf(stderr, "    in round %" PRIu64 " of seed %" PRIu64 ", window [%" PRIu64 ", %" PRIu64 "):\n", round - 1,
                seed, now.offset, now.offset + now.length);
        storm_print(&now.plan);
    }
    storm_readers_stop(&now.readers);
    print_tally(round);
    judge_hands();
    storm_stop(&now.storm);
    storm_keeper_stop(&keeper);
    free(scratch);
    /* A storm without breaks and snapshots would prove nothing. */
    CHECK(rounds < 8 || getenv("STORM_COPIES_ONLY") != NULL ||
          broken + (has_leases ? 0 : by_means[MMG_MEANS_SNAPSHOT] + by_means[MMG_MEANS_REFLINK]) > 0);
}

static const struct check_case cases[] = {
    {"no byte of a stable region changes in the storm", storm, CHECK_ONCE},
};

/** Writes the file as it must be at the start of a round. */
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
