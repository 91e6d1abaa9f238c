/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One table holds the properties of each name of a file system. The answer for a device is remembered. Since a device
 * number is used again after an unmount, the unique number of the mount is compared, too (Linux 6.8). Older kernels have
 * no such number, and there the file system is looked up each time if it has no device.
 */
#include "os/file_system.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "os/linux/mount_name.h"
#include "os/thread.h"

/* ---------------------------------------------------------------------------------------- properties of a name -- */

#define MAX_YIELDS 1000u

/*
 * The process of which a thread writes to one of the lists below; 0: none does. It is not a mutex, since a mutex would
 * stay locked in a child that is forked while a thread of its parent writes.
 */
static _Atomic int32_t writer;

/*
 * Returns true when the calling thread may write; it must call writing_end() afterwards. Returns false when another
 * thread writes for too long; then the caller must go on without storing anything.
 */
static bool
writing_begin(void)
{
    const int32_t own = getpid();

    for (unsigned yields = 0; yields < MAX_YIELDS; yields++) {
        int32_t found = 0;
        if (atomic_compare_exchange_strong(&writer, &found, own))
            return true;
        /* If the process is another one, its thread was a thread of the parent before the fork, and does not exist
           here. */
        if (found != own && atomic_compare_exchange_strong(&writer, &found, own))
            return true;
        mmgi_thread_yield();
    }
    return false;
}

static void
writing_end(void)
{
    atomic_store_explicit(&writer, 0, memory_order_release);
}

#define LEASES 1u
#define MEDIUM 2u
#define VERITY 4u
#define MEMORY 8u
#define STACKED 16u
#define OTHER_CLOCK 32u
#define COARSE 64u
#define NO_REFLINK 128u
#define KERNEL 256u

static const struct {
    const char *name;
    unsigned facts;
    enum file_system_lock lock;
} known[] = {
    /* Local file systems with a disk. Only for these it is known that leases stop every writer. */
    {"ext4", LEASES | VERITY | NO_REFLINK, FILE_SYSTEM_LOCK_ADVISORY},
    {"ext3", LEASES | COARSE | NO_REFLINK, FILE_SYSTEM_LOCK_ADVISORY},
    {"ext2", LEASES | COARSE | NO_REFLINK, FILE_SYSTEM_LOCK_ADVISORY},
    {"xfs", LEASES, FILE_SYSTEM_LOCK_ADVISORY},
    {"btrfs", LEASES | VERITY, FILE_SYSTEM_LOCK_ADVISORY},
    {"f2fs", LEASES | VERITY | NO_REFLINK, FILE_SYSTEM_LOCK_ADVISORY},
    {"bcachefs", LEASES, FILE_SYSTEM_LOCK_ADVISORY},
    {"vfat", LEASES | COARSE | NO_REFLINK, FILE_SYSTEM_LOCK_ADVISORY},
    {"msdos", LEASES | COARSE | NO_REFLINK, FILE_SYSTEM_LOCK_ADVISORY},
    {"exfat", LEASES | COARSE | NO_REFLINK, FILE_SYSTEM_LOCK_ADVISORY},
    /* Local file systems in memory. Leases are not used, since io_uring can write to pages of tmpfs after the last
       descriptor is closed. */
    {"tmpfs", MEMORY | NO_REFLINK, FILE_SYSTEM_LOCK_ADVISORY},
    {"ramfs", MEMORY | NO_REFLINK, FILE_SYSTEM_LOCK_ADVISORY},
    {"rootfs", MEMORY | NO_REFLINK, FILE_SYSTEM_LOCK_ADVISORY},
    {"devtmpfs", MEMORY | NO_REFLINK, FILE_SYSTEM_LOCK_ADVISORY},
    {"hugetlbfs", MEMORY | NO_REFLINK, FILE_SYSTEM_LOCK_ADVISORY},
    {"zfs", 0, FILE_SYSTEM_LOCK_ADVISORY},
    /* File systems that no process can write to. */
    {"squashfs", MEDIUM, FILE_SYSTEM_LOCK_ADVISORY},
    {"erofs", MEDIUM, FILE_SYSTEM_LOCK_ADVISORY},
    {"iso9660", MEDIUM, FILE_SYSTEM_LOCK_ADVISORY},
    {"cramfs", MEDIUM, FILE_SYSTEM_LOCK_ADVISORY},
    {"romfs", MEDIUM, FILE_SYSTEM_LOCK_ADVISORY},
    /* Stacked file systems. Writers to the layer below do not open the file that is seen here, so a lease would not
       stop them. */
    {"overlay", STACKED, FILE_SYSTEM_LOCK_ADVISORY},
    {"ecryptfs", 0, FILE_SYSTEM_LOCK_ADVISORY},
    /* File systems of the kernel itself, whose files have no contents until they are read. */
    {"proc", KERNEL, FILE_SYSTEM_LOCK_ADVISORY},
    {"sysfs", KERNEL, FILE_SYSTEM_LOCK_ADVISORY},
    {"debugfs", KERNEL, FILE_SYSTEM_LOCK_ADVISORY},
    {"tracefs", KERNEL, FILE_SYSTEM_LOCK_ADVISORY},
    {"cgroup", KERNEL, FILE_SYSTEM_LOCK_ADVISORY},
    {"cgroup2", KERNEL, FILE_SYSTEM_LOCK_ADVISORY},
    {"configfs", KERNEL, FILE_SYSTEM_LOCK_ADVISORY},
    {"securityfs", KERNEL, FILE_SYSTEM_LOCK_ADVISORY},
    {"efivarfs", KERNEL, FILE_SYSTEM_LOCK_ADVISORY},
    {"bpf", KERNEL, FILE_SYSTEM_LOCK_ADVISORY},
    {"binfmt_misc", KERNEL, FILE_SYSTEM_LOCK_ADVISORY},
    {"pstore", KERNEL, FILE_SYSTEM_LOCK_ADVISORY},
    /* Network file systems. */
    {"cifs", OTHER_CLOCK, FILE_SYSTEM_LOCK_MANDATORY},
    {"smb3", OTHER_CLOCK, FILE_SYSTEM_LOCK_MANDATORY},
    {"smbfs", OTHER_CLOCK, FILE_SYSTEM_LOCK_MANDATORY},
    {"ncpfs", OTHER_CLOCK, FILE_SYSTEM_LOCK_MANDATORY},
    {"nfs", OTHER_CLOCK, FILE_SYSTEM_LOCK_HANGS},
    {"nfs4", OTHER_CLOCK, FILE_SYSTEM_LOCK_HANGS},
    {"fuse", OTHER_CLOCK, FILE_SYSTEM_LOCK_HANGS},
    {"fuseblk", OTHER_CLOCK, FILE_SYSTEM_LOCK_HANGS},
    {"virtiofs", OTHER_CLOCK, FILE_SYSTEM_LOCK_NOT_LOCAL},
    {"9p", OTHER_CLOCK, FILE_SYSTEM_LOCK_NOT_LOCAL},
    /* File systems on shared disks, to which other machines write. */
    {"gfs2", OTHER_CLOCK, FILE_SYSTEM_LOCK_NOT_LOCAL},
    {"ocfs2", OTHER_CLOCK, FILE_SYSTEM_LOCK_NOT_LOCAL},
};

