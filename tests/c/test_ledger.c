/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the records of losses one by one: paths that do not fit, records that another thread overwrites meanwhile, and records
 * that are not finished yet. fault_ledger tests what a caller of the library sees.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "guard/ledger.h"
#include "standing_in.h"

STANDS_IN(int64_t, mmgi_clock_monotonic_ns, (void), ())
STANDS_IN_SILENTLY(mmgi_thread_sleep_briefly, (void), ())

#define ENTRIES 1024
#define ENOUGH 40 /* of so many records, some have their entry already */
#define PATH_ROOM sizeof((mmg_loss *)NULL)->path

static void
lose(const char *path, size_t size, mmg_status cause, uint64_t offset)
{
    const struct ledger_loss loss = {.cause = cause,
                                     .origin = MMG_ORIGIN_OWN,
                                     .handle = 77,
                                     .device = 1,
                                     .inode = 2,
                                     .offset = offset,
                                     .length = 3,
                                     .address = 4,
                                     .path = path,
                                     .path_size = size};
    mmgi_ledger_write(&loss);
}

/** Reads a record that must be there, without a pause. */
static mmg_loss
read_record(uint64_t sequence)
{
    int patience = 5;
    mmg_loss record;
    memset(&record, '!', sizeof record);
    CHECK(mmgi_ledger_read(sequence, &patience, &record));
    CHECK_I64(patience, 5);
    return record;
}

static void
lose_many(unsigned count)
{
    for (unsigned index = 0; index < count; index++) {
        lose("later", 5, MMG_E_TRUNCATED, 1);
    }
}

static void
a_record_has_what_was_told(void)
{
    lose("/a path that is longer than what comes next", 43, MMG_E_IO, 0);
    lose_many(ENTRIES - 1);
    lose("/folder/file", 12, MMG_E_IO, 4096);
    const mmg_loss record = read_record(mmgi_ledger_newest());
    CHECK_U64(record.sequence, mmgi_ledger_newest());
    CHECK_U64(record.struct_size, sizeof record);
    CHECK_STATUS(record.cause, MMG_E_IO);
    CHECK(record.handle == 77 && record.device == 1 && record.inode == 2 && record.length == 3 && record.address == 4);
    CHECK_U64(record.offset, 4096);
    CHECK_TEXT(record.path, "/folder/file");
    CHECK(check_is_zero(record.path + 12, sizeof record.path - 12));
    lose(NULL, 0, MMG_E_IO, 4096);
    CHECK_TEXT(read_record(mmgi_ledger_newest()).path, "");
}

/** The beginning of a path names its folder, and the end names the file. */
static void
a_path_that_is_too_long_loses_its_middle(void)
{
    char path[PATH_ROOM + 100], expected[PATH_ROOM];
    for (size_t index = 0; index < sizeof path; index++) {
        path[index] = (char)('a' + index * 7 % 26);
    }
    for (size_t size = PATH_ROOM - 1; size <= sizeof path; size++) {
        lose(path, size, MMG_E_IO, 0);
        const size_t half = (PATH_ROOM - sizeof "...") / 2, rest = PATH_ROOM - sizeof "..." - half;
        memset(expected, 0, sizeof expected);
        if (size < PATH_ROOM) {
            memcpy(expected, path, size);
        } else {
            memcpy(expected, path, half);
            memcpy(expected + half, "...", 3);
            memcpy(expected + half + 3, path + size - rest, rest);
        }
        const mmg_loss record = read_record(mmgi_ledger_newest());
        CHECK_BYTES(record.path, expected, sizeof expected);
    }
}

static void
fill_all_entries(void)
{
    lose_many(ENTRIES);
}

/** A thread may be so slow with its record that others have filled all entries meanwhile. */
static void
a_late_record_does_not_overwrite_a_later_one(void)
{
    mmg_stats before = {.struct_size = sizeof before}, after = before;
    mmg_loss record;
    int patience = 5;
    mmgi_ledger_count(&before);
    PLAN_MEANWHILE(mmgi_clock_monotonic_ns, 1, fill_all_entries);
    lose("late", 4, MMG_E_IO, 1);
    mmgi_ledger_count(&after);
    CHECK_U64(after.losses, before.losses + ENTRIES + 1);
    CHECK_U64(after.losses_io, before.losses_io + 1); /* it is counted all the same */
    CHECK_U64(after.losses_truncated, before.losses_truncated + ENTRIES);
    CHECK(!mmgi_ledger_read(before.losses + 1, &patience, &record));
    CHECK_I64(patience, 5); /* nobody waits for what is gone */
    CHECK_U64(mmgi_ledger_oldest(), before.losses + 2);
    CHECK_TEXT(read_record(before.losses + 1 + ENTRIES).path, "later"); /* the entry that it wanted */
}

