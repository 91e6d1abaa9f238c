/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Models of a break: the code of src/stable/lease_break.c, src/stable/lease_vouch.c and src/guard/vouch.c, in every order of
 * a writer, a reader and the keeper. The writer belongs to another process. It waits until the keeper has given the lease
 * up, or until the kernel takes the lease by force. No reader may take changed bytes for right.
 */
#include "explorer.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "guard/vouch.c"
#include "stable/lease_break.c"
#include "stable/lease_vouch.c"

#define NUMBER 1u /* of the only mapping */
#define FD 5
#define START INT64_C(10000000000)

enum shown {
    SHOWS_FILE,
    SHOWS_SNAPSHOT
};

/* The world around the code: the kernel, the file and the mapping. */
static struct {
    _Atomic int64_t now;
    _Atomic uint32_t state;                    /* of the lease: enum lease_state */
    _Atomic uint32_t file_byte, snapshot_byte; /* 0: as it was at open */
    _Atomic uint32_t shown;
    _Atomic uint32_t is_lost;
    _Atomic uint32_t mark;
    bool was_forced;
    bool is_child;
} world;
static struct vouch vouch_of_mapping;
static _Atomic int descriptor;
static struct region region;
static struct lease lease;
static struct leased_file file;

/* ------------------------------------------------------------------------------- what src/ needs of the system -- */

_Atomic(_Atomic uint32_t *) mmgi_fork_mark_place = &world.mark;
os_mutex mmgi_lease_mutex;
os_condition mmgi_lease_changed;

int64_t
mmgi_clock_tick_ns(void)
{
    return atomic_load(&world.now);
}

int64_t
mmgi_clock_monotonic_ns(void)
{
    return atomic_load(&world.now);
}

void
mmgi_clock_sleep_ns(int64_t duration_ns)
{
    (void)duration_ns;
    model_yield();
}

enum lease_state
mmgi_lease_state(int fd)
{
    return fd == FD ? (enum lease_state)atomic_load(&world.state) : LEASE_GONE;
}

int
mmgi_lease_give_up(int fd)
{
    model_require(fd == FD, "the keeper gives up the lease of the file");
    return atomic_exchange(&world.state, LEASE_GONE) == LEASE_GONE ? EAGAIN : 0;
}

int64_t
mmgi_keeper_patience_ns(void)
{
    return LEASE_MIN_BREAK_NS;
}

void
mmgi_registry_lose(uint32_t number, uint64_t offset, uint64_t length, mmg_status cause)
{
    (void)number, (void)offset, (void)length, (void)cause;
    atomic_store(&world.is_lost, 1);
}

void
mmgi_region_demote(struct region *of, uint64_t from, uint32_t shortfall)
{
    (void)of, (void)shortfall;
    if (from < of->size)
        atomic_store(&world.is_lost, 1);
}

size_t
mmgi_region_replaceable(const struct region *of, size_t secured)
{
    (void)of;
    return secured;
}

bool
mmgi_region_replace(struct region *of, const struct replacement *replacement)
{
    (void)of, (void)replacement;
    atomic_store(&world.shown, SHOWS_SNAPSHOT);
    atomic_store(&descriptor, -1);
    return true;
}

void
mmgi_snapshot_take(const struct snapshot_order *order, struct snapshot *snapshot)
{
    atomic_store(&world.snapshot_byte, atomic_load(&world.file_byte));
    *snapshot = (struct snapshot){.fd = -1, .secured = order->length};
}

bool
mmgi_registry_names(uint32_t number, int fd)
{
    (void)number;
    return atomic_load(&descriptor) == fd;
}

/* In a child: from here on the mapping shows the file itself, and nobody vouches for it. */
int
mmgi_map_replace_with_file(const struct mapping *mapping, size_t length, int fd, uint64_t offset)
{
    (void)mapping, (void)length, (void)fd, (void)offset;
    return 0;
}

void
mmgi_lease_remove(struct lease *of)
{
    of->file->leases = NULL;
}

/* These do nothing that another thread could notice. */
/* clang-format off */
struct vouch *mmgi_registry_vouch_of(uint32_t number) { (void)number; return &vouch_of_mapping; }
void mmgi_registry_have_looked_at(uint32_t number) { (void)number; }
bool mmgi_registry_hold_number(uint32_t number, struct registration *r) { (void)number; *r = (struct registration){0}; return true; }
void mmgi_registry_let_go(uint32_t number) { (void)number; }
int mmgi_file_reopen(int fd, int *fresh) { *fresh = fd; return 0; }
void mmgi_file_exchange(int fd, int fresh) { (void)fd, (void)fresh; }
void mmgi_file_close(int fd) { (void)fd; }
int mmgi_lock_try(int fd, uint32_t kind) { (void)fd, (void)kind; return 0; }
int mmgi_lease_ask_file(const struct lease *of) { (void)of; return 0; }
uint64_t mmgi_signal_block_all(void) { return 0; }
void mmgi_signal_unblock(uint64_t before) { (void)before; }
void mmgi_snapshot_release(struct snapshot *snapshot) { (void)snapshot; }
void mmgi_mutex_lock(os_mutex *mutex) { (void)mutex; }
void mmgi_mutex_unlock(os_mutex *mutex) { (void)mutex; }
bool mmgi_region_is_untouched(const struct region *of) { (void)of; return true; }
void mmgi_condition_broadcast(os_condition *condition) { (void)condition; }
/* clang-format on */

