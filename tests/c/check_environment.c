/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The part of the harness that finds out where a program runs, and what of the system it uses.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "check_internal.h"

/* Sanitizers count the heap exactly. Without a sanitizer the program does not have this symbol. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

#define NOBODY 65534U

/*
 * The environment does not change while the program runs, and conditions of loops ask about it. So it is examined once,
 * before main(), since some programs have a main() of their own.
 */
static bool under_valgrind;
static bool under_qemu;
static uint64_t divisor;

__attribute__((constructor)) static void
look_around(void)
{
    /* Valgrind preloads its own objects before all others. */
    const char *preload = getenv("LD_PRELOAD");
    under_valgrind = preload != NULL && strstr(preload, "vgpreload") != NULL;
    /* Most of /proc/self describes the emulated program, but the name of the process is that of the emulator. */
    char name[6] = "";
    FILE *file = fopen("/proc/self/comm", "re");
    if (file != NULL) {
        if (fgets(name, sizeof name, file) == NULL) {
            name[0] = '\0';
        }
        fclose(file);
    }
    under_qemu = strcmp(name, "qemu-") == 0;
    divisor = under_valgrind ? 100 : check_is_slow() || under_qemu ? 10 : 1;
}

bool
check_under_valgrind(void)
{
    return under_valgrind;
}

bool
check_under_qemu(void)
{
    return under_qemu;
}

static const uint8_t *touched;

static void
compare_address(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    (void)context;
    _exit(info->si_addr == touched ? 0 : 1);
}

/** Touches a page that its file does not have, in a child. */
static _Noreturn void
touch_a_lost_page(void)
{
    const struct sigaction action = {.sa_sigaction = compare_address, .sa_flags = SA_SIGINFO};
    int file = memfd_create("probe", MFD_CLOEXEC);
    touched = mmap(NULL, check_page(), PROT_READ, MAP_SHARED, file, 0);
    if (touched != MAP_FAILED && sigaction(SIGBUS, &action, NULL) == 0) {
        check_touch(touched, 0);
    }
    _exit(2);
}

bool
check_tells_address(void)
{
    static int known = -1; /* the exit status of the child */
    if (known < 0) {
        int wait_status = 0;
        pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            touch_a_lost_page();
        }
        REQUIRE(waitpid(child, &wait_status, 0) == child);
        REQUIRE(WIFEXITED(wait_status) && WEXITSTATUS(wait_status) <= 1);
        known = WEXITSTATUS(wait_status);
    }
    return known == 0;
}

bool
check_reads_itself(void)
{
    uint8_t from = 42, to = 0;
    struct iovec local = {.iov_base = &to, .iov_len = 1}, remote = {.iov_base = &from, .iov_len = 1};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1 && to == from;
}

/** Returns the number that statfs(2) has for the file system of a descriptor. */
static uint32_t
file_system_type(int file)
{
    struct statfs system;
    REQUIRE(fstatfs(file, &system) == 0);
    return (uint32_t)system.f_type;
}