static void
lose_one(void)
{
    lose("meanwhile", 9, MMG_E_IO, 1);
}

static void
a_reader_waits_for_a_record_as_long_as_it_has_patience(void)
{
    mmg_loss record;
    int patience = 3;
    PLAN(mmgi_thread_sleep_briefly, 0, 0, 0);
    CHECK(!mmgi_ledger_read(mmgi_ledger_newest() + 1, &patience, &record));
    CHECK_I64(patience, 0);
    CHECK_U64(CALLS(mmgi_thread_sleep_briefly), 3);
    patience = 5;
    PLAN_MEANWHILE(mmgi_thread_sleep_briefly, 2, lose_one);
    CHECK(mmgi_ledger_read(mmgi_ledger_newest() + 1, &patience, &record));
    CHECK_I64(patience, 3);
    CHECK_TEXT(record.path, "meanwhile");
}

/** A forked child has the records of its parent, except for those that other threads of the parent had not finished. */
static void
a_child_keeps_the_records_of_its_parent(void)
{
    lose("/kept/earlier", 13, MMG_E_IO, 1);
    lose("/kept", 5, MMG_E_IO, 1);
    mmgi_ledger_after_fork();
    CHECK_TEXT(read_record(mmgi_ledger_newest() - 1).path, "/kept/earlier");
    CHECK_TEXT(read_record(mmgi_ledger_newest()).path, "/kept");
    lose("/new", 4, MMG_E_IO, 1);
    CHECK_TEXT(read_record(mmgi_ledger_newest()).path, "/new");
}

static atomic_bool is_writing;

static void *
write_records(void *unused)
{
    static const char path[] = "/a folder/of a path/that takes/a while/to store/in words of eight bytes";
    (void)unused;
    while (atomic_load(&is_writing)) {
        lose(path, sizeof path - 1, MMG_E_IO, 1);
    }
    return NULL;
}

/** In a child: every new record finds its entry, also the one that a thread of the parent was about to fill. */
static void
fill_all_entries_of_a_child(void *unfinished)
{
    mmg_loss record;
    int patience = 0;
    if (!mmgi_ledger_read(mmgi_ledger_newest(), &patience, &record)) {
        atomic_fetch_add((atomic_uint *)unfinished, 1);
    }
    mmgi_ledger_after_fork();
    const uint64_t last = mmgi_ledger_newest();
    lose_many(ENTRIES);
    for (uint64_t sequence = last + 1; sequence <= last + ENTRIES; sequence++) {
        CHECK_TEXT(read_record(sequence).path, "later");
    }
}

static void
a_record_that_a_parent_did_not_finish_blocks_no_entry(void)
{
    pthread_t writer;
    atomic_uint *unfinished = mmap(NULL, sizeof *unfinished, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(unfinished != MAP_FAILED);
    mmgi_clock_monotonic_ns_plan = (struct plan){0};
    atomic_store(&is_writing, true);
    REQUIRE(pthread_create(&writer, NULL, write_records, NULL) == 0);
    for (unsigned fork = 0; fork < 2000 && atomic_load(unfinished) < ENOUGH; fork++) {
        CHECK_EXITED(check_child(fill_all_entries_of_a_child, unfinished));
    }
    atomic_store(&is_writing, false);
    REQUIRE(pthread_join(writer, NULL) == 0);
    CHECK_U64(atomic_load(unfinished), ENOUGH);
    munmap(unfinished, sizeof *unfinished);
}

static const struct check_case cases[] = {
    {"a child keeps the records of its parent", a_child_keeps_the_records_of_its_parent, 0},
    {"a record that a parent did not finish blocks no entry", a_record_that_a_parent_did_not_finish_blocks_no_entry,
     CHECK_ONCE | CHECK_THREADS},
    {"a record has what was told", a_record_has_what_was_told, 0},
    {"a path that is too long loses its middle", a_path_that_is_too_long_loses_its_middle, 0},
    {"a late record does not overwrite a later one", a_late_record_does_not_overwrite_a_later_one, 0},
    {"a reader waits for a record as long as it has patience", a_reader_waits_for_a_record_as_long_as_it_has_patience,
     0},
};

CHECK_MAIN(cases)
