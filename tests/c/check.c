/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The test harness. It runs the cases of one program, finds leaks of each case, and has the helpers that nearly every
 * case needs: files with a known pattern, child processes, reproducible random numbers.
 */
#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Sanitizers count the heap exactly. Without a sanitizer the program does not have this symbol. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));
/* Only coverage builds have this symbol. */
void __gcov_init(void *unused) __attribute__((weak));

#define PATHS_KEPT 64
#define NOBODY 65534U
#define CHILD_SECONDS 60
#define CHILD_SECONDS_SLOW 600

static char directory[PATH_MAX / 2];
static pid_t owner;
static atomic_uint failures;
static const char *skipped;
static char paths[PATHS_KEPT][PATH_MAX];
static unsigned paths_used;

/* -------------------------------------------------------------------------------------------------- assertions -- */

static bool
report(bool ok, const char *file, int line, const char *text, const char *detail)
{
    if (!ok) {
        const char *name = strrchr(file, '/');
        atomic_fetch_add(&failures, 1);
        fprintf(stderr, "    %s:%d: %s%s\n", name == NULL ? file : name + 1, line, text, detail);
    }
    return ok;
}

bool
check_true(bool ok, const char *file, int line, const char *text)
{
    return report(ok, file, line, text, " does not hold");
}

bool
check_u64(uint64_t actual, uint64_t expected, const char *file, int line, const char *text)
{
    char detail[96];
    snprintf(detail, sizeof detail, " is %" PRIu64 ", not %" PRIu64, actual, expected);
    return report(actual == expected, file, line, text, detail);
}

bool
check_i64(int64_t actual, int64_t expected, const char *file, int line, const char *text)
{
    char detail[96];
    snprintf(detail, sizeof detail, " is %" PRId64 ", not %" PRId64, actual, expected);
    return report(actual == expected, file, line, text, detail);
}

bool
check_status(mmg_status actual, mmg_status expected, const char *file, int line, const char *text)
{
    char detail[128];
    if (actual == expected) {
        return true;
    }
    snprintf(detail, sizeof detail, " is %s (%d), not %s", mmg_status_name(actual), (int)actual,
             mmg_status_name(expected));
    return report(false, file, line, text, detail);
}

bool
check_text(const char *actual, const char *expected, const char *file, int line, const char *text)
{
    char detail[640];
    bool ok = actual != NULL && strcmp(actual, expected) == 0;
    if (!ok) {
        snprintf(detail, sizeof detail, " is \"%.280s\", not \"%.280s\"", actual == NULL ? "(NULL)" : actual, expected);
    }
    return ok || report(false, file, line, text, detail);
}

bool
check_bytes(const void *actual, const void *expected, size_t size, const char *file, int line, const char *text)
{
    const uint8_t *one = actual;
    const uint8_t *other = expected;
    char detail[96];
    for (size_t at = 0; at < size; at++) {
        if (one[at] != other[at]) {
            snprintf(detail, sizeof detail, " differs at byte %zu of %zu: %02x, not %02x", at, size, one[at],
                     other[at]);
            return report(false, file, line, text, detail);
        }
    }
    return true;
}

static void
describe_wait(int wait_status, char *text, size_t size)
{
    if (WIFSIGNALED(wait_status)) {
        snprintf(text, size, " was killed by signal %d", WTERMSIG(wait_status));
    } else {
        snprintf(text, size, " exited with %d", WEXITSTATUS(wait_status));
    }
}

bool
check_exited(int wait_status, const char *file, int line, const char *text)
{
    char detail[64];
    describe_wait(wait_status, detail, sizeof detail);
    return report(WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0, file, line, text, detail);
}

bool
check_killed(int wait_status, int signal_number, const char *file, int line, const char *text)
{
    char detail[64];
    describe_wait(wait_status, detail, sizeof detail);
    return report(WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == signal_number, file, line, text, detail);
}

void
check_skip(const char *reason)
{
    skipped = reason;
}

unsigned
check_failures(void)
{
    return atomic_load(&failures);
}

/* ------------------------------------------------------------------------------------------------- environment -- */

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

/* ------------------------------------------------------------------------------------------------------- files -- */

const char *
check_path(const char *name)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", directory, name);
    REQUIRE(length > 0 && (size_t)length < sizeof path);
    for (unsigned index = 0; index < paths_used; index++) {
        if (strcmp(paths[index], path) == 0) {
            return paths[index];
        }
    }
    REQUIRE(paths_used < PATHS_KEPT);
    memcpy(paths[paths_used], path, (size_t)length + 1);
    return paths[paths_used++];
}

static void
write_all(int descriptor, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(descriptor, bytes, size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        REQUIRE(written > 0);
        bytes += written;
        size -= (size_t)written;
    }
}

const char *
check_file_with(const char *name, const void *bytes, size_t size)
{
    const char *path = check_path(name);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    REQUIRE(descriptor >= 0);
    write_all(descriptor, bytes, size);
    close(descriptor);
    return path;
}