/* -------------------------------------------------------------------------------------------------- the pieces -- */

static void
begin(void)
{
    static unsigned char bytes[1];

    memset(&world, 0, sizeof world);
    world.now = START;
    world.state = LEASE_WHOLE;
    world.mark = 1;
    region = (struct region){.data = bytes, .size = 1, .mapping = {.base = bytes, .length = 1}, .number = NUMBER};
    file = (struct leased_file){.leases = &lease};
    lease = (struct lease){.file = &file, .region = &region, .cap = 1, .fd = FD};
    descriptor = FD;
    mmgi_vouch_set_voucher(mmgi_lease_vouch);
    mmgi_vouch(NUMBER, START + LEASE_VOUCH_NS);
}

/* A child begins after its parent has closed the region and the file was written to. */
static void
begin_late(void)
{
    begin();
    world.is_child = true;
    world.mark = 0;
    world.state = LEASE_GONE;
    world.file_byte = 1;
}

static void
end(void)
{
    model_require(world.is_child || world.was_forced || world.is_lost == 0,
                  "bytes that were secured in time are not reported");
    model_require(!world.was_forced || world.is_child || world.is_lost == 1,
                  "when the kernel was faster than the keeper, a loss is reported");
    model_outcome(world.was_forced ? "taken by force" : "given up in time");
}

/* ------------------------------------------------------------------------------------------------- the threads -- */

/* Time passes, and the vouching ends. Then a writer opens the file. */
static void
writes(void)
{
    model_stand_outside();
    atomic_store(&world.now, START + LEASE_VOUCH_NS);
    atomic_store(&world.state, LEASE_BREAKING);
    if (atomic_load(&world.state) != LEASE_GONE) {
        atomic_store(&world.now, START + LEASE_VOUCH_NS + LEASE_MIN_BREAK_NS);
        if (atomic_exchange(&world.state, LEASE_GONE) != LEASE_GONE)
            world.was_forced = true;
    }
    atomic_store(&world.file_byte, 1);
}

static void
keeps(void)
{
    while (atomic_load(&world.state) == LEASE_WHOLE)
        model_yield();
    file.broken_ns = START;
    mmgi_lease_break_secure(&file, NULL, NULL);
}

static void
read_byte(void)
{
    /* One instruction reads what the mapping shows at that moment. */
    model_point(&world.shown, MODEL_READS, __FILE__, __LINE__);
    const uint32_t byte = world.shown == SHOWS_FILE ? world.file_byte : world.snapshot_byte;

    mmgi_vouch_ask(&vouch_of_mapping, NUMBER, &descriptor);
    const bool is_lost = atomic_load(&world.is_lost) == 1;
    model_require(byte == 0 || is_lost, "no changed byte is taken for right");
    model_outcome(is_lost ? "lost" : "right");
}

static void
reads(void)
{
    read_byte();
    read_byte();
}

static void
forks(void)
{
    if (!model_fork())
        return;
    world.is_child = true;
    atomic_store(&world.mark, 0);
    /* The mapping of a child that shows the file is private to nobody, so one question is all that is answered. */
    read_byte();
    model_outcome("in a child");
}

static const char *const in_parent[] = {"given up in time", "taken by force", "right", "lost", NULL};
static const char *const in_late_child[] = {"given up in time", "lost", NULL};
static const char *const of_forks[] = {"given up in time", "taken by force", "right", "lost", "in a child", NULL};

static const struct model models[] = {
    {"a break meets a reader", begin, {writes, keeps, reads}, end, in_parent},
    {"a break meets a fork", begin, {writes, keeps, forks}, end, of_forks},
    {"two threads of a child learn that the lease is gone", begin_late, {read_byte, read_byte}, end, in_late_child},
};

int
main(int argc, char **argv)
{
    const struct model_memory shared[] = {
        {&world, sizeof world},
        {&vouch_of_mapping, sizeof vouch_of_mapping},
        {&descriptor, sizeof descriptor},
        {&region, sizeof region},
        {&lease, sizeof lease},
        {&file, sizeof file},
        {&breaks, sizeof breaks},
        {&wait_ns, sizeof wait_ns},
        {&wait_max_ns, sizeof wait_max_ns},
        {fallbacks, sizeof fallbacks},
        {0},
    };

    return model_main(argc, argv, models, sizeof models / sizeof *models, shared);
}
