/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests what a snapshot secures: all bytes of its order, or as many as the cap, the time, the room and the source allow, with
 * the reason. The places for a copy are tried in turn: beside the source, in TMPDIR, in memory.
 */
#include "check.h"
#include "forbid.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "os/snapshot_file.h"
#include "stable/snapshot.h"
#include "unnamed.h"

#define PIECE (UINT64_C(4) << 20)
#define FROM (UINT64_C(64) << 10) /* a multiple of every size of a page */
#define SIZE (FROM + 2 * PIECE + 12345)

int __real_mmgi_snapshot_file_clone(int fd, int target);
int __wrap_mmgi_snapshot_file_clone(int fd, int target);

static unsigned clones;        /* how often a clone was tried */
static bool copies_for_clones; /* a copy stands for a clone, which few file systems can make */

int
__wrap_mmgi_snapshot_file_clone(int fd, int target)
{
    struct stat status;
    clones++;
    if (!copies_for_clones) {
        return __real_mmgi_snapshot_file_clone(fd, target);
    }
    REQUIRE(fstat(fd, &status) == 0 && ftruncate(target, status.st_size) == 0);
    return mmgi_snapshot_file_copy(fd, target, 0, (size_t)status.st_size);
}

uint64_t __real_mmgi_memory_room(void);
uint64_t __wrap_mmgi_memory_room(void);

static uint64_t memory_room = UINT64_MAX; /* at most so much memory is free */

uint64_t
__wrap_mmgi_memory_room(void)
{
    const uint64_t room = __real_mmgi_memory_room();
    return room < memory_room ? room : memory_room;
}

/** Opens a file of SIZE bytes for an order of all bytes from FROM on. */
static struct snapshot_order
order_of(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    return (struct snapshot_order){
        .fd = fd, .from = FROM, .length = SIZE - FROM, .cap = MMG_NO_LIMIT, .with_memory = true};
}

/** Makes a file in no directory for an order of all its bytes. */
static struct snapshot_order
order_of_memfd(size_t size)
{
    uint8_t *bytes = malloc(size);
    const int fd = memfd_create("none", MFD_CLOEXEC);
    REQUIRE(bytes != NULL && fd >= 0);
    check_fill(bytes, 0, size);
    REQUIRE(write(fd, bytes, size) == (ssize_t)size);
    free(bytes);
    return (struct snapshot_order){.fd = fd, .length = size, .cap = MMG_NO_LIMIT, .with_memory = true};
}

/** Takes a snapshot, and checks that it is counted, with the bytes that were copied for it. */
static struct snapshot
take(const struct snapshot_order *order)
{
    const uint64_t number = mmgi_snapshot_number(), bytes = mmgi_snapshot_bytes();
    struct snapshot snapshot;
    mmgi_snapshot_take(order, &snapshot);
    CHECK_U64(mmgi_snapshot_number() - number, snapshot.fd >= 0 || snapshot.memory != NULL);
    CHECK_U64(mmgi_snapshot_bytes() - bytes, snapshot.means == MMG_MEANS_REFLINK ? 0 : snapshot.secured);
    return snapshot;
}

/** Checks the secured bytes of a snapshot, and ends it and its order. */
static void
check_and_release(const struct snapshot_order *order, struct snapshot *snapshot, uint64_t secured, int os_code)
{
    uint8_t *bytes = snapshot->memory;

    CHECK_U64(snapshot->secured, secured);
    CHECK_I64(snapshot->os_code, os_code);
    if (snapshot->fd >= 0) {
        bytes = malloc(SIZE);
        REQUIRE(bytes != NULL);
        CHECK_I64(pread(snapshot->fd, bytes, (size_t)secured, (off_t)order->from), (int64_t)secured);
    }
    CHECK(secured == 0 || bytes != NULL);
    CHECK(bytes == NULL || check_is_pattern(bytes, order->from, secured));
    if (snapshot->fd >= 0)
        free(bytes);
    mmgi_snapshot_release(snapshot);
    CHECK_I64(snapshot->fd, -1);
    CHECK(snapshot->memory == NULL);
    close(order->fd);
}

