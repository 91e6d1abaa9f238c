/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the ledger. It has one record for each loss of a region, a mark selects the later records, and overwritten
 * records are counted.
 */
#include <pthread.h>
#include <stdio.h>

#include "foreign.h"

static mmg_handle
open_mapped(const char *path)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    return check_open(path, &options);
}

static void
a_region_records_its_loss_once(void)
{
    const uint64_t page = check_page();
    const char *path = check_file("own", whole());
    mmg_handle handle = open_mapped(path);
    mmg_span span = MMG_SPAN_INIT;
    mmg_loss losses[LOSSES];
    const uint64_t mark = ledger_mark();
    const mmg_info info = check_info(handle);

    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    check_truncate(path, 2 * page + 5);
    CHECK(touch(span.data, span.size - 1) == 0);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    REQUIRE(ledger_since(mark, losses) == 1);
    CHECK_STATUS(losses[0].cause, MMG_E_TRUNCATED);
    CHECK_U64(losses[0].origin, MMG_ORIGIN_OWN);
    CHECK_TEXT(mmg_term(MMG_TERM_ORIGIN, losses[0].origin), "own");
    CHECK_U64(losses[0].handle, handle);
    CHECK_U64(losses[0].offset, 2 * page + 5);
    CHECK_U64(losses[0].length, whole() - 2 * page - 5);
    CHECK_U64(losses[0].address, (uintptr_t)span.data + 2 * page + 5);
    CHECK_U64(losses[0].device, info.device);
    CHECK_U64(losses[0].inode, info.inode);
    CHECK_TEXT(losses[0].path, path);
    CHECK(losses[0].time_ns > 0);
    CHECK_U64(losses[0].thread, (uint64_t)gettid());
    check_truncate(path, page);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    CHECK_U64(ledger_since(mark, losses), 2);
    CHECK_U64(losses[1].offset, page);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
arguments_are_checked(void)
{
    mmg_loss losses[2] = {MMG_LOSS_INIT, MMG_LOSS_INIT};
    uint64_t count = 7, next = 7;

    CHECK_STATUS(mmg_losses_get(0, losses, 2, NULL, &next), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_losses_get(0, losses, 2, &count, NULL), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_losses_get(0, NULL, 2, &count, &next), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_losses_get(ledger_mark() + 1, losses, 2, &count, &next), MMG_E_RANGE);
    losses[0].struct_size = 8;
    CHECK_STATUS(mmg_losses_get(0, losses, 2, &count, &next), MMG_E_ABI_SIZE);
    CHECK_U64(count, 7);
    CHECK_U64(next, 7);
}

/** The struct of a caller of a later release. */
struct later_loss {
    mmg_loss known;
    uint64_t more;
};

static void
a_later_caller_has_room_for_more(void)
{
    struct later_loss losses[2];
    const char *path = check_file("own", whole());
    mmg_handle handle = open_mapped(path);
    const uint64_t mark = ledger_mark();
    uint64_t count, next;

    check_truncate(path, 10);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    check_truncate(path, 5);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    memset(losses, 0xAA, sizeof losses);
    losses[0].known.struct_size = sizeof *losses;
    REQUIRE_STATUS(mmg_losses_get(mark, &losses[0].known, 2, &count, &next), MMG_OK);
    CHECK_U64(count, 2);
    for (int i = 0; i < 2; i++) {
        CHECK_U64(losses[i].known.struct_size, sizeof *losses);
        CHECK_U64(losses[i].known.offset, i == 0 ? 10 : 5);
        CHECK_U64(losses[i].more, 0);
    }
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** Causes `count` losses, each by one call and of one more byte. */
static void
lose(const char *path, uint64_t count)
{
    const uint64_t size = whole();
    mmg_handle handle = open_mapped(path);
    for (uint64_t i = 1; i <= count; i++) {
        check_truncate(path, size - i);
        CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    }
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
what_is_overwritten_is_counted(void)
{
    enum {
        FOUND = 1500,
        KEPT = 1024
    };
    static mmg_loss losses[KEPT + 10];
    const uint64_t mark = ledger_mark();
    uint64_t count, next;

    lose(check_file("own", whole()), FOUND);
    losses[0].struct_size = sizeof *losses;
    REQUIRE_STATUS(mmg_losses_get(mark, losses, KEPT + 10, &count, &next), MMG_OK);
    CHECK_U64(next, mark + FOUND);
    CHECK_U64(count, KEPT);
    for (uint64_t i = 0; i < count; i++) {
        CHECK_U64(losses[i].sequence, mark + FOUND - KEPT + 1 + i);
        CHECK_U64(losses[i].offset, whole() - (FOUND - KEPT + 1 + i));
    }
    /* Reading the records piece by piece gives the same records. */
    uint64_t at = mark, read = 0;
    do {
        REQUIRE_STATUS(mmg_losses_get(at, losses, 100, &count, &next), MMG_OK);
        read += count;
        at = next;
    } while (count > 0);
    CHECK_U64(read, KEPT);
    CHECK_U64(at, mark + FOUND);
}

#define WRITERS 4

static void *
writer(void *path)
{
    lose(path, check_scaled(2000));
    return NULL;
}

/** Some threads write and one reads. Every record that it reads must be whole, and all others must be counted. */
static void
readers_and_writers_agree(void)
{
    static char paths[WRITERS][4096];
    static mmg_loss losses[64];
    pthread_t threads[WRITERS];
    const uint64_t mark = ledger_mark(), total = WRITERS * check_scaled(2000);
    uint64_t at = mark, read = 0, gone = 0;

    for (int i = 0; i < WRITERS; i++) {
        char name[] = {'f', (char)('0' + i), '\0'};
        snprintf(paths[i], sizeof paths[i], "%s", check_file(name, whole()));
        REQUIRE(pthread_create(&threads[i], NULL, writer, paths[i]) == 0);
    }
    losses[0].struct_size = sizeof *losses;
    while (at < mark + total) {
        uint64_t count, next;
        REQUIRE_STATUS(mmg_losses_get(at, losses, 64, &count, &next), MMG_OK);
        gone += next - at - count;
        for (uint64_t i = 0; i < count; i++) {
            const char *path = losses[i].path;
            CHECK(losses[i].sequence > at && losses[i].sequence <= next);
            CHECK(strlen(path) > 2 && path[strlen(path) - 2] == 'f');
            CHECK_U64(losses[i].offset + losses[i].length, whole());
        }
        read += count;
        at = next;
    }
    for (int i = 0; i < WRITERS; i++) {
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    }
    CHECK_U64(read + gone, total);
    CHECK(read > 0);
    CHECK_U64(ledger_mark(), mark + total);
}

static const struct check_case cases[] = {
    {"a region records its loss once", a_region_records_its_loss_once, 0},
    {"arguments are checked", arguments_are_checked, 0},
    {"a later caller has room for more", a_later_caller_has_room_for_more, 0},
    {"what is overwritten is counted", what_is_overwritten_is_counted, 0},
    {"readers and writers agree", readers_and_writers_agree, CHECK_THREADS},
};

CHECK_MAIN(cases)
