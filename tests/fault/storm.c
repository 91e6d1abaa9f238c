/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The storm: a writer in another process truncates, extends, rewrites, punches, replaces and removes a file at random
 * while four threads read it. The program must not crash, and every loss must be reported:
 *
 *  - A byte that a reader sees is one that the file had there in this round, or a zero where it was short or punched.
 *  - At the end of a round, when the writer is done, mmg_unpin() or mmg_check() reports each byte in which the mapping
 *    differs from the file, or which the file no longer has, with the place of the first one.
 *  - A zero in a page that the writer left alone except for cutting it off is a loss. The span through which it was read
 *    reports the loss when the span ends, in the middle of the round.
 *  - mmg_changed() reports every other change.
 *  - A round without a change reports nothing.
 *
 * Arguments: rounds, seed. storm_twin.c does the same with a plain mapping, and must die.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storm_round.h"

static uint64_t rounds = 300;
static uint64_t seed;

struct round now;

struct tally tally;

/** True for each byte of the region that differs from the file, or that the file does not have. */
static bool differs[STORM_MOST];

/** Ends the span that a reader had during the whole round, after mmg_check() has recorded the losses. */
static void
end_long_span(struct storm_reader *reader)
{
    uint64_t size = reader->span.size;
    bool lost = memchr(differs + reader->from, true, size) != NULL;
    mmg_status status = mmg_unpin(&reader->span);
    judge_status(status, reader->from + size);
    CHECK(is_loss(status) || !lost);
}

/** The result of comparing the mapping with the file after the round. */
struct finding {
    uint64_t first; /* the first byte of the region that differs from the file; the size if there is none */
    bool faulted;   /* true when only a contained fault can have made a difference */
};

static struct finding
compare(int file, const mmg_span *whole, uint8_t *mapped, uint8_t *read_back)
{
    const uint64_t page = check_page();
    struct finding finding = {now.length, false};
    struct stat status;
    REQUIRE(fstat(file, &status) == 0);
    CHECK_U64((uint64_t)status.st_size, now.plan.size);
    memcpy(mapped, whole->data, whole->size);
    ssize_t got = pread(file, read_back, now.length, (off_t)now.offset);
    REQUIRE(got >= 0);
    for (uint64_t at = 0; at < now.length; at++) {
        bool missing = at >= (uint64_t)got;
        differs[at] = missing || mapped[at] != read_back[at];
        if (differs[at]) {
            finding.first = smaller(finding.first, at);
            /* Bytes behind the end of the file, on its last page, become zeros without a signal. */
            uint64_t last_page = (now.plan.size + page - 1) / page * page;
            finding.faulted = finding.faulted || !missing || now.offset + at >= last_page;
            CHECK_U64(mapped[at], 0);
        }
    }
    judge(mapped, 0, now.length);
    return finding;
}

static void
judge_losses(const struct finding *finding, const mmg_info *info)
{
    bool lost = info->fault_cause != MMG_OK;
    if (finding->first < now.length) {
        CHECK_STATUS(info->fault_cause, MMG_E_TRUNCATED);
        CHECK(info->fault_offset <= finding->first);
    }
    CHECK(info->fault_cause == MMG_OK || is_loss(info->fault_cause));
    CHECK(!lost || may_be_lost(now.length));
    CHECK_I64(info->fault_offset == MMG_TO_END, !lost);
    CHECK(!lost || info->fault_offset < now.length);
    CHECK(!lost || info->fault_offset + now.offset >= now.plan.least || info->fault_offset == 0);
    CHECK(info->faults == 0 || lost);
    tally.contained += info->faults;
    tally.lost += lost;
    tally.shrunk_unseen += !lost && may_be_lost(now.length);
    tally.still += now.plan.steps == 0;
}

static void
judge_changes(void)
{
    uint32_t what = 0;
    CHECK_STATUS(mmg_changed(now.handle, &what), MMG_OK);
    CHECK_I64((what & MMG_CHANGED_SIZE) != 0, now.plan.size != STORM_SIZE);
    CHECK_I64((what & MMG_CHANGED_PATH) != 0, now.plan.renamed);
    CHECK_I64((what & MMG_CHANGED_MTIME) != 0, now.plan.modified);
    CHECK_I64((what & MMG_CHANGED_CTIME) != 0, now.plan.modified || now.plan.renamed);
    tally.changed += what != 0;
}