static void
a_copy_in_a_file_has_the_bytes_at_the_same_offsets(void)
{
    if (!has_unnamed_files())
        return;
    struct snapshot_order order = order_of(check_file("file", SIZE));
    const unsigned before = clones;
    struct snapshot snapshot = take(&order);
    struct stat status;
    CHECK_U64(snapshot.means, MMG_MEANS_SNAPSHOT);
    CHECK_I64(snapshot.reflink_error, EOPNOTSUPP);
    CHECK_U64(clones, before);
    REQUIRE(snapshot.fd >= 0 && fstat(snapshot.fd, &status) == 0);
    CHECK(snapshot.memory == NULL);
    CHECK_I64(status.st_size, (int64_t)SIZE);
    CHECK_U64(status.st_nlink, 0);
    check_and_release(&order, &snapshot, order.length, 0);
}

/** Where the file system clones, the clone has the bytes that the file had. Elsewhere the copy says why there is no clone. */
static void
a_reflink_is_tried_first(void)
{
    if (!has_unnamed_files())
        return;
    struct snapshot_order order = order_of(check_file("file", SIZE));
    const unsigned before = clones;
    order.with_reflink = true;
    struct snapshot snapshot = take(&order);
    CHECK_U64(clones, before + 1);
    CHECK_U64(snapshot.means, snapshot.reflink_error == 0 ? MMG_MEANS_REFLINK : MMG_MEANS_SNAPSHOT);
    CHECK(snapshot.reflink_error == 0 || snapshot.reflink_error == EOPNOTSUPP || snapshot.reflink_error == EXDEV ||
          snapshot.reflink_error == EINVAL);
    check_and_release(&order, &snapshot, order.length, 0);
}

static void
no_more_than_the_cap_is_copied(void)
{
    static const uint64_t caps[] = {0, 1, 4096, PIECE - 1, PIECE, PIECE + 1, SIZE - FROM - 1, SIZE - FROM, SIZE};
    const char *path = check_file("file", SIZE);
    for (size_t index = 0; index < sizeof caps / sizeof *caps; index++) {
        struct snapshot_order order = order_of(path);
        order.cap = caps[index];
        struct snapshot snapshot = take(&order);
        const bool is_less = caps[index] < order.length;
        check_and_release(&order, &snapshot, is_less ? caps[index] : order.length, is_less ? EFBIG : 0);
    }
}

struct patience {
    unsigned asked, pieces;
};

static bool
wait_for_pieces(void *context)
{
    struct patience *patience = context;
    return patience->asked++ < patience->pieces;
}

/** The question comes before every piece, and what was copied by then is kept. */
static void
a_copy_that_is_stopped_keeps_its_whole_pieces(void)
{
    const char *path = check_file("file", SIZE);
    for (unsigned pieces = 0; pieces <= 3; pieces++) {
        for (unsigned is_mapped = 0; is_mapped < (check_reads_itself() ? 2 : 1); is_mapped++) {
            struct snapshot_order order = order_of(path);
            struct patience patience = {.pieces = pieces};
            order.may_continue = wait_for_pieces;
            order.context = &patience;
            uint8_t *mapped = mmap(NULL, SIZE - FROM, PROT_READ, MAP_SHARED, order.fd, (off_t)FROM);
            REQUIRE(mapped != MAP_FAILED);
            order.mapped = is_mapped ? mapped : NULL;
            struct snapshot snapshot = take(&order);
            CHECK_U64(patience.asked, pieces < 3 ? pieces + 1 : 3);
            check_and_release(&order, &snapshot, pieces < 3 ? pieces * PIECE : order.length,
                              pieces < 3 ? ECANCELED : 0);
            munmap(mapped, SIZE - FROM);
        }
    }
}

/** A source that is shorter than its order cannot be read anywhere, so no other place is tried. */
static void
a_source_that_was_cut_secures_nothing(void)
{
    const char *path = check_file("file", SIZE);
    struct snapshot_order order = order_of(path);
    check_truncate(path, SIZE - 1);
    struct snapshot snapshot = take(&order);
    CHECK_I64(snapshot.fd, -1);
    CHECK(snapshot.memory == NULL);
    check_and_release(&order, &snapshot, 0, EIO);
}