bool
check_is_stacked(void)
{
    const uint32_t overlay = 0x794C7630;
    const char *folder = getenv("TMPDIR");
    int opened = open(folder != NULL && folder[0] != '\0' ? folder : "/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(opened >= 0);
    bool is_stacked = file_system_type(opened) == overlay;
    close(opened);
    return is_stacked;
}

bool
check_kernel_has_leases(void)
{
    /* ext2 to ext4, xfs, btrfs, f2fs, bcachefs, vfat, exfat; the numbers are those of statfs(2) and the kernel's sources */
    static const uint32_t types[] = {0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0xCA451A4E, 0x4D44, 0x2011BAB0};
    bool is_listed = false;
    int file = open(check_file("lease", 1), O_RDONLY | O_CLOEXEC);
    REQUIRE(file >= 0);
    const uint32_t type = file_system_type(file);
    for (size_t index = 0; index < sizeof types / sizeof *types; index++) {
        is_listed |= type == types[index];
    }
    bool has = is_listed && fcntl(file, F_SETLEASE, F_RDLCK) == 0;
    close(file);
    return has && !check_under_qemu(); /* qemu-user does not deliver the signal of a break */
}

/** Opens a directory and locks it. Returns a descriptor above those that tests count or limit, -1 where there is none. */
static int
lock_shared(const char *path)
{
    int opened = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int kept = fcntl(opened, F_DUPFD_CLOEXEC, 200);
    close(opened);
    while (kept >= 0 && flock(kept, LOCK_SH) != 0 && errno == EINTR) {
    }
    return kept;
}

void
check_keep_lease_settings(void)
{
    if (getenv("MMAPGUARD_TESTS_SETTING") != NULL) {
        return;
    }
    int queue = lock_shared("/etc"); /* behind a test that waits to change a setting */
    lock_shared("/");
    close(queue);
    setenv("MMAPGUARD_TESTS_SETTING", "kept", 1);
}

bool
check_kernel_populates(void)
{
    const int populate_read = 22; /* MADV_POPULATE_READ, which older C libraries do not name */
    const size_t page = (size_t)check_page();
    void *probe = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(probe != MAP_FAILED);
    bool knows = madvise(probe, page, populate_read) == 0;
    munmap(probe, page);
    return knows;
}

bool
check_is_slow(void)
{
    return under_valgrind || __sanitizer_get_current_allocated_bytes != NULL;
}

uint64_t
check_scaled(uint64_t count)
{
    return count / divisor > 0 ? count / divisor : 1;
}

unsigned
check_descriptors(void)
{
    unsigned count = 0;
    DIR *listing = opendir("/proc/self/fd");
    if (listing == NULL) {
        return 0;
    }
    while (readdir(listing) != NULL) {
        count++;
    }
    closedir(listing);
    return count - 3; /* ".", ".." and the descriptor of the directory */
}

/** Calls `visit` with every line of /proc/self/maps. Returns how often it has returned true. */
static unsigned
count_mappings(bool (*visit)(const char *line, const void *context), const void *context)
{
    char line[PATH_MAX + 128];
    unsigned count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    if (maps == NULL) {
        return 0;
    }
    while (fgets(line, sizeof line, maps) != NULL) {
        count += visit(line, context);
    }
    fclose(maps);
    return count;
}

static bool
mapping_is_of(const char *line, const void *path)
{
    const char *name = strchr(line, '/');
    size_t length = strlen(path);
    return name != NULL && strncmp(name, path, length) == 0 && (name[length] == '\n' || name[length] == ' ');
}

unsigned
check_mappings_of(const char *path)
{
    return count_mappings(mapping_is_of, path);
}

/**
 * Returns true for a mapping that a leaked region may leave behind: one of a file, or read-only anonymous pages that
 * have replaced lost pages. All other mappings (heap, stacks, shadow memory) change independently of regions.
 */
static bool
mapping_counts(const char *line, const void *context)
{
    unsigned long inode = 0;
    char protection[8] = "";
    (void)context;
    if (sscanf(line, "%*x-%*x %7s %*x %*x:%*x %lu", protection, &inode) != 2 || strchr(line, '[') != NULL) {
        return false;
    }
    return inode != 0 || strcmp(protection, "r--p") == 0;
}

unsigned
check_mappings_that_count(void)
{
    return count_mappings(mapping_counts, NULL);
}

unsigned long
check_max_mappings(void)
{
    unsigned long count = 0;
    FILE *setting = fopen("/proc/sys/vm/max_map_count", "re");
    if (setting != NULL) {
        if (fscanf(setting, "%lu", &count) != 1) {
            count = 0;
        }
        fclose(setting);
    }
    return count;
}

void
check_block_bus(bool blocked)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGBUS);
    REQUIRE(pthread_sigmask(blocked ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL) == 0);
}

void
check_become_nobody(void)
{
    if (geteuid() == 0) {
        REQUIRE(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    }
}

bool
check_heap(uint64_t *bytes)
{
    *bytes = 0;
    if (__sanitizer_get_current_allocated_bytes != NULL) {
        *bytes = __sanitizer_get_current_allocated_bytes();
        return true;
    }
    if (check_under_valgrind()) {
        return false;
    }
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
    /* The count is exact only without the caches of malloc for each thread, whose free chunks count as used. CTest
       switches them off. */
    const char *tunables = getenv("GLIBC_TUNABLES");
    if (tunables != NULL && strstr(tunables, "glibc.malloc.tcache_count=0") != NULL) {
        struct mallinfo2 heap = mallinfo2();
        *bytes = (uint64_t)heap.uordblks + (uint64_t)heap.hblkhd;
        return true;
    }
#endif
    return false;
}

uint64_t
check_page(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

/** Returns the time that the kernel gives to a file that changes now, unless it has finer times. */
static struct timespec
time_of_files(void)
{
    struct timespec now;
    REQUIRE(clock_gettime(CLOCK_REALTIME_COARSE, &now) == 0);
    return now;
}

void
check_await_tick(void)
{
    const struct timespec before = time_of_files();
    struct timespec now = before;
    while (now.tv_sec == before.tv_sec && now.tv_nsec == before.tv_nsec) {
        usleep(1000);
        now = time_of_files();
    }
}

__attribute__((noinline)) void
check_extend_stack(void)
{
    volatile uint8_t room[256 << 10];
    for (size_t at = 0; at < sizeof room; at += 1024) {
        room[at] = 0;
    }
}