#define MAX_NAME 24u
#define MAX_NAMES 32u

/*
 * Stores a copy of a name that is not in the table, so that regions can point to it. Returns the copy, or "" when there
 * are too many.
 */
static const char *
keep_name(const char *name)
{
    static char names[MAX_NAMES][MAX_NAME];
    const char *kept = "";

    if (!writing_begin())
        return "";
    for (size_t i = 0; i < MAX_NAMES && kept[0] == '\0'; i++) {
        if (names[i][0] == '\0')
            strncpy(names[i], name, MAX_NAME - 1); /* the last byte is zero already */
        if (strcmp(names[i], name) == 0)
            kept = names[i];
    }
    writing_end();
    return kept;
}

/*
 * Fills the properties for a name. A name that is not in the table may be any file system. If it has a device, it
 * counts as a local file system, whose locks the kernel keeps.
 */
static void
describe(const char *name, bool has_device, struct file_system *file_system)
{
    unsigned facts = OTHER_CLOCK;

    *file_system = (struct file_system){
        .name = "",
        .lock = has_device ? FILE_SYSTEM_LOCK_ADVISORY : FILE_SYSTEM_LOCK_NOT_LOCAL,
    };
    if (strncmp(name, "fuse.", 5) == 0 || strncmp(name, "fuseblk.", 8) == 0)
        file_system->lock = FILE_SYSTEM_LOCK_HANGS;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].name, name) == 0) {
            facts = known[i].facts;
            file_system->name = known[i].name;
            file_system->lock = known[i].lock;
        }
    if (file_system->name[0] == '\0')
        file_system->name = keep_name(name);
    file_system->has_leases = (facts & LEASES) != 0;
    file_system->is_read_only_medium = (facts & MEDIUM) != 0;
    file_system->has_verity = (facts & VERITY) != 0;
    file_system->may_reflink = (facts & NO_REFLINK) == 0;
    file_system->is_memory = (facts & MEMORY) != 0;
    file_system->is_kernel = (facts & KERNEL) != 0;
    file_system->is_stacked = (facts & STACKED) != 0;
    file_system->has_other_clock = (facts & OTHER_CLOCK) != 0;
    file_system->has_coarse_times = (facts & COARSE) != 0;
}