/** A mapping whose pages are gone cannot be copied either. */
static void
a_mapping_that_was_cut_secures_nothing(void)
{
    const char *path = check_file("file", SIZE);
    struct snapshot_order order = order_of(path);
    uint8_t *mapped = mmap(NULL, SIZE - FROM, PROT_READ, MAP_SHARED, order.fd, (off_t)FROM);
    REQUIRE(mapped != MAP_FAILED);
    check_truncate(path, FROM + 4096);
    order.mapped = mapped;
    struct snapshot snapshot = take(&order);
    check_and_release(&order, &snapshot, 0, check_reads_itself() ? EIO : ENOSYS);
    munmap(mapped, SIZE - FROM);
}

/** A file in no directory, as a memfd, has no place beside it. */
static void
a_file_without_a_directory_is_copied_to_tmpdir(void)
{
    if (!has_unnamed_files())
        return;
    struct snapshot_order order = order_of_memfd(100000);
    struct stat tmpdir, copy;
    const char *name = getenv("TMPDIR");
    REQUIRE(stat(name != NULL && *name != '\0' ? name : "/tmp", &tmpdir) == 0);
    struct snapshot snapshot = take(&order);
    REQUIRE(snapshot.fd >= 0 && fstat(snapshot.fd, &copy) == 0);
    CHECK(copy.st_dev == tmpdir.st_dev);
    check_and_release(&order, &snapshot, order.length, 0);
}

/** No file may grow to this size, so the copy goes to memory, or nowhere where memory is not allowed. */
CHECK_IN_A_CHILD(where_no_file_may_grow_the_copy_is_in_memory)
{
    const struct rlimit small = {SIZE - 1, RLIM_INFINITY}, exact = {SIZE, RLIM_INFINITY};
    const char *path = check_file("file", SIZE);
    struct snapshot_order order = order_of(path);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    struct snapshot snapshot = take(&order);
    CHECK_I64(snapshot.fd, -1);
    REQUIRE(snapshot.memory != NULL);
    CHECK(snapshot.memory_length >= order.length);
    check_and_release(&order, &snapshot, order.length, 0);
    order = order_of(path);
    order.with_memory = false;
    snapshot = take(&order);
    CHECK_I64(snapshot.fd, -1);
    check_and_release(&order, &snapshot, 0, EFBIG);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &exact) == 0);
    order = order_of(path);
    snapshot = take(&order);
    CHECK(snapshot.fd >= 0 || !has_unnamed_files());
    check_and_release(&order, &snapshot, order.length, 0);
}

CHECK_IN_A_CHILD(a_tmpdir_that_is_missing_leaves_memory)
{
    for (unsigned with_memory = 0; with_memory <= 1; with_memory++) {
        struct snapshot_order order = order_of_memfd(5000);
        setenv("TMPDIR", check_path("missing"), 1);
        order.with_memory = with_memory;
        struct snapshot snapshot = take(&order);
        CHECK_I64(snapshot.fd, -1);
        CHECK((snapshot.memory != NULL) == with_memory);
        check_and_release(&order, &snapshot, with_memory ? order.length : 0, with_memory ? 0 : ENOENT);
    }
}

/** A clone has the size of its file at that moment, and whatever the order wants beyond it is not secured. */
static void
a_clone_of_a_file_that_was_cut_secures_what_it_has(void)
{
    if (!has_unnamed_files()) {
        return;
    }
    const char *path = check_file("file", SIZE);
    static const uint64_t sizes[] = {SIZE, SIZE - 1, FROM + 1, FROM, FROM - 1, 0};
    copies_for_clones = true;
    for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
        struct snapshot_order order = order_of(path);
        check_truncate(path, sizes[index]);
        order.with_reflink = true;
        struct snapshot snapshot = take(&order);
        CHECK_U64(snapshot.means, MMG_MEANS_REFLINK);
        check_and_release(&order, &snapshot, sizes[index] > FROM ? sizes[index] - FROM : 0, index == 0 ? 0 : EIO);
    }
    copies_for_clones = false;
}

/** What copy_file_range(2) says, and what becomes of the copy. */
struct refusal {
    int os_code;
    bool is_copied;
};

