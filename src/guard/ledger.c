/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The ledger is a ring of entries. An entry has a state and the words of a record. A writer takes the next sequence
 * number, which chooses the entry, and claims the entry by its state. When another writer still has the entry, which is
 * then a whole round behind, the record is given up. A reader copies the words, and looks at the state again to see
 * whether a writer came in between. So a sequence number without a record is one whose record was overwritten or given
 * up.
 */
#include "guard/ledger.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "base/probes.h"
#include "os/clock.h"
#include "os/thread.h"

#define ENTRIES 1024u
#define WORDS (sizeof(mmg_loss) / sizeof(uint64_t))
_Static_assert(sizeof(mmg_loss) % sizeof(uint64_t) == 0 && offsetof(mmg_loss, path) % sizeof(uint64_t) == 0,
               "a record is made of words, and its path starts with one");

struct ledger_entry {
    _Atomic uint64_t state; /* twice the sequence number of the record; one more while the record is written */
    _Atomic uint64_t used;  /* the number of words that the record needs; the others count as zero */
    _Atomic uint64_t word[WORDS];
};

static struct ledger_entry entries[ENTRIES];
static _Atomic uint64_t newest;
static _Atomic uint64_t truncated, failed, poisoned, unstable, foreign;

static struct ledger_entry *
entry_of(uint64_t sequence)
{
    return &entries[sequence % ENTRIES];
}

/* -------------------------------------------------------------------------------------------------------- writing -- */

static void
count(const struct ledger_loss *loss)
{
    _Atomic uint64_t *counter = loss->cause == MMG_E_TRUNCATED  ? &truncated
                                : loss->cause == MMG_E_POISONED ? &poisoned
                                : loss->cause == MMG_E_UNSTABLE ? &unstable
                                                                : &failed;

    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed); /* counters, ordered with nothing */
    if (loss->origin == MMG_ORIGIN_FOREIGN)
        atomic_fetch_add_explicit(&foreign, 1, memory_order_relaxed);
}

/*
 * Copies a path, and returns how many bytes it has stored. A path that is too long loses its middle, since its beginning
 * names the folder and its end names the file.
 */
static size_t
copy_path(char *to, size_t room, const char *from, size_t size)
{
    static const char gap[] = "...";

    if (from == NULL)
        return 0;
    if (size < room) {
        memcpy(to, from, size);
        return size;
    }
    const size_t head = (room - sizeof gap) / 2, tail = room - sizeof gap - head;
    memcpy(to, from, head);
    memcpy(to + head, gap, sizeof gap - 1);
    memcpy(to + head + sizeof gap - 1, from + size - tail, tail);
    return head + sizeof gap - 1 + tail;
}

/* Claims the entry for a record. Returns false when another writer has the entry, or when it holds a later record. */
static bool
claim(struct ledger_entry *entry, uint64_t sequence)
{
    uint64_t state = atomic_load_explicit(&entry->state, memory_order_relaxed);

    do
        if ((state & 1) != 0 || state > sequence * 2)
            return false;
    while (!atomic_compare_exchange_weak(&entry->state, &state, sequence * 2 + 1));
    return true;
}

/* Fills a record, except for the bytes of its path that are not used. Returns how many words the record needs. */
static size_t
record_fill(const struct ledger_loss *loss, uint64_t sequence, mmg_loss *record)
{
    const size_t before = offsetof(mmg_loss, path);

    record->struct_size = sizeof *record;
    record->cause = loss->cause;
    record->sequence = sequence;
    record->handle = loss->handle;
    record->device = loss->device;
    record->inode = loss->inode;
    record->offset = loss->offset;
    record->length = loss->length;
    record->address = loss->address;
    record->time_ns = mmgi_clock_monotonic_ns();
    record->thread = (uint32_t)mmgi_thread_id(); /* never negative */
    record->origin = loss->origin;
    const size_t end = before + copy_path(record->path, sizeof record->path, loss->path, loss->path_size);
    const size_t words = end / sizeof(uint64_t) + 1; /* with the NUL behind the path */
    memset((unsigned char *)record + end, 0, words * sizeof(uint64_t) - end);
    return words;
}

void
mmgi_ledger_write(const struct ledger_loss *loss)
{
    mmg_loss record;
    const uint64_t sequence = atomic_fetch_add(&newest, 1) + 1;
    struct ledger_entry *entry = entry_of(sequence);

    count(loss);
    PROBE_CONTAINED(loss->cause, loss->origin, loss->device, loss->inode, loss->offset, loss->length);
    const size_t words = record_fill(loss, sequence, &record);
    if (!claim(entry, sequence))
        return;
    atomic_store_explicit(&entry->used, words, memory_order_release); /* after the claim */
    for (size_t i = 0; i < words; i++) {
        uint64_t word;
        memcpy(&word, (const unsigned char *)&record + i * sizeof word, sizeof word);
        atomic_store_explicit(&entry->word[i], word, memory_order_release); /* after the claim */
    }
    atomic_store_explicit(&entry->state, sequence * 2, memory_order_release);
}

/* -------------------------------------------------------------------------------------------------------- reading -- */

bool
mmgi_ledger_read(uint64_t sequence, int *patience, mmg_loss *loss)
{
    struct ledger_entry *entry = entry_of(sequence);
    uint64_t state = atomic_load_explicit(&entry->state, memory_order_acquire);

    /* A writer has taken the number and has not finished the record. */
    while (*patience > 0 && (state < sequence * 2 || state == sequence * 2 + 1)) {
        *patience -= 1;
        mmgi_thread_sleep_briefly();
        state = atomic_load_explicit(&entry->state, memory_order_acquire);
    }
    if (state != sequence * 2)
        return false;
    const uint64_t used = atomic_load_explicit(&entry->used, memory_order_acquire); /* before the last look */
    for (size_t i = 0; i < WORDS; i++) {
        uint64_t word = i < used ? atomic_load_explicit(&entry->word[i], memory_order_acquire) : 0;
        memcpy((unsigned char *)loss + i * sizeof word, &word, sizeof word);
    }
    return atomic_load_explicit(&entry->state, memory_order_relaxed) == state;
}

uint64_t
mmgi_ledger_newest(void)
{
    return atomic_load(&newest);
}

uint64_t
mmgi_ledger_oldest(void)
{
    uint64_t last = atomic_load(&newest);

    return last > ENTRIES ? last - ENTRIES + 1 : 1;
}

void
mmgi_ledger_count(mmg_stats *stats)
{
    stats->losses = mmgi_ledger_newest();
    stats->losses_truncated = atomic_load_explicit(&truncated, memory_order_relaxed);
    stats->losses_io = atomic_load_explicit(&failed, memory_order_relaxed);
    stats->losses_poisoned = atomic_load_explicit(&poisoned, memory_order_relaxed);
    stats->losses_unstable = atomic_load_explicit(&unstable, memory_order_relaxed);
    stats->losses_foreign = atomic_load_explicit(&foreign, memory_order_relaxed);
}

void
mmgi_ledger_after_fork(void)
{
    for (uint32_t i = 0; i < ENTRIES; i++)
        if ((atomic_load_explicit(&entries[i].state, memory_order_relaxed) & 1) != 0)
            atomic_store_explicit(&entries[i].state, 0, memory_order_relaxed); /* relaxed: this is the only thread */
}