const char *
check_file(const char *name, uint64_t size)
{
    uint8_t block[65536];
    const char *path = check_path(name);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    REQUIRE(descriptor >= 0);
    for (uint64_t at = 0; at < size;) {
        size_t part = size - at < sizeof block ? (size_t)(size - at) : sizeof block;
        check_fill(block, at, part);
        write_all(descriptor, block, part);
        at += part;
    }
    close(descriptor);
    return path;
}

void
check_truncate(const char *path, uint64_t size)
{
    REQUIRE(truncate(path, (off_t)size) == 0);
}

uint8_t
check_byte(uint64_t offset)
{
    /* The multiplier is that of Fibonacci hashing. The xor makes neighbouring pages differ. */
    uint64_t mixed = (offset ^ (offset >> 12)) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint8_t)(mixed >> 56);
}

void
check_fill(void *bytes, uint64_t offset, size_t size)
{
    uint8_t *byte = bytes;
    for (size_t at = 0; at < size; at++) {
        byte[at] = check_byte(offset + at);
    }
}

bool
check_is_pattern(const void *bytes, uint64_t offset, uint64_t size)
{
    const uint8_t *byte = bytes;
    for (uint64_t at = 0; at < size; at++) {
        if (byte[at] != check_byte(offset + at)) {
            fprintf(stderr, "    byte %" PRIu64 " of %" PRIu64 " is %02x, the pattern at %" PRIu64 " is %02x\n", at,
                    size, byte[at], offset + at, check_byte(offset + at));
            return false;
        }
    }
    return true;
}

bool
check_is_zero(const void *bytes, uint64_t size)
{
    const uint8_t *byte = bytes;
    for (uint64_t at = 0; at < size; at++) {
        if (byte[at] != 0) {
            return false;
        }
    }
    return true;
}

/** Removes everything in the program's directory, which has only files and empty directories. */
static void
empty_directory(void)
{
    DIR *listing = opendir(directory);
    if (listing == NULL) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            if (unlinkat(dirfd(listing), entry->d_name, 0) != 0) {
                unlinkat(dirfd(listing), entry->d_name, AT_REMOVEDIR);
            }
        }
    }
    closedir(listing);
}

static void
remove_directory(void)
{
    if (getpid() == owner) {
        empty_directory();
        rmdir(directory);
    }
}

/* --------------------------------------------------------------------------------------------------- processes -- */

/**
 * Ends the process without the exit functions, which belong to the parent. A coverage build must call exit(), which
 * writes the counters.
 */
_Noreturn static void
end_process(int code)
{
    fflush(NULL);
    if (__gcov_init != NULL) {
        exit(code);
    }
    _exit(code);
}

_Noreturn void
check_give_up(void)
{
    remove_directory();
    end_process(1);
}

_Noreturn void
check_child_end(void)
{
    end_process(check_failures() == 0 ? 0 : 1);
}

int
check_child(void (*body)(void *argument), void *argument)
{
    int wait_status = 0;
    fflush(NULL);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        atomic_store(&failures, 0);
        alarm(check_is_slow() || check_under_qemu() ? CHILD_SECONDS_SLOW : CHILD_SECONDS);
        body(argument);
        check_child_end();
    }
    while (waitpid(child, &wait_status, 0) < 0) {
        REQUIRE(errno == EINTR);
    }
    return wait_status;
}

/* -------------------------------------------------------------------------------------------------- randomness -- */

uint64_t
check_seed(void)
{
    const char *text = getenv("MMAPGUARD_TEST_SEED");
    return text == NULL ? UINT64_C(20240229) : strtoull(text, NULL, 0);
}

uint64_t
check_random(uint64_t *state)
{
    uint64_t mixed = *state += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

uint64_t
check_random_below(uint64_t *state, uint64_t bound)
{
    return check_random(state) % bound;
}

/* ------------------------------------------------------------------------------------------------- the library -- */

mmg_options
check_backing(uint32_t backing)
{
    mmg_options options = MMG_OPTIONS_INIT;
    options.backing = backing;
    return options;
}

mmg_handle
check_open(const char *path, const mmg_options *options)
{
    mmg_handle handle = 0;
    mmg_error error = MMG_ERROR_INIT;
    mmg_status status = mmg_open(path, options, &handle, &error);
    if (status != MMG_OK) {
        fprintf(stderr, "    mmg_open: %s\n", error.message);
    }
    REQUIRE_STATUS(status, MMG_OK);
    return handle;
}

mmg_span
check_pin(mmg_handle handle, uint64_t offset, uint64_t length)
{
    mmg_span span = MMG_SPAN_INIT;
    REQUIRE_STATUS(mmg_pin(handle, offset, length, &span), MMG_OK);
    return span;
}

siginfo_t
check_fault(const uint8_t *address)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = SIGBUS;
    info.si_code = BUS_ADRERR;
    info.si_addr = (uint8_t *)(uintptr_t)address;
    return info;
}

uint8_t
check_touch(const uint8_t *bytes, uint64_t at)
{
    return *(const volatile uint8_t *)(bytes + at);
}

int
check_errno(void)
{
    return *(volatile int *)&errno;
}