static void
copy_in_vain(void *argument)
{
    const struct refusal *refusal = argument;
    const int from = open(check_file("from", 50000), O_RDONLY | O_CLOEXEC);
    const int to = open(check_file("to", 0), O_RDWR | O_CLOEXEC);
    static uint8_t bytes[40000];
    REQUIRE(from >= 0 && to >= 0 && forbid(SYS_copy_file_range, refusal->os_code));
    CHECK_I64(mmgi_snapshot_file_copy(from, to, 8192, sizeof bytes), refusal->is_copied ? 0 : refusal->os_code);
    CHECK_I64(pread(to, bytes, sizeof bytes, 8192), refusal->is_copied ? (int64_t)sizeof bytes : 0);
    CHECK(!refusal->is_copied || check_is_pattern(bytes, 8192, sizeof bytes));
    close(from);
    close(to);
}

/** Where the kernel does not copy, the library does. An error of the disk is not tried again. */
static void
what_the_kernel_does_not_copy_is_read_and_written(void)
{
    static struct refusal refusals[] = {{EXDEV, true},      {EINVAL, true}, {ENOSYS, true},
                                        {EOPNOTSUPP, true}, {EIO, false},   {ENOSPC, false}};
    if (check_under_qemu() || check_under_valgrind()) {
        check_skip("the filter would apply to the emulator as well");
        return;
    }
    for (size_t index = 0; index < sizeof refusals / sizeof *refusals; index++) {
        CHECK_EXITED(check_child(copy_in_vain, &refusals[index]));
    }
}

/** Returns true when the files of a directory or a file system are memory: tmpfs or ramfs (statfs(2)). */
static bool
is_memory(const char *path)
{
    struct statfs found;
    const unsigned long type = statfs(path, &found) == 0 ? (unsigned long)found.f_type & 0xFFFFFFFFUL : 0;
    return type == 0x01021994UL || type == 0x858458F6UL;
}

static void
fill_a_tmpfs(void *unused)
{
    const uint64_t size = 5000;
    int target = -1;
    (void)unused;
    setenv("TMPDIR", "/dev/shm", 1);
    memory_room = 2 * size;
    CHECK_I64(mmgi_snapshot_file_in_tmpdir(size, size, &target), 0);
    close(target);
    memory_room = 2 * size - 1;
    CHECK_I64(mmgi_snapshot_file_in_tmpdir(size, size, &target), ENOMEM);
    CHECK_I64(target, -1);
    const int fd = open(check_file("file", size), O_RDONLY | O_CLOEXEC);
    if (!is_memory(check_path("file"))) {
        const int os_code = mmgi_snapshot_file_beside(fd, size, size, &target);
        CHECK(os_code != ENOMEM); /* nobody asks how much memory is free */
        CHECK((target >= 0) == (os_code == 0));
        close(target);
    }
    close(fd);
}

/** The files of a tmpfs are memory. A copy there takes up to a half of the memory that is free. */
static void
a_tmpfs_has_no_room_where_memory_has_none(void)
{
    if (!is_memory("/dev/shm") || access("/dev/shm", W_OK) != 0) {
        check_skip("there is no tmpfs at /dev/shm to which this process may write");
        return;
    }
    CHECK_EXITED(check_child(fill_a_tmpfs, NULL));
}

static const struct check_case cases[] = {
    {"a tmpfs has no room where memory has none", a_tmpfs_has_no_room_where_memory_has_none, 0},
    {"what the kernel does not copy is read and written", what_the_kernel_does_not_copy_is_read_and_written, 0},
    {"a copy in a file has the bytes at the same offsets", a_copy_in_a_file_has_the_bytes_at_the_same_offsets, 0},
    {"a reflink is tried first", a_reflink_is_tried_first, 0},
    {"no more than the cap is copied", no_more_than_the_cap_is_copied, 0},
    {"a copy that is stopped keeps its whole pieces", a_copy_that_is_stopped_keeps_its_whole_pieces, 0},
    {"a source that was cut secures nothing", a_source_that_was_cut_secures_nothing, 0},
    {"a mapping that was cut secures nothing", a_mapping_that_was_cut_secures_nothing, 0},
    {"a file without a directory is copied to TMPDIR", a_file_without_a_directory_is_copied_to_tmpdir, 0},
    {"where no file may grow, the copy is in memory", where_no_file_may_grow_the_copy_is_in_memory, 0},
    {"a TMPDIR that is missing leaves memory", a_tmpdir_that_is_missing_leaves_memory, 0},
    {"a clone of a file that was cut secures what it has", a_clone_of_a_file_that_was_cut_secures_what_it_has, 0},
};

CHECK_MAIN(cases)