/* --------------------------------------------------------------------------------------------- one file system -- */

/*
 * Fills two properties from the type number of statfs(2), where the mount table does not tell the name. The number may be
 * that of another file system (9p). So it is used only for the kind of lock, where a mistake costs little, and to know the
 * file systems of the kernel, where a mistake leads to a refusal. The numbers stand in linux/magic.h, and that of configfs in
 * the kernel's fs/configfs.
 */
static void
describe_by_type(int fd, struct file_system *file_system)
{
    static const uint32_t local[] = {0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0xF2F52010, 0x794C7630};
    static const uint32_t of_kernel[] = {0x9FA0,     0x62656572, 0x64626720, 0x74726163, 0x0027E0EB, 0x63677270,
                                         0x62656570, 0x73636673, 0xDE5E81E4, 0xCAFE4A11, 0x42494E4D, 0x6165676C};
    struct statfs status;

    describe("", false, file_system);
    if (fstatfs(fd, &status) != 0)
        return;
    const uint32_t type = (uint32_t)status.f_type; /* the upper half of a negative number is no part of it */
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++)
        if (type == local[i])
            file_system->lock = FILE_SYSTEM_LOCK_ADVISORY;
    for (size_t i = 0; i < sizeof of_kernel / sizeof of_kernel[0]; i++)
        if (type == of_kernel[i]) {
            file_system->lock = FILE_SYSTEM_LOCK_ADVISORY;
            file_system->is_kernel = true;
        }
}

static void
look_up(int fd, const struct file_status *status, struct file_system *file_system)
{
    char name[MAX_NAME];

    if (mmgi_mount_name(fd, status->mount, name, sizeof name))
        describe(name, major((dev_t)status->device) != 0, file_system);
    else
        describe_by_type(fd, file_system);
}

/* ------------------------------------------------------------------------------------------ remembered answers -- */

#define MEMORY_ENTRIES 64u

/* A thread fills an entry once, and then counts it in `remembered`. All threads read the entries that are counted. */
static struct {
    uint64_t device, key;
    struct file_system file_system;
} memory[MEMORY_ENTRIES];
static _Atomic unsigned remembered;

static void
remember(uint64_t device, uint64_t key, const struct file_system *file_system)
{
    if (!writing_begin())
        return;
    unsigned count = atomic_load_explicit(&remembered, memory_order_relaxed);
    if (count < MEMORY_ENTRIES) {
        memory[count].device = device;
        memory[count].key = key;
        memory[count].file_system = *file_system;
        atomic_store_explicit(&remembered, count + 1, memory_order_release); /* publishes the entry */
    }
    writing_end();
}

static bool
recall(uint64_t device, uint64_t key, struct file_system *file_system)
{
    unsigned count = atomic_load_explicit(&remembered, memory_order_acquire);

    for (unsigned i = 0; i < count; i++)
        if (memory[i].device == device && memory[i].key == key) {
            *file_system = memory[i].file_system;
            return true;
        }
    return false;
}

/*
 * Returns a number that differs between a mount and most later mounts of the same device; 0 when there is none. Since
 * Linux 6.8 it is the unique number of the mount. Before, it is the type number of statfs(2), which shows at least that
 * a file system of another type was mounted.
 */
static uint64_t
key_of(int fd, const struct file_status *status)
{
    struct statfs file_system;

    if (status->mount != 0)
        return status->mount;
    if (major((dev_t)status->device) == 0 || fstatfs(fd, &file_system) != 0)
        return 0;
    return ((uint64_t)file_system.f_type & 0xFFFFFFFFU) | UINT64_C(1) << 63;
}

/* Finds a file system that has no unique number of its mount, or whose mount is not remembered. The function is not inlined:
   every open would pay for a stack that only few opens need. */
static __attribute__((noinline)) void
find_slowly(int fd, const struct file_status *status, struct file_system *file_system)
{
    uint64_t key = key_of(fd, status);

    if (key != 0 && recall(status->device, key, file_system))
        return;
    look_up(fd, status, file_system);
    if (key != 0 && file_system->name[0] != '\0')
        remember(status->device, key, file_system);
}

void
mmgi_file_system_find(int fd, const struct file_status *status, struct file_system *file_system)
{
    if (status->mount == 0 || !recall(status->device, status->mount, file_system))
        find_slowly(fd, status, file_system);
}

bool
mmgi_file_system_memory_is_sealed(int fd)
{
    const int needed = F_SEAL_SHRINK | F_SEAL_WRITE;
    int seals = fcntl(fd, F_GET_SEALS);

    return seals >= 0 && (seals & needed) == needed;
}