static void
end_round(int file, mmg_span *whole, bool span_first, uint8_t *mapped, uint8_t *read_back)
{
    struct finding finding = compare(file, whole, mapped, read_back);
    mmg_status told = MMG_OK;
    if (span_first) {
        told = mmg_unpin(whole);
        CHECK(is_loss(told) || !finding.faulted);
    }
    mmg_status status = mmg_check(now.handle);
    mmg_info info = check_info(now.handle);
    judge_status(status, now.length);
    CHECK_STATUS(status, info.fault_cause);
    CHECK(is_loss(status) || !is_loss(told));
    judge_losses(&finding, &info);
    judge_changes();
    if (!span_first) {
        CHECK_STATUS(mmg_unpin(whole), status);
    }
    for (unsigned index = 0; index < STORM_READERS; index++) {
        end_long_span(&now.readers.reader[index]);
    }
    CHECK_U64(check_info(now.handle).pins, 0);
}

static void
run_round(uint64_t *random, bool coarse, uint8_t *mapped, uint8_t *read_back)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_span whole = MMG_SPAN_INIT;
    storm_draw(&now.plan, random, !now.storm.shared->cannot_punch);
    now.offset = check_random_below(random, 3) == 0 ? check_random_below(random, STORM_SIZE / 2) : 0;
    now.length = STORM_SIZE - now.offset;
    if (check_random_below(random, 3) == 0) {
        now.length -= check_random_below(random, now.length - NEEDLE - 1);
    }
    options.offset = now.offset;
    options.length = now.length;
    int file = storm_restore(&now.storm);
    now.handle = check_open(now.storm.path, &options);
    REQUIRE_STATUS(mmg_pin(now.handle, 0, MMG_TO_END, &whole), MMG_OK);
    CHECK_U64(whole.size, now.length);
    if (coarse) {
        check_await_tick(); /* two changes in one tick would have equal times */
    }
    atomic_store(&now.readers.writing, true);
    storm_readers_meet(&now.readers);
    storm_readers_meet(&now.readers);
    storm_begin(&now.storm, &now.plan);
    storm_end(&now.storm);
    atomic_store(&now.readers.writing, false);
    storm_readers_meet(&now.readers);
    end_round(file, &whole, check_random_below(random, 2) == 0, mapped, read_back);
    CHECK_STATUS(mmg_close(now.handle, 0), MMG_OK);
    close(file);
}

static void
storm(void)
{
    uint64_t random = seed;
    uint8_t *mapped = malloc(STORM_MOST);
    uint8_t *read_back = malloc(STORM_MOST);
    uint64_t round = 0;
    memset(&tally, 0, sizeof tally);
    REQUIRE(mapped != NULL && read_back != NULL);
    storm_start(&now.storm, check_path("storm"), check_path("spare"));
    bool coarse = storm_times_are_coarse(&now.storm);
    storm_readers_start(&now.readers, seed, read_in_storm);
    for (; round < rounds && check_failures() == 0; round++) {
        run_round(&random, coarse, mapped, read_back);
    }
    if (check_failures() != 0) {
        fprintf(stderr, "    in round %" PRIu64 " of seed %" PRIu64 ", window [%" PRIu64 ", %" PRIu64 "):\n", round - 1,
                seed, now.offset, now.offset + now.length);
        storm_print(&now.plan);
    }
    storm_readers_stop(&now.readers);
    storm_stop(&now.storm);
    free(mapped);
    free(read_back);
    printf("\n    %" PRIu64 " rounds: %" PRIu64 " with a loss, %" PRIu64 " signals contained, %" PRIu64
           " spans that told of a loss in mid-round,\n    %" PRIu64 " cut and grown unseen, %" PRIu64
           " with a change that was told, %" PRIu64 " left alone\n    ",
           round, tally.lost, tally.contained, atomic_load(&tally.losses), tally.shrunk_unseen, tally.changed,
           tally.still);
    /* A storm without losses and changes would prove nothing. */
    CHECK(rounds < 100 || (tally.lost > 0 && tally.contained > 0 && tally.changed > tally.lost && tally.still > 0));
}

static const struct check_case cases[] = {
    {"every byte lost in the storm is reported, and nothing else", storm, CHECK_ONCE},
};

int
main(int argc, char **argv)
{
    rounds = argc > 1 ? strtoull(argv[1], NULL, 0) : check_scaled(rounds);
    seed = argc > 2 ? strtoull(argv[2], NULL, 0) : check_seed();
    return check_main(1, argv, cases, sizeof cases / sizeof *cases);
}