mmg_info
check_info(mmg_handle handle)
{
    mmg_info info = MMG_INFO_INIT;
    REQUIRE_STATUS(mmg_info_get(handle, &info), MMG_OK);
    return info;
}

mmg_stats
check_stats(void)
{
    mmg_stats stats = MMG_STATS_INIT;
    REQUIRE_STATUS(mmg_stats_get(&stats), MMG_OK);
    return stats;
}

/* ------------------------------------------------------------------------------------------------------ runner -- */

/* How often the heap is looked at again when there is more of it, and how long the pause before each look is. */
#define HEAP_ROUNDS 200u
#define HEAP_ROUND_US 10000u

struct inventory {
    unsigned descriptors;
    unsigned mappings;
    uint64_t heap;
    mmg_stats stats;
};

static struct inventory
take_inventory(void)
{
    struct inventory now;
    now.stats = check_stats();
    while (now.stats.leases_breaking > 0) { /* a writer goes on a moment before the keeper has given everything back */
        usleep(1000);
        now.stats = check_stats();
    }
    now.descriptors = check_descriptors();
    now.mappings = count_mappings(mapping_counts, NULL);
    check_heap(&now.heap);
    return now;
}

/* Returns the heap in use, as soon as it is no more than `most`. A thread of the library that is about to end, such as the
   keeper of leases, has a cache of malloc for as long as it lives. */
static uint64_t
heap_at_rest(uint64_t most)
{
    uint64_t heap = UINT64_MAX;
    for (unsigned round = 0; round < HEAP_ROUNDS && heap > most; round++) {
        usleep(HEAP_ROUND_US);
        check_heap(&heap);
    }
    return heap;
}

static void
compare(const struct inventory *before, const struct inventory *after, bool with_heap)
{
    check_u64(after->descriptors, before->descriptors, "leak", 0, "open descriptors");
    check_u64(after->mappings, before->mappings, "leak", 0, "mappings of files");
    check_u64(after->stats.handles, before->stats.handles, "leak", 0, "mmg_stats.handles");
    check_u64(after->stats.regions, before->stats.regions, "leak", 0, "mmg_stats.regions");
    check_u64(after->stats.mappings, before->stats.mappings, "leak", 0, "mmg_stats.mappings");
    check_u64(after->stats.mapped_bytes, before->stats.mapped_bytes, "leak", 0, "mmg_stats.mapped_bytes");
    check_u64(after->stats.heap_bytes, before->stats.heap_bytes, "leak", 0, "mmg_stats.heap_bytes");
    if (with_heap && after->heap > before->heap) {
        check_u64(heap_at_rest(before->heap), before->heap, "leak", 0, "heap in use");
    }
}

static void
run_once(const struct check_case *test)
{
    paths_used = 0;
    test->run();
    empty_directory();
}

/** Returns true when the case was skipped. */
static bool
run_case(const struct check_case *test)
{
    struct inventory before;
    struct inventory after;
    unsigned failed = check_failures();
    bool twice = (test->flags & CHECK_ONCE) == 0;
    skipped = NULL;
    printf("%s ... ", test->name);
    fflush(stdout);
    if ((test->flags & CHECK_LOSES) != 0 && !check_tells_address()) {
        check_skip("a SIGBUS does not tell here which address was touched");
    }
    if (twice && skipped == NULL) {
        run_once(test);
    }
    if (skipped == NULL && check_failures() == failed) {
        before = take_inventory();
        run_once(test);
        after = take_inventory();
        compare(&before, &after, (test->flags & (CHECK_ONCE | CHECK_THREADS)) == 0);
    }
    if (check_failures() != failed) {
        printf("FAIL\n");
    } else if (skipped != NULL) {
        printf("SKIP: %s\n", skipped);
    } else {
        printf("PASS\n");
    }
    return check_failures() == failed && skipped != NULL;
}

static void
make_directory(void)
{
    const char *parent = getenv("TMPDIR");
    char template[sizeof directory];
    int length = snprintf(template, sizeof template, "%s/mmapguard-XXXXXX", parent == NULL ? "/tmp" : parent);
    REQUIRE(length > 0 && (size_t)length < sizeof template);
    REQUIRE(mkdtemp(template) != NULL);
    memcpy(directory, template, sizeof directory);
    owner = getpid();
    atexit(remove_directory);
}

int
check_main(int argc, char **argv, const struct check_case *cases, size_t count)
{
    const char *word = argc > 1 ? argv[1] : "";
    size_t run = 0;
    size_t skips = 0;
    if (strcmp(word, "--list") == 0) {
        for (size_t index = 0; index < count; index++) {
            printf("%s\n", cases[index].name);
        }
        return 0;
    }
    signal(SIGPIPE, SIG_IGN);
    make_directory();
    for (size_t index = 0; index < count; index++) {
        if (strstr(cases[index].name, word) != NULL) {
            run++;
            skips += run_case(&cases[index]);
        }
    }
    printf("%zu cases, %zu skipped, %u checks failed\n", run, skips, check_failures());
    if (check_failures() != 0 || run == 0) {
        return 1;
    }
    return skips == run ? 77 : 0;
}
